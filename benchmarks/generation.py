"""Speed of generation: `python benchmarks/generation.py --corpus data/NAME` writes generation.md.

The paper's model with random weights, with head biases that prevent an early end, on two threads, in one process, so that the
ratios depend little on the machine. The same 1,024 events are generated in three ways: as in the original code (the whole prefix
again for each event, attention as explicit matrices, fields drawn one by one in Python), by our network over the whole prefix,
and by `generate`. The first two take minutes per piece, so they are timed at several lengths and interpolated linearly. The
limits: bytes of weights and of cached keys and values over the memory bandwidth (of a sum); floating-point operations over
the rate of a product of two large matrices. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from common import fastest, write_page
from torch import Tensor, nn

import mmt
from mmt.analysis.report import table
from mmt.corpus.windows import Batch, Limits, ValidationBatches
from mmt.model.cpu.kernels import linear as apply_map
from mmt.model.cpu.packing import pack
from mmt.model.cpu.weights import LinearWeights
from mmt.model.heads import HEADS, next_written
from mmt.model.network import Network
from mmt.representation.codes import BEAT, END_OF_SONG, FIELDS, NOTE, TYPE
from mmt.sampling import decoding
from mmt.sampling.decoding import draw_event
from mmt.sampling.filters import Filters
from mmt.sampling.grammar import Bounds, StrictGrammar
from mmt.training.loss import Losses, losses

KINDS: tuple[Literal["float32", "int8"], ...] = ("float32", "int8")
EVENTS, LENGTHS = 1024, (5, 128, 256, 512, 768, 1023)
TRIO = mmt.prompt.instruments("violin", "viola", "cello")


def lively_model(recipe: str = "paper", **changes: Any) -> mmt.Model:
    """An untrained model whose head biases favour notes near the current beat; plain random weights soon reach the last beat."""
    model = mmt.new_model(recipe, seed=0)
    if changes:
        torch.manual_seed(0)
        model.network = Network(replace(model.network.config, **changes)).eval()
    with torch.no_grad():
        model.network.heads.fields[TYPE].bias[NOTE] += 20
        model.network.heads.fields[TYPE].bias[END_OF_SONG] -= 20
        model.network.heads.fields[BEAT].bias -= 8.0 * torch.arange(257)
    return model


def best(work: Callable[[], object], rounds: int = 5) -> float:
    """The seconds of the fastest of several rounds."""
    return fastest({"": work}, rounds)[""]


# The original code.


def original_event(network: Network, codes: Tensor) -> Tensor:
    """The next event after codes (1, length, 6) as in the original code: logits of the whole prefix; fields are drawn one by
    one from the last ones."""
    length = codes.shape[1]
    stream = sum(embed(codes[..., field]) for field, embed in enumerate(network.embeddings))
    stream = stream + network.positions(torch.arange(length)) * network.config.dim**-0.5
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    for block in network.blocks:
        inputs = block.attention_norm(stream)
        q, k, v = (
            F.linear(inputs, weight).view(1, length, network.config.heads, -1).transpose(1, 2)
            for weight in block.attention.queries_keys_values.weight.chunk(3)
        )
        scores = torch.einsum("bhid,bhjd->bhij", q, k) * network.config.head_dim**-0.5
        weights = scores.masked_fill(later, torch.finfo(scores.dtype).min).softmax(dim=-1)
        attended = torch.einsum("bhij,bhjd->bhid", weights, v).transpose(1, 2).reshape(1, length, -1)
        stream = stream + block.attention.out(attended)
        forward = block.feed_forward
        stream = stream + forward.contract(F.gelu(forward.expand(block.feed_forward_norm(stream))))
    logits = [head(network.norm(stream))[0, -1] for head in network.heads.fields]
    event = []
    for field in range(len(FIELDS)):
        if field in (TYPE, BEAT):
            logits[field][: int(codes[0, -1, field])] = -torch.inf
        event.append(int(torch.multinomial(logits[field].softmax(dim=-1), 1)))
    return torch.tensor(event)


def over_the_whole_prefix(model: mmt.Model, codes: Tensor) -> Tensor:
    """The next event by our network and sampling, without a cache."""
    rules = StrictGrammar([codes[0].numpy()], model.network.config.sizes, Bounds(EVENTS + 1, 256))
    hidden = model.network.hidden(codes)[:, -1]
    return torch.from_numpy(draw_event(model.network.heads, hidden, rules, Filters(), np.full((1, 6), 0.5, np.float32)))


def seconds_a_piece(one_event: Callable[[int], object]) -> float:
    """The seconds of a whole piece, interpolated from those of an event at several lengths."""
    seconds = [best(lambda length=length: one_event(length), 3) for length in LENGTHS]  # type: ignore[misc]
    return float(np.interp(np.arange(len(TRIO), EVENTS), LENGTHS, seconds).sum())


# Limits.


def bandwidth() -> float:
    """Bytes per second of reading memory."""
    numbers = torch.ones(2**26)
    return 4 * numbers.numel() / best(lambda: numbers.sum(), 20)


def arithmetic() -> float:
    """Floating-point operations per second."""
    linear, rows = nn.Linear(1024, 1024, bias=False), torch.randn(1024, 1024)
    return 2 * 1024**3 / best(lambda: linear(rows), 20)


def limit(network: Network, batch: int, events: int) -> tuple[float, str]:
    """The least seconds per event of a batch of pieces at the mean length, and what limits it.

    With int8 weights, a weight of the blocks is one byte and a cached number two; the rate of arithmetic is that of float32.
    """
    config, narrow = network.config, network.decodes_with == "int8"
    weights = sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Linear))
    in_blocks = sum(m.weight.numel() for m in network.blocks.modules() if isinstance(m, nn.Linear))
    cached = 2 * config.layers * config.heads * config.head_dim * (len(TRIO) + events) / 2
    memory = (4 * weights - 3 * narrow * in_blocks + (2 if narrow else 4) * batch * cached) / bandwidth()
    # A product and a sum for each weight, and for each cached key and value.
    compute = 2 * batch * (weights + cached) / arithmetic()
    return max((memory, "memory"), (compute, "arithmetic"))


# `generate`.


def generation(model: mmt.Model, batch: int, events: int = EVENTS) -> float:
    """Seconds per event of each piece."""
    begun = time.perf_counter()
    pieces = model.generate(TRIO, batch, 0, max_events=events)
    assert all(len(piece) == events for piece in pieces), "a piece ended early"
    return (time.perf_counter() - begun) / (events - len(TRIO))


def by_length(model: mmt.Model, events: int = 4096, part: int = 512) -> list[tuple[int, float]]:
    """The median seconds per event, by parts of a piece that exceeds the context."""
    marks = [time.perf_counter() for _ in model.stream(TRIO, seed=0, endless=True, max_events=events)]
    parts = np.array_split(np.diff(marks), events // part)
    return [(part * (place + 1), float(np.median(seconds))) for place, seconds in enumerate(parts)]


def by_heads(events: int = 512) -> str:
    """Milliseconds per event of the default recipe's model with each kind of heads, in turns."""
    models = {kind: lively_model("default", output=kind) for kind in HEADS}
    rounds = [{kind: generation(model, 1, events) for kind, model in models.items()} for _ in range(4)]
    least = {kind: min(times[kind] for times in rounds) for kind in models}
    rows = [[kind, f"{1000 * seconds:.2f}", f"{seconds / least['independent']:.2f}"] for kind, seconds in least.items()]
    return table([["heads", "ms per event", "relative to independent"], *rows])


