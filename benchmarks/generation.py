"""How fast pieces are written: `python benchmarks/generation.py --corpus data/NAME`, written to generation.md beside it.

The paper's model with random weights, whose head biases keep a strict piece going, on two threads; everything in one run of
one process, so that the ratios hold where the times do not. Three ways to the same 1,024 events: the original one (the whole
prefix anew for each event, attention as explicit matrices, each field drawn by itself in Python), our network over the whole
prefix, and `generate`. The first two take minutes a piece, so they are timed at several lengths and summed up between those by
straight lines. The limits: bytes of weights and of cached keys and values, over the bandwidth at which memory is summed up
here; floating-point operations, over the rate of the faster of two matrix products. Needs a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor, nn

import mmt
from mmt.corpus.windows import Limits, ValidationBatches
from mmt.model.config import Heads
from mmt.model.network import Network
from mmt.model.packing import PackedLinear
from mmt.representation.codes import BEAT, END_OF_SONG, FIELDS, NOTE, TYPE
from mmt.sampling.decoding import draw_event
from mmt.sampling.filters import Filters
from mmt.sampling.grammar import Bounds, StrictGrammar
from mmt.training.loss import losses

EVENTS, LENGTHS = 1024, (5, 128, 256, 512, 768, 1023)
TRIO = mmt.prompt.instruments("violin", "viola", "cello")


def lively_model(recipe: str = "paper", **changes: Any) -> mmt.Model:
    """Untrained, but with a mind for notes and for the beat where it is: plain random weights leap to the last note."""
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
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


# The original way.


def original_event(network: Network, codes: Tensor) -> Tensor:
    """The next event after codes (1, length, 6), as the original code has it: all logits of the whole prefix, of which the
    last are drawn from, a field after the other."""
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
    """The next event by our own network and sampling, without a cache."""
    rules = StrictGrammar(codes[0].numpy(), 1, model.network.config.sizes, Bounds(EVENTS + 1, 256))
    hidden = model.network.hidden(codes)[:, -1]
    return torch.from_numpy(draw_event(model.network.heads, hidden, rules, Filters(), np.full((1, 6), 0.5, np.float32)))


def seconds_a_piece(one_event: Callable[[int], object]) -> float:
    """The seconds of a whole piece from those of an event at several lengths, by straight lines between them."""
    seconds = [best(lambda length=length: one_event(length), 3) for length in LENGTHS]  # type: ignore[misc]
    return float(np.interp(np.arange(len(TRIO), EVENTS), LENGTHS, seconds).sum())


# Limits.


def bandwidth() -> float:
    """Bytes a second."""
    numbers = torch.ones(2**26)
    return 4 * numbers.numel() / best(lambda: numbers.sum(), 20)


def arithmetic() -> float:
    """Floating-point operations a second: a plain product of matrices, or one of oneDNN's, whichever is faster."""
    linear, rows = nn.Linear(1024, 1024, bias=False), torch.randn(1024, 1024)
    packed = PackedLinear(linear)
    return 2 * 1024**3 / min(best(lambda: linear(rows), 20), best(lambda: packed(rows), 20))


def limit(network: Network, batch: int, events: int) -> tuple[float, str]:
    """The seconds that an event of each of a batch of pieces takes at least, at the mean length, and what limits it."""
    config = network.config
    weights = sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Linear))
    cached = 2 * config.layers * config.heads * config.head_dim * (len(TRIO) + events) / 2
    memory = 4 * (weights + batch * cached) / bandwidth()
    # A product and a sum for each weight, and for each cached key and value.
    compute = 2 * batch * (weights + cached) / arithmetic()
    return max((memory, "memory"), (compute, "arithmetic"))


# `generate`.


def generation(model: mmt.Model, batch: int, events: int = EVENTS) -> float:
    """Seconds an event of each piece."""
    begun = time.perf_counter()
    pieces = model.generate(TRIO, batch, 0, max_events=events)
    assert all(len(piece) == events for piece in pieces), "every piece is to be written to the last event"
    return (time.perf_counter() - begun) / (events - len(TRIO))


