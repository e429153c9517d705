"""Output of a notebook cell for music: the piano roll and a player, in HTML that works offline."""

from __future__ import annotations

import base64
import html
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmt.music.audio import length_in_seconds, render
from mmt.music.page.recordings import mu_law
from mmt.music.pictures.colors import listed, players
from mmt.music.pictures.piano_rolls import png
from mmt.representation.arguments import AnyPath
from mmt.representation.codes import PAPER, IntArray, Representation
from mmt.representation.decode import decode

if TYPE_CHECKING:
    import muspy

_SAMPLE_RATE = 16_000  # mono, a byte per sample: 16 kB per second keep a notebook small


@dataclass(frozen=True)
class Shown:
    """Result of `show`: a picture and a player in a notebook, a line of text elsewhere."""

    picture: bytes
    """The piano roll, a PNG file."""
    sound: bytes
    """The sound, a WAV file (mono, 8 bit, mu-law); empty for no player."""
    caption: str

    def __repr__(self) -> str:
        return f"<{self.caption} A notebook shows it; mmt.write(path, music) writes it as .png, .wav or .mid>"

    def _repr_html_(self) -> str:
        caption, player = html.escape(self.caption), ""
        if self.sound:
            player = f'<audio controls preload="metadata" src="{_data("audio/wav", self.sound)}"></audio>'
        return (
            '<figure style="margin: 0">'
            f'<img style="max-width: 100%" alt="{caption}" src="{_data("image/png", self.picture)}">'
            f'<div style="display: flex; align-items: center; gap: 1em">{player}<span>{caption}</span></div></figure>'
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        # The PNG is for viewers without HTML, such as a notebook converted to PDF.
        picture = base64.b64encode(self.picture).decode()
        return {"text/plain": repr(self), "text/html": self._repr_html_(), "image/png": picture}


def show(
    music: muspy.Music | IntArray,
    *,
    prompt_beats: float | None = None,
    seconds: float = 120,
    soundfont: AnyPath | None = None,
    representation: Representation = PAPER,
) -> Shown:
    """Show the piano roll of music and a player in a notebook.

    Parameters
    ----------
    music
        Music, or events (n, 6), which are decoded.
    prompt_beats
        The length of the prompt in beats, marked in the picture.
    seconds
        Limit of the sound, which the notebook stores; 0 for no player.
    soundfont
        An .sf2 file for the sound; by default the one that is installed with mmt.
    representation
        The representation of the events; not used for music.

    Examples
    --------
    >>> import muspy, mmt.music
    >>> music = muspy.Music(resolution=12, tracks=[muspy.Track(program=73, notes=[muspy.Note(0, 72, 24)])])
    >>> mmt.music.show(music)
    <1 note for flute, 0:01. A notebook shows it; mmt.write(path, music) writes it as .png, .wav or .mid>
    """
    if not seconds >= 0:
        raise ValueError(f"seconds is {seconds}; it must be 0 or more")
    if not hasattr(music, "tracks"):
        music = decode(music, representation=representation)
    caption, sound = describe(music), b""
    if seconds and (length := length_in_seconds(music)):
        sound = _wav(music, seconds, soundfont)
        if length > seconds:
            caption += f" The player has the first {in_minutes(seconds)}."
    return Shown(png(music, prompt_beats), sound, caption)


def _wav(music: muspy.Music, seconds: float, soundfont: AnyPath | None) -> bytes:
    samples = mu_law(render(music, soundfont, _SAMPLE_RATE, seconds).mean(axis=1)).tobytes()
    # Format 7 is mu-law; one channel, one byte per sample. All formats but PCM need a "fact" chunk.
    form = struct.pack("<HHIIHHH", 7, 1, _SAMPLE_RATE, _SAMPLE_RATE, 1, 8, 0)
    chunks = {b"fmt ": form, b"fact": struct.pack("<I", len(samples)), b"data": samples + b"\0" * (len(samples) % 2)}
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(chunk)) + chunk for name, chunk in chunks.items())
    return b"RIFF" + struct.pack("<I", len(body)) + body


def describe(music: muspy.Music) -> str:
    """A sentence with the number of notes, the instruments and the length."""
    count = sum(len(track.notes) for track in music.tracks)
    if not count:
        return "No notes."
    notes = "1 note" if count == 1 else f"{count:,} notes"
    return f"{notes} for {listed(players(music))}, {in_minutes(length_in_seconds(music))}."


def in_minutes(seconds: float) -> str:
    """Format seconds as m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
