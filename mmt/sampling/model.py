"""The `Model` that users hold: a network with its representation and sampling defaults, which generates pieces."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Unpack, overload

import numpy as np
import numpy.typing as npt
import torch

from mmt.model.checkpoint import Checkpoint, write_checkpoint
from mmt.model.cpu.packing import check_int8
from mmt.model.inside import Edit, edited, edits_of
from mmt.model.network import Network
from mmt.model.original_checkpoint import read_any_checkpoint
from mmt.model.recipes import find_checkpoint, parts_of, read_recipe, shipped
from mmt.representation.arguments import described
from mmt.representation.codes import Events
from mmt.representation.origin import remember
from mmt.sampling.decoding import decode_events, write_pieces
from mmt.sampling.next_event import NextEvent, readable_events
from mmt.sampling.options import GenerationOptions, Options
from mmt.sampling.outcome import Outcome, outcomes_of
from mmt.sampling.streams import seed_of, streams_of


class Model:
    """A network that writes music, with the representation that it was trained on.

    Its attributes are `network`, `representation`, `sampling` (defaults of `generate`) and `training` (how it was trained).
    Create one with `load_model` or `new_model`.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.network: Network = checkpoint.network
        self.representation = checkpoint.representation
        self.sampling: Mapping[str, Any] = dict(checkpoint.sampling)
        self.training: Mapping[str, Any] = dict(checkpoint.training)

    def __repr__(self) -> str:
        size = sum(parameter.numel() for parameter in self.network.parameters())
        config = self.network.config
        edits = "".join(f", edited at {edit}" for edit in edits_of(self.network))
        return f"<Model of {size:,} parameters: {config.layers} layers of {config.dim}, context {config.context} events{edits}>"

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return next(self.network.parameters()).device

    def to(self, device: str | torch.device, *, weights: Literal["float32", "int8"] | None = None) -> Model:
        """Move the network to a device ("auto", "cpu", "cuda", "mps") and set the `weights` that it generates with.

        "int8" is faster on a CPU, for next to no loss (`benchmarks/generation.md`): new events are computed with int8 weights,
        and all keys and values are kept in bfloat16. Everything else is computed in float32: prompts, windows that have moved,
        and `context="slide"` past the context. Each call of `generate` makes int8 copies, a quarter of the weights' size.
        Default: unchanged. Returns the model itself.

        Examples
        --------
        >>> new_model("tiny").to("cpu", weights="float32").network.decodes_with
        'float32'
        """
        weights = self.network.decodes_with if weights is None else weights
        if weights not in ("float32", "int8"):
            raise ValueError(f"weights is {weights!r}; choose float32 or int8")
        found = find_device(device)
        if weights == "int8":
            check_int8(next(self.network.parameters()).detach()[:0].to(found))
        self.network.to(found).decodes_with = weights
        return self

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a checkpoint folder that `load_model` reads; a model that is `edited` is refused."""
        write_checkpoint(folder, Checkpoint(self.network, self.representation, self.sampling, self.training))

    def edited(self, edit: Edit) -> Model:
        """A new model with changes inside its network, see `mmt.inside`. It shares the weights; this model stays as it is."""
        return Model(Checkpoint(edited(self.network, edit), self.representation, self.sampling, self.training))

    @torch.inference_mode()
    def next_distribution(self, events: npt.ArrayLike) -> NextEvent:
        """The distribution of the event after these events: the marginal of each field, conditions and draws.

        Unlike `network(events)`, whose joint heads give each field under the condition of the earlier fields of the event at
        the next place, these are probabilities given the past only. No grammar mask and no filter is applied.

        Parameters
        ----------
        events : array_like of int, (n, 6)
            The beginning of a piece; n is at most the network's context.

        Raises
        ------
        ValueError
            If the events are not codes of the model, there are none, or they exceed its context.

        Examples
        --------
        >>> model = new_model("tiny", seed=0)
        >>> import mmt
        >>> following = model.next_distribution(mmt.prompt.instruments("violin", "cello"))
        >>> following["pitch"].shape, following.given(3, 1, 1)["pitch"].shape
        ((129,), (129,))
        >>> following.draw(2, seed=0).shape
        (2, 6)
        """
        codes = torch.from_numpy(readable_events(self.network.config, events, self.representation)).to(self.device)
        return NextEvent(self.network, self.network.hidden(codes[None])[0, -1])

    @overload
    def generate(
        self, prompt: npt.ArrayLike | None = ..., n: int = ..., seed: int | Sequence[int] | None = ..., *,
        edit: Edit | None = ..., report: Literal[True], progress: bool = ..., **options: Unpack[Options],
    ) -> tuple[list[Events], list[Outcome]]: ...  # fmt: skip
    @overload
    def generate(
        self, prompt: npt.ArrayLike | None = ..., n: int = ..., seed: int | Sequence[int] | None = ..., *,
        edit: Edit | None = ..., report: Literal[False] = ..., progress: bool = ..., **options: Unpack[Options],
    ) -> list[Events]: ...  # fmt: skip
    def generate(
        self,
        prompt: npt.ArrayLike | None = None,
        n: int = 1,
        seed: int | Sequence[int] | None = None,
        *,
        edit: Edit | None = None,
        report: bool = False,
        progress: bool = False,
        **options: Unpack[Options],
    ) -> list[Events] | tuple[list[Events], list[Outcome]]:
        """Generate pieces.

        Parameters
        ----------
        prompt : array_like of int, (n, 6), optional
            The beginning of every piece, see `mmt.prompt`. Default: start-of-song alone.
        n : int
            The number of pieces.
        seed : int or sequence of int, optional
            Piece i draws from the random stream (seed, i), so the first piece does not depend on `n`. A sequence gives
            the first piece of each seed. Default: a random seed.
        edit : mapping from places to functions, optional
            Changes inside the network while it generates, see `mmt.inside`: `edit=mmt.inside.ablate((2, 0))` silences a head.
        report : bool
            Whether to return the outcomes too.
        progress : bool
            Whether to show a progress bar.
        **options
            temperature, top_k, top_p, min_p; scale, allow, exclude, ranges, use_all; min_beats, max_beats, new_beats, max_events,
            length; loop_guard, max_rest; grammar, sampling, context. Each is described in `mmt.sampling.options.Options`.

        Returns
        -------
        pieces : list of ndarray of int64, (n_i, 6)
            Whole pieces, the prompt included. At a limit of length a piece is closed with end-of-song.
        outcomes : list of Outcome
            For each piece its seed, why it ended, and how many notes each instrument plays. Only if `report` is true.

        Raises
        ------
        ValueError
            If an argument is out of range, arguments contradict each other or leave no pitch to sample, or the prompt is
            invalid.

        Examples
        --------
        >>> model = new_model("tiny", seed=0)
        >>> pieces = model.generate(n=2, seed=1, max_events=32)
        >>> len(pieces), pieces[0].shape[1]
        (2, 6)
        """
        network, beginning, settings = self._resolve(prompt, GenerationOptions(**options), edit)
        streams = streams_of(n, seed)
        written = write_pieces(network, [beginning] * len(streams), streams, progress=progress, **settings)
        pieces = [remember(piece, self.representation) for piece in written]
        if not report:
            return pieces
        limited = options.get("max_events") is not None
        return pieces, outcomes_of(pieces, streams, settings["bounds"], self.representation, limited=limited)

    def stream(
        self,
        prompt: npt.ArrayLike | None = None,
        seed: int | None = None,
        *,
        edit: Edit | None = None,
        endless: bool = False,
        **options: Unpack[Options],
    ) -> Iterator[Events]:
        """Generate one piece, event by event: yields the new events of `generate` with the same arguments, each (6,).

        Parameters
        ----------
        endless : bool
            Forbid the end unless a given limit forces it. Without a limit, the piece never ends.
        others
            As for `generate`.

        Examples
        --------
        >>> [event.shape for event in new_model("tiny", seed=0).stream(seed=1, max_events=6)][:2]
        [(6,), (6,)]
        """
        network, beginning, settings = self._resolve(prompt, GenerationOptions(endless=endless, **options), edit)
        streams = streams_of(1, None if seed is None else seed_of(seed))
        return (events[0] for _, events in decode_events(network, [beginning], streams, **settings))

    def _resolve(
        self, prompt: npt.ArrayLike | None, options: GenerationOptions, edit: Edit | None
    ) -> tuple[Network, Events, dict[str, Any]]:
        """The network, the tidied prompt, and the keyword arguments of `decode_events`."""
        beginning, settings = options.resolve(prompt, self.network.config, self.representation, self.sampling)
        return self.network if edit is None else edited(self.network, edit), np.asarray(beginning), settings


def check_model(model: Model) -> None:
    """Raise a `ValueError` if this is no `Model`."""
    if not isinstance(model, Model):
        hint = ", which has its network as model.network" if isinstance(model, Network) else ""
        raise ValueError(f"model is {described(model)}; give the mmt.Model{hint}")


def load_model(
    path: str | os.PathLike[str] | None = None,
    *,
    device: str | torch.device = "cpu",
    weights: Literal["float32", "int8"] = "float32",
    arguments: Mapping[str, Any] | str | os.PathLike[str] | None = None,
) -> Model:
    """Load a model, float32 and in eval mode: the one that mmt ships, a checkpoint folder, or a checkpoint of the original code.

    Parameters
    ----------
    path : path, optional
        A checkpoint folder, or a run folder or bare `.pt` file of the original code. Default: the shipped model, whose
        name is "default".
    device : str
        "auto" (a GPU if there is one), "cpu", "cuda", "mps".
    weights : "float32" or "int8"
        The weights that it generates with, see `Model.to`.
    arguments : mapping or path, optional
        For a bare `.pt` file: the `train-args.json` of its run, as a mapping or a path. Not needed for weights with a table
        of positions.

    Raises
    ------
    FileNotFoundError
        If there is no checkpoint.
    ValueError
        If the checkpoint has another format version or is corrupt; if `arguments` are missing, or given for a checkpoint that is
        not of the original code; if the device has no int8 weights.
    """
    path = shipped("checkpoints", "default") if path is None else find_checkpoint(path)
    return Model(read_any_checkpoint(path, arguments)).to(device, weights=weights)


def new_model(recipe: str | os.PathLike[str], *, seed: int = 0) -> Model:
    """Create an untrained model of a recipe's size, float32 and in eval mode.

    Parameters
    ----------
    recipe : str or path
        The name of a recipe that mmt ships ("paper", "default", "full", "tiny"), or a YAML file.
    seed : int
        Seed of the random weights. The global random state stays as it was.

    Examples
    --------
    >>> new_model("paper")
    <Model of 19,944,950 parameters: 6 layers of 512, context 1024 events>
    """
    representation, config = parts_of(values := read_recipe(recipe))
    # Seed and restore only the CPU's generator; torch.manual_seed would also seed those of the GPUs.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed_of(seed))
        network = Network(config)
    return Model(Checkpoint(network.eval(), representation, values.get("sampling") or {}))


def find_device(name: str | torch.device) -> torch.device:
    """The device of that name; "auto" is a GPU if there is one, else the CPU. A `ValueError` if there is no such device."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if str(name) == "auto":
        name = next((kind for kind, is_there in available.items() if is_there), "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device {str(name)!r} is unknown; choose auto, cpu, cuda or mps") from error
    if not available.get(device.type, True):
        raise ValueError(f"device {str(name)!r} is not available here; use auto or cpu")
    return device
