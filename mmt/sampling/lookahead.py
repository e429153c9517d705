"""Lookahead of the strict grammar: the probability that the next note sorts after the last, before its fields are drawn."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmt.model.compiled import compiled
from mmt.representation.codes import BEAT, INSTRUMENT, PITCH
from mmt.sampling.state import Mask, Numbers, find_possible

# The log-probability of possible events whose probability underflows.
_LEAST = -1e30
# The largest share of notes that may be ruled out, so that the logarithm of the rest is finite.
_MOST = 1 - 1e-6
# Nats per beat that are added to the logit of an instrument that owes notes.
_OWED_BONUS = 0.25
# The part of an equal share of the notes that is a fair share, and the nats for each note that an instrument has less.
_FAIR, _SHORT_BONUS = 0.5, 0.25
_ZERO = np.float32(0)


class Lookahead(NamedTuple):
    """Probabilities of the next note of each piece (row,), before it is drawn."""

    can_follow: Mask
    """Whether a note can follow, (row,)."""
    repeats: Numbers
    """Log-probability that later fields can still make the note greater, (row, 5): added to the logit of a code that repeats the
    floor's code, where all fields before it do too."""
    leaves: npt.NDArray[np.float64]
    """Log-probability that the next note begins after the last allowed beat, (row,)."""
    instrument_bonus: Numbers
    """Added to the logits of instruments, (row, codes)."""


@compiled()
def look_ahead(logits, ends, rules, state, turn):  # type: ignore[no-untyped-def]
    """The fields of `Lookahead`, from the network's distribution over the next note.

    `logits` (row, codes of all fields) are those of each field, given that the fields before it repeat the floor's codes; `ends`
    (7,) are the offsets of the fields.
    """
    count, (fields, codes) = len(state.floor), rules.known.shape
    can_follow, repeats = np.zeros(count, np.bool_), np.full((count, fields), -np.inf, np.float32)
    leaves, instrument_bonus = np.empty(count), np.zeros((count, codes), np.float32)
    tempered, inside = np.empty(codes, np.float32), np.empty(codes, np.bool_)
    for row in range(count):
        if rules.least_notes:
            share_bonus(state, row, instrument_bonus[row])
        # From the last field to the first: can the fields from this one on exceed the floor's codes if all fields before it
        # repeat them, and with what probability? After the last field nothing can. A tiny probability does not become zero.
        can, likely, floor = False, -np.inf, state.floor[row]
        for field in range(fields - 1, -1, -1):
            begin, at, size = ends[field + 1], floor[field], ends[field + 2] - ends[field + 1]
            for code in range(size):
                tempered[code] = logits[row, begin + code] + (
                    instrument_bonus[row, code] if field == INSTRUMENT - BEAT else _ZERO
                )
            find_possible(rules, state, turn, row, field, floor[0], floor[PITCH - BEAT], turn.forced[row], inside)
            # Beats after the last allowed one count in the total.
            may = rules.known[0] if field == 0 else inside
            total = _log_sum(tempered, may, np.int64(0), size, 0.0)  # Numba compiles a separate form for a literal 0
            above, repeated = _log_sum(tempered, inside, at + 1, size, total), -np.inf
            greater = bool(inside[max(at + 1, 0) : size].any())
            if 0 <= at < size and inside[at]:
                repeats[row, field], repeated = likely, tempered[at] - total + likely
                greater = greater or can
            can = greater
            likely = max(np.logaddexp(above, repeated), _LEAST) if can else -np.inf
        can_follow[row] = can
        if floor[0] >= min(state.max_beats[row], rules.beats):
            # In the last beat, all probability that is not allowed counts as that of the next beat.
            leaves[row] = np.log1p(-min(np.exp(likely), _MOST))
        else:
            leaves[row] = _log_sum(tempered, rules.known[0], state.max_beats[row] + 1, size, total)
    return can_follow, repeats, leaves, instrument_bonus


@compiled()
def share_bonus(state, row, bonus):  # type: ignore[no-untyped-def]
    """Fill in what is added to the logit of each instrument (codes,) with `use_all`.

    For a declared instrument, it is 0.25 for each beat since the prompt as long as the instrument owes notes, and 0.25 for each
    note that it has less than half an equal share of the notes since the prompt.
    """
    waited = max(state.last_beat[row] - state.waits_from[row], 0)
    declared = state.declared[row]
    fair = _FAIR * state.notes[row].sum() / max(declared.sum(), 1)
    for code in range(len(bonus)):
        if declared[code]:
            owes = state.owed[row, code] > 0
            bonus[code] = _OWED_BONUS * waited * owes + _SHORT_BONUS * max(fair - state.notes[row, code], 0.0)


@compiled()
def share_with_end(note, end, leaves):  # type: ignore[no-untyped-def]
    """Logits of a note and of the end, after the probability of notes after the last beat has moved to the end."""
    return note + np.log1p(-min(np.exp(leaves), _MOST)), np.logaddexp(end, note + leaves)


@compiled()
def _log_sum(logarithms, may, first, stop, total):  # type: ignore[no-untyped-def]
    """log(sum(exp(logarithms))) over the allowed codes first … stop - 1, minus `total`; `_LEAST` if there are none."""
    first, most = max(first, 0), np.float32(-np.inf)
    for code in range(first, stop):
        if may[code] and logarithms[code] > most:
            most = logarithms[code]
    if most == -np.inf:
        return _LEAST
    shares = 0.0
    for code in range(first, stop):
        if may[code]:
            shares += np.exp(logarithms[code] - most)
    return most - total + np.log(shares)
