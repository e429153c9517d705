"""The operations of the HTTP API: functions of the context, the values in path and query, and a checked body, which return JSON.

`OPERATIONS` lists them all: the routes and the OpenAPI description are made from it. `revision` in an answer grows with each
change of a piece; a change by hand names the revision that it is based on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

import mmt.studio.requests as ask
from mmt.representation.codes import NOTE, TYPE, is_note
from mmt.representation.ensembles import find_instruments
from mmt.sampling.editing.form import check_form
from mmt.studio import inside, uploads
from mmt.studio.catalog import EXAMPLES, ensembles_for, instruments_of, read_example, sound_of
from mmt.studio.context import Context
from mmt.studio.pieces import Piece
from mmt.studio.scores import events_of, rows_of, score_of
from mmt.studio.security import MOST_UPLOAD
from mmt.studio.tasks import assembled
from mmt.studio.work import Job

Json = dict[str, Any] | list[Any]
_ATTENTION_TIME = 120.0
"""Seconds to wait for the model's thread, which may have music to finish first."""


@dataclass(frozen=True)
class Operation:
    """An operation of the API: `GET /pieces/{piece}`. Its function gets the piece or job that the path names."""

    method: str
    path: str
    function: Callable[..., Json]
    body: type[Any] | None = None
    """A dataclass of `mmt.studio.requests`, or bytes for a file."""
    query: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        if self.function is start and self.body is not None:
            return f"{self.body.__doc__} Starts a job that writes alternatives."
        return (self.function.__doc__ or "").split("\n")[0]


def status(context: Context) -> Json:
    """The model, and whether it is ready to write."""
    model, representation = context.model, context.representation
    return {
        "ready": context.worker.is_ready,
        "trouble": context.worker.trouble,
        "model": context.checkpoint or "the model that comes with mmt",
        "parameters": sum(one.numel() for one in model.network.parameters()),
        "layers": model.network.config.layers,
        "drums": representation.drums,
        "given": representation.given,
        "length": representation.length,
        "resolution": representation.resolution,
        "durations": list(representation.durations),
        "originality": context.corpus is not None,
        "first": context.first_piece,
        "most_alternatives": ask.MOST_ALTERNATIVES,
        "most_upload": MOST_UPLOAD // 2**20,
    }


def instruments(context: Context) -> Json:
    """The instruments of the model, and ready ensembles."""
    listed = instruments_of(context.representation)
    return {"instruments": listed, "ensembles": ensembles_for(context.representation), "examples": list(EXAMPLES)}


def sound(context: Context, name: str) -> Json:
    """Recordings of an instrument, for a player: mu-law samples in base64."""
    return sound_of(name, context.representation)


def list_pieces(context: Context) -> Json:
    """All pieces of the session, the latest first."""
    return [
        {"id": piece.id, "title": piece.version.title, "changed": piece.changed, "parts": piece.parts}
        for piece in context.store.latest()
    ]


def create(context: Context, body: ask.NewPiece) -> Json:
    """Make a new, empty piece for some instruments."""
    codes = [code for one in body.instruments for code in find_instruments(one, context.representation)]
    parts = [context.representation.names[code - 1] for code in dict.fromkeys(codes)]
    empty = assembled([np.zeros((0, 6), np.int64)], parts, context.representation)
    piece = context.store.create(empty, {"what": "new piece"}, title=body.title, parts=parts)
    return shown(context, piece)


def open_example(context: Context, name: str) -> Json:
    """Make a piece from an example."""
    return from_file(context, *read_example(name))


def from_file(context: Context, name: str = "", body: bytes = b"") -> dict[str, Any]:
    """Make a piece from a MIDI, MusicXML or ABC file, the body of the request; `name` is the file's name."""
    found = uploads.read_upload(name, body, context.representation)
    names = context.representation.names
    parts = [names[code - 1] for code in np.unique(found.events[is_note(found.events), -1])]
    made = {"what": "opened", "file": name[:200]}
    piece = context.store.create(
        found.events, made, title=found.title, parts=parts, report=found.report, signatures=found.signatures
    )
    return shown(context, piece)


def shown(context: Context, piece: Piece) -> dict[str, Any]:
    """A piece: its notes, history, alternatives and running job."""
    with context.store.lock:
        job = context.worker.job_of(piece.id)
        return {
            "id": piece.id,
            "revision": piece.revision,
            "title": piece.version.title,
            "report": piece.report,
            "mix": piece.mix,
            "score": score_of(piece, context.representation),
            "history": [
                {"what": one.made.get("what", ""), "tempo": one.tempo, "title": one.title} | one.made
                for one in piece.versions
            ],
            "current": piece.current,
            "job": described(job) if job else None,
            "alternatives": [
                one | {"notes": rows_of(piece.alternative(one["number"]), context.representation)}
                for one in (piece.alternatives if job is None else [])
            ],
        }


def delete(context: Context, piece: Piece) -> Json:
    """Delete a piece with its history."""
    context.end_job(piece)
    context.store.delete(piece.id)
    return {"deleted": piece.id}


def start(context: Context, piece: Piece, body: ask.Sampling) -> Json:
    """Start the job of a request."""
    if isinstance(body, ask.Whole | ask.AddPart | ask.Give):
        named = [body.instrument] if isinstance(body, ask.AddPart) else body.instruments
        for name in named:
            find_instruments(name, context.representation)
    if isinstance(body, ask.Compose):
        check_form(body.form, body.section, context.representation)
        if len(body.form) * body.section > ask.MOST_BEATS:
            raise ask.BadRequestError(
                f"{len(body.form)} sections of {body.section} beats are {len(body.form) * body.section} beats; "
                f"a piece may get up to {ask.MOST_BEATS}"
            )
    return described(context.start(piece, body))


