"""Accompany held parts of a piece: write other parts around them, and choose among candidates beat by beat.

Within a beat, the network's next event is drawn. If it sorts after the next held note, the held note comes next. A drawn note of
a held instrument is discarded, and the next event is drawn after it. So the other instruments keep the rates that the network
has for them, regardless of what it expects of the held instruments (thinning of a point process).

Thinning alone would write a bass that does not depend on the melody above it. So each beat is written several times, and
one candidate is drawn by its weight: the likelihood that the network gives to the pitches, durations and instruments of the
held notes at their moments (importance resampling). Held notes of later beats are not considered.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Unpack

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from mmt.model.cpu.packing import pack
from mmt.model.network import Network
from mmt.representation.arguments import whole
from mmt.representation.codes import (
    BEAT,
    DURATION,
    END_OF_SONG,
    FIELDS,
    INSTRUMENT,
    PITCH,
    TYPE,
    Events,
    Representation,
)
from mmt.representation.origin import remember
from mmt.sampling.decoding import draw_event
from mmt.sampling.editing.constrained_decoding import Codes, in_window, log_likelihood, rows_in_window
from mmt.sampling.editing.parts import (
    END,
    MAX_NOTES_PER_BEAT,
    EditOptions,
    Names,
    check_header_fits,
    check_plays,
    check_span,
    codes_for,
    header_for,
    settings_of,
    split,
)
from mmt.sampling.filters import Filters
from mmt.sampling.grammar import Bounds, StrictGrammar
from mmt.sampling.model import Model
from mmt.sampling.streams import Stream, generator_of
from mmt.sampling.window import AnchoredWindow


def accompany(
    model: Model,
    piece: npt.ArrayLike,
    hold: Names,
    instruments: Names | None = None,
    *,
    beats: tuple[int, int] | None = None,
    candidates: int = 16,
    **options: Unpack[EditOptions],
) -> list[Events]:
    """Keep the parts of one or several instruments, and write other parts around them.

    Parameters
    ----------
    piece : array_like of int, (n, 6)
        Only the notes of `hold` are read, and with `beats` those of the accompanying instruments in other beats.
    hold : str, int or sequence of them
        Instruments of the piece.
    instruments : sequence of str or int, optional
        The accompanying instruments. Default: the other instruments of the piece.
    beats : (int, int), optional
        The first beat to write and the beat after the last, from 0; other beats stay. Default: to the beat of the last held note.
    candidates : int
        How many times each beat is written; one is drawn by how well it fits the held notes of this beat. More candidates fit
        better and take longer. With 1, the held notes of a beat do not change what is written in it.
    **options
        See `mmt.sampling.editing.parts.EditOptions`.

    Raises
    ------
    ValueError
        If a held instrument does not play in the piece or is also to accompany, or if no instrument is left to accompany.

    Examples
    --------
    >>> from mmt.sampling.model import new_model
    >>> model = new_model("tiny", seed=0)
    >>> melody = [[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 25], [2, 0, 0, 0, 0, 0], [3, 1, 1, 73, 12, 25], [3, 2, 1, 75, 12, 25]]
    >>> both = accompany(model, melody, hold="violin", instruments=["cello"], seed=0)[0]
    >>> both[both[:, INSTRUMENT] == 25][1:].tolist() == melody[3:]
    True
    """
    _, notes = split(model, piece)
    representation = model.representation
    hold_codes, others = _parts(notes, hold, instruments, representation)
    whole("candidates", candidates, least=1)
    streams, filters, controls, progress = settings_of(model, options)
    controls.check_instruments(others, representation, no_others=True)
    header = header_for([*hold_codes, *others], representation)
    check_header_fits(header, model.network.config.context)
    held, kept = (notes[np.isin(notes[:, INSTRUMENT], codes)] for codes in (hold_codes, hold_codes + others))
    first, stop = check_span(beats, int((held if beats is None else kept)[-1, BEAT]))
    beginning = np.concatenate([header, kept[kept[:, BEAT] <= first]])
    held = held[(held[:, BEAT] > first) & (held[:, BEAT] <= stop)]
    end = np.concatenate([kept[kept[:, BEAT] > stop] if beats else kept[:0], END])
    most = len(beginning) + len(held) + MAX_NOTES_PER_BEAT * (stop - first)
    bounds = Bounds(most, stop, first_beat=first, controls=controls)
    writer = _Accompanist(pack(model.network), held, hold_codes, candidates, filters, bounds)
    pieces = (np.concatenate([writer.write(beginning, one, progress=progress), end]) for one in streams)
    return [remember(piece, representation) for piece in pieces]


def _parts(
    notes: Events, hold: Names, instruments: Names | None, representation: Representation
) -> tuple[list[int], list[int]]:
    """The codes of the held instruments and of those that accompany them, checked."""
    held = codes_for(hold, representation)
    for code in held:
        check_plays(notes, code, representation)
    if instruments is None:
        others = sorted(set(notes[:, INSTRUMENT].tolist()) - set(held))
    else:
        others = codes_for(instruments, representation)
    if not others or set(others) & set(held):
        raise ValueError("name instruments to accompany, other than those that are held")
    return held, others


@dataclass
class _Candidate:
    """One version of a beat."""

    events: list[Codes] = field(default_factory=list)
    held: int = 0
    """The number of held notes among the events."""
    weight: float = 0.0
    """Log-likelihood of these held notes, in nats."""


@dataclass(frozen=True)
class _Accompanist:
    """Writes all held notes (n, 6), and new notes of the other instruments that the header declares."""

    network: Network
    held: Events
    hold_codes: Collection[int]
    """Codes of the instruments that play only held notes."""
    candidates: int
    filters: Filters
    bounds: Bounds

    @torch.inference_mode()
    def write(self, beginning: Events, stream: Stream, *, progress: bool) -> Events:
        """Write one piece, without its end, after a beginning."""
        piece, generator = np.asarray(beginning), generator_of(stream)
        beats = range(self.bounds.first_beat + 1, self.bounds.max_beats + 1)
        for beat in tqdm(beats, unit=" beats", desc="Writing", disable=not progress, delay=1):
            written = self._write_beat(piece, beat, generator)
            weights = np.exp(np.array([one.weight for one in written]) - max(one.weight for one in written))
            uniform = generator.random((1, 1), dtype=np.float32).item()
            chosen = written[int(np.searchsorted(np.cumsum(weights) / weights.sum(), uniform))]
            if chosen.events:
                piece = np.concatenate([piece, np.array(chosen.events, np.int64)])
        return piece

    def _write_beat(self, piece: Events, beat: int, generator: np.random.Generator) -> list[_Candidate]:
        """All candidates for a beat (code) after a piece."""
        bounds = replace(self.bounds, first_beat=beat - 1)
        held: list[Codes] = [tuple(note) for note in self.held[self.held[:, BEAT] == beat].tolist()]
        window = AnchoredWindow(self.network, self.candidates, bounds)
        rules = StrictGrammar([piece] * self.candidates, self.network.config.sizes, bounds)
        written = [_Candidate() for _ in range(self.candidates)]
        going = list(written)
        latest: Events | Sequence[Events] = [piece] * self.candidates
        while going:
            hidden, moved = window.read(latest)
            if moved is not None:
                rules.drop_beats(moved)
            dropped = window.dropped.tolist()
            nexts = [held[one.held] if one.held < len(held) else None for one in going]
            drawn = self._draw(hidden, rules, generator, nexts, dropped)
            stays: list[int] = []
            for place, (one, event) in enumerate(zip(going, drawn, strict=True)):
                if event is None or event[BEAT] > beat:
                    continue
                if event == nexts[place]:
                    one.held += 1
                    one.weight += self._log_likelihood(hidden[place : place + 1], event, dropped[place])
                one.events.append(event)
                stays.append(place)
            if not stays:
                break
            going = [going[place] for place in stays]
            rules.keep(stays)
            window.keep(stays)
            seen = np.array(
                [in_window(one.events[-1], dropped[place]) for one, place in zip(going, stays, strict=True)]
            )
            rules.advance(seen)
            latest = seen[:, None]
        return written

    def _draw(
        self,
        hidden: Tensor,
        rules: StrictGrammar,
        generator: np.random.Generator,
        nexts: list[Codes | None],
        dropped: list[int],
    ) -> list[Codes | None]:
        """The next event of each candidate: a new note, or its next held note, or None at the end of the beat.

        `nexts` are the next held notes; `dropped` are the beats before each candidate's window.
        """
        chosen = list(nexts)
        pending = set(range(len(nexts)))
        while pending:
            uniform = generator.random((len(nexts), len(FIELDS)), dtype=np.float32)
            drawn = draw_event(self.network.heads, hidden, rules, self.filters, uniform)
            for place in sorted(pending):
                row = drawn[place].tolist()
                event, held = (row[TYPE], row[BEAT] + dropped[place], *row[BEAT + 1 :]), nexts[place]
                if row[TYPE] == END_OF_SONG or (held is not None and event >= held):
                    pending.remove(place)
                elif event[INSTRUMENT] not in self.hold_codes:
                    chosen[place] = event
                    pending.remove(place)
                else:
                    # Discard the note; the next draw must sort after it.
                    rules.pass_by(place, drawn[place, BEAT:])
        return chosen

    def _log_likelihood(self, hidden: Tensor, event: Codes, dropped: int) -> float:
        """Log-likelihood in nats of a held note's pitch, duration and instrument at its moment."""
        rows = rows_in_window([event], dropped, self.network.heads, hidden)
        return sum(
            float(log_likelihood(self.network.heads, hidden, rows, one)) for one in (PITCH, DURATION, INSTRUMENT)
        )
