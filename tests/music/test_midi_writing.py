"""Writing MIDI: four readers give the written notes, and by channels alone every note has its program."""

from __future__ import annotations

import heapq
from collections import Counter
from pathlib import Path

import mido
import muspy
import numpy as np
import pretty_midi
import pytest
import symusic
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import pieces

import mmt
from mmt.music.reading.midi import read_midi
from mmt.music.writing.channels import DRUM_CHANNEL, MidiTrack, assign_channels, split_overlaps
from mmt.music.writing.midi import midi_bytes, write_midi

Row = tuple[int, int, int, int, int, bool]
"""onset, duration, pitch, velocity, program (0 for drums), is_drum"""


def rows(music: muspy.Music) -> Counter[Row]:
    return Counter(
        (n.time, n.duration, n.pitch, n.velocity, 0 if t.is_drum else t.program, t.is_drum)
        for t in music.tracks
        for n in t.notes
    )


def by_symusic(path: Path) -> Counter[Row]:
    tracks = symusic.Score(str(path)).tracks
    return Counter(
        (n.time, n.duration, n.pitch, n.velocity, 0 if t.is_drum else t.program, t.is_drum)
        for t in tracks
        for n in t.notes
    )


def by_pretty_midi(path: Path) -> Counter[Row]:
    midi = pretty_midi.PrettyMIDI(str(path))
    tick = midi.time_to_tick
    return Counter(
        (tick(n.start), tick(n.end) - tick(n.start), n.pitch, n.velocity, 0 if i.is_drum else i.program, i.is_drum)
        for i in midi.instruments
        for n in i.notes
    )


READERS = {
    "mmt": lambda path: rows(read_midi(path)),
    "muspy": lambda path: rows(muspy.read_midi(path)),
    "symusic": by_symusic,
    "pretty_midi": by_pretty_midi,
}


def heard(path: Path) -> Counter[tuple[int, int, int, int]]:
    """(onset, end, pitch, program) of all tracks merged, by channel only, as synthesizers play them.

    A release ends every note of its pitch in the channel.
    """
    streams = []
    for number, track in enumerate(mido.MidiFile(path).tracks):
        time, events = 0, []
        for place, message in enumerate(track):
            time += message.time
            events.append((time, number, place, message))
        streams.append(events)
    program, sounding = [0] * 16, {}
    notes: Counter[tuple[int, int, int, int]] = Counter()
    for time, _, _, message in heapq.merge(*streams):
        if message.type == "program_change":
            program[message.channel] = message.program
        elif message.type == "note_on" and message.channel != DRUM_CHANNEL:
            sounding.setdefault((message.channel, message.note), []).append((time, program[message.channel]))
        elif message.type == "note_off":
            for onset, played_by in sounding.pop((message.channel, message.note), ()):
                notes[onset, time, message.note, played_by] += 1
    return notes


def wanted(music: muspy.Music) -> Counter[tuple[int, int, int, int]]:
    return Counter(
        (n.time, n.time + n.duration, n.pitch, t.program) for t in music.tracks if not t.is_drum for n in t.notes
    )


def piece(*tracks: muspy.Track) -> muspy.Music:
    return muspy.Music(resolution=480, tracks=list(tracks))


def line(program: int, *notes: tuple[int, int, int], is_drum: bool = False) -> muspy.Track:
    """A track of (onset, pitch, duration)."""
    return muspy.Track(
        program, is_drum, notes=[muspy.Note(onset, pitch, duration, 70) for onset, pitch, duration in notes]
    )


notes = st.tuples(st.integers(0, 60), st.integers(58, 64), st.integers(1, 30))
tracks = st.builds(
    lambda program, is_drum, notes: line(program, *notes, is_drum=is_drum),
    st.integers(0, 127),
    st.booleans(),
    st.lists(notes, min_size=1, max_size=25),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(tracks, min_size=1, max_size=24))
