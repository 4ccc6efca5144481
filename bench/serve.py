"""Tiles a second of ``ziggurat serve``, IIPImage and large_image, on the same files, in one run.

``make bench-serve`` runs it. It needs Debian's ``iipimage-server`` and ``lighttpd``, the tools that the tests need, and
an environment with large_image and pyvips (``--large-image``). Clients replay sessions of a viewer: every one looks at
its own place of an image, at 1200 x 900 pixels, from the whole to full resolution, and asks for the tiles of each view
four at a time, as browsers do. JPEG of quality 85 throughout.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import quantiles
from urllib.request import urlopen

from convert import REPOSITORY, data_folder
from pipelines import required
from serve_files import KINDS, Scan, make
from serve_session import iiif, tiles, views
from tables import machine, table, write_section

CLIENTS = (1, 8, 64)
SECONDS = 6.0
"""After which no session goes on."""

AT_ONCE = 4
"""Tiles that a client asks for side by side."""

PROBE = "pyramid.tif"
"""What every server can read, to see whether it runs."""

PORTS = {"Ziggurat": 8471, "IIPImage": 8472, "large_image": 8473}


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server's tiles are.

    Attributes:
        name: of the server.
        kind: how it is asked: by IIIF or by z, x, y.
        prefix: of the paths of its images; the name of a file follows.
        pid: of its process, where that is one.
    """

    name: str
    kind: str
    prefix: str
    pid: int = 0

    @property
    def port(self) -> int:
        """It listens here."""
        return PORTS[self.name]


@dataclass(frozen=True, slots=True)
class Figure:
    """What a load gave: views and tiles a second, and milliseconds within which half and 99 % of the views were whole.

    Tiles alone would not compare: one of 1024 pixels a side shows as much as sixteen of 256.
    """

    views: float
    tiles: float
    median: float
    slow: float
    failed: int

    @property
    def text(self) -> str:
        """For the table."""
        lost = f", {self.failed} failed" if self.failed else ""
        return f"{self.views:.1f} ({self.median:.0f} / {self.slow:.0f} ms, {self.tiles:.0f} tiles{lost})"


@contextmanager
def ziggurat(folder: Path, work: Path, *options: str) -> Iterator[Server]:
    """Our server with an empty cache."""
    own = dict(os.environ) | {"ZIGGURAT_CACHE": str(work / "cache")}
    own.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "ziggurat", "serve", str(folder), "--port", str(PORTS["Ziggurat"])]
    with running([*command, "--quality", "85", *options], own, PORTS["Ziggurat"], "/healthz") as pid:
        yield Server("Ziggurat", "iiif", "/iiif/2/", pid)


@contextmanager
def iipimage(folder: Path, work: Path) -> Iterator[Server]:
    """IIPImage as Debian has it, one process a core, behind lighttpd."""
    port = PORTS["IIPImage"]
    config = work / "lighttpd.conf"
    config.write_text(
        f'server.document-root = "{folder}"\nserver.bind = "127.0.0.1"\nserver.port = {port}\n'
        'server.modules = ("mod_fastcgi")\n'
        'fastcgi.server = ("/iipsrv" => (("socket" => "' + str(work / "iip.sock") + '", "check-local" => "disable",\n'
        f' "bin-path" => "/usr/lib/iipimage-server/iipsrv.fcgi", "max-procs" => {os.cpu_count()},\n'
        ' "bin-environment" => ("VERBOSITY" => "0", "LOGFILE" => "/dev/null", "JPEG_QUALITY" => "85",\n'
        ' "MAX_CVT" => "4096",'
        f' "MAX_IMAGE_CACHE_SIZE" => "100", "IIIF_VERSION" => "2", "FILESYSTEM_PREFIX" => "{folder}/"))))\n'
    )
    command = [required("lighttpd"), "-D", "-f", str(config)]
    with running(command, dict(os.environ), port, f"/iipsrv?IIIF={PROBE}/info.json"):
        yield Server("IIPImage", "iiif", "/iipsrv?IIIF=")


@contextmanager
def large_image(folder: Path, python: Path) -> Iterator[Server]:
    """The library behind the standard library's server."""
    command = [str(python), str(REPOSITORY / "bench" / "serve_large_image.py"), str(folder), str(PORTS["large_image"])]
    with running(command, dict(os.environ), PORTS["large_image"], f"/{PROBE}"):
        yield Server("large_image", "zxy", "/")


