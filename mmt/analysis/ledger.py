"""A file to which a long measurement adds each result as it comes, so that it can go on after a stop.

JSON lines: the first says what is being measured, each other one is a key and its result. A last line that a stop cut in
two is measured again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmt.sampling.model import Model


class Ledger:
    """What is known already of a measurement, by key; in a file, or (without a path) only in memory."""

    def __init__(self, path: str | os.PathLike[str] | None, job: dict[str, Any]) -> None:
        """Open the ledger of a job, plain numbers and strings that say all on which the results depend.

        Raises
        ------
        ValueError
            If the file is the ledger of another job, or no ledger.
        """
        self.path = None if path is None else Path(path)
        self._known: dict[str, Any] = {}
        self._job = json.loads(json.dumps(job))
        if self.path is None:
            return
        if not self.path.exists() or not self._read():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self._job) + "\n", encoding="utf-8")

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> Any:
        return self._known[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def add(self, key: str, result: Any) -> None:
        """Keep a result, in the file at once."""
        self._known[key] = result
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, result]) + "\n")

    def _read(self) -> bool:
        """Take over what the file knows; false where not even its first line is whole."""
        assert self.path is not None
        text = self.path.read_text(encoding="utf-8")
        *lines, rest = text.split("\n")
        if not lines:
            return False
        try:
            job, *results = [json.loads(line) for line in lines]
            self._known = dict(results)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self.path} holds no measurement to go on with; remove it to begin anew") from error
        if job != self._job:
            other = next((name for name in self._job if job.get(name) != self._job[name]), "what")
            raise ValueError(
                f"{self.path} was begun with another {other.replace('_', ' ')}; remove it to begin anew, or write elsewhere"
            )
        if rest:
            whole = self.path.with_name(self.path.name + ".new")
            whole.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
            os.replace(whole, self.path)
        return True


def fingerprint(model: Model) -> str:
    """A model's weights and representation in sixteen characters; another for any other."""
    digest = hashlib.sha256(
        json.dumps([model.network.config.to_dict(), model.representation.to_dict()], sort_keys=True).encode()
    )
    for name, weight in model.network.state_dict().items():
        digest.update(name.encode())
        digest.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
