"""MusicXML scores after public bug reports of other programs, named in each test, with their right notes."""

from __future__ import annotations

from pathlib import Path

from scores import BACKWARD, FORWARD, attributes, barline, beats, grace, note, part, read, score_part, sign, time, words

START, STOP = '<tie type="start"/>', '<tie type="stop"/>'
BACK = "<backup><duration>{}</duration></backup>"
SPACE = "<forward><duration>{}</duration></forward>"
REST = "<note><rest/><duration>{}</duration></note>"
TUPLET = "<time-modification><actual-notes>{}</actual-notes><normal-notes>{}</normal-notes></time-modification>"


def order(folder: Path, *measures: str) -> list[int]:
    """The measures in playing order, from 1; each is a note of its own pitch."""
    filled = []
    for pitch, (before, _, after) in enumerate(measure.partition("|") for measure in measures):
        filled.append(f"{before}{note('C', 8, octave=0, alter=pitch)}{after}")
    music = read(folder, part(attributes(2, time("4")) + filled[0], *filled[1:]))
    return [pitch - 11 for _, _, pitch in beats(music)]


def test_an_arpeggio_tied_into_a_chord_is_held(tmp_path: Path) -> None:
    """musescore/MuseScore#26453: each note of one measure is tied to the chord of the next."""
    spread = "".join(note(step, 2, START) for step in "CEGB")
    chord = "".join(note(step, 8, STOP, before="<chord/>" * (step != "C")) for step in "CEGB")
    assert beats(read(tmp_path, part(attributes(2, time("4")) + spread, chord))) == [
        (0, 8, 60), (1, 7, 64), (2, 6, 67), (3, 5, 71)
    ]  # fmt: skip


def test_a_tie_may_go_to_another_staff(tmp_path: Path) -> None:
    """CPJKU/partitura#501: a tie across measures and staves, with one of the same pitch encoded before it."""
    first = note("G", 8, START + "<voice>1</voice><staff>1</staff>")
    second = note("E", 4, "<voice>1</voice><staff>1</staff>") + note("G", 4, START + "<voice>1</voice><staff>1</staff>")
    second += BACK.format(8) + note("G", 4, STOP + "<voice>5</voice><staff>2</staff>") + REST.format(4)
    third = note("G", 8, STOP + "<voice>1</voice><staff>1</staff>")
    music = read(tmp_path, part(attributes(2, time("4")) + first, second, third))
    assert beats(music) == [(0, 6, 67), (4, 2, 64), (6, 6, 67)]


def test_repeated_tie_elements_are_one(tmp_path: Path) -> None:
    """Audiveris/audiveris#283: a note with the start of its tie written three times."""
    tied = 3 * START + "<notations>" + 3 * '<tied type="start"/>' + "</notations>"
    assert beats(read(tmp_path, part(attributes(2, time("4")) + note("A", 8, tied), note("A", 8, STOP)))) == [
        (0, 8, 69)
    ]


def test_chords_with_ties_are_not_longer(tmp_path: Path) -> None:
    """grame-cncm/libmusicxml#31: and a tie with a start but no end loses no note."""
    first = note("C", 8, START) + note("E", 8, START, before="<chord/>")
    second = note("C", 8, STOP) + note("E", 8, before="<chord/>")
    assert beats(read(tmp_path, part(attributes(2, time("4")) + first, second))) == [
        (0, 4, 64), (0, 8, 60), (4, 4, 64)
    ]  # fmt: skip


def test_chords_in_tuplets_advance_once(tmp_path: Path) -> None:
    """rism-digital/verovio#4225."""
    inside = "<type>eighth</type>" + TUPLET.format(3, 2)
    triplet = (
        note("C", 2, inside) + note("E", 2, inside, before="<chord/>") + note("D", 2, inside) + note("E", 2, inside)
    )
    second = BACK.format(12) + note("G", 12, "<staff>2</staff>")
    music = read(tmp_path, part(attributes(6, time("2")) + triplet + note("F", 6) + second, note("A", 12)))
    assert [onset for onset, _, _ in beats(music)] == [0, 0, 0, 0.333, 0.667, 1, 2]


def test_nested_tuplets_are_exact(tmp_path: Path) -> None:
    """musescore/MuseScore#22671: triplets in a triplet, rounded to 480 divisions a beat."""
    inner = note("C", 53, "<type>16th</type>" + TUPLET.format(9, 4))
    outer = note("D", 160, "<type>eighth</type>" + TUPLET.format(3, 2))
    music = read(tmp_path, part(attributes(480, time("4")) + 2 * (3 * inner + 2 * outer), note("E", 1920)))
    ninth = [(0, 60), (1, 60), (2, 60), (3, 62), (6, 62)]
    assert [(onset, pitch) for onset, _, pitch in beats(music)][:5] == [(round(k / 9, 3), pitch) for k, pitch in ninth]
    assert beats(music)[5][0] == 1


def test_a_direction_after_the_last_note_does_not_shift_the_next_measure(tmp_path: Path) -> None:
    """rism-digital/verovio#4393 and #4394: a backup and a forward around it, also of one division."""
    for back, forward in ((1, 1), (1, 2), (4, 4)):
        measure = note("C", 12) + BACK.format(back) + words("dim.") + SPACE.format(forward)
        assert beats(read(tmp_path, part(attributes(4, time("3")) + measure, note("D", 12)))) == [
            (0, 3, 60),
            (3, 3, 62),
        ]


def test_a_beginning_with_rests_before_the_divisions(tmp_path: Path) -> None:
    """musescore/MuseScore#2600: divisions are stated in the second measure and used in the first."""
    rest = '<note><rest measure="yes"/><duration>24</duration></note>'
    first = f"<attributes>{time('3')}</attributes>{rest}"
    assert beats(read(tmp_path, part(first, attributes(8) + note("C", 24)))) == [(3, 3, 60)]


