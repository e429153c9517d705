"""Synthesis of notes from the samples of a SoundFont.

Sound is float32, (samples, 2), left and right, with any peak; times are in seconds. Supported are key and velocity ranges,
tuning, loops, the volume envelope, a constant low-pass filter and pan; modulation (vibrato, filter sweeps) is not. Each key of an
instrument is synthesised once, for its longest note, and copied to each note.

tinysoundfont 0.3.7 is 1.5 times as fast, but segfaults on damaged SoundFonts, has no wheel for Python 3.13 and requires pyaudio.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import mmt.music.audio.soundfont as sf
from mmt.music.audio.soundfont import SoundFont, Zone, read_soundfont

Sound = npt.NDArray[np.float32]
TimedNotes = npt.NDArray[np.void]

TIMED_NOTE = np.dtype(
    [("start", "f8"), ("duration", "f8"), ("pitch", "i8"), ("program", "i8"), ("is_drum", "?"), ("velocity", "i8")]
)
TAIL = 2.0
"""Seconds after the last note for its release."""

# Limits of the release in seconds: a shorter one clicks.
_LEAST_RELEASE, _GREATEST_RELEASE = 0.06, TAIL
_SILENT = 100.0  # dB: the end of envelopes
_LONGEST = 60.0  # seconds: longer notes are repeated, which bounds the memory of a key
# SoundFonts are made for cards that applied only this share of the attenuation, as FluidSynth does.
_ATTENUATION = 0.4
_REVERB = 0.25  # gain of the reverb


def render_notes(notes: TimedNotes, soundfont: Path, sample_rate: int, *, room: bool = True) -> Sound:
    """Synthesise notes, with the reverb of a small hall if `room`; `TAIL` seconds longer than the notes."""
    font, notes = read_soundfont(soundfont), _split_long(notes)
    sound = np.zeros((int(np.ceil((end(notes) + TAIL) * sample_rate)), 2), np.float32)
    for voice in np.unique(notes[["program", "is_drum", "pitch"]]):
        of_voice = notes[notes[["program", "is_drum", "pitch"]] == voice]
        program, is_drum, pitch = (voice[name].item() for name in ("program", "is_drum", "pitch"))
        # Notes of one key share the synthesised sound of each zone.
        for zone in font.zones(program, is_drum, pitch):
            softest, loudest = zone.velocities
            played = of_voice[(of_voice["velocity"] >= softest) & (of_voice["velocity"] <= loudest)]
            if len(played):
                _play(sound, font, zone, pitch, played, sample_rate)
    return with_reverb(sound, sample_rate) if room else sound


def end(notes: TimedNotes) -> float:
    """The end of the last note in seconds; 0 if there is none."""
    return float((notes["start"] + notes["duration"]).max(initial=0.0))


def _split_long(notes: TimedNotes) -> TimedNotes:
    """Split notes into notes of at most a minute."""
    pieces = []
    while len(notes):
        pieces.append(notes.copy())
        pieces[-1]["duration"] = np.minimum(notes["duration"], _LONGEST)
        notes = notes[notes["duration"] > _LONGEST]
        notes["start"] += _LONGEST
        notes["duration"] -= _LONGEST
    return np.concatenate(pieces) if pieces else notes


def _play(sound: Sound, font: SoundFont, zone: Zone, pitch: int, notes: TimedNotes, sample_rate: int) -> None:
    """Add notes of one key and one zone to the sound."""
    release = float(np.clip(_seconds(zone.amount(sf.RELEASE)), _LEAST_RELEASE, _GREATEST_RELEASE))
    longest = float(notes["duration"].max()) + release
    key = _key(font, zone, pitch, longest, sample_rate)
    # The release is linear in decibels.
    count = int(release * sample_rate)
    fall = (10 ** (-_SILENT / 20 * np.arange(count) / count)).astype(np.float32)[:, None]
    loudness = (notes["velocity"] / 127.0) ** 2
    for start, duration, gain in zip(notes["start"], notes["duration"], loudness, strict=True):
        first, held = round(start * sample_rate), round(duration * sample_rate)
        whole = key[: min(held + count, len(sound) - first)]
        into = sound[first : first + len(whole)]
        into[:held] += np.float32(gain) * whole[:held]
        into[held:] += np.float32(gain) * whole[held:] * fall[: max(len(whole) - held, 0)]


def _key(font: SoundFont, zone: Zone, pitch: int, seconds: float, sample_rate: int) -> Sound:
    """One key held for a time, (samples, 2), at full velocity."""
    count = int(np.ceil(seconds * sample_rate))
    steps = (pitch - zone.root) * zone.amount(sf.SCALE_TUNING) / 100
    # Scale tuning is relative to the root key; all other tuning is in the root already.
    position = np.arange(count) * (2 ** (steps / 12) * zone.rate / sample_rate)
    mono = _at(font.samples, zone, position)
    mono *= _envelope(zone, pitch, len(mono), sample_rate)  # a sample without a loop may be shorter than the note
    mono = _filtered(mono, zone, sample_rate)
    mono *= 10 ** (-_ATTENUATION * max(zone.amount(sf.ATTENUATION), 0) / 200)
    angle = (np.clip(zone.amount(sf.PAN), -500, 500) / 1000 + 0.5) * np.pi / 2
    return mono[:, None] * np.array([np.cos(angle), np.sin(angle)], np.float32)


def _at(samples: npt.NDArray[np.int16], zone: Zone, position: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The sample at fractional positions from its start, linearly interpolated."""
    last = zone.end - zone.start - 1
    if zone.loop is not None:
        first, length = zone.loop[0] - zone.start, zone.loop[1] - zone.loop[0]
        position = np.where(position >= first + length, first + (position - first) % length, position)
        before = position.astype(np.int64)
        # The loop's last sample is followed by its first.
        after = np.where(before + 1 >= first + length, first, before + 1)
    else:
        position = position[: np.searchsorted(position, last)]
        before = position.astype(np.int64)
        after = before + 1
    share = (position - before).astype(np.float32)
    own = samples[zone.start : zone.end].astype(np.float32) / 32_768
    found: npt.NDArray[np.float32] = own[before] * (1 - share) + own[np.minimum(after, last)] * share
    return found


