"""The model that users hold: a network, its representation and its sampling defaults, and what it can write."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from mmt.model.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from mmt.model.compiled import telling_of_compiling
from mmt.model.cpu.packing import check_int8
from mmt.model.inside import Edit, edited
from mmt.model.network import Network
from mmt.model.original_checkpoint import is_original_run, read_original_run
from mmt.model.recipes import find_checkpoint, parts_of, read_recipe, shipped
from mmt.representation.codes import Events
from mmt.sampling.controls import Pitches, Ranges, Scale
from mmt.sampling.decoding import decode_events
from mmt.sampling.filters import PerField
from mmt.sampling.options import GenerationOptions
from mmt.sampling.outcome import Outcome, outcomes_of
from mmt.sampling.streams import Stream, seed_of, streams_of

# More pieces than this are written in several batches, so that the memory does not grow with their number.
_BATCH = 64


class Model:
    """A network that writes music, with the representation that it was trained on.

    `network`, `representation`, `sampling` (defaults of `generate`) and `training` (how it was trained) are there to be
    read. Make one with `load_model` or `new_model`.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.network: Network = checkpoint.network
        self.representation = checkpoint.representation
        self.sampling: Mapping[str, Any] = dict(checkpoint.sampling)
        self.training: Mapping[str, Any] = dict(checkpoint.training)

    def __repr__(self) -> str:
        size = sum(parameter.numel() for parameter in self.network.parameters())
        config = self.network.config
        return (
            f"<Model of {size:,} parameters: {config.layers} layers of {config.dim}, context {config.context} events>"
        )

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def to(self, device: str | torch.device, *, weights: Literal["float32", "int8"] | None = None) -> Model:
        """Move the network to a device ("auto", "cpu", "cuda", "mps"), where it writes with `weights`.

        "int8" writes faster on a CPU, for next to no loss (`benchmarks/generation.md`): new events are made with int8 weights,
        and all keys and values kept in bfloat16. What is read at once (prompts, windows begun anew, all of `context="slide"`
        past the context) is computed in float32, as is everything else. Rounded copies are made for each piece or batch, a
        quarter of the weights' size.
        Default: as it was. Returns the model itself.

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
        """Write a checkpoint folder, which `load_model` reads."""
        write_checkpoint(folder, Checkpoint(self.network, self.representation, self.sampling, self.training))

    def edited(self, edit: Edit) -> Model:
        """A model with changes inside its network, see `mmt.inside`; the weights are shared, this one stays as it is."""
        return Model(Checkpoint(edited(self.network, edit), self.representation, self.sampling, self.training))

    @overload
    def generate(
        self,
        prompt: npt.ArrayLike | None = ...,
        n: int = ...,
        seed: int | Sequence[int] | None = ...,
        *,
        report: Literal[True],
        **options: Any,
    ) -> tuple[list[Events], list[Outcome]]: ...
    @overload
    def generate(
        self,
        prompt: npt.ArrayLike | None = ...,
        n: int = ...,
        seed: int | Sequence[int] | None = ...,
        *,
        report: Literal[False] = ...,
        **options: Any,
    ) -> list[Events]: ...
    def generate(  # type: ignore[misc]  # `options` above are the keywords below
        self,
        prompt: npt.ArrayLike | None = None,
        n: int = 1,
        seed: int | Sequence[int] | None = None,
        *,
        temperature: PerField = None,
        top_k: PerField = None,
        top_p: PerField = None,
        min_p: PerField = None,
        min_beats: int = 0,
        max_beats: int | None = None,
        max_events: int | None = None,
        length: int | None = None,
        scale: Scale = None,
        allow: Pitches = None,
        exclude: Pitches = None,
        ranges: Ranges = False,
        use_all: bool = False,
        grammar: Literal["strict", "paper"] | None = None,
        sampling: Literal["default", "paper"] = "default",
        context: Literal["anchor", "slide"] = "anchor",
        edit: Edit | None = None,
        report: bool = False,
        progress: bool = False,
    ) -> list[Events] | tuple[list[Events], list[Outcome]]:
        """Write pieces.

        Parameters
        ----------
        prompt : array_like of int, (n, 6), optional
            The beginning of every piece, see `mmt.prompt`. Default: start-of-song alone.
        n : int
            How many pieces.
        seed : int or sequence of int, optional
            Piece i draws from the random stream (seed, i), so the first is the same whatever `n`. A sequence gives
            the first piece of each seed. Default: another seed each time.
        temperature, top_k, top_p, min_p : number or mapping from field names to numbers, optional
            Above 0; at least 1 (1: always the likeliest); in (0, 1]; in [0, 1]. Applied in this order, behind the
            grammar. Defaults are the model's own, see `sampling`.
        min_beats, max_beats : int
            No end before the piece has `min_beats` beats (as far as the other limits allow); notes begin in the first
            `max_beats`. Default: the network's beats; no limit where `max_events` is more than the context.
        max_events : int, optional
            Of the whole piece, prompt and end included. Default: until the network's context is full; no limit where more
            beats are asked for than the network has, or a length is told.
        length : int, optional
            The number of beats that the model is told to write, from the beginning of the piece, for models whose representation
            tells lengths. The model ends the piece near there by itself; by default `max_beats` is 8 beats more.
        scale : str or sequence of pitch classes, optional
            "C major", "f# minor", "a harmonic minor", "D dorian", …, or pitch classes by name or number ("C,E,G").
        allow, exclude : pitch or sequence of pitches, optional
            Only these, and none of these: MIDI numbers, names (C4 is 60), spans ("C3..C6").
        ranges : bool or mapping from instruments to (lowest, highest) pitches
            True: each instrument keeps to what a real one can play (`mmt.representation.instrument_ranges`). A mapping
            such as {"violin": "G3..E6"} binds the instruments that it names.
        use_all : bool
            Each declared instrument plays. The end waits for it; who has not played becomes likelier by a quarter of a nat
            with every beat, and has at last one of the last moments or events to itself.
        grammar : "strict" or "paper"
            strict: every piece is valid (see `mmt.representation.grammar`). paper: type and beat never fall.
        sampling : "default" or "paper"
            paper: the authors' setting, top-k of 10 % of each field's codes, and their grammar.
        context : "anchor" or "slide"
            What the network sees of a piece that has grown beyond its context. anchor: the instruments and the last beats,
            counted anew, so that a piece may have any number of events and beats. slide: the last events alone, as in the
            original code; beats are counted on, and end with the network's.
        edit : mapping from places to functions, optional
            Changes inside the network while it writes, see `mmt.inside`: `edit=mmt.inside.ablate((2, 0))` silences a head.
        report : bool
            Whether to return the outcomes too.
        progress : bool
            Whether to show a bar.

        Returns
        -------
        pieces : list of ndarray of int64, (n_i, 6)
            Whole pieces, the prompt included. At a limit of length a piece is closed with end-of-song.
        outcomes : list of Outcome
            For each piece its seed, why it ended, and how many notes each instrument plays. Only if `report` is true.

        Raises
        ------
        ValueError
            If an argument is out of range, arguments contradict each other or leave nothing to sample, or the prompt breaks
            a rule.

        Notes
        -----
        Scale, pitches and ranges are exact, and bind new notes only: what the prompt holds stays as it is.

        Examples
        --------
        >>> model = new_model("tiny", seed=0)
        >>> pieces = model.generate(n=2, seed=1, max_events=32)
        >>> len(pieces), pieces[0].shape[1]
        (2, 6)
        """
        options = GenerationOptions(
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            min_beats=min_beats,
            max_beats=max_beats,
            max_events=max_events,
            length=length,
            scale=scale,
            allow=allow,
            exclude=exclude,
            ranges=ranges,
            use_all=use_all,
            grammar=grammar,
            sampling=sampling,
            context=context,
        )
        beginning, settings = options.resolve(prompt, self.network.config, self.representation, self.sampling)
        network = self.network if edit is None else edited(self.network, edit)
        streams = streams_of(n, seed)
        pieces = write_pieces(network, beginning, streams, progress=progress, **settings)
        if not report:
            return pieces
        limited = max_events is not None
        return pieces, outcomes_of(pieces, streams, settings["bounds"], self.representation, limited=limited)

    def stream(
        self,
        prompt: npt.ArrayLike | None = None,
        seed: int | None = None,
        *,
        temperature: PerField = None,
        top_k: PerField = None,
        top_p: PerField = None,
        min_p: PerField = None,
        min_beats: int = 0,
        max_beats: int | None = None,
        max_events: int | None = None,
        length: int | None = None,
        scale: Scale = None,
        allow: Pitches = None,
        exclude: Pitches = None,
        ranges: Ranges = False,
        use_all: bool = False,
        grammar: Literal["strict", "paper"] | None = None,
        sampling: Literal["default", "paper"] = "default",
        context: Literal["anchor", "slide"] = "anchor",
        edit: Edit | None = None,
        endless: bool = False,
    ) -> Iterator[Events]:
        """Write one piece, event by event: the new events of `generate` with the same arguments, each (6,).

        Parameters
        ----------
        endless : bool
            Forbid the end for as long as a limit that is given does not force it: without one, the piece goes on for ever.
        others
            As for `generate`.

        Examples
        --------
        >>> model = new_model("tiny", seed=0)
        >>> for event in model.stream(seed=1, max_events=8):
        ...     assert event.shape == (6,)
        """
        options = GenerationOptions(
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            min_beats=min_beats,
            max_beats=max_beats,
            max_events=max_events,
            length=length,
            scale=scale,
            allow=allow,
            exclude=exclude,
            ranges=ranges,
            use_all=use_all,
            grammar=grammar,
            sampling=sampling,
            context=context,
            endless=endless,
        )
        beginning, settings = options.resolve(prompt, self.network.config, self.representation, self.sampling)
        streams = streams_of(1, None if seed is None else seed_of(seed))
        network = self.network if edit is None else edited(self.network, edit)
        decoded = decode_events(network, beginning, streams, **settings)
        return (events[0] for _, events in decoded)


def write_pieces(
    network: Network, prompt: Events, streams: Sequence[Stream], *, progress: bool = False, **settings: Any
) -> list[Events]:
    """Go on from a prompt (n, 6), once for each stream, to whole pieces; `settings` are those of `decode_events`."""
    pieces: list[list[Events]] = [[np.asarray(prompt)] for _ in streams]
    max_events = settings["bounds"].max_events
    # The number of events is unknown where beats are the limit.
    most = None if max_events > 2**24 else (max_events - len(prompt)) * len(streams)
    with (
        tqdm(total=most, unit=" events", desc="Writing", disable=not progress, delay=1) as bar,
        telling_of_compiling(bar.set_description, "Writing"),
    ):
        for first in range(0, len(streams), _BATCH):
            batch = streams[first : first + _BATCH]
            for rows, events in decode_events(network, prompt, batch, **settings):
                for row, event in zip(rows, events, strict=True):
                    pieces[first + row].append(event[None])
                bar.update(len(rows))
        # Pieces that ended early are done too.
        bar.update((most or bar.n) - bar.n)
    return [np.concatenate(piece) for piece in pieces]


def load_model(
    path: str | os.PathLike[str] | None = None,
    *,
    device: str | torch.device = "cpu",
    weights: Literal["float32", "int8"] = "float32",
    arguments: Mapping[str, Any] | str | os.PathLike[str] | None = None,
) -> Model:
    """Load a model: the one that mmt ships, a checkpoint folder, or one of the original code's.

    Parameters
    ----------
    path : path, optional
        A checkpoint folder; a run folder of the original code, or a bare `.pt` file of it. Default: the shipped model,
        whose name is "default".
    device : str
        "auto" (a GPU where there is one), "cpu", "cuda", "mps".
    weights : "float32" or "int8"
        What it writes with, see `Model.to`.
    arguments : mapping or path, optional
        For a bare `.pt` file: what stands in its run's `train-args.json`, or that file. Weights with a table of positions
        need none.

    Returns
    -------
    Model
        float32, in eval mode.

    Raises
    ------
    FileNotFoundError
        If there is no checkpoint.
    ValueError
        If it is of another format version or corrupt; if `arguments` are needed, or given to a checkpoint folder of ours;
        if there are no int8 weights on this device.
    """
    path = shipped("checkpoints", "default") if path is None else find_checkpoint(path)
    if is_original_run(path):
        return Model(read_original_run(path, arguments)).to(device, weights=weights)
    if arguments is not None:
        raise ValueError(f"{path} is no run of the original code; its arguments stand in its own files, leave them out")
    return Model(read_checkpoint(path)).to(device, weights=weights)


def new_model(recipe: str | os.PathLike[str], *, seed: int = 0) -> Model:
    """An untrained model of a recipe's size, float32 and in eval mode.

    Parameters
    ----------
    recipe : str or path
        The name of a recipe that ships ("paper", "default", "full", "tiny"), or a YAML file.
    seed : int
        Of the random weights. The global random state is left as it was.

    Examples
    --------
    >>> new_model("paper")
    <Model of 19,944,950 parameters: 6 layers of 512, context 1024 events>
    """
    representation, config = parts_of(values := read_recipe(recipe))
    # The CPU's generator alone is seeded and put back: torch.manual_seed would reach the GPUs' too.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed_of(seed))
        network = Network(config)
    return Model(Checkpoint(network.eval(), representation, values.get("sampling") or {}))


def find_device(name: str | torch.device) -> torch.device:
    """The device of a name; "auto" takes a GPU where there is one.

    Raises
    ------
    ValueError
        If there is no such device here.
    """
    if str(name) == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    missing = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device {str(name)!r} is unknown; choose auto, cpu, cuda or mps") from error
    if missing.get(device.type, False):
        raise ValueError(f"device {str(name)!r} is not available here; use auto or cpu")
    return device
