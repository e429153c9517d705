"""Instruments as short recordings, for players that have no synthesizer: a few pitches of each, between which they are shifted.

A recording is mono, one byte a sample (mu-law, as on the telephone: the noise stays 38 dB below the sound, however soft).
One that holds its tone has a loop, which is to be repeated as long as a note lasts, if need be ever softer; the others die
away by themselves.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmt.music.audio import play
from mmt.music.audio.synthesis import TIMED_NOTE, TimedNotes

RATE = 22_050
"""Samples per second."""

Mono = npt.NDArray[np.float32]

# All recordings of a piece together: where there are many instruments, each gets fewer pitches.
_MOST_SECONDS = 70.0
_SPANS = (5, 7, 12, 24, 128)  # semitones that one recording serves
_HOLDING, _DYING, _DRUM = 1.7, 2.6, 0.9  # seconds of a recording
_FADE = 0.1
_LOOP_FROM = 0.7  # seconds; behind the attack
_CROSSFADE = 0.12
# After 1.25 seconds: below the first (in amplitude) a tone dies away, above the second it is held.
_DIES, _HOLDS = 0.1, 0.85


@dataclass(frozen=True)
class Recording:
    """One pitch of one instrument."""

    program: int
    is_drum: bool
    pitch: int
    """At which it was recorded; of a drum, which one it is."""
    codes: bytes
    """The samples, mu-law."""
    loop: tuple[float, float] | None
    """Begin and end of what is repeated, in seconds; None if it dies away."""
    decay: float | None
    """Seconds in which it fades to 1/e, from the loop's beginning on: the loop itself does not. None for a tone that is held."""


def record(notes: TimedNotes, soundfont: str | os.PathLike[str] | None = None) -> list[Recording]:
    """The recordings by which notes can be played, each to be used for the pitches to which it is the nearest.

    All are as loud among each other as the SoundFont has them; the loudest sample of all is 1.

    Parameters
    ----------
    notes
        Of dtype `TIMED_NOTE`.
    soundfont
        As in `mmt.music.audio.render`.
    """
    if not len(notes):
        return []
    wanted = _wanted(notes)
    starts = np.cumsum([0.0, *wanted["duration"][:-1] + 0.7])
    wanted["start"] = starts
    sound = play(wanted, soundfont, RATE, room=False).mean(axis=1)
    loudest = float(np.abs(sound).max())
    if loudest > 0:
        sound /= loudest
    recordings = []
    for row in wanted:
        first = round(float(row["start"]) * RATE)
        # A copy: one recording's loop must not change what another is made of.
        heard = np.array(sound[first : first + round(float(row["duration"]) * RATE)], np.float32)
        loop, decay = (None, None) if row["is_drum"] else _loop(heard)
        if loop is not None:
            heard = _crossfade(heard, loop)
        else:
            fade = min(int(_FADE * RATE), len(heard))
            heard[len(heard) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
        seconds = None if loop is None else (loop[0] / RATE, loop[1] / RATE)
        recordings.append(
            Recording(int(row["program"]), bool(row["is_drum"]), int(row["pitch"]), mu_law(heard), seconds, decay)
        )
    return recordings


def _wanted(notes: TimedNotes) -> TimedNotes:
    """The notes to record: for each drum itself, else for each span of pitches its middle, as long as they need."""
    for span in _SPANS:
        rows: list[tuple[float, float, int, int, bool, int]] = []
        for voice in np.unique(notes[["program", "is_drum"]]):
            of_voice = notes[notes[["program", "is_drum"]] == voice]
            is_drum = bool(voice["is_drum"])
            group = of_voice["pitch"] // (1 if is_drum else span)
            for place in np.unique(group):
                within = of_voice[group == place]
                pitch = int(np.rint((within["pitch"].min() + within["pitch"].max()) / 2))
                # Short notes need no more of it than they last, shifted up by some semitones, and a little to die away.
                needed = float(within["duration"].max()) * 1.4 + 0.3
                length = _DRUM if is_drum else needed if needed < _HOLDING else _DYING
                rows.append((0.0, length, pitch, int(voice["program"]), is_drum, 100))
        if sum(row[1] for row in rows) <= _MOST_SECONDS:
            break
    return np.array(rows, TIMED_NOTE)


def _loop(heard: Mono) -> tuple[tuple[int, int] | None, float | None]:
    """Where to repeat, in samples (None if the tone dies away or the recording is short), and the decay.

    A tone that fades is made level from the loop's beginning on, in place, so that it can be repeated.
    """
    if len(heard) < _HOLDING * RATE:
        return None, None
    window = int(0.2 * RATE)
    early, late = (
        float(np.sqrt(np.square(heard[at : at + window]).mean())) for at in (int(0.25 * RATE), int(1.5 * RATE))
    )
    if late <= _DIES * early:
        return None, None
    first, fade = int(_LOOP_FROM * RATE), int(_CROSSFADE * RATE)
    decay = None
    if late < _HOLDS * early:
        decay = 1.25 / float(np.log(early / late))
        heard[first:] *= np.exp(np.arange(len(heard) - first) / (decay * RATE)).astype(np.float32)
    # The end is where the sound is most like that before the beginning, so that waves meet in phase.
    pattern = heard[first - fade : first]
    candidates = np.lib.stride_tricks.sliding_window_view(heard[int(1.3 * RATE) : int(_HOLDING * RATE)], fade)
    likeness = candidates @ pattern / (np.linalg.norm(candidates, axis=1) + 1e-9)
    return (first, int(1.3 * RATE) + int(likeness.argmax()) + fade), decay


def _crossfade(heard: Mono, loop: tuple[int, int]) -> Mono:
    """The recording up to its loop's end, which passes over into what comes before the loop's beginning."""
    first, last = loop
    fade = int(_CROSSFADE * RATE)
    weight = np.linspace(0, 1, fade, dtype=np.float32)
    looped = heard[: last + fade].copy()
    looped[last - fade : last] = (1 - weight) * heard[last - fade : last] + weight * heard[first - fade : first]
    # A little behind the end, for players that interpolate.
    looped[last:] = heard[first : first + len(looped) - last]
    return looped


def mu_law(sound: Mono) -> bytes:
    """Samples within -1 … 1 as a byte each: the sign, and 127 steps of loudness.

    >>> list(mu_law(np.array([0.0, 1.0, -1.0, 0.01], np.float32)))
    [128, 255, 1, 157]
    """
    steps = np.sign(sound) * np.log1p(255 * np.minimum(np.abs(sound), 1)) / np.log(256)
    codes: npt.NDArray[np.uint8] = (np.rint(steps * 127) + 128).astype(np.uint8)
    return codes.tobytes()