def by_length(model: mmt.Model, events: int = 4096, part: int = 512) -> list[tuple[int, float]]:
    """The median seconds of an event, in parts of a piece that goes on past the context."""
    marks = [time.perf_counter() for _ in model.stream(TRIO, seed=0, endless=True, max_events=events)]
    parts = np.array_split(np.diff(marks), events // part)
    return [(part * (place + 1), float(np.median(seconds))) for place, seconds in enumerate(parts)]


def by_heads(events: int = 512) -> list[str]:
    """An event of the default recipe's model with each kind of heads, in turns."""
    models = {kind: lively_model("default", output=kind) for kind in get_args(Heads)}
    rounds = [{kind: generation(model, 1, events) for kind, model in models.items()} for _ in range(4)]
    least = {kind: min(times[kind] for times in rounds) for kind in models}
    return [
        f"| {kind} | {1000 * seconds:.2f} | {seconds / least['independent']:.2f} |" for kind, seconds in least.items()
    ]


# Narrower weights.


def linear_maps() -> list[str]:
    """A block's largest map, 20 of them so that they do not fit into a core's own memory: ms for 1 and 32 rows."""
    weights = [torch.randn(2048, 512) for _ in range(20)]
    narrow = [weight.bfloat16() for weight in weights]
    scales = [weight.abs().amax(dim=1) / 127 for weight in weights]
    small = [(weight / scale[:, None]).round().to(torch.int8) for weight, scale in zip(weights, scales, strict=True)]
    ops = torch.ops.mkldnn
    packed = [ops._reorder_linear_weight(weight, 64) for weight in weights]
    narrow_packed = [ops._reorder_linear_weight(weight, 64) for weight in narrow]
    half = [scale.bfloat16() for scale in scales]

    def times(one: Callable[[Tensor, int], object], dtype: torch.dtype = torch.float32) -> str:
        cells = []
        for rows in (2, 32):
            inputs = torch.randn(rows, 512).to(dtype)
            cells.append(f"{1000 * best(lambda inputs=inputs: [one(inputs, i) for i in range(20)], 20):.2f}")  # type: ignore[misc]
        return " | ".join(cells)

    none = (None, "none", [], "")
    return [
        f"| float32, as they are | {times(lambda x, i: F.linear(x, weights[i]))} |",
        f"| float32, packed (what `generate` does) | {times(lambda x, i: ops._linear_pointwise(x, packed[i], *none))} |",
        f"| bfloat16, as they are | {times(lambda x, i: F.linear(x, narrow[i]), torch.bfloat16)} |",
        f"| bfloat16, packed | {times(lambda x, i: ops._linear_pointwise(x, narrow_packed[i], *none), torch.bfloat16)} |",
        f"| int8, by rows | {times(lambda x, i: torch._weight_int8pack_mm(x, small[i], half[i]), torch.bfloat16)} |",
    ]


def narrow_losses(corpus: Path, windows: int) -> list[str]:
    """The validation loss of the shipped model, with its linear maps rounded."""
    model = mmt.load_model()
    limits = Limits(model.network.config.context, model.representation.beats)
    batches = ValidationBatches(mmt.Corpus(corpus, split="valid"), limits, batch_size=4, windows=windows)

    def int8(weight: Tensor) -> Tensor:
        scale = weight.abs().amax(dim=1, keepdim=True) / 127
        return (weight / scale).round() * scale

    def loss(rounded: Callable[[Tensor], Tensor]) -> float:
        network = copy.deepcopy(model.network)
        for module in network.modules():
            if isinstance(module, nn.Linear):
                module.weight.data = rounded(module.weight.data)
        with torch.inference_mode():
            parts = [
                losses(network(codes[:, :-1], targets=codes[:, 1:]), codes, batch.lengths)
                for batch in (batches[i] for i in range(len(batches)))
                for codes in [batch.codes]
            ]
        return float(sum(part.nats.sum() for part in parts) / sum(part.notes for part in parts))

    plain = loss(lambda weight: weight)
    return [
        f"| float32 | {plain:.4f} | |",
        f"| bfloat16 | {(narrow := loss(lambda w: w.bfloat16().float())):.4f} | {narrow - plain:+.4f} |",
        f"| int8, by rows | {(small := loss(int8)):.4f} | {small - plain:+.4f} |",
    ]


# The table.


def on_the_processor() -> list[str]:
    model = lively_model()
    piece = torch.from_numpy(model.generate(TRIO, seed=0, max_events=EVENTS)[0])[None]
    with torch.inference_mode():
        original = seconds_a_piece(lambda length: original_event(model.network, piece[:, :length]))
        whole = seconds_a_piece(lambda length: over_the_whole_prefix(model, piece[:, :length]))
    written = EVENTS - len(TRIO)
    alone, many = min(generation(model, 1) for _ in range(3)), generation(model, 32)
    least, what = limit(model.network, 1, EVENTS)
    least_many, what_many = limit(model.network, 32, EVENTS)
    return [
        "| way | batch | events a second | against it, `generate` is |",
        "|---|---:|---:|---:|",
        f"| the original way | 1 | {written / original:.1f} | {original / written / alone:.0f} times as fast |",
        f"| our network over the whole prefix | 1 | {written / whole:.1f} | {whole / written / alone:.0f} times as fast |",
        f"| `generate` | 1 | {1 / alone:.0f} | |",
        f"| its limit ({what}) | 1 | {1 / least:.0f} | {alone / least:.2f} times as slow |",
        f"| `generate` | 32 | {32 / many:.0f} | {32 * alone / many:.1f} times batch 1 |",
        f"| its limit ({what_many}) | 32 | {32 / least_many:.0f} | {many / least_many:.2f} times as slow |",
        "",
        f"Memory is read at {bandwidth() / 1e9:.0f} GB/s, arithmetic done at {arithmetic() / 1e9:.0f} GFLOP/s. Against the 2.5 "
        f"events a second that the original code itself makes on two such cores: {1 / alone / 2.5:.0f} times.",
        "",
        "An event of a piece that goes on past the context of 1,024 events, batch 1:",
        "",
        "| up to event | ms, median |",
        "|---:|---:|",
        *(f"| {length:,} | {1000 * seconds:.2f} |" for length, seconds in by_length(model)),
    ]


def on_the_gpu() -> list[str]:
    if not torch.cuda.is_available():
        return ["Not measured: no GPU here. (The rows below are made where there is one.)"]
    model = lively_model().to("cuda")
    generation(model, 1, 64)
    return [
        "| batch | events a second |",
        "|---:|---:|",
        *(f"| {batch} | {batch / generation(model, batch):,.0f} |" for batch in (1, 32, 256)),
    ]


def main() -> None:
    """Measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, help="prepared corpus, for what narrower weights cost in loss")
    parser.add_argument("--windows", type=int, default=96, help="validation windows for that")
    chosen = parser.parse_args()
    torch.set_num_threads(2)
    lines = [
        "# Generation",
        "",
        f"The paper's model ({mmt.new_model('paper')!r}), random weights, float32, two threads, {EVENTS:,} events. Made by "
        "`benchmarks/generation.py`, which says what is measured.",
        "",
        *on_the_processor(),
        "",
        "## Heads",
        "",
        "The default recipe's model (rotary positions by time), batch 1, 512 events:",
        "",
        "| heads | ms an event | to independent |",
        "|---|---:|---:|",
        *by_heads(),
        "",
        "## Narrower weights",
        "",
        "20 maps of 512 to 2,048, in ms:",
        "",
        "| weights | 2 rows | 32 rows |",
        "|---|---:|---:|",
        *linear_maps(),
    ]
    if chosen.corpus is not None:
        lines += ["", f"The shipped model's loss on {chosen.windows} validation windows, nats a note:", ""]
        lines += ["| weights | loss | more |", "|---|---:|---:|", *narrow_losses(chosen.corpus, chosen.windows)]
    lines += ["", "## GPU", "", *on_the_gpu()]
    result = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(result, encoding="utf-8")
    print(result)


if __name__ == "__main__":
    main()
