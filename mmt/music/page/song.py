"""Music as data of the page's scripts: notes, colours, bar lines, tempos and recordings, as a dictionary for JSON.

The scripts (`song.js`, `player.js`, `piano_roll.js`, `controls.js`) are ES modules without dependencies, which any page can load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mmt.music.audio import seconds_at, timed_notes
from mmt.music.audio.synthesis import TimedNotes
from mmt.music.page.recordings import RATE, record
from mmt.music.pictures.colors import instrument_color, instrument_names, score_order
from mmt.music.pictures.piano_rolls import LEAST_BEATS, bar_lines, check_prompt_beats, end_in_beats, power_of_two
from mmt.representation.arguments import AnyPath
from mmt.representation.instruments import DRUMS
from mmt.representation.notes import raw_notes

if TYPE_CHECKING:
    import muspy

_MOST_LINES = 3_000


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
    check_prompt_beats(prompt_beats)
    notes = raw_notes(music)
    names = np.where(notes.is_drum, DRUMS, instrument_names(notes.program))
    end = end_in_beats(notes)
    beats = max(float(np.ceil(end)), float(np.ceil(prompt_beats or 0)), LEAST_BEATS)
    bars = bar_lines(music, beats)
    velocity = np.clip(64 if notes.velocity is None else notes.velocity, 0, 127)
    columns = np.broadcast_arrays(np.maximum(notes.onset, 0), notes.duration, notes.pitch, velocity)
    rows = np.stack(columns, axis=1)
    parts = [*score_order(names[~notes.is_drum].tolist()), *[DRUMS] * bool(notes.is_drum.any())]
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
                "color": instrument_color(name),
                "drums": name == DRUMS,
                "notes": rows[names == name].ravel().tolist(),
            }
            for name in parts
        ],
    }


def add_recordings(song: dict[str, Any], music: muspy.Music, soundfont: AnyPath | None = None) -> dict[str, Any]:
    """The song with sound: `rate`, `level`, and for each part `recordings`; for `soundfont` see `mmt.music.audio.render`.

    Recordings are those of `Recording.to_dict`, at `rate` samples per second. `level` is the gain of velocity 127.
    """
    heard = timed_notes(music)
    of_part: dict[str, list[dict[str, Any]]] = {part["name"]: [] for part in song["parts"]}
    for recording in record(heard, soundfont):
        name = DRUMS if recording.is_drum else str(instrument_names(recording.program))
        of_part[name].append(recording.to_dict())
    parts = [part | {"recordings": of_part[part["name"]]} for part in song["parts"]]
    return song | {"rate": RATE, "level": _level(heard), "parts": parts}


def _tempos(music: muspy.Music) -> list[list[float]]:
    marks = np.unique([0, *(max(mark.time, 0) for mark in music.tempos if mark.qpm > 0)])
    seconds = seconds_at(marks, music)
    per_beat = (seconds_at(marks + 1, music) - seconds) * music.resolution
    rows: list[list[float]] = np.round(np.stack([marks / music.resolution, seconds, per_beat], axis=1), 7).tolist()
    return rows


def _level(heard: TimedNotes) -> float:
    """The gain of velocity 127 for a peak of about 0.7; the powers of simultaneous notes add up."""
    power = (heard["velocity"] / 127.0) ** 4
    times = np.concatenate([heard["start"], heard["start"] + heard["duration"]])
    order = np.lexsort([np.repeat([1, 0], len(heard)), times])  # ends before beginnings
    together = np.cumsum(np.concatenate([power, -power])[order]).max(initial=0.0)
    return round(0.7 / max(float(np.sqrt(together)), 0.05), 5)