def beside_pytorch() -> str:
    """CPU time per event of the compiled decoder and of plain PyTorch, both with the key/value cache, one thread."""
    torch.set_num_threads(1)
    rows = [["model", "batch", "PyTorch", "`generate`", "ratio"]]
    for name, model in (("shipped", mmt.load_model()), ("paper's size", lively_model())):
        for batch, events in ((1, 384), (32, 160)):
            plain, compiled = (_cpu_time(model, batch, events, decode) for decode in (lambda network: network, pack))
            rows.append([name, f"{batch}", f"{plain:,.0f}", f"{compiled:,.0f}", f"{plain / compiled:.1f}"])
    torch.set_num_threads(2)
    return table(rows)


def _cpu_time(model: mmt.Model, batch: int, events: int, decode: Callable[[Network], Network]) -> float:
    """Microseconds of CPU time per event of one piece."""
    with mock.patch.object(decoding, "pack", decode):
        model.generate(TRIO, batch, 0, max_events=12)
        begun = time.process_time()
        pieces = model.generate(TRIO, batch, 0, max_events=events)
        return 1e6 * (time.process_time() - begun) / (sum(map(len, pieces)) - len(TRIO) * batch)


# Narrower weights.


def linear_maps() -> str:
    """Milliseconds of 20 maps of the size of a block's largest, which exceed the cache of a core, for 1, 2 and 32 rows."""
    maps = [nn.Linear(512, 2048).requires_grad_(False) for _ in range(20)]
    kinds: dict[str, list[Callable[[Tensor], object]]] = {
        "float32, PyTorch": list(maps),
        "bfloat16, PyTorch": [_half(linear) for linear in maps],
        "float32, `generate`": [_ours(linear) for linear in maps],
        'int8, `generate` with `weights="int8"`': [_ours(linear, int8=True) for linear in maps],
    }
    cells = [["weights", "1 row", "2 rows", "32 rows"]]
    for name, kind in kinds.items():
        cells.append([name])
        for rows in (1, 2, 32):
            inputs = torch.randn(rows, 512)
            cells[-1].append(f"{1000 * best(lambda kind=kind, inputs=inputs: [one(inputs) for one in kind], 20):.2f}")  # type: ignore[misc]
    return table(cells)


