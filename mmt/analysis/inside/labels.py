"""Labels of recorded activations: what each row is of, and what is known about its event.

| label | |
|---|---|
| `piece`, `event` | index of the piece, and of the event in it |
| `context` | how many earlier events were read before this one |
| `type` | code of the type |
| `beat`, `position` | beat of the piece from 0, and step within the beat from 0 |
| `pitch`, `pitch_class` | MIDI number, and the same modulo 12 (-1 for drums) |
| `duration`, `instrument` | steps, and index in the instruments of the representation |
| `key` | key of the piece: 0 … 11 are C major … B major, 12 … 23 C minor … B minor; see `key_of` |
| `chord` | triad of the note's beat: 0 … 11 are C major … B major, 12 … 23 C minor … B minor; see `chords_of` |

Bars are not known: the representation has no time signatures. A label that an event does not have (the
pitch of start-of-song) is -1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mmt.representation.codes import BEAT, DURATION, INSTRUMENT, NOTE, PITCH, POSITION, TYPE, Events, Representation

LABELS = (
    "piece", "event", "context", "type", "beat", "position", "pitch", "pitch_class", "duration", "instrument", "key", "chord"
)  # fmt: skip
# Krumhansl and Kessler (1982), ratings of the twelve tones after a key was established, from the tonic.
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
# Major and minor, in semitones above the root.
_TRIADS = ([0, 4, 7], [0, 3, 7])


def labels_of(events: Events, index: int, representation: Representation) -> dict[str, npt.NDArray[np.int32]]:
    """The labels of the events of piece `index`, (n,) each; `context` is for the caller to set."""
    notes, pitched = events[:, TYPE] == NOTE, is_pitched(events, representation)
    durations = np.array([-1, *representation.durations])

    def of_notes(values: npt.NDArray[Any], kept: npt.NDArray[np.bool_] = notes) -> npt.NDArray[Any]:
        return np.where(kept, values, -1)

    found = {
        "piece": np.full(len(events), index),
        "event": np.arange(len(events)),
        "context": np.zeros(len(events)),
        "type": events[:, TYPE],
        "beat": of_notes(events[:, BEAT] - 1),
        "position": of_notes(events[:, POSITION] - 1),
        "pitch": of_notes(events[:, PITCH] - 1),
        "pitch_class": of_notes((events[:, PITCH] - 1) % 12, pitched),
        "duration": of_notes(durations[events[:, DURATION]]),
        "instrument": events[:, INSTRUMENT] - 1,
        "key": np.full(len(events), key_of(events, representation)),
        "chord": of_notes(np.append(chords_of(events, representation), -1)[events[:, BEAT] - 1]),
    }
    return {name: values.astype(np.int32) for name, values in found.items()}


def key_of(events: Events, representation: Representation) -> int:
    """The key of a piece by the algorithm of Krumhansl and Schmuckler, -1 without pitched notes.

    The key whose profile r_k (Krumhansl and Kessler 1982, rotated to the tonic) has the largest Pearson correlation with the
    durations d_c of the notes of each pitch class c, summed over the whole piece. 0 … 11: major keys from C; 12 … 23: minor keys.

    Examples
    --------
    >>> from mmt.representation.codes import PAPER
    >>> scale = [[3, 1 + place, 1, 1 + 60 + step, 12, 1] for place, step in enumerate([0, 2, 4, 5, 7, 9, 11, 12])]
    >>> key_of(np.array(scale), PAPER)
    0
    """
    notes = events[is_pitched(events, representation)]
    lengths = np.array(representation.durations)[notes[:, DURATION] - 1]
    weights = np.bincount((notes[:, PITCH] - 1) % 12, lengths, 12)
    if weights.std() == 0:
        return -1
    profiles = [np.roll(profile, tonic) for profile in (_MAJOR, _MINOR) for tonic in range(12)]
    return int(np.argmax([np.corrcoef(weights, profile)[0, 1] for profile in profiles]))


def chords_of(events: Events, representation: Representation) -> npt.NDArray[np.int64]:
    """The triad of each beat by matching templates (Fujishima 1999), (beats,); -1 where no triad fits best.

    With w_c how long pitch class c sounds within the beat, summed over notes, the chord is the major or minor triad T with the
    greatest sum of w_c over c in T, or -1 if several triads share the greatest sum, as for a single fifth. 0 … 11: major triads
    from C; 12 … 23: minor triads.

    Examples
    --------
    >>> from mmt.representation.codes import PAPER
    >>> chords_of(np.array([[3, 1, 1, 1 + pitch, 12, 1] for pitch in (60, 64, 67)] + [[3, 2, 1, 61, 12, 1]]), PAPER)
    array([ 0, -1])
    """
    notes = events[is_pitched(events, representation)]
    resolution, beats = representation.resolution, int(events[:, BEAT].max(initial=0))
    begin = (notes[:, BEAT] - 1) * resolution + notes[:, POSITION] - 1
    end = np.minimum(begin + np.array(representation.durations)[notes[:, DURATION] - 1], beats * resolution)
    changes = np.zeros((beats * resolution + 1, 12), np.int64)
    for steps, change in ((begin, 1), (end, -1)):
        np.add.at(changes, (steps, (notes[:, PITCH] - 1) % 12), change)
    lengths = changes.cumsum(axis=0)[:-1].reshape(beats, resolution, 12).sum(axis=1)
    sums = np.stack([np.roll(lengths, -tonic, 1)[:, triad].sum(1) for triad in _TRIADS for tonic in range(12)], 1)
    greatest = np.sort(sums, axis=1)
    return np.where(greatest[:, -1] > greatest[:, -2], sums.argmax(axis=1), -1)


def is_pitched(events: Events, representation: Representation) -> npt.NDArray[np.bool_]:
    """Which events are notes that have a pitch, so not of drums, (n,)."""
    return np.asarray((events[:, TYPE] == NOTE) & (events[:, INSTRUMENT] != representation.drums_code))
