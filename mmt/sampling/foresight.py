"""How likely the next note is to be a greater one than the last, before its fields are drawn one after the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmt.model.compiled import compiled
from mmt.representation.codes import BEAT, INSTRUMENT, PITCH, Events
from mmt.sampling.state import Mask, Numbers, Rules, State, Turn, find_possible

# The log-probability of what is possible and yet beyond what a float can say.
_LEAST = -1e30
# The share of notes that may be ruled out is at most this, so that its complement has a logarithm.
_MOST = 1 - 1e-6
# An instrument that has not played becomes likelier with every beat that it waits, by so much (nats a beat).
_PATIENCE = 0.25
_ZERO = np.float32(0)


class Foresight(NamedTuple):
    """What is known of the next note of each piece (row,) before it is drawn."""

    can_follow: Mask
    """Whether there can be one at all."""
    repeats: Numbers
    """(row, 5): what to add to the logit of a code that repeats the floor's, as those before it do: what may still follow."""
    leaves: npt.NDArray[np.float64]
    """The log-probability that it is beyond the most beats, or that the piece would go on there."""
    longing: Numbers
    """(row, codes): what to add to the logits of instruments."""


def foresee(logits: Numbers, ends: Events, rules: Rules, state: State, turn: Turn) -> Foresight:
    """Weigh what a network wants of the next note.

    Parameters
    ----------
    logits : ndarray, (row, codes of all fields)
        Each field's as if those before it repeated the floor's.
    ends : ndarray, (7,)
        Where each field's begin, and the last one's end.
    """
    return Foresight(*_foresee(np.ascontiguousarray(logits), ends, rules, state, turn))


@compiled()
def _foresee(logits, ends, rules, state, turn):  # type: ignore[no-untyped-def]
    count, (fields, codes) = len(state.floor), rules.known.shape
    can_follow, repeats = np.zeros(count, np.bool_), np.full((count, fields), -np.inf, np.float32)
    leaves, longing = np.empty(count), np.zeros((count, codes), np.float32)
    wanted, inside = np.empty(codes, np.float32), np.empty(codes, np.bool_)
    for row in range(count):
        if rules.use_all:
            waited = max(state.last_beat[row] - rules.waits_from, 0)
            for code in range(codes):
                longing[row, code] = _PATIENCE * waited * (state.declared[row, code] and not state.played[row, code])
        # From the last field to the first: whether and how likely the fields from this one on are to exceed the floor's,
        # if all before repeat them. Behind the last there is nothing to exceed it with. However unlikely: what can be
        # is not ruled out by rounding.
        can, likely, floor = False, -np.inf, state.floor[row]
        for field in range(fields - 1, -1, -1):
            begin, at, size = ends[field + 1], floor[field], ends[field + 2] - ends[field + 1]
            for code in range(size):
                wanted[code] = logits[row, begin + code] + (longing[row, code] if field == INSTRUMENT - BEAT else _ZERO)
            find_possible(rules, state, turn, row, field, floor[0], floor[PITCH - BEAT], turn.forced[row], inside)
            # Of the beat, what the network wants beyond the last counts too.
            may = rules.known[0] if field == 0 else inside
            total = _log_sum(wanted, may, 0, size, 0.0)
            above, repeated = _log_sum(wanted, inside, at + 1, size, total), -np.inf
            greater = bool(inside[max(at + 1, 0) : size].any())
            if 0 <= at < size and inside[at]:
                repeats[row, field], repeated = likely, wanted[at] - total + likely
                greater = greater or can
            can = greater
            likely = max(np.logaddexp(above, repeated), _LEAST) if can else -np.inf
        can_follow[row] = can
        if floor[0] >= min(state.max_beats[row], rules.beats):
            # At the last beat, whatever the network wants and cannot have is to go on to the next one.
            leaves[row] = np.log1p(-min(np.exp(likely), _MOST))
        else:
            leaves[row] = _log_sum(wanted, rules.known[0], state.max_beats[row] + 1, size, total)
    return can_follow, repeats, leaves, longing


@compiled()
def share_with_end(note, end, leaves):  # type: ignore[no-untyped-def]
    """The logits of a note and of the end when the share of notes that would leave the last beat goes to the end."""
    return note + np.log1p(-min(np.exp(leaves), _MOST)), np.logaddexp(end, note + leaves)


@compiled()
def _log_sum(logarithms, may, first, behind, total):  # type: ignore[no-untyped-def]
    """The logarithm of the sum of what those from `first` on that may be are logarithms of, less the total; or the least."""
    first, most = max(first, 0), np.float32(-np.inf)
    for code in range(first, behind):
        if may[code] and logarithms[code] > most:
            most = logarithms[code]
    if most == -np.inf:
        return _LEAST
    shares = 0.0
    for code in range(first, behind):
        if may[code]:
            shares += np.exp(logarithms[code] - most)
    return most - total + np.log(shares)
