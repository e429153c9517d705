"""The pages of the site: examples run, commands parse, and the site builds without a warning."""

from __future__ import annotations

import doctest
import importlib
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))


def blocks(page: Path, kind: str) -> str:
    return "\n".join(re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S))


COMMANDS = [line for page in PAGES for line in blocks(page, "console").splitlines() if line.startswith("mmt-")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_of_pages_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    found = doctest.DocTestParser().get_doctest(blocks(page, "pycon"), {}, page.stem, str(page), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert runner.run(found).failed == 0, "see the output above"


def test_there_are_examples() -> None:
    with_examples = [page.stem for page in PAGES if blocks(page, "pycon")]
    assert {"start", "concepts", "howto", "reproduce", "extend"} <= set(with_examples)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_of_pages_parse(line: str) -> None:
    name, *arguments = shlex.split(line)
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    command = importlib.import_module(scripts[name].split(":")[0])
    command._parser().parse_intermixed_args(arguments)


@pytest.mark.skipif(find_spec("sphinx") is None, reason="needs the extra docs")
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        str(ROOT / "docs"),
        str(tmp_path),
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    reference = (tmp_path / "reference.html").read_text(encoding="utf-8")
    assert "mmt.sampling.model.Model.generate" in reference


def test_the_list_of_modules_is_that_of_their_docstrings() -> None:
    """`python docs/modules.py` updates the page."""
    script = runpy.run_path(str(ROOT / "docs" / "modules.py"))
    assert (ROOT / "docs" / "modules.md").read_text(encoding="utf-8") == script["page"]()


def test_the_citation_is_of_this_version() -> None:
    import mmt

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == mmt.__version__
    assert citation["preferred-citation"]["authors"][0]["family-names"] == "Dong"
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
