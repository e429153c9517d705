"""Pieces that a model generates for common ensembles: instruments that hardly play, ranges, endings, loops, silences.

    python benchmarks/ensembles.py --corpus data/NAME -o benchmarks/ensembles.md

All 24 ensembles have the same seeds. The reference row has the beginnings of real pieces, cut to the same number of events.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import mmt
from mmt.analysis.report import table
from mmt.corpus.windows import Limits, cut_window
from mmt.representation.codes import Events

# The model has one part for each instrument: a string quartet is a string trio, a piano quintet has one violin.
ENSEMBLES: dict[str, tuple[str, ...]] = {
    "solo piano": ("piano",),
    "solo guitar": ("nylon-string-guitar",),
    "voice and piano": ("voices", "piano"),
    "violin and piano": ("violin", "piano"),
    "flute and piano": ("flute", "piano"),
    "flute and harp": ("flute", "harp"),
    "guitar and flute": ("nylon-string-guitar", "flute"),
    "accordion and violin": ("accordion", "violin"),
    "string trio or quartet": ("violin", "viola", "cello"),
    "string quintet": ("violin", "viola", "cello", "contrabass"),
    "piano trio": ("piano", "violin", "cello"),
    "piano quintet": ("piano", "violin", "viola", "cello"),
    "clarinet trio": ("clarinet", "cello", "piano"),
    "wind quintet": ("flute", "oboe", "clarinet", "horn", "bassoon"),
    "brass quintet": ("trumpet", "horn", "trombone", "tuba"),
    "saxophone quartet": ("soprano-saxophone", "alto-saxophone", "tenor-saxophone", "baritone-saxophone"),
    "organ and choir": ("church-organ", "voices"),
    "choir and strings": ("voices", "strings"),
    "baroque": ("recorder", "violin", "cello", "harpsichord"),
    "jazz band": ("alto-saxophone", "trumpet", "piano", "bass"),
    "rock band": ("electric-guitar", "electric-bass", "organ", "voices"),
    "synthesisers": ("lead", "pad", "synth-bass", "electric-piano"),
    "orchestra": (
        "flute", "oboe", "clarinet", "bassoon", "horn", "trumpet", "timpani", "violin", "viola", "cello", "contrabass",
    ),
    "the talk's ensemble": ("church-organ", "viola", "contrabass", "strings", "voices", "horn", "oboe"),
}  # fmt: skip
FEW_NOTES, SHORT, LOOP, SILENCE, NEAR = 4, 16, 16, 8, 4
COLUMNS = (
    "ensemble", "pieces", f"an instrument plays fewer than {FEW_NOTES} notes", "such instruments", "which",
    "notes in range, %", "ends by itself", f"ends within {NEAR} beats of the told length", f"ends before beat {SHORT}",
    f"loop of {LOOP} beats or more", f"silence of {SILENCE} beats or more",
)  # fmt: skip

PAGE = """# Ensembles

Pieces by {model} for {ensembles} ensembles, seeds 0 to {last} each, {limit}, with {settings} and `use_all=True`, as
`mmt-generate --instruments` sets it; one row is without it. Made by `benchmarks/ensembles.py`, which lists the
instruments of each ensemble. Numbers are counts of pieces.

{table}

- *Plays fewer than {few} notes*: of the instruments that were asked for; in a real piece, of those that play in the part
  that is measured.
- *Notes in range*: `mmt.metrics.share_in_range`, mean over pieces; instruments without a known range are left out.
- *Ends by itself*: the end was sampled before the limit of events, or of the network's {beats} beats. *Before beat
  {short}*: such a piece has fewer than {short} beats.
- *Told length*: {length}
- *Loop*: `mmt.metrics.longest_loop`. At least {loop} beats in a row each repeat the beat one period before, note for
  note, for a period of 1 to 8 beats. The first period is not counted.
- *Silence*: `mmt.metrics.longest_silence`. Between the first onset and the last, no note sounds for at least {silence}
  beats.
- *Real pieces*: {real}

Pieces in which an instrument plays fewer than {few} notes, of all pieces that ask for it: {instruments}.
With `use_all=False`: {without}.

