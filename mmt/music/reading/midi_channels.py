"""Programs, drums and transposition of the notes of a MIDI file.

A program belongs to a channel of a port, and the tracks of a file play together (type 1). So a program that one track sets
holds in all tracks, with one exception: files from sequencers have many tracks on channel 1, each with a program of its own. A
track that sets a program in a channel therefore keeps to its own programs there, from the first one on.

At one tick, what sets up a channel comes before the notes of other tracks; within a track the file's order holds.

Channel 10 has drums. Other channels have them, and channel 10 has none, by the latest of

- a program change after bank select 120 (General MIDI 2), 126 or 127 (Yamaha XG): drums; 121 (General MIDI 2), or any smaller
  bank after XG System On: melody. After GS Reset a bank is a variation of a sound and means neither;
- a system exclusive message that sets the mode of a part: GS `40 1x 15`, XG `08 nn 07`.

A message that resets the system undoes both, but no program (in a file that sets programs before it, that is a mistake).

References: MIDI 1.0 Detailed Specification 4.2; General MIDI 2 (RP-024); Roland, manual of the SC-88Pro; Yamaha XG.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmt.music.reading.midi_tracks import DEVICE, PORT, SYSTEM_EXCLUSIVE, Integers, Mark, MidiEvents

NOTE_ON, CONTROL, PROGRAM = 0x90, 0xB0, 0xC0
_DRUM_CHANNEL = 9
# Controllers that set up a channel: bank select, data entry, and the choice of an unregistered or registered parameter.
_BANK, _DATA, _UNREGISTERED, _LOW, _HIGH = 0, 6, (98, 99), 100, 101
_SETS_UP = np.isin(np.arange(128), (_BANK, _DATA, *_UNREGISTERED, _LOW, _HIGH))  # by controller
_COARSE_TUNING, _NO_PARAMETER = (0, 2), (127, 127)
_DRUM_BANKS, _MELODY_BANK = (120, 126, 127), 121
_UNSET, _MELODY, _DRUMS = -1, 0, 1
_KEY_BITS = 62
# The order in which events of one tick take effect.
_RESET, _SETUP, _NOTE = 0, 1, 2


@dataclass(frozen=True)
class Lanes:
    """The channel and the lane of each channel event of a file: arrays (n,)."""

    channel: Integers
    """16 times the port, plus 0 to 15; in a file of type 2 it is the lane."""
    lane: Integers
    """A channel in a track: `width` times the track, plus the channel."""
    width: int


@dataclass(frozen=True)
class Sound:
    """The sound of notes: arrays (n,)."""

    program: Integers
    is_drum: npt.NDArray[np.bool_]
    transposition: Integers
    """Semitones of coarse tuning; 0 for drums."""


@dataclass
class _State:
    """The state of a channel, or of what one track does in it."""

    bank: int | None = None
    parameter: tuple[int, int] = _NO_PARAMETER
    transposition: int | None = None
    program: int = 0
    mode: int = _UNSET
    since: int = -1
    """The key of the last program change."""

    def control(self, number: int, value: int) -> bool:
        """Take over a controller; returns whether notes sound otherwise from now on."""
        if number == _BANK:
            self.bank = value
        elif number == _DATA and self.parameter == _COARSE_TUNING:
            self.transposition = value - 64
            return True
        elif number == _HIGH:
            self.parameter = (value, self.parameter[1])
        elif number == _LOW:
            self.parameter = (self.parameter[0], value)
        elif number in _UNREGISTERED:
            self.parameter = _NO_PARAMETER
        return False

    def change_program(self, key: int, program: int, system: str) -> None:
        self.program, self.mode, self.since = program, _mode_of_bank(self.bank, system), key

    def row(self) -> tuple[int, int, int, int]:
        return self.program, self.mode, self.since, self.transposition or 0


_Row = tuple[int, int, int, int, int, int]
"""From a key on, in a channel or lane: (channel or lane, key, program, mode, key of the mode, transposition)"""
_NO_ROW: _Row = (0, 0, 0, _UNSET, -1, 0)


def lanes(events: MidiEvents) -> Lanes:
    """The channel and lane of each event.

    A track states its port by a number (FF 21) or by the name of a device (FF 09); a track that states none is on the first.
    A statement holds from the beginning of its track on, also if events of the track precede it.
    """
    port = _ports(events.marks, events.track, np.arange(len(events.track)))
    channel, width = (events.status & 15).astype(np.int64), 16
    if port.any():
        channel, width = port * 16 + channel, 16 * (int(port.max()) + 1)
    lane = events.track * width + channel
    return Lanes(lane if events.type == 2 else channel, lane, width)


def sounds(events: MidiEvents, where: Lanes, strikes: Integers) -> tuple[Sound, Integers]:
    """The sound of each note-on event, given their indices `strikes`; and the lanes with programs of their own."""
    resets, part_modes = _system_messages(events, where, strikes)
    shared, own, owners = _programs(events, where, strikes, resets)
    channel, keys = where.channel[strikes], _key(events, events.tick[strikes], _NOTE, strikes)
    row = _latest_row(own, where.lane[strikes], keys)
    if len(others := np.flatnonzero(row == len(own))):
        row[others] += 1 + _latest_row(shared, channel[others], keys[others])
    _, _, program, mode, since, transposition = np.array([*own, _NO_ROW, *shared, _NO_ROW], np.int64).T
    is_drum = channel & 15 == _DRUM_CHANNEL
    if part_modes or (mode != _UNSET).any():
        reset = np.array([-1, *(key for key, _ in resets)])
        last_reset = reset[np.searchsorted(reset, keys) - 1]
        _, _, _, of_part, since_message, _ = np.array([*part_modes, _NO_ROW], np.int64)[
            _latest_row(part_modes, channel, keys)
        ].T
        mode, since = mode[row], np.where(mode[row] == _UNSET, -1, since[row])
        mode, since = np.where(since_message > since, of_part, mode), np.maximum(since_message, since)
        is_drum = np.where(since > last_reset, mode == _DRUMS, is_drum)
    return Sound(program[row], is_drum, np.where(is_drum, 0, transposition[row])), owners


def _key(events: MidiEvents, tick: Integers, phase: Integers | int, index: Integers) -> Integers:
    """Integers that sort events in the order in which they take effect."""
    return (tick * 4 + phase) << len(events.tick).bit_length() | index


def _setup_phase(events: MidiEvents, strikes: Integers, track: Integers, tick: Integers, index: Integers) -> Integers:
    """The phase of events that set up a channel: before the notes of their tick, but for those before them in their track."""
    if not len(strikes):
        return np.full(len(index), _SETUP)
    last = strikes[np.maximum(np.searchsorted(strikes, index) - 1, 0)]
    late = (last < index) & (events.track[last] == track) & (events.tick[last] == tick)
    return np.where(late, _NOTE, _SETUP)


def _ports(marks: tuple[Mark, ...], track: Integers, index: Integers) -> Integers:
    numbers = [mark for mark in marks if mark.kind == PORT and mark.content]
    stated = numbers or [mark for mark in marks if mark.kind == DEVICE]
    if not stated:
        return np.zeros(len(track), np.int64)
    contents = [mark.content for mark in stated]
    ranks = {
        content: rank for rank, content in enumerate(sorted(set(contents)) if numbers else dict.fromkeys(contents))
    }
    port = np.array([ranks[content] & 0xFF for content in contents])
    by = np.array([mark.track for mark in stated])
    after = np.searchsorted([mark.index for mark in stated], index)
    before, after = after - 1, np.minimum(after, len(stated) - 1)
    return np.where((before >= 0) & (by[before] == track), port[before], np.where(by[after] == track, port[after], 0))


def _programs(
    events: MidiEvents, where: Lanes, strikes: Integers, resets: list[tuple[int, str]]
) -> tuple[list[_Row], list[_Row], Integers]:
    """The rows of channels, those of lanes with programs of their own, and these lanes."""
    chosen = np.flatnonzero((events.status >= CONTROL) & (events.status < PROGRAM + 16))
    chosen = chosen[(events.status[chosen] >= PROGRAM) | _SETS_UP[events.first[chosen]]]
    tick = events.tick[chosen]
    keys = _key(events, tick, _setup_phase(events, strikes, events.track[chosen], tick, chosen), chosen)
    order = np.argsort(keys)
    chosen, keys = chosen[order], keys[order]
    reset_keys = np.array([-1, *(key for key, _ in resets)])
    columns = (
        *(keys, where.channel[chosen], where.lane[chosen], events.status[chosen] >= PROGRAM),
        *(events.first[chosen], events.second[chosen], np.searchsorted(reset_keys, keys) - 1),
    )

    names = ["", *(name for _, name in resets)]
    channels: dict[int, _State] = defaultdict(_State)
    tracks: dict[int, _State] = defaultdict(_State)
    shared: list[_Row] = []
    own: list[_Row] = []
    for key, channel, lane, is_program, first, second, reset in zip(*(c.tolist() for c in columns), strict=True):
        common, mine = channels[channel], tracks[lane]
        if is_program:
            mine.bank = common.bank if mine.bank is None else mine.bank
            mine.transposition = common.transposition if mine.transposition is None else mine.transposition
            common.change_program(key, first, names[reset])
            mine.change_program(key, first, names[reset])
        elif not (common.control(first, second) | mine.control(first, second)):
            continue
        shared.append((channel, key, *common.row()))
        if mine.since >= 0:
            own.append((lane, key, *mine.row()))
    owners = [lane for lane, state in tracks.items() if state.since >= 0]
    return shared, own, np.array(owners, np.int64)


def _latest_row(rows: list[_Row], series: Integers, keys: Integers) -> Integers:
    """The index of the row that holds in each channel or lane, `series`, at each key; the number of rows if there is none."""
    table = np.array([row[:2] for row in rows], np.int64).reshape(-1, 2).T
    found = latest(table[0], table[1], series, keys)
    return np.where(found < 0, len(rows), found)


def latest(series: Integers, keys: Integers, of: Integers, at: Integers) -> Integers:
    """For each `of` and `at`, (n,): the index of the entry with the largest key up to `at` in the series `of`; -1 for none.

    The entries, `series` and `keys`, (m,), may be in any order.
    """
    if not len(series):
        return np.full(len(of), -1)
    bits = int(max(keys.max(), at.max(initial=0))).bit_length()
    if bits + int(max(series.max(), of.max(initial=0))).bit_length() > _KEY_BITS:
        keys, at = _ranks(keys, at)
        series, of = _ranks(series, of)
        bits = int(max(keys.max(), at.max(initial=0))).bit_length()
    entries = series << bits | keys
    order = np.argsort(entries, kind="stable")
    entries = entries[order]
    found = np.searchsorted(entries, of << bits | at, side="right") - 1
    return np.where((found >= 0) & (entries[found] >> bits == of), order[found], -1)


def _ranks(one: Integers, other: Integers) -> tuple[Integers, Integers]:
    ranks = np.unique(np.concatenate([one, other]), return_inverse=True)[1]
    return ranks[: len(one)], ranks[len(one) :]


def _mode_of_bank(bank: int | None, system: str) -> int:
    if bank is None or system == "GS":
        return _UNSET
    if bank in _DRUM_BANKS:
        return _DRUMS
    return _MELODY if system == "XG" or bank == _MELODY_BANK else _UNSET


def _system_messages(events: MidiEvents, where: Lanes, strikes: Integers) -> tuple[list[tuple[int, str]], list[_Row]]:
    """The resets, (key, name of the system), ascending; and rows with the modes of parts."""
    marks = [mark for mark in events.marks if mark.kind == SYSTEM_EXCLUSIVE]
    if not marks:
        return [], []
    tick, track, index = np.array([(mark.tick, mark.track, mark.index) for mark in marks]).T
    ports = _ports(events.marks, track, index)
    keys = _key(events, tick, _RESET, index).tolist()
    resets = sorted((key, name) for key, mark in zip(keys, marks, strict=True) if (name := _reset(mark.content)))

    found = [(which, *mode) for which, mark in enumerate(marks) for mode in _part_modes(mark.content)]
    which, part, is_drum = np.array(found, np.int64).reshape(-1, 3).T
    channel = ports[which] * 16 + part
    track, tick, index = track[which], tick[which], index[which]
    key = _key(events, tick, _setup_phase(events, strikes, track, tick, index), index)
    series = track * where.width + channel if events.type == 2 else channel
    zero = np.zeros_like(key)
    return resets, list(zip(*(c.tolist() for c in (series, key, zero, is_drum, key, zero)), strict=True))


def _reset(message: bytes) -> str:
    """The name of the system that the message turns on or resets, else ""."""
    if message[:1] == b"\x7e" and message[2:3] == b"\x09":
        return "GM"
    if message[:1] == b"\x41" and message[2:7] in (b"\x42\x12\x40\x00\x7f", b"\x42\x12\x00\x00\x7f"):
        return "GS"
    return "XG" if _is_xg(message) and message[3:6] in (b"\x00\x00\x7e", b"\x00\x00\x7f") else ""


def _part_modes(message: bytes) -> Iterator[tuple[int, bool]]:
    """The part and whether it has drums, if the message sets its mode. A message may set several parameters in a row."""
    if message[:1] == b"\x41" and message[2:5] == b"\x42\x12\x40" and len(message) > 8 and message[5] >> 4 == 1:
        block, first, values, mode = message[5] & 15, message[6], message[7:-2], 0x15
        part = 9 if block == 0 else block - 1 if block < 10 else block
    elif _is_xg(message) and message[3:4] == b"\x08" and len(message) > 6 and message[4] < 16:
        part, first, values, mode = message[4], message[5], message[6:-1], 0x07
    else:
        return
    if first <= mode < first + len(values):
        yield part, values[mode - first] > 0


def _is_xg(message: bytes) -> bool:
    return len(message) > 2 and message[0] == 0x43 and message[1] >> 4 == 1 and message[2] == 0x4C
