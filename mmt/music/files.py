"""Reading and writing music by the file's suffix.

A file that is written appears whole or not at all. Whatever is wrong with a file that is read is a `ValueError` of one
line that names it (or an `OSError`, as Python raises it, where the file cannot be opened).
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import muspy


def read(path: str | os.PathLike[str]) -> muspy.Music:
    """Read a piece of music.

    Parameters
    ----------
    path
        A MIDI (.mid, .midi, .kar, .rmi), MusicXML (.musicxml, .xml, .mxl), ABC (.abc) or muspy file (.json, .yaml,
        .yml); the suffix says which, in capitals too. Of an ABC file with several tunes the first is read.

    Returns
    -------
    muspy.Music
        With the resolution that the file has (MusicXML: what its note values need).

    Raises
    ------
    ValueError
        If the suffix is unknown, or the file does not hold what its suffix says; the line names the file.
    OSError
        If the file is missing, a folder, or may not be read.

    Examples
    --------
    >>> import tempfile, muspy, mmt.music
    >>> music = muspy.Music(resolution=12, tracks=[muspy.Track(program=40, notes=[muspy.Note(0, 60, 12)])])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     mmt.music.write(f"{folder}/one.mid", music)
    ...     mmt.music.read(f"{folder}/one.mid").tracks[0].notes
    [Note(time=0, pitch=60, duration=12, velocity=64)]
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"cannot read {path}: it is a folder; name one file in it")
    reader = _by_suffix(path, _READERS, "read")
    if not path.exists():
        raise FileNotFoundError(f"cannot read {path}: there is no such file")
    if path.stat().st_size == 0:
        raise ValueError(f"cannot read {path}: the file is empty")
    music = reader(path)
    music.metadata.source_filename = path.name
    return music


