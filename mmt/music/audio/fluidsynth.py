"""Synthesis of notes by FluidSynth, if the command `fluidsynth` is installed, with a timeout."""

from __future__ import annotations

import errno
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from mmt.music.audio.synthesis import TAIL, Sound, TimedNotes, end

GRACE = 60.0
"""The timeout is the length of the music and this many seconds; FluidSynth is much faster than that."""

_TICKS_PER_BEAT, _TICKS_PER_SECOND = 480, 960  # about a tick per millisecond


def command() -> str | None:
    """The path of FluidSynth, or None if it is not installed."""
    return shutil.which("fluidsynth")


def render_by_fluidsynth(notes: TimedNotes, soundfont: Path, sample_rate: int, *, room: bool = True) -> Sound:
    """Synthesise notes by FluidSynth, (samples, 2) with any peak, `TAIL` seconds longer than the notes.

    `room` adds FluidSynth's reverb and chorus. A `ValueError` says that the SoundFont (.sf2 or .sf3) cannot be read, or that
    FluidSynth crashes or does not end in time; an `OSError`, that the folder of temporary files is full.
    """
    effects = "1" if room else "0"
    with tempfile.TemporaryDirectory(prefix="mmt-") as folder:
        midi, raw = Path(folder) / "notes.mid", Path(folder) / "sound.raw"
        _write_midi(midi, notes)
        arguments = [
            command() or "fluidsynth", "-n", "-i", "-q", "-g", "0.2", "-R", effects, "-C", effects, "-r", str(sample_rate),
            "-T", "raw", "-O", "float", "-E", "little", "-F", str(raw), str(soundfont), str(midi),
        ]  # fmt: skip
        limit = end(notes) + GRACE
        try:
            done = subprocess.run(arguments, capture_output=True, text=True, errors="replace", timeout=limit)
        except subprocess.TimeoutExpired:
            raise ValueError(
                f"FluidSynth did not end within {limit:.0f} s with {soundfont}; choose another SoundFont"
            ) from None
        errors = " ".join(done.stderr.split())[-300:]
        if "for writing" in errors:
            raise OSError(errno.ENOSPC, f"FluidSynth cannot write to the folder of temporary files ({errors})")
        # If it cannot read the SoundFont, it may report that and play silence.
        if not raw.exists() or "Failed to load SoundFont" in errors or "not a SoundFont" in errors:
            reason = f" (FluidSynth: {errors})" if errors else ""
            raise ValueError(f"{soundfont} is not a SoundFont that can be read{reason}; name an .sf2 file")
        samples = np.fromfile(raw, "<f4")
    written = len(samples) / 2 / sample_rate
    if written < end(notes):
        short = f"FluidSynth wrote {written:.1f} of {end(notes):.1f} s of sound"
        if done.returncode:
            raise ValueError(f"{short} and ended with status {done.returncode} ({errors or 'no reason given'})")
        raise OSError(errno.ENOSPC, f"{short} to the folder of temporary files")
    sound = samples[: len(samples) // 2 * 2].reshape(-1, 2).astype(np.float32, copy=False)
    length = int(np.ceil((end(notes) + TAIL) * sample_rate))
    return np.pad(sound[:length], ((0, max(length - len(sound), 0)), (0, 0)))


def _write_midi(path: Path, notes: TimedNotes) -> None:
    import muspy

    from mmt.music.writing.midi import write_midi

    tracks = []
    for voice in np.unique(notes[["program", "is_drum"]]):
        of_voice = notes[notes[["program", "is_drum"]] == voice]
        start = np.rint(of_voice["start"] * _TICKS_PER_SECOND).astype(int)
        stop = np.rint((of_voice["start"] + of_voice["duration"]) * _TICKS_PER_SECOND).astype(int)
        columns = (start, of_voice["pitch"], np.maximum(stop - start, 1), of_voice["velocity"])
        written = [muspy.Note(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
        tracks.append(muspy.Track(int(voice["program"]), bool(voice["is_drum"]), notes=written))
    # FluidSynth stops at the last event: an inaudible note keeps it running during the release of the others.
    last = round((end(notes) + TAIL) * _TICKS_PER_SECOND)
    tracks[0].notes.append(muspy.Note(last, int(tracks[0].notes[-1].pitch), 1, 1))
    tempo = muspy.Tempo(0, 60 * _TICKS_PER_SECOND / _TICKS_PER_BEAT)
    write_midi(path, muspy.Music(resolution=_TICKS_PER_BEAT, tempos=[tempo], tracks=tracks))
