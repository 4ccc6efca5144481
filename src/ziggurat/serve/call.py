"""A request as the routes see it, and the responses that they share."""

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from starlette.responses import Response
from starlette.types import Receive, Scope

from ziggurat.errors import (
    CorruptImage,
    FormatError,
    NotReady,
    OutOfMemory,
    Overloaded,
    SourceChanged,
    SourceNotFound,
    SourceRefused,
    StoreUnavailable,
    TimedOut,
    TooManyBytes,
    TooManyPixels,
    UnknownFormat,
    UnsupportedFeature,
    UsageError,
    WorkerCrashed,
    ZigguratError,
)
from ziggurat.model import JSON

STATUS: Final[tuple[tuple[type[ZigguratError], int], ...]] = (
    (UsageError, 400),
    (TooManyPixels, 400),
    (TooManyBytes, 400),
    (SourceRefused, 403),
    (SourceNotFound, 404),
    (UnknownFormat, 404),
    (UnsupportedFeature, 501),
    (CorruptImage, 500),
    (FormatError, 500),
    (WorkerCrashed, 500),
    (OutOfMemory, 500),
    (Overloaded, 503),
    (NotReady, 503),
    (SourceChanged, 503),
    (StoreUnavailable, 503),
    (TimedOut, 504),
)
"""Errors and what they are in HTTP; the first line that fits counts."""

AGAIN: Final = 503

RETRY_SECONDS: Final = "1"


LONGEST_BODY: Final = 1 << 16
"""Bytes of what is sent with a request; a connection takes no more either, nor longer than some seconds."""


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


@dataclass(slots=True)
class Call:
    """One request.

    Attributes:
        scope: as ASGI has it.
        receive: what the client says further.
        segments: of the path below the server's root, as they were sent, still percent-encoded.
        base: scheme, host and root path that the client knows the server by.
    """

    scope: Scope
    receive: Receive
    segments: list[str]
    base: str

    def header(self, name: bytes) -> str:
        """The value of a header, "" if it was not sent; names are in lower case."""
        for key, value in self.scope["headers"]:
            if key == name:
                text: str = value.decode("latin-1")
                return text
        return ""

    @property
    def query(self) -> str:
        """What follows the question mark."""
        text: str = self.scope["query_string"].decode("latin-1")
        return text

    def matches(self, tag: str) -> bool:
        """Whether the client has this version already (RFC 9110 13.1.2)."""
        said = self.header(b"if-none-match")
        return bool(said) and (
            said.strip() == "*" or tag in {part.strip().removeprefix("W/") for part in said.split(",")}
        )

    async def body(self) -> bytes:
        """What was sent with the request.

        Raises:
            UsageError: if it is too long.
            ClientGone: if the client hangs up, or was hung up on.
        """
        data, more = bytearray(), True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            data += message.get("body", b"")
            more = message.get("more_body", False)
            if len(data) > LONGEST_BODY:
                raise UsageError(f"more than {LONGEST_BODY} bytes were sent; say it in fewer words")
        return bytes(data)

    async def unless_gone[T](self, work: Coroutine[Any, Any, T]) -> T:
        """The result of work that is given up when the client is.

        Raises:
            ClientGone: if it did.
        """
        doing, watching = asyncio.ensure_future(work), asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait((doing, watching), return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            raise ClientGone
        finally:
            watching.cancel()
            doing.cancel()

    async def _gone(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass


def json_response(document: JSON, *, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """A JSON document."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(body, status, headers, "application/json")


def failed(error: ZigguratError, hidden: tuple[str, ...] = ()) -> Response:
    """The response to a request that could not be fulfilled: what, where and what to do, as JSON.

    Args:
        error: what went wrong.
        hidden: places of this machine that its message may name, and clients need not know.
    """
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
    message = str(error)
    for place in hidden:
        message = message.replace(f"{place}/", "").replace(place, "image")
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": RETRY_SECONDS} if status == AGAIN else {})
    said: JSON = {"status": status, "error": type(error).__name__, "message": message}
    return json_response(said, headers=headers, status=status)


def path_of(scope: Scope) -> str:
    """The path as it was sent, percent-encoding and all."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0].decode("latin-1")


def readable(path: str) -> str:
    """A path for a log."""
    return unquote(path, errors="backslashreplace")