The pieces with loops and silences, with the length in beats. `model.generate(mmt.prompt.instruments(…), seed=…, {call})`
reproduces them.

{flagged}
"""


@dataclass(frozen=True)
class Measured:
    """The metrics of some pieces; arrays have one number per piece."""

    notes: list[dict[str, int]]
    in_range: np.ndarray
    ended: np.ndarray
    beats: np.ndarray
    loop: np.ndarray
    silence: np.ndarray
    length: int | None = None
    """The length in beats that the model was told; None if it was not told."""

    @classmethod
    def of(
        cls, pieces: Sequence[Events], limits: Limits, representation: mmt.Representation, length: int | None = None
    ) -> Measured:
        """Measure pieces that were generated or cut within limits."""
        scores = mmt.metrics.evaluate(
            pieces, max_events=limits.events, max_beats=limits.beats, representation=representation
        )

        def each(measure: Any) -> np.ndarray:
            return np.array([measure(piece, representation=representation) for piece in pieces])

        return cls(
            notes=[mmt.metrics.notes_by_instrument(piece, representation=representation) for piece in pieces],
            in_range=each(mmt.metrics.share_in_range),
            ended=scores.values["ends_by_itself"] == 1,
            beats=scores.values["beats"],
            loop=each(mmt.metrics.longest_loop),
            silence=each(mmt.metrics.longest_silence),
            length=length,
        )

    @classmethod
    def together(cls, parts: Sequence[Measured]) -> Measured:
        """Combine the metrics of several sets of pieces."""
        arrays = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("in_range", "ended", "beats", "loop", "silence")
        }
        return cls([notes for part in parts for notes in part.notes], **arrays, length=parts[0].length)

    def row(self, name: str, *, instruments: bool = True, endings: bool = True) -> list[str]:
        """A row of the table, with or without the names of instruments that hardly play and the number of endings."""
        few = self.few_notes()
        return [
            name,
            str(len(self.notes)),
            count_of([min(notes.values()) < FEW_NOTES for notes in self.notes]),
            f"{few.total()} of {sum(map(len, self.notes))}",
            ", ".join(f"{instrument} {count}" for instrument, count in few.most_common()) if instruments else "",
            "" if np.isnan(self.in_range).all() else f"{100 * np.nanmean(self.in_range):.1f}",
            count_of(self.ended) if endings else "",
            "" if self.length is None else count_of(self.ended & (abs(self.beats - self.length) <= NEAR)),
            count_of(self.ended & (self.beats < SHORT)),
            count_of(self.loop >= LOOP),
            count_of(self.silence >= SILENCE),
        ]

    def few_notes(self) -> Counter[str]:
        """Number of pieces in which each requested instrument plays fewer than four notes."""
        return Counter(name for notes in self.notes for name, count in notes.items() if count < FEW_NOTES)

    def instruments(self) -> str:
        """As "accordion 16 of 16, …": these of the pieces that request the instrument, the largest share first."""
        few, asked = self.few_notes(), Counter(name for notes in self.notes for name in notes)
        names = sorted(few, key=lambda name: (-few[name] / asked[name], name))
        return ", ".join(f"{name} {few[name]} of {asked[name]}" for name in names) or "none"

    def flagged(self, name: str, pieces: Sequence[str]) -> list[str]:
        """A list item with the names of the pieces that have loops or silences; empty if there are none."""
        said = [f"{pieces[i]} loops {self.loop[i]}" for i in np.flatnonzero(self.loop >= LOOP)]
        said += [f"{pieces[i]} is silent {self.silence[i]:g}" for i in np.flatnonzero(self.silence >= SILENCE)]
        return [f"- {name}: {', '.join(said)}"] if said else []


def count_of(flags: Any) -> str:
    """Count and share of true flags: "3 (19 %)"."""
    return f"{np.sum(flags)} ({100 * np.mean(flags):.0f} %)"


def beginnings(corpus: mmt.Corpus, limits: Limits) -> list[Events]:
    """The first events of each piece of a corpus, from its first note on."""
    return [cut_window(corpus.notes(i), 0, limits, corpus.representation)[0] for i in range(len(corpus))]


def settings_of(chosen: argparse.Namespace, representation: mmt.Representation) -> tuple[dict[str, Any], Limits]:
    """Arguments of `generate` that differ from its defaults, and the limits of the pieces."""
    given = {"min_p": chosen.min_p, "length": chosen.length}
    if chosen.length is None:
        given["max_events"] = chosen.max_events
        limits = Limits(chosen.max_events, representation.beats)
    else:
        # By default a piece could only end at the told length; here the model decides.
        given |= {"min_beats": 1, "max_beats": chosen.length + 2 * NEAR}
        limits = Limits(2**31, chosen.length + 2 * NEAR)
    return {name: value for name, value in given.items() if value is not None}, limits


def main() -> None:
    """Generate and measure the pieces, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="default: the shipped model")
    parser.add_argument(
        "--corpus",
        type=Path,
        help="prepared corpus whose validation pieces are the reference row; default: no such row",
    )
    parser.add_argument(
        "--ensembles", nargs="*", choices=ENSEMBLES, default=list(ENSEMBLES), metavar="NAME", help="default: all"
    )
    parser.add_argument("-n", type=int, default=16, help="pieces for each ensemble (default: 16)")
    parser.add_argument("--max-events", type=int, default=512, help="of a piece (default: 512)")
    parser.add_argument("--min-p", type=float, help="default: the model's own sampling defaults")
    parser.add_argument(
        "--length", type=int, metavar="BEATS", help="tell the model this length; no limit of events then"
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    model = mmt.load_model(chosen.checkpoint)
    settings, limits = settings_of(chosen, model.representation)
    seeds = [f"seed {seed}" for seed in range(chosen.n)]
    rows, flagged, measured, without = [list(COLUMNS)], [], [], []
    for name in chosen.ensembles:
        prompt = mmt.prompt.instruments(ENSEMBLES[name], representation=model.representation)
        for use_all, found in ((True, measured), (False, without)):
            pieces = model.generate(prompt, seed=range(chosen.n), use_all=use_all, **settings)
            found.append(Measured.of(pieces, limits, model.representation, chosen.length))
        rows.append(measured[-1].row(name))
        flagged += measured[-1].flagged(name, seeds)
        print(*rows[-1], sep=" | ", flush=True)
    everything, free = Measured.together(measured), Measured.together(without)
    rows.append(everything.row("**all**", instruments=False))
    rows.append(free.row("**all, `use_all=False`**", instruments=False))
    real = "not measured."
    if chosen.corpus:
        corpus = mmt.Corpus(chosen.corpus, split="valid")
        windows = Limits(chosen.max_events, model.representation.beats)
        found = Measured.of(beginnings(corpus, windows), windows, corpus.representation)
        rows.append(found.row("real pieces", endings=False))
        flagged += found.flagged("real pieces", [piece.name for piece in corpus.pieces])
        real = f"the first {chosen.max_events} events of {len(corpus)} pieces of the validation split."
    page = PAGE.format(
        model=f"the model in `{chosen.checkpoint}`" if chosen.checkpoint else "the shipped model",
        ensembles=len(measured), last=chosen.n - 1,
        limit=f"at most {chosen.max_events} events per piece" if chosen.length is None else "without a limit of events",
        call=", ".join(f"{name}={value}" for name, value in {"use_all": True, **settings}.items()),
        settings=", ".join(f"{name} {value}" for name, value in settings.items() if name != "max_events")
        or "the model's sampling defaults",
        length="none." if chosen.length is None else f"{chosen.length} beats.",
        table=table(rows),
        beats=model.representation.beats, instruments=everything.instruments(),
        without=free.instruments(), real=real,
        few=FEW_NOTES, short=SHORT, loop=LOOP, silence=SILENCE,
        flagged="\n".join(flagged) or "None.",
    )  # fmt: skip
    chosen.output.write_text(page, encoding="utf-8")
    for row in rows[len(measured) + 1 :]:
        print(*row, sep=" | ")


if __name__ == "__main__":
    main()
