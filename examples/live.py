"""Endless music in real time: `python examples/live.py violin viola cello --tempo 90`. Stop it with Ctrl-C.

Events are generated a little ahead and played when they are due: to a MIDI port (with --port, which needs python-rtmidi), else
as lines of text.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

import mmt
from mmt.representation.codes import BEAT, DURATION, INSTRUMENT, NOTE, PITCH, POSITION, TYPE, Representation

NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

# Time in beats, whether a note begins (or ends), MIDI pitch, and instrument code.
Moment = tuple[float, bool, int, int]


def ahead(events: Iterator[np.ndarray], most: int = 256) -> Iterator[np.ndarray]:
    """The same events, of which up to `most` are generated ahead in a thread, to bridge slow moments."""
    written: queue.Queue[np.ndarray | None] = queue.Queue(most)

    def write() -> None:
        for event in events:
            written.put(event)
        written.put(None)

    threading.Thread(target=write, daemon=True).start()
    while (event := written.get()) is not None:
        yield event


def in_time(events: Iterator[np.ndarray], representation: Representation) -> Iterator[Moment]:
    """Beginnings and ends of notes in order of time, each as soon as no earlier one can follow."""
    ends: list[Moment] = []
    for event in events:
        if event[TYPE] != NOTE:
            continue
        begin = event[BEAT] - 1 + (event[POSITION] - 1) / representation.resolution
        while ends and ends[0][0] <= begin:
            yield heapq.heappop(ends)
        pitch, instrument = int(event[PITCH] - 1), int(event[INSTRUMENT])
        length = representation.durations[event[DURATION] - 1] / representation.resolution
        heapq.heappush(ends, (begin + length, False, pitch, instrument))
        yield begin, True, pitch, instrument
    yield from sorted(ends)


def play(
    moments: Iterator[Moment],
    tempo: float,
    sound: Callable[[Moment], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Play each moment when it is due; return the largest delay in seconds."""
    first = begun = late = None
    for moment in moments:
        if begun is None or first is None:
            begun, first = clock(), moment[0]
        wait = begun + (moment[0] - first) * 60 / tempo - clock()
        if wait > 0:
            sleep(wait)
        late = max(late or 0.0, -wait)
        sound(moment)
    return late or 0.0


def text(representation: Representation) -> Callable[[Moment], None]:
    """Print a line for each note that begins."""

    def sound(moment: Moment) -> None:
        beat, begins, pitch, code = moment
        if begins:
            name = f"{NAMES[pitch % 12]}{pitch // 12 - 1}"
            name = f"{pitch}" if code == representation.drums_code else name
            print(f"{int(beat) + 1:6d} {name:>4}  {representation.names[code - 1]}", flush=True)

    return sound


def midi(port_name: str | None, representation: Representation) -> Callable[[Moment], None]:
    """Send each moment as a MIDI message; each instrument has one of 15 channels, drums have channel 10."""
    import mido

    # mido counts channels from 0.
    port, channels = mido.open_output(port_name, autoreset=True), {representation.drums_code: 9}

    def sound(moment: Moment) -> None:
        _, begins, pitch, code = moment
        if code not in channels:
            channels[code] = [*range(9), *range(10, 16)][(len(channels) - 1) % 15]
            program = representation.program(code)
            port.send(mido.Message("program_change", channel=channels[code], program=program))
        kind = "note_on" if begins else "note_off"
        port.send(mido.Message(kind, channel=channels[code], note=pitch, velocity=64))

    return sound


def main(given: list[str] | None = None) -> None:
    """Play until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("instruments", nargs="*", help="names or MIDI program numbers (default: the model chooses)")
    parser.add_argument("--tempo", type=float, default=100.0, help="beats per minute (default: 100)")
    parser.add_argument("--port", nargs="?", const="", help="play to this MIDI port (without a name: the first)")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--events", type=int, help="stop after this number of new events (default: never)")
    parser.add_argument("--checkpoint", help="a checkpoint folder (default: the model that mmt ships)")
    chosen = parser.parse_args(given)
    model = mmt.load_model(chosen.checkpoint)
    known = model.representation
    prompt = mmt.prompt.instruments(*chosen.instruments, representation=known) if chosen.instruments else None
    events = itertools.islice(model.stream(prompt, chosen.seed, endless=True), chosen.events)
    sound = text(known) if chosen.port is None else midi(chosen.port or None, known)
    try:
        play(in_time(ahead(events), known), chosen.tempo, sound)
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
