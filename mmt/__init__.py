"""The Multitrack Music Transformer: write, continue and study music for many instruments.

>>> import mmt
>>> mmt.prompt.instruments("violin", "cello").shape
(4, 6)

Everything is loaded when it is first used: `import mmt` costs what NumPy costs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmt.analysis import attention as attention
    from mmt.analysis import distributions as distributions
    from mmt.analysis import embeddings as embeddings
    from mmt.analysis import likelihood as likelihood
    from mmt.analysis import metrics as metrics
    from mmt.analysis import originality as originality
    from mmt.analysis.activations import activations as activations
    from mmt.analysis.evaluation import evaluate_models as evaluate_models
    from mmt.analysis.inside import attribution as attribution
    from mmt.analysis.inside import features as features
    from mmt.analysis.inside import probes as probes
    from mmt.analysis.inside import steering as steering
    from mmt.corpus.prepare import prepare as prepare
    from mmt.corpus.storage import Corpus as Corpus
    from mmt.model import inside as inside
    from mmt.music.files import read as read
    from mmt.music.files import write as write
    from mmt.music.page.notebook import show as show
    from mmt.representation import prompt as prompt
    from mmt.representation.codes import Representation as Representation
    from mmt.representation.decode import decode as decode
    from mmt.representation.encode import encode as encode
    from mmt.representation.grammar import is_valid as is_valid
    from mmt.representation.text import to_text as to_text
    from mmt.sampling import editing
    from mmt.sampling.model import Model as Model
    from mmt.sampling.model import load_model as load_model
    from mmt.sampling.model import new_model as new_model
    from mmt.training.fine_tune import fine_tune as fine_tune
    from mmt.training.recipe import load_recipe as load_recipe
    from mmt.training.train import train as train

    edit = editing

__version__ = "0.1.0"

# Public name: the module that holds it (or is it), in the order of the way of the data.
_HOME = {
    "read": "mmt.music.files",
    "write": "mmt.music.files",
    "show": "mmt.music.page.notebook",
    "Representation": "mmt.representation.codes",
    "encode": "mmt.representation.encode",
    "decode": "mmt.representation.decode",
    "to_text": "mmt.representation.text",
    "is_valid": "mmt.representation.grammar",
    "prompt": "mmt.representation.prompt",
    "Model": "mmt.sampling.model",
    "load_model": "mmt.sampling.model",
    "new_model": "mmt.sampling.model",
    "edit": "mmt.sampling.editing",
    "Corpus": "mmt.corpus.storage",
    "prepare": "mmt.corpus.prepare",
    "load_recipe": "mmt.training.recipe",
    "train": "mmt.training.train",
    "fine_tune": "mmt.training.fine_tune",
    "attention": "mmt.analysis.attention",
    "activations": "mmt.analysis.activations",
    "embeddings": "mmt.analysis.embeddings",
    "attribution": "mmt.analysis.inside.attribution",
    "probes": "mmt.analysis.inside.probes",
    "steering": "mmt.analysis.inside.steering",
    "features": "mmt.analysis.inside.features",
    "inside": "mmt.model.inside",
    "metrics": "mmt.analysis.metrics",
    "likelihood": "mmt.analysis.likelihood",
    "originality": "mmt.analysis.originality",
    "distributions": "mmt.analysis.distributions",
    "evaluate_models": "mmt.analysis.evaluation",
}

__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mmt' has no attribute {name!r}; it has {', '.join(_HOME)}")
    module = importlib.import_module(_HOME[name])
    value = getattr(module, name, module)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
