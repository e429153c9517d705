"""The loop guard: the temperature rises while a piece repeats itself beat after beat, until it stops doing so.

A beat repeats if at least nine in ten of its notes, by position, pitch and instrument, occur one period before, for one period of
1 to 8 beats. Each such beat adds one to the streak of its period, and each other beat takes four off it, so that a loop with a
free beat here and there counts as a loop. While the longest streak is above eight, the logits of all fields are divided by
1 + `guard` times what is beyond eight, after the temperature of the filters, and at most by 3. A model that is sampled near its
mode repeats a bar for ever (Holtzman et al. 2020, The curious case of neural text degeneration).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmt.model.compiled import compiled
from mmt.representation.codes import BEAT, GIVEN_NOTE, INSTRUMENT, NOTE, PITCH, POSITION, TYPE, Events
from mmt.sampling.filters import Numbers

PERIODS = 8
_PATIENCE, _MOST, _LOSS = 8, 3.0, 4
# Beats that are remembered; and the size of the table of a beat's notes, where equal hashes are rare.
_BEATS, _SIZE = 16, 4096


class _Memory(NamedTuple):
    """The last beats of each piece of the batch."""

    seen: npt.NDArray[np.bool_]
    """The hashes of the notes of the last beats, (batch, 16, 4096); beat b is at b modulo 16."""
    beat: npt.NDArray[np.int64]
    """The beat of the last note, (batch,); 0 before the first."""
    notes: npt.NDArray[np.int64]
    """The number of notes in this beat, (batch,)."""
    repeated: npt.NDArray[np.int64]
    """How many of them occur 1, …, 8 beats before, (batch, 8)."""
    streak: npt.NDArray[np.int64]
    """How many beats repeated with this period, less four for each beat that did not, (batch, 8)."""


class LoopGuard:
    """Follows the pieces of a batch, and gives the factor of each piece's temperature."""

    def __init__(self, prompts: Sequence[Events], guard: float) -> None:
        """`prompts` are the events (n_i, 6) of each piece so far; `guard` is the rise of the temperature for each beat."""
        batch = len(prompts)
        self.guard = guard
        self.memory = _Memory(
            seen=np.zeros((batch, _BEATS, _SIZE), np.bool_),
            beat=np.zeros(batch, np.int64),
            notes=np.zeros(batch, np.int64),
            repeated=np.zeros((batch, PERIODS), np.int64),
            streak=np.zeros((batch, PERIODS), np.int64),
        )
        for row, prompt in enumerate(prompts):
            _follow(self.memory, np.full(len(prompt), row), np.ascontiguousarray(prompt))

    def factors(self) -> Numbers | None:
        """What the logits of each piece are divided by, (batch, 1); None if that is 1 for all."""
        beyond = self.memory.streak.max(axis=1) - _PATIENCE
        if not (beyond > 0).any():
            return None
        factors: Numbers = np.clip(1 + self.guard * beyond[:, None], 1, _MOST).astype(np.float32)
        return factors

    def follow(self, events: Events) -> None:
        """Take in the next event of each piece (batch, 6), with beats counted from the start of the piece."""
        _follow(self.memory, np.arange(len(events)), events)

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these pieces of the batch, in this order."""
        self.memory = _Memory._make(part[rows] for part in self.memory)


@compiled()
def _follow(memory, rows, events):  # type: ignore[no-untyped-def]
    """Take in events (n, 6) in their order, each of the piece with this row (n,) of the batch."""
    for row, event in zip(rows, events):  # noqa: B905 (Numba's zip takes no `strict`)
        if event[TYPE] not in (NOTE, GIVEN_NOTE):
            continue
        beat = event[BEAT]
        passed = beat - memory.beat[row]
        if passed > 0:
            for lag in range(PERIODS):
                repeats = memory.notes[row] > 0 and 10 * memory.repeated[row, lag] >= 9 * memory.notes[row]
                change = passed if repeats and passed <= PERIODS else -_LOSS * passed
                memory.streak[row, lag] = max(0, memory.streak[row, lag] + change)
                memory.repeated[row, lag] = 0
            for cleared in range(min(passed, _BEATS)):
                memory.seen[row, (beat - cleared) % _BEATS] = False
            memory.notes[row], memory.beat[row] = 0, beat
        code = ((event[POSITION] * 131 + event[PITCH]) * 67 + event[INSTRUMENT]) % _SIZE
        memory.notes[row] += 1
        for lag in range(PERIODS):
            memory.repeated[row, lag] += memory.seen[row, (beat - lag - 1) % _BEATS, code]
        memory.seen[row, beat % _BEATS, code] = True
