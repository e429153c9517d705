from __future__ import annotations

import base64
import re
import struct
import subprocess
import sys

import muspy
import numpy as np
import pytest
from browser import CHROMIUM, Browser

from mmt.music.files import write
from mmt.music.page import recordings, show
from mmt.representation.decode import decode
from mmt.representation.encode import encode


def violin(seconds):
    """Music with one note per second."""
    notes = [muspy.Note(24 * i, 60 + i % 12, 24) for i in range(seconds)]
    return muspy.Music(resolution=12, tracks=[muspy.Track(program=40, notes=notes)])


def parts(shown):
    """The embedded files of the HTML, by media type."""
    found = re.findall(r"data:(\w+/\w+);base64,([A-Za-z0-9+/=]+)", shown._repr_html_())
    return {kind: base64.b64decode(content) for kind, content in found}


def player(shown):
    """The samples of the player, their seconds, and the number of channels."""
    content = parts(shown)["audio/wav"]
    assert content[:4] + content[8:16] == b"RIFFWAVEfmt "
    assert int.from_bytes(content[4:8], "little") == len(content) - 8
    kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[20:36])
    assert (kind, bits) == (7, 8)
    (count,) = struct.unpack("<I", content[content.index(b"fact") + 8 :][:4])
    data = content[content.index(b"data") + 8 :][:count]
    return heard(np.frombuffer(data, np.uint8)), len(data) / rate, channels


def heard(codes):
    """Decode mu-law as G.711 defines it: sign, exponent, mantissa."""
    sign, octave, step = codes < 128, ~codes >> 4 & 7, ~codes & 15
    size = ((2 * step.astype(int) + 33) << octave) - 33
    return np.where(sign, -size, size) * 4 / 32767


def test_the_cell_has_a_picture_and_a_player():
    shown = show(violin(3))
    assert parts(shown)["image/png"].startswith(b"\x89PNG")
    samples, seconds, channels = player(shown)
    assert channels == 1
    assert 3 <= seconds <= 5
    assert 0.3 < np.abs(samples).max() <= 0.9
    assert "<audio controls" in shown._repr_html_()


def test_mu_law_keeps_the_sound():
    sound = np.concatenate([np.linspace(-1, 1, 10_001), np.geomspace(1e-4, 1, 1_000)])
    error = np.abs(heard(recordings.mu_law(sound)) - np.clip(sound, -0.996, 0.996))
    assert (error <= (np.abs(sound) + 132 / 32767) / 30).all()


@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium")
def test_a_browser_plays_the_sound(tmp_path):
    (tmp_path / "cell.html").write_text(show(violin(3))._repr_html_(), encoding="utf-8")
    with Browser(tmp_path / "profile") as browser:
        browser.open(tmp_path / "cell.html")
        browser.wait_until("document.querySelector('audio').readyState >= 1")
        assert 3 <= browser.run("document.querySelector('audio').duration") <= 5
        browser.click("audio", across=0.07)  # the play button
        browser.wait_until("document.querySelector('audio').currentTime > 0.2")


def test_nothing_is_loaded_from_other_addresses():
    page = show(violin(1))._repr_html_()
    assert not re.findall(r"https?:|<script|<link|url\(", page)
    assert set(re.findall(r'src="(\w+):', page)) == {"data"}


def test_repr_is_one_line():
    text = repr(show(violin(75)))
    assert text.startswith("<75 notes for violin, 1:15. ")
    assert "mmt.write" in text
    assert "\n" not in text


def test_several_instruments_and_drums_are_listed():
    music = violin(1)
    music.tracks += [
        muspy.Track(program=p, is_drum=d, notes=[muspy.Note(0, 40, 6)]) for p, d in ((73, False), (0, True))
    ]
    assert repr(show(music, seconds=0)).startswith("<3 notes for flute, violin and drums, ")


def test_the_mime_bundle_has_text_html_and_png():
    shown = show(violin(1))
    bundle = shown._repr_mimebundle_(include=None, exclude=None)
    assert set(bundle) == {"text/plain", "text/html", "image/png"}
    assert base64.b64decode(bundle["image/png"]) == shown.picture


def test_the_sound_of_a_long_piece_is_limited():
    shown = show(violin(30), seconds=4)
    assert 4 <= player(shown)[1] <= 6
    assert "The player has the first 0:04." in shown.caption
    assert "The player" not in show(violin(3)).caption


def test_zero_seconds_gives_no_player():
    assert "audio" not in show(violin(1), seconds=0)._repr_html_()
    with pytest.raises(ValueError, match="seconds is -1"):
        show(violin(1), seconds=-1)


def test_empty_music_has_a_picture_and_no_player():
    shown = show(muspy.Music(resolution=12))
    assert set(parts(shown)) == {"image/png"}
    assert shown.caption == "No notes."


def test_an_event_far_away_is_shown():
    music = violin(2)
    music.tracks[0].notes.append(muspy.Note(12 * 500_000, 60, 12))
    assert player(show(music, seconds=3))[1] <= 5


def test_events_are_decoded():
    events = encode(violin(4))
    assert show(events) == show(decode(events))


def test_the_picture_equals_the_png_file(tmp_path):
    write(tmp_path / "a.png", violin(4), prompt_beats=2)
    assert show(violin(4), prompt_beats=2, seconds=0).picture == (tmp_path / "a.png").read_bytes()


def test_the_prompt_is_marked():
    assert show(violin(4), prompt_beats=2, seconds=0).picture != show(violin(4), seconds=0).picture


def test_importing_does_not_load_muspy_or_matplotlib():
    code = "import sys, mmt.music; print(*sys.modules); mmt.music.show"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "mmt.music.page.notebook" in modules
    assert not {"muspy", "symusic", "matplotlib", "pretty_midi", "music21", "IPython", "torch"} & set(modules)
