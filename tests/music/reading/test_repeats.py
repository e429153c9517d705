"""The order in which sections are played."""

from __future__ import annotations

from mmt.music.reading.repeats import AFTER_JUMP, Jump, Section, playing_order


def sections(text: str) -> list[Section]:
    """The sections "a b c", each with signs: `|:` begins and `:|` ends a repeat, [1] an ending, Fine, DC and so on."""
    found, movement = [], 0
    for place, word in enumerate(text.split()):
        _, *signs = word.split(",")
        section = Section(movement=movement)
        for sign in signs:
            kind, _, label = sign.partition("=")
            if sign == "new":
                movement = section.movement = place
            elif sign == "|:":
                section.repeat_begins = True
            elif sign.startswith(":|"):
                section.repeats_after_jump = sign.endswith("!")
                section.repeat_times = int(sign[2:].rstrip("!") or 2)
            elif sign.isdecimal():
                section.endings |= {int(sign)}
            elif kind == "DC":
                section.jumps = (Jump(None, label or None),)
            elif kind == "DS":
                section.jumps = (Jump(label),)
            elif kind == "Fine":
                section.fine = True
            else:
                getattr(section, {"segno": "segnos", "coda": "codas", "tocoda": "to_codas"}[kind]).add(label)
        found.append(section)
    return found


def order(text: str) -> str:
    names = [word.split(",")[0] for word in text.split()]
    return "".join(names[index] for index, _ in playing_order(sections(text)))


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


def test_a_single_first_ending_is_left_out_the_second_time() -> None:
    assert order("a,|: b,1,:| c d") == "abacd"
    assert order("a,|: b,1,2,:| c d") == "ababacd"


def test_endings_repeat_without_a_sign() -> None:
    assert order("a,|: b,1 c,2 d") == "abacd"
    assert order("a b,1 c,1 d,2 e,3 f") == "abcadaef"
    assert order("a b,1 c") == "abc"


def test_endings_are_played_if_others_are_missing() -> None:
    assert order("a b,2 c") == "abc"
    assert order("a,|: b,:| c,2 d") == "ababcd"
    assert order("a,|: b,1,:| c,3 d") == "abacd"


def test_jumps_are_followed() -> None:
    assert order("a b,Fine c,DC") == "abcab"
    assert order("a b,:|,Fine c d,:|,DC") == "abab" + "cdcd" + "ab"
    assert order("a b,segno c,Fine d,DS") == "abcdbc"
    assert order("a b,tocoda c d,DC e,coda f") == "abcdabef"
    assert order("a b,1,:| c,2,Fine d,DC") == "abacd" + "ac"


def test_jumps_go_to_the_sign_of_their_name() -> None:
    assert order("a,segno=s1 b,DS=s1 c,segno=s2 d,DS=s2 e") == "abab" + "cdcd" + "e"
    assert order("a,tocoda=c2 b,DC c,coda=c1 d,coda=c2") == "abad"
    # Without names, the last segno and the next coda.
    assert order("a,segno b,DS c,segno d,DS e") == "abab" + "cdcd" + "e"
    assert order("a,segno=x b,DS=y c") == "ababc"


def test_words_of_a_jump_say_where_the_passage_after_it_ends() -> None:
    assert order("a,tocoda b,Fine c,DC=fine d,coda") == "abcab"
    assert order("a,Fine b,tocoda c,DC=coda d,coda") == "abcabd"


def test_repeats_are_taken_after_a_jump_where_the_score_says_so() -> None:
    assert order("a,|:,:| b,Fine c,DC") == "aabcab"
    assert order("a,|:,:|! b,Fine c,DC") == "aabcaab"
    assert order("a b,1,:|! c,2,Fine d,DC") == "abacd" + "abac"


def test_what_follows_a_da_capo_is_played_after_the_fine_unless_it_is_the_coda() -> None:
    assert order("a,Fine b,DC c,DC") == "abacac"[:2] + "ac" + "a"
    assert order("a,tocoda b,Fine c,DC=fine d,coda e,new") == "abcab" + "e"


def test_a_da_capo_goes_back_to_its_own_movement() -> None:
    assert order("a b c,new d,Fine e,DC f,new g,Fine h,DC i,new") == "ab" + "cdecd" + "fghfg" + "i"


def test_contradictory_signs_end() -> None:
    assert order("a,DC b,DC").startswith("a")
    assert order("a,1 b,1") == "ab"
    assert order("a,DS b") == "aab"
    assert order("a,coda b,tocoda c,DC d") == "abcabcd"
    assert len(order("a,|: " + "b,:|16 " * 300)) < 40_000


def test_the_pass_of_each_section_is_given() -> None:
    assert playing_order(sections("a b,:| c,DC")) == [
        (0, 1), (1, 1), (0, 2), (1, 2), (2, 1), (0, AFTER_JUMP), (1, AFTER_JUMP), (2, AFTER_JUMP)
    ]  # fmt: skip


def test_a_jump_with_a_pass_number_is_taken_in_that_pass() -> None:
    found = sections("a b,:| c")
    for number, expected in ((1, [0, 1, 0, 1, 2]), (2, [0, 1, 0, 1, 0, 1, 2])):
        found[1].jumps = (Jump(None, None, frozenset({number})),)
        assert [index for index, _ in playing_order(found)] == expected
