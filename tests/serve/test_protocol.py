"""Clients that mean no good, or do not know what they do."""

import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from serving import Server

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
        assert sent < 1 << 23
    with connected(server) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(b"GET /" + b"a" * (1 << 20))
        assert b" 200 " not in answered(client)
    assert server.get(TILE).status == 200


def test_a_client_that_says_nothing_or_next_to_nothing_is_hung_up_on(server: Server) -> None:
    def drip(text: bytes) -> float:
        with connected(server) as client:
            began = time.monotonic()
            client.settimeout(1)
            for letter in text * 40:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    client.sendall(bytes([letter]))
                try:
                    if not client.recv(1000):
                        break
                except TimeoutError:
                    continue
                except ConnectionResetError:
                    break
            return time.monotonic() - began

    with ThreadPoolExecutor(40) as pool:
        slow = [pool.submit(drip, b"GET /slow-loris") for _ in range(30)]
        assert server.get(TILE).status == 200
        assert all(10 < future.result() < 25 for future in slow)


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
    assert server.metric("requests_open") == 1
    assert server.metric("tasks_waiting") == 0
