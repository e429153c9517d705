"""The configuration of a network: all that is needed to build one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from mmt.model.heads import HEADS
from mmt.model.positions import POSITIONS

# Limits of a network: of each of its sizes, of its layers, of its weights, and of the numbers in the keys of one piece.
_MOST, _MOST_LAYERS, _MOST_WEIGHTS, _MOST_KEYS = 2**20, 1_000, 2**32, 2**31


@dataclass(frozen=True)
class NetworkConfig:
    """The size and form of a network. The defaults are the paper's (section 3.2; 19,944,950 parameters)."""

    sizes: tuple[int, ...] = (5, 257, 13, 129, 33, 65)
    """The number of codes of each of the six fields, including code 0 ("none")."""
    dim: int = 512
    """Width of the residual stream."""
    layers: int = 6
    """Number of blocks, each attention and feed-forward."""
    heads: int = 8
    """Attention heads per layer."""
    head_dim: int = 64
    """Width of a head; even with rotary positions."""
    context: int = 1024
    """The largest number of events that the network sees at once."""
    positions: str = "absolute"
    """The position encoding, a key of `POSITIONS`: `absolute`, a learned table; `rotary`, by the event's index; `time`, half of
    the rotary dimensions by the event's index and half by its onset in beats; or `none`."""
    rotary_dims: int | None = None
    """With rotary positions: how many of a head's first dimensions are rotated, an even number. None: all."""
    rotary_values: bool = False
    """With rotary positions: whether values are rotated too, as in the original code, and not only queries and keys."""
    qk_norm: bool = False
    """Whether queries and keys are normalised in each head (Dehghani et al. 2023)."""
    zero_init: bool = False
    """Whether the output layers of residual branches are initialised to zero, so that blocks start as the identity (Zhang et al.
    2019)."""
    output: str = "independent"
    """How the fields of an event are predicted, a key of `HEADS`: independently (`independent`, the paper's), or each given the
    earlier fields (`chain`; slightly better and larger, `mixed`)."""
    dropout: float = 0.2
    """Share of activations dropped in training, after the embeddings, in attention and in the feed-forward; [0, 1)."""

    def __post_init__(self) -> None:
        if len(self.sizes) != 6 or not all(_is_whole(size, 2) for size in self.sizes):
            raise ValueError(f"sizes must be six numbers of at least 2 codes, not {self.sizes}")
        for name in ("dim", "layers", "heads", "head_dim"):
            value = getattr(self, name)
            if not _is_whole(value, 1):
                raise ValueError(f"{name} is {value}; it must be a whole number of at least 1, up to {_MOST:,}")
        if not _is_whole(self.context, 5):
            raise ValueError(
                f"context is {self.context}; the shortest piece has 5 events, so it must be at least 5, and at most {_MOST:,}"
            )
        for name, registry in (("positions", POSITIONS), ("output", HEADS)):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in registry:
                raise ValueError(f"{name} is {value!r}; choose one of {', '.join(registry)}")
        for name in ("rotary_values", "qk_norm", "zero_init"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be true or false")
        if self.rotary_dims is not None and not _is_whole(self.rotary_dims, 2):
            raise ValueError(f"rotary_dims is {self.rotary_dims!r}; it must be an even number, or null for all")
        rotary, multiple = self.rotary_dims or self.head_dim, POSITIONS[self.positions].multiple
        if POSITIONS[self.positions].frequencies and (rotary % multiple or not multiple <= rotary <= self.head_dim):
            raise ValueError(
                f"{rotary} rotary dimensions in a head of {self.head_dim}; {self.positions} positions need a multiple of "
                f"{multiple} that is at most head_dim"
            )
        self._check_size()
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be at least 0 and below 1")

    def _check_size(self) -> None:
        """Refuse a network that no machine holds, whose numbers can only be a mistake or meant to harm."""
        width = self.heads * self.head_dim
        tables = sum(self.sizes) + (self.context if self.positions == "absolute" else 0)
        weights = self.layers * self.dim * (4 * width + 8 * self.dim) + self.dim * tables
        if self.layers > _MOST_LAYERS or weights > _MOST_WEIGHTS or self.layers * width * self.context > _MOST_KEYS:
            raise ValueError(
                f"{self.layers} layers of {self.dim} with {self.heads} heads of {self.head_dim} and a context of {self.context} "
                f"are too large: mmt takes up to {_MOST_LAYERS:,} layers, {_MOST_WEIGHTS:,} weights and {_MOST_KEYS:,} keys"
            )

    def to_dict(self) -> dict[str, Any]:
        """Convert to numbers, strings and lists, for JSON and YAML."""
        return asdict(self) | {"sizes": list(self.sizes)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetworkConfig:
        """The inverse of `to_dict`: missing entries take their defaults, an unknown entry raises a `ValueError`."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"unknown entry {str(unknown[0])[:40]!r} in the network; known are {', '.join(known)}")
        sizes = values.get("sizes", cls.sizes)
        if not isinstance(sizes, list | tuple):
            raise ValueError(f"sizes must be six numbers, not {sizes!r}")
        return cls(**{**values, "sizes": tuple(sizes)})


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= _MOST
