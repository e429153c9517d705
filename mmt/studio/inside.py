"""How surprising each note of a piece is to the model, and the notes that the model attends to."""

from __future__ import annotations

import numpy as np
import torch

from mmt.analysis.event_losses import events as event_losses
from mmt.representation.codes import BEAT, NOTE, TYPE, Events, is_note
from mmt.sampling.model import Model
from mmt.studio.requests import BadRequestError

_MOST_ARCS = 24


def surprise(model: Model, piece: Events) -> list[float]:
    """The negative log-likelihood of each note in nats, the sum over its fields, given the earlier events in the context."""
    if not is_note(piece).any():
        return []
    found = event_losses(model, piece)[0]
    return [round(value, 3) for value in found.per_event[is_note(found.events)].tolist()]


@torch.inference_mode()
def attention(model: Model, events: Events, note: int, layer: int | None = None) -> list[tuple[int, float]]:
    """The earlier notes that the model attends to when it has read a note, with their shares of all attention to notes.

    The mean over all heads, of one layer (from 1) or of all; the strongest first. `note` is an index among the notes.
    """
    header, notes = events[events[:, TYPE] < NOTE], events[is_note(events)]
    if not 0 <= note < len(notes):
        raise BadRequestError(f"note must be 0 to {len(notes) - 1}")
    if layer is not None and not 1 <= layer <= model.network.config.layers:
        raise BadRequestError(f"layer must be 1 to {model.network.config.layers}")
    first = max(note + 1 - (model.network.config.context - len(header)), 0)
    first = max(first, int(np.searchsorted(notes[:, BEAT], notes[note, BEAT] - model.representation.beats + 1)))
    window = notes[first : note + 1].copy()
    window[:, BEAT] -= window[0, BEAT] - 1
    codes = torch.from_numpy(np.concatenate([header, window]))[None].to(model.device)
    layers = [one[0, :, -1].float().mean(0).cpu().numpy() for one in model.network.attention_weights(codes)]
    weights = np.mean(layers if layer is None else layers[layer - 1 : layer], axis=0)[len(header) : -1]
    total = weights.sum()
    strongest = np.argsort(-weights)[:_MOST_ARCS]
    return [(first + int(place), round(float(weights[place] / total), 5)) for place in strongest if total > 0]
