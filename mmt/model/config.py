"""What a network looks like: every number that building one needs. Knows nothing of the code that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

Positions = Literal["absolute", "rotary", "time", "none"]
Heads = Literal["independent", "chain", "mixed"]


@dataclass(frozen=True)
class NetworkConfig:
    """The size and form of a network. The defaults are the paper's (section 3.2; 19,944,950 parameters)."""

    sizes: tuple[int, ...] = (5, 257, 13, 129, 33, 65)
    """The number of codes of each of the six fields, code 0 ("none") included."""
    dim: int = 512
    """Width of the residual stream."""
    layers: int = 6
    """Number of blocks, each attention and feed-forward."""
    heads: int = 8
    """Attention heads per layer."""
    head_dim: int = 64
    """Width of a head; even where positions are rotary."""
    context: int = 1024
    """The most events that the network sees at once."""
    positions: Positions = "absolute"
    """How events know their place: a learned table (`absolute`); `rotary`, by their number; `time`, rotary too, half of the
    turning dimensions by an event's number and half by its onset in beats; or not at all (`none`)."""
    rotary_dims: int | None = None
    """With rotary positions: how many of a head's first dimensions turn, an even number. None: all of them."""
    rotary_values: bool = False
    """With rotary positions: whether values turn too, as in the authors' code, and not only queries and keys."""
    qk_norm: bool = False
    """Whether queries and keys are normalised in each head before they are compared (Dehghani et al. 2023)."""
    zero_init: bool = False
    """Whether a block gives back what it is given when training begins: what it would add starts at 0 (Zhang et al. 2019)."""
    output: Heads = "independent"
    """How the fields of an event are predicted: each by itself (`independent`, the paper's), or each knowing those before
    it (`chain`; a little better and larger, `mixed`)."""
    dropout: float = 0.2
    """Share of activations dropped in training, after the embeddings, in attention and in the feed-forward; [0, 1)."""

    def __post_init__(self) -> None:
        if len(self.sizes) != 6 or not all(_is_whole(size, 2) for size in self.sizes):
            raise ValueError(f"sizes must be six numbers of at least 2 codes, not {self.sizes}")
        for name in ("dim", "layers", "heads", "head_dim"):
            if not _is_whole(getattr(self, name), 1):
                raise ValueError(f"{name} is {getattr(self, name)}; it must be a whole number of at least 1")
        if not _is_whole(self.context, 5):
            raise ValueError(f"context is {self.context}; the shortest piece has 5 events, so it must be at least 5")
        if self.positions not in get_args(Positions):
            raise ValueError(f"positions is {self.positions!r}; choose one of {', '.join(get_args(Positions))}")
        if self.output not in get_args(Heads):
            raise ValueError(f"output is {self.output!r}; choose one of {', '.join(get_args(Heads))}")
        for name in ("rotary_values", "qk_norm", "zero_init"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be true or false")
        if self.rotary_dims is not None and not _is_whole(self.rotary_dims, 2):
            raise ValueError(f"rotary_dims is {self.rotary_dims!r}; it must be an even number, or null for all")
        turning = self.head_dim if self.rotary_dims is None else self.rotary_dims
        least = {"rotary": 2, "time": 4}.get(self.positions)
        if least and (turning % least or not least <= turning <= self.head_dim):
            raise ValueError(
                f"{turning} dimensions of a head of {self.head_dim} cannot turn; {self.positions} positions need "
                f"a multiple of {least}"
            )
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be at least 0 and below 1")

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers, strings and lists, for JSON and YAML."""
        return asdict(self) | {"sizes": list(self.sizes)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetworkConfig:
        """The inverse of `to_dict`; a missing entry takes its default, an unknown one is a `ValueError`."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"unknown entry {unknown[0]!r} in the network; known are {', '.join(known)}")
        if "sizes" in values and not isinstance(values["sizes"], list | tuple):
            raise ValueError(f"sizes must be six numbers, not {values['sizes']!r}")
        return cls(**{**values, **({"sizes": tuple(values["sizes"])} if "sizes" in values else {})})


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
