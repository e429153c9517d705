"""The description of the HTTP API: OpenAPI 3.1, and the same as a page to read."""

from __future__ import annotations

import html
import re
from typing import Any

from mmt.studio.api import OPERATIONS, Operation
from mmt.studio.requests import schema
from mmt.studio.scores import KINDS

_INTRODUCTION = (
    "Every address begins with the session's token, as in the address that mmt-studio prints: "
    "http://127.0.0.1:8642/TOKEN/api/… ; or send the header 'Authorization: Bearer TOKEN' to http://127.0.0.1:8642/api/… . "
    "Bodies and answers are JSON. An error is "
    '{"error": "one line"}.'
)


def openapi() -> dict[str, Any]:
    """The OpenAPI document."""
    paths: dict[str, Any] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    answer = {"description": "Messages, the last of type done, stopped or failed", "content": {"text/event-stream": {}}}
    paths["/jobs/{job}/events"] = {
        "get": {
            "summary": "The messages of a job as they arise (server-sent events).",
            "operationId": "get_jobs_job_events",
            "parameters": [_parameter("job", "path")],
            "responses": {"200": answer},
        }
    }
    paths["/pieces/{piece}/download/{kind}"] = {
        "get": {
            "summary": f"The piece as a file: {', '.join(KINDS)}.",
            "operationId": "get_pieces_piece_download_kind",
            "parameters": [
                _parameter("piece", "path"),
                _parameter("kind", "path") | {"schema": {"enum": list(KINDS)}},
                _parameter("alternative", "query"),
            ],
            "responses": {"200": {"description": "The file"}},
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "mmt-studio", "version": "1", "description": _INTRODUCTION},
        "servers": [{"url": "."}],
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
        "paths": paths,
    }


def _operation(one: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "summary": one.summary,
        "operationId": re.sub(r"\W+", "_", f"{one.method.lower()}{one.path}").strip("_"),
        "parameters": [_parameter(name, "path") for name in re.findall(r"{(\w+)}", one.path)]
        + [_parameter(name, "query") for name in one.query],
        "responses": {
            "200": {"description": "The answer", "content": {"application/json": {"schema": {}}}},
            "400": {"description": "The request does not fit; the answer says why"},
        },
    }
    if one.body is bytes:
        found["requestBody"] = {"required": True, "content": {"application/octet-stream": {"schema": {}}}}
    elif one.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema(one.body)}}}
    return found


def _parameter(name: str, place: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}


def describe_html() -> str:
    """The description as an HTML page."""
    sections = []
    for path, methods in openapi()["paths"].items():
        for method, operation in methods.items():
            sections.append(f"<h2><code>{method.upper()} /api{html.escape(path)}</code></h2>")
            sections.append(f"<p>{html.escape(operation['summary'])}</p>{_table(operation)}")
    return (
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>mmt-studio: HTTP API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="stylesheet" href="page/studio.css"><body class="document">'
        f'<h1>HTTP API of mmt-studio</h1><p>{html.escape(_INTRODUCTION)}</p><p>As <a href="api/openapi.json">OpenAPI '
        f'document</a>; back to <a href="./">the studio</a>.</p>{"".join(sections)}</body></html>'
    )


def _table(operation: dict[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if not body:
        return ""
    rows = "".join(
        f"<tr><td><code>{name}</code></td><td>{html.escape(_kind(one))}</td><td>{html.escape(one.get('description', ''))}</td>"
        f"<td>{'required' if name in body['required'] else html.escape(str(one.get('default')))}</td></tr>"
        for name, one in body["properties"].items()
    )
    return f"<table><thead><tr><th>field<th>type<th>meaning<th>default</tr></thead><tbody>{rows}</tbody></table>"


def _kind(one: dict[str, Any]) -> str:
    kind = one["type"] if isinstance(one["type"], str) else one["type"][0]
    limits = [one[name] for name in ("minimum", "maximum") if name in one]
    return f"{kind}, {limits[0]:g} to {limits[1]:g}" if len(limits) == 2 else kind
