"""Training recipes: dataclasses that document and check every entry, and functions that read them from YAML.

Sections: `representation` and `network` (the model), `data`, `optimizer`, `trainer`, `sampling` (defaults of the
trained model), `seed`, `compat`.
"""

from __future__ import annotations

import contextlib
import math
import os
import reprlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, fields
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from mmt.corpus.augmentation import Augmentation
from mmt.model.config import NetworkConfig
from mmt.model.recipes import apply_override, check_entries, mapping_of, parts_of, read_recipe
from mmt.music.bounded import brief
from mmt.representation.arguments import described
from mmt.representation.codes import Representation
from mmt.sampling.filters import FILTERS, Filters

OptimizerName = Literal["adam", "adamw", "muon"]
Precision = Literal["auto", "32-true", "bf16-mixed", "bf16-true", "16-mixed", "16-true", "64-true"]
Section = TypeVar("Section")


@dataclass(frozen=True)
class Data:
    """The training data."""

    batch_size: int = 8
    """Number of windows per batch and device."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """How windows are drawn and transposed; null: windows start anywhere and are not transposed."""
    validation_windows: int | None = None
    """Largest number of validation windows, spread evenly over the split; null: all."""
    workers: int = 0
    """Number of worker processes that cut windows; 0: the training process does."""
    exclude: tuple[str, ...] = ()
    """Patterns; pieces whose name, source, licence or composer matches one (`*Chopin*`) are left out."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Patterns as in `exclude`, each with the factor by which matching pieces are drawn more often."""
    short_windows: tuple[int, int] | None = None
    """A cheaper first phase: (events per window, number of steps). Batches then hold more windows, with the same number of events
    in total. null: no such phase."""

    def __post_init__(self) -> None:
        for pattern, factor in self.weights.items():
            if not 0 < factor < math.inf:
                raise ValueError(
                    f"weights: {pattern!r} has the factor {factor}; it must be above 0 (exclude leaves pieces out)"
                )
        _check(self, "batch_size", self.batch_size >= 1, "at least 1")
        windows, short = self.validation_windows, self.short_windows
        _check(self, "validation_windows", windows is None or windows >= 1, "at least 1, or null for all")
        if short is not None and min(short) < 5:
            raise ValueError(f"short_windows is {list(short)}; give at least 5 events and 5 steps, or null")
        _check(self, "workers", 0 <= self.workers <= 1024, "at least 0, and at most 1,024")


@dataclass(frozen=True)
class Optimizer:
    """The optimizer and its learning rate schedule: linear warmup, constant, linear decay, by step."""

    name: OptimizerName = "adam"
    """adam (as in the paper), adamw (decoupled weight decay), or muon (for the matrices of the blocks, adamw for the rest)."""
    learning_rate: float = 5e-4
    """The highest learning rate."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of the running averages of the gradient and its square."""
    weight_decay: float = 0.0
    """Weight decay of matrices; norms, biases, embeddings and positions have none."""
    clip: float = 1.0
    """Largest norm of the gradient; longer gradients are scaled down."""
    warmup_steps: int = 5_000
    """Number of steps over which the learning rate rises from 0."""
    decay_start: int = 5_000
    """Step at which the learning rate starts to fall."""
    decay_end: int = 100_000
    """Step at which the learning rate reaches its final value."""
    final_share: float = 0.1
    """Final learning rate, as a fraction of the highest."""
    lora_rank: int | None = None
    """Train only low-rank additions of this rank to the linear maps (LoRA); null: train all weights."""
    average: float | None = None
    """Decay per step of an exponential moving average (EMA) of the weights, such as 0.999, which validation, checkpoints and
    samples use instead of the weights; null: no average."""

    def __post_init__(self) -> None:
        if self.name not in get_args(OptimizerName):
            raise ValueError(f"optimizer {self.name!r} is unknown; choose one of {', '.join(get_args(OptimizerName))}")
        for name in ("learning_rate", "clip"):
            _check(self, name, 0 < getattr(self, name) < math.inf, "above 0")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas are {self.betas}; they must be two numbers from 0 to below 1")
        _check(self, "weight_decay", self.weight_decay >= 0, "at least 0")
        _check(self, "final_share", 0 <= self.final_share <= 1, "between 0 and 1")
        _check(self, "lora_rank", self.lora_rank is None or self.lora_rank >= 1, "at least 1, or null for all weights")
        _check(self, "average", 0 <= (self.average or 0) < 1, "from 0 to below 1, or null for no average")
        warmup, start, end = self.warmup_steps, self.decay_start, self.decay_end
        if not 0 <= warmup <= start <= end:
            raise ValueError(f"warmup_steps {warmup}, decay_start {start} and decay_end {end} must ascend")

    def share(self, step: int) -> float:
        """The learning rate at a step, as a fraction of the highest, 0 to 1.

        >>> Optimizer(warmup_steps=10, decay_start=20, decay_end=30, final_share=0.0).share(25)
        0.5
        """
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if step < self.decay_start:
            return 1.0
        fallen = min((step - self.decay_start) / max(self.decay_end - self.decay_start, 1), 1.0)
        return 1.0 - (1.0 - self.final_share) * fallen


