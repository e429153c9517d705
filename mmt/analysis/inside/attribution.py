"""Attribution: logit lens, direct logits and attention rollout; patching is in `mmt.analysis.inside.patching`.

The prediction at event t is of event t + 1. Heads that model fields jointly give each field under the condition of the earlier
fields of that event; here these are always the true ones, those of the piece. Pieces have at most as many events as the context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from mmt.analysis.inside.patching import Patching as Patching
from mmt.analysis.inside.patching import codes_to_predict
from mmt.analysis.inside.patching import patch_activations as patch_activations
from mmt.analysis.inside.patching import patch_paths as patch_paths
from mmt.analysis.inside.recording import read_places
from mmt.analysis.intervals import Floats
from mmt.analysis.pieces import field_numbers
from mmt.model.heads import ChainHeads
from mmt.representation.codes import FIELDS
from mmt.sampling.model import Model


@torch.inference_mode()
def logit_lens(model: Model, events: npt.ArrayLike, field: str | None = None) -> dict[str, Floats]:
    """What the network would predict from the residual stream after each layer: log-probabilities of every code.

    With x_l the residual stream after l layers (x_0 the embedding), N the last norm and H_f the output head of field f,

        lens_f[l, t] = log softmax H_f(N(x_l[t]); true earlier fields of event t + 1)

    (nostalgebraist, 2020). The last l is the model's own prediction.

    Parameters
    ----------
    model : Model
    events : array_like of int, (n, 6)
    field : str, optional
        Default: all fields.

    Returns
    -------
    dict of ndarray by field, (layers + 1, n - 1, size)

    Examples
    --------
    >>> import mmt
    >>> found = logit_lens(mmt.new_model("tiny", seed=0), mmt.prompt.instruments("violin", "cello"), "instrument")
    >>> found["instrument"].shape
    (3, 3, 65)
    """
    codes, network, numbers = codes_to_predict(model, events), model.network, field_numbers(field)
    depths = ["embedding", *(f"layers.{layer}.stream" for layer in range(network.config.layers))]
    found = read_places(model, codes, depths)
    logits = [network.heads(network.norm(found[depth])[0, :-1], codes[0, 1:]) for depth in depths]
    return {
        FIELDS[number]: torch.stack([of_depth[number].double().log_softmax(-1) for of_depth in logits]).cpu().numpy()
        for number in numbers
    }


@dataclass(frozen=True)
class DirectLogits:
    """What each part of the network adds to the logits of the true codes, see `direct_logits`."""

    components: list[str]
    """`embedding`, `layers.I.heads.H`, `layers.I.attention.bias`, `layers.I.feed_forward`, `joint`, `constant`."""
    values: dict[str, Floats]
    """By field, (components, n - 1); the sum over components is the centred logit."""


@torch.inference_mode()
def direct_logits(model: Model, events: npt.ArrayLike, field: str | None = None) -> DirectLogits:
    """Split the logit of each true code into what each head and layer adds to it directly (direct logit attribution).

    Logits are centred: the mean logit of the field is subtracted, since probabilities do not depend on it. With w the centred
    output weights of the true code, the residual stream x = Σ_i x_i, σ the standard deviation that the last norm divides by (of
    x, so it is kept fixed), and γ, β the weights of that norm:

        component i:  w · (γ (x_i - mean x_i)) / σ
        constant:     w · β + centred bias of the code
        joint:        w · mix(GELU(state(h) + earlier fields)), 0 for independent heads and the type

    The sum is exact. `joint` is what joint heads add for the true earlier fields of the event; it also reads h, not linearly,
    so it is not split. What a head does through later layers is in their components. Parameters are those of `logit_lens`.

    Examples
    --------
    >>> import mmt
    >>> found = direct_logits(mmt.new_model("tiny", seed=0), mmt.prompt.instruments("violin", "cello"), "instrument")
    >>> found.components[:3], found.values["instrument"].shape
    (['embedding', 'layers.0.heads.0', 'layers.0.heads.1'], (11, 3))
    """
    codes, network = codes_to_predict(model, events), model.network
    names, parts, stream = _components(model, codes)
    norm, heads, targets = network.norm, network.heads, codes[0, 1:]
    assert isinstance(norm, nn.LayerNorm)
    deviation = (stream.var(-1, unbiased=False) + norm.eps).sqrt()
    centred = (parts - parts.mean(-1, keepdim=True)) / deviation[:, None, None] * norm.weight.double()
    hidden = norm(stream.float())
    values = {}
    for number in field_numbers(field):
        out: Any = heads.fields[number]
        weight = out.weight.double() - out.weight.double().mean(0)
        bias = torch.zeros(len(weight)).to(weight) if out.bias is None else out.bias.double() - out.bias.double().mean()
        rows, true = weight[targets[:, number]], targets[:, number]
        split = torch.einsum("tcd,td->ct", centred, rows)
        constant = rows @ norm.bias.double() + bias[true]
        joint = torch.zeros_like(constant)
        if isinstance(heads, ChainHeads) and number:
            # The input of the linear map is hidden + mix(…), so the rest of it is the joint part.
            joint = (rows * _mixed(heads, number, hidden, targets)).sum(-1)
        values[FIELDS[number]] = torch.cat([split, joint[None], constant[None]]).cpu().numpy()
    return DirectLogits([*names, "joint", "constant"], values)


@torch.inference_mode()
def rollout(model: Model, events: npt.ArrayLike) -> list[Floats]:
    """Attention rollout: how much each event's stream is made of each earlier event's embedding, after every layer.

    With A_l the attention weights of layer l, averaged over heads, and R_0 the identity (Abnar and Zuidema 2020):

        R_l = (A_l + I) / 2 · R_(l-1)

    Returns
    -------
    list of ndarray, (n, n) for each layer
        Each row sums to 1.
    """
    codes = codes_to_predict(model, events)
    identity = torch.eye(codes.shape[1], dtype=torch.float64, device=codes.device)
    found, rolled = [], identity
    for weights in model.network.attention_weights(codes):
        rolled = (weights[0].double().mean(0) + identity) / 2 @ rolled
        found.append(rolled.cpu().numpy())
    return found


def _components(model: Model, codes: Tensor) -> tuple[list[str], Tensor, Tensor]:
    """The names of what is added up to the residual stream, (n - 1, component, dim), and the stream, both float64."""
    layers = range(model.network.config.layers)
    kinds = ("head_outputs", "attention", "feed_forward")
    found = read_places(model, codes, ["embedding", *(f"layers.{layer}.{kind}" for layer in layers for kind in kinds)])
    names, parts = ["embedding"], [found["embedding"]]
    for layer in layers:
        heads, whole, feed_forward = (found[f"layers.{layer}.{kind}"] for kind in kinds)
        names += [f"layers.{layer}.heads.{head}" for head in range(heads.shape[2])]
        names += [f"layers.{layer}.attention.bias", f"layers.{layer}.feed_forward"]
        parts += [*heads.unbind(2), whole - heads.sum(2), feed_forward]
    stacked = torch.stack(parts, 2)[0, :-1].double()
    return names, stacked, stacked.sum(1)


def _mixed(heads: ChainHeads, number: int, hidden: Tensor, events: Tensor) -> Tensor:
    """What joint heads add to the hidden state before the linear map of a field, (n - 1, dim), float64."""
    known = heads.state(hidden)
    for earlier in range(number):
        known = known + heads.known[earlier](events[:, earlier])
    mixed: Tensor = heads.mix[number - 1](nn.functional.gelu(known))
    return mixed.double()
