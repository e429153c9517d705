"""Hypothesis strategies: valid pieces of any shape, as event arrays in canonical form, and music that encodes to them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from mmt.representation.codes import GIVEN_NOTE, NOTE, PAPER, PITCHES, TYPE, Events, Representation
from mmt.representation.encode import canonical, frame


def notes(representation: Representation = PAPER, *, beats: int = 40) -> st.SearchStrategy[tuple[int, ...]]:
    """One note as an event: any code that a note may have, its beat one of the first `beats`."""
    sizes = (beats + 1, *representation.sizes[2:])
    return st.tuples(st.just(NOTE), *(st.integers(1, size - 1) for size in sizes))


def pieces(
    representation: Representation = PAPER, *, beats: int = 40, max_notes: int = 30, end: bool = True
) -> st.SearchStrategy[Events]:
    """Whole pieces (n, 6) in canonical form, with one to `max_notes` notes, some of them given if that option is on."""

    def piece(rows: list[tuple[int, ...]]) -> Events:
        notes = np.array(rows, np.int64)
        if representation.given:
            # Given notes are chosen by a function of the notes, so that examples shrink.
            notes[notes[:, 1:].sum(axis=1) % 3 == 0, TYPE] = GIVEN_NOTE
        return frame(canonical(notes, representation), end=end)

    # Sometimes few pitches and beats, so that notes often coincide.
    crowded = st.tuples(
        st.just(NOTE), st.integers(1, 2), st.integers(1, 2), st.integers(60, 61), st.integers(1, 2), st.integers(1, 2)
    )
    rows = st.lists(st.one_of(notes(representation, beats=beats), crowded), min_size=1, max_size=max_notes)
    return rows.map(piece)


def raw_rows(resolution: int) -> st.SearchStrategy[list[tuple[int, int, int, int, bool]]]:
    """Notes of files: (onset in ticks, duration in ticks, pitch, program, is drum), with drums and all programs."""
    return st.lists(
        st.tuples(
            st.integers(0, 20 * resolution),
            st.integers(0, 20 * resolution),
            st.integers(0, PITCHES - 1),
            st.one_of(st.integers(0, 127), st.sampled_from([0, 1, 40, 41, 110, 120])),
            st.sampled_from([False, False, False, True]),
        ),
        max_size=25,
    )
