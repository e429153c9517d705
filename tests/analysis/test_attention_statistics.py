"""Attention statistics: plain loops over the formulas, laws, windows, confidence intervals and errors."""

from __future__ import annotations

import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from small_corpora import model_of, write_corpus

import mmt
from mmt.analysis import likelihood
from mmt.analysis.attention.pairs import differences
from mmt.analysis.attention.report import write_report
from mmt.analysis.attention.statistics import Relative
from mmt.analysis.intervals import FewPiecesWarning, jackknife_interval
from mmt.corpus.prepare import prepare
from mmt.corpus.windows import Limits, cut_window
from mmt.representation.codes import BEAT, FIELDS, GIVEN_NOTE, NOTE, PITCH, START_OF_NOTES, TYPE, Representation
from mmt.representation.decode import notes_of_events
from mmt.representation.encode import events_of_notes
from mmt.sampling.model import Model

pytestmark = pytest.mark.filterwarnings("ignore::mmt.analysis.intervals.FewPiecesWarning")
TINY = Path(__file__).resolve().parents[2] / "data" / "tiny"


@pytest.fixture(scope="module")
def model() -> Model:
    return mmt.new_model("tiny", seed=3)


@pytest.fixture(scope="module")
def pieces() -> list[np.ndarray]:
    """The beginnings of three pieces, of different lengths within the tiny model's context; one has its end-of-song."""
    whole = [mmt.encode(mmt.read(path)) for path in sorted(TINY.glob("*.mid"))]
    end = whole[2][-1:]
    return [whole[0][:40], whole[1][:25], np.concatenate([whole[2][:30], end])]


def plain(model: Model, pieces: list[np.ndarray], field: int) -> dict[str, np.ndarray]:
    """The relative statistics as loops over pieces, queries and earlier keys. Each value is (layer, head, K)."""
    config = model.network.config
    wanted = differences(field, config.sizes[field]).tolist()
    sums = {kind: defaultdict(float) for kind in ("attention", "pairs", "even")}
    totals: dict[str, float] = defaultdict(float)
    for piece in pieces:
        weights = np.array(mmt.attention.weights(model, piece))
        for s in range(len(piece)):
            for t in range(s):
                if field != TYPE and not piece[s, TYPE] == piece[t, TYPE] == NOTE:
                    continue
                k = int(piece[t, field] - piece[s, field])
                given = {"attention": weights[:, :, s, t].astype(float), "pairs": 1.0, "even": 1 / (s + 1)}
                for kind, value in given.items():
                    sums[kind][k] = sums[kind][k] + value
                    totals[kind] = totals[kind] + value
    nothing = np.zeros((config.layers, config.heads))
    share = {kind: np.stack([(sums[kind][k] / totals[kind]) + nothing for k in wanted], axis=-1) for kind in sums}
    gamma = share["attention"]
    return {"gamma": gamma, "gain": gamma - share["pairs"], "row_gain": gamma - share["even"]}


@pytest.mark.parametrize("field", range(6))
def test_relative_statistics_match_a_plain_loop(model: Model, pieces: list[np.ndarray], field: int) -> None:
    found = mmt.attention.relative(model, pieces, FIELDS[field])
    for name, expected in plain(model, pieces, field).items():
        np.testing.assert_allclose(getattr(found, name), expected, atol=1e-6)
    assert found.field == FIELDS[field]
    assert found.gamma.shape == (2, 2, len(found.differences))


def test_one_pass_over_all_fields_equals_a_pass_per_field(model: Model, pieces: list[np.ndarray]) -> None:
    together = mmt.attention.relative(model, pieces)
    both = mmt.attention.measure(model, pieces)
    assert list(together) == list(FIELDS) == list(both.absolute)
    for name, found in together.items():
        for other in (mmt.attention.relative(model, pieces, name), both.relative[name]):
            np.testing.assert_array_equal(found.gamma, other.gamma)
            np.testing.assert_array_equal(found.row_gain, other.row_gain)


def test_gamma_sums_to_one_and_gains_to_zero(model: Model, pieces: list[np.ndarray]) -> None:
    for found in mmt.attention.relative(model, pieces).values():
        for statistics in (found, found.merged(), found.merged(layers=True)):
            np.testing.assert_allclose(statistics.gamma.sum(axis=-1), 1, atol=1e-12)
            np.testing.assert_allclose(statistics.gain.sum(axis=-1), 0, atol=1e-12)
            np.testing.assert_allclose(statistics.row_gain.sum(axis=-1), 0, atol=1e-12)


