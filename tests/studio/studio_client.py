"""Short calls of the studio's API, for its tests."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from mmt.sampling.model import Model
from mmt.studio.app import create_app
from mmt.studio.context import Context
from mmt.studio.pieces import Store
from mmt.studio.security import names_of

TOKEN = "a-token-of-the-tests"
ROOT = Path(__file__).resolve().parents[2]


class Studio:
    """The HTTP API, by short calls; `client` makes any other request."""

    def __init__(self, context: Context) -> None:
        self.context = context
        app = create_app(context, TOKEN, names_of("127.0.0.1"))
        self.client = TestClient(app, base_url="http://127.0.0.1:8642")

    def get(self, path: str) -> Any:
        return self._answer(self.client.get(f"/{TOKEN}/api/{path}"))

    def post(self, path: str, **body: Any) -> Any:
        return self._answer(self.client.post(f"/{TOKEN}/api/{path}", json=body))

    def new(self, *instruments: str) -> str:
        """The id of a new piece."""
        return str(self.post("pieces", instruments=list(instruments))["id"])

    def open(self, name: str = "mayer_quartet_in_g_minor.mid") -> Any:
        """A piece from a file of `data/tiny`."""
        content = (ROOT / "data" / "tiny" / name).read_bytes()
        return self._answer(self.client.post(f"/{TOKEN}/api/files", params={"name": name}, content=content))

    def follow(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        """All messages of a job."""
        with self.client.stream("GET", f"/{TOKEN}/api/jobs/{job['id']}/events") as stream:
            return [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]

    def write(self, piece: str, operation: str = "write", **body: Any) -> list[dict[str, Any]]:
        """The messages of a job that writes alternatives."""
        return self.follow(self.post(f"pieces/{piece}/{operation}", **body))

    def written(self, *instruments: str, beats: int = 8, **body: Any) -> Any:
        """A piece that was generated and kept."""
        piece = self.new(*instruments)
        self.write(piece, beats=beats, alternatives=1, **({"seed": 1} | body))
        return self.post(f"pieces/{piece}/keep", alternative=0)

    def _answer(self, response: Any) -> Any:
        assert response.status_code == 200, response.text
        return response.json()


def studio_of(model: Model, folder: Path) -> Iterator[Studio]:
    """A studio with a model, until the test is over."""
    context = Context(model, Store(folder))
    while not context.worker.is_ready:
        assert not context.worker.trouble
        time.sleep(0.02)
    yield Studio(context)
    context.worker.end()
