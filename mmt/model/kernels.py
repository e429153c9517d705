"""What one new event of each piece costs on a CPU, compiled: linear maps, norms and attention to what is cached.

Rows are events, one of each piece of a batch: (row, width), float32. Whatever the batch, a row is computed in one order, so
that it is the same, to the last bit, alone and among many. Weights lie in blocks of 16 outputs, (block, input, 16), in which
an input is read once for all of them; they are float32, or int8 with a scale for each output, and read at the speed of the
memory. Compiled at the first use, in seconds, and kept on disk where that can be written.
"""

from __future__ import annotations

import os
import threading

import numba
import numpy as np
import torch
from numba import prange

from mmt.model.bfloat16 import narrowed, widened
from mmt.model.compiled import compiled
from mmt.model.elementwise import exp, gelu
from mmt.model.tiles import TOGETHER, Array, add_products, use_wide_vectors
from mmt.model.weights import BlockWeights, ChainWeights, Embedding, Map, Norm
from mmt.representation.codes import BEAT, POSITION

# Not every threading layer of Numba may be entered from several threads at once.
_lock = threading.Lock()


# The process that has begun to compute.
_process: int | None = None


def take_threads() -> None:
    """In this thread, compute with as many as PyTorch does; Numba, when it begins, would have PyTorch use as many as itself.

    Raises
    ------
    RuntimeError
        In a process that was forked from one that has computed, where GNU's OpenMP would end it, or wait for ever.
    """
    global _process
    if _process not in (None, os.getpid()) and numba.threading_layer() == "omp":
        raise RuntimeError(
            "this process was forked from one that has already written music, and its threads did not come with it; start "
            'processes by multiprocessing.get_context("spawn"), or fork before the first piece is written'
        )
    _process = os.getpid()
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    torch.set_num_threads(threads)


def embed(codes: Array, places: Array, of: Embedding) -> tuple[Array, tuple[Array, Array]]:
    """Events (row, 6), each at its place (row,), as rows (row, dim); and their rotation, cosine and sine (row, turning)."""
    with _lock:
        rows, cosine, sine = _embed(codes, places, of)
        return rows, (cosine, sine)


def normalise(rows: Array, norm: Norm) -> Array:
    """What a norm makes of rows."""
    with _lock:
        return _normalise(rows, norm)  # type: ignore[no-any-return]


def linear(rows: Array, of: Map) -> Array:
    """What a map makes of rows (row, input): (row, output).

    Raises
    ------
    ValueError
        If the rows have another width: nothing compiled looks where an array ends.
    """
    if rows.shape[1] != of.weight.shape[1]:
        raise ValueError(f"rows of {rows.shape[1]} for a map of {of.weight.shape[1]} inputs")
    rows = np.ascontiguousarray(rows)
    with _lock:
        outputs = np.empty((len(rows), len(of.bias)), np.float32)
        _linear(rows, of, outputs, _PLAIN)
        return outputs


def with_known(
    state: Array, events: Array, weights: ChainWeights, alone: Array, ends: Array, first: int, behind: int
) -> Array:
    """Chained heads: logits (row, code) of the fields from `first` to before `behind`; the others are as `alone` has them.

    Parameters
    ----------
    state : ndarray, (row, dim)
        To which the earlier fields of events (row, 6) are added.
    alone : ndarray, (row, code)
        What is added to what the weights make of that.
    ends : ndarray of int64, (7,)
        Where each field's codes begin, in `alone` and in the table of the weights.
    """
    with _lock:
        return _with_known(state, events, weights, alone, ends, first, behind)  # type: ignore[no-any-return]


def through_block(
    rows: Array,
    weights: BlockWeights,
    keys: Array,
    values: Array,
    seen: Array,
    rotation: tuple[Array, Array],
    turned: bool,
) -> Array:
    """What a block makes of the next event of each piece.

    Parameters
    ----------
    rows : ndarray, (row, dim)
    keys, values : ndarray, (row, head, room, head_dim)
        Those of the events before, to which the event's own are added; float32, or bfloat16 (see `mmt.model.bfloat16`).
    seen : ndarray of int64, (row,)
        How many events there are before it.
    rotation : cosine and sine, each (row or 1, turning)
        None of them: (1, 0).
    turned : bool
        Whether values turn too.
    """
    with _lock:
        return _block(rows, weights, keys, values, seen, rotation, turned)  # type: ignore[no-any-return]


