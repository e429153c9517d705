"""Recipes: the shipped ones, the numbers of the paper, overrides, and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import mmt
from mmt.model.network import Network
from mmt.training.recipe import Optimizer, load_recipe

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_that_ships_loads_by_name_and_by_path(path: Path) -> None:
    assert load_recipe(path.stem) == load_recipe(path)
    assert load_recipe(path).network.sizes == load_recipe(path).representation.sizes


def test_the_main_recipes_are_shipped() -> None:
    assert {"default", "full", "paper", "tiny"} <= {path.stem for path in CONFIGS.glob("*.yaml")}


def test_the_recipe_paper_has_the_numbers_of_the_original_code() -> None:
    recipe = load_recipe("paper")
    optimizer, trainer, data, network = recipe.optimizer, recipe.trainer, recipe.data, recipe.network
    assert (optimizer.name, optimizer.learning_rate, optimizer.weight_decay) == ("adam", 5e-4, 0.0)
    assert (optimizer.betas, optimizer.clip) == ((0.9, 0.999), 1.0)
    assert (optimizer.warmup_steps, optimizer.decay_end, optimizer.final_share) == (5000, 100_000, 0.1)
    assert (data.batch_size, data.augmentation.pitch_shift, data.augmentation.start_share) == (8, (-5, 6), 0.0)
    assert data.augmentation.length_exponent == 0.0
    assert (trainer.max_steps, trainer.validate_every, trainer.patience) == (200_000, 1000, 20)
    assert trainer.accumulate == 1
    assert (network.dim, network.layers, network.heads, network.head_dim) == (512, 6, 8, 64)
    assert (network.context, network.positions, network.dropout) == (1024, "absolute", 0.2)
    assert recipe.representation.beats == 256
    assert network.sizes == (5, 257, 13, 129, 33, 65)


@pytest.mark.parametrize(
    ("positions", "parameters"), [("absolute", 19_944_950), ("rotary", 19_420_662), ("none", 19_420_662)]
)
def test_the_network_of_the_paper_has_the_size_in_the_paper(positions: str, parameters: int) -> None:
    network = Network(load_recipe("paper", [f"network.positions={positions}"]).network)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_the_rate_of_the_paper_rises_then_falls_to_a_tenth() -> None:
    share = load_recipe("paper").optimizer.share
    # The scheduler of the original code: (step + 1) / 5000, then linearly to 0.1 at step 100,000, then constant.
    assert share(0) == pytest.approx(1 / 5000)
    assert share(2499) == pytest.approx(0.5)
    assert share(4999) == share(5000) == 1.0
    assert share(52_500) == pytest.approx(0.55)
    assert share(100_000) == share(200_000) == pytest.approx(0.1)


def test_a_rate_can_be_constant_before_it_falls() -> None:
    share = Optimizer(warmup_steps=10, decay_start=20, decay_end=30, final_share=0.0).share
    assert [share(step) for step in (0, 9, 10, 19, 20, 25, 30, 99)] == [0.1, 1, 1, 1, 1, 0.5, 0, 0]
    assert Optimizer(warmup_steps=0, decay_start=0, decay_end=0, final_share=1.0).share(0) == 1.0


def test_overrides_change_single_entries() -> None:
    changes = [
        "trainer.max_steps=7",
        "optimizer.learning_rate=5e-4",
        "data.augmentation.pitch_shift=[-1, 2]",
        "optimizer.betas=[0, 0.5]",
        "network.dim=16",
        "trainer.patience=3",
        "trainer.devices=2",
        "trainer.compile=true",
        "sampling.top_p=0.9",
        "seed=4",
    ]
    recipe = load_recipe("tiny", changes)
    assert recipe.trainer.max_steps == 7
    assert recipe.optimizer.learning_rate == 5e-4
    assert recipe.data.augmentation.pitch_shift == (-1, 2)
    assert recipe.optimizer.betas == (0.0, 0.5)
    assert recipe.network.dim == 16
    assert (recipe.trainer.patience, recipe.trainer.devices, recipe.trainer.compile) == (3, 2, True)
    assert recipe.sampling == {"top_p": 0.9}
    assert recipe.seed == 4
    assert load_recipe("tiny").trainer.max_steps == 40


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trainer.max_step=4", r"tiny: unknown entry trainer.max_step; did you mean max_steps\? known are max_steps, "),
        (
            "data.augmentation.shift=4",
            r"unknown entry data.augmentation.shift; did you mean pitch_shift\? known are pitch_shift, ",
        ),
        (
            "optimiser.name=adam",
            r"tiny: unknown section 'optimiser' of the recipe; did you mean optimizer\? known are representation, ",
        ),
        ("network.width=4", "unknown entry network.width; known are sizes, dim, "),
        ("network.layer=4", r"unknown entry network.layer; did you mean layers\?"),
        ("network.layers=2.5", "layers is 2.5; it must be a whole number"),
        ("network.layers=true", "layers is True; it must be a whole number"),
        ("network.positions=3", "positions is 3; choose one of absolute, rotary, time, none"),
        ("network.positions=[a]", r"positions is \['a'\]; choose one of"),
        ("network.dropout=much", "dropout is much"),
        ("network.rotary_values=2", "rotary_values is 2; it must be true or false"),
        ("network.rotary_dims=8.0", "rotary_dims is 8.0; it must be an even number"),
        ("representation.resolution=x", "representation.resolution is 'x'; it must be a whole number"),
        ("representation.beat=4", r"unknown entry representation.beat; did you mean beats\?"),
        ("representation.preset=talk", "unknown preset 'talk'"),
        ("trainer.max_steps", "is not an override; write section.entry=value"),
        ("=4", "is not an override"),
        ("seed.more=4", "'seed' is a value and has no entries"),
        ("trainer.max_steps=[1", "the value is not YAML"),
        ("trainer.max_steps=0", "max_steps is 0; it must be at least 1"),
        ("trainer.max_steps=1.5", "trainer.max_steps is 1.5; expected int"),
        ("trainer.max_steps=many", "trainer.max_steps is 'many'; expected int"),
        ("trainer.max_steps=true", "trainer.max_steps is True; expected int"),
        ("trainer.patience=0", "patience is 0"),
        ("trainer.patience=x", "trainer.patience is 'x'; expected int or null"),
        ("trainer=4", "trainer is 4; a section of entries was expected"),
        ("trainer.save_every=0", "save_every is 0"),
        ("trainer.precision=bf17", "precision is 'bf17'; choose one of auto, 32-true, bf16-mixed"),
        ("trainer.devices=0", "devices is 0; it must be"),
        ("trainer.devices=many", "devices is 'many'; it must be"),
        ("optimizer.lora_rank=0", "lora_rank is 0"),
        ("data.short_windows=[4, 9]", r"short_windows is \[4, 9\]; give at least 5 events"),
        ("data.short_windows=[4096, 9]", r"short_windows is \[4096, 9\]; give at most the context's"),
        ("optimizer.average=1", r"average is 1\.0; it must be from 0 to below 1, or null"),
        ("optimizer.clip=.inf", "clip is inf; it must be above 0"),
        ("data.exclude=Chopin", "data.exclude is 'Chopin'; expected tuple"),
        ("sampling.top_q=1", r"unknown entry sampling.top_q; did you mean top_k\?|top_p\?"),
        ("sampling.top_p=2", "sampling: top_p"),
        ("sampling.top_p=x", "sampling: top_p"),
        ("seed=-1", "seed is -1"),
        (f"seed={2**63}", r"seed is 9223372036854775808; it must be from 0 to 2\*\*63 - 1"),
        ("seed=x", "seed is 'x'; expected int"),
        ("data.batch_size=0", "batch_size is 0"),
        ("data.validation_windows=0", "validation_windows is 0"),
        ("data.workers=-1", "workers is -1"),
        ("data.augmentation.start_share=2", "start_share is 2"),
        ("data.augmentation.substitution_share=-0.1", "substitution_share is -0.1; it must be between 0 and 1"),
        ("data.augmentation.given_share=0.5", "given_share is 0.5, and the representation has no given; set repr"),
        ("data.augmentation.length_share=0.5", "length_share is 0.5, and the representation has no length; set repr"),
        ("data.weights={'*songs*': 0}", r"weights: '\*songs\*' has the factor 0.0; it must be above 0"),
        ("data.weights={'*songs*': [1]}", r"data.weights: \*songs\* is \[1\]; expected float"),
        ("data.weights=2", "data.weights is 2; expected Mapping"),
        ("data.augmentation.pitch_shift=[1]", r"data.augmentation.pitch_shift is \[1\]; expected tuple"),
        ("optimizer.name=sgd", "optimizer 'sgd' is unknown; choose one of adam, adamw, muon"),
        ("optimizer.learning_rate=0", "learning_rate is 0.0; it must be above 0"),
        ("optimizer.learning_rate=fast", "optimizer.learning_rate is 'fast'; expected float"),
        ("optimizer.clip=-1", "clip is -1.0; it must be above 0"),
        ("optimizer.betas=[0.9, 1.0]", "betas are"),
        ("optimizer.weight_decay=-1", "weight_decay is -1"),
        ("optimizer.final_share=1.1", "final_share is 1.1"),
        ("optimizer.decay_end=1", "decay_end 1 must ascend"),
        ("network.positions=sine", "positions is 'sine'"),
    ],
)
def test_invalid_entries_are_refused_by_name(override: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load_recipe("tiny", [override])


def test_augmentation_null_turns_augmentation_off() -> None:
    assert load_recipe("tiny", ["data.augmentation=null"]).data.augmentation.pitch_shift == (0, 0)
    assert load_recipe("tiny", ["data.augmentation={}"]).data.augmentation.pitch_shift == (-5, 6)


def test_an_unknown_recipe_error_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no recipe is named 'mine'; there are default, .*tiny"):
        load_recipe("mine")
    with pytest.raises(FileNotFoundError):
        load_recipe("nowhere.yaml")


@pytest.mark.parametrize("content", ["- a\n- list\n", "a: [", "\0"])
def test_a_file_without_a_recipe_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "r.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"r\.yaml is no"):
        load_recipe(tmp_path / "r.yaml")


@pytest.mark.parametrize("name", ["paper", "default", "tiny"])
def test_a_recipe_round_trips_through_its_dictionary(tmp_path: Path, name: str) -> None:
    options = ["representation.given=true", "data.augmentation.given_share=0.3", "data.weights={'*songs*': 0.5}"]
    recipe = load_recipe(name, ["data.augmentation.pitch_shift=[-1, 1]", *(options if name != "paper" else [])])
    written: dict[str, Any] = recipe.to_dict()
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(written))
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


def test_an_untrained_model_has_the_size_in_the_recipe() -> None:
    model = mmt.new_model("tiny", seed=0)
    assert model.network.config == load_recipe("tiny").network
