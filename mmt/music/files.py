"""Reading and writing music by the file's suffix.

Files are written atomically. A file that cannot be read raises a `ValueError` of one line that names it, or Python's `OSError`
if it cannot be opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmt.music.atomic import replacing
from mmt.representation.arguments import AnyPath, described, path_of

if TYPE_CHECKING:
    import muspy


def read(path: AnyPath) -> muspy.Music:
    """Read a piece of music.

    Parameters
    ----------
    path
        A MIDI (.mid, .midi, .kar, .rmi), MusicXML (.musicxml, .xml, .mxl), ABC (.abc) or muspy file (.json, .yaml, .yml),
        by its suffix, in lower or upper case. Only the first tune of an ABC file is read.

    Returns
    -------
    muspy.Music
        With the file's resolution (MusicXML: the smallest that holds its note values).

    Raises
    ------
    ValueError
        If the suffix is unknown, or the content is not what the suffix says; the message names the file.
    OSError
        If the file is missing, is a folder, or may not be read.

    Examples
    --------
    >>> import tempfile, muspy, mmt.music
    >>> music = muspy.Music(resolution=12, tracks=[muspy.Track(program=40, notes=[muspy.Note(0, 60, 12)])])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     mmt.music.write(f"{folder}/one.musicxml", music)
    ...     mmt.music.read(f"{folder}/one.musicxml").tracks[0].notes
    [Note(time=0, pitch=60, duration=12, velocity=64)]
    """
    path = path_of("path", path, "mmt.read needs the name of one file: mmt.read('piece.mid')")
    if path.is_dir():
        raise IsADirectoryError(f"cannot read {path}: it is a folder; name one file in it")
    reader = _function(path, _READERS, "read")
    if not path.exists():
        raise FileNotFoundError(f"cannot read {path}: there is no such file")
    if path.stat().st_size == 0:
        raise ValueError(f"cannot read {path}: the file is empty")
    music: muspy.Music = reader(path)
    music.metadata.source_filename = path.name
    return music


def write(
    path: AnyPath,
    music: muspy.Music,
    *,
    overwrite: bool = True,
    prompt_beats: float | None = None,
    soundfont: AnyPath | None = None,
) -> None:
    """Write a piece of music to a file, atomically.

    Parameters
    ----------
    path
        The suffix sets the format: MIDI (.mid, .midi), MusicXML (.musicxml, .xml, .mxl), muspy (.json, .yaml, .yml),
        audio (.wav), a picture of the piano roll (.png), or a page with the piano roll and a player (.html).
    music
        The music to write.
    overwrite
        Whether an existing file may be replaced.
    prompt_beats
        The length of the prompt in beats, marked in .png and .html; ignored for other formats.
    soundfont
        The SoundFont for .wav and .html (see `mmt.music.audio.render`); by default the one that is installed with mmt.

    Raises
    ------
    ValueError
        If the suffix is unknown, or the format cannot hold the music.
    FileExistsError
        If the file exists and `overwrite` is False.
    OSError
        If the folder is missing or may not be written to.
    """
    if hasattr(path, "tracks"):
        raise ValueError("the path comes first: mmt.write('piece.mid', music)")
    path = path_of("path", path, "the name of the file comes first: mmt.write('piece.mid', music)")
    if not hasattr(music, "tracks"):
        raise ValueError(
            f"cannot write {path}: got {described(music)}, expected a muspy.Music; mmt.decode makes one from events"
        )
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder; name a file in it")
    writer = _function(path, _WRITERS, "write")
    given = {"prompt_beats": prompt_beats, "soundfont": soundfont}
    options = {name: given[name] for name in _OPTIONS.get(path.suffix.lower(), ())}
    if path.exists() and not overwrite:
        raise FileExistsError(f"cannot write {path}: the file exists; choose another name, or allow overwriting")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}; create it first")
    # The path keeps its suffix, which some writers look at.
    with replacing(path) as unfinished:
        try:
            writer(unfinished, music, **options)
        except ValueError as error:
            raise ValueError(f"cannot write {path}: {error}") from error


def _function(path: Path, table: Mapping[str, str], what: str) -> Any:
    """The reader or writer of a file by its suffix; its module is imported only now."""
    suffix = path.suffix.lower()
    if suffix not in table:
        given = f"suffix {path.suffix!r}" if suffix else "a name without a suffix"
        raise ValueError(f"cannot {what} {path}: {given}, where mmt can {what} {', '.join(table)}")
    module, _, function = table[suffix].rpartition(".")
    return getattr(import_module(f"mmt.music.{module}"), function)


# Suffix: the function in mmt.music.
_READERS = {
    **dict.fromkeys((".mid", ".midi", ".kar", ".rmi"), "reading.midi.read_midi"),
    **dict.fromkeys((".musicxml", ".xml", ".mxl"), "reading.musicxml.read_musicxml"),
    ".abc": "reading.abc.read_abc",
    ".json": "muspy_files.read_json",
    **dict.fromkeys((".yaml", ".yml"), "muspy_files.read_yaml"),
}
_WRITERS = {
    **dict.fromkeys((".mid", ".midi"), "writing.midi.write_midi"),
    **dict.fromkeys((".musicxml", ".xml", ".mxl"), "writing.musicxml.write_musicxml"),
    ".json": "muspy_files.write_json",
    **dict.fromkeys((".yaml", ".yml"), "muspy_files.write_yaml"),
    ".wav": "audio.write_wav",
    ".png": "pictures.write_png",
    ".html": "page.write_html",
}
# The options that a writer takes.
_OPTIONS = {".wav": ("soundfont",), ".png": ("prompt_beats",), ".html": ("prompt_beats", "soundfont")}

READABLE = frozenset(_READERS)
WRITABLE = frozenset(_WRITERS)
MIDI_SUFFIXES = frozenset(suffix for suffix, reader in _READERS.items() if reader == "reading.midi.read_midi")
