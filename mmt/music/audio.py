"""Music to sound: a `muspy.Music` rendered through a SoundFont, as an array or a WAV file.

Sound is float32 (samples, 2), left and right, within -1 … 1; times are in seconds. The synthesizer is symusic's. It
adds its notes up, so that notes can be rendered in any groups and the groups be summed. What it lacks is done here:
it knows no velocity, ends a note as if cut with scissors, and never returns from some very high notes.
"""

from __future__ import annotations

import importlib.util
import os
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from mmt.representation.notes import raw_notes

if TYPE_CHECKING:
    import muspy

Sound = npt.NDArray[np.float32]
Seconds = npt.NDArray[np.float64]

DEFAULT_TEMPO = 120.0
"""Beats per minute until the first tempo mark (as MIDI and muspy have it)."""
LONGEST = 3600.0
"""More than this many seconds are refused: a stray event far away would fill the memory with silence."""
PEAK = 0.9

_TAIL = 2.0  # seconds in which the last note may die away
_BLOCK = 30.0  # seconds that are rendered at once: bounds the memory beside the sound itself
_INAUDIBLE = 1e-4  # of the peak: -80 dB

TimedNotes = npt.NDArray[np.void]
_TIMED_NOTE = np.dtype(
    [("start", "f8"), ("duration", "f8"), ("pitch", "i8"), ("program", "i8"), ("is_drum", "?"), ("velocity", "i8")]
)

# A note ends in this many steps of this many seconds: it is rendered as so many copies, each a step longer.
_RELEASE_STEPS, _RELEASE_STEP = 4, 0.04

# A drum rings, however short its note is written; a cymbal held for long would hiss on.
_DRUM_RINGS = (0.25, 1.0)

# symusic 0.5.9 never returns where a sample's loop becomes shorter than some 15 samples, as it does for notes of about
# 3 kHz at 44,100 samples a second. Rendered at these rates no pitch of any program of the carried SoundFont comes near.
_HIGH_PITCH = 97
_LOW_RATE, _HIGH_RATE = 44_100, 88_200

# The whistle of the carried SoundFont loops outside its sample: symusic plays whatever lies there. The ocarina is near.
_WHISTLE, _OCARINA = 78, 79
# The drum kits that SoundFonts have (Roland GS); any other would be silent, so the first one plays it.
_DRUM_KITS = (0, 8, 16, 24, 25, 32, 40, 48)


def write_wav(
    path: str | os.PathLike[str],
    music: muspy.Music,
    soundfont: str | os.PathLike[str] | None = None,
    sample_rate: int = 44_100,
) -> None:
    """Write music as a WAV file (16 bit, stereo).

    Parameters and errors are those of `render`.

    Examples
    --------
    >>> import muspy, tempfile, mmt.music.audio
    >>> music = muspy.Music(resolution=12, tracks=[muspy.Track(program=73, notes=[muspy.Note(0, 72, 24)])])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     mmt.music.audio.write_wav(f"{folder}/flute.wav", music)
    """
    sound = render(music, soundfont, sample_rate)
    with open(path, "wb") as file:
        write_sound(file, sound, sample_rate)


def write_sound(file: BinaryIO, sound: Sound, sample_rate: int) -> None:
    """Write sound, (samples, 2) or (samples,) for mono, as a 16-bit WAV file."""
    with wave.open(file, "wb") as audio:
        audio.setnchannels(1 if sound.ndim == 1 else sound.shape[1])
        audio.setsampwidth(2)
        audio.setframerate(sample_rate)
        for first in range(0, len(sound), 1 << 20):  # an hour at once would be a gigabyte more
            audio.writeframes(np.rint(sound[first : first + (1 << 20)] * 32767).astype("<i2").tobytes())


def length_in_seconds(music: muspy.Music) -> float:
    """When the last note ends, by the music's tempos; 0 where there is nothing to be heard."""
    return _end(_timed_notes(music))


