"""A blind listening test: pairs of pieces in one offline HTML page, which saves the answers, and statistics of the answers.

    FOLDER/listening.html   the page for listeners; it names no model
    FOLDER/key.json         which side of each pair is whose; not for listeners

A pair is a piece of each of two models, or of a model and the real piece that the prompt was taken from. Both have the same
prompt, are cut to the same number of beats, and are played at the same tempo by the same recordings of the instruments. Sides and
order are drawn by the seed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from mmt.analysis.intervals import Mean, share_of
from mmt.analysis.modes import plan_pieces
from mmt.analysis.note_metrics import cut_notes
from mmt.analysis.report import REAL
from mmt.model.provenance import software
from mmt.music.atomic import replacing
from mmt.music.bounded import LARGEST_JSON, brief, parse_json, read_file
from mmt.representation.codes import Representation
from mmt.representation.decode import decode, notes_of_events
from mmt.representation.encode import events_of_notes

PAGE, KEY = "listening.html", "key.json"


class Side(NamedTuple):
    """The pieces of a model, or real pieces, in the order of the pairs."""

    name: str
    pieces: Sequence[npt.ArrayLike]


@dataclass(frozen=True)
class Preference:
    """How often each of two sides was preferred."""

    first: str
    second: str
    preferred_first: int
    preferred_second: int
    undecided: int
    listeners: int
    p: float | None
    """Of the two-sided binomial test of equal preference; None without a decision."""

    @property
    def share(self) -> Mean:
        """The share of the decisions that preferred the first side, with Wilson's interval."""
        return share_of([1] * self.preferred_first + [0] * self.preferred_second)

    def __str__(self) -> str:
        decided = self.preferred_first + self.preferred_second
        if not decided:
            return f"no preference was stated between {self.first} and {self.second}"
        text = (
            f"{self.first} was preferred to {self.second} in {self.preferred_first} of {decided} decisions: "
            f"{self.share.text(100, 0)} %, p = {self.p:.2g}; {self.undecided} without preference; listeners: {self.listeners}"
        )
        return text + ("; answers of several listeners to one pair are not independent" * (self.listeners > 1))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return vars(self) | {"share": self.share.to_dict()}


def make_listening_test(
    checkpoints: Sequence[str | os.PathLike[str] | None],
    corpus: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    split: str = "valid",
    only: Collection[str] | None = None,
    n: int = 12,
    mode: str = "4-beat continuation",
    beats: int = 32,
    seed: int = 0,
    max_events: int | None = None,
    sampling: Literal["default", "paper"] = "default",
    device: str = "cpu",
    progress: bool = False,
) -> Path:
    """Generate the pieces of one model or two, and write a listening test: of one, against the real pieces of its prompts.

    Parameters
    ----------
    checkpoints : sequence of one or two paths
        Checkpoint folders; None is the model that mmt ships.
    corpus, split, only, seed, max_events, sampling, device, progress
        As for `evaluate_models`. A stopped generation continues.
    folder : path
        The folder to write.
    n : int
        Number of pairs.
    mode : str
        One of `mmt.analysis.modes.MODES`.
    beats : int
        The most beats that are heard of a piece, prompt included.
    """
    if len(checkpoints) not in (1, 2):
        raise ValueError(f"{len(checkpoints)} checkpoints were given; a listening test takes one or two")
    if beats < 1 or n < 1:
        raise ValueError(f"beats is {beats} and n is {n}; both must be at least 1")
    plan = plan_pieces(
        checkpoints, corpus, split=split, only=only, n=n, modes=[mode], seed=seed, max_events=max_events,
        sampling=sampling, device=device,
    )  # fmt: skip
    sides = [Side(name, plan.generate(name, mode, Path(folder) / "work", progress).pieces) for name in plan.models]
    if len(sides) == 1:
        sides.append(Side(REAL, [plan.real[index] for index in plan.sources]))
    stored = ("corpus", "corpus_sha256", "split", "mode", "max_events", "sampling", "models")
    known = plan.settings | {"mode": mode}
    settings = {name: known[name] for name in stored}
    representation = next(iter(plan.models.values())).representation
    return write_listening_test(
        folder, *sides, representation=representation, seed=seed, beats=beats, settings=settings
    )


