"""Names and colours of instruments, and their order in a score.

Instruments are named as in the representation ("english-horn"). Colours are sRGB: red, green and blue in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mmt.representation.codes import PAPER
from mmt.representation.instruments import DRUMS, GENERAL_MIDI_NAMES

if TYPE_CHECKING:
    import muspy

DRUM_COLOR = "#55555f"

# Instrument families in score order: names, range of hues (degrees in the OKLCH space), chroma, lightnesses. Instruments that
# often play together differ in lightness, which colour-blind readers can see.
_FAMILIES: tuple[tuple[tuple[str, ...], tuple[float, float], float, tuple[float, ...]], ...] = (
    (("flute", "piccolo", "recorder", "pan-flute", "ocarina"), (190, 205), 0.12, (0.70, 0.86, 0.54, 0.78, 0.62)),
    (("oboe", "clarinet", "bassoon", "english-horn", "bag-pipe", "shehnai"), (158, 130), 0.15, (0.51, 0.83, 0.36, 0.66)),
    (("alto-saxophone", "tenor-saxophone", "soprano-saxophone", "baritone-saxophone"), (118, 108), 0.12,
     (0.66, 0.50, 0.80, 0.38)),
    (("horn", "trumpet", "trombone", "tuba", "brasses", "synth-brasses"), (95, 75), 0.15, (0.80, 0.92, 0.62, 0.45)),
    (("timpani", "melodic-tom", "synth-drums", "orchestra-hit"), (285, 300), 0.02, (0.58, 0.72, 0.46, 0.34)),
    (("glockenspiel", "celesta", "xylophone", "vibraphone", "marimba", "tubular-bells", "music-box", "dulcimer",
      "kalimba"), (215, 245), 0.06, (0.66, 0.80, 0.50, 0.73, 0.42)),
    (("voices",), (348, 348), 0.20, (0.62,)),
    (("harp", "nylon-string-guitar", "electric-guitar", "steel-string-guitar", "banjo", "koto", "sitar",
      "shamisen"), (325, 345), 0.10, (0.83, 0.72, 0.44, 0.58)),
    (("violin", "viola"), (25, 50), 0.18, (0.56, 0.72)),
    (("cello", "contrabass"), (8, 335), 0.15, (0.42, 0.27)),
    (("strings", "synth-strings"), (5, 15), 0.10, (0.82, 0.68)),
    (("piano", "harpsichord", "electric-piano", "clavinet"), (262, 235), 0.16, (0.58, 0.72, 0.44, 0.80)),
    (("church-organ", "organ", "accordion", "bandoneon", "harmonica"), (300, 285), 0.16, (0.46, 0.62, 0.76, 0.54)),
    (("lead", "pad"), (215, 200), 0.12, (0.66, 0.82)),
    (("bass", "electric-bass", "slap-bass", "synth-bass"), (272, 280), 0.10, (0.44, 0.74, 0.58, 0.34)),
)  # fmt: skip


def instrument_names(programs: npt.ArrayLike) -> npt.NDArray[Any]:
    """The instrument of each MIDI program: our name, or General MIDI's for a program without an instrument."""
    codes = PAPER.instrument_codes(np.arange(128))
    named = [PAPER.names[code - 1] if code else GENERAL_MIDI_NAMES[program] for program, code in enumerate(codes)]
    names: npt.NDArray[Any] = np.array(named)[np.clip(programs, 0, 127)]
    return names


def score_order(names: Iterable[str]) -> list[str]:
    """Sort instruments as in a score, woodwinds first, without duplicates; unknown names are last.

    Keyboards are below the voices and strings that they accompany, as in chamber music; in an orchestra they are above.

    >>> score_order(["violin", "piano", "oboe", "violin", "voices"]), score_order(["violin", "piano", "oboe", "horn"])
    (['oboe', 'voices', 'violin', 'piano'], ['oboe', 'horn', 'piano', 'violin'])
    """
    given = set(names)
    ranks = {family[0]: float(rank) for rank, (family, *_) in enumerate(_FAMILIES)}
    if all(given & set(family) for family, *_ in _FAMILIES if family[0] in ("oboe", "horn", "violin")):
        ranks |= dict.fromkeys(("piano", "church-organ"), ranks["voices"] - 0.5)
    place = {name: (ranks[family[0]], index) for family, *_ in _FAMILIES for index, name in enumerate(family)}
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
    return "" if given in (None, "None") else "".join(sign if sign.isprintable() else " " for sign in given).strip()


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


def instrument_color(name: str) -> tuple[float, float, float]:
    """The colour of an instrument; grey for names that the representation does not have.

    >>> instrument_color("violin") == instrument_color("violin") != instrument_color("viola")
    True
    """
    for names, (first, last), chroma, lightnesses in _FAMILIES:
        if name in names:
            place = names.index(name)
            hue = first + (last - first) * place / max(len(names) - 1, 1)
            return _oklch(lightnesses[place % len(lightnesses)], chroma, hue)
    return _oklch(0.6, 0.0, 0.0)


def hexadecimal_color(name: str) -> str:
    """The colour of an instrument, or of the drums, as in HTML: "#08b6af"."""
    return DRUM_COLOR if name == DRUMS else "#" + "".join(f"{round(255 * x):02x}" for x in instrument_color(name))


def _oklch(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    """Convert Ottosson's OKLCH to sRGB."""
    a, b = chroma * np.cos(np.radians(hue)), chroma * np.sin(np.radians(hue))
    to_cones = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(to_rgb @ (to_cones @ (lightness, a, b)) ** 3, 0, 1)
    red, green, blue = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return float(red), float(green), float(blue)