@contextmanager
def running(command: Sequence[str], own: dict[str, str], port: int, path: str) -> Iterator[int]:
    """A server process that answers: its id."""
    with subprocess.Popen(command, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(100):
                time.sleep(0.1)
                try:
                    with urlopen(f"http://127.0.0.1:{port}{path}") as answer:
                        answer.read()
                    break
                except OSError:
                    if process.poll() is not None:
                        raise
            yield process.pid
        finally:
            process.terminate()


def sides(server: Server, scan: Scan) -> tuple[int, int]:
    """Side of a server's tiles of a file, and the number of its finest level."""
    url = f"http://127.0.0.1:{server.port}{server.prefix}{scan.name}"
    if server.kind == "zxy":
        with urlopen(url) as answer:
            side, finest = map(int, answer.read().split())
        return side, finest
    with urlopen(f"{url}/info.json") as answer:  # noqa: S310 - loopback
        told = json.load(answer)
    return int(told["tiles"][0]["width"]), 0


def session(server: Server, scan: Scan, side: int, finest: int, rng: Random) -> Iterator[list[str]]:
    """The paths of each view's tiles."""
    seen: set[str] = set()
    for view in views(scan.size, rng):
        paths = []
        for row, column in tiles(scan.size, view, side):
            if server.kind == "iiif":
                path = f"{server.prefix}{scan.name}/{iiif(scan.size, view.scale, side, (row, column))}"
            else:
                path = f"{server.prefix}{scan.name}/{finest - view.scale.bit_length() + 1}/{column}/{row}"
            if path not in seen:
                seen.add(path)
                paths.append(path)
        yield paths


class Connection:
    """A connection that is kept open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> int:
        """Asks for a path; the status that came, 0 for one of 200 without a picture."""
        if self._streams is not None:
            # A server may close what nobody used for a while; clients ask again then (RFC 9112 9.3.1).
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                return await self._ask(path, *self._streams)
        self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return await self._ask(path, *self._streams)

    async def _ask(self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        if "content-length" in fields:
            body = await reader.readexactly(int(fields["content-length"]))
        else:
            body = await self._chunks(reader)
        if fields.get("connection") == "close":
            self.close()
        status = int(head.split(" ", 2)[1])
        return status if status != 200 or body[:2] == b"\xff\xd8" else 0

    @staticmethod
    async def _chunks(reader: asyncio.StreamReader) -> bytes:
        found = b""
        while size := int(await reader.readline(), 16):
            found += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return found

    def close(self) -> None:
        """Closes it."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@dataclass(slots=True)
class Seen:
    """What one client got: seconds of each view, tiles that came and that did not."""

    views: list[float]
    tiles: int = 0
    failed: int = 0


async def client(server: Server, scan: Scan, place: tuple[int, int], seed: int, until: float) -> Seen:
    """One session after the other until the time is over."""
    seen = Seen([])
    connections = [Connection(server.port) for _ in range(AT_ONCE)]

    async def fetch(connection: Connection, paths: list[str]) -> None:
        while paths and time.perf_counter() < until:
            path = paths.pop(0)
            try:
                good = await connection.get(path) == 200
            except (OSError, asyncio.IncompleteReadError, ValueError):
                connection.close()
                good = False
            seen.tiles += good
            seen.failed += not good

    rng = Random(seed)
    while time.perf_counter() < until:
        # A view whose tiles were all seen before asks for nothing, and says nothing about the server.
        for paths in filter(None, session(server, scan, *place, rng)):
            began = time.perf_counter()
            await asyncio.gather(*(fetch(connection, paths) for connection in connections))
            if not paths and began < until:
                seen.views.append(time.perf_counter() - began)
    for connection in connections:
        connection.close()
    return seen


async def load(server: Server, scan: Scan, clients: int) -> Figure:
    """Several clients at once."""
    place = sides(server, scan)
    began = time.perf_counter()
    each = await asyncio.gather(*(client(server, scan, place, seed, began + SECONDS) for seed in range(clients)))
    took = time.perf_counter() - began
    times = [seconds for seen in each for seconds in seen.views]
    failed = sum(seen.failed for seen in each)
    if len(times) < 2:
        return Figure(len(times) / took, 0, 0, 0, failed)
    cuts = quantiles(times, n=100)
    shown = sum(seen.tiles for seen in each)
    return Figure(len(times) / took, shown / took, 1000 * cuts[49], 1000 * cuts[98], failed)


def measure(folder: Path, work: Path, given: argparse.Namespace, scans: Sequence[Scan]) -> list[list[str]]:
    """Every server alone, cold and then warm, with every file and number of clients."""
    rows = []
    for scan in scans:
        for clients in CLIENTS:
            row: list[str] = [KINDS[scan.name], str(clients)]
            for start in (ziggurat, iipimage, large_image):
                with ExitStack() as stack:
                    shutil.rmtree(work / "cache", ignore_errors=True)
                    place = given.large_image / "bin" / "python" if start is large_image else work
                    server = stack.enter_context(start(folder, place))
                    for state in ("cold", "warm"):
                        try:
                            figure = asyncio.run(load(server, scan, clients))
                        except OSError as error:
                            row.append("fails")
                            print(f"{server.name}, {scan.name}: {error}", file=sys.stderr)
                            continue
                        row.append(figure.text)
                        print(f"{scan.name} {clients} {server.name} {state}: {row[-1]}", file=sys.stderr, flush=True)
            rows.append(row)
    return rows


INTRODUCTION = """## Serving tiles

`make bench-serve`: {machine}. A photograph of {height} x {width} pixels with noise, lossless JPEG 2000 or JPEG in a
TIFF, from the disk's cache; clients and servers share the cores. Views a second, in brackets milliseconds within which
half and 99 % of them were whole, and tiles a second; {seconds:.0f} s each; cold: a server just started, with an empty
cache; warm: the same sessions again. A view whose tiles a session has all seen before does not count. IIPImage is
Debian's 1.1, one process a core behind lighttpd; large_image has the standard library's threading server around it.
Tiles are as large as each server says: 256 pixels for IIPImage's JPEG 2000.

"""


def main() -> int:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of pictures")
    parser.add_argument("--large-image", type=Path, default=REPOSITORY / ".venv-large-image", help="environment")
    parser.add_argument("--kinds", default=",".join(KINDS), help="names of files, with commas")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "docs" / "benchmarks.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, work = Path(scratch, "images"), Path(scratch, "work")
        work.mkdir()
        scans = [scan for scan in make(folder, data_folder(given.data)) if scan.name in given.kinds.split(",")]
        rows = measure(folder, work, given, scans)
        header = ["file", "clients"]
        header += [f"{name}, {state}" for name in PORTS for state in ("cold", "warm")]
        height, width = scans[0].size
        text = INTRODUCTION.format(machine=machine(), height=height, width=width, seconds=SECONDS) + table(header, rows)
    print(text)
    write_section(given.output, "serve", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
