"""Reading MIDI: collected cases with the right notes, cases after public bug reports, and laws."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmt.music.files import read
from mmt.music.reading.midi import read_midi_notes
from mmt.music.reading.midi_texts import decode_text
from mmt.music.reading.midi_tracks import parse
from mmt.representation.notes import RawNotes, raw_notes

DRUMS = "D"
GS, XG = "f00a41104212 40007f0041f7", "f0084310 4c00007e00f7"
Note = tuple[float, float, int, int | str]


def midi(*tracks: str, division: int = 1, kind: int = 1) -> bytes:
    """A MIDI file of tracks given as hexadecimal events, without their end; by default with a tick per beat."""
    contents = [bytes.fromhex(track + "00ff2f00") for track in tracks]
    data = struct.pack(">4sIHHH", b"MThd", 6, kind, len(tracks), division)
    return data + b"".join(struct.pack(">4sI", b"MTrk", len(track)) + track for track in contents)


def found(raw: RawNotes) -> list[Note]:
    """(onset, duration, pitch, program or "D"), sorted; in beats."""
    rows = zip(
        raw.onset / raw.resolution, raw.duration / raw.resolution, raw.pitch, raw.program, raw.is_drum, strict=True
    )
    notes = [
        (float(on), float(length), int(key), DRUMS if drum else int(program)) for on, length, key, program, drum in rows
    ]
    return sorted(notes, key=lambda note: (*note[:3], str(note[3])))


def notes_of(data: bytes) -> list[Note]:
    return found(read_midi_notes(data))


# --- collected cases ---


def test_collected_cases_have_their_expected_notes(shared: Path) -> None:
    folder = shared / "cases" / "music"
    if not folder.is_dir():
        pytest.skip(f"needs the folder {folder}")
    expected = json.loads((folder / "expected.json").read_text())
    names = [name for name in expected if name.endswith(".mid")]
    assert len(names) == 25
    assert {name: differences(folder / name, expected[name]) for name in names} == dict.fromkeys(names, "")


def differences(path: Path, expected: list[list[float | int | str | None]]) -> str:
    """The differences from the expected notes; "" if they agree within a 50th of a beat."""
    notes = found(raw_notes(read(path)))
    assert notes == found(read_midi_notes(path))
    notes.sort(key=lambda note: (note[0], note[2], str(note[3])))
    right = sorted(expected, key=lambda note: (note[0], note[2], str(note[3])))
    same = len(notes) == len(right) and all(
        abs(note[0] - other[0]) <= 0.02
        and (other[1] is None or abs(note[1] - other[1]) <= 0.02)
        and note[2:] == (other[2], note[3] if other[3] is None else other[3])
        for note, other in zip(notes, right, strict=True)
    )
    return "" if same else str(notes)


# --- after public bug reports ---

ON, OFF = "00903c40", "01803c40"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            midi("00903c40 00ff010141 013c00 003e40 00ff010141 013e00"),
            [(0, 1, 60, 0), (1, 1, 62, 0)],
            id="running status goes on after a meta event (gomidi/midi#20, naudio/NAudio#1261)",
        ),
        pytest.param(
            midi("00903c40 00f0027ef7 013c00 00f7027ef7 003e40 013e00"),
            [(0, 1, 60, 0), (1, 1, 62, 0)],
            id="running status goes on after a system exclusive message (PolyMeilex/Neothesia#245)",
        ),
        pytest.param(
            midi("00903c40 04903c40 00803c40 04803c40"),
            [(0, 4, 60, 0), (4, 4, 60, 0)],
            id="a key is struck just before its release (spessasus/spessasynth_core#13)",
        ),
        pytest.param(
            midi("00903c40 04903c40 00803c40 04903c40 00803c40"),
            [(0, 4, 60, 0), (4, 4, 60, 0), (8, 0, 60, 0)],
            id="struck just before its release, the last release is lost (spessasus/spessasynth_core#13)",
        ),
        pytest.param(
            midi("00903c40 01903e40 01803e40 02904040"),
            [(0, 4, 60, 0), (1, 1, 62, 0), (4, 0, 64, 0)],
            id="no release at all (naudio/NAudio#960)",
        ),
        pytest.param(
            midi("00ff210100 00c028 00903c40 013c00", "00c038 00ff210101 00903e40 013e00", "00ff210101 00904040 014000"),
            [(0, 1, 60, 40), (0, 1, 62, 56), (0, 1, 64, 56)],
            id="32 channels by port numbers, also stated after the program (mmontag/chip-player-js#250)",
        ),
        pytest.param(
            midi("00ff090141 00c028 00903c40 013c00", "00ff090142 00c038 00903e40 013e00", "00ff090142 00904040 014000"),
            [(0, 1, 60, 40), (0, 1, 62, 56), (0, 1, 64, 56)],
            id="32 channels by device names (tarboh/S-MU2000#4)",
        ),
        pytest.param(
            midi(f"00{GS} 00f00a411042124011150119f7", "00902440 012400", "00912440 012400"),
            [(0, 1, 36, 0), (0, 1, 36, DRUMS)],
            id="GS drums on channel 1, without a program change (FluidSynth/fluidsynth#1579)",
        ),
        pytest.param(
            midi(f"00{GS} 00f00a41104212401015001bf7 00c938 00994340 014300"),
            [(0, 1, 67, 56)],
            id="GS melody on channel 10, whose block is 0 (FluidSynth/fluidsynth#171)",
        ),
        pytest.param(
            midi("00f008431c4c00007e00f7 00f008431c4c080a0703f7 009a2440 012400"),
            [(0, 1, 36, DRUMS)],
            id="XG messages for device 12 (FluidSynth/fluidsynth#1092)",
        ),
        pytest.param(
            midi(f"00{XG} 00b90000 00c938 00994340 014300"),
            [(0, 1, 67, 56)],
            id="XG melody on channel 10 by bank 0 (Yamaha XG; FluidSynth/fluidsynth#1508)",
        ),
        pytest.param(
            midi("00b90000 00c938 00994340 014300", f"00{XG}"),
            [(0, 1, 67, 56)],
            id="XG melody on channel 10, turned on in a later track",
        ),
        pytest.param(
            midi(f"00{XG} 00f00f43104c0803 000000000000000001 f7 00932440 012400"),
            [(0, 1, 36, DRUMS)],
            id="a message that sets eight parameters of an XG part, the last of which is its mode",
        ),
        pytest.param(
            midi("00f703903c40 02903e40 013e00"),
            [(2, 1, 62, 0)],
            id="an escaped note is not played, and does not shift time",
        ),
        pytest.param(
            midi("00b06302 00b06202 00b00647 00903c40 01803c40 00b06500 006402 00063f 00903c40 01803c40"),
            [(0, 1, 60, 0), (1, 1, 59, 0)],
            id="data entry for an unregistered parameter is no tuning; coarse tuning in running status",
        ),
        pytest.param(
            midi("00ff51030f4240 00903c40 9260803c40", division=0xE250),
            [(0, 1, 60, 0)],
            id="30 frames of 80 ticks at a tempo of 60",
        ),
        pytest.param(
            midi("00b90000 00c908 00992440 012400"),
            [(0, 1, 36, DRUMS)],
            id="bank 0 on channel 10 without XG (FluidSynth/fluidsynth#1508)",
        ),
        pytest.param(
            midi(f"00{XG} 00b00079 00c028 00904340 014300 00b90078 00c900 00992440 012400"),
            [(0, 1, 67, 40), (1, 1, 36, DRUMS)],
            id="banks 121 and 120 in a file for XG (FluidSynth/fluidsynth#1307)",
        ),
        pytest.param(
            midi(f"00{GS} 00b0007f 00c028 00904340 014300"),
            [(0, 1, 67, 40)],
            id="a GS variation 127 is no drum kit (Wohlstand/libADLMIDI#136)",
        ),
        pytest.param(
            midi("00903c40 19803c40", division=0xE728),
            [(0, 0.05, 60, 0)],
            id="25 film frames of 40 ticks, 120 beats a minute (musescore/MuseScore#1443)",
        ),
        pytest.param(
            midi("00ff51030f4240 00903c40 8768803c40 00ff5103 07a120 00903e40 8768803e40", division=0xE728),
            [(0, 1, 60, 0), (1, 2, 62, 0)],
            id="film frames with tempos of 60 and 120 (musescore/MuseScore#1443)",
        ),
    ],
)  # fmt: skip
def test_reported_cases_have_their_expected_notes(data: bytes, expected: list[Note]) -> None:
    assert notes_of(data) == expected


def test_texts_in_japanese_are_decoded() -> None:
    """LMMS/lmms#6056; every second western name would be valid Shift-JIS, too."""
    japanese = ["ピアノ", "前奏曲", "ﾄﾞﾗﾑ", "Bass ベース", "空", "さ", "交響曲第9番", "「間奏」終わり"]
    assert [decode_text(text.encode("cp932")) for text in japanese] == japanese
    western = [
        "Sänger",
        "blüht",
        "Größe",
        "Canção",
        "Français",
        "Noël",
        "Dvořák".replace("ř", "r"),
        "ÀÉ",
        "señor",
        "À l'été",
    ]
    assert [decode_text(text.encode("latin-1")) for text in western] == western
    assert decode_text("Přelud 前".encode()) == "Přelud 前"


