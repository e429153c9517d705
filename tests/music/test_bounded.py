"""No file of JSON, YAML or CSV takes more than bounded time and memory, and every error is a `ValueError` of one line."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import muspy
import pytest
from limited import in_limits

import mmt
from mmt.music.bounded import parse_json, parse_yaml, read_file, read_table
from mmt.training.recipe import load_recipe

DEEP = 100_000
ALIASES = "n: &n {time: 0, pitch: 60, duration: 24, velocity: 64}\nm: &m [" + "*n, " * 1000 + "*n]\n"
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join(9 * [f'*a{i - 1}'])}]}}\n" for i in range(1, 9))


def piece(**note: Any) -> dict[str, Any]:
    notes = [{"time": 0, "pitch": 60, "duration": 24, "velocity": 64} | note]
    return {"resolution": 24, "tracks": [{"program": 0, "is_drum": False, "name": "x", "notes": notes}]}


def damaged_name() -> bytes:
    """A zip archive whose header of a member has another, longer name than the list of members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("META-INF/container.xml", "\x1b" * 5000)
    return out.getvalue().replace(b"container.xml", b"container.xm\n", 1)[:26] + b"\xff\x0f" + out.getvalue()[28:]


HOSTILE = [
    (".json", "[" * DEEP + "]" * DEEP),
    (".json", '{"a":' * DEEP + "1" + "}" * DEEP),
    (".json", '{"resolution": ' + "9" * 5000 + "}"),
    (".json", '{"resolution": NaN}'),
    (".json", '{"resolution": 24, "tracks": [' + "{}," * 3_000_000 + "1]}"),
    (".yaml", "[" * DEEP + "]" * DEEP),
    (".yaml", "{a: " * DEEP + "}" * DEEP),
    (".yaml", "- " * DEEP),
    (".yaml", "? " * DEEP),
    (".yaml", "\n".join(" " * depth + "a:" for depth in range(2000))),
    (".yml", ALIASES),
    (".yml", MERGES),
    (".yaml", "a: &a [*a]"),
    (".yaml", "a: 1" + ":1" * 500_000),
    (".yaml", "a: [" + "[]," * 2_000_000 + "1]"),
    (".yaml", "!!python/object/apply:os.system [ls]"),
    (".yaml", "resolution: 2024-13-45"),
    (".yaml", "a: 1\n---\nb: 2\n"),
    (".yaml", 'a: !!int "' + "1:" * 40_000 + '1"'),
    (".yaml", 'a: !!float "' + "1:" * 40_000 + '1"'),
    (".yaml", "a: !!bool x"),
    (".yaml", "a: !!timestamp x"),
    (".yaml", "a: !!int ''"),
    (".yaml", "a: " + "59:" * 300 + "59.5"),
    (".yaml", "x" * 900 + ": &" + "y" * 900 + " *" + "z" * 5000),
    (".json", json.dumps({"resolution": 24, "tracks": [{"chords": [{"pitches": [60] * 300_000}]}]})),
    (".mxl", damaged_name()),
    (
        ".musicxml",
        "<!DOCTYPE a [<!ATTLIST a " + "".join(f"x{i} CDATA '' " for i in range(2000)) + ">]><b>" + "<a/>" * 200_000,
    ),
]


def test_a_hostile_file_is_refused_in_bounded_time_and_memory(tmp_path: Path) -> None:
    for place, (suffix, content) in enumerate(HOSTILE):
        (tmp_path / f"{place:02d}{suffix}").write_bytes(content if isinstance(content, bytes) else content.encode())
    code = """
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        mmt.read(path)
    except ValueError as error:
        print(error)
"""
    said = in_limits(
        code, str(tmp_path), imports="import mmt, muspy, yaml; from pathlib import Path", seconds=60, memory=2**30
    )
    lines = said.splitlines()
    assert len(lines) == len(HOSTILE)
    for line, path in zip(lines, sorted(tmp_path.iterdir()), strict=True):
        assert line.startswith(f"cannot read {path}: ")
        assert len(line) < 500


@pytest.mark.parametrize(
    "note", [{"time": 10**22}, {"duration": 2**31}, {"pitch": -(2**31)}, {"velocity": 1e400}, {"time": float("nan")}]
)
@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_numbers_beyond_the_limits_are_refused(tmp_path: Path, suffix: str, note: dict[str, Any]) -> None:
    import yaml

    path = tmp_path / f"piece{suffix}"
    path.write_text(json.dumps(piece(**note)) if suffix == ".json" else yaml.safe_dump(piece(**note)))
    with pytest.raises(ValueError, match="cannot read"):
        mmt.read(path)


@pytest.mark.parametrize("note", [muspy.Note(0, 60, 2**31 - 1), muspy.Note(2**31 - 1, 60, 1), muspy.Note(2**40, 60, 1)])
def test_notes_that_overflow_the_note_table_are_refused(note: muspy.Note) -> None:
    music = muspy.Music(resolution=1, tracks=[muspy.Track(notes=[note])])
    with pytest.raises(ValueError, match="music is shorter than that"):
        mmt.encode(music)


def test_json_and_yaml_are_parsed_to_plain_values() -> None:
    plain = {"a": [1, -2.5, None, True, "ü"], "b": {"c": []}}
    assert parse_json('{"a": [1, -2.5, null, true, "ü"], "b": {"c": []}}'.encode()) == plain
    assert parse_yaml("a: [1, -2.5, null, true, ü]\nb:\n  c: []\n".encode()) == plain


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_or_device_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path / "pipe.json", Path("/dev/zero"), tmp_path):
        with pytest.raises(ValueError, match=r"cannot read .* not a regular file"):
            read_file(path)
    for suffix in (".json", ".mid", ".abc", ".musicxml"):
        (tmp_path / f"link{suffix}").symlink_to("/dev/zero")
        with pytest.raises(ValueError, match=rf"cannot read .*link{suffix}: "):
            mmt.read(tmp_path / f"link{suffix}")


@pytest.mark.parametrize("value", ["9" * 900, "x" * 900, f"[{'1, ' * 500}1]", f"{{{'x' * 5000}: 1}}"])
@pytest.mark.parametrize(
    "entry", ["seed: {}", "network: {{layers: {}}}", "representation: {{durations: {}}}", "data: {}"]
)
def test_an_error_of_a_recipe_is_short_and_on_one_line(tmp_path: Path, entry: str, value: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(entry.format(value))
    with pytest.raises(ValueError, match=r"recipe\.yaml") as caught:
        load_recipe(path)
    assert len(str(caught.value)) < 1500
    assert "\n" not in str(caught.value)


def test_the_columns_of_an_invalid_table_are_named_on_one_line() -> None:
    with pytest.raises(ValueError, match="has no column 'a'") as caught:
        list(read_table(b'"x\ny\x1b",' + b"z" * 5000, "here", ["a"]))
    assert "x\\ny\\x1b" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_larger_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_file(tmp_path / "a", 5) == b"12345"
    with pytest.raises(ValueError, match=r"a: it holds more than 4 bytes"):
        read_file(tmp_path / "a", 4)


def test_rows_of_a_table_have_the_requested_columns() -> None:
    rows = read_table(b"\xef\xbb\xbfb,a\r\n1,2\n\n3\n", "here", ["b"], ["a", "c"])
    assert list(rows) == [["1", "2", ""], ["3", "", ""]]
    with pytest.raises(ValueError, match="here has no column 'c'; its columns are b, a"):
        list(read_table(b"b,a\n", "here", ["c"]))
