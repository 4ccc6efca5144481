"""Simulates jobs on 1 to 1,000 workers, event by event: where the coordinator, its ledger and the store are full.

What an image costs is taken from ledgers of real jobs, what the coordinator costs is measured first; the store's limits
are what S3 states for one prefix. Rates are those of a long job: some images for every worker are simulated, and the
first ones, while the queues fill, are left out. Writes a section of ``docs/scaling.md``.
"""

import argparse
import heapq
import random
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import cast

import apsw

from ledger_speed import measure
from tables import machine, table, write_section
from ziggurat.convert.records import Verified

WORKERS = (1, 10, 30, 100, 300, 1000)
COLLECTIONS = (430_000, 100_000_000)
ROUNDS = 24
"""Images that every slot does in a simulation."""

LEAST = 4_000
"""Images of a simulation at least."""

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Image:
    """What one image costs: processor seconds, bytes read, bytes written."""

    cpu: float
    source: int
    output: int


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What all images meet.

    Attributes:
        slots: images that a worker of one core has in hand at once.
        turn: seconds of a transaction of the ledger that holds nothing.
        message: seconds of the coordinator for one message, half an image: the ledger's rows, the line, the decision.
        line: seconds a turn for every line that is listened to.
        net: seconds on the way between worker and coordinator.
        latency: seconds until a store begins to answer.
        stream: bytes a second of one request.
        gets: requests a second that the store reads.
        puts: requests a second that the store writes.
        bandwidth: bytes a second of the store, both ways.
    """

    turn: float
    message: float
    line: float
    slots: int = 2
    net: float = 0.5e-3
    latency: float = 0.03
    stream: float = 90e6
    gets: float = 5500.0
    puts: float = 3500.0
    bandwidth: float = 12.5e9


@dataclass(slots=True)
class Server:
    """One thing after the other, in the order in which it is asked."""

    free: float = 0.0
    busy: float = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """Takes so many seconds; returns when it is done."""
        self.free = max(now, self.free) + seconds
        self.busy += seconds
        return self.free


@dataclass(frozen=True, slots=True)
class Outcome:
    """Images a second, and the shares of the time in which the cores, the coordinators and the store are busy."""

    rate: float
    cores: float
    coordinator: float
    store: float


class Simulation:
    """One job, or several that share a store. Times are seconds."""

    def __init__(self, world: World, images: Sequence[Image], workers: int, ledgers: int = 1) -> None:
        self._world, self._images, self._workers, self._ledgers = world, images, workers, ledgers
        slots = workers * world.slots
        self._choose = random.Random(5)
        self._hands = [self._choose.choice(images) for _ in range(slots)]
        self._cores = [Server() for _ in range(workers)]
        self._reading, self._writing, self._bytes = Server(), Server(), Server()
        self._inboxes: list[list[int]] = [[] for _ in range(ledgers)]
        self._turns = [Server() for _ in range(ledgers)]
        self._deciding = 0.0
        self._turning = [False] * ledgers
        self._verified: set[int] = set()
        self._done = 0
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[[int], None], int]] = []
        self._order = count()

    def run(self) -> Outcome:
        """Lets every slot do its images; the first quarter, while queues fill, does not count."""
        slots = len(self._hands)
        for slot in range(slots):
            self._at(self._choose.uniform(0.0, 1.0), self._begin, slot)
        wanted = max(LEAST, ROUNDS * slots)
        self._until(wanted // 4)
        begun, done, before = self._now, self._done, self._busy()
        self._until(wanted)
        span = self._now - begun
        cores, turns, store = ((after - was) / span for after, was in zip(self._busy(), before, strict=True))
        return Outcome((self._done - done) / span, cores / self._workers, turns / self._ledgers, store)

    def _until(self, done: int) -> None:
        while self._done < done:
            self._now, _, what, who = heapq.heappop(self._events)
            what(who)

    def _busy(self) -> tuple[float, float, float]:
        store = max(self._reading.busy, self._writing.busy, self._bytes.busy)
        return sum(core.busy for core in self._cores), self._deciding, store

    def _at(self, when: float, what: "Callable[[int], None]", who: int) -> None:
        heapq.heappush(self._events, (when, next(self._order), what, who))

    def _moved(self, server: Server, rate: float, size: int) -> float:
        """When a request to the store is over: its turn among all requests, among all bytes, and its own stream."""
        world = self._world
        ready = max(server.serve(self._now, 1 / rate), self._bytes.serve(self._now, size / world.bandwidth))
        return ready + world.latency + size / world.stream

    def _begin(self, slot: int) -> None:
        self._hands[slot] = image = self._choose.choice(self._images)
        self._at(self._moved(self._reading, self._world.gets, image.source), self._make, slot)

    def _make(self, slot: int) -> None:
        core = self._cores[slot // self._world.slots]
        self._at(core.serve(self._now, self._hands[slot].cpu) + self._world.net, self._say, slot)

    def _publish(self, slot: int) -> None:
        ended = self._moved(self._writing, self._world.puts, self._hands[slot].output)
        self._at(ended + self._world.net, self._say, slot)

    def _say(self, slot: int) -> None:
        ledger = slot % self._ledgers
        self._inboxes[ledger].append(slot)
        if not self._turning[ledger]:
            self._turn(ledger)

    def _turn(self, ledger: int) -> None:
        """What came while the turn before was written is one transaction."""
        heard, self._inboxes[ledger] = self._inboxes[ledger], []
        self._turning[ledger] = bool(heard)
        if not heard:
            return
        world = self._world
        # Waiting for the disk is no work: what comes meanwhile is the next turn's.
        work = self._workers / self._ledgers * world.line + len(heard) * world.message
        self._deciding += work
        ended = self._turns[ledger].serve(self._now, world.turn + work)
        for slot in heard:
            if slot in self._verified:
                self._verified.remove(slot)
                self._done += 1
                self._at(ended + world.net, self._begin, slot)
            else:
                self._verified.add(slot)
                self._at(ended + world.net, self._publish, slot)
        self._at(ended, self._turn, ledger)


def images_of(ledger: Path) -> list[Image]:
    """The images that a job has done."""
    db = apsw.Connection(str(ledger), flags=apsw.SQLITE_OPEN_READONLY)
    rows = db.execute(
        "SELECT cpu_seconds, source_size, output_size FROM images WHERE state = 'done' AND cpu_seconds > 0"
    )
    found = [Image(*row) for row in cast("list[tuple[float, int, int]]", rows.fetchall())]
    db.close()
    return found


def measured_world() -> World:
    """What the coordinator costs on this machine."""
    work = Path(tempfile.mkdtemp(prefix="ziggurat-saturation-"))
    try:
        # The best of some: other work of the machine is no property of its disk.
        few = min((measure(work, 400, 2) for _ in range(6)), key=lambda carried: carried.seconds)
        many = measure(work, 50_000, 512)
    finally:
        shutil.rmtree(work)
    message = many.cpu / many.images / 2
    # With two images in hand every image has a turn to itself.
    return World(
        turn=max(0.0, few.seconds / few.images - 2 * message),
        message=message + _line_seconds(1),
        line=_line_seconds(1000),
    )


def _line_seconds(lines: int) -> float:
    """Of one line: for a message and its answer, or by the line for looking at so many of them."""
    result = Verified(
        image=1, source_sha256="0" * 64, output_size=1, output_sha256="1" * 64, read_seconds=0.1, write_seconds=0.1,
        verify_seconds=0.1, psnr=45.0, ssimulacra2=90.0, warnings=(),
    )  # fmt: skip
    pairs = [tuple(Connection(end.detach()) for end in socket.socketpair()) for _ in range(lines)]
    ours = [pair[0] for pair in pairs]
    rounds = 2000 if lines == 1 else 50
    began = time.process_time()
    for _ in range(rounds):
        if lines == 1:
            pairs[0][1].send([result])
            pairs[0][0].recv()
        else:
            wait(ours, 0)
    seconds = (time.process_time() - began) / rounds
    for pair in pairs:
        for end in pair:
            end.close()
    return seconds if lines == 1 else seconds / lines


def took(seconds: float) -> str:
    """A duration as people say it."""
    units = (
        ("min", 60.0, 3600.0),
        ("h", 3600.0, 2 * DAY),
        ("days", DAY, 365 * DAY),
        ("years", 365 * DAY, float("inf")),
    )
    unit, length = next((unit, length) for unit, length, most in units if seconds < most)
    return f"{seconds / length:,.1f} {unit}"


def lines(world: World, images: Sequence[Image], ledgers: int = 1) -> str:
    """A table over the numbers of workers."""
    rows = []
    for workers in WORKERS:
        if workers < ledgers:
            continue
        outcome = Simulation(world, images, workers, ledgers).run()
        shares = (outcome.cores, outcome.coordinator, outcome.store)
        times = [took(number / outcome.rate) for number in COLLECTIONS]
        rows.append([str(workers), f"{outcome.rate:,.1f}", *(f"{share:.0%}" for share in shares), *times])
    names = [f"{number:,} take" for number in COLLECTIONS]
    return table(("workers", "images/s", "cores busy", "coordinator busy", "store busy", *names), rows)


def main(words: Sequence[str] | None = None) -> int:
    """Measures, simulates, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ledger", action="append", required=True, help="NAME=FILE: images of a job that is done")
    parser.add_argument("--slow-disk", type=float, default=0.01, help="seconds of a transaction on a slow disk")
    parser.add_argument("--prefixes", type=int, default=16, help="of a store over which outputs are spread")
    parser.add_argument("--ledgers", type=int, default=8, help="jobs that a collection is divided into")
    parser.add_argument("--output", type=Path, help="document to write the section into, such as docs/scaling.md")
    given = parser.parse_args(words)
    world = measured_world()
    where = f"`.venv/bin/python bench/saturation.py` on {datetime.now(UTC):%Y-%m-%d}: {machine()}."
    supposed = (
        f"Measured here: {world.turn * 1e3:.2f} ms for a transaction, {world.message * 1e6:.0f} us for a message, of "
        f"which an image has two, {world.line * 1e6:.1f} us a turn for every worker that is listened to. Supposed: a "
        f"worker has one core and {world.slots} images in hand; the store answers after {world.latency * 1e3:.0f} ms, "
        f"sends {world.stream / 1e6:.0f} MB/s a request, takes {world.gets:,.0f} reads and {world.puts:,.0f} writes a "
        f"second, and {world.bandwidth / 1e9:.1f} GB/s in all."
    )
    parts = [where, supposed]
    images: list[Image] = []
    for named in given.ledger:
        name, _, path = named.partition("=")
        images = images_of(Path(path))
        cpu, source, output = (sum(values) / len(images) for values in zip(*map(_plain, images), strict=True))
        what = f"{cpu:.3g} s of a core, {source / 1e6:.3g} MB read, {output / 1e6:.3g} MB written an image"
        parts += [f"### {name}: {what}", lines(world, images)]
    slow = replace(world, turn=given.slow_disk)
    wide = replace(world, gets=world.gets * given.prefixes, puts=world.puts * given.prefixes)
    parts += [
        "The last of these once more.",
        f"With a disk that needs {given.slow_disk * 1e3:.0f} ms for a transaction:",
        lines(slow, images),
        f"With outputs spread over {given.prefixes} prefixes, each of which takes as much:",
        lines(wide, images),
        f"The same, divided into {given.ledgers} jobs, each with its coordinator:",
        lines(wide, images, given.ledgers),
    ]
    section = "\n\n".join(parts)
    print(section)
    if given.output is not None:
        write_section(given.output, "saturation", section)
    return 0


def _plain(image: Image) -> tuple[float, int, int]:
    return image.cpu, image.source, image.output


if __name__ == "__main__":
    sys.exit(main())
