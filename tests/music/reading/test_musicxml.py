"""Reading MusicXML: small scores with known notes, and real scores."""

from __future__ import annotations

import zipfile
from fractions import Fraction
from pathlib import Path

import muspy
import pytest
from scores import attributes, grace, note, part, read, rows, score_part

from mmt.music.reading.midi import read_midi
from mmt.music.reading.musicxml import read_musicxml


@pytest.mark.parametrize(
    ("divisions", "durations"),
    [
        (1, ["0.5", "0.5", "0.5", "2.5"]),
        (1, ["1.5", "2.5"]),
        (1, ["0.333333", "0.666667", "1"]),
        (1.5, ["1.5", "0.75", "3"]),
    ],
)
def test_decimal_durations_are_exact(tmp_path: Path, divisions: float, durations: list[str]) -> None:
    music = read(tmp_path, part(attributes(divisions) + "".join(note("C", duration) for duration in durations)))
    beats = [float(duration) / divisions for duration in durations]
    found = [(time / music.resolution, length / music.resolution) for time, _, length in rows(music.tracks[0])]
    assert found == [
        (pytest.approx(sum(beats[:k]), abs=1e-3), pytest.approx(beat, abs=1e-3)) for k, beat in enumerate(beats)
    ]


def test_voices_chords_and_rests_are_placed(tmp_path: Path) -> None:
    measure = (
        attributes()
        + note("C", 2)
        + note("E", 2, before="<chord/>")
        + "<note><rest/><duration>2</duration></note>"
        + "<backup><duration>4</duration></backup><forward><duration>1</duration></forward>"
        + note("G", 3)
    )
    music = read(tmp_path, part(measure, note("A", 4)))
    assert music.resolution == 2
    assert rows(music.tracks[0]) == [(0, 60, 2), (0, 64, 2), (1, 67, 3), (4, 69, 4)]


def test_a_measure_is_as_long_as_its_longest_voice(tmp_path: Path) -> None:
    """muspy continues at the end of the last voice, so that parts lose their alignment."""
    short = note("C", 4) + "<backup><duration>4</duration></backup>" + note("E", 1)
    list_of_two = '<score-part id="P1"/><score-part id="P2"/>'
    music = read(
        tmp_path,
        part(attributes() + short, note("D", 4)),
        part(attributes() + note("C", 3), note("D", 4), number="P2"),
        part_list=list_of_two,
    )
    assert [rows(track)[-1] for track in music.tracks] == [(4, 62, 4), (4, 62, 4)]


def test_ties_are_one_note(tmp_path: Path) -> None:
    start, stop = '<tie type="start"/>', '<tie type="stop"/>'
    music = read(
        tmp_path,
        part(attributes() + note("C", 4, start), note("C", 4, stop + start), note("C", 2, stop) + note("C", 2)),
    )
    assert rows(music.tracks[0]) == [(0, 60, 10), (10, 60, 2)]


def test_a_tie_stays_in_its_voice(tmp_path: Path) -> None:
    first = note("C", 4, '<tie type="start"/><voice>1</voice>') + "<backup><duration>4</duration></backup>"
    first += "<forward><duration>2</duration></forward>" + note("C", 2, '<tie type="start"/><voice>2</voice>')
    second = note("C", 2, '<tie type="stop"/><voice>2</voice>') + "<backup><duration>2</duration></backup>"
    second += note("C", 4, '<tie type="stop"/><voice>1</voice>')
    assert rows(read(tmp_path, part(attributes() + first, second)).tracks[0]) == [(0, 60, 8), (2, 60, 4)]


def test_a_spread_chord_is_held_until_its_end(tmp_path: Path) -> None:
    measure = note("C", 1, '<tie type="start"/>') + note("E", 1) + note("C", 6, '<tie type="stop"/>')
    assert rows(read(tmp_path, part(attributes() + measure)).tracks[0]) == [(0, 60, 8), (1, 64, 1)]


def test_grace_notes_come_before_the_beat(tmp_path: Path) -> None:
    music = read(tmp_path, part(attributes() + note("C", 2) + grace("D") + grace("E") + note("F", 2)))
    assert music.resolution == 24
    assert rows(music.tracks[0]) == [(0, 60, 24), (18, 74, 3), (21, 76, 3), (24, 65, 24)]


def test_cues_are_silent_rests(tmp_path: Path) -> None:
    assert rows(read(tmp_path, part(attributes() + note("C", 2, before="<cue/>") + note("D", 2))).tracks[0]) == [
        (2, 62, 2)
    ]


def test_transposing_instruments_are_at_sounding_pitch(tmp_path: Path) -> None:
    transpose = (
        "<key><fifths>2</fifths><mode>major</mode></key><transpose><diatonic>-1</diatonic><chromatic>-2</chromatic>"
    )
    transpose += "<octave-change>-1</octave-change></transpose>"
    music = read(tmp_path, part(attributes(more=transpose) + note("C", 2)))
    assert rows(music.tracks[0]) == [(0, 60 - 14, 2)]
    assert [(key.fifths, key.root) for key in music.key_signatures] == [(0, 0)]


