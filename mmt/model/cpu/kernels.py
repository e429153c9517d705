"""Compiled decoding steps for a CPU: embedding, linear maps, norms, and attention over a cache.

Rows are events, one of each piece of a batch: (row, width), float32. The order of operations in a row does not depend on the
batch, so a row is bit-identical alone and in any batch. Weights are float32, or int8 with a scale for each output, in the
layout of `mmt.model.cpu.weights`; the speed is that of reading them from memory. Functions are compiled at their first call,
which takes seconds, and cached on disk if possible.
"""

from __future__ import annotations

import threading

import numpy as np
from numba import prange

from mmt.model.compiled import compiled
from mmt.model.cpu.scalars import exp, gelu, narrowed, widened
from mmt.model.cpu.weights import (
    LANES,
    Array,
    BlockWeights,
    ChainWeights,
    EmbeddingWeights,
    LinearWeights,
    NormWeights,
)
from mmt.representation.codes import BEAT, POSITION

# Some threading layers of Numba must not be entered from several threads at once.
_lock = threading.Lock()


def embed(codes: Array, places: Array, weights: EmbeddingWeights) -> tuple[Array, tuple[Array, Array]]:
    """Embed events (row, 6) at places (row,): rows (row, dim), and their rotation, cosine and sine (row, rotary dims)."""
    with _lock:
        rows, cosine, sine = _embed(codes, places, weights)
        return rows, (cosine, sine)


def normalise(rows: Array, norm: NormWeights) -> Array:
    """Apply a layer norm to rows (row, width)."""
    with _lock:
        return _normalise(rows, norm)  # type: ignore[no-any-return]


def linear(rows: Array, weights: LinearWeights, *, then_gelu: bool = False) -> Array:
    """Apply a linear map, and a GELU if wanted, to rows (row, input); returns (row, output).

    Raises
    ------
    ValueError
        If the rows have another width. (Compiled code does not check bounds.)
    """
    if rows.shape[1] != weights.weight.shape[1]:
        raise ValueError(f"rows have {rows.shape[1]} numbers; the linear map takes {weights.weight.shape[1]}")
    rows = np.ascontiguousarray(rows)
    with _lock:
        outputs = np.empty((len(rows), len(weights.bias)), np.float32)
        _linear(rows, weights, outputs, _STORE_GELU if then_gelu else _STORE)
        return outputs


def chain_logits(
    state: Array, events: Array, weights: ChainWeights, independent: Array, ends: Array, first: int, stop: int
) -> Array:
    """Logits (row, code) of chained heads, for the fields `first` to `stop` - 1; other fields keep those of `independent`.

    Parameters
    ----------
    state : ndarray, (row, dim)
        The embeddings of the earlier fields of `events` (row, 6) are added to it.
    independent : ndarray, (row, code)
        The part of the logits that does not depend on earlier fields.
    ends : ndarray of int64, (7,)
        Offsets of the fields in `independent` and in the table of the weights.
    """
    with _lock:
        return _chain_logits(state, events, weights, independent, ends, first, stop)  # type: ignore[no-any-return]


def attend(
    split: Array,
    weights: BlockWeights,
    keys: Array,
    values: Array,
    seen: Array,
    rotation: tuple[Array, Array],
    rotate_values: bool,
) -> Array:
    """The attention of `block_step` alone: from queries, keys and values (row, 3 width), which change, to (row, width)."""
    with _lock:
        norms = weights.query_norm, weights.key_norm
        return _attend(split, *norms, keys, values, seen, rotation, rotate_values)  # type: ignore[no-any-return]


def block_step(
    rows: Array,
    weights: BlockWeights,
    keys: Array,
    values: Array,
    seen: Array,
    rotation: tuple[Array, Array],
    rotate_values: bool,
) -> Array:
    """Apply a transformer block to the next event of each piece; returns the new rows (row, dim).

    Parameters
    ----------
    rows : ndarray, (row, dim)
    keys, values : ndarray, (row, head, capacity, head_dim)
        The cache, float32 or bfloat16 (see `mmt.model.cpu.scalars`). The event's own key and value are written to it.
    seen : ndarray of int64, (row,)
        The number of earlier events in the cache.
    rotation : cosine and sine, each (row or 1, rotary dims)
        (1, 0) without rotary positions.
    rotate_values : bool
        Whether values are rotated too.
    """
    with _lock:
        return _block(rows, weights, keys, values, seen, rotation, rotate_values)  # type: ignore[no-any-return]