def _envelope(zone: Zone, pitch: int, count: int, sample_rate: int) -> npt.NDArray[np.float32]:
    """The gain while a key is held: the attack is linear, the decay linear in decibels."""
    delay, attack = _seconds(zone.amount(sf.DELAY)), _seconds(zone.amount(sf.ATTACK))
    hold = _seconds(zone.amount(sf.HOLD) + zone.amount(sf.KEY_TO_HOLD) * (60 - pitch))
    decay = _seconds(zone.amount(sf.DECAY) + zone.amount(sf.KEY_TO_DECAY) * (60 - pitch))
    sustain = float(np.clip(zone.amount(sf.SUSTAIN) / 10, 0, _SILENT))
    times = np.arange(count, dtype=np.float32) / sample_rate - delay
    fallen = np.clip((times - attack - hold) / decay * _SILENT, 0, sustain)
    return (np.clip(times / attack, 0, 1) * 10 ** (-fallen / 20)).astype(np.float32)


def _filtered(mono: npt.NDArray[np.float32], zone: Zone, sample_rate: int) -> npt.NDArray[np.float32]:
    """Apply the zone's low-pass filter (a biquad), if its cutoff is in the audible range."""
    # Halfway between the start and the sustain level of the filter's envelope, which gives FluidSynth's levels.
    opened = max(zone.amount(sf.ENVELOPE_TO_CUTOFF), 0) * (1 - min(max(zone.amount(sf.CUTOFF_SUSTAIN), 0), 1000) / 2000)
    cutoff = 8.176 * 2 ** ((zone.amount(sf.CUTOFF) + opened) / 1200)
    if cutoff >= min(0.45 * sample_rate, 18_000):
        return mono
    from scipy.signal import lfilter

    resonance = 10 ** (float(np.clip(zone.amount(sf.RESONANCE) / 10, 0, 96)) / 20) / np.sqrt(2)
    angle = 2 * np.pi * cutoff / sample_rate
    width, cosine = np.sin(angle) / (2 * resonance), np.cos(angle)
    numerator = np.array([(1 - cosine) / 2, 1 - cosine, (1 - cosine) / 2])
    filtered: npt.NDArray[np.float32] = lfilter(numerator, [1 + width, -2 * cosine, 1 - width], mono).astype(np.float32)
    return filtered


def _seconds(timecents: float) -> float:
    """Seconds from timecents: 1200 is a factor of 2, and -12000 (a millisecond) the least."""
    return float(2 ** (np.clip(timecents, -12_000, 8_000) / 1200))


def with_reverb(sound: Sound, sample_rate: int, block: float = 30.0) -> Sound:
    """Add the reverb of a small hall, in blocks of `block` seconds, which bounds the memory."""
    from scipy.signal import oaconvolve

    impulse = _REVERB * _impulse_response(sample_rate)
    mixed = sound.copy()
    size = int(block * sample_rate)
    for first in range(0, len(sound), size):
        dry = sound[first : first + size].mean(axis=1)
        for side in range(2):
            reverb = oaconvolve(dry, impulse[:, side])[: len(sound) - first]
            mixed[first : first + len(reverb), side] += reverb
    return mixed


def _impulse_response(sample_rate: int) -> Sound:
    """The impulse response of a small hall, (samples, 2): decaying noise from a fixed seed."""
    seconds = np.arange(int(1.2 * sample_rate)) / sample_rate
    noise = np.random.default_rng(0).standard_normal((len(seconds), 2))
    noise = (noise[1:] + noise[:-1]) / 2  # walls absorb high frequencies
    fading: Sound = (noise * np.exp(-6.9 * seconds[1:, None] / 1.1) * (seconds[1:, None] > 0.012)).astype(np.float32)
    fading /= np.sqrt(np.square(fading).sum(axis=0))
    return fading
