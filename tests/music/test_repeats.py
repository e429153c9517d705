"""The order in which measures are played."""

from __future__ import annotations

from mmt.music.reading.repeats import RepeatMarks, playing_order


def order(text: str) -> str:
    """The order of measures "a b c", each with signs: `|:` begins and `:|` ends a repeat, [1] an ending, Fine, DC and so on."""
    measures, movement = [], 0
    for place, word in enumerate(text.split()):
        _, *signs = word.split(",")
        measure = RepeatMarks(movement=movement)
        for sign in signs:
            if sign == "new":
                movement = measure.movement = place
            elif sign == "|:":
                measure.repeat_begins = True
            elif sign.startswith(":|"):
                measure.repeat_times = int(sign[2:] or 2)
            elif sign.isdecimal():
                measure.endings |= {int(sign)}
            else:
                setattr(measure, sign, True)
        measures.append(measure)
    names = [word.split(",")[0] for word in text.split()]
    return "".join(names[index] for index in playing_order(measures))


def test_repeats_are_played_twice() -> None:
    assert order("a b c") == "abc"
    assert order("a b,:| c") == "ababc"
    assert order("a b,|: c,:| d") == "abcbcd"
    assert order("a,|: b,:|3 c") == "abababc"
    assert order("a,|:,:| b,|:,:|") == "aabb"


def test_endings_are_played_in_their_pass() -> None:
    assert order("a b,1,:| c,2 d") == "abacd"
    assert order("a b,1 c,1,:| d,2 e,|: f,:|") == "abcadefef"
    assert order("a b,1,2,:| c,3 d") == "ababacd"
    assert order("a b,1,:| c,2 d e,|: f,1,:| g,2") == "abacdefeg"
    assert order("a b,1,:| c,2,:| d,|: e,:|") == "abacdede"


def test_jumps_are_followed() -> None:
    assert order("a b,fine c,da_capo") == "abcab"
    assert order("a b,:|,fine c d,:|,da_capo") == "abab" + "cdcd" + "ab"
    assert order("a b,segno c,fine d,dal_segno") == "abcdbc"
    assert order("a b,to_coda c d,da_capo e,coda f") == "abcdabef"
    assert order("a b,1,:| c,2,fine d,da_capo") == "abacd" + "ac"


def test_a_da_capo_goes_back_to_its_own_movement() -> None:
    assert order("a b c,new d,fine e,da_capo f,new g,fine h,da_capo i,new") == "ab" + "cdecd" + "fghfg" + "i"


def test_contradictory_signs_end() -> None:
    assert order("a,da_capo b,da_capo").startswith("a")
    assert order("a,1 b,1") == "ab"
    assert order("a,dal_segno b") == "aab"
    assert len(order("a,|: " + "b,:|16 " * 300)) < 40_000
