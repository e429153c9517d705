"""The overlapping windows in which a piece that exceeds the context is read for its loss.

Each window is the header of the piece (start-of-song, all its instruments, start-of-notes) and as many following notes as the
context holds. Notes that a window shares with the previous one are only context; every event is a target in exactly one
window. Which window that is depends only on the events before it (long silences aside), so that the sum is the negative
log-probability of the piece:

- A window advances by `stride` notes, so that each note is predicted from at least context - stride events, or from all that
  there are.
- A window begins at a whole beat, which becomes its beat 0, as in training (within a beat only if the beat fills half a
  stride). Silence before the first note of a piece is removed. A window stops being scored after seven eighths of the beats
  that the network knows, so that the next one has at least the share (1 - stride / room for notes) of these as context.
- A note that is out of a window's beats, after a long silence, starts a window without context.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mmt.representation.arguments import whole
from mmt.representation.codes import BEAT, NOTE, TYPE, Events
from mmt.sampling.model import Model


@dataclass(frozen=True)
class LossWindow:
    """A range of a piece's items (its notes and its end-of-song) that the network reads at once."""

    start: int
    """First item that is read."""
    counted: int
    """First item that is a target; those before are context."""
    stop: int
    """After the last item."""
    opening: int = 0
    """Number of events of the header, which are read before the items."""

    @property
    def restarts(self) -> bool:
        """Whether a long silence leaves the window without context."""
        return self.start == self.counted > 0

    @property
    def read_before(self) -> int:
        """The number of the window's first events that earlier windows have read."""
        return self.opening + self.counted - self.start if self.counted else 0

    def indices(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The indices in the piece of the events at some places of the window."""
        return np.where(places < self.opening, places, places + self.start)


def find_stride(model: Model, stride: int | None) -> int:
    """The number of notes by which windows advance: `stride`, or a quarter of the model's context.

    Raises
    ------
    ValueError
        Unless it is 1 to half of the context.
    """
    context = model.network.config.context
    stride = max(context // 4, 1) if stride is None else whole("stride", stride)
    if not 1 <= stride <= max(context // 2, 1):
        raise ValueError(f"stride is {stride}; it must be 1 to {max(context // 2, 1)}, half of the model's context")
    return stride


def loss_windows(
    model: Model, events: Events, stride: int, name: str, *, targets: int = 1
) -> list[tuple[LossWindow, Events]]:
    """The windows of a piece (n, 6), each with its events.

    The last `targets` events of a window are only targets: a window has this many events more than the context.

    Raises
    ------
    ValueError
        If the instruments fill the context; the message has the name of the piece.
    """
    opening = int((events[:, TYPE] < NOTE).sum())
    header, items = events[:opening], events[opening:]
    room = model.network.config.context + targets - opening
    if room <= stride:
        raise ValueError(
            f"{name} has {opening - 2} instruments, which leave no room for a stride of {stride} in a context of "
            f"{model.network.config.context}; choose a smaller stride"
        )
    beats = items[items[:, TYPE] == NOTE, BEAT]
    windows = plan_windows(beats, len(items), room=room, reach=model.representation.beats, stride=stride)
    return [(replace(window, opening=opening), window_events(header, items, beats, window)) for window in windows]


def plan_windows(
    beats: npt.NDArray[np.int64], items: int, *, room: int, reach: int, stride: int
) -> Iterator[LossWindow]:
    """The windows in which a piece is read.

    `beats` (notes,) are those of the notes, ascending; `items` is the number of notes, plus one for an end-of-song; `room` items
    and `reach` beats fit into a window after the header; windows advance by `stride` notes, fewer than `room`.
    """
    handover = max(reach * 7 // 8, 1)
    kept = handover * (room - stride) // room
    start = counted = 0
    while counted < items:
        if counted and counted < len(beats) and beats[counted] - beats[start] >= reach:
            start = counted
        outside = int(np.searchsorted(beats, beats[start] + reach))
        outside = outside if outside < len(beats) else items
        # Items are scored here up to the first whose predecessor is after the handover.
        late = int(np.searchsorted(beats, beats[start] + handover)) + 1
        stop = min(items, start + room, outside, late)
        assert stop > counted, "each window must score an item, or the loop would not end"
        yield LossWindow(start, counted, stop)
        counted = stop
        earliest = int(np.searchsorted(beats, beats[min(stop, len(beats)) - 1] - kept))
        start = max(start, stop - (room - stride), earliest)
        if start < len(beats):
            whole = int(np.searchsorted(beats, beats[start]))
            start = whole if start - whole <= stride // 2 else start


def window_events(header: Events, items: Events, beats: npt.NDArray[np.int64], window: LossWindow) -> Events:
    """The events of a window, with the beat of its first note as beat 0."""
    events: Events = np.concatenate([header, items[window.start : window.stop]])
    events[events[:, TYPE] == NOTE, BEAT] -= int(beats[min(window.start, len(beats) - 1)]) - 1
    return events
