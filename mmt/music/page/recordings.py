"""Short recordings of instruments for the player of an HTML page, which has no synthesizer.

Each instrument is recorded at a few pitches, and shifted to the others. A recording is mono, mu-law, a byte per sample. If its
tone is sustained or fades slowly, it has a loop, which the player repeats for the rest of the note, with the recording's decay.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmt.music.audio import play
from mmt.music.audio.synthesis import TIMED_NOTE, TimedNotes
from mmt.representation.arguments import AnyPath

RATE = 22_050
"""Samples per second."""

Mono = npt.NDArray[np.float32]

MOST_SECONDS = 70.0
"""Limit of all recordings of a piece: with many instruments, each has fewer pitches."""
_SPANS = (5, 7, 12, 24, 128)  # semitones per recording
_LOOPED, _UNLOOPED, _DRUM = 1.7, 2.6, 0.9  # seconds per recording
_FADE = 0.1  # seconds
_LOOP_FROM = 0.7  # seconds: after the attack
_CROSSFADE = 0.12  # seconds
# Ratio of the amplitudes 1.25 seconds apart: a tone below the first needs no loop, one above the second is sustained.
_FADED, _SUSTAINED = 0.1, 0.85


@dataclass(frozen=True)
class Recording:
    """A recording of one pitch of one instrument."""

    program: int
    is_drum: bool
    pitch: int
    """The MIDI pitch, or the drum key."""
    codes: bytes
    """The samples, mu-law."""
    loop: tuple[float, float] | None
    """Start and end of the loop in seconds; None if the tone fades out."""
    decay: float | None
    """Time constant in seconds of the decay from the loop's start on (the loop is level); None if the tone is sustained."""

    def to_dict(self) -> dict[str, Any]:
        """What a player needs, for JSON: `pitch`, `loop`, `decay`, and `data`, the samples in base64."""
        data = base64.b64encode(self.codes).decode()
        return {"pitch": self.pitch, "loop": self.loop, "decay": self.decay, "data": data}


def record(notes: TimedNotes, soundfont: AnyPath | None = None) -> list[Recording]:
    """Record the instruments of notes (dtype `TIMED_NOTE`), each for the pitches to which it is the nearest.

    The levels are the SoundFont's, scaled to a peak of 1. For `soundfont` see `mmt.music.audio.render`.
    """
    if not len(notes):
        return []
    recorded = _notes_to_record(notes)
    recorded["start"] = np.cumsum([0.0, *recorded["duration"][:-1] + 0.7])
    sound = play(recorded, soundfont, RATE, room=False).mean(axis=1)
    loudest = float(np.abs(sound).max())
    if loudest > 0:
        sound /= loudest
    recordings = []
    for row in recorded:
        first = round(float(row["start"]) * RATE)
        # A copy: `_loop` works in place.
        heard = np.array(sound[first : first + round(float(row["duration"]) * RATE)], np.float32)
        loop, decay = (None, None) if row["is_drum"] else _loop(heard)
        seconds = None
        if loop is not None:
            heard = _crossfade(heard, loop)
            seconds = (loop[0] / RATE, loop[1] / RATE)
        else:
            fade = min(int(_FADE * RATE), len(heard))
            heard[len(heard) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
        program, is_drum, pitch = (row[name].item() for name in ("program", "is_drum", "pitch"))
        recordings.append(Recording(program, is_drum, pitch, mu_law(heard).tobytes(), seconds, decay))
    return recordings


def _notes_to_record(notes: TimedNotes) -> TimedNotes:
    """Each drum, and the middle of each span of pitches of an instrument, of the length that its notes need."""
    for span in _SPANS:
        rows: list[tuple[float, float, int, int, bool, int]] = []
        for voice in np.unique(notes[["program", "is_drum"]]):
            of_voice = notes[notes[["program", "is_drum"]] == voice]
            is_drum = bool(voice["is_drum"])
            group = of_voice["pitch"] // (1 if is_drum else span)
            for place in np.unique(group):
                within = of_voice[group == place]
                pitch = int(np.rint((within["pitch"].min() + within["pitch"].max()) / 2))
                # Short notes need no loop, but time for shifting up by some semitones, and for the release.
                needed = float(within["duration"].max()) * 1.4 + 0.3
                length = _DRUM if is_drum else needed if needed < _LOOPED else _UNLOOPED
                rows.append((0.0, length, pitch, int(voice["program"]), is_drum, 100))
        if sum(row[1] for row in rows) <= MOST_SECONDS:
            break
    return np.array(rows, TIMED_NOTE)


def _loop(heard: Mono) -> tuple[tuple[int, int] | None, float | None]:
    """The loop in samples (None if the tone fades out or the recording is short), and the decay.

    The decay of a tone is removed from the loop's start on, in place, so that the loop is level.
    """
    if len(heard) < _LOOPED * RATE:
        return None, None
    window = int(0.2 * RATE)
    starts = (int(0.25 * RATE), int(1.5 * RATE))
    early, late = (float(np.sqrt(np.square(heard[at : at + window]).mean())) for at in starts)
    if late <= _FADED * early:
        return None, None
    first, fade = int(_LOOP_FROM * RATE), int(_CROSSFADE * RATE)
    decay = None
    if late < _SUSTAINED * early:
        decay = 1.25 / float(np.log(early / late))
        heard[first:] *= np.exp(np.arange(len(heard) - first) / (decay * RATE)).astype(np.float32)
    # The loop ends where the sound correlates best with the sound before its start, so that the waves are in phase.
    pattern = heard[first - fade : first]
    candidates = np.lib.stride_tricks.sliding_window_view(heard[int(1.3 * RATE) : int(_LOOPED * RATE)], fade)
    correlation = candidates @ pattern / (np.linalg.norm(candidates, axis=1) + 1e-9)
    return (first, int(1.3 * RATE) + int(correlation.argmax()) + fade), decay


def _crossfade(heard: Mono, loop: tuple[int, int]) -> Mono:
    """The recording up to the end of its loop, crossfaded there into the sound before the loop's start."""
    first, last = loop
    fade = int(_CROSSFADE * RATE)
    weight = np.linspace(0, 1, fade, dtype=np.float32)
    looped = heard[: last + fade].copy()
    looped[last - fade : last] = (1 - weight) * heard[last - fade : last] + weight * heard[first - fade : first]
    # Some samples after the end, for players that interpolate.
    looped[last:] = heard[first : first + len(looped) - last]
    return looped


def mu_law(sound: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Encode sound in [-1, 1] as mu-law (ITU-T G.711): a byte per sample, with finer steps for quiet samples."""
    size = np.minimum(np.rint(np.abs(sound) * 32767).astype(np.int64), 32635) + 132
    octave = np.floor(np.log2(size)).astype(np.int64) - 7
    step = (size >> (octave + 3)) & 15
    codes: npt.NDArray[np.uint8] = (~(np.where(sound < 0, 128, 0) | octave << 4 | step)).astype(np.uint8)
    return codes