def _half(linear: nn.Linear) -> Callable[[Tensor], Tensor]:
    weight = linear.weight.bfloat16()
    return lambda rows: F.linear(rows.bfloat16(), weight)


def _ours(linear: nn.Linear, *, int8: bool = False) -> Callable[[Tensor], object]:
    of = LinearWeights.of(linear.weight, linear.bias, int8=int8)
    return lambda rows: apply_map(rows.numpy(), of)


def narrow_losses(corpus: Path, windows: int) -> str:
    """The validation loss of the shipped model, which reads the windows event by event, as in generation."""
    limits = Limits((model := mmt.load_model()).network.config.context, model.representation.beats)
    batches = ValidationBatches(mmt.Corpus(corpus, split="valid"), limits, batch_size=32, windows=windows)
    least: dict[str, float] = {}
    for kind in KINDS:
        parts = [_losses_event_by_event(model.to("cpu", weights=kind).network, batches[i]) for i in range(len(batches))]
        least[kind] = float(sum(part.nats.sum() for part in parts) / sum(part.notes for part in parts))
    plain, small = least["float32"], least["int8"]
    difference = f"{small - plain:+.4f} ({small / plain - 1:+.2%})"
    return table(
        [["weights", "loss", "difference"], ["float32", f"{plain:.4f}", ""], ["int8", f"{small:.4f}", difference]]
    )


@torch.inference_mode()
def _losses_event_by_event(network: Network, batch: Batch) -> Losses:
    packed, codes = pack(network), batch.codes
    cache = packed.new_cache(len(codes), codes.shape[1])
    hidden = torch.cat([packed.hidden(event, cache=cache) for event in codes[:, :-1].split(1, dim=1)], dim=1)
    return losses(network.heads(hidden, next_written(codes)), codes, batch.lengths)


# The table.


def written_with(model: mmt.Model) -> tuple[float, float]:
    """Seconds per event of each piece at batch 1 and 32, the best of a few: the first allocation of memory may take seconds."""
    return min(generation(model, 1) for _ in range(3)), min(generation(model, 32) for _ in range(2))