@dataclass(frozen=True)
class Trainer:
    """Length, devices and precision of the training: the settings of Lightning's trainer."""

    max_steps: int = 200_000
    """Number of optimizer steps."""
    validate_every: int = 1_000
    """Steps between validations, which also write checkpoints."""
    save_every: int = 250
    """Steps between saves of the full state, from which a stopped training resumes; validations save it too."""
    log_every: int = 10
    """Steps between rows of the log."""
    patience: int | None = 20
    """Number of validations without improvement after which training stops; null: never."""
    accumulate: int = 1
    """Number of batches whose gradients are accumulated for a step."""
    precision: Precision = "32-true"
    """Lightning's name of the precision: 32-true, bf16-mixed, …; auto: bf16-mixed if the device has bfloat16 units."""
    accelerator: str = "auto"
    """auto, cpu, gpu, …"""
    devices: int | str = "auto"
    """Number of devices per host."""
    strategy: str = "auto"
    """Lightning's name of the strategy for several devices: auto, ddp, …"""
    num_nodes: int = 1
    """Number of hosts."""
    compile: bool = False
    """Whether to use torch.compile (needs a C++ compiler)."""
    samples: bool = True
    """Whether each validation generates a piece, always with the same seed, and writes it as picture, MIDI and sound."""
    wandb: bool = False
    """Whether to log to Weights & Biases too (needs its package; offline unless this machine is logged in)."""

    def __post_init__(self) -> None:
        for name in ("max_steps", "validate_every", "save_every", "log_every", "accumulate", "num_nodes"):
            _check(self, name, getattr(self, name) >= 1, "at least 1")
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision is {self.precision!r}; choose one of {', '.join(get_args(Precision))}")
        counted = isinstance(self.devices, int) and self.devices >= 1
        _check(self, "devices", counted or self.devices == "auto", "a whole number of at least 1, or auto")
        _check(self, "patience", self.patience is None or self.patience >= 1, "at least 1, or null for none")