def test_even_attention_has_zero_row_gain(pieces: list[np.ndarray]) -> None:
    even = mmt.new_model("tiny", seed=3)
    with torch.no_grad():
        for block in even.network.blocks:
            block.attention.queries_keys_values.weight.zero_()
    for found in mmt.attention.relative(even, pieces).values():
        np.testing.assert_allclose(found.row_gain, 0, atol=1e-6)
    # The paper's baseline, in which every pair counts the same, shows structure where there is none.
    assert np.abs(mmt.attention.relative(even, pieces, "beat").gain).max() > 1e-3


def test_head_that_attends_to_the_same_pitch_has_gamma_one_at_zero(
    model: Model, pieces: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    def same_pitch(codes: torch.Tensor) -> list[torch.Tensor]:
        pitch = codes[0, :, PITCH]
        same = (pitch[:, None] == pitch).float().tril()
        return [(same / same.sum(-1, keepdim=True)).expand(1, 2, -1, -1)] * 2

    monkeypatch.setattr(model.network, "attention_weights", same_pitch)
    found = mmt.attention.relative(model, pieces, "pitch")
    assert found.gamma[..., found.differences == 0].tolist() == [[[1.0]] * 2] * 2
    assert np.count_nonzero(found.gamma) == 4


def test_instrument_events_are_excluded_from_instrument_pairs(model: Model) -> None:
    """Two instrument events and two notes: one pair, that of the notes."""
    piece = np.array([*mmt.prompt.instruments("violin", "cello"), [3, 1, 1, 61, 12, 25], [3, 2, 1, 61, 12, 27]])
    found = mmt.attention.absolute(model, piece, "instrument")
    assert found.pairs.sum() == 1
    assert found.pairs[0, found.codes == 27, found.codes == 25] == 1


def test_an_event_forms_no_pair_with_itself(model: Model) -> None:
    notes = np.array([[3, 1, 1, 61, 12, 25], [3, 1, 1, 64, 12, 25], [3, 1, 1, 67, 12, 25]])
    found = mmt.attention.relative(model, notes, "pitch")
    assert found.pairs.sum() == 3
    assert found.pairs[:, found.differences == 0].sum() == found.attention[..., found.differences == 0].sum() == 0


def test_merged_heads_are_the_share_of_their_sums(model: Model, pieces: list[np.ndarray]) -> None:
    found = mmt.attention.relative(model, pieces, "pitch")
    sums = found.attention.sum(axis=0).sum(axis=1)
    np.testing.assert_allclose(found.merged().gamma[:, 0], sums / sums.sum(axis=-1, keepdims=True))


def test_differences_are_key_minus_query(model: Model, pieces: list[np.ndarray]) -> None:
    assert mmt.attention.relative(model, pieces, "beat").differences[[0, -1]].tolist() == [-63, 0]
    assert mmt.attention.relative(model, pieces, "type").differences.tolist() == [-4, -3, -2, -1, 0]
    notes = np.array([[3, 1, 1, 61, 12, 25], [3, 2, 1, 66, 12, 25]])
    pitch = mmt.attention.relative(model, notes, "pitch")
    assert pitch.differences[pitch.pairs[0] > 0].tolist() == [-5]
    assert (pitch.gamma[..., pitch.differences == -5] == 1).all()


def test_absolute_statistics_match_a_plain_loop(model: Model, pieces: list[np.ndarray]) -> None:
    found = mmt.attention.absolute(model, pieces)
    config = model.network.config
    for field, name in enumerate(FIELDS):
        first = int(field != TYPE)
        expected = np.zeros((config.layers, config.heads, config.sizes[field], config.sizes[field]))
        for piece in pieces:
            weights = np.array(mmt.attention.weights(model, piece), np.float64)
            for s in range(len(piece)):
                for t in range(s):
                    if field == TYPE or piece[s, TYPE] == piece[t, TYPE] == NOTE:
                        expected[:, :, piece[s, field], piece[t, field]] += weights[:, :, s, t]
        np.testing.assert_allclose(found[name].attention.sum(axis=0), expected[..., first:, first:], atol=1e-9)
        rows = found[name].gamma.sum(axis=-1)
        assert found[name].codes.tolist() == list(range(first, config.sizes[field]))
        np.testing.assert_allclose(rows[~np.isnan(rows)], 1)
        # Rows of codes that no query has are NaN.
        assert (np.isnan(rows[0, 0]) == (found[name].pairs.sum(axis=(0, 2)) == 0)).all()


def test_even_attention_has_zero_absolute_row_gain(pieces: list[np.ndarray]) -> None:
    even = mmt.new_model("tiny", seed=3)
    with torch.no_grad():
        for block in even.network.blocks:
            block.attention.queries_keys_values.weight.zero_()
    for found in mmt.attention.absolute(even, pieces).values():
        np.testing.assert_allclose(np.nan_to_num(found.row_gain), 0, atol=1e-6)
        assert found.merged().gamma.shape[:2] == (2, 1)


def test_sums_do_not_depend_on_the_order_of_pieces(model: Model, pieces: list[np.ndarray]) -> None:
    found = mmt.attention.relative(model, iter(pieces), "pitch")
    apart = [mmt.attention.relative(model, piece, "pitch") for piece in reversed(pieces)]
    np.testing.assert_allclose(found.attention.sum(0), sum(one.attention[0] for one in apart))
    np.testing.assert_array_equal(found.attention[1], apart[1].attention[0])


def test_long_pieces_are_read_in_windows(model: Model) -> None:
    whole = mmt.encode(mmt.read(TINY / "mayer_quartet_in_g_minor.mid"))
    assert len(whole) > model.network.config.context
    found = mmt.attention.relative(model, whole)
    table, limits, windows, stop = notes_of_events(whole), Limits(128, 64), [], 0
    while stop < len(table):
        start = int(np.searchsorted(table["beat"], table["beat"][stop])) if stop else 0
        window, stop = cut_window(table, start, limits, model.representation)
        windows.append(window)
    assert len(windows) > 3
    apart = mmt.attention.relative(model, windows)
    for name in FIELDS:
        np.testing.assert_allclose(found[name].gain, apart[name].gain, atol=1e-12)
        assert len(found[name].attention) == 1


def test_groups_are_sums_of_their_differences(model: Model, pieces: list[np.ndarray]) -> None:
    found = mmt.attention.relative(model, pieces, "pitch")
    grouped = found.grouped({"octaves": [-24, -12, 12, 24], "unison": [0]})
    assert grouped.differences.tolist() == ["octaves", "unison", "other"]
    octaves = np.isin(found.differences, [-24, -12, 12, 24])
    for name in ("gamma", "gain", "row_gain"):
        np.testing.assert_allclose(getattr(grouped, name)[..., 0], getattr(found, name)[..., octaves].sum(-1))
    with pytest.raises(ValueError, match="0 is in more than one group"):
        found.grouped({"a": [0], "b": [0, 1]})
    with pytest.raises(ValueError, match="'far' has none of the differences, which are -127 to 127"):
        found.grouped({"far": [1000]})


@pytest.mark.parametrize("of", ["gamma", "gain", "row_gain"])
def test_confidence_interval_contains_the_statistic_and_grows_with_the_level(
    model: Model, pieces: list[np.ndarray], of: str
) -> None:
    found = mmt.attention.relative(model, pieces, "beat")
    low, high = found.confidence(0.99, of)
    value = getattr(found, of)
    assert low.shape == high.shape == value.shape
    assert (low <= value + 1e-12).all()
    assert (value <= high + 1e-12).all()
    assert (low >= (0 if of == "gamma" else -1)).all()
    assert (high <= 1).all()
    inner = found.confidence(0.5, of)
    assert (inner[0] >= low).all()
    assert (inner[1] <= high).all()


def test_confidence_interval_is_a_jackknife_over_pieces(model: Model, pieces: list[np.ndarray]) -> None:
    found = mmt.attention.relative(model, pieces, "pitch")
    rest = [mmt.attention.relative(model, pieces[:n] + pieces[n + 1 :], "pitch").row_gain for n in range(len(pieces))]
    for layer, head in ((0, 0), (1, 1)):
        weights = found.attention[:, layer, head].sum(-1)
        expected = jackknife_interval(found.row_gain, rest, weights, low=-1, high=1)
        for end, other in zip(found.confidence(), expected, strict=True):
            np.testing.assert_allclose(end[layer, head], other[layer, head], atol=1e-6)


@pytest.mark.parametrize(("count", "least"), [(5, 0.90), (10, 0.90), (30, 0.91)])
@pytest.mark.parametrize("of", ["gamma", "gain", "row_gain"])
def test_confidence_intervals_have_their_nominal_coverage(count: int, least: float, of: str) -> None:
    """Pieces of very different lengths, each with a mix of differences of its own; the bootstrap covered 79 to 84 % at five."""

    def draw(random: np.random.Generator, pieces: int) -> Relative:
        sizes = (random.gamma(1.5, 200, pieces) + 20)[:, None]
        pairs, even = (random.dirichlet([8, 6, 4, 2], pieces) for _ in range(2))
        attention = even * [0.8, 1.0, 1.3, 1.5] * random.lognormal(0, 0.4, even.shape)
        attention *= sizes / attention.sum(axis=1, keepdims=True)
        return Relative("pitch", np.arange(4), attention[:, None, None], pairs * sizes, even * sizes)

    truth = getattr(draw(np.random.default_rng(0), 400_000), of)[0, 0]
    random, covered = np.random.default_rng(1), []
    for _ in range(600):
        low, high = draw(random, count).confidence(0.95, of)
        covered.append((low[0, 0] <= truth) & (truth <= high[0, 0]))
    assert least < np.mean(covered) < 0.985
    assert np.mean(covered, axis=0).min() > least - 0.03


def test_absolute_interval_is_that_of_statistics_without_each_piece(model: Model, pieces: list[np.ndarray]) -> None:
    found = mmt.attention.absolute(model, pieces, "duration")
    low, high = found.confidence()
    assert low.shape == high.shape == found.row_gain.shape
    rest = [mmt.attention.absolute(model, pieces[:n] + pieces[n + 1 :], "duration").row_gain for n in range(3)]
    in_all = np.flatnonzero(found.pairs.any(axis=2).all(axis=0))
    assert len(in_all)
    for query in in_all:
        for layer, head in ((0, 0), (1, 1)):
            weights = found.attention[:, layer, head, query].sum(-1)
            value, others = found.row_gain[layer, head, query], [one[layer, head, query] for one in rest]
            expected = jackknife_interval(value, others, weights, low=-1, high=1)
            np.testing.assert_allclose([low[layer, head, query], high[layer, head, query]], expected, atol=1e-6)


def test_absolute_rows_of_one_piece_have_no_interval(model: Model, pieces: list[np.ndarray]) -> None:
    found = mmt.attention.absolute(model, pieces, "instrument")
    rows = np.isnan(found.confidence()[0]).all(axis=(0, 1, 3))
    np.testing.assert_array_equal(rows, found.pairs.any(axis=2).sum(axis=0) < 2)
    assert np.isnan(mmt.attention.absolute(model, pieces, "pitch").confidence()).all()
    with pytest.raises(ValueError, match="of is 'loss'"):
        found.confidence(of="loss")


def test_many_pieces_share_groups_and_lose_nothing(model: Model, pieces: list[np.ndarray]) -> None:
    many = mmt.attention.absolute(model, [pieces[1][:10]] * 33, "duration")
    one = mmt.attention.absolute(model, pieces[1][:10], "duration")
    assert len(many.attention) == 32
    np.testing.assert_allclose(many.attention.sum(axis=0), 33 * one.attention[0])
    np.testing.assert_allclose(many.pairs.sum(axis=0), 33 * one.pairs[0])


def test_intervals_from_few_pieces_raise_a_warning(model: Model, pieces: list[np.ndarray]) -> None:
    found = mmt.attention.relative(model, pieces, "pitch")
    with pytest.warns(FewPiecesWarning, match="3 pieces are few: .* use 30 or more"):
        found.confidence()
    many = Relative("pitch", np.arange(2), np.ones((30, 1, 1, 2)), np.ones((30, 2)), np.ones((30, 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        many.confidence()


def test_pieces_without_pairs_do_not_count_in_an_interval() -> None:
    one = np.array([[3.0, 1.0], [1.0, 2.0], [2.0, 2.0]])
    empty = np.concatenate([one, np.zeros((2, 2))])
    of_three, of_five = (Relative("pitch", np.arange(2), sums[:, None, None], sums, sums) for sums in (one, empty))
    np.testing.assert_array_equal(of_three.confidence(of="gamma"), of_five.confidence(of="gamma"))


def test_equal_pieces_have_an_interval_of_width_zero(model: Model, pieces: list[np.ndarray]) -> None:
    low, high = mmt.attention.relative(model, [pieces[0]] * 3, "pitch").confidence()
    np.testing.assert_allclose(low, high, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": 95}, "level is 95; it must be between 0 and 1"),
        ({"of": "loss"}, "of is 'loss'; choose one of gamma"),
    ],
)
def test_invalid_confidence_arguments_raise(
    model: Model, pieces: list[np.ndarray], arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        mmt.attention.relative(model, pieces, "beat").confidence(**arguments)
    with pytest.raises(ValueError, match="at least two"):
        mmt.attention.relative(model, pieces[0], "beat").confidence()


def test_short_pieces_of_a_corpus_are_skipped(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare([TINY / "franz_fuer_einen.mid", TINY / "parry_good_night.mxl"], tmp_path / "corpus", jobs=1)
    corpus = mmt.Corpus(tmp_path / "corpus")
    found = mmt.attention.relative(model, corpus, "duration")
    np.testing.assert_allclose(found.gain, mmt.attention.relative(model, list(corpus), "duration").gain, atol=1e-12)
    short = [piece.__class__(**{**piece.__dict__, "length": 1}) for piece in corpus.pieces[:1]]
    monkeypatch.setattr(corpus, "pieces", short + corpus.pieces[1:])
    assert len(mmt.attention.relative(model, corpus, "duration").attention) == 1
    monkeypatch.setattr(corpus, "pieces", short)
    with pytest.raises(ValueError, match="no piece of two notes"):
        mmt.attention.relative(model, corpus)


def test_corpus_of_another_representation_raises(model: Model, tmp_path: Path) -> None:
    other = Representation.slides()
    prepare([TINY / "franz_fuer_einen.mid"], tmp_path / "slides", jobs=1, representation=other)
    with pytest.raises(ValueError, match=r"the resolution of .*slides is not the model's; prepare"):
        mmt.attention.relative(model, mmt.Corpus(tmp_path / "slides"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda piece: [piece, piece[:4]], "piece 1: it has [01] notes; give at least two"),
        (lambda piece: [piece, piece[::-1]], "piece 1: types or beats decrease"),
        (lambda piece: [piece[:, :5]], r"piece 0: .*\(n, 6\)"),
        (lambda piece: [piece + np.array([0, 0, 0, 0, 70, 0])], "piece 0: row .* duration code"),
        (lambda piece: [], "no pieces"),
        (lambda piece: "data/open", r"pieces is 'data/open', a path; give event arrays, or mmt\.Corpus"),
        (lambda piece: mmt.decode(piece), r"piece 0: .*muspy\.Music; give mmt\.encode"),
        (
            lambda piece: np.array([[3, 1, 1, 61, 12, 25], [3, 200, 1, 61, 12, 25]]),
            "no window of these pieces holds two notes",
        ),
    ],
)
def test_pieces_that_the_model_cannot_read_raise(
    model: Model, pieces: list[np.ndarray], change: object, message: str
) -> None:
    assert callable(change)
    with pytest.raises(ValueError, match=message):
        mmt.attention.relative(model, change(pieces[0]))


def test_one_piece_may_be_an_array_a_list_or_a_tensor(model: Model, pieces: list[np.ndarray]) -> None:
    expected = mmt.attention.relative(model, pieces[:1], "pitch").gamma
    for given in (pieces[0], pieces[0].tolist(), torch.from_numpy(pieces[0])):
        np.testing.assert_array_equal(mmt.attention.relative(model, given, "pitch").gamma, expected)


def test_draw_gain_accepts_the_statistics_of_one_field(model: Model, pieces: list[np.ndarray]) -> None:
    one, all_fields = mmt.attention.relative(model, pieces, "duration"), mmt.attention.relative(model, pieces)
    assert len(mmt.attention.draw_gain(one).axes) == len(mmt.attention.draw_gain(all_fields, fields=["duration"]).axes)


@pytest.mark.parametrize("study", [mmt.attention.relative, mmt.attention.absolute])
def test_unknown_fields_raise(model: Model, pieces: list[np.ndarray], study: object) -> None:
    assert callable(study)
    with pytest.raises(ValueError, match="there is no field 'velocity'; choose one of type, beat, position"):
        study(model, pieces, "velocity")


def test_beats_beyond_the_network_are_read_in_windows(model: Model) -> None:
    notes = np.array([[3, beat, 1, 61 + beat % 3, 12, 25] for beat in (1, 2, 100, 101)])
    found = mmt.attention.relative(model, notes, "beat")
    assert found.pairs[0, -2:].tolist() == [2, 0]
    assert found.pairs.sum() == 2


OPTIONS = Representation(beats=64, drums=True, given=True, length=True)


@pytest.fixture(scope="module")
def pieces_with_options() -> list[np.ndarray]:
    """The beginnings of real pieces, with drums, given notes and a length code."""
    found = []
    for path in sorted(TINY.glob("*.mid"))[:2]:
        table = notes_of_events(mmt.encode(mmt.read(path), beats=20))[:50]
        table["instrument"][::4] = OPTIONS.drums_code
        events = events_of_notes(table, OPTIONS, given=np.arange(len(table)) % 5 > 2)
        events[events[:, TYPE] == START_OF_NOTES, BEAT] = OPTIONS.length_code(20)
        found.append(events)
    return found


@pytest.mark.parametrize("field", range(6))
def test_given_notes_are_excluded_from_pairs(pieces_with_options: list[np.ndarray], field: int) -> None:
    model = model_of(OPTIONS)
    found = mmt.attention.relative(model, pieces_with_options, FIELDS[field])
    for name, expected in plain(model, pieces_with_options, field).items():
        np.testing.assert_allclose(getattr(found, name), expected, atol=1e-6)
    np.testing.assert_allclose(found.gamma.sum(axis=-1), 1)


def test_type_differences_have_both_signs_with_given_notes(pieces_with_options: list[np.ndarray]) -> None:
    found = mmt.attention.relative(model_of(OPTIONS), pieces_with_options, "type")
    assert found.differences.tolist() == list(range(-5, 6))
    # A written note may attend to an earlier given note.
    assert found.pairs[:, found.differences == GIVEN_NOTE - NOTE].all()


def test_report_names_drums_and_given_notes(pieces_with_options: list[np.ndarray], tmp_path: Path) -> None:
    statistics = mmt.attention.measure(model_of(OPTIONS), pieces_with_options)
    write_report(tmp_path / "report", statistics, representation=OPTIONS)
    table = (tmp_path / "report" / "absolute.csv").read_text(encoding="utf-8")
    assert ",drums," in table
    assert ",given note," in table


def test_given_notes_beyond_the_context_raise(pieces_with_options: list[np.ndarray]) -> None:
    long = pieces_with_options[0].copy()
    long[-2, BEAT] = 65
    with pytest.raises(ValueError, match="piece 0: it has given notes and exceeds the model's context"):
        mmt.attention.relative(model_of(OPTIONS), [long])


def test_corpus_with_drums_needs_a_model_with_drums(model: Model, tmp_path: Path) -> None:
    table = notes_of_events(mmt.encode(mmt.read(TINY / "franz_fuer_einen.mid")))
    folders = {
        drums: write_corpus(tmp_path / f"{drums}", {"one": ("valid", table)}, Representation(drums=drums))
        for drums in (False, True)
    }
    mmt.attention.relative(model_of(OPTIONS), mmt.Corpus(folders[False]), "pitch")
    with pytest.raises(ValueError, match="True has drums, and the model does not; prepare a corpus without"):
        mmt.attention.relative(model, mmt.Corpus(folders[True]), "pitch")
    with pytest.raises(ValueError, match="True has drums"):
        likelihood.measure(model, mmt.Corpus(folders[True]))
    assert likelihood.measure(model_of(OPTIONS), mmt.Corpus(folders[True])).notes.tolist() == [len(table)]