# Compiled functions follow.

# What `_finish` does with the outputs. Typed numbers, because Numba would compile one version for each literal.
_STORE, _STORE_GELU, _ADD = np.int64(0), np.int64(1), np.int64(2)


@compiled()
def _embed(codes, places, weights):  # type: ignore[no-untyped-def]
    count, fields = codes.shape
    dim, pairs = weights.table.shape[1], len(weights.by_place) + len(weights.by_beat)
    rows = np.zeros((count, dim), np.float32)
    cosine, sine = np.empty((count, 2 * pairs), np.float32), np.empty((count, 2 * pairs), np.float32)
    for row in range(count):
        for field in range(fields):
            code = weights.ends[field] + codes[row, field]
            if not weights.ends[field] <= code < weights.ends[field + 1]:
                raise IndexError("an event has a code that is out of range for its field")
            for lane in range(dim):
                rows[row, lane] += weights.table[code, lane]
        if len(weights.places):
            for lane in range(dim):
                rows[row, lane] += weights.places[places[row], lane]
        onset = (
            np.float32(max(codes[row, BEAT] - 1, 0)) + np.float32(max(codes[row, POSITION] - 1, 0)) / weights.resolution
        )
        for pair in range(pairs):
            if pair < len(weights.by_place):
                angle = np.float32(places[row]) * weights.by_place[pair]
            else:
                angle = np.float32(onset) * weights.by_beat[pair - len(weights.by_place)]
            cosine[row, pair] = cosine[row, pairs + pair] = np.cos(angle)
            sine[row, pair] = sine[row, pairs + pair] = np.sin(angle)
    return rows, cosine, sine


@compiled(parallel=True)
def _linear(rows, weights, outputs, then):  # type: ignore[no-untyped-def]
    for group in prange(len(weights.weight)):
        first = group * LANES
        _finish(_products(rows, weights.weight[group]), weights.scale, weights.bias, outputs, first, then)


