"""How likely the next note is to be a greater one than the last, before its fields are drawn one after the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmt.model.compiled import compiled
from mmt.representation.codes import Events
from mmt.sampling.ensemble import Mask, Numbers

# The log-probability of what is possible and yet beyond what a float can say.
_LEAST = -1e30
# The share of notes that may be ruled out is at most this, so that its complement has a logarithm.
MOST = 1 - 1e-6


class Foresight(NamedTuple):
    """What is known of the next note of each piece (batch,) before it is drawn."""

    can_follow: Mask
    """Whether there can be one at all."""
    free: Numbers
    """What to add to its logits, (batch, 5, codes), once an earlier field exceeds the floor's: 0, or minus infinity."""
    tied: Numbers
    """The same while the fields before repeat the floor's; a code that repeats it too weighs what may still follow."""
    greater: npt.NDArray[np.float64]
    """The log-probability that it is greater than the floor."""
    beyond: npt.NDArray[np.float64]
    """The log-probability that it is beyond the most beats."""


def foresee(wanted: Numbers, known: Mask, floor: Events, last_beat: Events, max_beats: Events) -> Foresight:
    """Weigh what a network wants of the five fields of the next note.

    Parameters
    ----------
    wanted : ndarray, (batch, 5, codes)
        Logits, each field's as if those before it repeated the floor's.
    known : ndarray of bool, (batch, 5, codes)
        The codes that the note may have if the fields before repeat the floor's, in whatever order.
    floor : ndarray, (batch, 5)
        What it must exceed.
    last_beat : ndarray, (batch,)
        The last beat that it may be on, as far as others must still play.
    max_beats : ndarray, (batch,)
        The last beat of the piece.
    """
    return Foresight(*_foresee(wanted, known, floor, last_beat, max_beats))


@compiled()
def _foresee(wanted, known, floor, last_beat, max_beats):  # type: ignore[no-untyped-def]
    batch, fields, codes = wanted.shape
    can_follow = np.zeros(batch, np.bool_)
    free, tied = np.empty((batch, fields, codes), np.float32), np.empty((batch, fields, codes), np.float32)
    exceeds, beyond = np.empty(batch), np.empty(batch)
    inside, greater, later = np.empty(codes, np.bool_), np.empty(codes, np.bool_), np.empty(codes, np.bool_)
    for row in range(batch):
        # From the last field to the first: whether and how likely the fields from this one on are to exceed the floor's,
        # if all before repeat them. Behind the last there is nothing to exceed it with. However unlikely: what can be
        # is not ruled out by rounding.
        can, likely, total = False, -np.inf, 0.0
        for field in range(fields - 1, -1, -1):
            here, may, at = wanted[row, field], known[row, field], floor[row, field]
            for code in range(codes):
                inside[code] = may[code] and (field > 0 or code <= last_beat[row])
                greater[code] = inside[code] and code > at
                free[row, field, code] = 0 if inside[code] else -np.inf
                tied[row, field, code] = 0 if greater[code] else -np.inf
            total = _log_sum(here, may, 0.0)
            above, repeats = _log_sum(here, greater, total), -np.inf
            if inside[at]:
                tied[row, field, at], repeats = likely, here[at] - total + likely
            can = bool(greater.any()) or (inside[at] and can)
            likely = max(np.logaddexp(above, repeats), _LEAST) if can else -np.inf
        can_follow[row], exceeds[row] = can, likely
        for code in range(codes):
            later[code] = known[row, 0, code] and code > max_beats[row]
        beyond[row] = _log_sum(wanted[row, 0], later, total)
    return can_follow, free, tied, exceeds, beyond


@compiled()
def _log_sum(logarithms, may, total):  # type: ignore[no-untyped-def]
    """The logarithm of the sum of what those that may be are logarithms of, less the total; or the least."""
    most = np.float32(-np.inf)
    for code in range(len(may)):
        if may[code] and logarithms[code] > most:
            most = logarithms[code]
    if most == -np.inf:
        return _LEAST
    shares = 0.0
    for code in range(len(may)):
        if may[code]:
            shares += np.exp(logarithms[code] - most)
    return most - total + np.log(shares)
