"""``ziggurat serve`` under far more readers than it can serve: does it stay up, small and honest?

``make bench-serve`` runs it: 500 clients that replay sessions of a viewer, each over four connections and
without a pause, on all files of ``bench/serve.py`` at once, with a small cache. Whoever is sent away with 503 waits as
long as Retry-After says before the next tile.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import mean, quantiles

from convert import REPOSITORY, data_folder
from serve import AT_ONCE, Connection, Server, session, sides, ziggurat
from serve_files import Scan, make
from tables import machine, table, write_section

SAMPLE = 5.0
"""Seconds between two looks at the memory."""

AWAY = 1.0
"""Seconds that the server asks those to wait that it sends away."""

CONNECTED = 60.0
"""Seconds after which an answer that has not come counts as lost."""


@dataclass(slots=True)
class Seen:
    """What all clients got: answers by status, 0 for none, and the seconds that each answer of 200 took."""

    answers: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes that the server's processes hold, files they have open, and how many they are, at one moment."""

    at: float
    memory: int
    files: int
    processes: int


def held(pid: int, at: float) -> Held:
    """What a server and its workers hold now: their own pages, and their share of those in common."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    memory = files = 0
    for one in (str(pid), *children):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text(encoding="ascii").splitlines()
            files += sum(1 for _ in Path(f"/proc/{one}/fd").iterdir())
        except OSError:
            continue
        memory += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return Held(at, memory, files, 1 + len(children))


async def reader(
    server: Server, scans: Sequence[tuple[Scan, tuple[int, int]]], seed: int, until: float, seen: Seen
) -> None:
    """One client: one session after the other, of one image each."""
    rng = Random(seed)
    connections = [Connection(server.port) for _ in range(AT_ONCE)]

    async def fetch(connection: Connection, paths: list[str]) -> None:
        while paths and time.perf_counter() < until:
            path = paths.pop()
            began = time.perf_counter()
            try:
                status = await asyncio.wait_for(connection.get(path), CONNECTED)
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                connection.close()
                status = 0
                print(f"{path}: {error!r}", file=sys.stderr)
            seen.answers[status] += 1
            if status == 200:
                seen.seconds.append(time.perf_counter() - began)
            elif status == 503:
                await asyncio.sleep(AWAY)

    while time.perf_counter() < until:
        scan, place = rng.choice(scans)
        for paths in session(server, scan, *place, rng):
            await asyncio.gather(*(fetch(connection, paths) for connection in connections))
    for connection in connections:
        connection.close()


async def load(
    server: Server, scans: Sequence[Scan], pid: int, clients: int, seconds: float
) -> tuple[Seen, list[Held]]:
    """All clients at once, and what the server holds meanwhile."""
    places = [(scan, sides(server, scan)) for scan in scans]
    seen, looks = Seen(), []
    began = time.perf_counter()
    until = began + seconds
    readers = [asyncio.create_task(reader(server, places, seed, until, seen)) for seed in range(clients)]
    while time.perf_counter() < until:
        await asyncio.sleep(SAMPLE)
        looks.append(await asyncio.to_thread(held, pid, time.perf_counter() - began))
        answers = ", ".join(f"{status}: {count}" for status, count in sorted(seen.answers.items()))
        print(
            f"{looks[-1].at:4.0f} s  {looks[-1].memory >> 20} MiB  {looks[-1].files} files  {answers}",
            file=sys.stderr,
            flush=True,
        )
    await asyncio.gather(*readers)
    return seen, looks


INTRODUCTION = """## Serving many readers at once

`make bench-serve`: {machine}. {clients} clients, four connections each, ask without a pause for the tiles of
sessions on four kinds of file for {minutes:.0f} minutes; clients and server share the cores. Who is sent away with 503
waits a second. Memory is that of all processes of the server; a cache of 256 MB on disk.

"""


def main() -> int:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of pictures")
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--document", type=Path, default=REPOSITORY / "docs" / "benchmarks.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        folder = work / "images"
        folder.mkdir()
        scans = make(folder, data_folder(given.data))
        with ziggurat(folder, work, "--cache-size", "256M") as server:
            seen, looks = asyncio.run(load(server, scans, server.pid, given.clients, given.seconds))
    minutes = [
        [look for look in looks if 60 * minute <= look.at < 60 * (minute + 1)]
        for minute in range(int(given.seconds // 60))
    ]
    rows = [
        [
            str(number + 1),
            f"{mean(look.memory for look in part) / (1 << 20):.0f}",
            f"{max(look.memory for look in part) / (1 << 20):.0f}",
            f"{max(look.files for look in part)}",
        ]
        for number, part in enumerate(minutes)
        if part
    ]
    body = table(["minute", "memory, mean (MiB)", "most (MiB)", "files open, most"], rows)
    cuts = quantiles(seen.seconds, n=100)
    told = ", ".join(f"{count:,} of {status or 'none'}" for status, count in sorted(seen.answers.items()))
    text = (
        f"Answers by status: {told}. Half of the pictures came within {1000 * cuts[49]:.0f} ms, 99 % within "
        f"{1000 * cuts[98]:.0f} ms; {len(seen.seconds) / given.seconds:.0f} a second.\n\n{body}"
    )
    print(text)
    head = INTRODUCTION.format(machine=machine(), clients=given.clients, minutes=given.seconds / 60)
    write_section(given.document, "serve-load", head + text)
    return 0 if set(seen.answers) <= {200, 503} else 1


if __name__ == "__main__":
    raise SystemExit(main())
