"""Edit a piece: hold a part of it, and let a model write the rest.

Each function takes a model and a piece (n, 6), and returns a list of new pieces, one for n=1 too. What is held stays
exactly; what is new is drawn from left to right, each event knowing what comes before it in time. `fill` and `accompany` write
several candidates, and look at what follows. Piece i draws from its own random stream (seed, i).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from mmt.representation.codes import BEAT, DURATION, INSTRUMENT, NOTE, PITCH, POSITION, TYPE, Events, Representation
from mmt.representation.encode import canonical
from mmt.representation.instruments import DRUMS
from mmt.sampling.accompaniment import write_around
from mmt.sampling.controls import Controls, Pitches, Ranges, Scale
from mmt.sampling.filling import fill as fill
from mmt.sampling.filters import PerField
from mmt.sampling.grammar import Bounds
from mmt.sampling.held import Harmoniser, Moment, Orchestrator, write_held
from mmt.sampling.model import Model
from mmt.sampling.options import GenerationOptions
from mmt.sampling.parts import (
    MOST_IN_A_BEAT,
    Names,
    check_candidates,
    check_plays,
    codes_of,
    frame_for,
    frame_of,
    notes_of,
)
from mmt.sampling.rewriting import rewrite as rewrite
from mmt.sampling.streams import streams_of


@dataclass(frozen=True)
class Orchestration:
    """What became of the notes of a piece that was orchestrated anew."""

    notes: int
    """Of the piece that was given, without drums."""
    kept: int
    lost_doubles: int
    """Notes of unisons that have more notes than there are instruments which can play them."""

    def __str__(self) -> str:
        lost = f"; lost: {self.lost_doubles:,} doubles in unisons of more notes than instruments"
        return f"{self.kept:,} of {self.notes:,} notes kept{lost if self.lost_doubles else ''}"


@overload
def reorchestrate(
    model: Model, piece: npt.ArrayLike, instruments: Names, *, report: Literal[True], n: int = ..., seed: int | None = ...,
    temperature: PerField = ..., top_k: PerField = ..., top_p: PerField = ..., min_p: PerField = ..., ranges: Ranges = ...,
    progress: bool = ...,
) -> tuple[list[Events], Orchestration]: ...  # fmt: skip
@overload
def reorchestrate(
    model: Model, piece: npt.ArrayLike, instruments: Names, *, report: Literal[False] = ..., n: int = ..., seed: int | None = ...,
    temperature: PerField = ..., top_k: PerField = ..., top_p: PerField = ..., min_p: PerField = ..., ranges: Ranges = ...,
    progress: bool = ...,
) -> list[Events]: ...  # fmt: skip
def reorchestrate(
    model: Model,
    piece: npt.ArrayLike,
    instruments: Names,
    *,
    n: int = 1,
    seed: int | None = None,
    temperature: PerField = None,
    top_k: PerField = None,
    top_p: PerField = None,
    min_p: PerField = None,
    ranges: Ranges = False,
    report: bool = False,
    progress: bool = False,
) -> list[Events] | tuple[list[Events], Orchestration]:
    """Keep the notes of a piece, and give them to other instruments.

    Parameters
    ----------
    piece : array_like of int, (n, 6)
    instruments : sequence of str or int
        Who may play: names or MIDI program numbers.
    n, seed, temperature, top_k, top_p, min_p, ranges, progress
        As for `Model.generate`.
    report : bool
        Whether to return an `Orchestration` too. Where several instruments play one note in unison and fewer can play it now,
        the rest are lost.

    Raises
    ------
    ValueError
        If an instrument is unknown or the drums, or no one may play a note.

    Notes
    -----
    Drums keep their notes and get no others.

    Examples
    --------
    >>> from mmt.sampling.model import new_model
    >>> model = new_model("tiny", seed=0)
    >>> piece = model.generate(seed=1, max_events=16)[0]
    >>> anew = reorchestrate(model, piece, ["flute", "oboe"], seed=0)[0]
    >>> anew[1:3, INSTRUMENT].tolist(), set(anew[4:-1, INSTRUMENT].tolist()) <= {45, 50}
    ([45, 50], True)
    """
    representation = model.representation
    opening = frame_for(instruments, representation)
    codes = codes_of(opening)
    notes = notes_of(piece, representation)
    drums = notes[notes[:, INSTRUMENT] == representation.drums_code]
    notes = notes[notes[:, INSTRUMENT] != representation.drums_code]
    if representation.drums_code in codes or not len(notes):
        raise ValueError(
            "drums keep their notes and get no others; name other instruments, and give a piece with other notes"
        )
    players = np.zeros((representation.sizes[PITCH], representation.sizes[INSTRUMENT]), bool)
    players[1:, codes] = True
    controls = Controls.of(representation, ranges=ranges)
    if controls.playable is not None:
        players &= controls.playable
    unheard = notes[~players[notes[:, PITCH]].any(axis=1)]
    if len(unheard):
        beat, pitch = unheard[0, BEAT] - 1, unheard[0, PITCH] - 1
        raise ValueError(
            f"none of the instruments may play pitch {pitch} (beat {beat}; {len(unheard)} such notes); add one that can"
        )
    places, counts = np.unique(notes[:, BEAT:INSTRUMENT], axis=0, return_counts=True)
    kept = np.minimum(counts, players[places[:, PITCH - BEAT]].sum(axis=1))
    groups = [(tuple(place), count) for place, count in zip(places.tolist(), kept.tolist(), strict=True)]
    filters = GenerationOptions(temperature, top_k, top_p, min_p).filters(model.sampling)
    writers = [Orchestrator(stream, groups, players, filters) for stream in streams_of(n, seed)]
    pieces = write_held(model.network, opening, writers, _bounds(opening, int(kept.sum()), notes), progress=progress)
    if len(drums):
        header = frame_for([*(representation.names[code - 1] for code in codes), DRUMS], representation)
        pieces = [_with_notes(header, one, drums, representation) for one in pieces]
    return (pieces, Orchestration(len(notes), int(kept.sum()), int((counts - kept).sum()))) if report else pieces


def reharmonise(
    model: Model,
    piece: npt.ArrayLike,
    instrument: str | int,
    *,
    n: int = 1,
    seed: int | None = None,
    temperature: PerField = None,
    top_k: PerField = None,
    top_p: PerField = None,
    min_p: PerField = None,
    scale: Scale = None,
    allow: Pitches = None,
    exclude: Pitches = None,
    ranges: Ranges = False,
    progress: bool = False,
) -> list[Events]:
    """Keep a piece but for the pitches of one instrument, whose rhythm stays.

    The new part fits what it has heard, nearly as well as the old one did. But it does not know what the others play next, and
    they, who were written for the old pitches, fit it little better than random ones (`benchmarks/editing.md`).

    Parameters
    ----------
    piece : array_like of int, (n, 6)
    instrument : str or int
        One that plays in the piece.
    n, seed, temperature, top_k, top_p, min_p, scale, allow, exclude, ranges, progress
        As for `Model.generate`.

    Raises
    ------
    ValueError
        If the instrument does not play in the piece, or fewer pitches are left to it than it plays at once.

    Examples
    --------
    >>> from mmt.representation.prompt import instruments
    >>> from mmt.sampling.model import new_model
    >>> model = new_model("tiny", seed=0)
    >>> piece = model.generate(instruments("violin", "cello"), seed=2, max_events=16, use_all=True)[0]
    >>> len(reharmonise(model, piece, "cello", seed=0, scale="C major")[0]) == len(piece)
    True
    """
    representation = model.representation
    notes, code = notes_of(piece, representation), representation.find_instrument(instrument)
    if code == representation.drums_code:
        raise ValueError("drums have no pitches to write anew; name another instrument, or use rewrite")
    own = notes[:, INSTRUMENT] == code
    check_plays(own, code, representation)
    controls = Controls.of(representation, scale=scale, allow=allow, exclude=exclude, ranges=ranges)
    controls.check_instruments([code], representation, no_others=True)
    pitches = np.arange(1, representation.sizes[PITCH])
    pitches = pitches if controls.playable is None else np.flatnonzero(controls.playable[:, code])
    moments: dict[tuple[int, int], Moment] = {}
    for note, free in zip(notes.tolist(), own.tolist(), strict=True):
        moment = moments.setdefault((note[BEAT], note[POSITION]), Moment([], []))
        if free:
            moment.durations.append(note[DURATION])
        else:
            moment.held.append(tuple(note[PITCH:]))
    most = max(len(moment.durations) for moment in moments.values())
    if len(pitches) < most:
        raise ValueError(
            f"{representation.names[code - 1]} plays {most} notes at once, but {controls.given} leaves it {len(pitches)} pitches"
        )
    opening = frame_of(piece, representation)
    filters = GenerationOptions(temperature, top_k, top_p, min_p).filters(model.sampling)
    writers = [Harmoniser(stream, moments, code, pitches, filters) for stream in streams_of(n, seed)]
    return write_held(model.network, opening, writers, _bounds(opening, len(notes), notes), progress=progress)


def accompany(
    model: Model,
    piece: npt.ArrayLike,
    hold: str | int | Names,
    instruments: Names | None = None,
    *,
    n: int = 1,
    seed: int | None = None,
    candidates: int = 16,
    temperature: PerField = None,
    top_k: PerField = None,
    top_p: PerField = None,
    min_p: PerField = None,
    scale: Scale = None,
    allow: Pitches = None,
    exclude: Pitches = None,
    ranges: Ranges = False,
    progress: bool = False,
) -> list[Events]:
    """Hold the parts of one or several instruments, and write others around them.

    Each beat is written several times, and one is drawn by how well the held notes of the beat fit in. The accompaniment
    does not know the held notes of later beats, and ends with the beat of the last. `mmt.sampling.accompaniment` says what
    distribution this is.

    Parameters
    ----------
    piece : array_like of int, (n, 6)
        Of which only the notes of `hold` are taken.
    hold : str, int or sequence of them
        Instruments of the piece.
    instruments : sequence of str or int, optional
        Who accompanies. Default: the other instruments of the piece.
    candidates : int
        How often each beat is written. 1 follows the held part; the more, the better it fits, and the longer it takes.
    n, seed, temperature, top_k, top_p, min_p, scale, allow, exclude, ranges, progress
        As for `Model.generate`; they bind new notes.

    Raises
    ------
    ValueError
        If a held instrument does not play in the piece or is to accompany too, or no one is left to accompany.

    Examples
    --------
    >>> from mmt.sampling.model import new_model
    >>> model = new_model("tiny", seed=0)
    >>> melody = [[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 25], [2, 0, 0, 0, 0, 0], [3, 1, 1, 73, 12, 25], [3, 2, 1, 75, 12, 25]]
    >>> both = accompany(model, melody, hold="violin", instruments=["cello"], seed=0)[0]
    >>> both[both[:, INSTRUMENT] == 25][1:].tolist() == melody[3:]
    True
    """
    representation = model.representation
    notes = notes_of(piece, representation)
    held = [representation.find_instrument(name) for name in ([hold] if isinstance(hold, str | int) else hold)]
    for code in held:
        check_plays(notes[:, INSTRUMENT] == code, code, representation)
    others = set(notes[:, INSTRUMENT].tolist()) - set(held)
    if instruments is not None:
        others = set(codes_of(frame_for(instruments, representation)))
    if not others or others & set(held):
        raise ValueError("name instruments to accompany, other than those that are held")
    check_candidates(candidates)
    controls = Controls.of(representation, scale=scale, allow=allow, exclude=exclude, ranges=ranges)
    controls.check_instruments(others, representation, no_others=True)
    opening = frame_for([representation.names[code - 1] for code in (*held, *others)], representation)
    kept = notes[np.isin(notes[:, INSTRUMENT], held)]
    beats = int(kept[-1, BEAT])
    bounds = Bounds(len(opening) + len(kept) + MOST_IN_A_BEAT * beats, beats, controls=controls)
    filters = GenerationOptions(temperature, top_k, top_p, min_p).filters(model.sampling)
    return [
        write_around(
            model.network,
            opening,
            kept,
            stream,
            candidates=candidates,
            filters=filters,
            bounds=bounds,
            progress=progress,
        )
        for stream in streams_of(n, seed)
    ]


def _with_notes(opening: Events, piece: Events, others: Events, representation: Representation) -> Events:
    """The piece with other notes (n, 6) added, and this opening."""
    notes = canonical(np.concatenate([piece[piece[:, TYPE] == NOTE], others]), representation)
    return np.concatenate([opening, notes, piece[-1:]])


def _bounds(opening: Events, notes: int, held: Events) -> Bounds:
    return Bounds(len(opening) + notes + 1, int(held[-1, BEAT]))
