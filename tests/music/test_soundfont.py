"""Each SoundFont generator has its effect, by a SoundFont of one looped sine."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from mmt.music.audio.synthesis import TIMED_NOTE, Sound, render_notes

RATE, FREQUENCY, KEY = 44_100, 441, 69
KEYS, DELAY, ATTACK, HOLD, DECAY, SUSTAIN, RELEASE, KEY_TO_HOLD, KEY_TO_DECAY = 43, 33, 34, 35, 36, 37, 38, 39, 40
CUTOFF, PAN, ATTENUATION, COARSE_TUNE, FINE_TUNE, SCALE_TUNING, ROOT, LOOPS, SAMPLE = 8, 17, 48, 51, 52, 56, 58, 54, 53


def soundfont(generators: dict[int, int]) -> bytes:
    """A SoundFont 2.04 with one preset, one instrument and one sample: a sine of 441 Hz at key 69."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack("<I", len(content)) + content

    sine = np.rint(16_000 * np.sin(2 * np.pi * FREQUENCY / RATE * np.arange(10_000))).astype("<i2").tobytes()
    own = {LOOPS: 1, **generators, SAMPLE: 0}
    header = struct.pack("<20sIIIIIBbHH", b"sine", 0, 10_000, 1_000, 9_000, RATE, KEY, 0, 0, 1)
    tables = {
        b"phdr": struct.pack("<20sHHH12x", b"preset", 0, 0, 0) + struct.pack("<20sHHH12x", b"EOP", 0, 0, 1),
        b"pbag": struct.pack("<HHHH", 0, 0, 1, 0),
        b"pmod": bytes(10),
        b"pgen": struct.pack("<HhHh", 41, 0, 0, 0),
        b"inst": struct.pack("<20sH20sH", b"instrument", 0, b"EOI", 1),
        b"ibag": struct.pack("<HHHH", 0, 0, len(own), 0),
        b"imod": bytes(10),
        b"igen": b"".join(struct.pack("<Hh", *generator) for generator in own.items()) + bytes(4),
        b"shdr": header + bytes(46),
    }
    lists = (b"sdta" + chunk(b"smpl", sine), b"pdta" + b"".join(chunk(*table) for table in tables.items()))
    return chunk(b"RIFF", b"sfbk" + b"".join(chunk(b"LIST", content) for content in lists))


def render(folder: Path, generators: dict[int, int], pitch: int = KEY, duration: float = 1.0) -> Sound:
    path = folder / "sine.sf2"
    path.write_bytes(soundfont(generators))
    return render_notes(np.array([(0.0, duration, pitch, 0, False, 127)], TIMED_NOTE), path, RATE, room=False)


def decibels(sound: Sound, seconds: float) -> float:
    """The level of 10 ms around a time, against the full level of the sine in both channels."""
    middle = round(seconds * RATE)
    power = np.square(sound[middle - 220 : middle + 221]).sum(axis=1).mean()
    return float(10 * np.log10(power / (0.5 * (16_000 / 32_768) ** 2) + 1e-12))


def frequency(sound: Sound) -> float:
    spectrum = np.abs(np.fft.rfft(sound[:RATE].sum(axis=1) * np.hanning(RATE), 8 * RATE))
    return float(spectrum.argmax() / 8)


def timecents(seconds: float) -> int:
    return round(1200 * np.log2(seconds))


@pytest.mark.parametrize(
    ("generators", "levels"),
    [
        pytest.param({}, {0.1: 0, 0.9: 0}, id="no envelope"),
        pytest.param({DELAY: timecents(0.25)}, {0.2: -120, 0.3: 0}, id="delay"),
        pytest.param({ATTACK: timecents(0.5)}, {0.125: -12.04, 0.25: -6.02, 0.6: 0}, id="attack"),
        pytest.param({DECAY: timecents(1), SUSTAIN: 200}, {0.1: -10, 0.5: -20, 0.9: -20}, id="decay and sustain"),
        pytest.param({HOLD: timecents(0.5), DECAY: timecents(1), SUSTAIN: 200}, {0.4: 0, 0.6: -10}, id="hold"),
        pytest.param({RELEASE: timecents(0.5)}, {0.9: 0, 1.1: -20, 1.3: -60}, id="release"),
        pytest.param(
            {HOLD: timecents(0.5) - 900, KEY_TO_HOLD: -100, DECAY: 0, SUSTAIN: 200},
            {0.4: 0, 0.6: -10},
            id="key to hold",
        ),
        pytest.param({DECAY: 900, KEY_TO_DECAY: 100, SUSTAIN: 200}, {0.1: -10, 0.5: -20}, id="key to decay"),
        pytest.param({ATTENUATION: 100}, {0.5: -4}, id="attenuation, of which 40 per cent apply"),
        pytest.param({CUTOFF: round(1200 * np.log2(FREQUENCY / 8.176))}, {0.5: -3.01}, id="low-pass filter"),
        pytest.param({KEYS: 70 | 127 << 8}, {0.5: -120}, id="key range"),
    ],
)
def test_the_level_follows_the_generators(
    tmp_path: Path, generators: dict[int, int], levels: dict[float, float]
) -> None:
    sound = render(tmp_path, generators)
    assert {time: decibels(sound, time) for time in levels} == pytest.approx(levels, abs=0.3)


@pytest.mark.parametrize(
    ("generators", "pitch", "semitones"),
    [({}, 69, 0), ({}, 76, 7), ({COARSE_TUNE: -5}, 69, -5), ({FINE_TUNE: 50}, 69, 0.5), ({ROOT: 57}, 69, 12),
     ({SCALE_TUNING: 50}, 81, 6), ({SCALE_TUNING: 0}, 81, 0)],
)  # fmt: skip
def test_the_pitch_follows_the_generators(
    tmp_path: Path, generators: dict[int, int], pitch: int, semitones: float
) -> None:
    heard = frequency(render(tmp_path, generators, pitch))
    assert 12 * np.log2(heard / FREQUENCY) == pytest.approx(semitones, abs=0.01)


@pytest.mark.parametrize(("pan", "left"), [(-500, 1.0), (-250, np.cos(np.pi / 8)), (0, np.cos(np.pi / 4)), (500, 0.0)])
def test_pan_keeps_the_power(tmp_path: Path, pan: int, left: float) -> None:
    sound = render(tmp_path, {PAN: pan})
    assert np.abs(sound).max(axis=0) / (16_000 / 32_768) == pytest.approx([left, np.sqrt(1 - left**2)], abs=0.01)


def test_a_sample_without_a_loop_is_played_once(tmp_path: Path) -> None:
    sound = render(tmp_path, {LOOPS: 0})
    assert np.flatnonzero(np.abs(sound).max(axis=1) > 1e-3)[-1] == pytest.approx(10_000, abs=10)
