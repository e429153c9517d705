"""Options of a representation: drums, given notes and the length, in every function of the package."""

from __future__ import annotations

import muspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import pieces

from mmt.representation.codes import (
    BEAT,
    GIVEN_NOTE,
    INSTRUMENT,
    NOTE,
    PAPER,
    START_OF_NOTES,
    TYPE,
    Events,
    Representation,
    is_note,
)
from mmt.representation.decode import check_codes, decode, notes_of_events
from mmt.representation.encode import canonical, encode, events_of_notes
from mmt.representation.grammar import check_piece, is_valid
from mmt.representation.prompt import beats, instruments, tidy
from mmt.representation.text import to_text

ALL = Representation(drums=True, given=True, length=True)
DRUMS = ALL.drums_code
HEAD = [[0] * 6, [1, 0, 0, 0, 0, 25], [1, 0, 0, 0, 0, 27], [2, 0, 0, 0, 0, 0]]


def plain(piece: Events) -> Events:
    """The piece with its given notes as ordinary notes."""
    notes = piece[is_note(piece)].copy()
    notes[:, TYPE] = NOTE
    return canonical(notes, ALL)


def test_options_add_a_type_and_an_instrument_and_nothing_else() -> None:
    assert ALL.sizes == (6, *PAPER.sizes[1:5], 66)
    assert ALL.names == (*PAPER.names, "drums")
    assert ALL.find_instrument("drums") == DRUMS == 65
    with pytest.raises(ValueError, match="unknown instrument 'drums'"):
        PAPER.find_instrument("drums")


