"""Editing in a real browser: select, draw, move, rewrite, continue, by mouse and by keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from live import CHROMIUM, QUARTET, Open, sounding

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium")


def test_notes_are_edited_by_mouse_and_every_step_undone(open_tab: Open) -> None:
    tab = open_tab()
    tab.compose("Piano")
    states = [sounding(tab.notes())]
    mouse = tab.page.mouse

    def changed(act: Callable[[], None]) -> list[list[int]]:
        revision = tab.piece()["revision"]
        act()
        piece = tab.wait_for_revision(revision)
        states.append(sounding(piece["score"]["notes"]))
        tab.page.locator("#history li:nth-child(1) [aria-current]", has_text=f"{len(piece['history'])}.").wait_for()
        notes: list[list[int]] = piece["score"]["notes"]
        return notes

    def drag(start: tuple[float, float], end: tuple[float, float]) -> None:
        mouse.move(*start)
        mouse.down()
        mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        mouse.move(*end)
        mouse.up()

    tab.button("Draw").click()
    # Above all other notes, so that no note covers it.
    pitch = max(row[2] for row in tab.notes()) + 2
    drawn = changed(lambda: drag(tab.place(2.1, pitch), tab.place(3.9, pitch)))
    assert [24, 24, pitch, 1] in drawn
    tab.button("Select").click()
    moved = changed(lambda: drag(tab.place(2.5, pitch), tab.place(4.5, pitch - 1)))
    assert [48, 24, pitch - 1, 1] in moved
    assert [24, 24, pitch, 1] not in moved
    end = tab.place(6, pitch - 1)
    longer = changed(lambda: drag((end[0] - 4, end[1]), (tab.place(7, pitch)[0] - 4, end[1])))
    assert [48, 36, pitch - 1, 1] in longer
    mouse.click(*tab.place(4.5, pitch - 1))
    assert tab.selected() == "Selected: 1 note"
    deleted = changed(lambda: tab.page.keyboard.press("Delete"))
    assert [48, 36, pitch - 1, 1] not in deleted
    for expected in reversed(states[:-1]):
        revision = tab.piece()["revision"]
        tab.page.keyboard.press("Control+z")
        assert sounding(tab.wait_for_revision(revision)["score"]["notes"]) == expected
    for expected in states[1:]:
        revision = tab.piece()["revision"]
        tab.page.keyboard.press("Control+Shift+z")
        assert sounding(tab.wait_for_revision(revision)["score"]["notes"]) == expected


def test_bars_are_typed_after_a_click_into_each_field(open_tab: Open) -> None:
    tab = open_tab()
    tab.page.locator("#file").set_input_files(QUARTET)
    tab.page.locator("#report", has_text="notes kept").wait_for()
    first, last = (tab.page.get_by_label(name) for name in ("First bar", "Last bar"))
    for low, high in ((5, 8), (12, 30), (3, 3)):
        for field, bar in ((first, low), (last, high)):
            field.click()
            tab.page.keyboard.type(str(bar))
        tab.page.keyboard.press("Enter")
        title = f"Selected: bars {low} to {high}, all parts" if low < high else f"Selected: bar {low}, all parts"
        tab.page.locator("#selection", has_text=title).wait_for()
    last.click()
    tab.page.keyboard.type("999")
    tab.page.keyboard.press("Tab")
    playwright.expect(last).to_have_value("100")


def test_bars_are_selected_by_mouse_and_their_notes_transposed_and_deleted(open_tab: Open) -> None:
    tab = open_tab()
    tab.compose("String trio", beats=12)
    notes = tab.notes()
    ruler = tab.page.locator(".ruler").bounding_box()
    assert ruler is not None
    tab.page.mouse.move(tab.place(4.5, 60)[0], ruler["y"] + 10)
    tab.page.mouse.down()
    tab.page.mouse.move(tab.place(9, 60)[0], ruler["y"] + 10, steps=3)
    tab.page.mouse.up()
    assert tab.selected() == "Selected: bars 2 to 3, all parts"
    tab.page.get_by_role("group", name="Parts that are selected").get_by_role("button", name="viola").click()
    assert tab.selected() == "Selected: bars 2 to 3, viola"
    revision = tab.piece()["revision"]
    tab.button("Transpose up an octave").click()
    moved = tab.wait_for_revision(revision)["score"]["notes"]
    inside = [row for row in notes if row[0] >= 48 and row[3] == 26]
    expected = sorted([[*row[:2], row[2] + 12, row[3]] if row in inside else row for row in notes])
    assert sorted(moved) == expected
    tab.page.locator("#history [aria-current]", has_text="transposed").wait_for()
    revision = tab.piece()["revision"]
    tab.button("Delete").click()
    assert sorted(tab.wait_for_revision(revision)["score"]["notes"]) == sorted(
        row for row in notes if row not in inside
    )


def test_the_model_continues_adds_a_part_and_gives_notes_to_others(open_tab: Open) -> None:
    tab = open_tab()
    tab.compose("Flute and harp", beats=8)
    tab.page.locator("#actions").get_by_text("Settings for new music").click()
    tab.page.locator("#actions").get_by_label("Alternatives").fill("1")
    tab.page.locator("#actions").get_by_label("Beats to add when continuing").fill("4")
    first = tab.notes()
    tab.button("Continue from the end").click()
    tab.wait_for_alternatives(1)
    tab.keep(1)
    continued = tab.notes()
    assert sounding([row for row in continued if row[0] < 96]) == sounding(first)
    tab.select_bars(1, 1)
    tab.button("Add a part …").click()
    dialog = tab.page.get_by_role("dialog", name="Add a part")
    dialog.get_by_label("Search instruments").fill("cello")
    dialog.get_by_role("radio", name="cello").check()
    dialog.get_by_role("button", name="Write the part").click()
    tab.wait_for_alternatives(1)
    tab.keep(1)
    assert [row for row in tab.notes() if row[3] != 27] == continued
    assert {part["name"] for part in tab.piece()["score"]["parts"]} == {"flute", "harp", "cello"}
    tab.button("All").click()
    tab.button("Change instruments …").click()
    dialog = tab.page.get_by_role("dialog", name="Change instruments")
    for name in ("piano", "celesta"):
        dialog.get_by_role("checkbox", name=name, exact=True).check()
    dialog.get_by_role("button", name="Change").click()
    tab.page.locator(".choose-head p", has_text="keep the one").or_(tab.page.locator(".message.error")).first.wait_for()
    if tab.page.locator(".message.error").count() == 0:
        tab.keep(1)
        assert {row[3] for row in tab.notes()} <= {1, 5}


def test_every_action_works_by_keyboard(open_tab: Open) -> None:
    tab = open_tab()
    keyboard = tab.page.keyboard
    tab.button("Piano", exact=False).first.focus()
    keyboard.press("Enter")
    tab.page.get_by_label("Length (beats)").fill("8")
    tab.button("Write music").focus()
    keyboard.press("Space")
    tab.page.locator(".choose-head p", has_text="keep the one").wait_for()
    keyboard.press("2")
    for name in ("Pause", "Play", "Pause"):
        tab.button(f"{name} alternative 2").wait_for()
        keyboard.press("Space")
    tab.button("Keep alternative 2").focus()
    keyboard.press("Enter")
    tab.page.locator("#choose").wait_for(state="hidden")
    tab.page.locator("#roll .roll").focus()
    keyboard.press("Home")
    keyboard.press("Shift+ArrowRight")
    keyboard.press("Shift+ArrowRight")
    assert "beats 1 to 2" in tab.selected()
    keyboard.press("Escape")
    assert tab.selected() == "Nothing is selected"
    keyboard.press(".")
    assert tab.selected() == "Selected: 1 note"
    before = tab.notes()
    for key, difference in (("ArrowUp", [0, 0, 1]), ("Alt+ArrowRight", [6, 0, 0]), ("Alt+Shift+ArrowRight", [0, 6, 0])):
        revision = tab.piece()["revision"]
        keyboard.press(key)
        after = tab.wait_for_revision(revision)["score"]["notes"]
        tab.page.locator("#history [aria-current]", has_text=f"{len(tab.piece()['history'])}.").wait_for()
        (old,), (new,) = [r for r in before if r not in after][:1], [r for r in after if r not in before][:1]
        assert all(b - a == d or (d and b > a) for a, b, d in zip(old, new, difference, strict=False)), key
        before = after
    keyboard.press("n")
    tab.page.locator("#history [aria-current]", has_text="note added").wait_for()
    assert len(tab.notes()) in (len(before), len(before) + 1)