def test_karaoke_texts_are_lyrics(tmp_path: Path) -> None:
    """wyskoj/midis2jam2#271: texts with "@" are metadata, all others are lyrics."""

    def text(words: str, after: str = "00") -> str:
        return f"{after}ff01{len(words):02x}{words.encode().hex()}"

    head = text("@KMIDI KARAOKE FILE") + text("@V0100")
    words = (
        "00ff0305576f726473"
        + text("@LENGL")
        + text("@TSmile")
        + text("@TSomeone")
        + text("\\But")
        + text("ter", "01")
        + text("/fly", "01")
    )
    path = tmp_path / "song.kar"
    path.write_bytes(midi(head, words, text("made with care") + ON + OFF))
    music = read(path)
    assert (music.metadata.title, music.metadata.creators) == ("Smile", ["Someone"])
    assert [(lyric.time, lyric.lyric) for lyric in music.lyrics] == [(0, "But"), (1, "ter"), (2, "fly")]


# --- channels, resets and controllers ---


def test_a_program_holds_in_all_tracks_of_its_channel() -> None:
    notes = "00903c40 013c00 003e40 013e00"
    assert notes_of(midi("00c005 01c006", notes)) == notes_of(midi(notes, "00c005 01c006"))
    assert notes_of(midi(notes, "00c005 01c006")) == [(0, 1, 60, 5), (1, 1, 62, 6)]


