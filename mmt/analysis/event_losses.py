"""The loss and the entropy of every field of every event of a piece: how surprising each note is, and how open each place was.

In music psychology the loss is called information content. Both are in nats. Windows, targets and sums are those of
`mmt.likelihood.measure`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from mmt.analysis.intervals import Floats
from mmt.analysis.loss_windows import find_stride, loss_windows
from mmt.analysis.note_metrics import onsets
from mmt.analysis.pieces import Pieces, named_pieces
from mmt.music.files import read
from mmt.representation.codes import BEAT, FIELDS, GIVEN_NOTE, INSTRUMENT, NOTE, PAPER, TYPE, Events, Representation
from mmt.representation.decode import decode, notes_of_events
from mmt.representation.encode import encode
from mmt.representation.grammar import check_piece
from mmt.sampling.grammar import Bounds, StrictGrammar
from mmt.sampling.model import Model, check_model
from mmt.sampling.next_event import marginals
from mmt.training.loss import counted_targets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Distribution = Literal["conditional", "marginal", "masked"]
_UNBOUNDED = 2**30


@dataclass(frozen=True)
class EventLosses:
    """Nats and entropy of each field of each event of a piece, both (n, 6); NaN where a field carries no information."""

    events: Events
    """The piece, (n, 6)."""
    nats: Floats
    """Minus the logarithm of the probability of the code that is there."""
    entropy: Floats
    """The expected value of `nats` under the model's distribution."""

    @property
    def per_event(self) -> Floats:
        """The summed nats of each event, (n,); 0 for start-of-song."""
        return np.asarray(np.nansum(self.nats, axis=1))

    def by_beat(self, instrument: str | None = None, *, representation: Representation = PAPER) -> Floats:
        """Mean nats of the notes of each beat, (beats,), of one instrument or of all; NaN for beats without such a note.

        Raises
        ------
        ValueError
            If the representation has no instrument of that name.
        """
        notes, count = self.events[:, TYPE] == NOTE, int(self.events[:, BEAT].max())
        if instrument is not None:
            if instrument not in (names := representation.names):
                raise ValueError(f"there is no instrument {instrument!r}; choose among {', '.join(names)}")
            notes &= self.events[:, INSTRUMENT] == 1 + representation.names.index(instrument)
        beats = self.events[notes, BEAT] - 1
        totals, numbers = np.bincount(beats, self.per_event[notes], count), np.bincount(beats, minlength=count)
        return np.asarray(np.divide(totals, numbers, out=np.full(count, np.nan), where=numbers > 0))

    def by_part(self, representation: Representation = PAPER) -> dict[str, float]:
        """Mean nats of the notes of each instrument that plays, by name."""
        notes = self.events[:, TYPE] == NOTE
        return {
            representation.names[code - 1]: float(self.per_event[notes & (self.events[:, INSTRUMENT] == code)].mean())
            for code in np.unique(self.events[notes, INSTRUMENT]).tolist()
        }

    def draw(self, model: Model, axes: Axes | None = None) -> Figure:
        """Draw the piano roll with a dot at each onset, darker where the note is more surprising, and the mean of each beat.

        The representation of `model` decodes the events. The piano roll is drawn into `axes`; default: a new figure.
        """
        from mmt.music.pictures import piano_roll

        representation = model.representation
        figure = piano_roll(decode(self.events, representation=representation), axes)
        axes = figure.axes[0] if axes is None else axes
        notes = (self.events[:, TYPE] == NOTE) & (self.events[:, INSTRUMENT] != representation.drums_code)
        shown, nats, beats = notes_of_events(self.events[notes], representation), self.per_event[notes], self.by_beat()
        onset = onsets(shown, representation.resolution) / representation.resolution
        dots = axes.scatter(onset, shown["pitch"], c=nats, cmap="inferno_r", s=14, zorder=6, vmin=0)
        figure.colorbar(dots, ax=axes, label="nats", location="bottom", fraction=0.05, pad=0.14)
        means = axes.twinx()
        means.step(np.arange(len(beats)), beats, where="post", color="#2b2b33", linewidth=1, alpha=0.6)
        means.set(ylabel="mean nats of the notes of a beat", ylim=(0, None))
        return figure


