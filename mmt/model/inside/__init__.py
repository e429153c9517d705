"""Look and change inside a network: named places, edits that change activations there, and conditions on edits."""

from mmt.model.inside.changes import ablate, add, patch, project_out, replace, resample
from mmt.model.inside.conditions import Condition, at, notes, ramp, scale, where
from mmt.model.inside.edits import Edit, Edits, Step, combine, edited, edits_of
from mmt.model.inside.knock_outs import knock_out, knock_out_path
from mmt.model.inside.places import places
from mmt.model.reading import Context

__all__ = [
    "ablate", "add", "patch", "project_out", "replace", "resample", "knock_out", "knock_out_path",
    "Condition", "at", "notes", "ramp", "scale", "where",
    "Edit", "Edits", "Step", "combine", "edited", "edits_of", "places", "Context",
]  # fmt: skip
