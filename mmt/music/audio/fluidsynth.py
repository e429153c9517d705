"""Notes in seconds to sound by FluidSynth, where the user has it: the command `fluidsynth`, with a limit of time."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from mmt.music.audio.synthesis import TAIL, Sound, TimedNotes, end

# It plays much faster than the music; what takes longer than it, and this many seconds more, will never end.
_GRACE = 60.0

# MIDI's ticks: at 120 beats a minute about one a millisecond.
_TICKS_PER_BEAT, _TICKS_PER_SECOND = 480, 960


def command() -> str | None:
    """The path of FluidSynth; None where it is not installed."""
    return shutil.which("fluidsynth")


def render_by_fluidsynth(notes: TimedNotes, soundfont: Path, sample_rate: int, *, room: bool = True) -> Sound:
    """Notes as sound of any loudness, (samples, 2), as long as the notes and `TAIL` seconds more.

    Parameters
    ----------
    notes
        Of dtype `TIMED_NOTE`.
    soundfont
        An .sf2 or .sf3 file.
    sample_rate
        Samples per second.
    room
        Whether with FluidSynth's reverb and chorus, or bare.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no SoundFont, or FluidSynth does not come to an end.
    """
    if not soundfont.is_file():
        raise FileNotFoundError(f"there is no SoundFont {soundfont}; name an .sf2 file")
    around = "1" if room else "0"
    with tempfile.TemporaryDirectory(prefix="mmt-") as folder:
        midi, raw = Path(folder) / "notes.mid", Path(folder) / "sound.raw"
        _write_midi(midi, notes)
        # fmt: off
        said = _run([
            command() or "fluidsynth", "-n", "-i", "-q", "-g", "0.2", "-R", around, "-C", around, "-r", str(sample_rate),
            "-T", "raw", "-O", "float", "-E", "little", "-F", str(raw), str(soundfont), str(midi),
        ], end(notes) + _GRACE, soundfont)
        # fmt: on
        # Of a file that is no SoundFont it may say so, and play silence.
        if not raw.exists() or "Failed to load SoundFont" in said or "not a SoundFont" in said:
            reason = f" (FluidSynth: {said})" if said else ""
            raise ValueError(f"{soundfont} is not a SoundFont that can be read{reason}; name an .sf2 file")
        samples = np.fromfile(raw, "<f4")
    sound = samples[: len(samples) // 2 * 2].reshape(-1, 2).astype(np.float32, copy=False)
    length = int(np.ceil((end(notes) + TAIL) * sample_rate))
    return np.pad(sound[:length], ((0, max(length - len(sound), 0)), (0, 0)))


def _run(arguments: list[str], limit: float, soundfont: Path) -> str:
    """Run to the end; what it says of errors, in one line."""
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, errors="replace", timeout=limit)
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"FluidSynth did not come to an end with {soundfont} within {limit:.0f} s; choose another SoundFont"
        ) from None
    return " ".join(done.stderr.split())[-300:]


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
    # FluidSynth stops with the last event: a note that is as good as silent holds it open while others die away.
    last = round((end(notes) + TAIL) * _TICKS_PER_SECOND)
    tracks[0].notes.append(muspy.Note(last, int(tracks[0].notes[-1].pitch), 1, 1))
    tempo = muspy.Tempo(0, 60 * _TICKS_PER_SECOND / _TICKS_PER_BEAT)
    write_midi(path, muspy.Music(resolution=_TICKS_PER_BEAT, tempos=[tempo], tracks=tracks))
