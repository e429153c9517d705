"""Reading and writing muspy's own JSON and YAML files."""

from __future__ import annotations

import io
import json
import warnings
from codecs import BOM_UTF8
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmt.music.bounded import (
    LARGEST_JSON,
    LARGEST_YAML,
    LONGEST_PLAIN,
    brief,
    check_numbers,
    json_bytes,
    parse_json,
    parse_yaml,
    read_file,
)

if TYPE_CHECKING:
    import muspy

# About as many as a JSON file of the greatest size holds as notes. In a chord, a note takes a few characters.
_MOST_CHORD_NOTES = 250_000


def read_json(path: Path) -> muspy.Music:
    """Read a muspy JSON file; a `ValueError` names the file if it is none."""
    return _read(path, LARGEST_JSON, parse_json, "JSON")


def read_yaml(path: Path) -> muspy.Music:
    """Read a muspy YAML file, without aliases; a `ValueError` names the file if it is none."""
    return _read(path, LARGEST_YAML, parse_yaml, "YAML")


def write_json(path: Path, music: muspy.Music) -> None:
    """Write music as a muspy JSON file."""
    path.write_bytes(_json(music))


def write_yaml(path: Path, music: muspy.Music) -> None:
    """Write music as a muspy YAML file."""
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        """Quotes long texts, as `read_yaml` limits those without quotes, and replaces halves of surrogate pairs."""

        def represent_text(self, text: str) -> Any:
            text = text.encode("utf-8", "replace").decode()
            return self.represent_scalar("tag:yaml.org,2002:str", text, '"' if len(text) > LONGEST_PLAIN else None)

    Dumper.add_representer(str, Dumper.represent_text)
    text = yaml.dump(json.loads(_json(music)), Dumper=Dumper, sort_keys=False, allow_unicode=True)
    path.write_bytes(text.encode())


def _read(path: Path, limit: int, parse: Callable[[bytes], Any], form: str) -> muspy.Music:
    import muspy

    content = read_file(path, limit)
    try:
        # muspy prints and warns, and raises exceptions of many types.
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            plain = parse(content.removeprefix(BOM_UTF8))
            if not isinstance(plain, dict) or "resolution" not in plain:
                raise ValueError("a muspy file is a mapping with at least a resolution")
            # The largest numbers of MIDI files are below 2^31 too.
            check_numbers(plain)
            _check_chords(plain)
            music = muspy.Music.from_dict(plain)
            for track in music.tracks:
                _resolve_chords(track)
            music.validate()
            return music
    except Exception as error:
        reason = brief(" ".join(str(error).split())) or "no reason given"
        raise ValueError(f"cannot read {path}: this is not muspy {form} ({type(error).__name__}: {reason})") from error


def _check_chords(plain: dict[str, Any]) -> None:
    """Refuse too many notes in chords: each becomes a `muspy.Note`."""
    chords = (chord for track in plain.get("tracks") or () for chord in track.get("chords") or ())
    if sum(len(chord["pitches"]) for chord in chords) > _MOST_CHORD_NOTES:
        raise ValueError(f"its chords have more than {_MOST_CHORD_NOTES:,} notes")


def _resolve_chords(track: muspy.Track) -> None:
    """Replace the chords of a track by notes: nothing else reads chords, and muspy's own check refuses them."""
    import muspy

    if not track.chords:
        return
    for chord in track.chords:
        track.notes += [muspy.Note(chord.time, pitch, chord.duration, chord.velocity) for pitch in chord.pitches]
    track.notes.sort(key=lambda note: (note.time, note.pitch, note.duration))
    track.chords = []


def _json(music: muspy.Music) -> bytes:
    # muspy's own writer fails on NumPy integers.
    return json_bytes(music.to_ordered_dict(deepcopy=False), default=_plain_number)


def _plain_number(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
