"""The page in a real browser: after errors and reloads, in a narrow window, in two tabs, and in long use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from live import CHROMIUM, Open, Server, Tab, sounding

pytest.importorskip("playwright")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium")


def test_a_reload_does_not_lose_the_music_that_is_being_written(open_tab: Open) -> None:
    tab = open_tab()
    tab.choose("Piano", beats=400, alternatives=2)
    tab.button("Write music").click()
    tab.page.locator(".card.writing .hint", has_text=re.compile(r"\d\d+ notes …")).first.wait_for()
    tab.page.reload()
    tab.page.locator(".card").nth(1).wait_for()
    tab.button("Stop").click()
    tab.wait_for_alternatives(2)
    tab.page.reload()
    tab.wait_for_alternatives(2)
    tab.keep(2)
    notes = tab.notes()
    tab.page.reload()
    tab.page.locator("#roll path.part").first.wait_for(state="attached")
    assert tab.notes() == notes


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [("huge.mid", 50 * 2**20, "takes files of up to 16 MB"), ("bad.mid", 4, "cannot read bad.mid")],
)
def test_a_file_that_cannot_be_opened_shows_an_error(
    open_tab: Open, tmp_path: Path, name: str, size: int, message: str
) -> None:
    tab = open_tab()
    (tmp_path / name).write_bytes(b"x" * size)
    tab.page.locator("#file").set_input_files(tmp_path / name)
    tab.page.locator(".message.error", has_text=message).wait_for()
    tab.page.locator(".message", has_text="Reading").wait_for(state="detached")
    tab.compose("Piano")


def test_every_control_has_a_name_and_a_visible_focus(open_tab: Open) -> None:
    tab = open_tab()
    nameless = """() => [...document.querySelectorAll('button, input, select, a, summary, [role=slider]')]
        .filter((one) => !(one.ariaLabel || one.textContent.trim() || one.labels?.length || one.title))
        .map((one) => one.outerHTML)"""
    assert tab.page.evaluate(nameless) == []
    tab.compose()
    assert tab.page.evaluate(nameless) == []
    seen = set()
    for _ in range(60):
        tab.page.keyboard.press("Tab")
        style = tab.page.evaluate(
            """() => { const one = document.activeElement, name = one.ariaLabel || one.textContent.trim() || one.tagName;
                return [name, getComputedStyle(one).outlineStyle, one === document.body]; }"""
        )
        if not style[2]:
            assert style[1] != "none", style
            seen.add(style[0])
    assert {"Play", "Undo", "Mute viola", "Position in the piano roll"} <= seen


def test_a_narrow_screen_needs_no_sideways_scrolling(browser: Any, server: Server) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800})
    tab = Tab(context, server.url)
    width = "() => document.documentElement.scrollWidth"
    assert tab.page.evaluate(width) == 390
    tab.choose("String trio", beats=16, alternatives=2)
    tab.button("Write music").click()
    tab.wait_for_alternatives(2)
    assert tab.page.evaluate(width) == 390
    tab.keep(1)
    tab.select_bars(1, 2)
    tab.page.locator("#save summary").click()
    assert tab.page.evaluate(width) == 390
    box = tab.page.locator("#downloads").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    context.close()


def test_markup_in_titles_is_text(open_tab: Open) -> None:
    tab = open_tab()
    tab.compose("Piano", beats=4)
    markup = "<img src=x onerror=document.title='hacked'><b>&amp;"
    revision = tab.piece()["revision"]
    tab.page.get_by_label("Title").fill(markup)
    tab.page.get_by_label("Title").press("Enter")
    assert tab.wait_for_revision(revision)["title"] == markup
    tab.page.get_by_role("link", name="mmt studio").click()
    tab.page.get_by_role("link", name=markup).wait_for()
    assert tab.page.locator("#start img").count() == 0


def test_two_tabs_are_independent(open_tab: Open) -> None:
    one, other = open_tab(), open_tab()
    for tab, ensemble in ((one, "Piano"), (other, "Guitar")):
        tab.choose(ensemble, beats=8, alternatives=1)
        tab.button("Write music").click()
    for tab in (one, other):
        tab.wait_for_alternatives(1)
        tab.keep(1)
    assert {row[3] for row in one.notes()} == {1}
    assert {row[3] for row in other.notes()} == {18}
    same = open_tab()
    same.open(f"#{one.id}")
    same.page.reload()
    same.page.locator("#roll path.part").first.wait_for(state="attached")
    same.button("All").click()
    revision = same.piece()["revision"]
    same.button("Transpose up a semitone").click()
    after = same.wait_for_revision(revision)["score"]["notes"]
    one.button("All").click()
    one.button("Delete").click()
    one.page.locator(".message.error", has_text="another tab").wait_for()
    assert one.notes() == after


def test_a_page_of_another_site_is_refused(server: Server, browser: Any, tmp_path: Path) -> None:
    page = browser.new_page()
    outside = tmp_path / "evil.html"
    outside.write_text("<p>evil")
    page.goto(outside.as_uri())
    before = len(page.context.request.get(f"{server.url}api/pieces").json())
    results = page.evaluate(
        """async (url) => {
            const tried = [];
            for (const options of [{}, { mode: 'no-cors' }, { method: 'POST', mode: 'no-cors', body: '{}' }]) {
                try {
                    const answer = await fetch(url + 'api/pieces', options);
                    tried.push(answer.type + answer.status);
                } catch { tried.push('blocked'); }
            }
            const frame = document.createElement('iframe');
            frame.src = url;
            document.body.append(frame);
            await new Promise((done) => { frame.onload = done; });
            let inside = 'blocked'; try { inside = frame.contentDocument?.body.textContent ?? 'blocked'; } catch { }
            return [...tried, inside];
        }""",
        server.url,
    )
    assert results == ["blocked", "blocked", "blocked", "blocked"]
    assert len(page.context.request.get(f"{server.url}api/pieces").json()) == before
    page.close()


def test_a_page_continues_after_the_server_restarts(context: Any, tmp_path: Path) -> None:
    with Server(tmp_path, "--port", "0") as server:
        tab = Tab(context, server.url)
        tab.compose("Piano", beats=4)
        notes = tab.notes()
        port = server.port
        server.kill()
        tab.button("All").click()
        tab.button("Transpose up a semitone").click()
        tab.page.locator("#lost").wait_for(state="visible")
        server.arguments = ("--port", str(port))
        server.start()
        tab.page.locator("#lost").wait_for(state="hidden")
        assert tab.notes() == notes
        revision = tab.piece()["revision"]
        tab.button("All").click()
        tab.button("Transpose up a semitone").click()
        assert sounding(tab.wait_for_revision(revision)["score"]["notes"]) == [
            (a, b + 1, c) for a, b, c in sounding(notes)
        ]
        assert tab.troubles == []


def test_the_description_of_the_api_can_be_read(open_tab: Open) -> None:
    tab = open_tab()
    tab.page.goto(tab.url + "api")
    tab.page.get_by_role("heading", name="HTTP API of mmt-studio").wait_for()
    tab.page.get_by_role("link", name="the studio").click()
    tab.page.locator("body.ready").wait_for()


@pytest.mark.slow
def test_memory_stays_flat_and_five_thousand_notes_scroll(open_tab: Open, server: Server) -> None:
    tab = open_tab()
    tab.compose("Piano", beats=16)
    code = 1
    body = {
        "revision": tab.piece()["revision"],
        "add": [[6 * (i // 2), 6, 40 + (7 * i) % 45, code] for i in range(5000)],
    }
    tab.page.context.request.post(f"{tab.url}api/pieces/{tab.id}/notes", data=body)
    tab.page.reload()
    tab.page.locator("#roll path.part").first.wait_for(state="attached")
    assert len(tab.notes()) >= 5000
    frames = tab.page.evaluate(
        """() => new Promise((done) => {
            const view = document.querySelector('#roll .view'), times = [];
            let last = performance.now();
            const step = (now) => {
                times.push(now - last);
                last = now;
                view.scrollLeft += 40;
                if (times.length < 120) requestAnimationFrame(step); else done(times.slice(5));
            };
            requestAnimationFrame(step);
        })"""
    )
    print(f"median frame {sorted(frames)[len(frames) // 2]:.1f} ms, longest {max(frames):.1f} ms")
    tab.button("Play").click()
    measured = []
    for _ in range(12):
        tab.select_bars(1, 2)
        tab.button("Rewrite").click()
        tab.page.locator(".choose-head p", has_text="keep the one").wait_for()
        tab.keep(1)
        tab.button("Undo").click()
        measured.append(server.memory())
    assert measured[-1] < measured[3] + 64 * 2**20


def test_sounds_that_fail_to_load_do_not_load_for_ever(open_tab: Open) -> None:
    tab = open_tab()
    tab.page.route("**/sounds/*", lambda route: route.abort())
    tab.compose("Piano")
    tab.page.locator("#parts li").first.wait_for()
    tab.page.wait_for_function("!document.querySelector('#parts .loading')")


def test_the_seed_of_a_refused_request_is_kept_and_used(open_tab: Open) -> None:
    tab = open_tab()
    tab.choose("Piano", alternatives=1, seed=7)
    tab.page.route("**/write", lambda route: route.fulfill(status=400, json={"error": "not now"}), times=1)
    tab.button("Write music").click()
    tab.page.locator(".message.error").wait_for()
    tab.page.locator("details.more summary", has_text="Settings for new music").click()
    seed = tab.page.locator("details.more input[data-setting=seed]").first
    assert seed.input_value() == "7"
    with tab.page.expect_request("**/write") as sent:
        tab.page.locator(".action-row").get_by_role("button", name="Write music").click()
    assert sent.value.post_data_json["seed"] == 7
    tab.wait_for_alternatives(1)
    assert seed.input_value() == ""
