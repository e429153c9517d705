"""The HTML page: its text, and its behaviour in Chromium where that is installed."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import muspy
import numpy as np
import pytest
from browser import CHROMIUM, Browser

import mmt.music
from mmt.music import audio
from mmt.music.page import html_page, recordings
from mmt.music.pictures.colors import instrument_color


def piece(*tracks, title=None, tempos=()):
    """Music of resolution 12 from (program, notes) or (program, notes, is_drum); a note is (time, pitch, duration)."""
    return muspy.Music(
        metadata=muspy.Metadata(title=title),
        resolution=12,
        tempos=[muspy.Tempo(time, qpm) for time, qpm in tempos],
        tracks=[
            muspy.Track(program=program, is_drum=bool(drum), notes=[muspy.Note(*note) for note in notes])
            for program, notes, *drum in tracks
        ],
    )


DUO = piece(
    (73, [(12 * beat, 72 + beat % 5, 12) for beat in range(40)]),
    (42, [(48 * bar, 48 - bar, 48) for bar in range(10)]),
    title="Duo",
)


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its texts."""

    def __init__(self, page):
        super().__init__()
        self.found, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)

    def of(self, tag, **attributes):
        return [a for t, a in self.found if t == tag and all(a.get(k.strip("_")) == v for k, v in attributes.items())]


def song(page):
    return json.loads(re.search(r'<script id="song" type="application/json">(.*?)</script>', page, re.S)[1])


def rows(part):
    """The notes of a part: onset, duration, pitch, velocity."""
    return np.reshape(part["notes"], (-1, 4))


