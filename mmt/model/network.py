"""The network: a decoder-only transformer over events (paper, section 3.2).

Six embeddings are summed, pre-norm blocks of causal attention and feed-forward follow, and one head per field
predicts the next event. Shapes: codes (batch, length, 6); residual stream (batch, length, dim); queries, keys and
values (batch, head, length, head_dim); logits (batch, length, size), one per field. The logits at place t predict
event t + 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mmt.model.attention import Attention, is_used, visible_keys
from mmt.model.cache import Cache
from mmt.model.config import NetworkConfig
from mmt.model.heads import HEADS, next_written
from mmt.model.positions import POSITIONS, Rotation, rotation_of
from mmt.model.reading import Reading
from mmt.representation.arguments import described
from mmt.representation.codes import FIELDS


class Network(nn.Module):
    """The Multitrack Music Transformer's network.

    >>> network = Network(NetworkConfig(dim=32, layers=1, heads=2, head_dim=16))
    >>> [tuple(logits.shape) for logits in network(torch.zeros(1, 7, 6, dtype=torch.long))][:3]
    [(1, 7, 5), (1, 7, 257), (1, 7, 13)]
    """

    decodes_with: Literal["float32", "int8"] = "float32"
    """The precision of the weights in compiled decoding, see `mmt.model.cpu.packing`. The parameters stay float32."""
    reading: Reading | None = None
    """The events that are being read; only for networks with edits, see `mmt.inside`."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = nn.ModuleList(nn.Embedding(size, config.dim) for size in config.sizes)
        table = POSITIONS[config.positions].table
        self.positions = None if table is None else table(config)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)
        self.heads = HEADS[config.output](config.dim, config.sizes)
        self._initialise()

    def forward(
        self, codes: Tensor, mask: Tensor | None = None, *, targets: Tensor | None = None, cache: Cache | None = None
    ) -> list[Tensor]:
        """Logits of the event after each event.

        Parameters
        ----------
        codes : Tensor of int64, (batch, length, 6)
        mask : Tensor of bool, (batch, length), optional
            True at events, false at padding. Padding after the events needs no mask, because attention is causal.
        targets : Tensor of int64, (batch, length, 6), optional
            The event after each event; chained heads read its earlier fields. Default: the next event that is not a given note,
            and zeros at the last place and before padding.
        cache : Cache, optional
            The keys and values of earlier events; those of `codes` are added. Not together with `mask`.

        Returns
        -------
        list of six Tensor, (batch, length, size)
            Undefined where `mask` is false.

        Raises
        ------
        ValueError
            If there are more events than the context or the cache holds, or both a mask and a cache are given.
        """
        hidden = self.hidden(codes, mask, cache=cache)
        if targets is None:
            known = codes if mask is None else codes * mask[..., None]
            targets = F.pad(next_written(known), (0, 0, 0, 1))
        return self.heads(hidden, targets)  # type: ignore[no-any-return]

    def hidden(self, codes: Tensor, mask: Tensor | None = None, *, cache: Cache | None = None) -> Tensor:
        """The residual stream after the last norm, (batch, length, dim); arguments as for `forward`."""
        if cache is not None and mask is not None:
            raise ValueError(
                "both a mask and a cache were given; give one of them, a cache holds pieces without padding"
            )
        stream, rotation = self.embed(codes, cache)
        visible = None if mask is None else visible_keys(mask, codes.shape[:2])
        for layer, block in enumerate(self.blocks):
            stream = block(stream, rotation=rotation, visible=visible, cache=cache, layer=layer)
        if cache is not None:
            cache.advance(codes.shape[1])
        return self.norm(stream)  # type: ignore[no-any-return]

    def attention_weights(self, codes: Tensor) -> Iterator[Tensor]:
        """Yield the attention weights of each layer, (batch, head, query, key), for codes (batch, length, 6).

        Each row sums to 1 over the query's own event and the earlier ones. Only one layer is in memory at a time.
        """
        stream, rotation = self.embed(codes, None)
        for layer, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            yield block.attention.weights(block.normalised(stream), rotation)
            if layer + 1 < len(self.blocks):
                stream = block(stream, rotation=rotation, visible=None, cache=None, layer=layer)

    def embed(self, codes: Tensor, cache: Cache | None) -> tuple[Tensor, Rotation | None]:
        """Embed events after those of the cache: the residual stream before the first block, and the rotation."""
        _check_codes(codes)
        length, seen, limit = codes.shape[1], 0, self.config.context
        if cache is not None:
            seen, limit = cache.length, min(limit, cache.capacity)
        if seen + length > limit:
            raise ValueError(f"{seen + length} events are more than the {limit} that the network sees at once")
        places = torch.arange(length, device=codes.device) if cache is None else cache.places(length)
        if self.reading is not None:
            self.reading.begin(codes, places, cache)
        try:
            stream = sum(embed(codes[..., field]) for field, embed in enumerate(self.embeddings))
        except IndexError:  # as on a CPU
            raise ValueError(f"a code is out of range; the numbers of codes are {self.config.sizes}") from None
        if self.positions is not None:
            # The factor scales a table initialised from N(0, 1) to the token embeddings.
            stream = stream + self.positions(places) * self.config.dim**-0.5
        rotation = rotation_of(places, codes, self.config, stream.dtype)
        return self.dropout(stream), rotation

    def new_cache(self, batch: int, capacity: int) -> Cache:
        """An empty cache for `batch` pieces of up to `capacity` events."""
        return Cache(self.config, batch, capacity=capacity, like=next(self.parameters()))

    def _initialise(self) -> None:
        for embedding in self.embeddings:
            nn.init.normal_(embedding.weight, std=(2 / self.config.dim) ** 0.5)  # type: ignore[arg-type]
        if self.config.zero_init:
            for block in self.blocks:
                for out in (block.attention.out, block.feed_forward.contract):  # type: ignore[union-attr]
                    for parameter in out.parameters():  # type: ignore[union-attr]
                        nn.init.zeros_(parameter)


