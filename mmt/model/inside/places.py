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

from typing import Any

from mmt.model.network import Network
from mmt.representation.arguments import described
from mmt.representation.codes import FIELDS

# The module whose output each place in a block is.
_IN_BLOCK = {
    "attention_inputs": ".attention_inputs",
    **{name: f".attention.{name}" for name in ("queries", "keys", "values", "scores", "pattern")},
    "heads": ".attention.by_head",
    "head_outputs": ".attention.head_outputs",
    "attention": ".attention",
    "feed_forward_inputs": ".feed_forward_inputs",
    "neurons": ".feed_forward.neurons",
    "feed_forward": ".feed_forward",
    "stream": "",
}


def places(network: Network | Any) -> list[str]:
    """The names of all places of a network, or of a model's network, in the order of the forward pass.

    >>> from mmt.model.config import NetworkConfig
    >>> found = places(Network(NetworkConfig(dim=32, layers=1, heads=2, head_dim=16)))
    >>> found[:3], found[-1]
    (['embedding', 'layers.0.attention_inputs', 'layers.0.queries'], 'logits.instrument')
    """
    network = getattr(network, "network", network)
    if not isinstance(network, Network):
        raise ValueError(f"network is {described(network)}; give a model or its network")
    return list(all_places(network))


def all_places(network: Network) -> dict[str, str]:
    """The places of a network by name, each as the path of the module whose output it is."""
    found = {"embedding": "dropout"}
    for layer in range(len(network.blocks)):
        found |= {f"layers.{layer}.{name}": f"blocks.{layer}{path}" for name, path in _IN_BLOCK.items()}
    found["final"] = "norm"
    return found | {f"logits.{name}": f"heads.fields.{field}" for field, name in enumerate(FIELDS)}


def is_by_key(place: str) -> bool:
    """Whether a place has an axis of keys: scores and pattern."""
    return place.rpartition(".")[2] in ("scores", "pattern")