def test_keys_and_time_signatures_are_read(tmp_path: Path) -> None:
    more = "<key><fifths>-3</fifths><mode>minor</mode></key><time><beats>3+2</beats><beat-type>8</beat-type></time>"
    music = read(tmp_path, part(attributes(more=more) + note("C", 5), note("D", 5)))
    assert [(key.time, key.root, key.mode, key.fifths) for key in music.key_signatures] == [(0, 0, "minor", -3)]
    assert [(time.time, time.numerator, time.denominator) for time in music.time_signatures] == [(0, 5, 8)]


def test_titles_are_joined_and_the_composer_is_first(tmp_path: Path) -> None:
    head = (
        "<work><work-title>A cycle</work-title></work><movement-title>Its\n song</movement-title><identification>"
        '<creator type="lyricist">Words</creator><creator type="composer">Notes</creator></identification>'
    )
    music = read(tmp_path, part(f"<measure>{attributes()}{note('C', 2)}</measure>"), head=head)
    assert music.metadata.title == "A cycle: Its song"
    assert music.metadata.creators == ["Notes", "Words"]


def test_tempos_and_dynamics_are_read(tmp_path: Path) -> None:
    metronome = "<direction><direction-type><metronome><beat-unit>quarter</beat-unit><beat-unit-dot/><per-minute>60</per-minute>"
    metronome += "</metronome></direction-type></direction>"
    loud = '<direction><sound dynamics="100" tempo="72"/></direction>'
    music = read(tmp_path, part(attributes() + metronome + note("C", 2) + loud + note("D", 2)))
    assert [(tempo.time, tempo.qpm) for tempo in music.tempos] == [(0, 90), (2, 72)]
    assert [n.velocity for n in music.tracks[0].notes] == [64, 90]


def test_signatures_are_repeated_after_a_jump(tmp_path: Path) -> None:
    four = "<time><beats>4</beats><beat-type>4</beat-type></time>"
    two = "<attributes><time><beats>2</beats><beat-type>4</beat-type></time></attributes>"
    begin, end = (
        '<barline><repeat direction="forward"/></barline>',
        '<barline><repeat direction="backward"/></barline>',
    )
    music = read(tmp_path, part(attributes(more=four) + note("C", 8), begin + note("E", 8), two + note("D", 4) + end))
    assert [(time.time, time.numerator) for time in music.time_signatures] == [(0, 4), (16, 2), (20, 4), (28, 2)]
    assert rows(music.tracks[0]) == [(0, 60, 8), (8, 64, 8), (16, 62, 4), (20, 64, 8), (28, 62, 4)]


def test_programs_count_from_one_and_voices_are_named(tmp_path: Path) -> None:
    midi = "<midi-channel>1</midi-channel><midi-program>{}</midi-program>"
    lyric = "<lyric><text>la</text></lyric>"
    parts = [
        (score_part("Violin I", "Violin", "strings.violin", midi.format(41)), ""),
        (score_part("Voice", "Voice", "voice.vocals", midi.format(69), "P2"), lyric),
        (score_part("Singstimme", "", "", midi.format(69), "P3"), ""),
        (score_part("Oboe", "Oboe", "wind.reed.oboe", midi.format(69), "P4"), ""),
        (score_part("Bass", "", "", "", "P5"), lyric),
        (score_part("Bass", "", "", "", "P6"), ""),
    ]
    music = read(
        tmp_path,
        *(part(attributes() + note("C", 2, inside), number=f"P{k}") for k, (_, inside) in enumerate(parts, start=1)),
        part_list="".join(entry for entry, _ in parts),
    )
    assert [track.program for track in music.tracks] == [40, 52, 52, 68, 52, 43]
    assert [lyric.lyric for lyric in music.tracks[1].lyrics] == ["la"]


def test_drums_are_read(tmp_path: Path) -> None:
    midi = "<midi-channel>10</midi-channel><midi-program>1</midi-program><midi-unpitched>37</midi-unpitched>"
    hit = "<note><unpitched><display-step>E</display-step><display-octave>4</display-octave></unpitched>"
    hit += "<duration>2</duration></note>"
    music = read(tmp_path, part(attributes() + hit), part_list=score_part("Drums", midi=midi))
    assert (music.tracks[0].is_drum, rows(music.tracks[0])) == (True, [(0, 36, 2)])


def test_quarter_tones_and_odd_numbers_are_read(tmp_path: Path) -> None:
    measure = (
        attributes() + note("B", 2, alter=-0.5) + "<note><pitch><step>H</step></pitch><duration>two</duration></note>"
    )
    assert [row[0] for row in rows(read(tmp_path, part(measure + note("C", 2))).tracks[0])] == [0, 2]


