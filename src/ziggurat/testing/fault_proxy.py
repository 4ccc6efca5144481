"""An HTTP proxy that stands before a real server and does what networks do: at a given request, on purpose."""

import re
import socket
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


class Fault(Enum):
    """What happens to a request."""

    UNAVAILABLE = auto()
    """Answered 503; the server does not see it."""
    RESET = auto()
    """The connection is reset; the server does not see it."""
    RESET_AFTER = auto()
    """The server does it; the connection is reset before the answer."""
    TRUNCATE = auto()
    """Half of the answer's body arrives, then the connection closes."""
    FLIP_UPLOAD = auto()
    """The server gets one bit of the body wrong."""
    FLIP_DOWNLOAD = auto()
    """The client gets one bit of the body wrong."""
    STALL = auto()
    """No answer until the proxy is closed; the server does not see it."""


@dataclass(slots=True)
class Rule:
    """Which requests a fault strikes.

    Attributes:
        fault: what happens.
        method: regular expression for the whole method.
        path: regular expression found in the path with its query.
        after: matching requests let through before.
        times: requests that it strikes then.
    """

    fault: Fault
    method: str = ".*"
    path: str = ""
    after: int = 0
    times: int = 1

    def strikes(self, method: str, path: str) -> bool:
        """Whether it strikes this request; counts it."""
        if not (re.fullmatch(self.method, method) and re.search(self.path, path)):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return self.times >= 0


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that came.

    Attributes:
        method: GET, PUT and so on.
        path: with its query.
        span: the Range header, or "".
        fault: what happened to it.
    """

    method: str
    path: str
    span: str
    fault: Fault | None


@dataclass
class FaultProxy:
    """A proxy on a free port of this machine; use it with ``with``.

    Attributes:
        upstream: URL of the server.
        rules: the first one that strikes a request decides; may be changed at any time.
        seen: the requests that came, in order.
    """

    upstream: str
    rules: list[Rule] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def struck(self) -> int:
        """Requests that a fault struck so far."""
        return sum(request.fault is not None for request in self.seen)

    def judge(self, method: str, path: str, span: str) -> Fault | None:
        """Notes a request and tells what happens to it."""
        with self._lock:
            fault = next((rule.fault for rule in self.rules if rule.strikes(method, path)), None)
            self.seen.append(Seen(method, path, span, fault))
            return fault

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.proxy = proxy
    return Handler


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultProxy
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        fault = self.proxy.judge(self.command, self.path, self.headers.get("Range", ""))
        body = self._body()
        if fault is Fault.STALL:
            self.proxy.closing.wait()
        if fault in {Fault.RESET, Fault.STALL}:
            self._reset()
            return
        if fault is Fault.UNAVAILABLE:
            self._answer(503, [], b"")
            return
        if fault is Fault.FLIP_UPLOAD:
            body = _flipped(body)
        try:
            status, headers, answer, length = self._forward(body)
        except (OSError, HTTPException):
            self._answer(502, [], b"")
            return
        if fault is Fault.RESET_AFTER:
            self._reset()
        elif fault is Fault.TRUNCATE:
            self._answer(status, headers, answer[: len(answer) // 2], length)
            self.close_connection = True
        else:
            self._answer(status, headers, _flipped(answer) if fault is Fault.FLIP_DOWNLOAD else answer, length)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815 - names of the base class

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _forward(self, body: bytes) -> tuple[int, Sequence[tuple[str, str]], bytes, int]:
        place = urlsplit(self.proxy.upstream)
        connection = HTTPConnection(place.hostname or "", place.port, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP - {"content-length"}:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer: HTTPResponse = connection.getresponse()
            data = answer.read()
            stated = int(answer.getheader("Content-Length", "0")) if self.command == "HEAD" else len(data)
            kept = [item for item in answer.getheaders() if item[0].lower() not in _HOP]
            return answer.status, kept, data, stated
        finally:
            connection.close()

    def _answer(self, status: int, headers: Sequence[tuple[str, str]], body: bytes, length: int = 0) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        """Closes with RST instead of FIN: a linger time of 0 discards what is under way."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The base class would shut the connection down in order.
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Says nothing: ``FaultProxy.seen`` has it all."""


def _flipped(data: bytes) -> bytes:
    if not data:
        return data
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
