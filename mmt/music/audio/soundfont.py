"""Reading SoundFonts (.sf2): the samples and generators of each note.

A preset (bank and program) has zones, each with an instrument; an instrument has zones, each with a sample. A zone covers a
range of keys and of velocities. A generator, named by its number in the specification (SoundFont 2.04, section 8.1), is absolute
in an instrument and an offset in a preset. A first zone without a target (the global zone) holds defaults of the others.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

DRUM_BANK = 128

# The chunks that are tables, and their columns.
_TABLES = {
    b"phdr": [("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("_", "V12")],
    b"pbag": [("generator", "<u2"), ("_", "V2")],
    b"pgen": [("number", "<u2"), ("amount", "<i2")],
    b"inst": [("name", "S20"), ("bag", "<u2")],
    b"ibag": [("generator", "<u2"), ("_", "V2")],
    b"igen": [("number", "<u2"), ("amount", "<i2")],
    b"shdr": [
        ("name", "S20"), ("start", "<u4"), ("end", "<u4"), ("loop_start", "<u4"), ("loop_end", "<u4"), ("rate", "<u4"),
        ("key", "u1"), ("correction", "i1"), ("_", "V2"), ("type", "<u2"),
    ],
}  # fmt: skip
_COMPRESSED = 0x10  # flag of a sample's type, in .sf3

# The generators in use, by their numbers.
_START, _END, _LOOP_START, _LOOP_END, _START_COARSE = range(5)
CUTOFF, RESONANCE, ENVELOPE_TO_CUTOFF, _END_COARSE, PAN, CUTOFF_SUSTAIN = 8, 9, 11, 12, 17, 29
DELAY, ATTACK, HOLD, DECAY, SUSTAIN, RELEASE, KEY_TO_HOLD, KEY_TO_DECAY = range(33, 41)
_INSTRUMENT, _KEYS, _VELOCITIES, _LOOP_START_COARSE, ATTENUATION, _LOOP_END_COARSE = 41, 43, 44, 45, 48, 50
_COARSE_TUNE, _FINE_TUNE, _SAMPLE, _LOOPS, SCALE_TUNING, _ROOT = 51, 52, 53, 54, 56, 58

# Defaults in the generators' own units; 0 for the others.
_DEFAULTS = {CUTOFF: 13_500, SCALE_TUNING: 100, _ROOT: -1} | dict.fromkeys(
    (DELAY, ATTACK, HOLD, DECAY, RELEASE), -12_000
)
# Generators that presets do not add to: addresses of samples, loop modes, root keys, the target, ranges of keys and velocities.
_NOT_ADDED = {0, 1, 2, 3, 4, 12, 41, 43, 44, 45, 46, 47, 50, 54, 57, 58}

Generators = dict[int, int]


@dataclass(frozen=True)
class Zone:
    """A sample and its generators, for an inclusive range of keys and of velocities."""

    keys: tuple[int, int]
    velocities: tuple[int, int]
    start: int
    end: int
    loop: tuple[int, int] | None
    rate: int
    root: float
    """The key of the sample's own pitch; fractions are cents."""
    generators: Generators = field(repr=False)

    def amount(self, number: int) -> int:
        """The amount of a generator."""
        return self.generators.get(number, _DEFAULTS.get(number, 0))


@dataclass(frozen=True)
class SoundFont:
    """The samples (n,), 16 bit, and the zones of each preset, by (bank, program)."""

    samples: npt.NDArray[np.int16]
    presets: dict[tuple[int, int], list[Zone]]

    def zones(self, program: int, is_drum: bool, pitch: int) -> list[Zone]:
        """The zones that play a key, for all velocities; a missing drum kit is replaced by the first."""
        preset = self.presets.get((DRUM_BANK if is_drum else 0, program))
        if preset is None and is_drum:
            preset = self.presets.get((DRUM_BANK, 0))
        return [zone for zone in preset or [] if zone.keys[0] <= pitch <= zone.keys[1]]


