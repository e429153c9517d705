"""Reorchestrate a piece: keep its notes, and draw which instrument plays each of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Unpack, overload

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mmt.representation.codes import BEAT, INSTRUMENT, NOTE, PITCH, TYPE, Events, Representation
from mmt.sampling.controls import Controls, Ranges
from mmt.sampling.decoding import Heads
from mmt.sampling.editing.constrained_decoding import Codes, rows_in_window, write_constrained
from mmt.sampling.editing.parts import Names, SeedAndFilters, assemble, codes_for, header_for, settings_of, split
from mmt.sampling.filters import Filters, draw
from mmt.sampling.model import Model, check_model


@dataclass(frozen=True)
class Orchestration:
    """How many notes of a piece were kept when it was reorchestrated."""

    notes: int
    """Notes of the given piece, without drums."""
    kept: int
    lost_doubles: int
    """Notes lost from unisons that have more notes than there are instruments that can play them."""

    def __str__(self) -> str:
        lost = f"; lost: {self.lost_doubles:,} doubles in unisons of more notes than instruments"
        return f"{self.kept:,} of {self.notes:,} notes kept{lost if self.lost_doubles else ''}"


@overload
def reorchestrate(
    model: Model, piece: npt.ArrayLike, instruments: Names, *, ranges: Ranges = ..., report: Literal[True],
    **options: Unpack[SeedAndFilters],
) -> tuple[list[Events], Orchestration]: ...  # fmt: skip
@overload
def reorchestrate(
    model: Model, piece: npt.ArrayLike, instruments: Names, *, ranges: Ranges = ..., report: Literal[False] = ...,
    **options: Unpack[SeedAndFilters],
) -> list[Events]: ...  # fmt: skip
def reorchestrate(
    model: Model,
    piece: npt.ArrayLike,
    instruments: Names,
    *,
    ranges: Ranges = False,
    report: bool = False,
    **options: Unpack[SeedAndFilters],
) -> list[Events] | tuple[list[Events], Orchestration]:
    """Keep the notes of a piece and give them to other instruments.

    Parameters
    ----------
    piece : array_like of int, (n, 6)
    instruments : sequence of str or int
        The new instruments: names or MIDI program numbers.
    ranges
        As for `Model.generate`.
    report : bool
        Whether to return an `Orchestration` too, which counts notes lost in unisons of more notes than instruments.
    **options
        See `mmt.sampling.editing.parts.SeedAndFilters`.

    Returns
    -------
    pieces : list of ndarray of int64, (n_i, 6)
    report : Orchestration
        Only if `report` is true.

    Raises
    ------
    ValueError
        If an instrument is unknown or is the drums, which keep their notes and get no others, or if none of the instruments can
        play a note.

    Examples
    --------
    >>> from mmt.sampling.model import new_model
    >>> model = new_model("tiny", seed=0)
    >>> piece = model.generate(seed=1, max_events=16)[0]
    >>> anew = reorchestrate(model, piece, ["flute", "oboe"], seed=0)[0]
    >>> anew[1:3, INSTRUMENT].tolist(), set(anew[4:-1, INSTRUMENT].tolist()) <= {45, 50}
    ([45, 50], True)
    """
    check_model(model)
    streams, filters, _, progress = settings_of(model, options, SeedAndFilters)
    representation = model.representation
    codes = codes_for(instruments, representation)
    drums, notes = _without_drums(split(model, piece)[1], codes, representation)
    playable = _playable(notes, codes, ranges, representation)
    unisons = _unisons(notes, playable)
    kept = sum(count for _, count in unisons)
    writers = [Orchestrator(unisons, playable, filters) for _ in streams]
    header, beats = header_for(codes, representation), int(notes[-1, BEAT])
    pieces = write_constrained(model, header, writers, streams, notes=kept, beats=beats, progress=progress)
    if len(drums):
        header = header_for([*codes, representation.drums_code], representation)
        pieces = [assemble(header, [one[one[:, TYPE] == NOTE], drums], representation) for one in pieces]
    return (pieces, Orchestration(len(notes), kept, len(notes) - kept)) if report else pieces


def _without_drums(notes: Events, codes: Sequence[int], representation: Representation) -> tuple[Events, Events]:
    """The notes of drums and all others; an error if there are no others, or drums are among the new instruments."""
    is_drum = notes[:, INSTRUMENT] == representation.drums_code
    if representation.drums_code in codes or is_drum.all():
        raise ValueError(
            "drums keep their notes and get no others; name other instruments, and give a piece with other notes"
        )
    return notes[is_drum], notes[~is_drum]


def _unisons(notes: Events, playable: npt.NDArray[np.bool_]) -> list[tuple[Codes, int]]:
    """The unisons of notes: (beat, position, pitch, duration), and how many instruments can play it at most."""
    unisons, counts = np.unique(notes[:, BEAT:INSTRUMENT], axis=0, return_counts=True)
    counts = np.minimum(counts, playable[unisons[:, PITCH - BEAT]].sum(axis=1))
    return list(zip(map(tuple, unisons.tolist()), counts.tolist(), strict=True))


def _playable(
    notes: Events, codes: Sequence[int], ranges: Ranges, representation: Representation
) -> npt.NDArray[np.bool_]:
    """Which of the instruments can play which pitch, (pitch codes, instrument codes); an error if none can play a note."""
    playable = np.zeros((representation.sizes[PITCH], representation.sizes[INSTRUMENT]), bool)
    playable[1:, codes] = True
    controls = Controls.of(representation, ranges=ranges)
    if controls.playable is not None:
        playable &= controls.playable
    lost = notes[~playable[notes[:, PITCH]].any(axis=1)]
    if len(lost):
        beat, pitch = lost[0, BEAT] - 1, lost[0, PITCH] - 1
        raise ValueError(
            f"none of the instruments may play pitch {pitch} (beat {beat}; {len(lost)} such notes); add one that can"
        )
    return playable


class Orchestrator:
    """A `Writer` that keeps the notes of a piece and draws the instrument of each.

    `playable` (pitch codes, instrument codes) is true where an instrument can play a pitch. The instruments of a unison are drawn
    in ascending order; each draw leaves enough higher codes for the remaining notes.
    """

    def __init__(self, unisons: Sequence[tuple[Codes, int]], playable: npt.NDArray[np.bool_], filters: Filters) -> None:
        self.playable, self.filters = playable, filters
        # Each note, and how many notes of its unison follow it.
        self.notes = deque((note, left) for note, count in unisons for left in reversed(range(count)))
        self.last: Codes = ()

    def __call__(self, heads: Heads, hidden: Tensor, dropped: int, random: np.random.Generator) -> Codes | None:
        if not self.notes:
            return None
        note, left = self.notes.popleft()
        able = np.flatnonzero(self.playable[note[PITCH - BEAT]])
        if self.last[:-1] == note:
            able = able[able > self.last[-1]]
        allowed = np.zeros(self.playable.shape[1], bool)
        allowed[able[: len(able) - left]] = True
        event = rows_in_window([(NOTE, *note, 0)], dropped, heads, hidden)
        logits = self.filters.temper(heads.field(INSTRUMENT, hidden, event), INSTRUMENT)
        logits = self.filters.apply(np.where(allowed, logits, np.float32(-np.inf)), INSTRUMENT)
        self.last = (*note, int(draw(logits, random.random(1, dtype=np.float32))[0]))
        return (NOTE, *self.last)
