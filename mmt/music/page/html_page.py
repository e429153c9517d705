"""Writing music as one HTML page with a piano roll and a player, which works offline.

The piano roll is SVG, visible even without scripts; x is in beats, y in pitches from the top. The script in `player/` plays each
instrument from the recordings in the page (`recordings`), so that it can be muted, and long music needs no more space than short.
"""

from __future__ import annotations

import base64
import html
import json
import os
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mmt.music.audio import seconds_at, timed_notes
from mmt.music.audio.synthesis import TimedNotes
from mmt.music.page.notebook import describe, in_minutes
from mmt.music.page.recordings import RATE, Recording, record
from mmt.music.pictures.colors import instrument_color, score_order
from mmt.music.pictures.piano_rolls import DRUM_COLOR, LEAST_BEATS, DrumBand, bar_lines, instrument_names, lanes
from mmt.representation.notes import RawNotes, raw_notes

if TYPE_CHECKING:
    import muspy

Floats = npt.NDArray[np.float64]

_PIXELS_PER_BEAT, _MOST_PIXELS = 26, 1_000_000
_MOST_LINES = 3_000
_GAP = 0.04  # beats between notes that follow each other on one pitch
_DRUMS = "drums"


def write_html(
    path: str | os.PathLike[str],
    music: muspy.Music,
    prompt_beats: float | None = None,
    soundfont: str | os.PathLike[str] | None = None,
) -> None:
    """Write music as a self-contained HTML page with a piano roll and a player.

    Parameters
    ----------
    path
        The file.
    music
        Its title becomes the page's.
    prompt_beats
        The length of the prompt in beats: it is shaded, and the rest labelled as its continuation. 0 marks nothing.
    soundfont
        As in `mmt.music.audio.render`.

    Examples
    --------
    >>> import muspy, tempfile, mmt.music.page
    >>> music = muspy.Music(resolution=12, tracks=[muspy.Track(program=73, notes=[muspy.Note(0, 72, 24)])])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     mmt.music.page.write_html(f"{folder}/flute.html", music)
    """
    Path(path).write_text(page(music, prompt_beats, soundfont), encoding="utf-8")