def test_timewise_scores_are_read(tmp_path: Path) -> None:
    path = tmp_path / "timewise.xml"
    measures = [f'<measure number="{k}"><part id="P1">{attributes()}{note("C", 4)}</part></measure>' for k in (1, 2)]
    path.write_text(f'<score-timewise><part-list><score-part id="P1"/></part-list>{"".join(measures)}</score-timewise>')
    assert rows(read_musicxml(path).tracks[0]) == [(0, 60, 4), (4, 60, 4)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<score-partwise>", "not well-formed XML"),
        (b"<html/>", "not a MusicXML score \\(its root is <html>\\)"),
        (b'<!DOCTYPE x [<!ENTITY a "aaaa">]><score-partwise>&a;</score-partwise>', "XML entities"),
        (b"PK\x03\x04 cut short", "cannot read"),
    ],
)
def test_invalid_scores_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.musicxml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_musicxml(path)
    assert str(path) in str(caught.value)


def test_archives_that_unpack_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.mxl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("score.xml", "w") as file:
        for _ in range(200):
            file.write(bytes(1 << 20))
    with pytest.raises(ValueError, match="more than 128 MiB"):
        read_musicxml(path)


def test_another_score_does_not_replace_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "damaged.mxl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("first.xml", "second.xml"):
            archive.writestr(name, f"<score-partwise><part><!-- {name} --></part></score-partwise>")
    path.write_bytes(path.read_bytes().replace(b"-- first", b"-- worst"))
    with pytest.raises(ValueError, match=r"the archive cannot be unpacked .*first\.xml.*damaged"):
        read_musicxml(path)


# --- real scores ---

NASTY = {  # notes, end in beats, programs
    "Bruckner_WAB.105_3a_Scherzo": (10305, 1141, {40, 41, 42, 43, 47, 56, 57, 58, 60, 68, 70, 71, 73}),
    "lc6218315": (1780, 394, {0, 52}),
    "lc6486038": (1214, Fraction(505, 2), {0, 46, 52}),
    "lc6725890": (132, 26, {0, 52}),
    "lc6726319": (242, 41, {0, 52}),
}


@pytest.mark.parametrize("name", NASTY)
def test_scores_that_muspy_rejects_are_read(shared: Path, name: str) -> None:
    music = read_musicxml(shared / "data" / "nasty" / "musicxml" / f"{name}.mxl")
    count = sum(len(track) for track in music.tracks)
    programs = {track.program for track in music.tracks}
    assert (count, Fraction(music.get_end_time(), music.resolution), programs) == NASTY[name]
    assert all(n.time >= 0 and n.duration > 0 for track in music.tracks for n in track.notes)


def test_scores_agree_with_their_midi_files(shared: Path) -> None:
    """The MIDI files were made by muspy. It stretches ties over other notes and puts grace notes on the beat.

    In the quartets that it plays without their da capo there is more music in ours.
    """
    folder = shared / "data" / "examples"
    compared = 0
    for path in sorted((folder / "mxl").glob("*.mxl")):
        midi = folder / "mid" / f"{path.stem}.mid"
        if midi.exists():
            ours, theirs = onsets(read_musicxml(path)), onsets(read_midi(midi))
            assert len(ours & theirs) >= 0.98 * len(theirs), path.stem
            compared += 1
    assert compared == 2


def test_scores_agree_with_the_corpus(shared: Path, train_zip: Path, tmp_path: Path) -> None:
    """Onsets, pitches and programs of the songs, whose MIDI files are in the corpus. (See above; one song has 38 chords
    that are spread and tied, which muspy strikes twice.)"""
    with zipfile.ZipFile(train_zip) as archive:
        corpus = {Path(name).stem: name for name in archive.namelist() if name.startswith("openscore_")}
        for path in sorted((shared / "data" / "examples" / "mxl").glob("openscore_lieder__*.mxl")):
            midi = read_midi(archive.extract(corpus[path.stem.split("__")[1]], tmp_path))
            music = read_musicxml(path)
            ours, theirs = onsets(music), onsets(midi)
            assert len(ours & theirs) >= 0.93 * len(theirs), path.stem
            assert {track.program for track in music.tracks} == {track.program for track in midi.tracks}
            assert Fraction(music.get_end_time(), music.resolution) == Fraction(midi.get_end_time(), midi.resolution)


def onsets(music: muspy.Music) -> set[tuple[Fraction, int]]:
    return {(Fraction(n.time, music.resolution), n.pitch) for track in music.tracks for n in track.notes}


def test_bar_lines_are_where_measures_begin(tmp_path: Path) -> None:
    backward = '<barline><repeat direction="backward"/></barline>'
    music = read(tmp_path, part(attributes() + note("C", 2), note("D", 8), note("E", 6) + backward))
    assert [barline.time for barline in music.barlines] == [0, 2, 10, 16, 18, 26, 32]