def keep(context: Context, piece: Piece, body: ask.Keep) -> Json:
    """Keep an alternative as the next version; the others are dropped."""
    context.end_job(piece)
    with context.store.lock:
        piece.keep(body.alternative)
    return shown(context, piece)


def discard(context: Context, piece: Piece) -> Json:
    """Drop all alternatives, and stop writing them."""
    context.end_job(piece)
    with context.store.lock:
        piece.drop_alternatives()
    return shown(context, piece)


def change_notes(context: Context, piece: Piece, body: ask.Notes) -> Json:
    """Remove notes and add others by hand, as one step of the history."""
    representation = context.representation
    with context.store.lock:
        piece.check(body.revision)
        events = piece.events()
        notes = events[events[:, TYPE] == NOTE]
        if any(not 0 <= index < len(notes) for index in body.remove):
            raise ask.BadRequestError(f"remove must hold indices of notes, 0 to {len(notes) - 1}")
        if len(notes) - len(set(body.remove)) + len(body.add) > ask.MOST_NOTES:
            raise ask.BadRequestError(f"a piece may have up to {ask.MOST_NOTES:,} notes")
        kept = np.delete(notes, sorted(set(body.remove)), axis=0)
        added = events_of(body.add, representation)
        piece.parts = [name for name in piece.parts if name in representation.names]
        piece.add(assembled([kept, added], piece.parts, representation), {"what": body.what})
    return shown(context, piece)


def change_details(context: Context, piece: Piece, body: ask.Details) -> Json:
    """Change the title or the tempo, as one step of the history."""
    with context.store.lock:
        piece.check(body.revision)
        what = "tempo changed" if body.tempo is not None else "title changed"
        piece.add(piece.events(), {"what": what}, title=body.title, tempo=body.tempo)
    return shown(context, piece)


def go(context: Context, piece: Piece, body: ask.Go) -> Json:
    """Go to another version of the history: undo and redo."""
    with context.store.lock:
        piece.go(body.version)
    return shown(context, piece)


def set_mix(context: Context, piece: Piece, body: ask.Mix) -> Json:
    """Keep volume, mute and solo of the parts."""
    with context.store.lock:
        piece.save(mix=asdict(body), is_revision=False)
    return {"kept": True}


def surprise(context: Context, piece: Piece) -> Json:
    """How surprising each note was to the model, in nats, in the order of the notes."""
    events = piece.events()
    return {"nats": context.worker.call(partial(inside.surprise, context.model, events), _ATTENTION_TIME)}


def attention(context: Context, piece: Piece, note: str, layer: str = "") -> Json:
    """The notes that the model attends to when it has read a note: rows of (note, share of the attention)."""
    if not note.isdigit() or not (layer.isdigit() or not layer) or len(note + layer) > 12:
        raise ask.BadRequestError("note and layer must be whole numbers")
    events = piece.events()
    attention_of = partial(inside.attention, context.model, events, int(note), int(layer) if layer else None)
    return {"attends": context.worker.call(attention_of, _ATTENTION_TIME)}


def originality(context: Context, piece: Piece) -> Json:
    """Compare the current version of a piece with the training music: the longest runs that they share."""
    return context.originality(piece)


def job(context: Context, job: Job) -> Json:
    """The state of a job. Its messages come from `/jobs/{job}/events` as they arise (server-sent events)."""
    return described(job)


def stop(context: Context, job: Job) -> Json:
    """Stop a job; what is written so far can be kept."""
    context.worker.stop(job)
    return described(job)


def described(job: Job) -> dict[str, Any]:
    """A job as the API gives it."""
    return {"id": job.id, "piece": job.piece, "status": job.status, **job.about}


OPERATIONS = [
    Operation("GET", "/status", status),
    Operation("GET", "/instruments", instruments),
    Operation("GET", "/sounds/{name}", sound),
    Operation("GET", "/pieces", list_pieces),
    Operation("POST", "/pieces", create, ask.NewPiece),
    Operation("POST", "/files", from_file, bytes, query=("name",)),
    Operation("POST", "/examples/{name}", open_example),
    Operation("GET", "/pieces/{piece}", shown),
    Operation("DELETE", "/pieces/{piece}", delete),
    Operation("POST", "/pieces/{piece}/write", start, ask.Write),
    Operation("POST", "/pieces/{piece}/compose", start, ask.Compose),
    Operation("POST", "/pieces/{piece}/continue", start, ask.Continue),
    Operation("POST", "/pieces/{piece}/rewrite", start, ask.Rewrite),
    Operation("POST", "/pieces/{piece}/add-part", start, ask.AddPart),
    Operation("POST", "/pieces/{piece}/give", start, ask.Give),
    Operation("POST", "/pieces/{piece}/keep", keep, ask.Keep),
    Operation("POST", "/pieces/{piece}/discard", discard),
    Operation("POST", "/pieces/{piece}/notes", change_notes, ask.Notes),
    Operation("POST", "/pieces/{piece}/details", change_details, ask.Details),
    Operation("POST", "/pieces/{piece}/go", go, ask.Go),
    Operation("POST", "/pieces/{piece}/mix", set_mix, ask.Mix),
    Operation("GET", "/pieces/{piece}/surprise", surprise),
    Operation("GET", "/pieces/{piece}/attention/{note}", attention, query=("layer",)),
    Operation("POST", "/pieces/{piece}/originality", originality),
    Operation("GET", "/jobs/{job}", job),
    Operation("POST", "/jobs/{job}/stop", stop),
]