def page(music: muspy.Music, prompt_beats: float | None = None, soundfont: str | os.PathLike[str] | None = None) -> str:
    """The text of the page; see `write_html`."""
    if prompt_beats is not None and not prompt_beats >= 0:
        raise ValueError(f"prompt_beats is {prompt_beats}; it must be a number of beats from 0 up, or None")
    notes = raw_notes(music)
    names = np.where(notes.is_drum, _DRUMS, instrument_names(notes))
    players = [*score_order(names[~notes.is_drum].tolist()), *[_DRUMS] * bool(notes.is_drum.any())]
    end = float((notes.onset + notes.duration).max(initial=0)) / notes.resolution
    beats = max(float(np.ceil(end)), float(np.ceil(prompt_beats or 0)), LEAST_BEATS)
    band = DrumBand(notes.pitch, notes.is_drum)
    low, high, bottom = band.low, band.high, band.bottom
    bars = bar_lines(music, beats)
    bars = bars[:: 1 << max(int(np.ceil(np.log2(len(bars) / _MOST_LINES))), 0)]
    shapes = _shapes(notes, names, players, band)
    width = int(min(beats * _PIXELS_PER_BEAT, _MOST_PIXELS))
    title = music.metadata.title if music.metadata and music.metadata.title not in (None, "", "None") else "Untitled"
    files = resources.files("mmt.music.page") / "player"
    return Template((files / "player.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(_printable(title)),
        caption=html.escape(describe(music)),
        length=in_minutes(float(seconds_at(np.array([end * notes.resolution]), music)[0])),
        style=(files / "player.css").read_text(encoding="utf-8"),
        script=(files / "player.js").read_text(encoding="utf-8"),
        parts="\n".join(_part_row(name) for name in players),
        keys=_keys(low, high, bottom, has_drums=bool(len(band.drums))),
        size=f"width: {width}px",
        beats=f"{beats:g}",
        roll=_roll(shapes, bars, beats, (bottom, low, high), prompt_beats, players),
        labels=_labels(bars, beats, width, prompt_beats),
        song=_song(music, notes, names, players, (beats, end, high), soundfont),
    )


def _part_row(name: str) -> str:
    shown, color = html.escape(name), _color(name)
    buttons = "".join(
        f'<button class="{what.lower()}" type="button" aria-pressed="false" aria-label="{what} {shown}"'
        f' title="{what} {shown}">{what[0]}</button>'
        for what in ("Mute", "Solo")
    )
    return f'<li style="--color: {color}"><span class="swatch"></span><span class="name">{shown}</span>{buttons}</li>'


def _color(name: str) -> str:
    if name == _DRUMS:
        return DRUM_COLOR
    return "#" + "".join(f"{round(255 * part):02x}" for part in instrument_color(name))


def _shapes(notes: RawNotes, names: npt.NDArray[Any], players: list[str], band: DrumBand) -> list[str]:
    """For each player the data of an SVG path with a box per note."""
    lane, sharing = lanes(notes, names)
    height = 0.86 / sharing
    top = band.high - (notes.pitch + 0.43 - lane * height)
    onset, duration = notes.onset / notes.resolution, notes.duration / notes.resolution
    width = np.maximum(duration - _GAP, np.clip(0.5 * duration, 0.025, 0.05))
    # Drum hits are ticks, since the duration of a drum note has no meaning.
    reach = 0.38 * band.row_height
    top = np.where(notes.is_drum, band.high - band.heights(notes.pitch) - reach, top)
    height = np.where(notes.is_drum, 2 * reach, height)
    width = np.where(notes.is_drum, 0.08, width)
    return [_boxes(*(column[names == name] for column in (onset, top, width, height))) for name in players]


def _boxes(left: Floats, top: Floats, width: Floats, height: Floats) -> str:
    rows = zip(*(np.round(column, 3).tolist() for column in (left, top, width, height)), strict=True)
    return "".join(f"M{x:g} {y:g}h{w:g}v{h:g}h{-w:g}z" for x, y, w, h in rows)


def _roll(
    shapes: list[str],
    bars: Floats,
    beats: float,
    edges: tuple[float, float, float],
    prompt_beats: float | None,
    players: list[str],
) -> str:
    bottom, low, high = edges
    tall = high - bottom
    pitches = np.arange(np.ceil(low), high)
    black = pitches[np.isin(pitches % 12, (1, 3, 6, 8, 10))]
    octaves = pitches[pitches % 12 == 0]
    rows = "".join(f"M0 {high - pitch - 0.5:g}h{beats:g}v1H0z" for pitch in black)
    across = "".join(f"M0 {high - pitch + 0.5:g}h{beats:g}" for pitch in octaves)
    thin = "".join(f"M{beat} 0V{high - low:g}" for beat in range(1, int(min(beats, _MOST_LINES))))
    thick = "".join(f"M{bar:g} 0V{tall:g}" for bar in bars)
    parts = "".join(
        f'<path class="part" data-part="{index}" fill="{_color(name)}" d="{shape}"><title>{html.escape(name)}</title></path>'
        for index, (name, shape) in enumerate(zip(players, shapes, strict=True))
    )
    band = f'<path fill="#f1f1f4" d="M0 {high - low + 1.5:g}h{beats:g}V{tall:g}H0z"/>' if bottom < low else ""
    prompt = seam = ""
    if prompt_beats:
        prompt = f'<path class="prompt" d="M0 0h{prompt_beats:g}v{tall:g}H0z"/>'
        seam = f'<path class="seam" fill="none" d="M{prompt_beats:g} 0v{tall:g}"/>'
    return (
        f'<svg viewBox="0 0 {beats:g} {tall:g}" preserveAspectRatio="none" role="img" aria-label="Piano roll">'
        f'<path fill="#f6f6f8" d="{rows}"/>{band}{prompt}<path stroke="#ececf1" d="{thin}"/>'
        f'<path stroke="#d0d0d9" d="{thick}{across}"/>{parts}{seam}</svg>'
    )


def _labels(bars: Floats, beats: float, width: int, prompt_beats: float | None) -> str:
    """The beat numbers below the bars, and the labels of prompt and continuation above."""
    apart = width / beats * (bars[1] - bars[0] if len(bars) > 1 else beats)
    step = 1 << max(int(np.ceil(np.log2(60 / apart))), 0)
    labels = [f'<span class="label" style="left: {100 * bar / beats:.4f}%">{bar:.6g}</span>' for bar in bars[::step]]
    if prompt_beats:
        left = f'style="left: {100 * prompt_beats / beats:.4f}%"'
        # If the prompt is too narrow for its label, both labels are to the right of its end.
        is_short = prompt_beats / beats * width < 70
        labels += [f'<span class="mark before" {left}>← prompt</span>'] * (not is_short)
        labels += [f'<span class="mark after" {left}>{"← prompt, " * is_short}continuation →</span>']
    return "\n".join(labels)


def _keys(low: float, high: float, bottom: float, has_drums: bool) -> str:
    """The keyboard to the left of the roll, with the names of the Cs."""
    tall = high - bottom
    pitches = np.arange(int(np.ceil(low)), int(high) + 1)
    black = "".join(f"M0 {high - p - 0.5:g}h34v1H0z" for p in pitches if p % 12 in (1, 3, 6, 8, 10))
    # Borders of white keys: in the middle of a black key, or where two white keys touch.
    seams = [p if p % 12 in (1, 3, 6, 8, 10) else p - 0.5 for p in pitches if p % 12 in (0, 1, 3, 5, 6, 8, 10)]
    lines = "".join(f"M0 {high - seam:g}h56" for seam in seams)
    names = "".join(
        f'<span style="top: {100 * (high - p) / tall:.3f}%">C{p // 12 - 1}</span>' for p in pitches if p % 12 == 0
    )
    if has_drums:
        names += f'<span class="band" style="top: {100 * (1 - (low - 1.5 - bottom) / 2 / tall):.3f}%">drums</span>'
    return (
        f'<svg viewBox="0 0 56 {tall:g}" preserveAspectRatio="none"><path fill="none" stroke="#c9c9d2"'
        f' vector-effect="non-scaling-stroke" d="{lines}"/><path fill="#44444e" d="{black}"/></svg>{names}'
    )


def _song(
    music: muspy.Music,
    notes: RawNotes,
    names: npt.NDArray[Any],
    players: list[str],
    extent: tuple[float, float, float],
    soundfont: str | os.PathLike[str] | None,
) -> str:
    """The data of the page's script, as JSON that is safe in HTML."""
    beats, end, top = extent
    heard = timed_notes(music)
    recordings = record(heard, soundfont)
    marks = np.unique([0, *(max(mark.time, 0) for mark in music.tempos if mark.qpm > 0)])
    seconds = seconds_at(marks, music)
    per_beat = (seconds_at(marks + 1, music) - seconds) * music.resolution
    velocity = np.clip(64 if notes.velocity is None else notes.velocity, 0, 127)
    used = _nearest(notes, recordings)
    columns = np.stack([np.maximum(notes.onset, 0), notes.duration, notes.pitch, velocity, used], axis=1)
    song = {
        "beats": beats,
        "end": end,
        "top": top,
        "resolution": notes.resolution,
        "rate": RATE,
        "level": _level(heard),
        "tempos": np.round(np.stack([marks / music.resolution, seconds, per_beat], axis=1), 7).tolist(),
        "parts": [
            {"name": name, "drums": name == _DRUMS, "notes": columns[names == name].ravel().tolist()}
            for name in players
        ],
        "recordings": [
            {
                "pitch": r.pitch,
                "drum": r.is_drum,
                "loop": r.loop,
                "decay": r.decay,
                "data": base64.b64encode(r.codes).decode(),
            }
            for r in recordings
        ],
    }
    # A name must not end the script element.
    return json.dumps(song, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _nearest(notes: RawNotes, recordings: list[Recording]) -> npt.NDArray[np.int64]:
    """For each note, (n,), the index of its recording, or -1."""
    if not recordings:
        return np.full(len(notes), -1)
    program, is_drum, pitch = (
        np.array([getattr(recording, name) for recording in recordings]) for name in ("program", "is_drum", "pitch")
    )
    distance = np.abs(notes.pitch[:, None] - pitch).astype(np.float64)
    kits = np.isin(notes.program, program[is_drum])
    # The first drum kit replaces missing ones.
    of_note = np.where(notes.is_drum & ~kits, 0, notes.program)
    distance[(notes.is_drum[:, None] != is_drum) | (of_note[:, None] != program)] = np.inf
    distance[notes.is_drum[:, None] & (distance > 0)] = np.inf
    best = distance.argmin(axis=1)
    return np.where(np.isfinite(distance[np.arange(len(notes)), best]), best, -1)


def _level(heard: TimedNotes) -> float:
    """The gain of velocity 127 for a peak of about 0.7; the powers of simultaneous notes add up."""
    power = (heard["velocity"] / 127.0) ** 4
    times = np.concatenate([heard["start"], heard["start"] + heard["duration"]])
    order = np.lexsort([np.repeat([1, 0], len(heard)), times])  # ends before beginnings
    together = np.cumsum(np.concatenate([power, -power])[order]).max(initial=0.0)
    return round(0.7 / max(float(np.sqrt(together)), 0.05), 5)


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)