def test_a_part_has_the_name_colour_and_notes_of_its_instrument():
    flute, cello = song(html_page.page(DUO))["parts"]
    assert [part["name"] for part in (flute, cello)] == ["flute", "cello"]
    assert [len(part["notes"]) // 4 for part in (flute, cello)] == [40, 10]
    assert flute["color"] == instrument_color("flute")
    assert "50 notes for flute and cello, 0:20. " in Elements(html_page.page(DUO)).texts


def test_a_page_without_a_title_is_titled_by_its_instruments():
    page = html_page.page(piece((42, [(0, 48, 12)]), (0, [(0, 36, 1)], True), (73, [(0, 72, 12)])))
    assert "<title>Flute, cello and drums</title>" in page


def test_music_that_midi_cannot_hold_has_no_download():
    assert not Elements(html_page.page(piece((40, [(0, 60, 12)]), tempos=[(0, 0)]))).of("a")


def test_the_download_is_the_midi_file(tmp_path):
    (link,) = Elements(html_page.page(DUO)).of("a")
    kind, _, data = link["href"].partition(";base64,")
    assert (kind, link["download"]) == ("data:audio/midi", "Duo.mid")
    mmt.music.write(tmp_path / "duo.mid", DUO)
    assert base64.b64decode(data) == (tmp_path / "duo.mid").read_bytes()


def test_nothing_is_loaded_from_other_addresses():
    page = html_page.page(DUO)
    elements = Elements(page)
    (policy,) = (a["content"] for a in elements.of("meta", **{"http-equiv": "Content-Security-Policy"}))
    assert policy.startswith("default-src 'none';")
    for tag, attributes in elements.found:
        assert tag not in ("link", "img", "audio", "iframe"), tag
        assert not {"src", "srcset"} & attributes.keys()
        assert attributes.get("href", "data:").startswith("data:")
    # The only address is the SVG namespace.
    assert set(re.findall(r"https?://[^\s\"']+", page)) == {"http://www.w3.org/2000/svg"}


def test_names_are_escaped():
    evil = "</title></script><script>alert(1)</script>\x00\" onload=x & 'b'"
    page = html_page.page(piece((40, [(0, 60, 12)]), title=evil))
    elements = Elements(page)
    assert "alert(1)" not in "".join(re.findall(r"<script[^>]*>(.*?)</script>", page, re.S))
    assert len(elements.of("script")) == 2
    assert "\x00" not in page
    assert any(evil.replace("\x00", " ") in text for text in elements.texts)


def test_the_script_gets_all_notes():
    known = song(html_page.page(piece((40, [(0, 60, 12), (12, 64, 30)]), (41, [(6, 50, 6)]))))
    assert known["resolution"] == 12
    assert known["end"] == 3.5
    assert [part["name"] for part in known["parts"]] == ["violin", "viola"]
    np.testing.assert_array_equal(rows(known["parts"][0]), [(0, 12, 60, 64), (12, 30, 64, 64)])
    for part in known["parts"]:
        for pitch in rows(part)[:, 2]:
            assert min(abs(recording["pitch"] - pitch) for recording in part["recordings"]) <= 4


@pytest.mark.parametrize("tempos", [(), [(0, 60)], [(0, 100), (30, 50), (100, 200)], [(48, 240)], [(0, 0), (24, 90)]])
def test_beats_become_seconds_as_in_the_rendered_sound(tempos):
    music = piece((40, [(0, 60, 12), (100, 60, 100)]), tempos=tempos)
    rows = np.array(song(html_page.page(music))["tempos"])
    ticks = np.arange(0, 240, 7)
    row = rows[np.searchsorted(rows[:, 0], ticks / 12, side="right") - 1]
    np.testing.assert_allclose(
        row[:, 1] + (ticks / 12 - row[:, 0]) * row[:, 2], audio.seconds_at(ticks, music), atol=1e-5
    )


@pytest.mark.parametrize(("beats", "marked"), [(8, 8), (None, 0), (0, 0)])
def test_the_prompt_is_in_the_data(beats, marked):
    assert song(html_page.page(DUO, prompt_beats=beats))["prompt"] == marked


def test_a_negative_prompt_is_refused():
    with pytest.raises(ValueError, match="prompt_beats is -1"):
        html_page.page(DUO, prompt_beats=-1)


@pytest.mark.parametrize(
    "music",
    [
        piece(),
        piece((0, [(0, 36, 1), (6, 42, 1)], True)),
        piece((99, [(0, 127, 1)])),
        piece((0, [(12 * 500_000, 60, 12)])),
    ],
    ids=["empty", "drums alone", "too high to be heard", "far away"],
)
def test_odd_music_has_a_page(music):
    page = html_page.page(music)
    assert len(page) < 1_000_000
    assert len(song(page)["parts"]) == len(music.tracks)


def test_write_makes_a_page_for_the_suffix_html(tmp_path):
    mmt.music.write(tmp_path / "a.html", DUO, prompt_beats=8)
    assert song((tmp_path / "a.html").read_text(encoding="utf-8"))["prompt"] == 8


@pytest.mark.parametrize("name", ["*e4m4*", "*1762*"], ids=["drums", "orchestra"])
def test_pages_of_real_pieces_are_below_three_megabytes(shared: Path, name):
    (path,) = (shared / "data/examples/mid").glob(name)
    music = mmt.music.read(path)
    page = html_page.page(music)
    assert len(page.encode()) < 3_000_000
    parts = song(page)["parts"]
    assert sum(len(rows(part)) for part in parts) == sum(len(track.notes) for track in music.tracks)
    for part in parts:
        keys = {recording["pitch"] for recording in part["recordings"]}
        assert keys
        assert not part["drums"] or set(rows(part)[:, 2]) <= keys


def decoded(recording):
    """The samples of a recording, as ITU-T G.711 defines mu-law."""
    codes = np.frombuffer(recording.codes, np.uint8)
    size = ((2 * (~codes & 15).astype(int) + 33) << (~codes >> 4 & 7)) - 33
    return np.where(codes < 128, -size, size) * 4 / 32767


def recorded(program, pitch, beats=8):
    (recording,) = recordings.record(audio.timed_notes(piece((program, [(0, pitch, 12 * beats)]))))
    return recording


@pytest.mark.parametrize("program", [40, 19, 73, 0, 46])
def test_recordings_are_in_tune_and_a_loop_has_no_seam(program):
    recording = recorded(program, 69)
    sound = decoded(recording)
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 18))
    power[: int(400 * (1 << 18) / recordings.RATE)] = 0
    power[int(480 * (1 << 18) / recordings.RATE) :] = 0
    assert power.argmax() * recordings.RATE / (1 << 18) == pytest.approx(440, rel=0.01)
    if recording.loop is not None:
        first, last = (round(time * recordings.RATE) for time in recording.loop)
        # The end of the loop is crossfaded into the sound before its start.
        before_jump, before_goal = sound[last - 200 : last], sound[first - 200 : first]
        assert np.linalg.norm(before_jump - before_goal) < 0.1 * np.linalg.norm(before_goal)


def test_sustained_and_slowly_fading_tones_loop_and_short_tones_do_not():
    organ, piano, xylophone = recorded(19, 60), recorded(0, 60), recorded(13, 84)
    assert organ.loop is not None
    assert organ.decay is None
    assert piano.loop is not None
    assert 0.3 < piano.decay < 5
    assert xylophone.loop is None
    assert np.abs(decoded(xylophone)[-100:]).max() < 0.01
    # The loop of a fading tone is level: its halves are about as loud.
    halves = np.array_split(decoded(piano)[slice(*(round(time * recordings.RATE) for time in piano.loop))], 2)
    assert 0.7 < np.std(halves[0]) / np.std(halves[1]) < 1.4


def test_recordings_are_short_for_short_notes_and_few_for_many_instruments():
    assert len(recorded(40, 60, beats=1).codes) < 0.8 * len(recorded(40, 60).codes)
    orchestra = piece(*((program, [(0, pitch, 48) for pitch in range(30, 100)]) for program in range(40, 75)))
    seconds = sum(len(r.codes) for r in recordings.record(audio.timed_notes(orchestra))) / recordings.RATE
    assert seconds < 1.2 * recordings.MOST_SECONDS


