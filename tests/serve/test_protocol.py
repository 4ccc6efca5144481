"""Clients that mean no good, or do not know what they do."""

import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import uvicorn

from serving import Server
from ziggurat.serve.protocol import REQUEST_SECONDS, BoundedProtocol

TILE = "/iiif/3/ramp.png/0,0,50,50/max/0/default.jpg"


@contextlib.contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        yield client


def answered(client: socket.socket) -> bytes:
    """Everything until the server hangs up."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            data += piece
    return data


def test_endless_headers_end_the_connection(server: Server) -> None:
    with connected(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 1 << 26:
                client.sendall(b"X-More: " + b"a" * 8000 + b"\r\n")
                sent += 8010
        # What the sockets' buffers hold on the way is sent, too.
        assert sent < 1 << 25
    with connected(server) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(b"GET /" + b"a" * (1 << 20))
        assert b" 200 " not in answered(client)
    assert server.get(TILE).status == 200


BEGINNINGS = (
    b"", b"GET /slow", b"GET / HTTP/1.1\r\nHost: x\r\nX-", b"GET / HTTP/1.1\r\nHost: x\r\nX: ",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
    b"POST /api/job/review/x HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n",
)  # fmt: skip


@pytest.mark.slow
def test_hundreds_that_go_on_for_ever_a_byte_at_a_time_keep_nobody_waiting_and_are_hung_up_on(server: Server) -> None:
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        slow = {stack.enter_context(connected(server)): BEGINNINGS[number % len(BEGINNINGS)] for number in range(400)}
        for client, beginning in slow.items():
            client.sendall(beginning)
            client.setblocking(False)
        ended: dict[socket.socket, float] = {}
        while len(ended) < len(slow) and time.monotonic() < began + 100:
            for client in slow.keys() - ended.keys():
                if has_ended(client, b"a" if slow[client] else b""):
                    ended[client] = time.monotonic() - began
            asked = time.monotonic()
            assert server.get(TILE).status == 200
            assert time.monotonic() - asked < REQUEST_SECONDS
            time.sleep(0.5)
    assert len(ended) == len(slow)
    assert min(ended.values()) > 10


def has_ended(client: socket.socket, more: bytes) -> bool:
    """Goes on; whether the other side has hung up."""
    try:
        client.sendall(more)
        while client.recv(1000):
            pass
    except BlockingIOError:
        return False
    except (BrokenPipeError, ConnectionResetError):
        pass
    return True


def test_more_connections_than_there_are_files_for_are_sent_away() -> None:
    async def app(_scope: object, _receive: object, send: Callable[[object], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    options = {"limit_concurrency": 20, "lifespan": "off", "log_config": None, "ws": "none"}
    running = uvicorn.Server(uvicorn.Config(app, http=BoundedProtocol, **options))
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(running.run, [listener])
        try:
            port = listener.getsockname()[1]
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 20)) for _ in range(30)]
                for client in clients[19:]:
                    client.recv(1, socket.MSG_PEEK)
                while len(running.server_state.connections) > 19:
                    time.sleep(0.02)
                for number, client in enumerate(clients):
                    with contextlib.suppress(ConnectionError):
                        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    status = answered(client)[:12]
                    assert status == b"HTTP/1.1 204" if number < 19 else status in {b"HTTP/1.1 503", b""}
            with socket.create_connection(("127.0.0.1", port), 20) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert answered(client)[:12] == b"HTTP/1.1 204"
        finally:
            running.should_exit = True


def asked_at_once(server: Server, said: bytes) -> bytes:
    """What comes for bytes that are sent in one go: not after the time that a client has to say what it wants."""
    began = time.monotonic()
    with connected(server) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(said)
        data = answered(client)
    assert time.monotonic() - began < REQUEST_SECONDS
    return data


def test_ten_thousand_ranges_cost_no_more_than_the_whole(server: Server) -> None:
    whole = server.get("/download/ramp.png")
    chunk = server.get("/zarr/ramp.png/0/c/0/0/0")
    assert whole.status == chunk.status == 200
    for ranges in (
        "0-0," * 9_999 + "1-1",
        ",".join(f"{number}-" for number in range(9_999)),
        "-1," * 10_000,
        "," * 10_000,
    ):
        for path, expected in (("/download/ramp.png", whole), ("/zarr/ramp.png/0/c/0/0/0", chunk)):
            answer = server.get(path, Range=f"bytes={ranges}")
            assert (answer.status, answer.body) == (200, expected.body)
    longer = ",".join(f"{number}-{number}" for number in range(10_000)).encode()
    head = b"GET /download/ramp.png HTTP/1.1\r\nHost: x\r\nConnection: close\r\nRange: bytes=" + longer
    assert b"multipart" not in asked_at_once(server, head + b"\r\n\r\n")


def test_large_heads_and_bodies_that_nobody_needs_are_not_read(server: Server) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    assert b" 200 " in asked_at_once(server, head + b"a: b\r\n" * 9_000 + b"\r\n")
    for large in (
        head + b"X: " + b"a" * (1 << 20) + b"\r\n\r\n", head + b"X" * (1 << 20) + b": a\r\n\r\n",
        head + b"a: b\r\n" * 200_000 + b"\r\n", b"GET /healthz?" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"X" * (1 << 20),
    ):  # fmt: skip
        assert b" 200 " not in asked_at_once(server, large)
    for body in (
        b"Content-Length: 9\r\n\r\n123456789", b"Content-Length: 99999999999\r\n\r\n" + b"a" * (1 << 20),
        b"Transfer-Encoding: chunked\r\n\r\n" + b"ffff\r\n" + b"a" * 0xFFFF + b"\r\n", b"Expect: 100-continue\r\n\r\n",
        b"Upgrade: websocket\r\n\r\n", b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
    ):  # fmt: skip
        answer = asked_at_once(server, head + body)
        assert answer[:12] in {b"HTTP/1.1 200", b""}
    assert server.get(TILE).status == 200


def test_ten_thousand_parameters_are_too_many(server: Server) -> None:
    query = "&".join(f"a{number}" for number in range(10_000))
    for path in (TILE, "/api/items", "/api/folders", "/api/values/ramp.png", "/xyz/ramp.png/0/0/0.png"):
        assert server.get(f"{path}?{query}").status == 400, path
    for path in ("/", "/healthz", "/iiif/3/ramp.png/info.json", "/download/ramp.png"):
        assert server.get(f"{path}?{query}").status == 200, path


def test_nonsense_is_refused(server: Server) -> None:
    for said in (
        b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0\0\0\0\r\n\r\n",
        b"GET \xff HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ):  # fmt: skip
        with connected(server) as client:
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
            assert b" 200 " not in answered(client)
    assert server.get(TILE).status == 200


def test_many_ask_at_once(server: Server) -> None:
    """Everybody gets the picture or is told to come again."""
    paths = [f"/iiif/3/ramp.png/{number % 90},{number % 70},100,100/max/0/default.jpg" for number in range(400)]
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(server.get, paths))
    assert {answer.status for answer in answers} <= {200, 503}
    assert sum(answer.status == 200 for answer in answers) > 300
    server.reaches("requests_open", 1)
    server.reaches("tasks_waiting", 0)
