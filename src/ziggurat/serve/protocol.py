"""HTTP as uvicorn speaks it, with an end to what a client may send and how long it may take over it."""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST_REQUEST: Final = 1 << 16
"""Bytes of a request: an address, headers, and a body that nobody needs here."""

REQUEST_SECONDS: Final = 15.0
"""For a client to say what it wants, body included, once it has begun."""

FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A client that sends more than a request, or sends it too slowly, is hung up on.

    So is one that comes when ``limit_concurrency`` connections are open: each is a file that this process has open.
    """

    _received = 0
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begins to count and to wait."""
        super().connection_made(transport)
        self._wait()
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            transport.write(FULL)
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Counts what has come since the last request."""
        self._received += len(data)
        if self._received > LONGEST_REQUEST:
            self.transport.close()
            return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A further request on the same connection has its own time."""
        if self._patience is None:
            self._wait()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A body may be as long as a head."""
        self._received = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The client has said what it wants."""
        self._stop_waiting()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._patience = self.loop.call_later(REQUEST_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
