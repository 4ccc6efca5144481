"""The server as a function: ``create_app(settings)`` is an ASGI application."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Message, Receive, Scope, Send

from ziggurat.errors import Overloaded, SourceNotFound, WriteError, ZigguratError
from ziggurat.model import JSON
from ziggurat.serve.call import Call, ClientGone, failed, json_response, path_of, readable
from ziggurat.serve.gate import Gate
from ziggurat.serve.routes.api import api
from ziggurat.serve.routes.description import description
from ziggurat.serve.routes.image_api import image_api
from ziggurat.serve.routes.original import original
from ziggurat.serve.routes.presentation import presentation
from ziggurat.serve.routes.state import health, metrics
from ziggurat.serve.routes.tiles import deep_zoom, xyz
from ziggurat.serve.routes.viewer import PAGES, page, static
from ziggurat.serve.routes.zarr import zarr
from ziggurat.serve.service import Service
from ziggurat.serve.settings import Settings

type Handler = Callable[[Service, Call], Awaitable[Response]]

ROUTES: Final[dict[str, Handler]] = {
    "api": api,
    "iiif": image_api,
    "presentation": presentation,
    "deepzoom": deep_zoom,
    "xyz": xyz,
    "zarr": zarr,
    "download": original,
    "healthz": health,
    "metrics": metrics,
    "openapi.json": description,
    "static": static,
    **dict.fromkeys(PAGES, page),
}
"""By the first segment of the path."""

GONE: Final = 499
"""What the log says of a request whose client hung up, as nginx does; it is never sent."""

EXPOSED: Final = "Link, Ziggurat-Sketch, ETag, Content-Range, Accept-Ranges, Retry-After"


def create_app(settings: Settings) -> Starlette:
    """The application. Workers start with it, and end with it.

    Raises:
        UsageError: if the places make no sense together.
        SourceError: if a local one is not there.
    """
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        service.pool.start()
        try:
            yield
        finally:
            await service.pool.close()
            await service.builder.close()

    return Starlette(routes=[_Front(service)], lifespan=lifespan)


class _Front(BaseRoute):
    """All URLs. Paths are taken apart as they were sent: an identifier's slashes are percent-encoded."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._settings = service.settings
        self._gate = Gate(service.settings)
        self._log = _log(service.settings.access_log)
        self._hidden = tuple(root.place for root in service.catalogue.roots if len(root.place) > 1)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Every HTTP request."""
        return (Match.FULL if scope["type"] == "http" else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, counts it and writes its line."""
        began, traffic = time.perf_counter(), self._service.traffic
        call = self._call(scope, receive)
        route = call.segments[0] if call.segments[0] in ROUTES else "other"
        status, size = GONE, 0

        async def counting(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                size += len(message.get("body", b""))
            await send(message)

        traffic.open += 1
        try:
            response = await self._answer(call)
            self._dress(call, response)
            await response(scope, receive, counting)
        except asyncio.CancelledError:
            # The server ends, and has waited for this long enough.
            if status == GONE:
                ending = failed(Overloaded("the server is ending; ask again in a moment"))
                await ending(scope, receive, counting)
        except ClientGone:
            # Nobody hears it, but the server wants the exchange to end.
            await Response(None, GONE)(scope, receive, send)
        finally:
            seconds = time.perf_counter() - began
            traffic.open -= 1
            traffic.count(route, status, size, seconds)
            if self._log is not None:
                _write_line(self._log, call, status, size, seconds)

    def _call(self, scope: Scope, receive: Receive) -> Call:
        path, root = path_of(scope), self._settings.root_path
        if root and (path == root or path.startswith(root + "/")):
            path = path[len(root) :]
        call = Call(scope, receive, path.removeprefix("/").split("/"), "")
        if self._settings.public_url is not None:
            call.base = self._settings.public_url
        else:
            host = call.header(b"host") or ":".join(map(str, scope.get("server") or ("localhost",)))
            call.base = f"{scope['scheme']}://{host}{root}"
        return call

    async def _answer(self, call: Call) -> Response:
        method, allowed = call.scope["method"], _methods(call.segments)
        if method == "OPTIONS":
            return Response(None, 204, {"Allow": ", ".join(allowed)})
        if method not in allowed:
            said = f"{method} is not possible here; only {' and '.join(allowed[:-1])}"
            document: JSON = {"status": 405, "error": "UsageError", "message": said}
            return json_response(document, headers={"Allow": ", ".join(allowed)}, status=405)
        name = call.segments[0]
        refused = None if name == "healthz" else self._gate.refuse(call)
        if refused is not None:
            return refused
        handler = ROUTES.get(name)
        try:
            if handler is None:
                raise SourceNotFound(
                    f"there is nothing at /{name[:80]}; images are below /iiif/3/, /iiif/2/, /deepzoom/"
                )
            return await handler(self._service, call)
        except ZigguratError as error:
            return failed(error, self._hidden)

    def _dress(self, call: Call, response: Response) -> None:
        """Headers that every response has."""
        raw = response.raw_headers
        raw.append((b"access-control-allow-origin", b"*"))
        raw.append((b"access-control-expose-headers", EXPOSED.encode()))
        raw.append((b"x-content-type-options", b"nosniff"))
        if call.scope["method"] == "OPTIONS":
            raw.append((b"access-control-allow-methods", b"GET, HEAD, OPTIONS"))
            raw.append((b"access-control-allow-headers", b"Authorization, Range, If-None-Match, If-Range"))
            raw.append((b"access-control-max-age", b"86400"))
        elif not self._gate.open:
            self._gate.remember(call, response)


def _methods(segments: list[str]) -> tuple[str, ...]:
    """What is possible at a path: reviews alone are written, by the server's own pages. No other site is told so."""
    reviewing = segments[:3] == ["api", "job", "review"] and len(segments) > 3  # noqa: PLR2004 - an item follows
    return ("POST", "OPTIONS") if reviewing else ("GET", "HEAD", "OPTIONS")


def _log(place: str | None) -> TextIO | None:
    """Where the access log goes.

    Raises:
        WriteError: if the file cannot be opened.
    """
    if place is None:
        return None
    if place == "-":
        return sys.stdout
    try:
        return Path(place).open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        raise WriteError(f"--access-log {place}: {error.strerror}; choose another file") from error


def _write_line(log: TextIO, call: Call, status: int, size: int, seconds: float) -> None:
    client = call.scope.get("client")
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "client": client[0] if client else None,
        "method": call.scope["method"],
        "path": readable(path_of(call.scope)),
        # A token in the query is a secret.
        "query": "token=..." if "token=" in call.query else call.query,
        "status": status,
        "bytes": size,
        "seconds": round(seconds, 6),
        "agent": call.header(b"user-agent"),
    }
    with suppress(OSError):
        log.write(json.dumps(line) + "\n")
        if log is sys.stdout:
            log.flush()
