"""The page in a real browser: every action by clicks and keys, against the shipped model."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live import CHROMIUM, Open, Server, Tab, read_notes, saved, sounding
from small_corpora import write_tiny_corpus
from studio_client import ROOT

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium")

QUARTET = ROOT / "data" / "tiny" / "mayer_quartet_in_g_minor.mid"


def test_a_piece_for_an_ensemble_with_bars_5_to_8_rewritten_in_a_file(open_tab: Open, tmp_path: Path) -> None:
    tab = open_tab()
    tab.choose("String trio", beats=32, alternatives=4)
    tab.button("Write music").click()
    tab.wait_for_alternatives(4)
    tab.button("Play alternative 2").click()
    tab.button("Pause alternative 2").wait_for()
    tab.keep(2)
    before = tab.notes()
    assert before
    tab.select_bars(5, 8)
    assert tab.selected() == "Selected: bars 5 to 8, all parts"
    tab.button("Rewrite").click()
    tab.wait_for_alternatives(4)
    tab.keep(3)
    after = tab.notes()
    assert sounding([row for row in after if row[0] < 192]) == sounding([row for row in before if row[0] < 192])
    assert sounding(after) != sounding(before)
    for link, suffix in (("MIDI", ".mid"), ("MusicXML", ".musicxml")):
        path = saved(tab, link, tmp_path)
        assert path.name == f"Violin, viola and cello{suffix}"
        assert read_notes(path) == sounding(after)
    assert saved(tab, "Audio (WAV)", tmp_path).read_bytes()[:4] == b"RIFF"
    assert "<!DOCTYPE html>" in saved(tab, "Web page with player", tmp_path).read_text(encoding="utf-8")[:20]


def test_a_piece_is_written_in_a_form(open_tab: Open) -> None:
    tab = open_tab()
    tab.choose("Flute and harp", alternatives=2)
    tab.page.get_by_label("Form", exact=True).select_option("own")
    tab.page.get_by_label("Letters of the sections").fill("ab-a")
    tab.page.get_by_label("Beats per section").fill("6")
    tab.page.get_by_label("Beats per section").press("Tab")
    tab.page.locator("#start", has_text="3 sections: 18 beats, 5 bars of 4/4").wait_for()
    tab.button("Write music").click()
    tab.page.get_by_role("heading", name="New music in the form ABA").wait_for()
    tab.wait_for_alternatives(2)
    tab.keep(2)
    notes = sounding(tab.notes())
    first, last = ([(onset % 72, *rest) for onset, *rest in notes if onset // 72 == place] for place in (0, 2))
    assert first == last != []
    tab.page.locator("#history summary").click()
    command = tab.page.locator("#history pre").inner_text()
    assert command.startswith("mmt-generate --instruments flute,harp --form ABA --section 6")


def test_settings_of_the_start_page_hold_for_the_piece_but_for_the_seed(open_tab: Open) -> None:
    tab = open_tab()
    tab.compose("Piano", beats=8, alternatives=2, seed=7)
    tab.page.locator("#actions").get_by_text("Settings for new music").click()
    settings = tab.page.locator("#actions")
    assert settings.get_by_label("Alternatives").input_value() == "2"
    settings.get_by_text("More settings").click()
    assert settings.get_by_label("Seed").input_value() == ""
    tab.select_bars(1, 1)
    tab.button("Rewrite").click()
    tab.wait_for_alternatives(2)
    assert tab.piece()["alternatives"][0]["made"]["seed"] != 7


def test_an_empty_piece_is_written_with_the_settings_that_it_shows(open_tab: Open) -> None:
    tab = open_tab()
    tab.choose("Piano", beats=8, alternatives=1)
    tab.button("Write music").click()
    tab.wait_for_alternatives(1)
    tab.button("Discard all").click()
    tab.page.locator("#save").wait_for(state="hidden")
    tab.page.locator("#actions").get_by_label("Length (beats)").fill("4")
    tab.page.locator("#actions").get_by_label("Length (beats)").press("Tab")
    tab.button("Write music").last.click()
    tab.wait_for_alternatives(1)
    assert tab.piece()["alternatives"][0]["made"]["settings"]["beats"] == 4
    tab.keep(1)
    tab.page.locator("#save").wait_for()


def test_a_piece_grows_while_it_is_written_and_played_and_can_be_stopped(open_tab: Open) -> None:
    tab = open_tab()
    tab.choose("Piano", beats=512, alternatives=1)
    tab.button("Write music").click()
    tab.page.locator(".card.writing .hint", has_text=re.compile(r"\d\d+ notes …")).wait_for()
    tab.button("Play alternative 1").click()
    tab.button("Pause alternative 1").wait_for()
    tab.button("Stop").click()
    tab.page.locator(".choose-head p", has_text="Stopped.").wait_for()
    tab.button("Pause alternative 1").wait_for()  # it plays on
    tab.keep(1)
    assert tab.notes()


def test_discarding_leaves_the_piece(open_tab: Open) -> None:
    tab = open_tab()
    tab.compose()
    notes = tab.notes()
    tab.select_bars(1, 1)
    tab.button("Rewrite").click()
    tab.page.locator(".card").first.wait_for()
    tab.button("Discard all").click()
    tab.page.locator("#choose").wait_for(state="hidden")
    assert tab.notes() == notes


def test_a_file_is_opened_and_its_report_shown(open_tab: Open) -> None:
    tab = open_tab()
    tab.page.locator("#file").set_input_files(QUARTET)
    tab.page.locator("#report", has_text="notes kept").wait_for()
    assert tab.page.get_by_label("Title").input_value() == "Adagio con molta espressione"
    assert len(tab.notes()) == 1820


def test_a_dropped_file_is_opened(open_tab: Open) -> None:
    tab = open_tab()
    content = (ROOT / "data" / "tiny" / "parry_good_night.mxl").read_bytes()
    transfer = tab.page.evaluate_handle(
        "(bytes) => { const t = new DataTransfer(); t.items.add(new File([new Uint8Array(bytes)], 'song.mxl')); return t; }",
        list(content),
    )
    for event in ("dragenter", "dragover", "drop"):
        tab.page.dispatch_event("body", event, {"dataTransfer": transfer})
    tab.page.locator("#report", has_text="notes kept").wait_for()


def test_an_example_is_opened(open_tab: Open) -> None:
    tab = open_tab()
    tab.button("Robert Franz: Für Einen").click()
    tab.page.locator("#roll path.part").first.wait_for(state="attached")
    assert tab.notes()


def test_the_list_of_instruments_is_searched(open_tab: Open) -> None:
    tab = open_tab()
    search = tab.page.get_by_label("Search instruments")
    search.fill("french")
    assert tab.page.locator("#start .instrument").all_inner_texts() == ["horn"]
    search.press("Enter")
    search.fill("harp")
    tab.page.get_by_role("checkbox", name="harp", exact=True).check()
    assert tab.page.locator("#start .chips li").count() == 2
    tab.button("Remove horn").click()
    tab.button("Write music").click()
    tab.page.locator(".card").first.wait_for()
    assert [part["name"] for part in tab.piece()["score"]["parts"]] == ["harp"]


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


def test_a_piece_that_was_opened_and_a_note_that_is_selected_are_heard(open_tab: Open, context: Any) -> None:
    context.add_init_script(
        """const { start } = AudioBufferSourceNode.prototype; window.sounded = 0;
        AudioBufferSourceNode.prototype.start = function (...rest) { window.sounded += 1; return start.apply(this, rest); };"""
    )
    tab = open_tab()

    def sounded(least: int) -> int:
        for _ in range(600):
            if (count := tab.page.evaluate("() => window.sounded")) >= least:
                return int(count)
            tab.page.wait_for_timeout(100)
        raise AssertionError(f"{count} notes sounded, not {least}")

    with tab.page.expect_response("**/sounds/piano"):
        tab.button("Robert Franz: Für Einen").click()
    tab.page.locator("#roll path.part").first.wait_for(state="attached")
    tab.page.wait_for_timeout(500)  # for the recordings to be taken over
    onset, duration, pitch, _ = min(tab.notes(), key=lambda row: row[0])
    tab.page.mouse.click(*tab.place((onset + duration / 2) / 12, pitch))
    assert sounded(1) == 1
    tab.page.keyboard.press(".")
    assert sounded(2) == 2
    tab.button("Play").click()
    sounded(8)


def test_the_music_is_heard_by_parts_in_a_loop_and_at_a_tempo(open_tab: Open) -> None:
    tab = open_tab()
    tab.compose("String trio", beats=16)
    # The position is that of the last frame that was drawn, so these wait for it.
    position = playwright.expect(tab.page.locator("#roll .roll"))
    tab.page.keyboard.press("Space")
    tab.button("Pause").wait_for()
    tab.page.locator("#parts li.sounding").first.wait_for()
    position.not_to_have_attribute("aria-valuenow", "0.00")
    tab.page.keyboard.press("Space")
    tab.button("Play").wait_for()
    tab.select_bars(2, 2)
    tab.button("Loop the selection").click()
    position.to_have_attribute("aria-valuenow", "4.00")
    tab.page.locator("#roll .roll").press("Home")
    position.to_have_attribute("aria-valuenow", "0.00")
    tab.button("Mute viola").click()
    assert "silent" in tab.page.locator("#parts li", has_text="viola").get_attribute("class")
    tab.button("Solo cello").click()
    assert tab.page.locator("#parts li.silent").count() == 2
    tab.page.get_by_label("Volume of cello").fill("30")
    tempo = tab.page.get_by_label("Tempo, quarter notes per minute")
    tempo.fill("150")
    revision = tab.piece()["revision"]
    tempo.press("Enter")
    assert tab.wait_for_revision(revision)["score"]["tempo"] == 150
    tab.page.wait_for_timeout(700)
    tab.page.reload()
    tab.page.locator("#parts li.silent").nth(1).wait_for()
    assert tab.page.get_by_label("Volume of cello").input_value() == "30"
    assert tab.page.get_by_label("Tempo, quarter notes per minute").input_value() == "150"


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


def test_surprise_and_attention_are_shown(open_tab: Open) -> None:
    tab = open_tab()
    tab.compose("String trio", beats=8)
    tab.page.get_by_text("Look inside").click()
    tab.button("Colour the notes by surprise").click()
    tab.page.locator("#inside", has_text="nats per note").wait_for()
    assert tab.page.locator(".heat").count() == 5
    tab.button("Show which notes the model looks at").click()
    tab.page.locator("#roll .roll").focus()
    for _ in range(6):
        tab.page.keyboard.press(".")
    tab.page.locator(".arc").first.wait_for(state="attached")
    tab.page.locator("#inside", has_text="the model looks most at").wait_for()
    tab.page.get_by_label("Layer", exact=True).select_option("1")
    tab.page.locator("#inside", has_text="the model looks most at").wait_for()


def test_history_shows_how_each_version_was_made(open_tab: Open, context: Any) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab = open_tab()
    tab.compose("String trio", beats=8, seed=5)
    tab.page.locator("#history summary").click()
    command = tab.page.locator("#history pre").inner_text()
    assert command.startswith("mmt-generate --instruments violin,viola,cello")
    assert "--seed 5" in command
    tab.button("Copy the command").click()
    tab.page.locator(".message", has_text="Copied.").wait_for()
    assert tab.page.evaluate("() => navigator.clipboard.readText()") == command
    tab.button("1. new piece").click()
    tab.page.locator("#history [aria-current]", has_text="1. new piece").wait_for()
    assert tab.notes() == []
    tab.button("Redo").click()
    tab.page.locator("#history [aria-current]", has_text="2. written").wait_for()
    assert tab.notes()
    tab.page.get_by_text("Originality").click()
    tab.button("Check the piece").click()
    tab.page.locator("#originality", has_text="--corpus").wait_for()


def test_a_training_piece_is_recognised_on_the_page(context: Any, tmp_path: Path) -> None:
    song = ROOT / "data" / "tiny" / "franz_fuer_einen.mid"
    with Server(tmp_path, str(song), "--port", "0", "--corpus", str(write_tiny_corpus(tmp_path / "corpus"))) as server:
        tab = Tab(context, server.url)
        tab.page.get_by_text("Originality").click()
        tab.button("Check the piece").click()
        tab.page.locator("#originality .stands-out", has_text="as in franz_fuer_einen").wait_for()
        tab.button("All").click()
        tab.button("Transpose up a semitone").click()
        tab.page.locator("#originality pre").wait_for(state="hidden")
        assert tab.troubles == []


def test_midi_can_be_dragged_out(open_tab: Open) -> None:
    tab = open_tab()
    tab.compose("Piano", beats=4)
    tab.page.locator("#save summary").click()
    dragged = tab.page.get_by_role("link", name="MIDI", exact=True).evaluate(
        """(link) => { const dataTransfer = new DataTransfer();
            link.dispatchEvent(new DragEvent('dragstart', { dataTransfer, bubbles: true }));
            return dataTransfer.getData('DownloadURL'); }"""
    )
    kind, name, url = dragged.split(":", 2)
    assert (kind, name) == ("audio/midi", "Piano.mid")
    assert tab.page.context.request.get(url).body()[:4] == b"MThd"