def test_four_readers_give_the_written_notes(
    tmp_path_factory: pytest.TempPathFactory, tracks: list[muspy.Track]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.mid"
    music = piece(*tracks)
    write_midi(path, music)
    for name, reader in READERS.items():
        assert reader(path) == rows(music), name


def test_real_pieces_are_read_back(shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.mid"
    folder = shared / "data" / "examples" / "mid"
    for original in sorted(folder.glob("*.mid"), key=lambda file: file.stat().st_size)[:16]:
        music = read_midi(original)
        write_midi(path, music)
        for name, reader in READERS.items():
            assert reader(path) == rows(music), (original.name, name)
        if len(music.tracks) <= 15:
            assert by_program(heard(path)) == by_program(wanted(music))


def by_program(notes: Counter[tuple[int, int, int, int]]) -> Counter[int]:
    total: Counter[int] = Counter()
    for (_, _, _, program), count in notes.items():
        total[program] += count
    return total


def test_more_than_15_instruments_keep_their_programs(tmp_path: Path) -> None:
    """40 programs at once, each at its own pitch, on 15 channels."""
    music = piece(*(line(program, *((12 * beat, 40 + program, 12) for beat in range(8))) for program in range(40)))
    write_midi(tmp_path / "40.mid", music)
    for name, reader in READERS.items():
        assert reader(tmp_path / "40.mid") == rows(music), name
    assert heard(tmp_path / "40.mid") == wanted(music)


def test_instruments_without_overlap_share_a_channel(tmp_path: Path) -> None:
    """All at one pitch, two at a time."""
    music = piece(*(line(program, (12 * (program // 2) * 2, 60, 12)) for program in range(60)))
    write_midi(tmp_path / "60.mid", music)
    assert heard(tmp_path / "60.mid") == wanted(music)


def test_the_channel_with_the_fewest_overlaps_is_shared(tmp_path: Path) -> None:
    """After fourteen long notes and a short one, only one channel is free for five more."""
    drones = [line(program, *((beat, 60, 1) for beat in range(99))) for program in range(14)]
    music = piece(*drones, *(line(20 + k, (12 * k, 60, 10)) for k in range(6)))
    write_midi(tmp_path / "drones.mid", music)
    late = {20 + k for k in range(6)}
    lengths = {program: end - onset for (onset, end, _, program) in heard(tmp_path / "drones.mid") if program in late}
    assert lengths == dict.fromkeys(late, 10)


def test_doubled_notes_keep_their_durations(tmp_path: Path) -> None:
    music = piece(line(40, (0, 60, 24), (0, 60, 12), (6, 60, 3), (24, 60, 12)), line(48, (0, 60, 36), (12, 60, 6)))
    write_midi(tmp_path / "doubles.mid", music)
    for name, reader in READERS.items():
        assert reader(tmp_path / "doubles.mid") == rows(music), name
    assert heard(tmp_path / "doubles.mid") == wanted(music)


def part(program: int, notes: list[tuple[int, int, int]], is_drum: bool = False) -> MidiTrack:
    onset, end, pitch = np.array(notes, np.int64).T
    return MidiTrack(None, program, is_drum, onset, end, pitch, np.full(len(onset), 64))


def test_overlapping_notes_of_a_pitch_are_split() -> None:
    first, second = split_overlaps(part(0, [(0, 12, 60), (0, 24, 60), (12, 24, 60), (24, 30, 60), (0, 24, 64)]))
    assert sorted(zip(first.onset.tolist(), first.end.tolist(), first.pitch.tolist(), strict=True)) == [
        (0, 24, 60), (0, 24, 64), (24, 30, 60),
    ]  # fmt: skip
    assert list(zip(second.onset.tolist(), second.end.tolist(), strict=True)) == [(0, 12), (12, 24)]
    assert (first.is_overlap, second.is_overlap) == (False, True)


def test_up_to_16_tracks_have_a_channel_each() -> None:
    parts = [part(program, [(0, 10, 60)], is_drum=program == 3) for program in range(16)]
    channels = assign_channels(parts)
    assert channels[3] == DRUM_CHANNEL
    assert sorted(channels) == list(range(16))


def test_overlaps_share_a_channel_before_instruments_do() -> None:
    parts = [part(0, [(0, 10, 60)]) for _ in range(16)]
    doubling = MidiTrack(**{**vars(part(0, [(0, 10, 60)] * 3)), "is_overlap": True})
    channels = assign_channels([doubling, *parts[:15]])
    assert len(set(channels[1:])) == 15


def test_tempos_signatures_and_texts_are_read_back(tmp_path: Path) -> None:
    music = muspy.Music(
        metadata=muspy.Metadata(title="Lied für zwei", copyright="1827"),
        resolution=24,
        tempos=[muspy.Tempo(0, 96.0), muspy.Tempo(48, 60.0)],
        time_signatures=[muspy.TimeSignature(0, 3, 4), muspy.TimeSignature(72, 12, 8)],
        key_signatures=[
            muspy.KeySignature(0, root=2, mode="major"),
            muspy.KeySignature(24, root=0, mode="minor"),
            muspy.KeySignature(48, fifths=-4, mode="minor", root=5),
            muspy.KeySignature(72, root=1, mode="dorian"),
        ],
        tracks=[muspy.Track(40, name="Geige", notes=[muspy.Note(3, 60, 24, 1)], lyrics=[muspy.Lyric(3, "früh")])],
    )
    write_midi(tmp_path / "marks.mid", music)
    copy = read_midi(tmp_path / "marks.mid")
    assert (copy.metadata.title, copy.metadata.copyright) == ("Lied für zwei", "1827")
    assert [(tempo.time, round(tempo.qpm, 3)) for tempo in copy.tempos] == [(0, 96), (960, 60)]
    assert [(s.time, s.numerator, s.denominator) for s in copy.time_signatures] == [(0, 3, 4), (1440, 12, 8)]
    assert [(key.time, key.fifths, key.mode) for key in copy.key_signatures] == [
        (0, 2, "major"), (480, -3, "minor"), (960, -4, "minor"),
    ]  # fmt: skip
    assert copy.tracks[0].name == "Geige"
    assert (copy.tracks[0].notes[0].velocity, copy.lyrics[0].lyric) == (1, "früh")


@pytest.mark.parametrize(("resolution", "ticks"), [(12, 480), (24, 480), (1, 480), (7, 483), (480, 480), (1000, 1000)])
def test_a_beat_has_at_least_480_ticks_and_times_stay_exact(tmp_path: Path, resolution: int, ticks: int) -> None:
    music = muspy.Music(resolution=resolution, tracks=[line(0, (5, 60, 3))])
    write_midi(tmp_path / "fine.mid", music)
    copy = read_midi(tmp_path / "fine.mid")
    (note,) = copy.tracks[0].notes
    assert copy.resolution == ticks
    assert (note.time * resolution, note.duration * resolution) == (5 * ticks, 3 * ticks)


def test_music_without_a_time_signature_is_in_four_four(tmp_path: Path) -> None:
    write_midi(tmp_path / "plain.mid", piece(line(0, (0, 60, 12))))
    assert read_midi(tmp_path / "plain.mid").time_signatures == [muspy.TimeSignature(0, 4, 4)]


def test_all_keys_are_read_back(tmp_path: Path) -> None:
    keys = [muspy.KeySignature(root, root=root, mode=mode) for mode in ("major", "minor") for root in range(12)]
    for key in keys:
        music = piece(line(0, (0, 60, 12)))
        music.key_signatures = [muspy.KeySignature(0, root=key.root, mode=key.mode)]
        write_midi(tmp_path / "key.mid", music)
        for reader in (read_midi, muspy.read_midi):
            (copy,) = reader(tmp_path / "key.mid").key_signatures
            assert (copy.root, copy.mode) == (key.root, key.mode)


def test_notes_of_duration_or_velocity_0_are_written(tmp_path: Path) -> None:
    music = piece(muspy.Track(0, notes=[muspy.Note(0, 60, 0, 0), muspy.Note(12, 60, 12)]))
    music.tracks[0].notes[1].velocity = None
    write_midi(tmp_path / "soft.mid", music)
    for name, reader in READERS.items():
        assert reader(tmp_path / "soft.mid") == Counter([(0, 1, 60, 1, 0, False), (12, 12, 60, 64, 0, False)]), name


def test_thousands_of_equal_notes_are_kept() -> None:
    data = midi_bytes(piece(line(0, *[(0, 60, 12)] * 3000)))
    assert len(data) > 3000 * 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 40000}, "resolution 40000"),
        ({"tempos": [muspy.Tempo(0, 1.0)]}, "tempo of 1.0"),
        ({"time_signatures": [muspy.TimeSignature(0, 4, 3)]}, "time signature of 4/3"),
        ({"tracks": [line(128, (0, 60, 12))]}, "program 128"),
        ({"tracks": [line(0, (0, 128, 12))]}, "pitch 128"),
        ({"tracks": [line(0, (-1, 60, 12))]}, "time -1"),
        ({"tracks": [line(0, (1 << 29, 60, 12))]}, "2\\^28"),
    ],
)
def test_music_that_midi_cannot_represent_is_refused(change: dict[str, object], message: str) -> None:
    music = piece(line(0, (0, 60, 12)))
    for name, value in change.items():
        setattr(music, name, value)
    with pytest.raises(ValueError, match=message):
        midi_bytes(music)


@given(pieces(mmt.Representation(drums=True)))
@settings(max_examples=40, deadline=None)
def test_events_with_drums_come_back_from_a_file(tmp_path_factory: pytest.TempPathFactory, events: np.ndarray) -> None:
    representation = mmt.Representation(drums=True)
    path = tmp_path_factory.getbasetemp() / "drums.mid"
    mmt.write(path, mmt.decode(events, representation=representation))
    np.testing.assert_array_equal(mmt.encode(mmt.read(path), representation=representation), events)


@pytest.mark.parametrize("program", [0, 25, 127])
def test_drums_of_any_kit_are_read_as_drums(tmp_path: Path, program: int) -> None:
    write_midi(tmp_path / "kit.mid", piece(line(program, (0, 36, 6), is_drum=True)))
    (track,) = read_midi(tmp_path / "kit.mid").tracks
    assert (track.is_drum, track.program) == (True, program)
    messages = [message for message in mido.MidiFile(tmp_path / "kit.mid").tracks[1] if hasattr(message, "channel")]
    assert {message.channel for message in messages} == {9}
