"""The web application: the API's operations, streams of jobs, downloads, and the files of the page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from mmt.music.atomic import FULL
from mmt.studio import api
from mmt.studio.context import Context
from mmt.studio.description import describe_html, openapi
from mmt.studio.pieces import ConflictError
from mmt.studio.requests import BadRequestError, parse
from mmt.studio.scores import KINDS, content_of, headers_for, music_of
from mmt.studio.security import Guard, TooLargeError
from mmt.studio.uploads import UploadError
from mmt.studio.work import FULL_DISK, BusyError, Job

Handler = Callable[[Request], Awaitable[Response]]

# Page files by their address: nothing else is served, so no address can name another file.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
_PAGE = resources.files("mmt.studio") / "page"
_SHARED = resources.files("mmt.music.page")
"""The player and the piano roll, which the page of `--html` has too."""
_POLL = 0.04
"""Seconds between two looks at a job that is followed."""
# The status of the answer to each error, and its text if that is not the message of the error.
_ERRORS: dict[type[Exception], tuple[int, str]] = {
    KeyError: (404, "not found; it may have been deleted"),
    ConflictError: (409, ""),
    UploadError: (422, ""),
    TooLargeError: (413, ""),
    BusyError: (503, ""),
    ClientDisconnect: (400, "the client left"),
    ValueError: (400, ""),
    TimeoutError: (503, "the model has other work to finish first; try again"),
}


def create_app(context: Context, token: str, names: set[str]) -> Guard:
    """The application; `token` stands in every address, `names` are the host names of this server."""
    routes = [
        Route("/", _file_handler("index.html", _PAGE)),
        *(Route(f"/page/{name}", _file_handler(name, _PAGE)) for name in _files(_PAGE)),
        *(Route(f"/page/shared/{name}", _file_handler(name, _SHARED)) for name in _files(_SHARED)),
        Route("/api", lambda _: HTMLResponse(describe_html())),
        Route("/api/", lambda _: RedirectResponse("../api")),
        Route("/api/openapi.json", lambda _: JSONResponse(openapi())),
        *(Route(f"/api{one.path}", _handler(context, one), methods=[one.method]) for one in api.OPERATIONS),
        Route("/api/jobs/{job}/events", partial(_follow, context)),
        Route("/api/pieces/{piece}/download/{kind}", partial(_download, context)),
    ]
    answers = {error: _answer(status, text) for error, (status, text) in _ERRORS.items()}
    return Guard(Starlette(routes=routes, exception_handlers=answers | {OSError: _answer_full_disk}), token, names)


def _handler(context: Context, operation: api.Operation) -> Handler:
    async def handle(request: Request) -> Response:
        values: dict[str, Any] = dict(request.path_params)
        values |= {name: request.query_params[name] for name in operation.query if name in request.query_params}
        if operation.body is bytes:
            values["body"] = await request.body()
        elif operation.body is not None:
            values["body"] = parse(operation.body, _json(await request.body()))
        for name, get in (("piece", context.store.get), ("job", context.worker.get)):
            if name in values:
                values[name] = get(values[name])
        return JSONResponse(await run_in_threadpool(operation.function, context, **values))

    return handle


def _answer(status: int, text: str) -> Callable[[Request, Exception], Awaitable[Response]]:
    """A handler of an error, which answers with one line."""

    async def answer(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": text or " ".join(str(error).split())}, status)

    return answer


async def _answer_full_disk(_: Request, error: Exception) -> Response:
    if getattr(error, "errno", None) not in FULL:
        raise error
    return JSONResponse({"error": FULL_DISK}, 507)


def _json(body: bytes) -> Any:
    try:
        found = json.loads(body or b"{}", parse_constant=_no_constant)
        json.dumps(found, ensure_ascii=False).encode()  # halves of surrogate pairs cannot be written
        return found
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"the body is not JSON: {error}") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


async def _follow(context: Context, request: Request) -> Response:
    """The messages of a job as server-sent events, from the first (or after `Last-Event-ID`) to the last."""
    job = context.worker.get(request.path_params["job"])
    seen = request.headers.get("last-event-id", "")
    first = int(seen) + 1 if seen.isdigit() and len(seen) < 10 else 0
    return StreamingResponse(_events(context, job, first), media_type="text/event-stream")


async def _events(context: Context, job: Job, first: int) -> AsyncIterator[str]:
    sent = first
    while not context.is_ending:
        is_over = job.is_over  # looked up first, so that no later message is lost
        ready = job.messages[sent:]
        for message in ready:
            yield f"id: {sent}\ndata: {json.dumps(message, separators=(',', ':'))}\n\n"
            sent += 1
        if is_over:
            return
        await asyncio.sleep(_POLL)


async def _download(context: Context, request: Request) -> Response:
    """A piece as a file; `?alternative=N` for one that was not kept yet."""
    piece, kind = context.store.get(request.path_params["piece"]), request.path_params["kind"]
    if kind not in KINDS:
        raise BadRequestError(f"choose {', '.join(KINDS)}")
    number = request.query_params.get("alternative")
    if number is not None and not (number.isdigit() and len(number) < 4):
        raise BadRequestError("alternative must be a number")
    events = piece.events() if number is None else piece.alternative(int(number))
    music = music_of(piece, events, context.representation)
    content = await run_in_threadpool(content_of, music, kind)
    return Response(content, headers=headers_for(piece.version.title, kind))


def _files(folder: Traversable) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if one.name.endswith((".js", ".css")))


def _file_handler(name: str, folder: Traversable) -> Handler:
    async def send(_: Request) -> Response:
        content = (folder / name).read_bytes()
        return Response(content, media_type=_TYPES[f".{name.rsplit('.', 1)[1]}"])

    return send
