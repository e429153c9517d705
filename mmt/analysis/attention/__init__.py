"""Attention weights, statistics of them (paper, section 4.4), and plots: the public names, as `mmt.attention`."""

from __future__ import annotations

from mmt.analysis.attention.arcs import draw_arcs
from mmt.analysis.attention.measurement import Statistics, absolute, contrast, measure, relative, weights
from mmt.analysis.attention.nulls import Contrast, permutation_test
from mmt.analysis.attention.plots import draw_codes, draw_gain, draw_heads
from mmt.analysis.attention.report import read_statistics, write_report
from mmt.analysis.attention.statistics import Absolute, Relative

__all__ = [
    "weights", "relative", "absolute", "measure", "Relative", "Absolute", "Statistics", "draw_gain", "draw_heads",
    "draw_codes", "draw_arcs", "write_report", "read_statistics", "contrast", "Contrast", "permutation_test",
]  # fmt: skip
