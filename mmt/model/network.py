"""The network: a decoder-only transformer over events (paper, section 3.2).

Six embeddings are summed, pre-norm blocks of causal attention and feed-forward follow, and one head per field
predicts the next event. Shapes: codes (batch, length, 6); residual stream (batch, length, dim); queries, keys and
values (batch, head, length, head_dim); logits (batch, length, size), one per field. The logits at place t are those
of event t + 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from mmt.model.blocked_attention import attend_in_blocks
from mmt.model.cache import Cache
from mmt.model.config import NetworkConfig
from mmt.model.dropout import Dropout, is_on_plain_cpu
from mmt.model.heads import HEADS, next_written
from mmt.model.rotation import Rotation, rotate, rotate_to_train, rotation_of


class Network(nn.Module):
    """The Multitrack Music Transformer's network.

    Examples
    --------
    >>> network = Network(NetworkConfig(dim=32, layers=1, heads=2, head_dim=16))
    >>> [tuple(logits.shape) for logits in network(torch.zeros(1, 7, 6, dtype=torch.long))][:3]
    [(1, 7, 5), (1, 7, 257), (1, 7, 13)]
    """

    decodes_with: Literal["float32", "int8"] = "float32"
    """The weights that it writes with, see `mmt.model.packing`. Its own are float32 all the same."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = nn.ModuleList(nn.Embedding(size, config.dim) for size in config.sizes)
        self.positions = nn.Embedding(config.context, config.dim) if config.positions == "absolute" else None
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)
        self.heads = HEADS[config.output](config.dim, config.sizes)
        self._initialise()

    def forward(
        self,
        codes: Tensor,
        mask: Tensor | None = None,
        *,
        targets: Tensor | None = None,
        cache: Cache | None = None,
    ) -> list[Tensor]:
        """Logits of the event after each event.

        Parameters
        ----------
        codes : Tensor of int64, (batch, length, 6)
        mask : Tensor of bool, (batch, length), optional
            True where there is an event, false at padding. Padding behind the events needs no mask: nothing that is
            causal can see it.
        targets : Tensor of int64, (batch, length, 6), optional
            The event after each event, whose earlier fields heads that model fields jointly read. Default: the next event that
            is no given note, and zeros at the last place and where the next is padding.
        cache : Cache, optional
            The events before these; theirs are added. Not together with `mask`.

        Returns
        -------
        list of six Tensor, (batch, length, size)
            Where `mask` is false they mean nothing.

        Raises
        ------
        ValueError
            If there are more events than the context, or the cache, holds, or both a mask and a cache are given.
        """
        hidden = self.hidden(codes, mask, cache=cache)
        if targets is None:
            known = codes if mask is None else codes * mask[..., None]
            targets = F.pad(next_written(known), (0, 0, 0, 1))
        return self.heads(hidden, targets)  # type: ignore[no-any-return]

    def hidden(self, codes: Tensor, mask: Tensor | None = None, *, cache: Cache | None = None) -> Tensor:
        """The residual stream after the last norm, (batch, length, dim); arguments as for `forward`."""
        if codes.dim() != 3:
            raise ValueError(
                f"codes must be (batch, length, 6), not {tuple(codes.shape)}; of one piece give codes[None]"
            )
        seen = cache.length if cache is not None else 0
        length = codes.shape[1]
        limit = self.config.context if cache is None else min(self.config.context, cache.capacity)
        if cache is not None and mask is not None:
            raise ValueError("a mask or a cache, not both: a cache holds pieces without padding")
        if seen + length > limit:
            raise ValueError(f"{seen + length} events are more than the {limit} that the network sees at once")
        places = torch.arange(length, device=codes.device) if cache is None else cache.places(length)
        stream, rotation = self._embed(codes, places)
        visible = _visible(mask) if mask is not None else None
        for layer, block in enumerate(self.blocks):
            stream = block(stream, rotation=rotation, visible=visible, cache=cache, layer=layer)
        if cache is not None:
            cache.advance(length)
        return self.norm(stream)  # type: ignore[no-any-return]

    def attention_weights(self, codes: Tensor) -> Iterator[Tensor]:
        """What each event of codes (batch, length, 6) attends to: one (batch, head, query, key) per layer, first to last.

        A row sums to 1 over the query's own event and those before it. One layer at a time is held in memory.
        """
        if codes.shape[1] > self.config.context:
            raise ValueError(
                f"{codes.shape[1]} events are more than the {self.config.context} that the network sees at once"
            )
        stream, rotation = self._embed(codes, torch.arange(codes.shape[1], device=codes.device))
        for layer, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            yield block.attention.weights(block.attention_norm(stream), rotation)
            stream = block(stream, rotation=rotation, visible=None, cache=None, layer=layer)

    def _embed(self, codes: Tensor, places: Tensor) -> tuple[Tensor, Rotation | None]:
        """The residual stream before the first block, and the rotation, of events at places (length,) or (batch, length)."""
        stream = sum(embed(codes[..., field]) for field, embed in enumerate(self.embeddings))
        if self.positions is not None:
            # The factor keeps a table drawn from N(0, 1) in proportion to the token embeddings.
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
                    nn.init.zeros_(out.weight)  # type: ignore[union-attr, arg-type]
                    nn.init.zeros_(out.bias)  # type: ignore[union-attr, arg-type]


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm and added to the residual stream."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.dim)
        self.attention = Attention(config)
        self.feed_forward_norm = nn.LayerNorm(config.dim)
        self.feed_forward = FeedForward(config)

    def forward(
        self, stream: Tensor, *, rotation: Rotation | None, visible: Tensor | None, cache: Cache | None, layer: int
    ) -> Tensor:
        stream = stream + self.attention(
            self.attention_norm(stream), rotation=rotation, visible=visible, cache=cache, layer=layer
        )
        return stream + self.feed_forward(self.feed_forward_norm(stream))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Causal self-attention of several heads; no bias on queries, keys and values."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.heads, self.head_dim, self.dropout = config.heads, config.head_dim, config.dropout
        self.rotary_values = config.rotary_values
        width = config.heads * config.head_dim
        self.queries_keys_values = nn.Linear(config.dim, 3 * width, bias=False)
        self.query_norm, self.key_norm = (
            nn.LayerNorm(config.head_dim, bias=False) if config.qk_norm else nn.Identity() for _ in range(2)
        )
        self.by_head = nn.Identity()  # a place to look at and to change, see mmt.model.inside
        self.out = nn.Linear(width, config.dim)

    def forward(
        self, inputs: Tensor, *, rotation: Rotation | None, visible: Tensor | None, cache: Cache | None, layer: int
    ) -> Tensor:
        batch, length, _ = inputs.shape
        queries, keys, values = self._queries_keys_values(inputs, rotation)
        if cache is not None:
            attended = cache.attend(layer, queries, keys, values)
        elif self.training and visible is None and is_on_plain_cpu(queries):
            attended = attend_in_blocks(queries, keys, values, self.dropout)
        else:
            attended = F.scaled_dot_product_attention(
                queries,
                keys,
                values,
                attn_mask=None if visible is None else _hidden_bias(visible, queries.dtype),
                dropout_p=self.dropout if self.training else 0.0,
                is_causal=visible is None and length > 1,
            )
        by_head = self.by_head(attended.transpose(1, 2))
        return self.out(by_head.reshape(batch, length, -1))  # type: ignore[no-any-return]

    def weights(self, inputs: Tensor, rotation: Rotation | None) -> Tensor:
        """The weights with which `forward` adds up the values, (batch, head, query, key); 0 where a key comes later."""
        queries, keys, _ = self._queries_keys_values(inputs, rotation)
        scores = queries @ keys.transpose(-1, -2) * self.head_dim**-0.5
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        weights: Tensor = scores.masked_fill(later, -torch.inf).softmax(dim=-1)
        return weights

    def _queries_keys_values(self, inputs: Tensor, rotation: Rotation | None) -> tuple[Tensor, Tensor, Tensor]:
        batch, length, _ = inputs.shape
        split = self.queries_keys_values(inputs).view(batch, length, 3, self.heads, self.head_dim)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        return self.placed(queries, keys, values, rotation)

    def placed(
        self, queries: Tensor, keys: Tensor, values: Tensor, rotation: Rotation | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What is compared and added up, (batch, head, length, head_dim): normalised, and turned to its place."""
        queries, keys = self.query_norm(queries), self.key_norm(keys)
        if rotation is not None:
            whole = rotation[0].shape[-1] == self.head_dim
            turn = rotate_to_train if self.training and whole and is_on_plain_cpu(queries) else rotate
            queries, keys = turn(queries, rotation), turn(keys, rotation)
            values = turn(values, rotation) if self.rotary_values else values
        return queries, keys, values


class FeedForward(nn.Module):
    """Two linear maps with a GELU between, four times as wide as the residual stream."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.expand = nn.Linear(config.dim, 4 * config.dim)
        self.dropout = Dropout(config.dropout)
        self.contract = nn.Linear(4 * config.dim, config.dim)

    def forward(self, inputs: Tensor) -> Tensor:
        wide = self.expand(inputs)
        if self.training and self.dropout.share and is_on_plain_cpu(wide):
            # What is wide is most of what a step holds; all but this is soon computed again, with the same dropped.
            return checkpoint(self._contracted, wide, use_reentrant=False)  # type: ignore[no-any-return]
        return self._contracted(wide)

    def _contracted(self, wide: Tensor) -> Tensor:
        return self.contract(self.dropout(F.gelu(wide)))  # type: ignore[no-any-return]


class _NotDrawn(TorchFunctionMode):
    """Leaves out what `torch.nn.init` does, which on the meta device would load PyTorch's compiler: a second."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return kwargs.get("tensor", *args[:1])
        return func(*args, **kwargs)


def network_without_weights(config: NetworkConfig) -> Network:
    """A network on the meta device, whose weights are still to be assigned; the random state stays as it was."""
    with torch.device("meta"), _NotDrawn():
        return Network(config)


def _visible(mask: Tensor) -> Tensor:
    """Which keys each query may see, (batch, 1, query, key): earlier events and itself; padding sees nothing."""
    length = mask.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    return (causal & mask[:, None, :] & mask[:, :, None])[:, None]


def _hidden_bias(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """What to add to scores: 0, or the lowest number. Not minus infinity: a query that sees nothing attends evenly to all.

    So padding computes something finite, and just what it does in the original code, whose loss counts it.
    """
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill(~visible, torch.finfo(dtype).min)
