"""Pairing strikes (note-on events) with releases (note-off events, or note-on of velocity 0) into notes.

A release ends the earliest strike of its key that still sounds, in its own track. Files lose releases and double strikes: if a
key has fewer releases than strikes,

- a release belongs to the latest strike before it, and a strike without one ends where its key is struck again;
- strikes of one tick with fewer releases are one note;
- a last strike without a release ends with a release of its key in another track of the channel that releases nothing there,
  else with its track.

All sound off, all notes off and the mode messages (controllers 120 and 123 to 127) end what sounds on their channel, but no
notes of another track if both tracks have programs of their own in the channel: then they are different instruments.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mmt.music.reading.midi_channels import CONTROL, NOTE_ON, Lanes, Sound, lanes, latest, sounds
from mmt.music.reading.midi_tracks import LARGEST_TICK, Integers, MidiEvents, runs

MOST_NOTES = 500_000
_PITCHES = 128
_IS_ALL_OFF = np.isin(np.arange(128), (120, 123, 124, 125, 126, 127))  # by controller


@dataclass(frozen=True)
class MidiNotes:
    """The notes of a MIDI file: arrays (n,), in the file's order, track by track."""

    track: Integers
    channel: Integers
    """16 times the port, plus 0 to 15."""
    onset: Integers
    """Ticks."""
    end: Integers
    """Ticks."""
    pitch: Integers
    velocity: Integers
    program: Integers
    is_drum: npt.NDArray[np.bool_]


def notes(events: MidiEvents) -> MidiNotes:
    """The notes of a file.

    A `ValueError` refuses more than `MOST_NOTES`.
    """
    kind = events.status & 0xF0
    struck = (kind == NOTE_ON) & (events.second > 0)
    if (count := int(struck.sum())) > MOST_NOTES:
        raise ValueError(f"it has {count:,} notes, where mmt reads at most {MOST_NOTES:,}; split it")
    where = lanes(events)
    end = _ends(events, where, struck, kind <= NOTE_ON)  # the kind before it is note-off
    strikes = np.flatnonzero(struck)
    strikes = strikes[end[strikes] >= 0]
    sound, owners = sounds(events, where, strikes)
    ends = np.minimum(end[strikes], _silenced(events, where, strikes, owners))
    return MidiNotes(
        events.track[strikes],
        where.channel[strikes],
        events.tick[strikes],
        ends,
        _transposed(events.first[strikes], sound),
        events.second[strikes].astype(np.int64),
        sound.program,
        sound.is_drum,
    )


def _ends(events: MidiEvents, where: Lanes, struck: npt.NDArray[np.bool_], used: npt.NDArray[np.bool_]) -> Integers:
    """The tick at which each event's note ends, if it is a strike; -1 for others and for duplicates.

    `used`: whether it is a strike or a release.
    """
    end = np.full(len(struck), -1, np.int64)
    strikes, of_strikes = _by_key(events, where, np.flatnonzero(struck))
    releases, of_releases = _by_key(events, where, np.flatnonzero(used & ~struck))
    if np.array_equal(of_strikes, of_releases) and (strikes < releases).all():
        end[strikes] = events.tick[releases]  # as in most files: the n-th strike of a key ends with its n-th release
        return end
    place, key = _by_key(events, where, np.flatnonzero(used))
    is_strike = struck[place]
    starts, counts = runs(key)
    sounding = np.append(0, np.cumsum(np.where(is_strike, 1, -1)))  # strikes less releases before each event
    is_balanced = sounding[starts] == sounding[starts + counts]
    is_balanced &= np.minimum.reduceat(sounding[1:], starts) >= sounding[starts]
    balanced = np.repeat(is_balanced, counts)
    _end_unbalanced(events, where, place[~balanced], is_strike[~balanced], counts[~is_balanced], end)
    end[place[balanced & is_strike]] = events.tick[place[balanced & ~is_strike]]
    return end


def _by_key(events: MidiEvents, where: Lanes, place: Integers) -> tuple[Integers, Integers]:
    """Events ordered by the keys of each lane, as indices and keys."""
    code = where.lane[place] * _PITCHES + events.first[place]
    order = _stable_order(code)
    return place[order], code[order]