class Block(nn.Module):
    """A pre-norm transformer block: attention and feed-forward, each applied to the normalised stream and added to it."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        # The modules without weights are for hooks, see `mmt.model.inside`.
        self.attention_inputs, self.feed_forward_inputs = nn.Identity(), nn.Identity()
        self.attention_norm = nn.LayerNorm(config.dim)
        self.attention = Attention(config)
        self.feed_forward_norm = nn.LayerNorm(config.dim)
        self.feed_forward = FeedForward(config)

    def forward(
        self, stream: Tensor, *, rotation: Rotation | None, visible: Tensor | None, cache: Cache | None, layer: int
    ) -> Tensor:
        stream = stream + self.attention(
            self.normalised(stream), rotation=rotation, visible=visible, cache=cache, layer=layer
        )
        return stream + self.feed_forward(self.feed_forward_norm(self.feed_forward_inputs(stream)))  # type: ignore[no-any-return]

    def normalised(self, stream: Tensor) -> Tensor:
        """The input of attention: (batch, length, dim), or one for each head's queries, keys and values if those are edited."""
        if is_used(self.attention_inputs):
            stream = self.attention_inputs(stream[:, :, None, None].expand(-1, -1, 3, self.attention.heads, -1))
        return self.attention_norm(stream)  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """A feed-forward layer with a GELU, four times as wide as the residual stream."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.expand = nn.Linear(config.dim, 4 * config.dim)
        self.neurons = nn.Identity()  # for hooks, see `mmt.model.inside`
        self.dropout = nn.Dropout(config.dropout)
        self.contract = nn.Linear(4 * config.dim, config.dim)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.contract(self.dropout(self.neurons(F.gelu(self.expand(inputs)))))  # type: ignore[no-any-return]


def network_without_weights(config: NetworkConfig) -> Network:
    """A network on the meta device, for weights that are assigned later; the random state is unchanged."""
    with torch.device("meta"), _WithoutInit():
        return Network(config)


class _WithoutInit(TorchFunctionMode):
    """Skips `torch.nn.init`: on the meta device it would import PyTorch's compiler, which takes a second."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return kwargs.get("tensor", *args[:1])
        return func(*args, **kwargs)


def _check_codes(codes: Tensor) -> None:
    """Raise a `ValueError` unless this is an integer tensor (batch, length, 6) of at least one event."""
    expected = f"codes must be a tensor of torch.int64 (batch, length, {len(FIELDS)})"
    if not isinstance(codes, Tensor):
        raise ValueError(f"{expected}, not {described(codes)}; for one piece give torch.as_tensor(events)[None]")
    if codes.dim() != 3 or codes.shape[2] != len(FIELDS):
        hint = "; for one piece give codes[None]" if codes.dim() == 2 else ""
        raise ValueError(f"codes must be (batch, length, {len(FIELDS)}), not {tuple(codes.shape)}{hint}")
    if codes.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"{expected}, not of {codes.dtype}; give codes.long()")
    if not codes.shape[1]:
        raise ValueError("there are no events; give at least one")