def test_tracks_with_programs_of_their_own_keep_them() -> None:
    data = midi("00c005 00903c40 013c00", "00c006 00903e40 013e00", "00c007", "00904040 014000")
    assert notes_of(data) == [(0, 1, 60, 5), (0, 1, 62, 6), (0, 1, 64, 7)]


def test_tracks_of_type_2_are_independent() -> None:
    assert notes_of(midi("00c005 00903c40", "00903e40 013e00", kind=2)) == [(0, 0, 60, 5), (0, 1, 62, 0)]


def test_a_reset_ends_drum_mode_and_keeps_programs() -> None:
    part_mode = "00f008 43104c080a0703f7"
    data = midi(f"00{XG} {part_mode} 00ca05 009a2440 012400 00{XG} 009a2640 012600")
    assert notes_of(data) == [(0, 1, 36, DRUMS), (1, 1, 38, 5)]


def test_messages_in_several_packets_set_the_drum_mode() -> None:
    data = midi("00f0034310 4c 00f702080a 00f7030703f7 009a2440 012400")
    assert notes_of(data) == [(0, 1, 36, DRUMS)]


@pytest.mark.parametrize("controller", [120, 123, 124, 125, 126, 127])
def test_all_notes_off_controllers_end_the_notes_of_their_channel(controller: int) -> None:
    off = f"b0{controller:02x}00"
    assert notes_of(midi(f"00903c40 01{off} 03803c40")) == [(0, 1, 60, 0)]
    assert notes_of(midi("00903c40 04803c40", f"01{off}")) == [(0, 1, 60, 0)]
    assert notes_of(midi("00913c40 04813c40", f"01{off}")) == [(0, 4, 60, 0)]
    assert notes_of(midi("00c005 00903c40 04803c40", f"00c006 00904340 014300 00{off}")) == [
        (0, 1, 67, 6),
        (0, 4, 60, 5),
    ]
    assert notes_of(midi(f"00{off} 00903c40 00{off} 04803c40")) == [(0, 4, 60, 0)]


def test_a_release_may_stand_in_another_track() -> None:
    assert notes_of(midi("00903c40 04903e40 013e00", "01803c40")) == [(0, 1, 60, 0), (4, 1, 62, 0)]
    assert notes_of(midi("00903c40 04803c40", "01803c40")) == [(0, 4, 60, 0)]


def test_overlapping_notes_of_a_pitch_end_in_the_order_of_their_onsets() -> None:
    assert notes_of(midi("00903c40 01903c40 01803c40 01803c40")) == [(0, 2, 60, 0), (1, 2, 60, 0)]
    later_lost = midi("00903c40 01903c40 01803c40 01803c40 05903c40 04903c40 01803c40")
    assert notes_of(later_lost) == [(0, 2, 60, 0), (1, 2, 60, 0), (8, 4, 60, 0), (12, 1, 60, 0)]


def test_coarse_tuning_transposes_pitches_but_no_drums() -> None:
    tune = "00b{0:x}6500 00b{0:x}6402 00b{0:x}0634 00b{0:x}657f 00b{0:x}647f 00b{0:x}0600"
    assert notes_of(midi(tune.format(0) + "00903c40 013c00")) == [(0, 1, 48, 0)]
    assert notes_of(midi(tune.format(9) + "00992440 012400")) == [(0, 1, 36, DRUMS)]
    assert notes_of(midi(tune.format(0) + "00900340 010300")) == [(0, 1, 3, 0)]


# --- laws ---

EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3),  # ticks after the event before
        st.sampled_from([0, 9]),
        st.sampled_from(["on", "on", "off", "off", "program", "bank", "quiet"]),
        st.integers(60, 62),
        st.integers(0, 3),  # the track
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(EVENTS)
def test_no_note_is_lost_and_none_outlasts_the_piece(events: list[tuple[int, int, str, int, int]]) -> None:
    data = written(events)
    raw = read_midi_notes(data)
    onsets = {(int(on), int(pitch)) for on, pitch in zip(raw.onset, raw.pitch, strict=True)}
    assert onsets == {(tick, pitch) for tick, (_, _, kind, pitch, _) in timed(events) if kind == "on"}
    assert (raw.duration >= 0).all()
    end = sum(event[0] for event in events)
    assert (raw.onset + raw.duration <= end).all()


@settings(max_examples=60)
@given(EVENTS, st.permutations(range(4)))
def test_the_position_of_a_setup_track_does_not_matter(
    events: list[tuple[int, int, str, int, int]], order: list[int]
) -> None:
    """Programs and banks in a separate track apply to their channel, whether before or after the tracks of notes."""
    notes = [event if event[2] in ("on", "off") else (event[0], event[1], "none", *event[3:]) for event in events]
    setup = [event if event[2] in ("program", "bank") else (event[0], event[1], "none", *event[3:]) for event in events]
    first = track([(*event[:4], 0) for event in setup], 0)
    others = [track(notes, number) for number in range(4)]
    assert notes_of(file([first, *others])) == notes_of(file([*(others[number] for number in order), first]))


MESSAGES = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 127, 128, 20_000, 3_000_000]),
        st.sampled_from(["90", "80", "b0", "e0", "a0", "c0", "d0", "", "ff0103616263", "f0037e01f7", "ff20 0100"]),
        st.integers(0, 127),
        st.integers(0, 127),
    ),
    max_size=30,
)


@settings(max_examples=200)
@given(MESSAGES)
def test_every_event_is_parsed_as_by_mido(messages: list[tuple[int, str, int, int]]) -> None:
    body, status = "", ""
    for ticks, kind, first, second in messages:
        if kind.startswith("f"):
            body += quantity(ticks) + kind
            status = (
                "" if kind.startswith("f0") else status
            )  # mido lets a system exclusive message end the running status
            continue
        if not (kind or status):
            continue
        status = kind or status
        body += quantity(ticks) + kind + f"{first:02x}" + ("" if status[0] in "cd" else f"{second:02x}")
    assert_parsed_like_mido(midi(body))


def assert_parsed_like_mido(data: bytes) -> None:
    events = parse(data)
    ours = [
        (int(tick), int(track), int(status), int(first), *([] if 0xC0 <= status < 0xE0 else [int(second)]))
        for tick, track, status, first, second in zip(
            events.tick, events.track, events.status, events.first, events.second, strict=True
        )
        if status < 0xF0
    ]
    theirs = []
    for number, messages in enumerate(mido.MidiFile(file=io.BytesIO(data)).tracks):
        ticks = np.cumsum([message.time for message in messages]).tolist()
        theirs += [
            (tick, number, *message.bytes())
            for tick, message in zip(ticks, messages, strict=True)
            if not message.is_meta and message.type != "sysex"
        ]
    assert ours == theirs


def timed(events: list[tuple[int, int, str, int, int]]) -> list[tuple[int, tuple[int, int, str, int, int]]]:
    return list(zip(np.cumsum([event[0] for event in events]).tolist(), events, strict=True))


def quantity(value: int) -> str:
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(0x80 | value & 0x7F)
    return bytes(reversed(groups)).hex()


def track(events: list[tuple[int, int, str, int, int]], number: int) -> mido.MidiTrack:
    """The events of one track, as mido writes them."""
    made = mido.MidiTrack()
    before = 0
    for tick, (_, channel, kind, value, own) in timed(events):
        if own != number or kind == "none":
            continue
        message = {
            "on": mido.Message("note_on", note=value, velocity=64, channel=channel),
            "off": mido.Message("note_off", note=value, velocity=0, channel=channel),
            "program": mido.Message("program_change", program=value, channel=channel),
            "bank": mido.Message("control_change", control=0, value=value + 59, channel=channel),
            "quiet": mido.Message("control_change", control=123, value=0, channel=channel),
        }[kind]
        made.append(message.copy(time=tick - before))
        before = tick
    return made


def file(tracks: list[mido.MidiTrack]) -> bytes:
    out = io.BytesIO()
    mido.MidiFile(type=1, ticks_per_beat=1, tracks=tracks).save(file=out)
    return out.getvalue()


def written(events: list[tuple[int, int, str, int, int]]) -> bytes:
    return file([track(events, number) for number in range(4)])
