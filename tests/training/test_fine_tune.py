"""Fine-tuning: from a folder of music and a trained model to a checkpoint that is at least as good."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import mmt
from mmt.cli import generate
from mmt.cli import train as command
from mmt.corpus.storage import Corpus
from mmt.model.checkpoint import Checkpoint
from mmt.model.network import Network
from mmt.training.fine_tune import choose_recipe, default_output, expectation, fine_tune
from mmt.training.low_rank import add_low_rank
from mmt.training.recipe import load_recipe
from mmt.training.starting_weights import fitting_weights, read_base
from mmt.training.train import train
from runs import assert_same_weights, quiet_lightning, tiny, validation_losses, weights

pytestmark = quiet_lightning
FAST = ["trainer.precision=32-true", "trainer.samples=false", "trainer.accelerator=cpu", "network.dropout=0.0"]


@pytest.fixture(scope="module")
def base(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model after a short training."""
    return train(tiny(), corpus, tmp_path_factory.mktemp("base") / "run")


@pytest.fixture(scope="module")
def music(corpus: Path) -> Path:
    """The folder of files from which the corpus was made."""
    return corpus.parent / "music"


def loss_of(folder: Path) -> float:
    return float(mmt.load_model(folder).training["validation"]["loss"])


def test_fine_tuning_lowers_the_validation_loss(base: Path, music: Path, tmp_path: Path) -> None:
    said: list[str] = []
    done = fine_tune(base, music, tmp_path / "run", overrides=FAST, say=said.append)
    assert done.checkpoint == tmp_path / "run" / "best"
    assert done.after < done.before
    assert done.after == loss_of(done.checkpoint) == pytest.approx(min(validation_losses(tmp_path / "run")), abs=1e-4)
    assert done.before == pytest.approx(validation_losses(tmp_path / "run")[0], abs=1e-4)
    assert f"{done.before:.3f} before, {done.after:.3f} after {done.steps:,} steps" in str(done)
    model = mmt.load_model(done.checkpoint)
    assert model.training["data"]["base"]["name"] == "best"
    assert len(Corpus(tmp_path / "run" / "corpus", split="train")) == model.training["data"]["pieces"]
    kept, expected = said
    assert kept.startswith(f"{len(list(music.iterdir()))} of {len(list(music.iterdir()))} files kept")
    assert "to learn from" in expected
    assert mmt.is_valid(model.generate(seed=0, max_events=40)[0])


def test_without_improvement_the_best_checkpoint_is_the_initial_model(base: Path, music: Path, tmp_path: Path) -> None:
    # A rate at which every step increases the loss.
    done = fine_tune(base, music, tmp_path / "run", overrides=[*FAST, "optimizer.learning_rate=3"])
    assert (done.steps, done.after) == (0, done.before)
    assert str(done).startswith("nothing was gained")
    assert "no step made it better" in str(done)
    assert "more files; a lower rate (optimizer.learning_rate=0.0001); LoRA (--lora)" in str(done)
    assert done.checkpoint == base
    # No copy of the initial model is kept.
    assert not (tmp_path / "run" / "best").exists()
    # The training stopped before its last step.
    assert len(validation_losses(tmp_path / "run")) == 1 + 4


def test_resuming_a_run_without_improvement_gives_the_same_result(base: Path, music: Path, tmp_path: Path) -> None:
    changes = [
        *FAST,
        "optimizer.learning_rate=3",
        "trainer.max_steps=2",
        "trainer.validate_every=2",
    ]
    first = fine_tune(base, music, tmp_path / "run", overrides=changes)
    more = ["trainer.max_steps=4"]
    again = fine_tune(base, music, tmp_path / "run", overrides=more, resume=True)
    assert (again.steps, again.before, again.checkpoint) == (0, first.before, base)


