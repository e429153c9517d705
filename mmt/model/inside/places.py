"""Named places inside a network, whose activations can be read and edited during a forward pass.

Shapes of activations; B is the batch, N the number of events:

| place | activations | shape |
|---|---|---|
| `embedding` | the residual stream that enters the first layer | (B, N, dim) |
| `layers.I.attention_inputs` | the stream that queries, keys, values of each head read, before the norm | (B, N, 3, head, dim) |
| `layers.I.queries`, `.keys`, `.values` | after norm and rotation, as they are multiplied | (B, N, head, head_dim) |
| `layers.I.scores` | queries times keys over √head_dim; minus infinity for later keys | (B, head, query, key) |
| `layers.I.pattern` | softmax of the scores: the attention weights | (B, head, query, key) |
| `layers.I.heads` | weighted sums of values, before heads are joined | (B, N, head, head_dim) |
| `layers.I.head_outputs` | what each head adds to the residual stream, without the bias | (B, N, head, dim) |
| `layers.I.attention` | the output of attention: the sum of the head outputs and the bias | (B, N, dim) |
| `layers.I.feed_forward_inputs` | the residual stream that feed-forward reads, before the norm | (B, N, dim) |
| `layers.I.neurons` | feed-forward neurons after the GELU | (B, N, 4 dim) |
| `layers.I.feed_forward` | the output of the feed-forward layer | (B, N, dim) |
| `layers.I.stream` | the residual stream after layer I | (B, N, dim) |
| `final` | the residual stream after the last norm, from which the output heads predict | (B, N, dim) |
| `logits.FIELD` | logits of a field of the next event, before any mask; joint heads: given its earlier fields | (B, N, size) |

Layers and heads count from 0. During generation the prompt is read first, then one event at a time (length 1; keys are then all
events so far).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from mmt.model.network import Network
from mmt.model.reading import Context
from mmt.representation.arguments import described
from mmt.representation.codes import FIELDS


class Place(NamedTuple):
    """Where a place is in the module tree, and how the module's output is turned into its activations and back."""

    path: str
    shown: Callable[[Tensor, Context | None], Tensor]
    stored: Callable[[Tensor, Tensor], Tensor]
    """Takes activations and the original output of the module."""


def places(network: Network | Any) -> list[str]:
    """The names of all places of a network, or of a model's network, in the order of the forward pass.

    Examples
    --------
    >>> from mmt.model.config import NetworkConfig
    >>> found = places(Network(NetworkConfig(dim=32, layers=1, heads=2, head_dim=16)))
    >>> found[:3], found[-1]
    (['embedding', 'layers.0.attention_inputs', 'layers.0.queries'], 'logits.instrument')
    """
    network = getattr(network, "network", network)
    if not isinstance(network, Network):
        raise ValueError(f"network is {described(network)}; give a model or its network")
    return list(all_places(network))


def all_places(network: Network) -> dict[str, Place]:
    """The places of a network by name."""
    found = {"embedding": _as_it_is("dropout")}
    for layer in range(len(network.blocks)):
        within = {
            "attention_inputs": _as_it_is("attention_inputs"),
            **{name: _by_head(f"attention.{name}") for name in ("queries", "keys", "values")},
            **{name: _as_it_is(f"attention.{name}") for name in ("scores", "pattern")},
            "heads": _as_it_is("attention.by_head"),
            "head_outputs": _as_it_is("attention.head_outputs"),
            "attention": _as_it_is("attention"),
            "feed_forward_inputs": _as_it_is("feed_forward_inputs"),
            "neurons": _as_it_is("feed_forward.neurons"),
            "feed_forward": _as_it_is("feed_forward"),
            "stream": _as_it_is(""),
        }
        for name, place in within.items():
            found[f"layers.{layer}.{name}"] = place._replace(path=f"blocks.{layer}.{place.path}".rstrip("."))
    found["final"] = _as_it_is("norm")
    return found | {f"logits.{name}": _logits(f"heads.fields.{field}") for field, name in enumerate(FIELDS)}


def is_by_key(place: str) -> bool:
    """Whether a place has an axis of keys: scores and pattern."""
    return place.rpartition(".")[2] in ("scores", "pattern")


def _as_it_is(path: str) -> Place:
    return Place(path, lambda output, _: output, lambda changed, _: changed)


def _by_head(path: str) -> Place:
    return Place(path, lambda output, _: output.transpose(1, 2), lambda changed, _: changed.transpose(1, 2))


def _logits(path: str) -> Place:
    def shown(output: Tensor, context: Context | None) -> Tensor:
        if output.dim() == 3:
            return output
        # The decoding loop has one hidden state per piece; an analysis of one piece, one per event.
        of_one_piece = context is not None and context.shape[0] == 1 and context.shape[1] == len(output)
        return output[None] if of_one_piece else output[:, None]

    return Place(path, shown, lambda changed, output: changed.view_as(output))
