"""Augmentation: random choice of the pieces, starts and changes of training windows. Functions over note tables.

The windows of a pool of steps are planned together (`plan_windows`); each window then has its own random stream for
choices that depend on its notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmt.corpus.pieces import Patterns
from mmt.corpus.storage import Corpus
from mmt.representation.codes import PITCHES, Representation
from mmt.representation.notes import NoteTable

# After the region, this many beats of given notes stand in a window, so that a network learns to write nothing more.
TAIL = 4
# Spans of regions in beats, log-uniform.
_SHORTEST, _LONGEST = 2, 64
# What a region covers, and how often it is drawn: some parts in a span of beats, some parts in all beats, all parts in a span.
NO_REGION, PARTS_IN_SPAN, WHOLE_PARTS, SPAN = range(4)
_KINDS = (PARTS_IN_SPAN, WHOLE_PARTS, SPAN)
_KIND_SHARES = (0.4, 0.3, 0.3)
_FOREVER = np.iinfo(np.int32).max

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Augmentation:
    """How the windows of a training step are drawn. The defaults are the paper's."""

    pitch_shift: tuple[int, int] = (-5, 6)
    """Lowest and highest transposition in semitones, drawn uniformly within the range of MIDI pitches; drums stay."""
    start_share: float = 0.0
    """The share of windows that begin at the beginning of their piece; the others begin at any beat."""
    length_exponent: float = 0.0
    """Pieces are drawn in proportion to (number of notes) ** this exponent: 0 uniformly, 1 in proportion to length."""
    given_share: float = 0.0
    """The share of windows with a region to be written; all other notes from its start on are given (`representation.given`)."""
    length_share: float = 0.0
    """The share of windows whose start-of-notes has the number of beats to the piece's end (`representation.length`)."""
    substitution_share: float = 0.0
    """The share of windows in which some instruments are substituted by others (see `mmt.corpus.substitution`)."""
    min_beats: int = 0
    """Windows that begin within their piece begin at least this many beats, about, before its end: a window looks like a whole
    piece, and so few pieces are that short."""

    def __post_init__(self) -> None:
        if not -PITCHES < self.pitch_shift[0] <= 0 <= self.pitch_shift[1] < PITCHES:
            raise ValueError(
                f"pitch_shift is {self.pitch_shift}; give a lowest of at most 0 and a highest of at least 0 semitones"
            )
        for name in ("start_share", "length_exponent", "given_share", "length_share", "substitution_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be between 0 and 1")
        if self.min_beats < 0:
            raise ValueError(f"min_beats is {self.min_beats}; it must be at least 0")

    def check_fits(self, representation: Representation) -> None:
        """Raise a `ValueError` if windows would need an option that the representation does not have."""
        for name in ("given", "length"):
            if getattr(self, f"{name}_share") > 0 and not getattr(representation, name):
                raise ValueError(
                    f"{name}_share is {getattr(self, f'{name}_share')}, and the representation has no {name}; "
                    f"set representation.{name}=true, or leave out {name}_share"
                )


@dataclass(frozen=True)
class Region:
    """The notes to be written: those of some parts in a span of beats. All notes of other parts and after it are given."""

    first: int
    """The first beat of the span."""
    stop: int
    """The beat after its last."""
    parts: npt.NDArray[np.bool_]
    """Whether an instrument belongs to it, by code, (256,)."""

    def given(self, notes: NoteTable) -> npt.NDArray[np.bool_]:
        """Which notes of a piece are given, (n,): those of other parts from the first beat on, and all after the span."""
        beside: npt.NDArray[np.bool_] = (notes["beat"] >= self.first) & ~self.parts[notes["instrument"]]
        return beside | (notes["beat"] >= self.stop)


NOTHING_GIVEN = Region(_FOREVER, _FOREVER, np.ones(256, bool))


def plan_windows(random: np.random.Generator, augmentation: Augmentation, notes: Codes) -> Codes:
    """Draw the regions of windows, given their numbers of notes, (windows,).

    Regions begin in the later part of a window more often than in the earlier (at two thirds on average), since at
    generation the notes before a region usually fill the context.

    Returns
    -------
    plan : ndarray of int64, (windows, 4)
        Seed of the random stream of the window; kind of region (`NO_REGION`, `PARTS_IN_SPAN`, `WHOLE_PARTS` or `SPAN`); index,
        from the window's first note, of the note at whose beat the region begins; length of the region's span in beats.
    """
    count = len(notes)
    seeds = random.integers(2**63, size=count)
    drawn = random.choice(_KINDS, count, p=_KIND_SHARES)
    kinds = np.where(random.random(count) < augmentation.given_share, drawn, NO_REGION)
    places = np.sqrt(random.random(count)) * notes
    beats = np.rint(_SHORTEST * (_LONGEST / _SHORTEST) ** random.random(count))
    return np.stack([seeds, kinds, places.astype(np.int64), beats.astype(np.int64)], axis=1)


def expected_notes(plan: Codes, notes: Codes, density: Floats, reach: int) -> Codes:
    """About how many notes each window will hold, since it ends soon after its region, (windows,).

    `notes` is the number of notes without regions, `density` that of notes per beat of the piece, both (windows,).
    """
    _, kinds, places, beats = plan.T
    cut = places + ((beats + TAIL + reach) * density).astype(np.int64)
    return np.where((kinds == PARTS_IN_SPAN) | (kinds == SPAN), np.minimum(notes, cut), notes)


def draw_region(random: np.random.Generator, notes: NoteTable, kind: int, place: int, beats: int) -> Region:
    """The region of a window with at least one note; `kind`, `place` and `beats` are those of its plan."""
    parts = np.ones(256, bool)
    playing = np.unique(notes["instrument"])
    first = int(notes["beat"][place % len(notes)])
    stop = first + beats
    if kind == SPAN or len(playing) == 1:
        return Region(first, stop, parts)
    if kind == WHOLE_PARTS:
        first, stop = int(notes["beat"][0]), _FOREVER
    inside = (notes["beat"] >= first) & (notes["beat"] < stop)
    # One part that sounds in the span, and others, which may be silent there; at least one stays given.
    certain = random.choice(np.unique(notes["instrument"][inside]))
    others = random.permutation(playing[playing != certain])
    parts[others[random.integers(len(others)) :]] = False
    return Region(first, stop, parts)


def fitting_shift(notes: NoteTable, shift: int, allowed: tuple[int, int], drums: int) -> int:
    """The transposition of a piece, wrapped into the shifts that keep its pitches, except drums, in the MIDI range."""
    pitches = notes["pitch"]
    if drums:
        pitches = pitches[notes["instrument"] != drums]
    lowest, highest = int(pitches.min(initial=PITCHES - 1)), int(pitches.max(initial=0))
    low, high = max(allowed[0], -lowest), min(allowed[1], PITCHES - 1 - highest)
    return low + (shift - low) % (high - low + 1)


def piece_weights(corpus: Corpus, length_exponent: float, factors: Mapping[str, float]) -> Floats:
    """The relative frequency of each piece of a corpus, (pieces,): length ** exponent times the factors of `Patterns`.

    A `ValueError` refuses a pattern that matches no piece.
    """
    weights: Floats = np.array([piece.length for piece in corpus.pieces]).astype(float) ** length_exponent
    for pattern, factor in factors.items():
        patterns = Patterns([pattern])
        weights[[patterns.match(piece) for piece in corpus.pieces]] *= factor
        patterns.check(str(corpus.folder), "weighs", "; leave it out of data.weights (data.weights={} for none)")
    return weights
