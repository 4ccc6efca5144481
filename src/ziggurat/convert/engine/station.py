"""What runs in a worker of a Dask cluster: a station, which keeps guarded processes and gives them their work.

The station is one long task of Dask. It and the coordinator talk over a connection of their own: a task of Dask for
every word would cost more than a small image.
"""

import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from ziggurat import __version__
from ziggurat.convert.admission import Admission
from ziggurat.convert.budgeting import Budgeting, budgeting
from ziggurat.convert.engine.line import Exchange, dial
from ziggurat.convert.engine.local import Pool
from ziggurat.convert.engine.protocol import Event, Work
from ziggurat.convert.guard import Lost
from ziggurat.convert.records import Failure, Published, Task
from ziggurat.convert.worker import Committed, Stage, WorkerConfig
from ziggurat.errors import DependencyError, SourceRefused, UsageError

if TYPE_CHECKING:
    from distributed import Worker

STATION_BASE = 200 << 20
"""Resident bytes of a Dask worker with a station in it (measured 150 to 170 MiB)."""

TICK = 0.1
"""Seconds between two looks at the processes' memory and deadlines."""

ENDING = {"closing", "closing_gracefully", "closed", "failed"}
"""States of a Dask worker that ends."""


@dataclass(frozen=True, slots=True)
class Witness:
    """A local file that proves that a place means the same on another machine.

    Attributes:
        path: absolute.
        content: of the file, or None where it is a source.
        size: of a source.
    """

    path: str
    content: str | None
    size: int = 0

    def check(self) -> None:
        """Looks for it.

        Raises:
            SourceRefused: if it is not there, or another.
        """
        path = Path(self.path)
        try:
            if self.content is None:
                same = path.is_dir() or path.stat().st_size == self.size
            else:
                same = path.read_text(encoding="utf-8") == self.content
        except (OSError, UnicodeDecodeError):
            same = False
        if not same:
            raise SourceRefused(
                f"{path if self.content is None else path.parent} is not the same here as where the job was started: "
                "all workers of a cluster must reach sources and destination by the same names, in an object store "
                "or on a file system that they share"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a station is told once.

    Attributes:
        exchange: where the coordinator waits for it.
        version: of the coordinator's Ziggurat.
        config: for its processes; their scratch folder is its own affair.
        witnesses: what it must find.
        deaf: whether signals for the whole process group are the coordinator's affair: its workers are ours.
    """

    exchange: Exchange
    version: str
    config: WorkerConfig
    witnesses: tuple[Witness, ...]
    deaf: bool


@dataclass(frozen=True, slots=True)
class Joined:
    """A station's first word.

    Attributes:
        name: as it was given.
        slots: how much work it takes at once.
    """

    name: str
    slots: int


@dataclass(frozen=True, slots=True)
class Handed:
    """Work for a station, as ``Engine.submit`` gets it."""

    work: Work
    seconds: float
    cap: int


@dataclass(frozen=True, slots=True)
class Close:
    """The station ends, and with it what it has in hand."""


type Message = Handed | Committed | Close


def settle(threads: int, memory: int | None) -> Budgeting:
    """How many processes a Dask worker gets, and how much memory each image.

    One process more than it has threads: while one waits for the coordinator's word, all cores are busy.

    Raises:
        UsageError: if its memory is too small, or unknown.
    """
    if not memory:
        raise UsageError("this Dask worker does not know its memory; start it with --memory-limit")
    return budgeting(threads + 1, memory, STATION_BASE)


def run_station(name: str, orders: Orders) -> None:
    """Keeps a station until it is closed or its coordinator is gone. A task of Dask.

    Raises:
        DependencyError: if another release of Ziggurat is installed here.
        SourceRefused: if sources or destination are not the same here.
        UsageError: if this worker has less memory than the job was planned with, or cannot reach the coordinator.
    """
    from distributed import get_worker, secede  # noqa: PLC0415 - an extra

    worker = get_worker()
    if orders.deaf:
        # Signal handlers can be set in the main thread alone: Dask's loop runs there.
        worker.loop.add_callback(signal.signal, signal.SIGINT, signal.SIG_IGN)
        worker.loop.add_callback(signal.signal, signal.SIGTERM, signal.SIG_IGN)
    if orders.version != __version__:
        raise DependencyError(f"Ziggurat {__version__} is installed here, the job runs with {orders.version}")
    for witness in orders.witnesses:
        witness.check()
    settings = settle(worker.state.nthreads, worker.memory_manager.memory_limit)
    if settings.budget.total < orders.config.budget.total:
        raise UsageError(
            f"images get {settings.budget.total >> 20} MiB here, the job was planned with "
            f"{orders.config.budget.total >> 20} MiB"
        )
    secede()
    # Dask marks its workers as processes that have no children. Ours die with them whatever happens.
    multiprocessing.current_process().daemon = False
    scratch = Path(worker.local_directory) / f"ziggurat-{name}"
    config = replace(orders.config, scratch=os.fspath(scratch))
    with dial(orders.exchange) as line:
        pool = Pool(settings.workers, config)
        try:
            Station(name, worker, line, pool, Admission(settings.budget)).run()
        finally:
            pool.close()
            shutil.rmtree(scratch, ignore_errors=True)


class Station:
    """The processes of one Dask worker, and the work that waits for memory."""

    def __init__(self, name: str, worker: "Worker", line: Connection, pool: Pool, admission: Admission) -> None:
        self._name, self._worker, self._line = name, worker, line
        self._pool, self._admission = pool, admission
        self._handed: dict[int, Handed] = {}
        self._headers: list[Handed] = []
        pool.wake = line

    def run(self) -> None:
        """Works until it is told to close, its Dask worker ends, or the coordinator is gone."""
        try:
            self._line.send(Joined(self._name, self._pool.size))
            while self._worker.status.name not in ENDING:
                if not self._listen():
                    return
                self._begin()
                said = [event for event in self._pool.events(TICK) if not isinstance(event, Stage)]
                for event in said:
                    self._note(event)
                if said:
                    self._line.send(said)
        except (EOFError, OSError):
            return

    def _listen(self) -> bool:
        """Takes what the coordinator says; false if that is to close."""
        while self._line.poll():
            message: Message = self._line.recv()
            match message:
                case Handed(work=Task() as task):
                    self._handed[task.image] = message
                    self._admission.add([task])
                case Handed():
                    self._headers.append(replace(message, cap=min(message.cap, self._admission.budget.total)))
                case Committed(image):
                    self._pool.committed(image)
                case Close():
                    return False
        return True

    def _begin(self) -> None:
        while self._pool.idle():
            if self._headers:
                handed = self._headers.pop(0)
            elif (task := self._admission.next(time.time())) is not None:
                handed = self._handed.pop(task.image)
            else:
                return
            self._pool.submit(handed.work, seconds=handed.seconds, cap=handed.cap)

    def _note(self, event: Event) -> None:
        match event:
            case Published(image=image) | Failure(image=image) | Lost(work=Task(image=image)):
                self._admission.release(image)
            case _:
                pass