# What is compiled.


# Not literals, or Numba would compile what takes them for each.
_PLAIN, _GELU, _ADD = np.int64(0), np.int64(1), np.int64(2)


@compiled()
def _embed(codes, places, of):  # type: ignore[no-untyped-def]
    count, fields = codes.shape
    dim, turning = of.table.shape[1], len(of.by_place) + len(of.by_beat)
    rows = np.zeros((count, dim), np.float32)
    cosine, sine = np.empty((count, 2 * turning), np.float32), np.empty((count, 2 * turning), np.float32)
    for row in range(count):
        for field in range(fields):
            code = of.ends[field] + codes[row, field]
            if not of.ends[field] <= code < of.ends[field + 1]:
                raise IndexError("an event has a code that its field has not")
            for lane in range(dim):
                rows[row, lane] += of.table[code, lane]
        if len(of.places):
            for lane in range(dim):
                rows[row, lane] += of.places[places[row], lane]
        onset = np.float32(max(codes[row, BEAT] - 1, 0)) + np.float32(max(codes[row, POSITION] - 1, 0)) / of.resolution
        for pair in range(turning):
            if pair < len(of.by_place):
                angle = np.float32(places[row]) * of.by_place[pair]
            else:
                angle = np.float32(onset) * of.by_beat[pair - len(of.by_place)]
            cosine[row, pair] = cosine[row, turning + pair] = np.cos(angle)
            sine[row, pair] = sine[row, turning + pair] = np.sin(angle)
    return rows, cosine, sine