def render(
    music: muspy.Music,
    soundfont: str | os.PathLike[str] | None = None,
    sample_rate: int = 44_100,
    seconds: float | None = None,
) -> Sound:
    """Render music to sound.

    The loudest moment gets 0.9, so that nothing clips and nothing is faint. The sound is as long as the music, and
    at most two seconds more in which the last notes die away.

    Parameters
    ----------
    music
        With its tempos; 120 beats per minute where it has none. Velocities are heard, every track keeps its program.
    soundfont
        An .sf2 file; by default TimGM6mb, which the package pretty_midi carries.
    sample_rate
        Samples per second, 8,000 to 96,000.
    seconds
        Render only so much, from the beginning; by default all.

    Returns
    -------
    Sound, (samples, 2)

    Raises
    ------
    ValueError
        If the music has no notes, lasts more than an hour, or the SoundFont is none or has no sound for it.
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
        raise ValueError(f"seconds is {seconds}; it must be more than 0, or None for all of the music")
    notes = _timed_notes(music)
    if seconds is not None:
        notes = notes[notes["start"] < seconds]
        notes["duration"] = np.minimum(notes["duration"], seconds - notes["start"])
    if not len(notes):
        raise ValueError("the music has no notes to be heard; is it empty?")
    length = _end(notes)
    if length > LONGEST:
        raise ValueError(
            f"the music lasts {length / 60:,.0f} minutes, more than the {LONGEST / 60:.0f} that are rendered; "
            "is an event far away by mistake? Cut the music, for example by encode(music, beats=…), or write it as .mid"
        )
    sound = _render_notes(notes, soundfont, sample_rate)
    loudest = float(np.abs(sound).max())
    if not 0 < loudest < 1e6:
        raise ValueError(f"the SoundFont {_soundfont_path(soundfont)} has no sound for this music; choose another")
    sound *= PEAK / loudest
    audible = np.flatnonzero(np.abs(sound).max(axis=1) > _INAUDIBLE * PEAK)[-1]
    return sound[: max(audible + 1, int(np.ceil(length * sample_rate)))]


def _render_notes(notes: TimedNotes, soundfont: str | os.PathLike[str] | None, sample_rate: int) -> Sound:
    """Render block after block of notes, by their onsets, into one sound."""
    synthesizers = _synthesizers(soundfont, sample_rate)

    sound = np.zeros((int(np.ceil((_end(notes) + _TAIL) * sample_rate)), 2), np.float32)
    room = _room(sample_rate)
    block_of_note = (notes["start"] // _BLOCK).astype(int)
    for block in np.unique(block_of_note):
        within = notes[block_of_note == block]
        within["start"] -= block * _BLOCK
        first = round(block * _BLOCK * sample_rate)
        part = _in_room(_render_block(within, synthesizers, sample_rate), room)[: len(sound) - first]
        sound[first : first + len(part)] += part
    return sound


def _timed_notes(music: muspy.Music) -> TimedNotes:
    raw = raw_notes(music)
    onset = np.maximum(raw.onset, 0)
    notes = np.empty(len(raw), _TIMED_NOTE)
    notes["start"] = _seconds(onset, music)
    notes["duration"] = _seconds(onset + np.maximum(raw.duration, 0), music) - notes["start"]
    notes["duration"][raw.is_drum] = np.clip(notes["duration"][raw.is_drum], *_DRUM_RINGS)
    notes["pitch"], notes["is_drum"] = raw.pitch, raw.is_drum
    notes["program"] = np.where((raw.program == _WHISTLE) & ~raw.is_drum, _OCARINA, raw.program)
    notes["program"][raw.is_drum & ~np.isin(raw.program, _DRUM_KITS)] = _DRUM_KITS[0]
    notes["velocity"] = 64 if raw.velocity is None else np.minimum(raw.velocity, 127)
    in_range = [(notes[name] >= 0) & (notes[name] < 128) for name in ("pitch", "program")]
    return notes[in_range[0] & in_range[1] & (notes["velocity"] > 0) & (notes["duration"] > 0)]


def _end(notes: TimedNotes) -> float:
    return float((notes["start"] + notes["duration"]).max(initial=0.0))


def _seconds(ticks: npt.NDArray[Any], music: muspy.Music) -> Seconds:
    """When these ticks (any shape) sound, by the tempo marks; a tempo of 0 or less is no tempo."""
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


def _synthesizers(soundfont: str | os.PathLike[str] | None, sample_rate: int) -> tuple[tuple[int, Any], ...]:
    """For low notes and for high ones: by how much its rate exceeds `sample_rate`, and a synthesizer."""
    from symusic import Synthesizer

    path = _soundfont_path(soundfont)
    if not path.is_file():
        raise FileNotFoundError(f"there is no SoundFont {path}; name an .sf2 file")
    excesses = [int(np.ceil(rate / sample_rate)) for rate in (_LOW_RATE, _HIGH_RATE)]
    try:
        # Quality 2 interpolates linearly: the higher ones measure the same and take twice as long.
        return tuple((excess, Synthesizer(str(path), sample_rate * excess, quality=2)) for excess in excesses)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is not a SoundFont that can be read ({reason}); name an .sf2 file") from error


def _soundfont_path(soundfont: str | os.PathLike[str] | None) -> Path:
    if soundfont is not None:
        return Path(soundfont)
    # Found without importing pretty_midi, which takes a second.
    package = importlib.util.find_spec("pretty_midi")
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError("the package pretty_midi, which carries the SoundFont, is missing; name an .sf2 file")
    return Path(package.submodule_search_locations[0]) / "TimGM6mb.sf2"


def _render_block(notes: TimedNotes, synthesizers: tuple[tuple[int, Any], ...], sample_rate: int) -> Sound:
    """Render notes; those of one loudness together, since the synthesizer plays each velocity as loud as any."""
    length = _end(notes) + _TAIL
    sound = np.zeros((int(np.ceil(length * sample_rate)), 2), np.float32)
    # In steps of four velocities: half a decibel from the truth in the middle of the range.
    loudness = np.clip((notes["velocity"] + 2) // 4 * 4, 2, 127)
    for velocity in np.unique(loudness):
        for high, (excess, synthesizer) in enumerate(synthesizers):
            group = notes[(loudness == velocity) & ((notes["pitch"] >= _HIGH_PITCH) == bool(high))]
            if len(group):
                part = np.asarray(synthesizer.render(_score(group, length), stereo=True)).T
                part = _fewer_samples(part, excess)[: len(sound)]
                sound[: len(part)] += (velocity / 127) ** 2 / _RELEASE_STEPS * part
    return sound


def _score(notes: TimedNotes, length: float) -> Any:
    """A symusic score in seconds: a track for each program, so that each keeps its own sound."""
    import symusic

    score = symusic.Score(480, ttype="second")
    longer = np.arange(_RELEASE_STEPS) * _RELEASE_STEP
    for voice in np.unique(notes[["program", "is_drum"]]):
        copies = np.repeat(notes[notes[["program", "is_drum"]] == voice], _RELEASE_STEPS)
        copies["duration"] += np.resize(longer, len(copies))
        track = symusic.Track(program=int(voice["program"]), is_drum=bool(voice["is_drum"]), ttype="second")
        track.notes = symusic.Note.from_numpy(
            copies["start"].astype(np.float32),
            copies["duration"].astype(np.float32),
            copies["pitch"].astype(np.int8),
            np.full(len(copies), 100, np.int8),
            ttype="second",
        )
        score.tracks.append(track)
    # The sound stops with the last note, tail and all: a note of no length, which is not heard, holds it open.
    score.tracks[0].notes.append(symusic.Note(length, 0.0, 60, 100, ttype="second"))
    return score


def _fewer_samples(sound: Sound, excess: int) -> Sound:
    """Every `excess`-th sample, (n, 2) -> (n / excess, 2), after a low-pass filter (a windowed sinc)."""
    if excess == 1:
        return sound
    reach = 16 * excess
    window = np.hanning(2 * reach + 3)[1:-1]
    taps = (window * np.sinc(np.arange(-reach, reach + 1) * 0.9 / excess)).astype(np.float32)
    taps /= taps.sum()
    count = -(-len(sound) // excess)
    padded = np.pad(sound, ((reach, reach + excess), (0, 0)))
    fewer = np.zeros((count, 2), np.float32)
    for place, tap in enumerate(taps):
        fewer += tap * padded[place : place + excess * count : excess]
    return fewer


def _room(sample_rate: int) -> Sound:
    """The answer of a small hall, (samples, 2): noise that dies away, different left and right, always the same."""
    seconds = np.arange(int(1.2 * sample_rate)) / sample_rate
    noise = np.random.default_rng(0).standard_normal((len(seconds), 2))
    noise = (noise[1:] + noise[:-1]) / 2  # walls swallow the highs
    fading: Sound = (noise * np.exp(-6.9 * seconds[1:, None] / 1.1) * (seconds[1:, None] > 0.012)).astype(np.float32)
    fading /= np.sqrt(np.square(fading).sum(axis=0))
    return fading


def _in_room(sound: Sound, room: Sound, wet: float = 0.25) -> Sound:
    """Sound with the room's answer to it, by a fast convolution, cut to the same length."""
    size = 1 << (len(sound) + len(room) - 1).bit_length()
    answer = np.fft.rfft(sound.mean(axis=1), size)[:, None] * np.fft.rfft(room, size, axis=0)
    mixed: Sound = sound + wet * np.fft.irfft(answer, size, axis=0)[: len(sound)].astype(np.float32)
    return mixed
