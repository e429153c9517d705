"""Editing a piece: keep a part of it and let a model write the rest. These are the public names of `mmt.edit`.

Each function takes a model and a piece (n, 6), or a prompt (`compose`), and returns a list of whole pieces, one for n=1 too. Held
notes stay exactly. New events are drawn from left to right; piece i draws from its own random stream (seed, i).
"""

from __future__ import annotations

from mmt.sampling.editing.accompaniment import accompany
from mmt.sampling.editing.filling import fill
from mmt.sampling.editing.form import compose
from mmt.sampling.editing.reharmonisation import reharmonise
from mmt.sampling.editing.reorchestration import Orchestration, reorchestrate
from mmt.sampling.editing.rewriting import rewrite

__all__ = ["compose", "rewrite", "fill", "accompany", "reorchestrate", "reharmonise", "Orchestration"]
