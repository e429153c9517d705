"""Rendering a `muspy.Music` through a SoundFont, to an array or a WAV file.

Sound is float32, (samples, 2), left and right, in [-1, 1]; times are in seconds.
"""

from __future__ import annotations

import importlib.util
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from mmt.music.audio.fluidsynth import command, render_by_fluidsynth
from mmt.music.audio.synthesis import TIMED_NOTE, Sound, TimedNotes, end, render_notes
from mmt.representation.arguments import AnyPath
from mmt.representation.notes import raw_notes

if TYPE_CHECKING:
    import muspy

Seconds = npt.NDArray[np.float64]

DEFAULT_TEMPO = 120.0
"""Beats per minute before the first tempo mark, as in MIDI."""
LONGEST = 3600.0
"""Longest music in seconds: a stray event far away would fill the memory with silence."""
PEAK = 0.9

_INAUDIBLE = 1e-4  # of the peak: -80 dB

# Limits of a drum note in seconds: a short one is cut before the drum is heard, and a long cymbal hisses.
_DRUM_DURATIONS = (0.25, 1.0)


def write_wav(path: AnyPath, music: muspy.Music, soundfont: AnyPath | None = None, sample_rate: int = 44_100) -> None:
    """Write music as a WAV file (16 bit, stereo). Parameters and errors are those of `render`."""
    sound = render(music, soundfont, sample_rate)
    with open(path, "wb") as file:
        write_sound(file, sound, sample_rate)


def write_sound(file: BinaryIO, sound: Sound, sample_rate: int) -> None:
    """Write sound, (samples, 2) or (samples,) for mono, as a 16-bit WAV file."""
    with wave.open(file, "wb") as audio:
        audio.setnchannels(1 if sound.ndim == 1 else sound.shape[1])
        audio.setsampwidth(2)
        audio.setframerate(sample_rate)
        for first in range(0, len(sound), 1 << 20):  # in pieces: a copy of an hour would take a gigabyte
            audio.writeframes(np.rint(sound[first : first + (1 << 20)] * 32767).astype("<i2").tobytes())


def length_in_seconds(music: muspy.Music) -> float:
    """The end of the last audible note in seconds; 0 if there is none."""
    return end(timed_notes(music))


def render(
    music: muspy.Music, soundfont: AnyPath | None = None, sample_rate: int = 44_100, seconds: float | None = None
) -> Sound:
    """Render music to sound, normalised to a peak of 0.9.

    Parameters
    ----------
    music
        Its tempos, programs and velocities are used; without tempos it plays at 120 beats per minute.
    soundfont
        An .sf2 file, played by FluidSynth where it is installed (the command `fluidsynth`; also .sf3), else by mmt. The
        default is TimGM6mb from the package pretty_midi, always played by mmt, so that it sounds the same everywhere.
    sample_rate
        Samples per second, 8,000 to 96,000.
    seconds
        Render only this much from the beginning; by default all.

    Returns
    -------
    float32 array, (samples, 2)
        As long as the music, and up to two seconds more for the release of the last notes.

    Raises
    ------
    ValueError
        If the music has no notes or lasts more than an hour, the SoundFont cannot be read or has no sound for it, or FluidSynth
        does not end in time.
    FileNotFoundError
        If there is no such SoundFont.

    Examples
    --------
    >>> import muspy, mmt.music.audio
    >>> music = muspy.Music(resolution=12, tracks=[muspy.Track(program=73, notes=[muspy.Note(0, 72, 24)])])
    >>> sound = mmt.music.audio.render(music)
    >>> sound.shape[0] >= 44_100, round(float(abs(sound).max()), 2)
    (True, 0.9)
    """
    if not 8_000 <= sample_rate <= 96_000:
        raise ValueError(f"sample_rate is {sample_rate}; it must be 8000 to 96000 samples per second")
    if seconds is not None and not seconds > 0:
        raise ValueError(f"seconds is {seconds}; it must be more than 0, or None for all the music")
    notes = _beginning(timed_notes(music), seconds)
    sound = play(notes, soundfont, sample_rate)
    loudest = float(np.abs(sound).max())
    if not 0 < loudest < 1e6:
        raise ValueError(
            f"the SoundFont {soundfont or carried_soundfont()} has no sound for this music; choose another"
        )
    sound *= PEAK / loudest
    audible = np.flatnonzero(np.abs(sound).max(axis=1) > _INAUDIBLE * PEAK)[-1]
    return sound[: max(audible + 1, int(np.ceil(end(notes) * sample_rate)))]