def check_soundfont(path: Path) -> None:
    """Raise an error, without reading all of the file, if it does not exist, is not a SoundFont (.sf2, .sf3) or is cut off."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no SoundFont {path}; name an .sf2 file")
    with path.open("rb") as file:
        head = file.read(12)
    if (head[:4], head[8:]) != (b"RIFF", b"sfbk"):
        raise ValueError(f"{path} is not a SoundFont; name an .sf2 file")
    if path.stat().st_size < int.from_bytes(head[4:8], "little") + 8:
        raise ValueError(f"{path} is cut off; download it again")


@lru_cache(maxsize=2)
def read_soundfont(path: Path) -> SoundFont:
    """Read a SoundFont.

    A `ValueError` refuses what is not a SoundFont, is cut off, or is compressed (.sf3).
    """
    try:
        chunks = _chunks(path.read_bytes())
        tables = {}
        for name, columns in _TABLES.items():
            row = np.dtype(columns)
            tables[name] = np.frombuffer(chunks[name], row, len(chunks[name]) // row.itemsize)
        samples = np.frombuffer(chunks[b"smpl"], "<i2")
        if (tables[b"shdr"]["type"] & _COMPRESSED).any():
            raise ValueError("its samples are compressed, which needs FluidSynth")
        return SoundFont(samples, _presets(tables, len(samples)))
    except (KeyError, IndexError, struct.error, ValueError) as error:
        reason = f"it has no {error} chunk" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} is not a SoundFont that can be read ({reason}); name an .sf2 file") from error


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """The chunks of a RIFF file by name, also those in lists."""
    if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
        raise ValueError("it has no SoundFont header")
    found: dict[bytes, bytes] = {}
    place = 12
    while place + 8 <= len(data):
        name, size = data[place : place + 4], struct.unpack("<I", data[place + 4 : place + 8])[0]
        if name == b"LIST":
            place += 12
            continue
        if place + 8 + size > len(data):
            raise ValueError("it is cut off")
        found[name] = data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2
    return found


def _presets(tables: dict[bytes, npt.NDArray[np.void]], length: int) -> dict[tuple[int, int], list[Zone]]:
    """The zones of each preset, by (bank, program), for a SoundFont of `length` samples."""
    of_instrument = [
        _bags(tables[b"ibag"], tables[b"igen"], first, last, _SAMPLE)
        for first, last in zip(tables[b"inst"]["bag"][:-1], tables[b"inst"]["bag"][1:], strict=True)
    ]
    presets: dict[tuple[int, int], list[Zone]] = {}
    for header, following in pairwise(tables[b"phdr"]):
        zones = []
        for over in _bags(tables[b"pbag"], tables[b"pgen"], header["bag"], following["bag"], _INSTRUMENT):
            for under in of_instrument[over[_INSTRUMENT]]:
                zone = _zone(over, under, tables[b"shdr"][under[_SAMPLE]], length)
                if zone is not None:
                    zones.append(zone)
        presets.setdefault((int(header["bank"]), int(header["program"])), zones)
    return presets


def _bags(
    bags: npt.NDArray[np.void], generators: npt.NDArray[np.void], first: int, last: int, target: int
) -> list[Generators]:
    """The generators of the zones `first` to `last` - 1 that have a target, with the global zone's as defaults."""
    found: list[Generators] = []
    common: Generators = {}
    for bag in range(int(first), int(last)):
        rows = generators[bags[bag]["generator"] : bags[bag + 1]["generator"]]
        own = dict(zip(rows["number"].tolist(), rows["amount"].tolist(), strict=True))
        if target in own:
            found.append(common | own)
        elif bag == first:
            common = own
    return found


def _zone(over: Generators, under: Generators, sample: npt.NDArray[np.void], length: int) -> Zone | None:
    """A sample as played by the generators of a preset (`over`) and an instrument (`under`); None if it is empty."""
    generators = dict(under)
    for number, amount in over.items():
        if number not in _NOT_ADDED:
            generators[number] = generators.get(number, _DEFAULTS.get(number, 0)) + amount

    def span(number: int) -> tuple[int, int]:
        ranges = [(amount & 0xFF, amount >> 8 & 0xFF) for g in (over, under) if (amount := g.get(number)) is not None]
        return max((low for low, _ in ranges), default=0), min((high for _, high in ranges), default=127)

    def address(name: str, fine: int, coarse: int) -> int:
        moved = int(sample[name]) + generators.get(fine, 0) + 32_768 * generators.get(coarse, 0)
        return min(max(moved, 0), length)

    start, end = address("start", _START, _START_COARSE), address("end", _END, _END_COARSE)
    loop = address("loop_start", _LOOP_START, _LOOP_START_COARSE), address("loop_end", _LOOP_END, _LOOP_END_COARSE)
    if end <= start or not sample["rate"]:
        return None
    loops = generators.get(_LOOPS, 0) in (1, 3) and start <= loop[0] < loop[1] <= end
    root = generators.get(_ROOT, -1)
    key = float(root if root >= 0 else sample["key"] if sample["key"] <= 127 else 60)
    key -= int(sample["correction"]) / 100 + generators.get(_COARSE_TUNE, 0) + generators.get(_FINE_TUNE, 0) / 100
    ranges = span(_KEYS), span(_VELOCITIES)
    return Zone(*ranges, start, end, loop if loops else None, int(sample["rate"]), key, generators)