def test_a_dynamic_does_not_move_notes_without_divisions(tmp_path: Path) -> None:
    """rism-digital/verovio#3263."""
    quarter = "<type>quarter</type>"
    dynamic = "<direction><direction-type><dynamics><f/></dynamics></direction-type></direction>"
    measure = note("C", 1, quarter) + note("D", 1, quarter) + dynamic + note("E", 1, quarter) + note("F", 1, quarter)
    music = read(tmp_path, part(f"<attributes>{time('4')}</attributes>{measure}", note("G", 4)))
    assert [onset for onset, _, _ in beats(music)] == [0, 1, 2, 3, 4]


def test_a_measure_that_lacks_a_division_is_whole(tmp_path: Path) -> None:
    """musescore/MuseScore#28305: measures of 2,398 divisions, where 2,400 are meant."""
    music = read(tmp_path, part(attributes(600, time("4")) + note("C", 2398), note("D", 2400)))
    assert [onset for onset, _, _ in beats(music)] == [0, 4]


def test_da_capo_al_coda_by_sounds_of_the_measure(tmp_path: Path) -> None:
    """CoderLine/alphaTab#2860: after the da capo, "to coda" leads to the coda."""
    marks = ("|", '|<sound tocoda="coda1"/>', '|<sound dacapo="yes"/>', '<sound coda="coda1"/>|')
    assert order(tmp_path, *marks) == [1, 2, 3, 1, 2, 4]


def test_a_repeat_in_the_coda_is_taken(tmp_path: Path) -> None:
    """infojunkie/musicxml-midi#26: dal segno al coda, then a repeat."""
    marks = (
        "|",
        sign("segno") + "|",
        "|" + words("To Coda"),
        "|" + words("D.S. al Coda"),
        sign("coda") + FORWARD + "|",
        "|" + BACKWARD,
        "|",
    )
    assert order(tmp_path, *marks) == [1, 2, 3, 4, 2, 3, 5, 6, 5, 6, 7]


def test_a_segno_that_is_also_a_repeat(tmp_path: Path) -> None:
    """sirged/fermata#151: the repeat is not taken again after the jump."""
    marks = (
        sign("segno") + FORWARD + "|",
        "|",
        "|" + BACKWARD,
        "|" + words("To Coda"),
        "|",
        "|" + words("D.S. al Coda"),
        sign("coda") + "|",
    )
    assert order(tmp_path, *marks) == [1, 2, 3, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 7]


def test_an_ending_with_fine(tmp_path: Path) -> None:
    """musescore/MuseScore#25844: two endings without a repeat sign, a fine in the second."""
    first = barline('<ending number="1" type="start"/>', "left") + "|" + barline('<ending number="1" type="stop"/>')
    second = (
        barline('<ending number="2" type="start"/>', "left")
        + "|"
        + words("Fine")
        + barline('<ending number="2" type="discontinue"/>')
    )
    assert order(tmp_path, "|", first, second, "|" + words("D.C. al Fine")) == [1, 2, 1, 3, 4, 1, 3]


def test_grace_notes_after_a_rest(tmp_path: Path) -> None:
    """musescore/MuseScore#19701: grace notes between a rest and the barline."""
    music = read(
        tmp_path, part(attributes(2, time("4")) + note("C", 4) + REST.format(4) + grace("D") + grace("E"), note("F", 8))
    )
    assert [onset for onset, _, _ in beats(music)] == [0, 3.75, 3.875, 4]


def test_overlapping_notes_of_one_voice(tmp_path: Path) -> None:
    """musescore/MuseScore#15879: backups shorter than the notes before them."""
    measure = REST.format(12) + BACK.format(9) + note("C", 3) + note("D", 3) + note("E", 3) + REST.format(36)
    music = read(tmp_path, part(attributes(12, time("4")) + measure, note("F", 48)))
    assert [onset for onset, _, _ in beats(music)] == [0.25, 0.5, 0.75, 4]


def test_instruments_that_the_part_list_does_not_have(tmp_path: Path) -> None:
    """w3c-cg/musicxml#429: notes that name no or another score-instrument."""
    other = '<instrument id="elsewhere"/>'
    listed = score_part("Flute", midi="<midi-program>74</midi-program>")
    music = read(tmp_path, part(attributes(2, time("4")) + note("C", 4) + note("D", 4, other)), part_list=listed)
    assert [(track.program, len(track.notes)) for track in music.tracks] == [(73, 2)]


def test_a_whole_rest_of_a_second_voice_does_not_lengthen_its_measure(tmp_path: Path) -> None:
    head = attributes(2, time("3"))
    assert beats(read(tmp_path, part(head + note("C", 6) + BACK.format(6) + REST.format(8), note("D", 6)))) == [
        (0, 3, 60), (3, 3, 62)
    ]  # fmt: skip


def test_an_empty_part_does_not_fill_a_measure_that_is_not_counted(tmp_path: Path) -> None:
    first, second = (
        f'<part id="P{number}"><measure number="1">{attributes(2, time("4"))}{note("C", 8)}</measure><measure number="X1" '
        f'implicit="yes">{inside}</measure><measure number="2">{note("E", 8)}</measure></part>'
        for number, inside in ((1, note("D", 4)), (2, ""))
    )
    both = '<score-part id="P1"/><score-part id="P2"/>'
    onsets = [(onset, pitch) for onset, _, pitch in beats(read(tmp_path, first, second, part_list=both))]
    assert onsets == [(0, 60), (0, 60), (4, 62), (6, 64), (6, 64)]
