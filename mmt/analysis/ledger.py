"""A file that a long computation adds each result to, so that it can continue after a stop.

JSON lines: the first describes the job, each other is a key and its result. An incomplete last line is ignored.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from typing import Any

import torch

from mmt.music.atomic import naming, replacing
from mmt.representation.arguments import path_of
from mmt.sampling.model import Model


class Ledger:
    """The results of a job by key, in a file or, without a path, in memory."""

    def __init__(self, path: str | os.PathLike[str] | None, job: dict[str, Any]) -> None:
        """Open or create the ledger of a job, which holds everything that the results depend on, as plain JSON values.

        Raises
        ------
        ValueError
            If the file is the ledger of another job, or not a ledger.
        """
        self.path = None if path is None else path_of("ledger", path)
        self._known: dict[str, Any] = {}
        self._job = json.loads(json.dumps(job))
        if self.path is not None and not (self.path.exists() and self._read()):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as unfinished:
                unfinished.write_text(json.dumps(self._job) + "\n", encoding="utf-8")

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> Any:
        return self._known[key]

    def add(self, key: str, result: Any) -> None:
        """Add a result and write it to the file at once."""
        self._known[key] = result
        if self.path is None:
            return
        with naming(self.path), self.path.open("ab", buffering=0) as file:
            before, line = file.tell(), json.dumps([key, result]).encode() + b"\n"
            try:
                while line:
                    line = line[file.write(line) :]
            except OSError:
                file.truncate(before)
                raise

    def _read(self) -> bool:
        """Read the results in the file; false if not even its first line is complete."""
        assert self.path is not None
        try:
            *lines, rest = self.path.read_text(encoding="utf-8").split("\n")
            if not lines and json.dumps(self._job).startswith(rest):
                return False
            job, *results = [json.loads(line) for line in lines]
            self._known = dict(results)
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{self.path} is not a file of saved results; remove it to start again") from error
        if job != self._job:
            names = [*self._job, *job] if isinstance(job, dict) else []
            other = next((name for name in names if job.get(name) != self._job.get(name)), "what").replace("_", " ")
            raise ValueError(f"{self.path} was started with another {other}; remove it, or write to another folder")
        if rest:
            os.truncate(self.path, self.path.stat().st_size - len(rest.encode()))
        return True


def fingerprint(model: Model) -> str:
    """A hash of a model's configuration, representation, weights and edits, 16 characters.

    Models with equal edits by `mmt.inside.ablate` and `add` have equal fingerprints. An edit by a function of your own makes a
    fingerprint that no other model has, since functions cannot be compared.
    """
    network = model.network
    described = [network.config.to_dict(), model.representation.to_dict()]
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name, weight in network.state_dict().items():
        digest.update(name.encode())
        digest.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    # What a plain float32 network lacks is hashed only where it is there, so that its fingerprint stays the same.
    dtypes = {str(weight.dtype) for weight in network.state_dict().values() if weight.dtype != torch.float32}
    hooks = [*(module._forward_hooks | module._forward_pre_hooks for module in network.modules())]
    edits = [getattr(hook, "identity", secrets.token_hex(8)) for of_module in hooks for hook in of_module.values()]
    digest.update("\n".join(sorted(dtypes) + edits).encode())
    return digest.hexdigest()[:16]
