"""Writing MusicXML: mmt, music21 and muspy read the written notes back."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import music21
import muspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmt
from mmt.music.reading.midi import read_midi
from mmt.music.reading.musicxml import read_musicxml
from mmt.music.writing.musicxml import score, write_musicxml
from mmt.representation.codes import NOTE
from mmt.representation.encode import canonical, frame
from mmt.representation.notes import LeftOutWarning

tracks = st.builds(
    lambda program, is_drum, notes: muspy.Track(
        0 if is_drum else program, is_drum, notes=[muspy.Note(*note) for note in notes]
    ),
    st.integers(0, 127),
    st.booleans(),
    st.lists(
        st.tuples(st.integers(0, 130), st.integers(0, 127), st.integers(1, 60), st.integers(1, 127)),
        min_size=1,
        max_size=12,
    ),
)
pieces = st.builds(
    lambda resolution, tracks, times, keys: muspy.Music(
        resolution=resolution,
        tracks=tracks,
        time_signatures=[muspy.TimeSignature(time, above, below) for time, above, below in times],
        key_signatures=[muspy.KeySignature(time, fifths=fifths) for time, fifths in keys],
    ),
    st.sampled_from([1, 5, 7, 12, 24]),
    st.lists(tracks, min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 100), st.integers(1, 9), st.sampled_from([2, 4, 8, 16])), max_size=3),
    st.lists(st.tuples(st.integers(0, 100), st.integers(-7, 7)), max_size=2),
)


def rows(music: muspy.Music) -> Counter[tuple[object, ...]]:
    """Notes in beats, to compare pieces of different resolutions."""
    beat = music.resolution
    return Counter(
        (Fraction(n.time, beat), Fraction(n.duration, beat), n.pitch, n.velocity, track.program, track.is_drum)
        for track in music.tracks
        for n in track.notes
    )


@settings(max_examples=80, deadline=None)
@given(pieces)
def test_round_trip_keeps_every_note(tmp_path_factory: pytest.TempPathFactory, music: muspy.Music) -> None:
    path = tmp_path_factory.getbasetemp() / "any.musicxml"
    write_musicxml(path, music)
    assert rows(read_musicxml(path)) == rows(music)


def test_real_pieces_are_read_back(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "examples" / "mid"
    for original in sorted(folder.glob("*.mid"), key=lambda file: file.stat().st_size)[:14]:
        music = read_midi(original)
        write_musicxml(tmp_path / "copy.mxl", music)
        copy = read_musicxml(tmp_path / "copy.mxl")
        assert rows(copy) == rows(music), original.name
        assert [track.name for track in copy.tracks] == [track.name for track in music.tracks]


@pytest.fixture
def music() -> muspy.Music:
    violin = [muspy.Note(0, 60, 30, 80), muspy.Note(0, 64, 30, 80), muspy.Note(30, 61, 4), muspy.Note(34, 62, 86)]
    drums = [muspy.Note(12 * beat, 36 + beat % 2, 6) for beat in range(8)]
    return muspy.Music(
        metadata=muspy.Metadata(title="Zwei & drei", creators=["Müller", "Meier"], copyright="CC0"),
        resolution=12,
        tempos=[muspy.Tempo(0, 96.5), muspy.Tempo(40, 60.0)],
        time_signatures=[muspy.TimeSignature(0, 3, 4), muspy.TimeSignature(72, 6, 8)],
        key_signatures=[muspy.KeySignature(0, root=10, mode="major")],
        tracks=[
            muspy.Track(40, name="Geige", notes=violin, lyrics=[muspy.Lyric(34, "früh")]),
            muspy.Track(0, True, "Trommel", drums),
        ],
    )


def test_tempos_signatures_and_names_are_read_back(tmp_path: Path, music: muspy.Music) -> None:
    write_musicxml(tmp_path / "piece.musicxml", music)
    copy = read_musicxml(tmp_path / "piece.musicxml")
    assert (copy.metadata.title, copy.metadata.creators, copy.metadata.copyright) == (
        "Zwei & drei",
        ["Müller", "Meier"],
        "CC0",
    )
    assert copy.tempos == music.tempos
    assert copy.time_signatures == music.time_signatures
    assert [(key.root, key.mode, key.fifths) for key in copy.key_signatures] == [(10, "major", -2)]
    assert [(track.name, track.is_drum) for track in copy.tracks] == [("Geige", False), ("Trommel", True)]
    assert copy.tracks[0].lyrics == [muspy.Lyric(34, "früh")]


def test_lyrics_of_no_track_go_to_the_notes_at_their_times(tmp_path: Path) -> None:
    piano, voice = (
        muspy.Track(program, notes=[muspy.Note(time, 60, 12) for time in times])
        for program, times in ((0, (0, 24)), (52, (0, 12, 24)))
    )
    lyrics = [
        muspy.Lyric(time, text) for time, text in ((0, "Row"), (12, " row"), (12, "\r"), (24, "your"), (30, "oh"))
    ]
    path = tmp_path / "song.musicxml"
    with pytest.warns(LeftOutWarning, match="lyrics that are at no note, and not in the score: 1"):
        write_musicxml(path, muspy.Music(resolution=12, lyrics=lyrics, tracks=[piano, voice]))
    copy = {track.program: [lyric.lyric for lyric in track.lyrics] for track in read_musicxml(path).tracks}
    assert copy == {0: [], 52: ["Row", "row", "your"]}


def test_music21_and_muspy_read_the_same_notes(tmp_path: Path, music: muspy.Music) -> None:
    path = tmp_path / "piece.musicxml"
    write_musicxml(path, music)
    parsed = music21.converter.parse(path.read_text(encoding="utf-8"), format="musicxml")
    violin = parsed.parts[0].stripTies().flatten()
    assert sorted((n.offset * 12, p.midi, n.quarterLength * 12) for n in violin.notes for p in n.pitches) == sorted(
        (n.time, n.pitch, n.duration) for n in music.tracks[0].notes
    )
    assert parsed.parts[0].getInstrument().midiProgram == 40
    music.tracks.pop()  # muspy misreads the instruments of drums
    write_musicxml(path, music)
    assert [len(track) for track in muspy.read_musicxml(path).tracks] == [4]


def test_notes_are_split_at_bar_lines_into_note_values(music: muspy.Music) -> None:
    first = score(music).find("part")
    assert first is not None
    for measure in first.findall("measure"):
        assert all(note.find("type") is not None for note in measure.findall("note"))
    beginnings = [note.findtext("type") for note in first.findall("measure")[0].findall("note")]
    assert beginnings == ["half", "half", "eighth", "eighth", "eighth", "16th"]


def test_keys_with_flats_are_spelled_with_flats(music: muspy.Music) -> None:
    assert [a.text for a in score(music).iter("alter") if a.text != "0"] == ["-1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time_signatures": [muspy.TimeSignature(0, 4, 3)]}, "time signature of 4/3"),
        ({"tracks": [muspy.Track(notes=[muspy.Note(0, 128, 1)])]}, "pitch 128"),
        ({"tracks": [muspy.Track(notes=[muspy.Note(1 << 28, 60, 1)])]}, "too long for a score"),
        ({"resolution": 0}, "resolution 0"),
        ({"tracks": [muspy.Track(128)]}, "part 1 has program 128"),
    ],
)
def test_music_that_a_score_cannot_represent_is_refused(
    music: muspy.Music, change: dict[str, object], message: str
) -> None:
    for name, value in change.items():
        setattr(music, name, value)
    with pytest.raises(ValueError, match=message):
        score(music)


def test_control_characters_are_replaced(tmp_path: Path, music: muspy.Music) -> None:
    music.tracks[0].name = "Vio\x00lin\x1b[31m"
    write_musicxml(tmp_path / "piece.musicxml", music)
    assert read_musicxml(tmp_path / "piece.musicxml").tracks[0].name == "Vio lin [31m"


def clefs_of(program: int, *pitches: int, is_drum: bool = False) -> list[tuple[str | None, str | None, str | None]]:
    track = muspy.Track(program, is_drum, notes=[muspy.Note(12 * i, pitch, 12) for i, pitch in enumerate(pitches)])
    root = score(muspy.Music(resolution=12, tracks=[track]))
    return [(c.findtext("sign"), c.findtext("line"), c.findtext("clef-octave-change")) for c in root.iter("clef")]


def test_clefs_suit_the_instrument_and_its_notes() -> None:
    assert clefs_of(40, 60, 76) == [("G", "2", None)]
    assert clefs_of(41, 55, 67) == [("C", "3", None)]
    assert clefs_of(42, 40, 55) == [("F", "4", None)]
    assert clefs_of(43, 30, 43) == [("F", "4", "-1")]
    assert clefs_of(72, 90, 98) == [("G", "2", "1")]
    assert clefs_of(52, 50, 57) == [("G", "2", "-1")]
    assert clefs_of(0, 36, is_drum=True) == [("percussion", None, None)]


def test_keyboards_with_a_wide_range_have_two_staves(tmp_path: Path) -> None:
    assert clefs_of(0, 40, 76) == [("G", "2", None), ("F", "4", None)]
    assert clefs_of(0, 60, 76) == [("G", "2", None)]
    notes = [muspy.Note(0, pitch, 36, 70) for pitch in (36, 48, 64, 72)] + [
        muspy.Note(12, 55, 60),
        muspy.Note(36, 70, 6),
    ]
    music = muspy.Music(resolution=12, tracks=[muspy.Track(0, notes=notes)])
    root = score(music)
    for note in root.iter("note"):
        if note.find("pitch") is not None:
            assert (note.findtext("staff") == "1") == (int(note.findtext("pitch/octave") or 0) >= 4)
    for measure in root.iter("measure"):
        # The first voice of a staff fills the bar.
        for staff in ("1", "2"):
            of_staff = [note for note in measure.findall("note") if note.findtext("staff") == staff]
            first = [
                n for n in of_staff if n.findtext("voice") == of_staff[0].findtext("voice") and n.find("chord") is None
            ]
            assert sum(int(note.findtext("duration") or 0) for note in first) == 48
    write_musicxml(tmp_path / "piano.musicxml", music)
    assert rows(read_musicxml(tmp_path / "piano.musicxml")) == rows(music)
    parsed = music21.converter.parse((tmp_path / "piano.musicxml").read_text(encoding="utf-8"), format="musicxml")
    heard = [
        (n.offset * 12, p.midi, n.quarterLength * 12) for n in parsed.stripTies().flatten().notes for p in n.pitches
    ]
    assert sorted(heard) == sorted((note.time, note.pitch, note.duration) for note in notes)


def test_accidentals_are_written_once_per_bar_and_line() -> None:
    # In B flat major: no sign for B flat, one for E natural; signs hold to the bar line, and tied notes have none.
    pitches = [70, 64, 64, 63, 66, 66, 65, 71]
    notes = [muspy.Note(12 * beat, pitch, 12) for beat, pitch in enumerate(pitches)] + [muspy.Note(84, 61, 24)]
    key = muspy.KeySignature(0, fifths=-2)
    root = score(muspy.Music(resolution=12, key_signatures=[key], tracks=[muspy.Track(40, notes=notes)]))
    found = [
        (measure.get("number"), note.findtext("pitch/step"), note.findtext("accidental"))
        for measure in root.iter("measure")
        for note in measure.findall("note")
        if note.find("accidental") is not None
    ]
    assert sorted(found) == [
        ("1", "E", "flat"),
        ("1", "E", "natural"),
        ("2", "B", "natural"),
        ("2", "D", "flat"),
        ("2", "F", "natural"),
        ("2", "F", "sharp"),
    ]


@pytest.mark.parametrize("fifths", range(-7, 8))
def test_every_pitch_is_read_back_in_every_key(fifths: int) -> None:
    notes = [muspy.Note(12 * beat, pitch, 12) for beat, pitch in enumerate(range(48, 86))]
    key = muspy.KeySignature(0, fifths=fifths)
    root = score(muspy.Music(resolution=12, key_signatures=[key], tracks=[muspy.Track(40, notes=notes)]))
    text = ElementTree.tostring(root, encoding="unicode")
    parsed = music21.converter.parse(text, format="musicxml").flatten()
    assert [note.pitch.midi for note in parsed.notes] == list(range(48, 86))
    # Notes of the key have no sign; raised notes of the minor key have a sharp or a natural.
    scale = {pitch.name for pitch in music21.key.KeySignature(fifths).getScale().pitches}
    names = {note.pitch.name for note in parsed.notes}
    assert scale <= names
    assert len(names) == 12
    if -5 <= fifths <= 4:
        assert music21.key.KeySignature(fifths).asKey("minor").getLeadingTone().name in names


def test_without_a_key_the_score_is_in_the_likely_key() -> None:
    for pitches, names, sharps in (
        ([67, 70, 74, 75, 66, 67], "G B- D E- F# G", -2),
        ([64, 68, 71, 63, 64], "E G# B D# E", 4),
    ):
        notes = [muspy.Note(12 * beat, pitch, 12) for beat, pitch in enumerate(pitches)]
        text = ElementTree.tostring(
            score(muspy.Music(resolution=12, tracks=[muspy.Track(40, notes=notes)])), encoding="unicode"
        )
        parsed = music21.converter.parse(text, format="musicxml").flatten()
        assert " ".join(note.pitch.name for note in parsed.notes) == names
        assert [key.sharps for key in parsed[music21.key.KeySignature]] == [sharps]


def test_every_drum_key_is_read_back(tmp_path: Path) -> None:
    """Unpitched notes, each drum an instrument of its own on MIDI channel 10; also keys that share a place on the staff."""
    representation = mmt.Representation(drums=True)
    rows = [(NOTE, 1 + key // 8, 1 + key % 2, 1 + key, 1 + key % 20, representation.drums_code) for key in range(128)]
    events = frame(canonical(np.array(rows), representation), end=True)
    mmt.write(tmp_path / "drums.musicxml", mmt.decode(events, representation=representation))
    copy = mmt.read(tmp_path / "drums.musicxml")
    assert [(track.name, track.is_drum) for track in copy.tracks] == [("drums", True)]
    np.testing.assert_array_equal(mmt.encode(copy, representation=representation), events)
    root = ElementTree.parse(tmp_path / "drums.musicxml").getroot()
    defined = {element.get("id") for element in root.iter("score-instrument")}
    assert len(defined) == 128
    assert {element.get("id") for element in root.iter("midi-instrument")} == defined
    assert {element.text for element in root.iter("midi-channel")} == {"10"}
    sounding = [note for note in root.iter("note") if note.find("rest") is None]
    assert {note.find("instrument").get("id") for note in sounding} == defined  # type: ignore[union-attr]
    assert all(note.find("unpitched") is not None and note.find("pitch") is None for note in sounding)
    assert all(0 <= int(text.text or -1) <= 9 for text in root.iter("display-octave"))


def test_drums_have_their_usual_places_on_the_staff() -> None:
    track = muspy.Track(0, True, notes=[muspy.Note(12 * place, key, 12) for place, key in enumerate((36, 38, 42))])
    root = score(muspy.Music(resolution=12, tracks=[track]))
    places = [(u.findtext("display-step"), u.findtext("display-octave")) for u in root.iter("unpitched")]
    assert places == [("F", "4"), ("C", "5"), ("G", "5")]
    assert [note.findtext("notehead") for note in root.iter("note")][:3] == [None, None, "x"]
    names = [element.text for element in root.iter("instrument-name")]
    assert names == ["Bass Drum 1", "Acoustic Snare", "Closed Hi-Hat"]


def line(resolution: int, *notes: tuple[int, int, int], program: int = 40, **marks: object) -> muspy.Music:
    """Music of one track of (onset, pitch, duration)."""
    track = muspy.Track(program, notes=[muspy.Note(*note) for note in notes])
    return muspy.Music(resolution=resolution, tracks=[track], **marks)


IRREGULAR = {
    "pickup": [1, 4, 4],
    "split bar": [4, 3, 4, 3, 1, 4],
    "eighth pickup": [Fraction(1, 2), 4, 4],
    "3/8 + 2/4": [Fraction(7, 2), Fraction(7, 2)],
    "cadenza": [4, 11, 4],
    "short end": [1, 4, 3],
}


@pytest.mark.parametrize("suffix", ["musicxml", "mid"])
@pytest.mark.parametrize("lengths", IRREGULAR.values(), ids=IRREGULAR)
def test_irregular_bars_come_back_with_their_bar_lines(tmp_path: Path, lengths: list[Fraction], suffix: str) -> None:
    starts = [int(12 * sum(lengths[:place])) for place in range(len(lengths) + 1)]
    music = line(
        12,
        *((time, 60, 6) for time in range(0, starts[-1], 6)),
        time_signatures=[muspy.TimeSignature(0, 4, 4)],
        barlines=[muspy.Barline(start) for start in starts],
    )
    mmt.write(tmp_path / f"bars.{suffix}", music)
    parsed = music21.converter.parse(tmp_path / f"bars.{suffix}").parts[0]
    assert [measure.offset * 12 for measure in parsed[music21.stream.Measure]] == starts[:-1]
    copy = mmt.read(tmp_path / f"bars.{suffix}")
    assert rows(copy) == rows(music)
    if suffix == "musicxml":
        assert [line.time * 12 // copy.resolution for line in copy.barlines] == starts
        # A second round trip changes nothing.
        mmt.write(tmp_path / "again.musicxml", copy)
        assert (tmp_path / "again.musicxml").read_bytes() == (tmp_path / "bars.musicxml").read_bytes()


def test_a_pickup_is_measure_0() -> None:
    music = line(12, (0, 60, 12), (12, 62, 48), (60, 64, 48), barlines=[muspy.Barline(time) for time in (0, 12, 60)])
    measures = list(score(music).iter("measure"))
    assert [(m.get("number"), m.get("implicit")) for m in measures] == [("0", "yes"), ("1", None), ("2", None)]


def written(root: ElementTree.Element) -> list[tuple[object, ...]]:
    """(type, dots, actual, normal) of each note and rest."""
    return [
        (
            n.findtext("type"),
            len(n.findall("dot")),
            n.findtext("time-modification/actual-notes"),
            n.findtext("time-modification/normal-notes"),
        )
        for n in root.iter("note")
    ]


@pytest.mark.parametrize(
    ("count", "beats", "kind", "normal"),
    [
        (3, 1, "eighth", 2),
        (5, 1, "16th", 4),
        (7, 1, "16th", 4),
        (11, 1, "32nd", 8),
        (13, 1, "32nd", 8),
        (3, 2, "quarter", 2),
        (5, 4, "quarter", 4),
    ],
)
@pytest.mark.parametrize("resolution", [480, 0])
def test_tuplets_have_a_type_a_ratio_and_a_bracket(
    count: int, beats: int, kind: str, normal: int, resolution: int
) -> None:
    # At 480 ticks most of these lengths are rounded.
    resolution = resolution or count
    times = [round(place * beats * resolution / count) for place in range(count + 1)]
    notes = [(start, 60 + place, end - start) for place, (start, end) in enumerate(pairwise(times))]
    root = score(line(resolution, *notes))
    assert written(root)[:count] == [(kind, 0, str(count), str(normal))] * count
    brackets = [[t.get("type") for t in n.iter("tuplet")] for n in root.iter("note")][:count]
    assert brackets == [["start"], *[[]] * (count - 2), ["stop"]]


def test_a_tuplet_is_full_in_every_voice(tmp_path: Path) -> None:
    """Programs discard or stretch a tuplet whose notes and rests do not fill it."""
    notes = [(0, 72, 60), (20, 60, 8), (36, 62, 24), (4, 65, 100), (76, 48, 60)]
    for measure in score(line(12, *notes)).iter("measure"):
        left: dict[tuple[str | None, str | None], Fraction] = {}
        for note in measure.iter("note"):
            ratio = note.findtext("time-modification/actual-notes")
            if ratio and note.find("chord") is None:
                voice = (note.findtext("voice"), ratio)
                left.setdefault(voice, Fraction(0))
                left[voice] += int(note.findtext("duration") or 0)
                if any(t.get("type") == "stop" for t in note.iter("tuplet")):
                    assert (left.pop(voice) / 12).denominator in (1, 2)
        assert not left


def test_notes_between_note_values_are_kept_and_counted(tmp_path: Path) -> None:
    """Every note of a recorded performance is written, near its time, with a note value."""
    rng = np.random.default_rng(0)
    onsets = np.sort(rng.integers(0, 4 * 480, 24)).tolist()
    music = line(480, *((onset, 60 + place, int(rng.integers(1, 700))) for place, onset in enumerate(onsets)))
    with pytest.warns(LeftOutWarning, match=r"2\d of 24 notes lie between note values"):
        mmt.write(tmp_path / "played.musicxml", music)
    copy = mmt.read(tmp_path / "played.musicxml")
    apart = [
        (a.pitch == b.pitch, abs(a.time / 480 - b.time / copy.resolution))
        for a, b in zip(music.tracks[0].notes, sorted(copy.tracks[0].notes, key=lambda note: note.pitch), strict=True)
    ]
    assert all(same and distance <= 1 / 24 for same, distance in apart)
    root = ElementTree.parse(tmp_path / "played.musicxml").getroot()
    assert all(note.find("type") is not None or note.find("rest") is not None for note in root.iter("note"))


def test_a_staff_has_four_voices_at_most_and_keeps_every_note(tmp_path: Path) -> None:
    music = line(12, *((6 * place, 60 + 2 * place, 60) for place in range(10)))
    write_musicxml(tmp_path / "thick.musicxml", music)
    assert rows(read_musicxml(tmp_path / "thick.musicxml")) == rows(music)
    root = ElementTree.parse(tmp_path / "thick.musicxml").getroot()
    assert {voice.text for voice in root.iter("voice")} == {"1", "2", "3", "4"}


def test_music_without_notes_or_tracks_has_a_part_with_a_measure(tmp_path: Path) -> None:
    for number, music in enumerate([muspy.Music(resolution=12), muspy.Music(resolution=12, tracks=[muspy.Track(0)])]):
        mmt.write(tmp_path / f"{number}.musicxml", music)
        root = ElementTree.parse(tmp_path / f"{number}.musicxml").getroot()
        assert [part.get("id") for part in root.iter("score-part")] == [part.get("id") for part in root.iter("part")]
        assert len(list(root.iter("measure"))) == 1
        assert not mmt.read(tmp_path / f"{number}.musicxml").tracks


def test_generated_music_has_a_title_and_score_order() -> None:
    piano, voices = (
        muspy.Track(program, name=name, notes=[muspy.Note(0, 60, 12)])
        for program, name in ((0, "piano"), (52, "voices"))
    )
    root = score(muspy.Music(resolution=12, tracks=[piano, voices]))
    assert root.findtext("work/work-title") == "Voices and piano"
    assert [name.text for name in root.iter("part-name")] == ["voices", "piano"]
