"""Compile the functions of sampling, and cache them on disk: the second process of `mmt.model.compiled.compiling`."""

from __future__ import annotations

import torch

from mmt.representation.prompt import instruments
from mmt.sampling.model import new_model


def main() -> None:
    """Generate some events as the shipped model does."""
    torch.set_num_threads(1)
    model = new_model("full")
    model.network.double()  # PyTorch computes what is not float32; so nothing of the network is compiled
    model.generate(instruments("violin", "cello", representation=model.representation), seed=0, max_events=16)


if __name__ == "__main__":
    main()
