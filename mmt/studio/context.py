"""What all handlers of the API share: the model, its worker, and the pieces."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmt.representation.codes import Events, Representation, is_note
from mmt.sampling.model import Model
from mmt.studio.pieces import Piece, Store
from mmt.studio.requests import Sampling
from mmt.studio.tasks import Task, about_request, assembled
from mmt.studio.work import Job, Worker
from mmt.studio.writing import run


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
            piece.drop_alternatives()
        return job

    def _keep_alternative(self, job: Job, piece: Piece, number: int, events: Events, made: dict[str, Any]) -> None:
        with self.store.lock:
            latest = self.worker.job_of(piece.id)
            if piece.folder.is_dir() and (latest is None or latest is job):
                piece.set_alternative(number, events, made)

    def originality(self, piece: Piece) -> str:
        """What the piece shares with the corpus; takes the model's thread, since it needs a core."""
        from mmt.analysis.originality import Index, compare
        from mmt.corpus.storage import Corpus

        if self.corpus is None:
            raise ValueError(
                "there is no corpus to compare with: start mmt-studio with --corpus FOLDER, the prepared training music "
                "(the model's card says which)"
            )
        self.index = self.index or Index(Corpus(self.corpus, split="train"))
        found = compare([piece.events()], self.index, representation=self.representation)
        first = found.pieces[0]
        runs = {"longest run in one part": first.part, "longest run of the texture": first.texture}
        lines = [f"{name}: {shared or 'no two notes'}" for name, shared in runs.items()]
        verdict = "The piece stands out: compare it with the piece named above." if found.stands_out(0) else (
            "That is no more than real pieces share with each other."
        )  # fmt: skip
        return "\n".join([*lines, verdict])

    def _warm_up(self) -> None:
        # The first event compiles the decoder, which takes up to half a minute once on a machine.
        self.model.generate(n=2, seed=0, max_beats=1, max_events=12)
