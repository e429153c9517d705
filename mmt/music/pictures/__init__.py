"""Music to pictures: piano rolls."""

from mmt.music.pictures.colors import instrument_color, instrument_names, score_order
from mmt.music.pictures.piano_rolls import DrumBand, bar_lines, lanes, piano_roll, png, write_png

__all__ = [
    "DrumBand", "bar_lines", "instrument_color", "instrument_names", "lanes", "piano_roll", "png", "score_order", "write_png"
]  # fmt: skip