@pytest.mark.parametrize("flag", ["--fine-tune", "--from"])
def test_the_command_says_if_fine_tuning_brought_no_improvement(
    base: Path, music: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    worse = [
        "optimizer.learning_rate=3",
        "trainer.max_steps=2",
        "trainer.validate_every=1",
        "-o",
        str(tmp_path / "run"),
    ]
    what = [str(music), *FAST] if flag == "--fine-tune" else ["tiny", "--corpus", str(corpus)]
    assert command.main([*what, flag, str(base), *worse]) == 0
    out = capsys.readouterr().out
    assert "try it" not in out
    assert ("nothing was gained" if flag == "--fine-tune" else f"no step improved on {base}") in out


@pytest.mark.parametrize("resumed", [False, True])
def test_only_low_rank_additions_are_trained_and_then_merged(
    base: Path, music: Path, tmp_path: Path, resumed: bool
) -> None:
    changes = [*FAST, "trainer.max_steps=8", "optimizer.decay_end=30", "trainer.validate_every=4"]
    done = fine_tune(base, music, tmp_path / "run", lora_rank=2, overrides=changes)
    if resumed:
        for given, said in (({"exclude": ["*0*"]}, "--exclude is"), ({"lora_rank": 4}, "--lora is 4, and was 2")):
            with pytest.raises(ValueError, match=said):
                fine_tune(base, music, tmp_path / "run", resume=True, **given)
        done = fine_tune(base, music, tmp_path / "run", overrides=["trainer.max_steps=12"], resume=True)
    assert done.after < done.before
    before, after = weights(base), weights(done.checkpoint)
    # An ordinary checkpoint: the same names and shapes.
    assert {name: tensor.shape for name, tensor in before.items()} == {name: t.shape for name, t in after.items()}
    for name, tensor in before.items():
        difference = after[name] - tensor
        if name.endswith("weight") and tensor.ndim == 2 and not name.startswith(("embeddings", "heads.known")):
            assert 0 < int(torch.linalg.matrix_rank(difference, rtol=1e-3)) <= 2, name
        else:
            assert not difference.any(), name


def test_a_new_low_rank_addition_does_not_change_the_output(base: Path) -> None:
    network = read_base(base).network
    codes = torch.randint(0, 4, (2, 9, 6), generator=torch.Generator().manual_seed(0))
    before = network(codes)
    add_low_rank(network, 3)
    for one, other in zip(before, network(codes), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    learned = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    assert learned
    assert all(name.endswith((".up", ".down")) for name in learned)


def test_a_prepared_corpus_is_used_without_a_copy(base: Path, corpus: Path, tmp_path: Path) -> None:
    done = fine_tune(base, corpus, tmp_path / "run", overrides=[*FAST, "trainer.max_steps=1"])
    assert not (tmp_path / "run" / "corpus").exists()
    assert mmt.load_model(done.checkpoint).training["data"]["name"] == "corpus"


def test_overwriting_a_run_prepares_the_new_files(base: Path, music: Path, tmp_path: Path) -> None:
    quick = [*FAST, "trainer.max_steps=1"]
    files = sorted(music.glob("*.mid"))
    fine_tune(base, files[:4], tmp_path / "run", overrides=quick, seed=1)
    with pytest.raises(FileExistsError, match="exists; give another folder"):
        fine_tune(base, files, tmp_path / "run", overrides=quick)
    assert len(Corpus(tmp_path / "run" / "corpus")) == 4
    fine_tune(base, files[4:], tmp_path / "run", overrides=quick, seed=1, overwrite=True)
    assert len(Corpus(tmp_path / "run" / "corpus")) == 8


def test_the_number_of_steps_grows_with_the_corpus(
    base: Path, corpus: Path, canon_times: Callable[[int], Corpus]
) -> None:
    started = read_base(base)
    steps = [choose_recipe(started, canon_times(times)).trainer.max_steps for times in (1, 4, 40, 4000)]
    assert steps == sorted(steps)
    assert steps[0] < steps[2] < steps[3]
    recipe = choose_recipe(started, canon_times(1), overrides=["trainer.max_steps=7"])
    assert recipe.trainer.max_steps == 7


@pytest.fixture
def canon_times(corpus: Path) -> Callable[[int], Corpus]:
    def times(count: int) -> Corpus:
        found = Corpus(corpus, split="train")
        return found.subset([*range(len(found))] * count)

    return times


def test_the_expectation_depends_on_the_size_of_the_corpus(canon_times: Callable[[int], Corpus], base: Path) -> None:
    recipe = choose_recipe(read_base(base), canon_times(1))
    lines = [expectation(canon_times(times), recipe) for times in (1, 200, 2000)]
    assert len({line.split(": ")[-1] for line in lines}) == 3
    assert all("\n" not in line for line in lines)


def test_the_default_run_folder_has_the_name_of_the_source(tmp_path: Path) -> None:
    assert default_output(["music/my_midis/"]) == Path("runs/my_midis")
    assert default_output(["a/songs.tar.gz", "b"]) == Path("runs/songs")
    assert default_output(["Mozart K. 464.mid"]) == Path("runs/Mozart K. 464")
    for name in ("Mozart K. 464", ".midis"):
        (tmp_path / name).mkdir()
        assert default_output([tmp_path / name]) == Path("runs") / name


def test_the_command_ends_with_the_command_to_generate(
    base: Path, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--fine-tune", str(base), str(music), "--lora", "--exclude", "11.mid", *FAST, "trainer.max_steps=21"]
    assert command.main([*arguments, "trainer.validate_every=7"]) == 0
    out = capsys.readouterr().out
    last = out.strip().splitlines()[-1]
    assert last == "try it: mmt-generate --checkpoint runs/music/best -o piece.mid"
    assert generate.main([*last.split()[3:], "--max-events", "30", "--quiet"]) == 0
    config = json.loads((tmp_path / "runs" / "music" / "best" / "config.json").read_text())
    assert config["training"]["recipe"]["optimizer"]["lora_rank"] == 8
    assert config["training"]["data"]["excluded"] == ["11.mid"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--fine-tune", "nothing", "MUSIC"], 1, "nothing does not exist; give default"),
        (["--fine-tune", "BASE", "nowhere"], 1, "nowhere"),
        (["--fine-tune", "BASE", "trainer.max_steps=4"], 1, "nothing to learn from was given"),
        (["--fine-tune", "BASE", "MUSIC", "trainer.max_step=4"], 1, "did you mean max_steps?"),
        (["--fine-tune", "BASE", "MUSIC/3.mid"], 1, "add another work"),
        (["--fine-tune", "BASE", "empty.mid"], 1, "none of 1 files is usable"),
        (["--fine-tune", "BASE", "MUSIC", "--from", "BASE"], 2, "--from and --fine-tune"),
        (["--fine-tune", "BASE", "MUSIC", "--exclude", "*nobody*"], 1, "nobody"),
        (["tiny", "BASE", "--corpus", "CORPUS", "-o", "new"], 2, "one recipe is needed, not 2"),
        (["tiny", "-o", "new"], 2, "--corpus is needed"),
        (["tiny", "--corpus", "CORPUS"], 2, "--output is needed"),
    ],
)
def test_errors_are_one_line(
    base: Path,
    music: Path,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.mid").touch()
    places = {"BASE": base, "MUSIC": music, "CORPUS": corpus, "MUSIC/3.mid": music / "3.mid"}
    assert command.main([str(places.get(part, part)) for part in arguments]) == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not list(tmp_path.rglob("best"))
    if any(part.endswith(".mid") for part in arguments):
        assert not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("network.dim=64", "it has dim 32, the recipe 64; .* or set network.dim=32"),
        ("network.heads=4", "it has heads 2, the recipe 4"),
        ("network.layers=3", ""),
        ("network.layers=1", "it has layers 2, the recipe 1"),
        ("network.positions=none", "it has positions rotary, the recipe none"),
        ("network.output=chain", ""),
        ("network.output=mixed", ""),
        ("network.context=64", ""),
        ("representation.beats=32", "it has beats .*, the recipe 32; .* or set representation.beats="),
    ],
)
def test_a_model_that_does_not_fit_is_refused_with_the_first_difference(
    base: Path, corpus: Path, tmp_path: Path, change: str, said: str
) -> None:
    still = tiny("trainer.max_steps=1", "optimizer.learning_rate=1e-30", change)
    if said:
        with pytest.raises(ValueError, match=said):
            train(still, corpus, tmp_path / "run", start_from=base)
        assert not (tmp_path / "run").exists()
    else:
        # All new weights are initialised to zero, so the outputs stay the same.
        train(still, corpus, tmp_path / "run", start_from=base)
        ours = weights(tmp_path / "run" / "last")
        assert all(torch.equal(tensor, ours[name]) for name, tensor in weights(base).items())


def test_additional_weights_of_heads_do_not_depend_on_the_global_random_state(
    base: Path, corpus: Path, tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    recipe = tiny("network.output=mixed", "trainer.max_steps=2")
    for name in ("one", "other"):
        torch.rand(1)
        train(recipe, corpus, tmp_path / name, start_from=base)
    assert_same_weights(tmp_path / "one" / "last", tmp_path / "other" / "last")
    torch.set_rng_state(before)
    drawn = torch.rand(3)
    torch.set_rng_state(before)
    train(recipe, corpus, tmp_path / "third", start_from=base)
    assert torch.equal(torch.rand(3), drawn)


def test_mixed_heads_can_start_from_chained_ones_but_not_the_reverse() -> None:
    recipes = (
        ["network.output=chain", "network.zero_init=true"],
        ["network.output=mixed"],
    )  # the initialisation may differ
    chain, mixed = (load_recipe("tiny", changes) for changes in recipes)
    theirs = Network(chain.network)
    for mix in theirs.heads.mix:
        torch.nn.init.normal_(mix.weight)
    ours = Network(mixed.network)
    ours.load_state_dict(fitting_weights(Checkpoint(theirs, chain.representation), "old", mixed))
    codes = torch.randint(5, (2, 7, 6))
    for one, other in zip(ours(codes), theirs(codes), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="it has output mixed, the recipe chain"):
        fitting_weights(Checkpoint(ours, mixed.representation), "new", chain)


@pytest.mark.parametrize("output", ["independent", "mixed"])
def test_new_codes_and_new_layers_initially_change_no_logits_of_old_codes(output: str) -> None:
    options = [f"representation.{option}=true" for option in ("drums", "given", "length")]
    small = load_recipe("tiny", [f"network.output={output}"])
    large = load_recipe("tiny", [f"network.output={output}", "network.layers=4", *options])
    theirs, ours = Network(small.network), Network(large.network)
    for block in theirs.blocks:
        torch.nn.init.normal_(block.attention.out.weight)
    ours.load_state_dict(fitting_weights(Checkpoint(theirs, small.representation), "old", large))
    codes = torch.randint(5, (2, 7, 6))
    for before, after in zip(theirs(codes), ours(codes), strict=True):
        torch.testing.assert_close(after[..., : before.shape[-1]], before, rtol=0, atol=1e-6)
        assert (after[..., before.shape[-1] :] <= 0).all()
    with pytest.raises(ValueError, match=r"it has drums true, the recipe false; .* or set representation.drums=true"):
        fitting_weights(Checkpoint(ours, large.representation), "new", small)


def test_given_notes_of_another_reach_do_not_fit() -> None:
    changes = [f"representation.{name}" for name in ("given=true", "reach=4")]
    with_given, other = load_recipe("tiny", changes[:1]), load_recipe("tiny", changes)
    base = Checkpoint(Network(with_given.network), with_given.representation)
    assert fitting_weights(base, "old", with_given)
    with pytest.raises(ValueError, match="trained with other reach of the representation"):
        fitting_weights(base, "old", other)


def test_a_run_of_the_original_code_can_be_fine_tuned(shared: Path, music: Path, tmp_path: Path) -> None:
    reference = torch.load(shared / "reference" / "ref_tiny_rpe.pt", weights_only=True)
    theirs = tmp_path / "theirs"
    (theirs / "checkpoints").mkdir(parents=True)
    torch.save(reference["state_dict"], theirs / "checkpoints" / "best_model.pt")
    (theirs / "train-args.json").write_text(json.dumps(reference["train_args"]))
    quick = [*FAST, "trainer.max_steps=20", "optimizer.decay_end=20", "trainer.validate_every=10"]
    done = fine_tune(theirs, music, tmp_path / "run", overrides=quick)
    assert done.after < done.before