@dataclass(frozen=True)
class Recipe:
    """All settings of a training."""

    representation: Representation
    network: NetworkConfig
    data: Data
    optimizer: Optimizer
    trainer: Trainer
    sampling: Mapping[str, Any]
    seed: int
    compat: Literal["authors"] | None = None
    """authors: windows and loss of the original code with its known errors, to compare losses; null: the corrected ones."""

    def __post_init__(self) -> None:
        _check(self, "compat", self.compat in (None, "authors"), "authors, or null")
        augmentation, short = self.data.augmentation, self.data.short_windows
        only_shifts = augmentation == Augmentation(augmentation.pitch_shift)
        if self.compat and not (only_shifts and self.data.validation_windows is None and not self.data.weights):
            raise ValueError(
                "compat: authors supports no augmentation but pitch_shift, no weights and no validation_windows; leave them out"
            )
        augmentation.check_fits(self.representation)
        if short and (self.compat or short[0] > self.network.context):
            raise ValueError(
                f"short_windows is {list(short)}; give at most the context's {self.network.context} events, "
                "and none with compat: authors"
            )
        _check(self, "seed", 0 <= self.seed < 2**63, "from 0 to 2**63 - 1")
        check_entries(self.sampling, [*FILTERS, "loop_guard", "max_rest"], "sampling")
        try:
            Filters.of(**{name: value for name, value in self.sampling.items() if name in FILTERS})
        except (TypeError, ValueError) as error:
            raise ValueError(f"sampling: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain values, for YAML and JSON."""
        return asdict(self) | {"representation": self.representation.to_dict(), "network": self.network.to_dict()}


def _check(section: object, name: str, holds: bool, expected: str) -> None:
    """Raise a `ValueError` that names an entry of a section and what is expected, unless it `holds`."""
    if not holds:
        raise ValueError(f"{name} is {getattr(section, name)!r}; it must be {expected}")


def load_recipe(recipe: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name or path, and change single entries.

    Parameters
    ----------
    overrides : sequence of str
        `section.entry=value` with a YAML value: `trainer.max_steps=100`.

    Raises
    ------
    ValueError
        If an entry is unknown or out of range.

    Examples
    --------
    >>> load_recipe("paper", ["trainer.max_steps=10"]).trainer.max_steps
    10
    """
    values = read_recipe(recipe)
    try:
        return recipe_of(values, overrides)
    except ValueError as error:
        raise ValueError(f"{recipe}: {brief(error, 1000)}") from error


def recipe_of(values: Mapping[str, Any], overrides: Sequence[str] = ()) -> Recipe:
    """Build a recipe from plain values, as in `Recipe.to_dict`, and change single entries; errors as for `load_recipe`."""
    if isinstance(overrides, str) or not isinstance(overrides, Sequence):
        raise ValueError(f"overrides is {described(overrides)}; give a list, such as ['trainer.max_steps=1000']")
    plain = deepcopy(dict(values))
    for override in overrides:
        apply_override(plain, override)
    check_entries(plain, [entry.name for entry in fields(Recipe)], "")
    representation, network = parts_of(plain)
    data = mapping_of(plain.get("data"), "data")
    augmentation = data.get("augmentation", {})
    if augmentation is None:  # none at all
        augmentation = {"pitch_shift": (0, 0)}
    data["augmentation"] = _section(Augmentation, augmentation, "data.augmentation")
    return Recipe(
        representation=representation,
        network=network,
        data=_section(Data, data, "data"),
        optimizer=_section(Optimizer, plain.get("optimizer"), "optimizer"),
        trainer=_section(Trainer, plain.get("trainer"), "trainer"),
        sampling=mapping_of(plain.get("sampling"), "sampling"),
        seed=_typed(plain.get("seed", 0), int, "seed"),
        compat=plain.get("compat"),
    )


def _section(kind: type[Section], values: Any, name: str) -> Section:
    values = mapping_of(values, name)
    hints = get_type_hints(kind)
    check_entries(values, list(hints), name)
    return kind(**{entry: _typed(value, hints[entry], f"{name}.{entry}") for entry, value in values.items()})


def _typed(value: Any, hint: Any, name: str) -> Any:
    """Check a YAML value and convert it to the type of its field; lists become tuples."""
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    for kind in kinds:
        if get_origin(kind) is tuple and isinstance(value, (list, tuple)):
            inner = get_args(kind)
            inner = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
            if len(value) == len(inner):
                return tuple(_typed(part, one, name) for part, one in zip(value, inner, strict=True))
        if get_origin(kind) is Mapping and isinstance(value, Mapping):
            return {str(key): _typed(part, get_args(kind)[1], f"{name}: {key}") for key, part in value.items()}
        # The dataclasses check literals. Types must match exactly, since True is an int.
        if get_origin(kind) is Literal or (type(value) is kind):
            return value
        # YAML 1.1 reads 5e-4 as a string.
        if kind is float and type(value) in (int, str):
            with contextlib.suppress(ValueError):
                return float(value)
    expected = " or ".join("null" if kind is type(None) else getattr(kind, "__name__", "") for kind in kinds)
    raise ValueError(f"{name} is {reprlib.repr(value)}; expected {expected}")
