"""Writing MIDI files of type 1, which pretty_midi, mido, symusic and muspy read alike.

A file has 480 ticks per beat, or the next multiple of the resolution. The first track holds the title, tempos, signatures (4/4
where the music has none) and lyrics. Each instrument has a track, or several if notes of one pitch overlap (see `channels`,
also for more than 15 instruments). Drums are on channel 10. Texts are UTF-8. Values that MIDI cannot represent are refused:
a tempo below 3.58 quarter notes per minute, a time signature over 3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmt.music.reading import midi_tracks
from mmt.music.writing.bars import signatures_of_bars
from mmt.music.writing.channels import MidiTrack, assign_channels, program_changes, split_overlaps
from mmt.representation.notes import DEFAULT_VELOCITY

if TYPE_CHECKING:
    import muspy

_TICKS_PER_BEAT = 480  # as sequencers use
_SLOWEST = 0xFFFFFF  # microseconds per beat
_TEXT = 0x01  # a meta event that readers do not interpret

# Order of events of one tick: note-offs first, so that a repeated note sounds.
_NOTE_OFF, _PROGRAM, _NOTE_ON = range(3)

Event = tuple[int, int, bytes]
"""(tick, order among the events of one tick, message)"""


def write_midi(path: Path, music: muspy.Music) -> None:
    """Write music as a standard MIDI file; see `midi_bytes`."""
    path.write_bytes(midi_bytes(music))


def midi_bytes(music: muspy.Music) -> bytes:
    """The bytes of a standard MIDI file (type 1).

    Notes of duration 0 are written with one step, since many readers drop them. If MIDI cannot represent the music, a
    `ValueError` says what and where.

    >>> import muspy
    >>> music = muspy.Music(resolution=12, tracks=[muspy.Track(program=40, notes=[muspy.Note(0, 60, 12)])])
    >>> midi_bytes(music)[:4], len(midi_bytes(music))
    (b'MThd', 58)
    """
    if not 1 <= (music.resolution or 0) < 1 << 15:
        raise ValueError(f"the music has resolution {music.resolution}; MIDI holds 1 to 32,767 ticks per beat")
    scale = -(-_TICKS_PER_BEAT // music.resolution)
    tracks = [split for track in music.tracks for split in split_overlaps(_midi_track(track))]
    channels = assign_channels(tracks)
    chunks = [_track_chunk(music.metadata.title, _meta_events(music), scale)]
    for track, channel, changes in zip(tracks, channels, program_changes(tracks, channels), strict=True):
        chunks.append(_track_chunk(track.name, _note_events(track, channel, changes.tolist()), scale))
    if len(chunks) >= 1 << 16:
        raise ValueError(f"the music has {len(chunks):,} tracks; a MIDI file holds at most 65,534")
    return struct.pack(">4sIHHH", b"MThd", 6, 1, len(chunks), scale * music.resolution) + b"".join(chunks)


def _midi_track(track: muspy.Track) -> MidiTrack:
    """The notes of a track as arrays, checked."""
    whose = f"track {track.name!r}" if track.name else f"the track of program {track.program}"
    if not 0 <= track.program < 128:
        raise ValueError(f"{whose} has program {track.program}; programs are 0 to 127")
    rows = [
        (n.time, n.time + max(n.duration, 1), n.pitch, DEFAULT_VELOCITY if n.velocity is None else n.velocity)
        for n in track.notes
    ]
    onset, end, pitch, velocity = np.array(sorted(rows), np.float64).reshape(-1, 4).round().astype(np.int64).T
    if len(rows) and (onset.min() < 0 or end.max() >= 1 << 31):
        raise ValueError(f"{whose} has a note at time {onset.min()} … {end.max()}; MIDI times are 0 to 2^31 - 1")
    if len(rows) and (pitch.min() < 0 or pitch.max() > 127):
        raise ValueError(f"{whose} has a note of pitch {pitch[(pitch < 0) | (pitch > 127)][0]}; pitches are 0 to 127")
    # A velocity of 0 would be a note-off.
    return MidiTrack(track.name, track.program, track.is_drum, onset, end, pitch, velocity.clip(1, 127))


def _meta_events(music: muspy.Music) -> list[Event]:
    events: list[Event] = []
    if music.metadata.copyright:
        events.append((0, 0, _meta(midi_tracks.COPYRIGHT, music.metadata.copyright)))
    events += [(0, 0, _meta(_TEXT, creator)) for creator in music.metadata.creators or ()]
    for tempo in music.tempos:
        microseconds = round(60e6 / tempo.qpm) if tempo.qpm > 0 else 0
        if not 1 <= microseconds <= _SLOWEST:
            raise ValueError(
                f"a tempo of {tempo.qpm} quarter notes per minute at time {tempo.time} does not fit in MIDI"
            )
        events.append((tempo.time, 0, _meta(midi_tracks.TEMPO, microseconds.to_bytes(3, "big"))))
    for time, above, below in _signatures(music):
        # As usual: 24 MIDI clocks per metronome click, 8 32nd notes per quarter note.
        events.append((time, 0, _meta(midi_tracks.TIME_SIGNATURE, bytes((above, below.bit_length() - 1, 24, 8)))))
    for key in music.key_signatures:
        if (count := sharps(key)) is not None:
            events.append(
                (key.time, 0, _meta(midi_tracks.KEY_SIGNATURE, struct.pack("bb", count, key.mode == "minor")))
            )
    for lyric in [*music.lyrics, *(lyric for track in music.tracks for lyric in track.lyrics)]:
        events.append((lyric.time, 0, _meta(midi_tracks.LYRIC, lyric.lyric)))
    return events


def _signatures(music: muspy.Music) -> list[tuple[int, int, int]]:
    if music.barlines:
        return signatures_of_bars(music)
    signatures = [(s.time, s.numerator, s.denominator) for s in music.time_signatures]
    for time, above, below in signatures:
        if not 1 <= above < 256 or below < 1 or below & (below - 1):
            raise ValueError(f"a time signature of {above}/{below} at time {time} does not fit in MIDI")
    return [(0, 4, 4)] * all(time > 0 for time, *_ in signatures) + signatures


def sharps(key: muspy.KeySignature) -> int | None:
    """The number of sharps (flats below 0) of a key; None if it is incomplete or has more than seven."""
    if key.fifths is not None:
        return int(key.fifths) if -7 <= key.fifths <= 7 else None
    if key.root is None or key.mode not in ("major", "minor"):
        return None
    major = key.root + 3 if key.mode == "minor" else key.root
    return int((major * 7 + 5) % 12) - 5  # -5 (five flats) … 6


def _note_events(track: MidiTrack, channel: int, changes: list[int]) -> list[Event]:
    events = [(tick, _PROGRAM, bytes((0xC0 | channel, track.program))) for tick in changes]
    columns = (track.onset, track.end, track.pitch, track.velocity)
    for onset, end, pitch, velocity in zip(*(column.tolist() for column in columns), strict=True):
        events.append((onset, _NOTE_ON, bytes((0x90 | channel, pitch, velocity))))
        events.append((end, _NOTE_OFF, bytes((0x80 | channel, pitch, 0))))
    return events


def _meta(kind: int, content: bytes | str) -> bytes:
    # Halves of surrogate pairs have no bytes.
    content = content.encode("utf-8", "replace") if isinstance(content, str) else content
    return bytes((0xFF, kind)) + _quantity(len(content)) + content


def _track_chunk(name: str | None, events: Iterable[Event], scale: int) -> bytes:
    body = bytearray(b"\x00" + _meta(midi_tracks.TRACK_NAME, name) if name else b"")
    last = 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        if tick < 0:
            raise ValueError(f"a tempo, signature or lyric is at time {tick}; times are 0 or more")
        body += _quantity((tick - last) * scale) + message
        last = tick
    body += b"\x00" + midi_tracks.END_OF_TRACK
    return struct.pack(">4sI", b"MTrk", len(body)) + body


def _quantity(value: int) -> bytes:
    """A variable-length quantity: groups of 7 bits, all but the last with the high bit set."""
    if value >= 1 << 28:
        raise ValueError(f"a rest or note of {value:,} ticks does not fit in MIDI (at most 2^28 - 1)")
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(0x80 | value & 0x7F)
    return bytes(reversed(groups))
