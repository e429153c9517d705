"""What may change where a training goes on: its length, its schedule, its machine; not what its state was made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmt.model.checkpoint import CONFIG
from mmt.training.recipe import Recipe, load_recipe

# The optimizer's state holds these, and would go on with them whatever the recipe says.
_HELD = ("name", "learning_rate", "betas", "weight_decay", "lora_rank")


def check_goes_on(recipe: Recipe, data: Mapping[str, Any], former: Path, checkpoint: Path) -> None:
    """Raise a `ValueError` if a recipe or what is learned from (`describe`) is not that of the run which goes on.

    Parameters
    ----------
    former : path
        The recipe of the run.
    checkpoint : path
        Its last one; where there is none yet, what was learned from is not compared.
    """
    earlier = load_recipe(former)
    before, now = earlier.to_dict(), recipe.to_dict()
    # Options that are off are not written.
    before["representation"], now["representation"] = asdict(earlier.representation), asdict(recipe.representation)
    for section, names in (
        ("representation", now["representation"]),
        ("network", [name for name in now["network"] if name != "dropout"]),
        ("optimizer", _HELD),
        ("data", ("exclude",)),
    ):
        for name in names:
            if before[section][name] != now[section][name]:
                raise ValueError(
                    f"{section}.{name} is {now[section][name]}, and was {before[section][name]} when {former.parent} began; "
                    "a training goes on as it was: leave it out, or begin a new run from its best (--from)"
                )
    if before["seed"] != now["seed"]:
        raise ValueError(f"seed is {now['seed']}, and was {before['seed']} when {former.parent} began; leave it out")
    if (checkpoint / CONFIG).exists():
        known = json.loads((checkpoint / CONFIG).read_text(encoding="utf-8"))["training"]["data"]
        if any(known[name] != data[name] for name in ("pieces", "notes")):
            raise ValueError(
                f"{former.parent} has learned from {known['pieces']:,} pieces of {known['notes']:,} notes, and this corpus "
                f"has {data['pieces']:,} of {data['notes']:,}; go on with the same, or begin a new run from its best (--from)"
            )
