"""Pieces longer than the context: the window moves, and the piece stays valid and equally dense."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_models import notes_of

import mmt
from mmt.model.network import Network
from mmt.representation.codes import BEAT, END_OF_SONG, INSTRUMENT, INSTRUMENT_EVENT, NOTE, TYPE, Events
from mmt.representation.prompt import Prompt
from mmt.sampling import window as windows
from mmt.sampling.grammar import Bounds
from mmt.sampling.model import Model
from mmt.sampling.window import KEPT, AnchoredWindow, anchor


@pytest.fixture(scope="module")
def model() -> Model:
    """An untrained model of 128 events and 64 beats that prefers notes and the next beats."""
    model = mmt.new_model("tiny", seed=1)
    with torch.no_grad():
        model.network.heads.fields[TYPE].bias += torch.tensor([0.0, 0.0, 3.0, 9.0, -9.0])
        model.network.heads.fields[BEAT].bias -= 1.5 * torch.arange(65)
    return model


def trio() -> Events:
    return mmt.prompt.instruments("violin", "viola", "cello")


def test_a_piece_of_two_thousand_beats_is_valid_and_keeps_its_instruments_and_its_density(model: Model) -> None:
    piece = model.generate(trio(), seed=0, max_beats=2000, min_beats=2000)[0]
    assert mmt.is_valid(piece, representation=model.representation)
    mmt.decode(piece, representation=model.representation)
    notes = notes_of(piece)
    assert notes[-1, BEAT] == 2000
    assert piece[-1, TYPE] == END_OF_SONG
    assert piece[piece[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT].tolist() == trio()[1:4, INSTRUMENT].tolist()
    for part in np.array_split(notes, 8):
        assert set(part[:, INSTRUMENT]) == set(trio()[1:4, INSTRUMENT])
        assert len(part) / np.ptp(part[:, BEAT]) == pytest.approx(len(notes) / 2000, rel=0.4)


def test_pieces_are_equal_until_the_first_window_is_full(model: Model) -> None:
    long, short = model.generate(trio(), seed=3, max_events=300)[0], model.generate(trio(), seed=3)[0]
    assert len(long) > len(short) > 30
    # The shorter piece is closed at the model's last beat, which the longer piece may exceed.
    same = short[:-1]
    assert np.array_equal(long[: len(same)][same[:, BEAT] < 40], same[same[:, BEAT] < 40])


def test_a_piece_is_the_same_alone_and_in_a_batch(model: Model) -> None:
    many = model.generate(n=64, seed=7, max_events=320)
    assert min(map(len, many)) > 250
    for number in range(4):
        assert np.array_equal(model.generate(n=number + 1, seed=7, max_events=320)[number], many[number])
    with_ends = model.generate(n=9, seed=7, max_events=320, temperature={"type": 6})
    assert len({len(piece) for piece in with_ends}) > 3
    assert np.array_equal(model.generate(n=2, seed=7, max_events=320, temperature={"type": 6})[1], with_ends[1])


def test_a_stream_without_end_is_what_generate_writes(model: Model) -> None:
    piece = model.generate(trio(), seed=2, max_events=400)[0]
    stream = model.stream(trio(), seed=2, max_events=400)
    assert np.array_equal(np.concatenate([trio(), list(stream)]), piece)
    forever = list(itertools.islice(model.stream(trio(), seed=2, endless=True), 500))
    assert all(event[TYPE] == NOTE for event in forever)
    assert mmt.is_valid(np.concatenate([trio(), forever, piece[-1:]]), representation=model.representation)


@pytest.mark.parametrize("grammar", ["strict", "paper"])
def test_a_prompt_may_be_longer_than_the_window_in_events_and_beats(model: Model, grammar: str) -> None:
    whole = mmt.encode(mmt.read("data/tiny/mayer_quartet_in_g_minor.mid"))
    prompt = mmt.prompt.beats(whole, 100)
    assert len(prompt) > 128
    assert prompt.first_beat > 64
    piece = model.generate(prompt, seed=0, grammar=grammar)[0]  # type: ignore[arg-type]
    assert np.array_equal(piece[: len(prompt)], prompt)
    new = notes_of(piece[len(prompt) :])
    assert len(new) > 10
    assert new[:, BEAT].min() > 100
    # Until the window that read the prompt is full.
    window, dropped = anchor(prompt, 128, 64, 100)
    assert len(piece) - len(prompt) <= 128 - len(window)
    assert new[:, BEAT].max() <= dropped + 64
    longer = model.generate(prompt, seed=0, max_events=len(prompt) + 200, grammar=grammar)[0]  # type: ignore[arg-type]
    assert len(longer) > len(piece)
    if grammar == "strict":
        assert mmt.is_valid(longer, representation=model.representation)


def test_a_window_holds_the_instruments_and_the_last_whole_beats() -> None:
    rows = [[NOTE, beat, position, 61, 12, 25] for beat in range(1, 41) for position in (1, 7)]
    piece = np.concatenate([trio()[[0, 1, 4]], rows])
    window, dropped = anchor(piece, 63, 64)
    assert len(window) == 3 + int(KEPT * 60)
    assert np.array_equal(window[:3], piece[:3])
    assert (window[3, BEAT], window[-1, BEAT]) == (1, 40 - dropped)
    assert np.array_equal(window[3:, 2:], piece[-len(window) + 3 :, 2:])
    # By beats, where they are fewer.
    window, dropped = anchor(piece, 1000, 20)
    assert (window[-1, BEAT], dropped, len(window)) == (10, 30, 23)
    # The last notes of a beat that exceeds a window.
    crowd = np.concatenate([piece[:3], [[NOTE, 50, 1 + i // 60, 1 + i % 60, 12, 25] for i in range(200)]])
    window, dropped = anchor(crowd, 63, 64)
    assert (len(window), dropped) == (33, 49)
    assert np.array_equal(window[3:, 2:], crowd[-30:, 2:])
    # If the piece continues after empty beats, those are dropped too.
    window, dropped = anchor(piece[:5], 63, 20, 100)
    assert (len(window), dropped) == (3, 99)


def test_the_network_reads_only_the_window(model: Model) -> None:
    piece = np.concatenate([trio(), [[NOTE, 1 + i // 3, 1 + i % 3, 61, 12, 25] for i in range(150)]])
    window = AnchoredWindow(model.network, 2, Bounds(1000, 1000, context=128))
    seen, dropped = piece[:100], 0
    with torch.inference_mode():
        hidden, moved = window.read(np.stack([seen, seen]))
        for event in piece[100:]:
            event = event - [0, dropped, 0, 0, 0, 0]
            seen = np.concatenate([seen, event[None]])
            hidden, moved = window.read(np.stack([event, event])[:, None])
            if moved is not None:
                seen, more = anchor(seen, 128, 64)
                dropped += more
                assert moved.tolist() == [more, more]
            alone = model.network.hidden(torch.from_numpy(seen)[None])[:, -1]
            torch.testing.assert_close(hidden, alone.expand(2, -1), rtol=0, atol=1e-5)
    assert dropped > 10
    assert window.dropped.tolist() == [dropped, dropped]


def test_the_window_moves_before_its_last_beats(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece with empty beats reaches the network's last beat only if that is the last beat of the piece."""
    latest: list[tuple[int, int]] = []
    plain = windows.AnchoredWindow.read

    def read(window: AnchoredWindow, event: Events) -> tuple[torch.Tensor, Events | None]:
        hidden, moved = plain(window, event)
        latest.append((int(window.codes[0, window.cache.length - 1, BEAT]), int(window.dropped[0])))
        return hidden, moved

    monkeypatch.setattr(windows.AnchoredWindow, "read", read)
    model.generate(trio(), seed=0, max_beats=200, min_beats=200)
    assert max(beat for beat, dropped in latest if dropped + 64 < 200) <= 48
    assert max(latest)[0] > 48
    latest.clear()
    model.generate(trio(), seed=0, min_beats=64)
    assert max(latest) == (64, 0)


