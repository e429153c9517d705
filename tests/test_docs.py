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

from mmt.cli.common import run

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
READMES = [ROOT / "README.md", ROOT / "data" / "README.md"]
LINKING = [*PAGES, *READMES, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "benchmarks").glob("*.md"))]


def blocks(page: Path, kind: str) -> str:
    return "\n".join(re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S))


def commands(page: Path) -> list[str]:
    lines = blocks(page, "console").replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("mmt-")]


COMMANDS = [line for page in PAGES + READMES for line in commands(page)]


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
    name, *arguments = shlex.split(line, comments=True)
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    command = importlib.import_module(scripts[name].split(":")[0])
    assert run(command._parser(), lambda chosen: None, arguments) == 0


def linked(page: Path) -> list[tuple[Path, str]]:
    """The files and the headings to which a page links, outside of code; pages of the web are left out."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    targets = [target.partition("#") for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    return [((page.parent / file).resolve() if file else page, heading) for file, _, heading in targets]


def headings(page: Path) -> set[str]:
    lines = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for file, heading in linked(page):
        assert file.exists(), f"{file} does not exist"
        assert not heading or heading in headings(file), f"{file} has no heading {heading}"


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
