"""What all handlers of the API share: the model, its worker, and the pieces."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from mmt.representation.codes import Events, Representation, is_note
from mmt.representation.decode import decode
from mmt.sampling.model import Model
from mmt.studio.pieces import Piece, Store
from mmt.studio.requests import Sampling
from mmt.studio.tasks import Task, about_request, assembled
from mmt.studio.work import Job, Worker
from mmt.studio.writing import run

_ORIGINALITY_TIME = 900.0
"""Seconds: the first comparison sorts the corpus."""


@dataclass
class Context:
    """A session: its model and pieces."""

    model: Model
    store: Store
    checkpoint: str = ""
    """The model as a command takes it; "" for the one that mmt ships."""
    corpus: Path | None = None
    """The prepared corpus that originality is checked against."""
    first_piece: str = ""
    """The piece that the page opens with."""
    is_ending: bool = False
    worker: Worker = field(init=False)
    index: Any = None
    """The sorted corpus, once it was asked for."""

    def __post_init__(self) -> None:
        self.worker = Worker(self._warm_up)

    @property
    def representation(self) -> Representation:
        """The model's representation."""
        return self.model.representation

    def start(self, piece: Piece, request: Sampling) -> Job:
        """Queue the job of a request for a piece; earlier alternatives are dropped."""
        with self.store.lock:
            # Instruments that do not play are not in the file that the commands read either.
            events = piece.events()
            events = assembled([events[is_note(events)]], [], self.representation)
            task = Task(
                self.model, self.checkpoint, events, list(piece.parts), request,
                lambda number, events, made: self._keep_alternative(job, piece, number, events, made),
            )  # fmt: skip
            job = self.worker.submit(piece.id, lambda job: run(job, task), about_request(request))
            try:
                piece.drop_alternatives()
            except OSError:
                self.worker.stop(job)
                raise
        return job

    def _keep_alternative(self, job: Job, piece: Piece, number: int, events: Events, made: dict[str, Any]) -> None:
        with self.store.lock:
            latest = self.worker.job_of(piece.id)
            if piece.folder.is_dir() and (latest is None or latest is job):
                piece.set_alternative(number, events, made)

    def end_job(self, piece: Piece) -> None:
        """Stop the job of a piece, if it has one, and wait until it is over."""
        if (job := self.worker.job_of(piece.id)) is not None:
            self.worker.stop(job)
            job.over.wait(10)

    def originality(self, piece: Piece) -> dict[str, Any]:
        """What the notes of a piece share with the corpus; those of the file that it was opened from are left out.

        It takes the model's thread, since it needs a core.
        """
        if self.corpus is None:
            raise ValueError(
                "there is no corpus to compare with: start mmt-studio with --corpus FOLDER, the prepared training music "
                "(the model's card says which)"
            )
        with self.store.lock:
            events = piece.events()
            opened = piece.events(0) if "file" in piece.versions[0].made else None
        if not is_note(events).any():
            raise ValueError("the piece has no notes yet; write it first")
        found: dict[str, Any] = self.worker.call(partial(self._compare, events, opened), _ORIGINALITY_TIME)
        return found

    def _compare(self, events: Events, opened: Events | None) -> dict[str, Any]:
        from mmt.analysis.originality import Index, compare, without_prompt
        from mmt.corpus.storage import Corpus

        new = events if opened is None else without_prompt(events, opened)
        is_whole = opened is None or not is_note(new).any()
        self.index = self.index or Index(Corpus(cast(Path, self.corpus), split="train"))
        found = compare([events if is_whole else new], self.index, representation=self.representation)
        compared = "all notes" if is_whole else f"{is_note(new).sum()} notes that are not in the file that was opened"
        stands_out = found.stands_out(0)
        verdict = "No more than real pieces share with each other."
        if stands_out:
            verdict = "Much more than real pieces share with each other: the training piece named here may be copied."
        return {"text": f"{verdict}\n{found.pieces[0]}\ncompared: {compared}", "stands_out": stands_out}

    def _warm_up(self) -> None:
        # The first event compiles the decoder, which takes ten to twenty seconds, once on a machine.
        [piece, _] = self.model.generate(n=2, seed=0, max_beats=1, max_events=12)
        decode(piece, representation=self.representation)  # imports muspy, which takes seconds