def test_the_window_has_room_for_notes_next_to_the_instruments() -> None:
    wanting = mmt.new_model("tiny", seed=0)
    config = wanting.network.config
    object.__setattr__(config, "context", 20)
    with torch.no_grad():
        wanting.network.heads.fields[TYPE].bias[INSTRUMENT_EVENT] += 1e4
        wanting.network.heads.fields[TYPE].bias[NOTE] += 5e3
        for code in range(64):
            wanting.network.heads.fields[INSTRUMENT].bias[code + 1] -= 1e3 * code
    piece = wanting.generate(seed=0, max_events=60)[0]
    assert mmt.is_valid(piece, representation=wanting.representation)
    assert len(piece) == 60
    assert (piece[:, TYPE] == INSTRUMENT_EVENT).sum() == 16
    loose = wanting.generate(seed=0, max_events=60, grammar="paper")[0]
    assert len(loose) <= 60
    assert loose[-1, TYPE] == END_OF_SONG


def test_too_many_instruments_for_the_window_are_refused(model: Model) -> None:
    config = mmt.new_model("tiny").network.config
    small = mmt.new_model("tiny")
    object.__setattr__(small.network.config, "context", 66)
    assert config.context == 128
    with pytest.raises(
        ValueError, match="the prompt has 66 events before its notes, too many for the model's context of 66"
    ):
        small.generate(mmt.prompt.instruments(*small.representation.names), max_events=100)


def test_a_prompt_far_beyond_the_last_beat_is_closed() -> None:
    """A first beat before the window is below all codes of the window."""
    chained = mmt.new_model("tiny", seed=0)
    chained.network = Network(replace(chained.network.config, output="chain")).eval()
    context = chained.network.config.context
    notes = [[NOTE, 1 + i // (context // 3), 1 + i % 12, 1 + i % (context // 3), 12, 25] for i in range(context)]
    beginning = np.concatenate([trio(), sorted(notes)])
    prompt = Prompt(beginning, first_beat=300)
    piece = chained.generate(prompt, seed=1, max_beats=int(beginning[-1, BEAT]), max_events=len(prompt) + 30)[0]
    assert np.array_equal(piece[:-1], beginning)
    assert piece[-1, TYPE] == END_OF_SONG
