"""The README's picture of the page that plays: `python docs/images/player.py`, as part of `make pictures`; needs a Chromium."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

import mmt

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1] / "tests"))

from browser import CHROMIUM, Browser  # noqa: E402 (of the tests, which drive a Chromium too)


def main() -> None:
    if CHROMIUM is None:
        print("no Chromium: docs/images/player.png stays as it is")
        return
    quartet = mmt.read(HERE.parents[1] / "data/tiny/mayer_quartet_in_g_minor.mid")
    prompt = mmt.prompt.beats(mmt.encode(quartet), 16)
    music = mmt.decode(mmt.load_model().generate(prompt, seed=1, max_beats=48)[0], like=quartet)
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder) / "page.html", Path(folder) / "page.png"
        mmt.write(page, music, prompt_beats=16)
        with Browser(Path(folder) / "profile", width=1100, height=770) as browser:
            browser.open(page)
            browser.click(".roll", across=0.5)
            browser.click(".play")
            browser.click(".parts li:nth-child(2) .mute")
            browser.wait_until(
                "parseFloat(document.querySelector('.cursor').style.left) > 54 && document.querySelector('li.sounding')"
            )
            browser.screenshot(shot)
        Image.open(shot).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(HERE / "player.png", optimize=True)


if __name__ == "__main__":
    main()
