"""Music as data of the page's scripts: notes, colours, bar lines, tempos and recordings, as a dictionary for JSON.

The scripts (`song.js`, `player.js`, `piano_roll.js`, `controls.js`) are ES modules without dependencies, which any page can load.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from mmt.music.audio import seconds_at, timed_notes
from mmt.music.audio.synthesis import TimedNotes
from mmt.music.page.recordings import RATE, record
from mmt.music.pictures.colors import instrument_color, instrument_names, score_order
from mmt.music.pictures.piano_rolls import DRUM_COLOR, LEAST_BEATS, bar_lines, power_of_two
from mmt.representation.notes import raw_notes

if TYPE_CHECKING:
    import muspy

_MOST_LINES = 3_000
_DRUMS = "drums"


def song(music: muspy.Music, prompt_beats: float | None = None) -> dict[str, Any]:
    """Music as data of the page's scripts, without sound; see `add_recordings`.

    Parameters
    ----------
    music
        The music; drums become one part, every other instrument a part of its own.
    prompt_beats
        The length of the prompt in beats, marked in the piano roll. 0 marks nothing.

    Returns
    -------
    dict
        `beats`: length of the piano roll; `end`: end of the last note in beats; `prompt`: end of the prompt in beats; `bars`: the
        bar lines in beats; `tempos`: rows of (beat, second, seconds per beat from there on); `resolution`: ticks per beat;
        `parts`: in score order, each with `name`, `color`, `drums` (whether it is drums) and `notes`, a flat list with onset
        and duration in ticks, pitch and velocity of each note.

    Examples
    --------
    >>> import muspy
    >>> music = muspy.Music(resolution=12, tracks=[muspy.Track(program=73, notes=[muspy.Note(0, 72, 24)])])
    >>> song(music)["parts"]
    [{'name': 'flute', 'color': '#08b6af', 'drums': False, 'notes': [0, 24, 72, 64]}]
    """
    if prompt_beats is not None and not prompt_beats >= 0:
        raise ValueError(f"prompt_beats is {prompt_beats}; it must be a number of beats from 0 up, or None")
    notes = raw_notes(music)
    names = np.where(notes.is_drum, _DRUMS, instrument_names(notes.program))
    end = float((notes.onset + notes.duration).max(initial=0)) / notes.resolution
    beats = max(float(np.ceil(end)), float(np.ceil(prompt_beats or 0)), LEAST_BEATS)
    bars = bar_lines(music, beats)
    velocity = np.clip(64 if notes.velocity is None else notes.velocity, 0, 127)
    columns = np.broadcast_arrays(np.maximum(notes.onset, 0), notes.duration, notes.pitch, velocity)
    rows = np.stack(columns, axis=1)
    parts = [*score_order(names[~notes.is_drum].tolist()), *[_DRUMS] * bool(notes.is_drum.any())]
    return {
        "beats": beats,
        "end": end,
        "prompt": prompt_beats or 0,
        "bars": bars[:: power_of_two(len(bars) / _MOST_LINES)].tolist(),
        "tempos": _tempos(music),
        "resolution": notes.resolution,
        "parts": [
            {
                "name": name,
                "color": DRUM_COLOR if name == _DRUMS else _hexadecimal(name),
                "drums": name == _DRUMS,
                "notes": rows[names == name].ravel().tolist(),
            }
            for name in parts
        ],
    }


def add_recordings(
    song: dict[str, Any], music: muspy.Music, soundfont: str | os.PathLike[str] | None = None
) -> dict[str, Any]:
    """The song with sound: `rate`, `level`, and for each part `recordings`; for `soundfont` see `mmt.music.audio.render`.

    A recording has its `pitch`, `data` (base64 of mu-law samples at `rate` per second), and `loop` and `decay` as in `Recording`.
    `level` is the gain of velocity 127.
    """
    heard = timed_notes(music)
    of_part: dict[str, list[dict[str, Any]]] = {part["name"]: [] for part in song["parts"]}
    for r in record(heard, soundfont):
        name = _DRUMS if r.is_drum else str(instrument_names(r.program))
        data = base64.b64encode(r.codes).decode()
        of_part[name].append({"pitch": r.pitch, "loop": r.loop, "decay": r.decay, "data": data})
    parts = [part | {"recordings": of_part[part["name"]]} for part in song["parts"]]
    return song | {"rate": RATE, "level": _level(heard), "parts": parts}


def _tempos(music: muspy.Music) -> list[list[float]]:
    marks = np.unique([0, *(max(mark.time, 0) for mark in music.tempos if mark.qpm > 0)])
    seconds = seconds_at(marks, music)
    per_beat = (seconds_at(marks + 1, music) - seconds) * music.resolution
    rows: list[list[float]] = np.round(np.stack([marks / music.resolution, seconds, per_beat], axis=1), 7).tolist()
    return rows


def _hexadecimal(name: str) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in instrument_color(name))


def _level(heard: TimedNotes) -> float:
    """The gain of velocity 127 for a peak of about 0.7; the powers of simultaneous notes add up."""
    power = (heard["velocity"] / 127.0) ** 4
    times = np.concatenate([heard["start"], heard["start"] + heard["duration"]])
    order = np.lexsort([np.repeat([1, 0], len(heard)), times])  # ends before beginnings
    together = np.cumsum(np.concatenate([power, -power])[order]).max(initial=0.0)
    return round(0.7 / max(float(np.sqrt(together)), 0.05), 5)
