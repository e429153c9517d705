"""Writing music as one HTML page with a piano roll, a player and the MIDI file, which works offline.

The scripts play each instrument from the recordings in the page (`recordings`), so that it can be muted, and long music needs no
more space than short.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from mmt.music.page.notebook import describe
from mmt.music.page.song import add_recordings, song
from mmt.music.pictures.colors import title_of
from mmt.music.writing.midi import midi_bytes
from mmt.representation.arguments import AnyPath

if TYPE_CHECKING:
    import muspy

SCRIPTS = ("song.js", "player.js", "piano_roll.js", "controls.js")
"""The ES modules of the page, each after those that it imports."""


def write_html(
    path: AnyPath, music: muspy.Music, prompt_beats: float | None = None, soundfont: AnyPath | None = None
) -> None:
    """Write music as a self-contained HTML page with a piano roll and a player.

    Parameters
    ----------
    path
        The file.
    music
        Its title becomes the page's; without one the page is titled by its instruments.
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


def page(music: muspy.Music, prompt_beats: float | None = None, soundfont: AnyPath | None = None) -> str:
    """The text of the page; see `write_html`."""
    title = title_of(music)
    data = add_recordings(song(music, prompt_beats), music, soundfont)
    return Template(asset("page.html")).substitute(
        title=html.escape(title),
        caption=html.escape(describe(music)),
        download=_download(music, title),
        style=asset("page.css") + asset("controls.css"),
        script=script(SCRIPTS),
        # A name must not end the script element.
        song=json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
    )


def _download(music: muspy.Music, title: str) -> str:
    try:
        data = base64.b64encode(midi_bytes(music)).decode()
    except ValueError:  # it can be shown, but MIDI cannot hold it
        return ""
    name = re.sub(r"[^\w -]+", "", title).strip()[:80] or "music"
    return f'<a class="download" download="{name}.mid" href="data:audio/midi;base64,{data}">Download as MIDI</a>'


def script(modules: Iterable[str]) -> str:
    """ES modules as one script, in which imports and exports have no meaning."""
    return re.sub(r"^import .*\n|^export ", "", "\n".join(map(asset, modules)), flags=re.MULTILINE)


def asset(name: str) -> str:
    """The text of a script or style sheet in this package."""
    return (resources.files("mmt.music.page") / name).read_text(encoding="utf-8")
