"""The page in a real browser: every action by clicks and keys, against the shipped model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from live import CHROMIUM, QUARTET, Open, Server, Tab, read_notes, saved, sounding
from small_corpora import write_tiny_corpus
from studio_client import ROOT

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium")


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
    tab.choose("Piano", beats=512, alternatives=3)
    tab.button("Write music").click()
    tab.page.locator(".card.writing .hint", has_text=re.compile(r"\d\d+ notes …")).first.wait_for()
    tab.button("Play alternative 1").dispatch_event("click")  # a click waits for a card that stays as it is
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

    tab.button("Robert Franz: Für Einen").click()
    tab.page.locator("#roll path.part").first.wait_for(state="attached")
    playwright.expect(tab.page.locator("#parts li")).not_to_have_count(0)
    playwright.expect(tab.page.locator("#parts li.loading")).to_have_count(0, timeout=60_000)
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
