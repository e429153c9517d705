"""What a network attends to (paper, section 4.4): the public names, as `mmt.attention`.

Weights and statistics are in `mmt.analysis.measuring`, what statistics hold in `mmt.analysis.statistics`, pictures in
`mmt.analysis.pictures` and `mmt.analysis.arcs`, the folder that `mmt-attention` writes in `mmt.analysis.report`.
"""

from __future__ import annotations

from mmt.analysis.arcs import draw_arcs
from mmt.analysis.measuring import Statistics, absolute, measure, relative, weights
from mmt.analysis.pictures import draw_codes, draw_gain, draw_heads
from mmt.analysis.report import read_statistics, write_report
from mmt.analysis.statistics import Absolute, Relative

__all__ = [
    "weights",
    "relative",
    "absolute",
    "measure",
    "Relative",
    "Absolute",
    "Statistics",
    "draw_gain",
    "draw_heads",
    "draw_codes",
    "draw_arcs",
    "write_report",
    "read_statistics",
]