def beside_limits(model: mmt.Model, measured: dict[Literal["float32", "int8"], tuple[float, float]]) -> str:
    """Measured speeds at batch 1 and 32, and their limits."""
    rows = [["weights", "batch", "events per second", "upper limit", "limit / measured", "speed relative to batch 1"]]
    for weights, (alone, many) in measured.items():
        for batch, seconds in ((1, alone), (32, many)):
            least, what = limit(model.to("cpu", weights=weights).network, batch, EVENTS)
            speeds = [f"{batch / seconds:.0f}", f"{batch / least:.0f} ({what})"]
            rows.append([weights, f"{batch}", *speeds, f"{seconds / least:.2f}", f"{batch * alone / seconds:.1f}"])
    return table(rows)


def on_the_processor() -> list[str]:
    """The tables of the paper's model, with the text between them."""
    model = lively_model()
    piece = torch.from_numpy(model.generate(TRIO, seed=0, max_events=EVENTS)[0])[None]
    with torch.inference_mode():
        original = seconds_a_piece(lambda length: original_event(model.network, piece[:, :length]))
        whole = seconds_a_piece(lambda length: over_the_whole_prefix(model, piece[:, :length]))
    written = EVENTS - len(TRIO)
    measured = {weights: written_with(model.to("cpu", weights=weights)) for weights in KINDS}
    alone = measured["float32"][0]
    ways = [["way", "batch", "events per second", "`generate` is faster by", "with int8 weights"]]
    for name, seconds in (("the original method", original), ("our network over the whole prefix", whole)):
        times = [f"{seconds / written / measured[kind][0]:.0f}" for kind in KINDS]
        ways.append([name, "1", f"{written / seconds:.1f}", *times])
    lengths = by_length(model.to("cpu", weights="float32"))
    return [
        table(ways),
        beside_limits(model, measured),
        f"The limits follow from {bandwidth() / 1e9:.0f} GB/s of memory bandwidth and {arithmetic() / 1e9:.0f} GFLOP/s. The "
        "original code itself generates 2.5 events per second on two such cores; `generate` is "
        f"{1 / alone / 2.5:.0f} times as fast. If the processor's cache holds the weights, batch 1 can exceed the limit.",
        "Time per event in a piece longer than the context of 1,024 events, batch 1:",
        table([["up to event", "ms, median"], *([f"{length:,}", f"{1000 * s:.2f}"] for length, s in lengths)]),
    ]


def on_the_gpu() -> str:
    if not torch.cuda.is_available():
        return "Not measured: this machine has no GPU."
    model = lively_model().to("cuda")
    generation(model, 1, 64)
    rows = [[f"{batch}", f"{batch / generation(model, batch):,.0f}"] for batch in (1, 32, 256)]
    return table([["batch", "events per second"], *rows])


def main() -> None:
    """Measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, help="prepared corpus, for what narrower weights cost in loss")
    parser.add_argument("--windows", type=int, default=96, help="validation windows for that")
    chosen = parser.parse_args()
    torch.set_num_threads(2)
    parts = [
        "# Generation",
        f"The paper's model ({mmt.new_model('paper')!r}), random weights, two threads, {EVENTS:,} events. Made by "
        "`benchmarks/generation.py`, which describes the measurements.",
        *on_the_processor(),
        "## Plain PyTorch with the key/value cache",
        "CPU time per event in microseconds (`time.process_time`, one thread):",
        beside_pytorch(),
        "## Heads",
        "The default recipe's model (rotary positions by time), batch 1, 512 events:",
        by_heads(),
        "## Narrower weights",
        "20 linear maps from 512 to 2,048, in ms:",
        linear_maps(),
    ]
    if chosen.corpus is not None:
        parts += [f"Loss of the shipped model on {chosen.windows} validation windows, in nats per note:"]
        parts += [narrow_losses(chosen.corpus, chosen.windows)]
    write_page(Path(__file__).with_suffix(".md"), *parts, "## GPU", on_the_gpu())


if __name__ == "__main__":
    main()
