"""Write docs/modules.md: every module of the library with the first line of its docstring.

python docs/modules.py
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("representation", "music", "model", "sampling", "corpus", "training", "analysis", "studio", "cli")

HEAD = """# Modules

Each package imports only packages above it in this list. Made by `docs/modules.py` from the docstrings.
"""


def page() -> str:
    """The text of the page."""
    parts = [HEAD]
    for package in PACKAGES:
        files = sorted((ROOT / "mmt" / package).rglob("*.py"))
        rows = [f"| `{_name(file)}` | {_first_line(file)} |" for file in files if file.name != "__init__.py"]
        parts.append("\n".join([f"## {package}", "", "| module | |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def _name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT / "mmt").with_suffix("").parts)


def _first_line(file: Path) -> str:
    """The first sentence of the module's docstring, up to its first full stop or empty line."""
    text = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    (ROOT / "docs" / "modules.md").write_text(page(), encoding="utf-8")