def write(
    path: str | os.PathLike[str],
    music: muspy.Music,
    *,
    overwrite: bool = True,
    prompt_beats: float | None = None,
    soundfont: str | os.PathLike[str] | None = None,
) -> None:
    """Write a piece of music; the file appears whole or not at all.

    Parameters
    ----------
    path
        The suffix says what is written: MIDI (.mid, .midi), MusicXML (.musicxml, .xml, .mxl), muspy's own form (.json,
        .yaml, .yml), audio (.wav), a picture of the piano roll (.png), or that with a player in one page (.html).
    music
        What to write.
    overwrite
        Whether an existing file may be replaced.
    prompt_beats
        Where a prompt ends and what was made of it begins; told apart in .png and .html, of no effect on other files.
    soundfont
        What plays .wav and .html (see `mmt.music.audio.render`); by default the one that is installed with mmt.

    Raises
    ------
    ValueError
        If the suffix is unknown, or such a file cannot hold the music.
    FileExistsError
        If the file exists and must not be replaced.
    OSError
        If the folder is missing or may not be written to.

    Examples
    --------
    See `read`.
    """
    if hasattr(path, "tracks"):
        raise ValueError("the path comes first: mmt.write('piece.mid', music)")
    path = Path(path)
    if not hasattr(music, "tracks"):
        raise ValueError(
            f"cannot write {path}: a muspy.Music is needed, not {type(music).__name__}; make one of events by mmt.decode"
        )
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder; name a file in it")
    writer = _by_suffix(path, _WRITERS, "write")
    asked = {"prompt_beats": prompt_beats, "soundfont": soundfont}
    options = {name: asked[name] for name in _OPTIONS.get(writer, ())}
    if path.exists() and not overwrite:
        raise FileExistsError(f"cannot write {path}: the file exists already; name another, or allow overwriting")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}; create it first")
    # In the same folder, so that the finished file takes its place in one step; with the suffix, by which writers go.
    with tempfile.TemporaryDirectory(prefix=".mmt-", dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        try:
            writer(unfinished, music, **options)
        except ValueError as error:
            raise ValueError(f"cannot write {path}: {error}") from error
        os.replace(unfinished, path)


def _by_suffix(path: Path, table: dict[str, Callable[..., Any]], what: str) -> Callable[..., Any]:
    suffix = path.suffix.lower()
    if suffix not in table:
        given = f"suffix {path.suffix!r}" if suffix else "a name without a suffix"
        raise ValueError(f"cannot {what} {path}: {given}, where mmt can {what} {', '.join(table)}")
    return table[suffix]


def _read_midi(path: Path) -> muspy.Music:
    from mmt.music.midi import read_midi

    return read_midi(path)


def _read_musicxml(path: Path) -> muspy.Music:
    from mmt.music.musicxml import read_musicxml

    return read_musicxml(path)


def _read_abc(path: Path) -> muspy.Music:
    from mmt.music.abc import read_abc

    try:
        return read_abc(path)
    except ValueError as error:
        raise ValueError(f"cannot read {path}: this is no ABC ({error})") from error


def _read_json(path: Path) -> muspy.Music:
    return _quietly(path, "muspy JSON", lambda: _from_plain(json.loads(path.read_text(encoding="utf-8"))))


def _read_yaml(path: Path) -> muspy.Music:
    import yaml

    # The loader in C, where PyYAML has it, is eight times as fast.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = path.read_text(encoding="utf-8", errors="replace")
    return _quietly(path, "muspy YAML", lambda: _from_plain(yaml.load(text, loader)))


def _from_plain(plain: Any) -> muspy.Music:
    import muspy

    if not isinstance(plain, dict) or "resolution" not in plain:
        raise ValueError("a muspy file is a mapping with at least a resolution")
    music = muspy.Music.from_dict(plain)
    music.validate()
    return music


def _quietly(path: Path, what: str, load: Callable[[], Any]) -> Any:
    """Call a third party's reader: its prints and warnings are dropped, and its many exceptions become one line."""
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return load()
    except OSError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or "nothing more is known"
        raise ValueError(f"cannot read {path}: this is no {what} ({type(error).__name__}: {reason})") from error


def _write_midi(path: Path, music: muspy.Music) -> None:
    from mmt.music.midi_writing import write_midi

    write_midi(path, music)


def _write_musicxml(path: Path, music: muspy.Music) -> None:
    from mmt.music.musicxml_writing import write_musicxml

    write_musicxml(path, music)


def _write_json(path: Path, music: muspy.Music) -> None:
    path.write_text(_json(music), encoding="utf-8")


def _write_yaml(path: Path, music: muspy.Music) -> None:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    plain = json.loads(_json(music))
    path.write_text(yaml.dump(plain, Dumper=dumper, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _json(music: muspy.Music) -> str:
    # NumPy's integers are none to JSON; muspy's own writer fails on them.
    return json.dumps(music.to_ordered_dict(deepcopy=False), ensure_ascii=False, default=_plain_number)


def _write_wav(path: Path, music: muspy.Music, soundfont: str | os.PathLike[str] | None) -> None:
    from mmt.music.audio import write_wav

    write_wav(path, music, soundfont)


def _write_png(path: Path, music: muspy.Music, prompt_beats: float | None) -> None:
    from mmt.music.pictures import write_png

    write_png(path, music, prompt_beats)


def _write_html(
    path: Path, music: muspy.Music, prompt_beats: float | None, soundfont: str | os.PathLike[str] | None
) -> None:
    from mmt.music.web_page import write_html

    write_html(path, music, prompt_beats, soundfont)


def _plain_number(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


_READERS: dict[str, Callable[[Path], Any]] = (
    dict.fromkeys((".mid", ".midi", ".kar", ".rmi"), _read_midi)
    | dict.fromkeys((".musicxml", ".xml", ".mxl"), _read_musicxml)
    | {".abc": _read_abc, ".json": _read_json, ".yaml": _read_yaml, ".yml": _read_yaml}
)
_WRITERS: dict[str, Callable[..., None]] = (
    dict.fromkeys((".mid", ".midi"), _write_midi)
    | dict.fromkeys((".musicxml", ".xml", ".mxl"), _write_musicxml)
    | {".json": _write_json, ".yaml": _write_yaml, ".yml": _write_yaml}
    | {".wav": _write_wav, ".png": _write_png, ".html": _write_html}
)
# What a writer takes beside the path and the music.
_OPTIONS: dict[Callable[..., None], tuple[str, ...]] = {
    _write_wav: ("soundfont",),
    _write_png: ("prompt_beats",),
    _write_html: ("prompt_beats", "soundfont"),
}

# Suffixes of what is read and written, and of those the MIDI files.
READABLE = frozenset(_READERS)
WRITABLE = frozenset(_WRITERS)
MIDI_SUFFIXES = frozenset(suffix for suffix, reader in _READERS.items() if reader is _read_midi)
