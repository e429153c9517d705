"""The Top-K sparse autoencoder: encode, decode, and a folder of it in the names and shapes of SAELens.

With x the activations of an event (d_in,), and k features that may be active (Gao et al. 2024, arXiv 2406.04093):

    f = ReLU(TopK((x - b_dec) W_enc + b_enc)),    x' = f W_dec + b_dec

A folder holds `sae_weights.safetensors` (`W_enc` (d_in, d_sae), `b_enc` (d_sae,), `W_dec` (d_sae, d_in), `b_dec` (d_in,)) and
`cfg.json` with the keys of a SAELens configuration of the architecture "topk".
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from mmt.music.atomic import replacing
from mmt.music.bounded import LARGEST_JSON, brief, parse_json, read_file

WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"
# The form of the autoencoders here, in the words of a SAELens configuration.
_FORM = {
    "architecture": "topk", "apply_b_dec_to_input": True, "normalize_activations": "none", "reshape_activations": "none"
}  # fmt: skip


class SparseAutoencoder(nn.Module):
    """A Top-K sparse autoencoder; its parameters are `W_enc`, `b_enc`, `W_dec` and `b_dec`.

    `W_dec[i]` is the direction of feature i: `mmt.inside.add(place, autoencoder.W_dec[i], strength)` steers with it.
    """

    def __init__(self, inputs: int, features: int, k: int, *, place: str = "", seed: int = 0) -> None:
        super().__init__()
        if not 1 <= k <= features:
            raise ValueError(f"k is {k}; it must be from 1 to the number of features, {features}")
        self.k, self.place = k, place
        decoder = torch.randn(features, inputs, generator=torch.Generator().manual_seed(seed))
        decoder /= decoder.norm(dim=1, keepdim=True)
        self.W_dec = nn.Parameter(decoder)
        self.W_enc = nn.Parameter(decoder.T.clone().contiguous())
        self.b_enc = nn.Parameter(torch.zeros(features))
        self.b_dec = nn.Parameter(torch.zeros(inputs))

    def pre_activations(self, activations: Tensor) -> Tensor:
        """(…, d_in) to the inputs of all features, (…, d_sae)."""
        return (activations - self.b_dec) @ self.W_enc + self.b_enc

    def encode(self, activations: Tensor) -> Tensor:
        """(…, d_in) to features, (…, d_sae), at most k of which are not 0."""
        return keep_largest(self.pre_activations(activations), self.k)

    def decode(self, features: Tensor) -> Tensor:
        """Features (…, d_sae) to activations (…, d_in)."""
        return features @ self.W_dec + self.b_dec

    def forward(self, activations: Tensor) -> Tensor:
        """The reconstruction of activations (…, d_in)."""
        return self.decode(self.encode(activations))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `sae_weights.safetensors` and `cfg.json` to a new or empty folder."""
        path = Path(folder)
        if path.exists() and any(path.iterdir()):
            raise ValueError(f"{folder} is not empty; give a new folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        weights = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        inputs, features = self.W_enc.shape
        config = {"d_in": inputs, "d_sae": features, "k": self.k, "dtype": "float32", "device": "cpu"}
        config |= _FORM | {"metadata": {"model_name": "mmt", "hook_name": self.place}}
        with replacing(path) as unfinished:
            unfinished.mkdir()
            (unfinished / WEIGHTS).write_bytes(save(weights))
            (unfinished / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def load_autoencoder(folder: str | os.PathLike[str]) -> SparseAutoencoder:
    """Read an autoencoder that `SparseAutoencoder.save` has written.

    Raises
    ------
    ValueError
        If the folder holds no Top-K autoencoder, or one with another treatment of its input.
    """
    path = Path(folder)
    try:
        config = parse_json(read_file(path / CONFIG, LARGEST_JSON))
        weights = load_file(path / WEIGHTS)
        inputs, features, k = (config[name] for name in ("d_in", "d_sae", "k"))
        # Before any memory is reserved for what the configuration says.
        if weights["W_enc"].shape != (inputs, features) or type(k) is not int:
            raise ValueError(f"{CONFIG} does not fit {WEIGHTS}")
        if not all(value.is_floating_point() and value.float().isfinite().all() for value in weights.values()):
            raise ValueError(f"{WEIGHTS} has numbers that are not finite")
        found = SparseAutoencoder(inputs, features, k, place=str(config.get("metadata", {}).get("hook_name") or ""))
        found.load_state_dict(weights)
    except (OSError, LookupError, TypeError, AttributeError, RuntimeError, ValueError, SafetensorError) as error:
        raise ValueError(
            f"{folder} holds no Top-K autoencoder ({brief(error)}); it needs {CONFIG} and {WEIGHTS}"
        ) from error
    if different := [name for name, value in _FORM.items() if config.get(name, value) != value]:
        raise ValueError(
            f"{folder} has {different[0]} {brief(config[different[0]])!r}, which is not supported; "
            f"expected {_FORM[different[0]]!r}"
        )
    return found.eval()


def keep_largest(values: Tensor, k: int) -> Tensor:
    """Values (…, n) with all but the k largest of the last axis set to 0, and negative ones too."""
    found = values.topk(k, dim=-1)
    return torch.zeros_like(values).scatter(-1, found.indices, found.values.clamp(min=0))
