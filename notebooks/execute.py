"""Run notebooks from top to bottom and keep what they show: `python notebooks/execute.py [notebook ...]`, or `make notebooks`.

Pictures are kept in 256 colours, which nobody sees and which makes them a third as large.
"""

from __future__ import annotations

import base64
import io
import re
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).resolve().parent
_IN_HTML = re.compile(r"(?<=data:image/png;base64,)[A-Za-z0-9+/=\n]+")


def main(names: list[str]) -> None:
    for path in [Path(name) for name in names] or sorted(FOLDER.glob("*.ipynb")):
        began = time.monotonic()
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": str(FOLDER)}}).execute()
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # when it was run
            cell.get("outputs", [])[:] = _kept(cell.get("outputs", []))
            for output in cell.get("outputs", []):
                _shrink(output.get("data", {}))
        nbformat.write(notebook, path)
        print(f"{path.name}: {time.monotonic() - began:.0f} s, {path.stat().st_size / 1e6:.2f} MB")


def _kept(outputs: list[Any]) -> list[Any]:
    """What was printed bit by bit in one piece, and no bars."""
    kept: list[Any] = []
    for output in outputs:
        if output.get("name") == "stderr":
            continue
        if kept and output.output_type == "stream" == kept[-1].output_type and output.name == kept[-1].name:
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


def _shrink(data: dict[str, Any]) -> None:
    if "image/png" in data:
        data["image/png"] = _in_few_colours(data["image/png"])
    if "text/html" in data:
        data["text/html"] = _IN_HTML.sub(lambda found: _in_few_colours(found[0]), data["text/html"])


def _in_few_colours(picture: str) -> str:
    file = io.BytesIO()
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    small = base64.b64encode(file.getvalue()).decode()
    return min(small, picture, key=len)


if __name__ == "__main__":
    main(sys.argv[1:])