@compiled(fast={"contract"})
def _products(rows, weight):  # type: ignore[no-untyped-def]
    """Multiply rows (row, input) by a group of weights (input, LANES).

    A sum runs from the first input to the last for any number of rows, so rows are the same in any batch. The loop over the
    lanes is vectorised. Four inputs at a time save most of the reads and writes of the sums.
    """
    (count, inputs), sums = rows.shape, np.zeros((len(rows), LANES), np.float32)
    for first in range(0, inputs - 3, 4):
        four = weight[first : first + 4].reshape(4 * LANES)
        for row in range(count):
            total = sums[row]
            a, b, c, d = rows[row, first], rows[row, first + 1], rows[row, first + 2], rows[row, first + 3]
            for lane in range(LANES):
                one = total[lane] + a * np.float32(four[lane])
                one += b * np.float32(four[LANES + lane])
                one += c * np.float32(four[2 * LANES + lane])
                total[lane] = one + d * np.float32(four[3 * LANES + lane])
    for place in range(inputs // 4 * 4, inputs):
        for row in range(count):
            for lane in range(LANES):
                sums[row, lane] += rows[row, place] * np.float32(weight[place, lane])
    return sums


@compiled(fast=True)
def _finish(sums, scale, bias, outputs, first, then):  # type: ignore[no-untyped-def]
    for row in range(len(sums)):
        here = outputs[row, first : first + LANES]
        if then == _ADD:
            for lane in range(len(here)):
                here[lane] += sums[row, lane] * scale[first + lane] + bias[first + lane]
        elif then == _STORE_GELU:
            for lane in range(len(here)):
                here[lane] = gelu(sums[row, lane] * scale[first + lane] + bias[first + lane])
        else:
            for lane in range(len(here)):
                here[lane] = sums[row, lane] * scale[first + lane] + bias[first + lane]


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
def _attend(split, query_norm, key_norm, keys, values, seen, rotation, rotate_values):  # type: ignore[no-untyped-def]
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
        _rotate(query, cosine, sine)
        _rotate(key, cosine, sine)
        if rotate_values:
            _rotate(value, cosine, sine)
        for lane in range(size):
            new_key[lane], new_value[lane] = narrowed(key[lane], new_key), narrowed(value[lane], new_value)
        output = attended[row, head * size : (head + 1) * size]
        _attend_one(query, keys[row, head], values[row, head], seen[row] + 1, output)
    return attended


@compiled()
def _rotate(vector, cosine, sine):  # type: ignore[no-untyped-def]
    half = len(cosine) // 2
    for lane in range(half):
        first, second = vector[lane], vector[half + lane]
        vector[lane] = first * cosine[lane] - second * sine[lane]
        vector[half + lane] = second * cosine[half + lane] + first * sine[half + lane]


@compiled(fast=True)
def _attend_one(query, keys, values, seen, attended):  # type: ignore[no-untyped-def]
    size = len(query)
    weights = np.empty(seen, np.float32)
    for place in range(seen):
        score = np.float32(0)
        for lane in range(size):
            score += query[lane] * widened(keys[place, lane])
        weights[place] = score
    highest = weights[0]
    for place in range(seen):
        highest = max(highest, weights[place])
    factor = np.float32(1) / np.sqrt(np.float32(size))
    total = np.float32(0)
    for place in range(seen):
        weights[place] = exp((weights[place] - highest) * factor)
        total += weights[place]
    for lane in range(size):
        attended[lane] = 0
    for place in range(seen):
        for lane in range(size):
            attended[lane] += weights[place] * widened(values[place, lane])
    for lane in range(size):
        attended[lane] /= total


@compiled()
def _block(rows, weights, keys, values, seen, rotation, rotate_values):  # type: ignore[no-untyped-def]
    rows = rows.copy()
    split = np.empty((len(rows), len(weights.queries_keys_values.bias)), np.float32)
    _linear(_normalise(rows, weights.attention_norm), weights.queries_keys_values, split, _STORE)
    attended = _attend(split, weights.query_norm, weights.key_norm, keys, values, seen, rotation, rotate_values)
    _linear(attended, weights.out, rows, _ADD)
    wide = np.empty((len(rows), len(weights.expand.bias)), np.float32)
    _linear(_normalise(rows, weights.feed_forward_norm), weights.expand, wide, _STORE_GELU)
    _linear(wide, weights.contract, rows, _ADD)
    return rows


@compiled()
def _chain_logits(state, events, weights, independent, ends, first, stop):  # type: ignore[no-untyped-def]
    (count, dim), logits, known = state.shape, independent.copy(), state.copy()
    wide = np.empty((stop, count, dim), np.float32)
    for field in range(1, stop):
        for row in range(count):
            code = ends[field - 1] + events[row, field - 1]
            if not ends[field - 1] <= code < ends[field]:
                raise IndexError("an event has a code that is out of range for its field")
            for lane in range(dim):
                known[row, lane] += weights.table[code, lane]
            if field >= first:
                for lane in range(dim):
                    wide[field, row, lane] = gelu(known[row, lane])
    _add_products(wide, weights.weight, weights.groups, logits, ends, max(first, 1), stop)
    return logits


@compiled(parallel=True)
def _add_products(wide, weight, groups, logits, ends, first, stop):  # type: ignore[no-untyped-def]
    """Add the products of rows (field, row, dim) and the groups of weights of their fields to logits (row, code)."""
    for group in prange(groups[first], groups[stop]):
        field = 1
        while groups[field + 1] <= group:
            field += 1
        sums, begin = _products(wide[field], weight[group]), ends[field] + (group - groups[field]) * LANES
        for row in range(len(sums)):
            for lane in range(min(LANES, ends[field + 1] - begin)):
                logits[row, begin + lane] += sums[row, lane]