# Records the page's audio output.
TAP = """
window.connectAsBefore ??= AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to instanceof AudioDestinationNode) {
    window.tap = this.context.createAnalyser();
    window.tap.fftSize = 4096;
    connectAsBefore.call(this, window.tap);
  }
  return connectAsBefore.call(this, to, ...rest);
};
window.loudness = () => {
  if (!window.tap) return 0;
  const samples = new Float32Array(tap.fftSize);
  tap.getFloatTimeDomainData(samples);
  return Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
};
window.beat = () => Number(document.querySelector(".roll").getAttribute("aria-valuenow"));
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("needs Chromium (the command chromium, chromium-browser or google-chrome)")
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def opened(browser, tmp_path, music, **options):
    mmt.music.write(tmp_path / "page.html", music, **options)
    browser.open(tmp_path / "page.html", TAP)
    return browser


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_notes_are_drawn_where_they_sound(browser, tmp_path):
    # Violin and viola begin the same pitch together and share its row; drums have rows of their own below.
    music = piece((40, [(12, 60, 24)]), (41, [(12, 60, 12), (36, 64, 3)]), (0, [(0, 36, 12), (0, 42, 1)], True))
    page = opened(browser, tmp_path, music, prompt_beats=2)
    paths = page.run("[...document.querySelectorAll('.part')].map((path) => path.getAttribute('d'))")
    violin, viola, drums = (
        [list(map(float, re.findall(r"-?[\d.]+", box))) for box in d.split("z")[:-1]] for d in paths
    )
    assert violin == [[1, pytest.approx(14.07), 1.96, 0.43, -1.96]]
    assert viola[0] == [1, 14.5, 0.96, 0.43, -0.96]
    assert viola[1][0] == 3
    assert [box[0] for box in drums] == [0, 0]
    assert min(box[1] for box in drums) > 25  # two octaves are shown, from 49.5 to 74.5
    assert page.run("document.querySelector('.prompt').getAttribute('d')").startswith("M0 0h2v")
    assert page.run("[...document.querySelectorAll('.mark')].map((mark) => mark.textContent)") == [
        "← prompt, continuation →"
    ]
    assert page.problems() == []


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_clicks_and_keys_control_the_player(browser, tmp_path):
    page = opened(browser, tmp_path, DUO, prompt_beats=8)
    assert page.run("beat()") == 0
    page.click(".play")
    page.wait_until("beat() > 0.5 && loudness() > 0.01 && document.querySelector('li.sounding')")
    assert page.run("document.querySelector('.play').getAttribute('aria-label')") == "Pause"

    page.click(".parts li:nth-child(1) .mute")
    page.click(".parts li:nth-child(2) .mute")
    page.wait_until("loudness() < 0.0005")
    assert page.run("document.querySelectorAll('.part.silent').length") == 2
    page.click(".parts li:nth-child(2) .solo")
    page.wait_until("loudness() > 0.01")
    assert page.run("document.querySelectorAll('.part.silent').length") == 1

    page.click(".roll", across=30.5 / 40)
    page.wait_until("beat() >= 30.5")
    page.press(" ")
    page.wait_until("!document.querySelector('.playing') && loudness() < 0.0005")
    stands = page.run("beat()")
    page.press("ArrowLeft")
    assert page.run("beat()") == pytest.approx(stands - 1, abs=0.02)
    page.press("Home")
    assert page.run("beat()") == 0
    page.press("ArrowRight")
    assert page.run("document.querySelector('.cursor').style.left") == "2.5%"
    assert page.run("document.querySelector('.roll').getAttribute('aria-valuetext')") == "beat 1, 0:01"

    page.click(".roll", across=39.5 / 40)
    page.press(" ")
    page.wait_until("!document.querySelector('.playing') && beat() === 40")
    page.click(".wider")
    assert page.run("document.querySelector('.roll').clientWidth") > 1200
    page.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000
    assert page.problems() == []


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_every_control_is_reached_by_the_keyboard(browser, tmp_path):
    page = opened(browser, tmp_path, DUO)
    reached = []
    for _ in range(11):
        page.press("Tab")
        reached.append(
            page.run("document.activeElement.getAttribute('aria-label') || document.activeElement.className")
        )
    names = {
        "download",
        "Play",
        "Back to the beginning",
        "volume",
        "Mute flute",
        "Solo flute",
        "Mute cello",
        "Solo cello",
    }
    assert names | {"Position in the piano roll"} <= set(reached)
    # The space bar presses a focused button.
    page.run("document.querySelector('.mute').focus()")
    page.press(" ")
    assert page.run("document.querySelector('.mute').getAttribute('aria-pressed')") == "true"
    assert not page.run("document.querySelector('.playing')")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_loud_music_does_not_clip(browser, tmp_path):
    notes = [(0, pitch, 480, 127) for pitch in range(40, 90, 3)]
    page = opened(browser, tmp_path, piece(*((program, notes) for program in (40, 48, 56, 19))))
    page.click(".play")
    page.wait_until("loudness() > 0.02 && beat() > 1")
    page.run("window.heard = new Float32Array(tap.fftSize)")
    peak = "(tap.getFloatTimeDomainData(heard), Math.max(...heard.map(Math.abs)))"
    assert max(page.run(peak) for _ in range(10)) < 1
    assert page.problems() == []
