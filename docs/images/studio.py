"""The README's picture of the studio: `python docs/images/studio.py`, as part of `make pictures`; needs a Chromium."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1] / "tests" / "studio"))

from live import CHROMIUM, Server, Tab  # noqa: E402 (of the tests, which drive a Chromium too)


def main() -> None:
    if CHROMIUM is None:
        print("no Chromium: docs/images/studio.png stays as it is")
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder), "--port", "0") as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = Tab(browser.new_context(viewport={"width": 1280, "height": 820}), server.url)
        tab.compose("String trio", beats=32, alternatives=4, seed=20)
        tab.select_bars(5, 8)
        settings = tab.page.locator("#actions")
        settings.get_by_text("Settings for new music").click()
        settings.get_by_text("More settings").click()
        settings.get_by_label("Seed").fill("20")
        tab.button("Rewrite").click()
        tab.wait_for_alternatives(4)
        tab.button("Play alternative 3").click()
        tab.page.wait_for_timeout(6000)
        tab.page.evaluate("scrollTo(0, 0)")
        shot = Path(folder) / "studio.png"
        tab.page.screenshot(path=shot)
        browser.close()
        Image.open(shot).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(HERE / "studio.png", optimize=True)


if __name__ == "__main__":
    main()
