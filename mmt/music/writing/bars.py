"""Bars of music: their starts, and the time signatures, keys and tempos at which they begin.

Bar lines are those of the music where it has any, as after a pickup. After the last of them, and in music without, time
signatures give the length of a bar (4/4 before the first). A new time signature begins a bar.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from mmt.music.writing.notation import likely_key

if TYPE_CHECKING:
    import muspy

_MOST_MEASURES = 50_000
_NEVER = 1 << 63  # later than any time
_MOST_BEATS_OF_SIGNATURE, _SHORTEST_BEAT = 255, 64  # limits of MIDI and of a score


@dataclass(frozen=True)
class Bars:
    """The bars of a piece: their starts in divisions (and the end), and by bar the signatures, keys and tempos that change."""

    divisions: int
    scale: int
    """Divisions per step of the music."""
    starts: list[int]
    signatures: dict[int, tuple[int, int]]
    keys: dict[int, muspy.KeySignature]
    tempos: dict[int, list[muspy.Tempo]]
    key: int
    """The number of sharps (flats below 0) of the key that the notes suggest, which holds before the first key signature."""

    def at(self, time: int) -> int:
        """The bar of a time."""
        return min(bisect_right(self.starts, time), len(self.starts) - 1) - 1

    def has_pickup(self) -> bool:
        """Whether the first bar is shorter than its time signature says, and others follow."""
        above, below = self.signatures[0]
        return len(self.starts) > 2 and self.starts[1] * below < 4 * above * self.divisions and 1 not in self.signatures


def bars_of(music: muspy.Music) -> Bars:
    """The bars of a piece, up to the end of its last note.

    A `ValueError` refuses time signatures that have no note value, and music of more than 50,000 bars.
    """
    if not music.resolution or music.resolution < 1:
        raise ValueError(f"the music has resolution {music.resolution}; it must be at least 1 step per beat")
    signatures = {0: (4, 4)} | {s.time: (s.numerator, s.denominator) for s in music.time_signatures if s.time >= 0}
    for above, below in signatures.values():
        if above < 1 or below < 1 or below & (below - 1) or below > _SHORTEST_BEAT:
            raise ValueError(f"a time signature of {above}/{below} cannot be written in a score")
    last = max((note.time + max(note.duration, 1) for track in music.tracks for note in track.notes), default=1)
    resolution = int(music.resolution)
    scale = max(Fraction(4 * above * resolution, below).denominator for above, below in signatures.values())
    fifths = likely_key(note.pitch for track in music.tracks if not track.is_drum for note in track.notes)
    bars = Bars(resolution * scale, scale, _starts(music, signatures, scale, last), {}, {}, defaultdict(list), fifths)
    bars.signatures.update({bars.at(time * scale): value for time, value in signatures.items() if time < last})
    bars.keys.update({bars.at(key.time * scale): key for key in music.key_signatures if 0 <= key.time < last})
    for tempo in music.tempos:
        if 0 <= tempo.time < last and tempo.qpm > 0:
            bars.tempos[bars.at(tempo.time * scale)].append(tempo)
    return bars


def _starts(music: muspy.Music, signatures: dict[int, tuple[int, int]], scale: int, last: int) -> list[int]:
    """The starts of the bars, and the end of the last one, in divisions; `last` is the end of the music in steps."""
    lines = sorted({line.time * scale for line in music.barlines if line.time > 0})
    starts = [0]
    for time, following in pairwise([*sorted(signatures), _NEVER]):
        above, below = signatures[time]
        length = 4 * above * music.resolution * scale // below
        until = scale * min(following, last)
        if (until - starts[-1]) / length > _MOST_MEASURES:
            raise ValueError(f"the music is {last / music.resolution:,.0f} beats long, too long for a score")
        while starts[-1] < until:
            place = bisect_right(lines, starts[-1])
            end = lines[place] if place < len(lines) else starts[-1] + length
            starts.append(min(end, following * scale))
    return starts


def signatures_of_bars(music: muspy.Music) -> list[tuple[int, int, int]]:
    """(time, numerator, denominator) for every change of the bars' length, so that signatures alone give the bar lines.

    A bar of irregular length, such as a pickup, has a signature of its own, unless no signature has its length.
    """
    bars = bars_of(music)
    found = []
    signature = current = (4, 4)
    for bar, (start, end) in enumerate(pairwise(bars.starts)):
        signature = bars.signatures.get(bar, signature)
        length = Fraction(end - start, 4 * bars.divisions)
        # The last bar ends with the music: nothing follows that its length could move.
        is_regular = length == Fraction(*signature) or bar == len(bars.starts) - 2
        below = max(length.denominator, signature[1])
        own = signature if is_regular else (int(length * below), below) if below & (below - 1) == 0 else current
        if below > _SHORTEST_BEAT or own[0] > _MOST_BEATS_OF_SIGNATURE:
            own = current
        if own != current or bar == 0:
            found.append((start // bars.scale, *own))
        current = own
    return found