def _stable_order(values: Integers) -> Integers:
    """The indices that sort the values and keep the order of equal ones, by NumPy's radix sort of 16 bits."""
    order = np.argsort(values.astype(np.uint16), kind="stable")
    for shift in range(16, int(values.max(initial=0)).bit_length(), 16):
        order = order[np.argsort((values[order] >> shift).astype(np.uint16), kind="stable")]
    return order


def _end_unbalanced(
    events: MidiEvents, where: Lanes, place: Integers, is_strike: npt.NDArray[np.bool_], counts: Integers, end: Integers
) -> None:
    """Set the ends of the notes whose keys have not as many releases as strikes, or a release before its strike.

    `place` and `is_strike` describe the strikes and releases of these keys, key by key; `counts` how many each key has.
    """
    ticks, strikes, places = events.tick[place].tolist(), is_strike.tolist(), place.tolist()
    names = (where.channel[place] * _PITCHES + events.first[place]).tolist()
    track_ends = events.ends[events.track[place]].tolist()
    lost: list[tuple[int, int]] = []  # strikes without a release: (index, tick at which they end at the latest)
    spare: dict[int, list[int]] = defaultdict(list)  # releases that end nothing: channel and pitch: ticks
    for begin, stop in pairwise([0, *np.cumsum(counts).tolist()]):
        matched, without = _match(ticks[begin:stop], strikes[begin:stop])
        following = None
        for at in range(stop - 1, begin - 1, -1):
            if strikes[at]:
                if (released := matched.get(at - begin)) is not None:
                    end[places[at]] = released
                elif following is None:
                    lost.append((at, track_ends[at]))
                elif following > ticks[at]:
                    lost.append((at, following))
                following = ticks[at]
        spare[names[begin]] += (ticks[begin + at] for at in without)
    for releases in spare.values():
        releases.sort()
    for at, latest_end in lost:
        releases = spare[names[at]]
        found = bisect_right(releases, ticks[at])
        end[places[at]] = min([latest_end, *releases[found : found + 1]])


def _match(ticks: list[int], is_strike: list[bool]) -> tuple[dict[int, int], list[int]]:
    """The ends of a key's strikes that have a release, by index; and the releases that end nothing.

    Which strikes have one is found from the latest on; then the earliest of these ends first.
    """
    earlier: list[int] = []
    now: list[int] = []  # the strikes of the present tick: a release at the tick of the next strike ends the one before
    matched, releases, without = [], [], []
    for at, tick in enumerate(ticks):
        if now and ticks[now[0]] != tick:
            earlier += now
            now = []
        if is_strike[at]:
            now.append(at)
        elif sounding := earlier or now:
            matched.append(sounding.pop())
            releases.append(tick)
        else:
            without.append(at)
    return dict(zip(sorted(matched), releases, strict=True)), without


def _silenced(events: MidiEvents, where: Lanes, strikes: Integers, owners: Integers) -> Integers:
    """The tick after its onset at which each strike is ended by a controller; `LARGEST_TICK` if it is not."""
    offs = np.flatnonzero(events.status & 0xF0 == CONTROL)
    offs = offs[_IS_ALL_OFF[events.first[offs]]]
    if not len(offs):
        return np.full(len(strikes), LARGEST_TICK)
    tick = np.append(events.tick[offs], LARGEST_TICK)

    def first(series: Integers, of: Integers, among: npt.NDArray[np.bool_] | slice = slice(None)) -> Integers:
        after = latest(
            series[offs][among], LARGEST_TICK + 1 - tick[:-1][among], of, LARGEST_TICK - events.tick[strikes]
        )
        return np.append(tick[:-1][among], LARGEST_TICK)[after]

    lane, channel = where.lane[strikes], where.channel[strikes]
    from_owner = np.isin(where.lane[offs], np.intersect1d(owners, lane))
    of_others = np.minimum(first(where.lane, lane), first(where.channel, channel, ~from_owner))
    return np.where(np.isin(lane, owners), of_others, first(where.channel, channel))


def _transposed(pitch: Integers, sound: Sound) -> Integers:
    """Pitches with their coarse tuning; those that leave 0 to 127 are moved back by octaves."""
    if not sound.transposition.any():
        return pitch.astype(np.int64)
    pitch = pitch + sound.transposition
    return np.where(pitch < 0, pitch % 12, np.where(pitch > 127, 116 + (pitch - 116) % 12, pitch))