@pytest.mark.parametrize("options", [{}, {"drums": True}, {"given": True, "reach": 4}, {"length": True}])
def test_dictionaries_hold_the_options_that_are_on(options: dict[str, bool | int]) -> None:
    representation = Representation(**options)  # type: ignore[arg-type]
    values = representation.to_dict()
    assert {name for name in values if name in ("drums", "given", "length", "reach")} == set(options)
    assert Representation.from_dict(values) == representation


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"drums": 1}, "drums is 1; it must be true or false"),
        ({"given": True, "beats": 15}, "reach is 8 beats; it must be 1 to half of the 15 beats"),
        ({"reach": 0}, "reach is 0 beats"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Representation(**options)  # type: ignore[arg-type]


@given(pieces(ALL))
def test_decode_takes_given_notes_as_notes(piece: Events) -> None:
    music = decode(piece, representation=ALL)
    np.testing.assert_array_equal(encode(music, representation=ALL)[:-1][-len(plain(piece)) :], plain(piece))
    np.testing.assert_array_equal(notes_of_events(piece, ALL), notes_of_events(plain(piece), ALL))


@given(pieces(ALL))
def test_given_notes_are_placed_reach_beats_before_their_onset(piece: Events) -> None:
    check_piece(piece, representation=ALL)
    for place in np.flatnonzero(piece[:, TYPE] == GIVEN_NOTE):
        moment = (piece[place, 1] - ALL.reach, piece[place, 2])
        before, after = (part[part[:, TYPE] == NOTE] for part in (piece[:place], piece[place:]))
        assert all(tuple(note[1:3]) < moment for note in before)
        assert all(tuple(note[1:3]) >= moment for note in after)


@given(pieces(ALL), st.randoms(use_true_random=False))
def test_tidy_restores_the_order_of_given_notes(piece: Events, random: object) -> None:
    rows = np.flatnonzero(is_note(piece))
    shuffled = piece.copy()
    shuffled[rows] = piece[random.sample(rows.tolist(), len(rows))]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(tidy(shuffled, ALL), piece)


@given(pieces(ALL), st.data())
def test_only_the_canonical_order_is_valid(piece: Events, data: st.DataObject) -> None:
    rows = np.flatnonzero(is_note(piece))
    order = data.draw(st.permutations(rows.tolist()))
    moved = piece.copy()
    moved[rows] = piece[order]
    assert is_valid(moved, representation=ALL) == (moved == piece).all()


def test_a_note_that_is_also_given_is_refused_and_canonical_keeps_the_given_one() -> None:
    note, gift = [3, 1, 1, 61, 12, 25], [5, 1, 1, 61, 12, 25]
    with pytest.raises(ValueError, match="row 5: the note is also a given note"):
        check_piece([*HEAD, gift, note], complete=False, representation=ALL)
    assert canonical(np.array([note, gift]), ALL).tolist() == [gift]


def test_without_the_option_a_given_note_is_an_unknown_type() -> None:
    with pytest.raises(ValueError, match=r"row 4: type 5 is unknown; types are 0 to 4.*given=True"):
        check_codes([*HEAD, [5, 1, 1, 61, 12, 25]], PAPER)


def test_start_of_notes_has_the_length_with_the_option() -> None:
    told = np.array([*HEAD, [3, 1, 1, 61, 12, 25], [4, 0, 0, 0, 0, 0]])
    told[3, BEAT] = ALL.length_code(32)
    check_piece(told, representation=ALL)
    assert "Start of notes: 32 beats" in to_text(told, representation=ALL)
    assert beats(told, representation=ALL)[3].tolist() == [START_OF_NOTES, 0, 0, 0, 0, 0]
    with pytest.raises(ValueError, match="row 3: start-of-notes must have code 0"):
        check_piece(told, representation=PAPER)
    told[3, BEAT] = ALL.beats + 1
    with pytest.raises(ValueError, match="row 3: start-of-notes has beat code 1026"):
        check_piece(told, representation=ALL)


def test_drum_tracks_become_the_instrument_drums_and_come_back() -> None:
    notes = [muspy.Note(time=0, pitch=36, duration=12), muspy.Note(time=12, pitch=38, duration=12)]
    music = muspy.Music(resolution=12, tracks=[muspy.Track(program=0, is_drum=True, notes=notes)])
    events, report = encode(music, representation=ALL, report=True)
    assert set(events[1:2, INSTRUMENT].tolist() + events[3:-1, INSTRUMENT].tolist()) == {DRUMS}
    assert not report.dropped
    (track,) = decode(events, representation=ALL).tracks
    assert (track.is_drum, track.name, [note.pitch for note in track.notes]) == (True, "drums", [36, 38])
    assert encode(music, report=True)[1].dropped == {"drum notes": 2}


def test_instruments_of_a_prompt_may_be_drums() -> None:
    assert instruments("drums", "violin", representation=ALL)[1:3, INSTRUMENT].tolist() == [25, DRUMS]


@pytest.mark.parametrize("names", [("drums", "piano"), ("Drum Kit",), ("rock band",), ("violin",)])
def test_a_prompt_without_a_representation_is_that_of_a_model_with_drums(names: tuple[str, ...]) -> None:
    assert instruments(*names).tolist() == instruments(*names, representation=ALL).tolist()


@pytest.mark.parametrize("name", ["drums", "drum kit", "Drum-Kit", "percussion"])
def test_a_representation_without_drums_says_so(name: str) -> None:
    with pytest.raises(
        ValueError, match=f"unknown instrument '{name}': this model or representation has no drums; leave"
    ):
        instruments(name, representation=PAPER)
    with pytest.raises(ValueError, match=r"this model or representation has no drums; leave .* \(row 1: .* code 65"):
        tidy(instruments(name), PAPER)


def test_given_rows_of_a_note_table_become_given_notes() -> None:
    table = notes_of_events(
        np.array([*HEAD, [3, 1, 1, 61, 12, 25], [3, 12, 1, 61, 12, 27], [3, 13, 1, 61, 12, 27]]), ALL
    )
    events = events_of_notes(table, ALL, given=np.array([False, True, False]))
    assert events[4:, TYPE].tolist() == [NOTE, GIVEN_NOTE, NOTE, 4]
    assert events[4:7, BEAT].tolist() == [1, 12, 13]