def write_listening_test(
    folder: str | os.PathLike[str],
    first: Side,
    second: Side,
    *,
    representation: Representation,
    seed: int,
    beats: int = 32,
    settings: dict[str, Any] | None = None,
) -> Path:
    """Write the page and its key into a folder; returns the path of the page.

    Parameters
    ----------
    first, second : Side
        Piece i of both makes a pair.
    representation : Representation
        Of all pieces.
    seed, beats : int
        Seed of the order of the pairs and sides; and the most beats of a piece: both of a pair are cut to the shorter one.
    settings : dict, optional
        Stored in the key too, such as corpus and mode.

    Raises
    ------
    ValueError
        If there are no pairs, or the sides have different numbers of pieces.
    """
    from mmt.music.page.html_page import asset, script

    if not len(first.pieces) or len(first.pieces) != len(second.pieces):
        raise ValueError(
            f"{first.name} has {len(first.pieces)} pieces and {second.name} {len(second.pieces)}; "
            "give as many for both, at least 1"
        )
    random = np.random.default_rng(seed)
    pairs, key = [], []
    for number in random.permutation(len(first.pieces)).tolist():
        sides = [(side.name, _notes(side.pieces[number], representation)) for side in (first, second)]
        if random.random() < 0.5:
            sides.reverse()
        length = min(beats, *(int(notes["beat"].max(initial=0)) + 1 for _, notes in sides))
        pairs.append([_song(cut_notes(notes, length, representation.resolution), representation) for _, notes in sides])
        key.append({"piece": number, "beats": length, "A": sides[0][0], "B": sides[1][0]})
    study = f"{np.random.default_rng([seed, len(key)]).integers(2**32):08x}"
    text = Template((resources.files("mmt.analysis") / PAGE).read_text(encoding="utf-8")).substitute(
        style=asset("page.css"),
        script=script(("song.js", "player.js")),
        pairs=json.dumps({"study": study, "pairs": pairs}, separators=(",", ":")).replace("<", "\\u003c"),
    )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    described = {"study": study, "first": first.name, "second": second.name, "seed": seed, "software": software()}
    described |= {"settings": settings or {}, "pairs": key}
    # Both are written before either replaces an earlier one: a page needs its own key.
    with replacing(folder / KEY) as new_key, replacing(folder / PAGE) as new_page:
        new_key.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
        new_page.write_text(text, encoding="utf-8")
    return folder / PAGE


def read_answers(answers: Iterable[str | os.PathLike[str]], key: str | os.PathLike[str]) -> Preference:
    """Count the answers of listeners, a file for each, with the key of the test.

    Raises
    ------
    ValueError
        If a file holds no answers, or those of another test.
    """
    from scipy.stats import binomtest

    first, second, study, pairs = _read_key(Path(key))
    counts: dict[str | None, int] = {first: 0, second: 0, None: 0}
    files = [Path(path) for path in answers]
    for path in files:
        for pair, choice in _choices(path, study, len(pairs)):
            counts[pairs[pair][choice] if choice in ("A", "B") else None] += 1
    decided = counts[first] + counts[second]
    p = float(binomtest(counts[first], decided).pvalue) if decided else None
    return Preference(first, second, counts[first], counts[second], counts[None], len(files), p)


def _read_key(path: Path) -> tuple[str, str, str, list[dict[str, str]]]:
    """The names of the two sides, the study, and which side is A and B of each pair."""
    try:
        known = parse_json(read_file(path, LARGEST_JSON))
        first, second, study = (str(known[name]) for name in ("first", "second", "study"))
        pairs = [{letter: pair[letter] for letter in "AB"} for pair in known["pairs"]]
        if any(sorted(pair.values()) != sorted((first, second)) for pair in pairs):
            raise ValueError("a pair does not have the two sides")
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is not the key of a listening test ({brief(error)})") from error
    return first, second, study, pairs


def _choices(path: Path, study: str, pairs: int) -> list[tuple[int, str]]:
    """The number of each answered pair, and "A", "B" or "none"."""
    try:
        given = parse_json(read_file(path, LARGEST_JSON))
        chosen = [(answer["pair"], answer["choice"]) for answer in given["answers"] if answer["choice"] is not None]
        of = given["study"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} holds no answers of a listening test; give the file that its page saved") from error
    if of != study:
        raise ValueError(
            f"{path} holds answers of test {brief(of)!r}, but the key is of test {study!r}; give the folder of that test"
        )
    numbers = [pair for pair, _ in chosen]
    possible = all(
        type(pair) is int and pair in range(pairs) and choice in ("A", "B", "none") for pair, choice in chosen
    )
    if not possible or len(set(numbers)) < len(numbers):
        raise ValueError(f"{path} has answers that the page cannot give; give the file as the page saved it")
    return chosen


def _notes(piece: npt.ArrayLike, representation: Representation) -> npt.NDArray[Any]:
    """The notes of a piece, from its first beat on, with silence before removed."""
    notes = notes_of_events(np.asarray(piece), representation)
    if len(notes):
        notes["beat"] -= notes["beat"].min()
    return notes


def _song(notes: npt.NDArray[Any], representation: Representation) -> dict[str, Any]:
    """Notes as data of the player, at tempo 100, velocity 64 and without title."""
    from mmt.music.page.song import add_recordings, song

    music = decode(events_of_notes(notes, representation), representation=representation)
    return add_recordings(song(music), music)