def _beginning(notes: TimedNotes, seconds: float | None) -> TimedNotes:
    """The notes that begin in the first `seconds`, cut at their end; all notes if it is None. Errors are those of `render`."""
    if seconds is not None:
        notes = notes[notes["start"] < seconds]
        notes["duration"] = np.minimum(notes["duration"], seconds - notes["start"])
    if not len(notes):
        raise ValueError("the music has no audible notes; give music with a note of velocity and duration above 0")
    if (length := end(notes)) > LONGEST:
        raise ValueError(
            f"the music lasts {length / 60:,.0f} minutes, but at most {LONGEST / 60:.0f} can be rendered; "
            "cut it, for example with encode(music, beats=…), or write it as .mid"
        )
    return notes


def play(notes: TimedNotes, soundfont: AnyPath | None, sample_rate: int, *, room: bool = True) -> Sound:
    """Play notes, (samples, 2), with any peak; with the reverb of a small hall if `room`."""
    path = carried_soundfont() if soundfont is None else Path(soundfont)
    if not path.is_file():
        raise FileNotFoundError(f"there is no SoundFont {path}; name an .sf2 file")
    synthesize = render_notes if soundfont is None or command() is None else render_by_fluidsynth
    return synthesize(notes, path, sample_rate, room=room)


def timed_notes(music: muspy.Music) -> TimedNotes:
    """The audible notes of music, of dtype `TIMED_NOTE`."""
    raw = raw_notes(music)
    onset = np.maximum(raw.onset, 0)
    notes = np.empty(len(raw), TIMED_NOTE)
    notes["start"] = seconds_at(onset, music)
    notes["duration"] = seconds_at(onset + np.maximum(raw.duration, 0), music) - notes["start"]
    notes["duration"][raw.is_drum] = np.clip(notes["duration"][raw.is_drum], *_DRUM_DURATIONS)
    notes["pitch"], notes["is_drum"], notes["program"] = raw.pitch, raw.is_drum, raw.program
    notes["velocity"] = 64 if raw.velocity is None else np.minimum(raw.velocity, 127)
    for name in ("pitch", "program"):
        notes = notes[(notes[name] >= 0) & (notes[name] < 128)]
    return notes[(notes["velocity"] > 0) & (notes["duration"] > 0)]


def seconds_at(ticks: npt.NDArray[Any], music: muspy.Music) -> Seconds:
    """Convert ticks, of any shape, to seconds by the tempo marks; tempos of 0 or less are ignored."""
    tempo_at = {0: DEFAULT_TEMPO}
    for mark in sorted(music.tempos, key=lambda mark: mark.time):
        if mark.qpm > 0:
            tempo_at[max(mark.time, 0)] = mark.qpm
    marks = np.array(list(tempo_at), np.float64)
    seconds_per_tick = 60 / (np.array(list(tempo_at.values())) * music.resolution)
    mark_seconds = np.concatenate([[0.0], np.cumsum(np.diff(marks) * seconds_per_tick[:-1])])
    last_mark = np.searchsorted(marks, ticks, side="right") - 1
    seconds: Seconds = mark_seconds[last_mark] + (ticks - marks[last_mark]) * seconds_per_tick[last_mark]
    return seconds


def carried_soundfont() -> Path:
    """The path of the default SoundFont, TimGM6mb."""
    # Found without importing pretty_midi, which takes a second.
    package = importlib.util.find_spec("pretty_midi")
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError("the package pretty_midi with the default SoundFont is missing; name an .sf2 file")
    return Path(package.submodule_search_locations[0]) / "TimGM6mb.sf2"
