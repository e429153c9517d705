"""Access control: a token in every address, checks of Host and Origin, limits of size, and strict headers.

Every address begins with the session's token, `/TOKEN/…`, so that pages of other sites and other users of the machine cannot
guess one. A script may send `Authorization: Bearer TOKEN` instead. The Host header must name this server: a page of another site
whose name is made to point to this machine (DNS rebinding) is refused. So is a request that a browser says comes from another
origin.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; media-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    # Everything comes from this machine: a cache would only show old versions.
    "cache-control": "no-store",
}
MOST_JSON = 4 * 2**20
MOST_UPLOAD = 16 * 2**20
_UPLOADS = "/api/files"


class Guard:
    """Middleware that lets only permitted requests through.

    Parameters
    ----------
    app
        The application; it sees paths without the token.
    token
        The session's token.
    names
        The host names under which the server may be addressed, such as "127.0.0.1"; "*" allows every IP address.
    """

    def __init__(self, app: ASGIApp, token: str, names: Collection[str]) -> None:
        self.app, self.token, self.names = app, token, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path = self._without_token(scope["path"], headers.get("authorization", ""))
        limit = MOST_UPLOAD if path == _UPLOADS else MOST_JSON
        refusal = self._refusal(scope["method"], headers, path, limit)

        async def strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        if refusal is not None:
            await refusal(scope, receive, strictly)
            return
        assert path is not None
        inner = dict(scope) | {"path": path, "raw_path": path.encode(), "root_path": ""}
        await self.app(inner, _limited(receive, limit), strictly)

    def _without_token(self, path: str, authorization: str) -> str | None:
        """The path after the token; None without the right one."""
        _, given, rest = [*path.split("/", 2), "", ""][:3]
        if secrets.compare_digest(given.encode(), self.token.encode()):
            return f"/{rest}"
        scheme, _, bearer = authorization.partition(" ")
        is_right = secrets.compare_digest(bearer.strip().encode(), self.token.encode())
        return path if scheme.lower() == "bearer" and is_right else None

    def _refusal(self, method: str, headers: Headers, path: str | None, limit: int) -> Response | None:
        host, length = headers.get("host", ""), headers.get("content-length") or "0"
        if not self._is_ours(host):
            return PlainTextResponse("This server does not answer under this name.\n", 421)
        if not length.isdecimal():
            return PlainTextResponse("The length of the request is not a number.\n", 400)
        ours = (f"http://{host}", f"https://{host}")
        is_navigation = method == "GET" and headers.get("sec-fetch-mode") == "navigate" and path == "/"
        is_foreign = headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not is_navigation
        if is_foreign or headers.get("origin", ours[0]) not in ours:
            return PlainTextResponse("Requests from other sites are refused.\n", 403)
        if path is None:
            return PlainTextResponse(
                "This address lacks the session's token. Open the address that mmt-studio printed in the terminal.\n",
                403,
            )
        if int(length) > limit:
            text = f"The request is larger than {limit // 2**20} MB.\n"
            return PlainTextResponse(text, 413, {"connection": "close"})
        return None

    def _is_ours(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        return name.lower() in self.names or ("*" in self.names and _is_address(name.strip("[]")))


def names_of(host: str) -> set[str]:
    """The names under which a server that listens on `host` may be addressed."""
    names = {"localhost", "127.0.0.1", "[::1]"}
    if is_loopback(host):
        return names
    names |= {host.lower(), f"[{host.lower()}]", socket.gethostname().lower()}
    return names | ({"*"} if _is_address(host) and ipaddress.ip_address(host).is_unspecified else set())


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class TooLargeError(Exception):
    """The body of a request is larger than allowed, though its header did not say so."""


def _limited(receive: Receive, limit: int) -> Receive:
    read = 0

    async def counting() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise TooLargeError(f"the request is larger than {limit // 2**20} MB")
        return message

    return counting
