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

import numpy as np
import numpy.typing as npt

from mmt.music.reading.midi_channels import CONTROL, NOTE_OFF, NOTE_ON, Lanes, Sound, lanes, latest, sounds
from mmt.music.reading.midi_tracks import LARGEST_TICK, Integers, MidiEvents

MOST_NOTES = 500_000
_PITCHES = 128
_ALL_OFF = (120, 123, 124, 125, 126, 127)


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

    Raises
    ------
    ValueError
        If there are more than `MOST_NOTES`.
    """
    kind = events.status & 0xF0
    struck = (kind == NOTE_ON) & (events.second > 0)
    released = (kind == NOTE_OFF) | (kind == NOTE_ON) & (events.second == 0)
    if (count := int(struck.sum())) > MOST_NOTES:
        raise ValueError(f"it has {count:,} notes, where mmt reads at most {MOST_NOTES:,}; split it")
    where = lanes(events)
    end = _ends(events, where, struck, released)
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


def _ends(events: MidiEvents, where: Lanes, struck: npt.NDArray[np.bool_], released: npt.NDArray[np.bool_]) -> Integers:
    """The tick at which each event's note ends, if it is a strike; -1 for duplicates."""
    end = np.full(len(struck), -1, np.int64)
    used = np.flatnonzero(struck | released)
    code = where.lane[used] * _PITCHES + events.first[used]
    order = _stable_order(code)
    place, key = used[order], _dense(code[order])
    is_strike = struck[place]
    balanced = np.bincount(key, is_strike) * 2 == np.bincount(key)
    strikes, releases = _pairs(balanced[key], is_strike)
    if (late := strikes > releases).any():
        balanced[key[strikes[late]]] = False
        strikes, releases = _pairs(balanced[key], is_strike)
    end[place[strikes]] = events.tick[place[releases]]
    if len(rest := np.flatnonzero(~balanced[key])):
        _end_unbalanced(events, where, place[rest], is_strike[rest], key[rest], end)
    return end


def _stable_order(values: Integers) -> Integers:
    """What sorts the values, and keeps the order of equal ones: by NumPy's radix sort, which has 16 bits."""
    order = np.argsort(values.astype(np.uint16), kind="stable")
    for shift in range(16, int(values.max(initial=0)).bit_length(), 16):
        order = order[np.argsort((values[order] >> shift).astype(np.uint16), kind="stable")]
    return order


def _dense(code: Integers) -> Integers:
    """Sorted values as 0, 0, 1, ..."""
    dense = np.zeros(len(code), np.int64)
    np.cumsum(code[1:] != code[:-1], out=dense[1:])
    return dense


def _pairs(chosen: npt.NDArray[np.bool_], is_strike: npt.NDArray[np.bool_]) -> tuple[Integers, Integers]:
    """The chosen strikes and releases, paired: the n-th strike of a key with the n-th release of the key."""
    return np.flatnonzero(chosen & is_strike), np.flatnonzero(chosen & ~is_strike)


def _end_unbalanced(
    events: MidiEvents, where: Lanes, place: Integers, is_strike: npt.NDArray[np.bool_], key: Integers, end: Integers
) -> None:
    """Set the ends of the notes whose keys have not as many releases as strikes, or a release before its strike."""
    ticks, strikes, places = events.tick[place].tolist(), is_strike.tolist(), place.tolist()
    names = (where.channel[place] * _PITCHES + events.first[place]).tolist()
    track_ends = events.ends[events.track[place]].tolist()
    lost: list[tuple[int, int]] = []  # strikes without a release: (index, tick at which they end at the latest)
    spare: dict[int, list[int]] = defaultdict(list)  # releases that end nothing: channel and pitch: ticks
    begins = np.flatnonzero(np.diff(key, prepend=-1)).tolist()
    for begin, stop in zip(begins, [*begins[1:], len(ticks)], strict=True):
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
    silences = np.zeros(_PITCHES, bool)
    silences[list(_ALL_OFF)] = True
    offs = np.flatnonzero((events.status & 0xF0 == CONTROL) & silences[events.first])
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