def events(
    model: Model,
    pieces: Pieces | str | PathLike[str],
    *,
    distribution: Distribution = "conditional",
    stride: int | None = None,
    progress: bool = False,
) -> list[EventLosses]:
    """Compute the nats and the entropy of each field of each event, for each of some pieces of any length.

    Parameters
    ----------
    model : Model
    pieces : piece, sequence of pieces, path or Corpus
        Pieces are arrays (n, 6) that begin with start-of-song, without given notes. A path is a music file.
    distribution : str
        "conditional": each field given the earlier fields of its event, as in training; the sums are those of `measure`.
        "marginal": each field given the past events only (see `mmt.sampling.next_event`; slower).
        "masked": conditional, with the codes that the strict grammar forbids removed, and weighted by its lookahead, as in
        sampling without filters and limits.
    stride, progress
        As for `mmt.likelihood.measure`.

    Raises
    ------
    ValueError
        If the distribution or the stride is unknown, or the model cannot read a piece.

    Examples
    --------
    >>> import mmt
    >>> model = mmt.new_model("tiny", seed=0)
    >>> [piece] = model.generate(mmt.prompt.instruments("violin"), seed=1, max_events=16)
    >>> [found] = events(model, piece)
    >>> found.nats.shape == found.entropy.shape == piece.shape
    True
    """
    if distribution not in get_args(Distribution):
        raise ValueError(f"distribution is {distribution!r}; choose one of {', '.join(get_args(Distribution))}")
    check_model(model)
    stride = find_stride(model, stride)
    if isinstance(pieces, str | PathLike):
        piece = encode(read(pieces), representation=model.representation)
        return [_event_losses(model, piece, fspath(pieces), distribution, stride)]
    names, found = named_pieces(model, pieces, lambda piece: _checked(model, piece))
    bar = tqdm(found, unit=" pieces", desc="Event losses", disable=not progress, delay=1)
    return [_event_losses(model, piece, name, distribution, stride) for name, piece in zip(names, bar, strict=True)]


def _checked(model: Model, piece: npt.ArrayLike) -> Events:
    events = check_piece(piece, complete=False, representation=model.representation)
    if not (events[:, TYPE] == NOTE).any() or (events[:, TYPE] == GIVEN_NOTE).any():
        raise ValueError("it must have notes, and none of them given; see mmt.prompt.plain")
    return events


@torch.inference_mode()
def _event_losses(model: Model, piece: Events, name: str, distribution: Distribution, stride: int) -> EventLosses:
    nats, entropy = np.full((2, len(piece), len(FIELDS)), np.nan)
    for window, row in loss_windows(model, piece, stride, name):
        codes = torch.from_numpy(row)[None].to(model.device)
        hidden = model.network.hidden(codes[:, :-1])[0]
        skipped = max(window.read_before - 1, 0)
        counted = counted_targets(codes, torch.tensor([len(row)], device=model.device))[0, skipped:] >= 0
        found = _DISTRIBUTIONS[distribution](model, hidden, row, skipped)
        index = window.indices(np.arange(skipped + 1, len(row)))
        for field, logarithms in enumerate(found):
            targets = codes[0, skipped + 1 :, field, None]
            shares = logarithms.exp()
            of_field = counted[:, field].cpu().numpy()
            nats[index[of_field], field] = -logarithms.gather(1, targets)[:, 0].cpu().numpy()[of_field]
            terms = torch.where(shares > 0, shares * logarithms, 0.0)
            entropy[index[of_field], field] = -terms.sum(1).cpu().numpy()[of_field]
    return EventLosses(piece, nats, entropy)


def _conditional(model: Model, hidden: Tensor, row: Events, skipped: int) -> list[Tensor]:
    """The log-probabilities of each field, (targets, size), of the events of a window after the first `skipped` targets."""
    targets = torch.from_numpy(row[1:]).to(hidden.device)
    return [logits[skipped:].double().log_softmax(-1) for logits in model.network.heads(hidden, targets)]


def _marginal(model: Model, hidden: Tensor, row: Events, skipped: int) -> list[Tensor]:
    """As `_conditional`, for the marginal distribution of each field."""
    heads: Any = model.network.heads
    if not heads.reads_earlier_fields:
        return _conditional(model, hidden, row, skipped)
    found = [marginals(heads, one) for one in hidden[skipped:]]
    return [torch.stack(shares).log() for shares in zip(*found, strict=True)]


def _masked(model: Model, hidden: Tensor, row: Events, skipped: int) -> list[Tensor]:
    """As `_conditional`, with the masks and the lookahead of the strict grammar."""
    sizes = model.network.config.sizes
    bounds = Bounds(max_events=_UNBOUNDED, max_beats=model.representation.beats)
    floors = np.concatenate([one.floor_notes() for one in _grammars(row, sizes, bounds, skipped)])
    last = torch.from_numpy(floors).to(hidden.device)
    after_floor = torch.cat(model.network.heads(hidden[skipped:], last), -1).float().cpu().numpy()
    logits = [part.float().cpu().numpy() for part in _conditional(model, hidden, row, skipped)]
    found: list[list[Tensor]] = [[] for _ in FIELDS]
    for place, grammar in enumerate(_grammars(row, sizes, bounds, skipped)):
        grammar.look_ahead(after_floor[place : place + 1])
        event = row[skipped + 1 + place][None]
        for field in range(len(FIELDS)):
            allowed = grammar.allow(logits[field][place : place + 1], field, event)
            found[field].append(torch.from_numpy(allowed[0]).double().log_softmax(-1))
    return [torch.stack(of_field).to(hidden.device) for of_field in found]


def _grammars(row: Events, sizes: tuple[int, ...], bounds: Bounds, skipped: int) -> Iterator[StrictGrammar]:
    """The grammar before each event after the first 1 + `skipped`; one object, which advances."""
    grammar = StrictGrammar([row[: skipped + 1]], sizes, bounds)
    for event in row[skipped + 1 :]:
        yield grammar
        grammar.advance(event[None])


_DISTRIBUTIONS = {"conditional": _conditional, "marginal": _marginal, "masked": _masked}
