"""Every count of the report of `encode` equals that of a plain loop over the notes, and what `decode` gives back."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path

import muspy
import numpy as np
import pytest

import mmt
from mmt.representation.notes import DEFAULT_VELOCITY

TINY = [*(Path(__file__).resolve().parents[2] / "data" / "tiny").glob("*.m[ix]*")]
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "examples"
REAL = [file for suffix in ("mid", "mxl") for file in sorted((SHARED / suffix).glob("*"))[:5]]
REPRESENTATIONS = {
    "paper's": mmt.Representation(),
    "talk's": mmt.Representation.slides(),
    "drums": mmt.Representation(drums=True),
}


def made_up() -> muspy.Music:
    """Notes with everything that can be left out or changed."""
    random = np.random.default_rng(0)
    tracks = []
    for number in range(24):
        times, lasting, velocities = (
            random.integers(-20, 4000, 80),
            random.integers(0, 900, 80),
            random.integers(60, 68, 80),
        )
        notes = [
            muspy.Note(int(time), int(pitch), int(duration), int(velocity))
            for time, pitch, duration, velocity in zip(
                times, random.integers(50, 70, 80), lasting, velocities, strict=True
            )
        ]
        notes += notes[:5]
        tracks.append(muspy.Track(int(random.integers(0, 128)), number % 5 == 0, notes=notes))
    tracks[1].lyrics = [muspy.Lyric(0, "la")]
    tracks[2].annotations = [muspy.Annotation(0, "dolce")]
    music = muspy.Music(resolution=100, tracks=tracks, tempos=[muspy.Tempo(0, 90), muspy.Tempo(400, 60)])
    music.lyrics, music.key_signatures = [muspy.Lyric(4, "lo")], [muspy.KeySignature(0, 0)]
    return music


def recount(music: muspy.Music, representation: mmt.Representation) -> tuple[int, Counter[str], Counter[str]]:
    """Notes that are kept, and those that are left out and changed by reason, note by note in exact numbers."""
    code_of = {p: code for code, one in enumerate(representation.instruments, start=1) for p in one.programs}
    kept, dropped, changed, tracks = set(), Counter[str](), Counter[str](), dict[int, set[int]]()
    for number, track in enumerate(music.tracks):
        for note in track.notes:
            code = representation.drums_code if track.is_drum else code_of.get(track.program, 0)
            if not code:
                dropped["drum notes" if track.is_drum else "notes of programs without an instrument"] += 1
                continue
            if note.time < 0:
                dropped["notes before the first beat"] += 1
                continue
            step = Fraction(music.resolution, representation.resolution)
            onset, end = round(note.time / step), round((note.time + note.duration) / step)
            steps = max(end - onset, 1)
            duration = min(representation.durations, key=lambda known, steps=steps: (abs(known - steps), known))
            changed["onsets moved to the grid"] += onset * step != note.time
            changed["durations"] += duration * step != note.duration
            changed["velocities"] += note.velocity != DEFAULT_VELOCITY
            changed["programs merged"] += representation.program(code) != track.program
            tracks.setdefault(code, set()).add(number)
            key = (onset, note.pitch, duration, code)
            dropped["doubled notes"] += key in kept
            kept.add(key)
    changed["tracks joined"] = sum(len(of_instrument) - 1 for of_instrument in tracks.values())
    parts = (music, *music.tracks)
    changed["tempo marks"], changed["time signatures"] = len(music.tempos), len(music.time_signatures)
    changed["key signatures"] = len(music.key_signatures)
    changed["lyrics"], changed["annotations"] = (
        sum(len(getattr(p, of)) for p in parts) for of in ("lyrics", "annotations")
    )
    return len(kept), +dropped, +changed


@pytest.mark.parametrize("name", REPRESENTATIONS)
@pytest.mark.parametrize("file", [None, *TINY, *REAL], ids=lambda file: file.stem[:30] if file else "made up")
def test_the_report_is_that_of_a_plain_loop(file: Path | None, name: str) -> None:
    music, representation = made_up() if file is None else mmt.read(file), REPRESENTATIONS[name]
    events, report = mmt.encode(music, report=True, representation=representation)
    kept, dropped, changed = recount(music, representation)
    found = Counter({reason: count for reason, count in report.changed.items() if not reason.startswith("durations")})
    found["durations"] = sum(count for reason, count in report.changed.items() if reason.startswith("durations"))
    assert (report.kept, report.dropped, +found) == (kept, dropped, changed)
    assert report.notes == kept + dropped.total() == sum(len(track.notes) for track in music.tracks)
    assert sum(len(track.notes) for track in mmt.decode(events, representation=representation).tracks) == kept
