"""A real server process over HTTP, for tests: started as a user does, asked with paths exactly as they are written."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imagecodecs
from numpy.typing import NDArray

PATIENCE = 60.0
"""Seconds after which what should come to pass has certainly failed to, also on a busy machine."""


@dataclass(frozen=True)
class Answer:
    """What the server sent."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def pixels(self) -> NDArray[Any]:
        """The picture, decoded."""
        pixels: NDArray[Any] = imagecodecs.imread(self.body)
        return pixels

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        height, width = self.pixels.shape[:2]
        return height, width


@dataclass
class Server:
    """One server process."""

    process: subprocess.Popen[str]
    port: int
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Asks for a path as it is: nothing is normalised."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection._validate_path = lambda _: None  # type: ignore[method-assign]  # tests send bad ones, too
            connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def post(self, path: str, body: object, **headers: str) -> Answer:
        """Sends JSON, as a page of the server itself would."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest("POST", path, skip_host="Host" in headers)
            usual = {"Content_Type": "application/json", "Origin": self.url, "Content_Length": str(len(data))}
            for name, value in (usual | headers).items():
                if value:
                    connection.putheader(name.replace("_", "-"), value)
            connection.endheaders(data)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def metric(self, name: str) -> float:
        """The value of a metric, with its labels as they are written."""
        found = re.search(rf"^ziggurat_{re.escape(name)} (\S+)$", self.get("/metrics").body.decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def reaches(self, name: str, value: float) -> None:
        """Waits until a metric has a value."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.metric(name)) != value:
            assert time.monotonic() < deadline, f"{name} is {found:g}, not {value:g}"
            time.sleep(0.02)


@contextlib.contextmanager
def serving(*arguments: object, **environment: str) -> Iterator[Server]:
    """``ziggurat serve`` with these arguments on a free port, ended as Ctrl-C ends it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ziggurat", "serve", *map(str, arguments), "--port", "0"],
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    lines: list[str] = []
    try:
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r" at http://\S+?:(\d+)/", line):
                break
        else:
            raise AssertionError("".join(lines))
        drain = threading.Thread(target=lines.extend, args=(process.stderr,), daemon=True)
        drain.start()
        yield Server(process, int(found[1]), lines)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            process.stderr.close()


def workers_of(server: Server) -> list[int]:
    """Process ids of the server's workers."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text(encoding="ascii")
    return [int(pid) for pid in children.split()]
