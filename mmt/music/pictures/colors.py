"""Names and colours of instruments, and their order in a score.

Instruments are named as in the representation ("english-horn"). Colours are written as in HTML.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mmt.music.bounded import printable
from mmt.representation.codes import PAPER
from mmt.representation.instruments import DRUMS, GENERAL_MIDI_NAMES

if TYPE_CHECKING:
    import muspy

# Instrument families in score order, with the colours of their instruments. A family has a range of hues; instruments that often
# play together differ in lightness, which colour-blind readers can see.
_FAMILY_COLORS = """
flute=#08b6af piccolo=#5eeae8 recorder=#008387 pan-flute=#3aced7 ocarina=#009aa8
oboe=#007e43 clarinet=#72e397 bassoon=#004f00 english-horn=#58a84d bag-pipe=#3a7801 shehnai=#a7da6d
alto-saxophone=#8c9c3f tenor-saxophone=#626a00 soprano-saxophone=#c0c565 baritone-saxophone=#4a4500
horn=#dcbc33 trumpet=#ffe061 trombone=#ad7e00 tuba=#7c4900 brasses=#f1b136 synth-brasses=#ffd567
timpani=#797986 melodic-tom=#a4a3b1 synth-drums=#595662 orchestra-hit=#393641
glockenspiel=#669ca9 celesta=#92c8d8 xylophone=#396b7c vibraphone=#7fb0c5 marimba=#265368 tubular-bells=#6d99b2 \
music-box=#9ac4e0 dulcimer=#436883 kalimba=#88accb
voices=#d6459b
harp=#e9b1eb nylon-string-guitar=#c78ec5 electric-guitar=#713c6c steel-string-guitar=#9e6393 banjo=#f1afe0 koto=#ce8cb9 \
sitar=#773a62 shamisen=#a46188
violin=#c8393a viola=#fa7c20
cello=#8b173d contrabass=#4c0042
strings=#fca9bb synth-strings=#ce7e84
piano=#4376d8 harpsichord=#53a7ff electric-piano=#0056a3 clavinet=#2dccff
church-organ=#673ba2 organ=#906eda accordion=#b59cff bandoneon=#6e59c4 harmonica=#5343ac
lead=#00a4c0 pad=#4cdbe3
bass=#404d89 electric-bass=#98a6ea slap-bass=#6c74b5 synth-bass=#2f2f6a
"""
_FAMILIES = [dict(pair.split("=") for pair in family.split()) for family in _FAMILY_COLORS.strip().splitlines()]
_COLORS = {name: color for family in _FAMILIES for name, color in family.items()} | {DRUMS: "#55555f"}


def instrument_names(programs: npt.ArrayLike) -> npt.NDArray[Any]:
    """The instrument of each MIDI program: our name, or General MIDI's for a program without an instrument."""
    names = np.array(GENERAL_MIDI_NAMES)
    for instrument in PAPER.instruments:
        names[list(instrument.programs)] = instrument.name
    chosen: npt.NDArray[Any] = names[np.clip(programs, 0, 127)]
    return chosen


def score_order(names: Iterable[str]) -> list[str]:
    """Sort instruments as in a score, woodwinds first, without duplicates; unknown names are last.

    Keyboards are below the voices and strings that they accompany, as in chamber music; in an orchestra they are above.

    >>> score_order(["violin", "piano", "oboe", "violin", "voices"]), score_order(["violin", "piano", "oboe", "horn"])
    (['oboe', 'voices', 'violin', 'piano'], ['oboe', 'horn', 'piano', 'violin'])
    """
    given = set(names)
    # By the first instrument of each family.
    ranks = {next(iter(family)): float(rank) for rank, family in enumerate(_FAMILIES)}
    if all(given & family.keys() for family in _FAMILIES if family.keys() & {"oboe", "horn", "violin"}):
        ranks |= dict.fromkeys(("piano", "church-organ"), ranks["voices"] - 0.5)
    place = {
        name: (rank, index)
        for rank, family in zip(ranks.values(), _FAMILIES, strict=True)
        for index, name in enumerate(family)
    }
    return sorted(given, key=lambda name: (place.get(name, (len(ranks), 0)), name))


def title_of(music: muspy.Music) -> str:
    """The title of music on one line; without a title, its instruments.

    >>> import muspy
    >>> title_of(muspy.Music(tracks=[muspy.Track(program, notes=[muspy.Note(0, 60, 1)]) for program in (42, 40, 40)]))
    'Violin and cello'
    """
    return given_title(music) or listed(players(music)).capitalize() or "Untitled"


def given_title(music: muspy.Music) -> str:
    """The title of music on one line; "" if it has none."""
    given = music.metadata.title if music.metadata else None
    # muspy names an untitled piece "None".
    return "" if given in (None, "None") else printable(given).strip()


def in_score_order(tracks: list[muspy.Track]) -> list[muspy.Track]:
    """Tracks in score order if they are named by their instruments or not at all, as generated ones; else as they are."""
    names = [DRUMS if track.is_drum else str(instrument_names(track.program)) for track in tracks]
    if any(track.name not in (None, name) for track, name in zip(tracks, names, strict=True)):
        return tracks
    order = [*score_order(names), DRUMS]
    return [tracks[index] for index in sorted(range(len(tracks)), key=lambda index: order.index(names[index]))]


def players(music: muspy.Music) -> list[str]:
    """The instruments that play, in score order; drums are last."""
    tracks = [track for track in music.tracks if track.notes]
    names = score_order(str(instrument_names(track.program)) for track in tracks if not track.is_drum)
    return names + [DRUMS] * any(track.is_drum for track in tracks)


def listed(names: list[str]) -> str:
    """Join names as in a sentence: "flute, viola and harp"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def instrument_color(name: str) -> str:
    """The colour of an instrument, or of the drums; grey for names that the representation does not have.

    >>> instrument_color("flute")
    '#08b6af'
    """
    return _COLORS.get(name, "#808080")