@compiled(parallel=True)
def _linear(rows, of, outputs, then):  # type: ignore[no-untyped-def]
    blocks, _, lanes = of.weight.shape
    sums = np.empty((len(rows), blocks * lanes), np.float32)
    for group in prange(blocks // TOGETHER):
        _linear_blocks(rows, of, outputs, then, sums, group * TOGETHER)


@compiled()
def _linear_blocks(rows, of, outputs, then, sums, block):  # type: ignore[no-untyped-def]
    count, row, lanes = len(rows), 0, of.weight.shape[2]
    while row < count:
        row += add_products(rows, of.weight, sums, row, block)
    here = slice(block * lanes, min((block + TOGETHER) * lanes, outputs.shape[1]))
    for row in range(count):
        _finish(sums[row, here], of.scale[here], of.bias[here], outputs[row, here], then)


@compiled(fast=True)
def _finish(sums, scale, bias, outputs, then):  # type: ignore[no-untyped-def]
    if then == _ADD:
        for place in range(len(outputs)):
            outputs[place] += sums[place] * scale[place] + bias[place]
    elif then == _GELU:
        for place in range(len(outputs)):
            outputs[place] = gelu(sums[place] * scale[place] + bias[place])
    else:
        for place in range(len(outputs)):
            outputs[place] = sums[place] * scale[place] + bias[place]


@compiled()
def _normalise(rows, norm):  # type: ignore[no-untyped-def]
    if not len(norm.weight):
        return rows.copy()
    normalised = np.empty_like(rows)
    for row in range(len(rows)):
        _normalise_one(rows[row], norm, normalised[row])
    return normalised


@compiled(fast=True)
def _normalise_one(row, norm, normalised):  # type: ignore[no-untyped-def]
    width = len(row)
    mean = np.float32(0)
    for value in row:
        mean += value
    mean /= np.float32(width)
    variance = np.float32(0)
    for value in row:
        variance += (value - mean) * (value - mean)
    factor = np.float32(1) / np.sqrt(variance / np.float32(width) + norm.eps)
    for place in range(width):
        normalised[place] = (row[place] - mean) * factor * norm.weight[place] + norm.bias[place]


@compiled(parallel=True)
def _attend(split, query_norm, key_norm, keys, values, seen, rotation, turned):  # type: ignore[no-untyped-def]
    count, heads, _, size = keys.shape
    attended = np.empty((count, heads * size), np.float32)
    for item in prange(count * heads):
        row, head = item // heads, item % heads
        query = split[row, head * size : (head + 1) * size]
        key = split[row, (heads + head) * size : (heads + head + 1) * size]
        value = split[row, (2 * heads + head) * size : (2 * heads + head + 1) * size]
        new_key, new_value = keys[row, head, seen[row]], values[row, head, seen[row]]
        if len(query_norm.weight):
            _normalise_one(query, query_norm, query)
        if len(key_norm.weight):
            _normalise_one(key, key_norm, key)
        cosine, sine = rotation[0][row % len(rotation[0])], rotation[1][row % len(rotation[1])]
        _turn(query, cosine, sine)
        _turn(key, cosine, sine)
        if turned:
            _turn(value, cosine, sine)
        for lane in range(size):
            new_key[lane], new_value[lane] = narrowed(key[lane], new_key), narrowed(value[lane], new_value)
        to = attended[row, head * size : (head + 1) * size]
        _attend_one(query, keys[row, head], values[row, head], seen[row] + 1, to)
    return attended


@compiled()
def _turn(vector, cosine, sine):  # type: ignore[no-untyped-def]
    half = len(cosine) // 2
    for lane in range(half):
        first, second = vector[lane], vector[half + lane]
        vector[lane] = first * cosine[lane] - second * sine[lane]
        vector[half + lane] = second * cosine[half + lane] + first * sine[half + lane]


@compiled(fast=True)
def _attend_one(query, keys, values, seen, attended):  # type: ignore[no-untyped-def]
    use_wide_vectors()
    size = len(query)
    weights = np.empty(seen, np.float32)
    for place in range(seen):
        score = np.float32(0)
        for lane in range(size):
            score += query[lane] * widened(keys[place, lane])
        weights[place] = score
    most = weights[0]
    for place in range(seen):
        most = max(most, weights[place])
    factor = np.float32(1) / np.sqrt(np.float32(size))
    total = np.float32(0)
    for place in range(seen):
        weights[place] = exp((weights[place] - most) * factor)
        total += weights[place]
    for lane in range(size):
        attended[lane] = 0
    for place in range(seen):
        for lane in range(size):
            attended[lane] += weights[place] * widened(values[place, lane])
    for lane in range(size):
        attended[lane] /= total


@compiled()
def _block(rows, weights, keys, values, seen, rotation, turned):  # type: ignore[no-untyped-def]
    rows = rows.copy()
    split = np.empty((len(rows), len(weights.queries_keys_values.bias)), np.float32)
    _linear(_normalise(rows, weights.attention_norm), weights.queries_keys_values, split, _PLAIN)
    attended = _attend(split, weights.query_norm, weights.key_norm, keys, values, seen, rotation, turned)
    _linear(attended, weights.out, rows, _ADD)
    wide = np.empty((len(rows), len(weights.expand.bias)), np.float32)
    _linear(_normalise(rows, weights.feed_forward_norm), weights.expand, wide, _GELU)
    _linear(wide, weights.contract, rows, _ADD)
    return rows


@compiled()
def _with_known(state, events, weights, alone, ends, first, behind):  # type: ignore[no-untyped-def]
    (count, dim), logits, known = state.shape, alone.copy(), state.copy()
    wide = np.empty((behind, count, dim), np.float32)
    for field in range(1, behind):
        for row in range(count):
            code = ends[field - 1] + events[row, field - 1]
            if not ends[field - 1] <= code < ends[field]:
                raise IndexError("an event has a code that its field has not")
            for lane in range(dim):
                known[row, lane] += weights.table[code, lane]
            if field >= first:
                for lane in range(dim):
                    wide[field, row, lane] = gelu(known[row, lane])
    sums = _products(wide, weights.weight, weights.groups, first, behind)
    for field in range(max(first, 1), behind):
        begin = weights.groups[field] * TOGETHER * weights.weight.shape[2]
        # Not as slices: Numba would compile the text of a misfit, for seconds.
        for row in range(count):
            for code in range(ends[field + 1] - ends[field]):
                logits[row, ends[field] + code] += sums[row, begin + code]
    return logits


@compiled(parallel=True)
def _products(wide, weight, groups, first, behind):  # type: ignore[no-untyped-def]
    """Of rows (field, row, dim), each field's with its own groups of blocks."""
    count, (blocks, _, lanes) = wide.shape[1], weight.shape
    sums = np.empty((count, blocks * lanes), np.float32)
    for group in prange(groups[max(first, 1)], groups[behind]):
        field, row = 1, 0
        while groups[field + 1] <= group:
            field += 1
        while row < count:
            row += add_products(wide[field], weight, sums, row, group * TOGETHER)
    return sums
