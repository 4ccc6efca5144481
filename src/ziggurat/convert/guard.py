"""Worker processes under guard: each has one thing in hand, a deadline and a memory cap.

Nothing here knows what the work is. What happens to a worker's work when it dies, hangs or eats memory is reported as a
``Lost``; a new worker takes its place.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from ziggurat.convert import process
from ziggurat.errors import OutOfMemory, TimedOut, WorkerCrashed

RECYCLE_AFTER = 400
"""Images after which a worker is replaced: leaks in decoders stay small."""

START_SECONDS = 60.0
"""Seconds that a new worker may take before it says its first word: it loads libraries, perhaps from a slow disk."""

RECYCLE_RESIDENT = 512 << 20
"""Bytes of an idle worker above which it is replaced."""

WORKER_BASE = 170 << 20
"""Resident bytes of a worker with its libraries loaded and nothing in hand (measured 120 to 160 MiB)."""

WORKER_ENVIRONMENT = {
    # One process per core is the parallelism; threads inside would compete.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Wavelet transforms walk large planes by columns: huge pages save page faults and TLB misses.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


@dataclass(frozen=True, slots=True)
class Lost[Work]:
    """Work whose worker is gone.

    Attributes:
        work: what it had in hand.
        error_class: WorkerCrashed, TimedOut or OutOfMemory.
        message: what happened.
        peak: resident bytes when it was last seen.
    """

    work: Work
    error_class: str
    message: str
    peak: int | None


@dataclass(slots=True)
class Worker[Work]:
    """One process and what it has in hand."""

    process: SpawnProcess
    connection: Connection
    work: Work | None = None
    seconds: float = 0.0
    deadline: float = 0.0
    cap: int = 0
    stage: str = ""
    resident: int = 0
    finished: int = 0
    begun: bool = False
    silent: bool = False


@dataclass(slots=True)
class Guard[Work, Answer]:
    """Up to ``size`` workers, started when there is work for them.

    Attributes:
        size: how many.
        entry: what a worker's process calls with its end of the connection; can be pickled.
        last: types of the answers after which a worker has nothing in hand.
        base: resident bytes of a worker with its libraries loaded and nothing in hand.
        workers: those that there are.
        wake: what else ends the waiting of ``events`` when there is something to read from it.
    """

    size: int
    entry: Callable[[Connection], None]
    last: tuple[type, ...]
    base: int = WORKER_BASE
    workers: list[Worker[Work]] = field(default_factory=list)
    wake: Connection | None = None

    def idle(self) -> int:
        """How many more requests could be handed out now."""
        return self.size - sum(worker.work is not None for worker in self.workers)

    def busy(self) -> list[Worker[Work]]:
        """Workers with something in hand."""
        return [worker for worker in self.workers if worker.work is not None]

    def submit(self, work: Work, *, seconds: float, cap: int) -> None:
        """Hands work to an idle worker; starts one if need be.

        Args:
            work: as the workers take it.
            seconds: after which the worker is killed; a new one's count from its first word.
            cap: resident bytes, above the worker's own, at which it is killed.
        """
        worker = next((worker for worker in self.workers if worker.work is None), None) or self._spawn()
        worker.work, worker.stage = work, ""
        worker.seconds, worker.cap = seconds, self.base + cap
        worker.deadline = time.monotonic() + seconds + (0.0 if worker.begun else START_SECONDS)
        send(worker, work)

    def events(self, seconds: float) -> Iterator[Answer | Lost[Work]]:
        """Waits up to ``seconds`` and yields what workers said, and what became of lost ones."""
        handles: list[object] = [worker.connection for worker in self.workers]
        handles += [worker.process.sentinel for worker in self.workers]
        handles += [] if self.wake is None else [self.wake]
        if not handles:
            time.sleep(seconds)
        ready = set(map(id, wait(handles, seconds))) if handles else set()  # type: ignore[arg-type]  # as documented
        for worker in list(self.workers):
            if id(worker.connection) in ready:
                yield from self._listen(worker)
        yield from self._guard()

    def _listen(self, worker: Worker[Work]) -> Iterator[Answer]:
        try:
            while worker.connection.poll():
                answer: Answer = worker.connection.recv()
                if not worker.begun:
                    worker.begun, worker.deadline = True, time.monotonic() + worker.seconds
                if isinstance(answer, self.last):
                    worker.work = None
                    worker.finished += 1
                elif hasattr(answer, "name"):
                    worker.stage = answer.name
                yield answer
        except (EOFError, ConnectionResetError):
            worker.silent = True

    def _guard(self) -> Iterator[Lost[Work]]:
        """Looks after every worker: dead, late, too large, worn."""
        now = time.monotonic()
        for worker in list(self.workers):
            resident = process.resident_memory(worker.process.pid or 0) or 0
            worker.resident = max(worker.resident, resident) if worker.work is not None else resident
            if not worker.process.is_alive():
                # What it said before it died still counts; the next turn hears it.
                if not worker.silent and worker.connection.poll():
                    continue
                yield from self._bury(worker, WorkerCrashed.__name__, _how_it_died(worker))
            elif worker.work is None:
                if worker.finished >= RECYCLE_AFTER or resident > RECYCLE_RESIDENT:
                    self._discard(worker)
            elif now > worker.deadline:
                worker.process.kill()
                yield from self._bury(worker, TimedOut.__name__, f"hung in {worker.stage or 'its header'}; killed")
            elif resident > worker.cap:
                worker.process.kill()
                text = (
                    f"grew to {resident >> 20} MiB in {worker.stage or 'its header'}, far over its prediction; killed"
                )
                yield from self._bury(worker, OutOfMemory.__name__, text)

    def _bury(self, worker: Worker[Work], error_class: str, message: str) -> Iterator[Lost[Work]]:
        work, peak = worker.work, worker.resident or None
        self._discard(worker)
        if work is not None:
            yield Lost(work, error_class, message, peak)

    def _spawn(self) -> Worker[Work]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        with _environment():
            child = context.Process(target=self.entry, args=(theirs,), daemon=True)
            child.start()
        theirs.close()
        worker: Worker[Work] = Worker(child, ours)
        self.workers.append(worker)
        return worker

    def _discard(self, worker: Worker[Work]) -> None:
        self.workers.remove(worker)
        worker.connection.close()
        if worker.process.is_alive() and worker.work is not None:
            worker.process.kill()
        worker.process.join(timeout=5)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.process.close()

    def close(self) -> None:
        """Ends idle workers by closing their connections, and kills busy ones."""
        for worker in list(self.workers):
            self._discard(worker)


def send(worker: Worker[Any], request: object) -> None:
    """Tells a worker something, unless it is gone."""
    try:
        worker.connection.send(request)
    except (BrokenPipeError, ConnectionResetError, OSError):
        # It just died: the guard finds it with its work in hand and reports that.
        return


def _how_it_died(worker: Worker[Any]) -> str:
    code = worker.process.exitcode
    where = worker.stage or "its header"
    if code is not None and code < 0:
        try:
            return f"its decoder process was ended by {signal.Signals(-code).name} in {where}"
        except ValueError:
            return f"its decoder process was ended by signal {-code} in {where}"
    return f"its decoder process ended with code {code} in {where}"


@contextmanager
def _environment() -> Iterator[None]:
    """Environment variables that must be there when the child starts, not after."""
    before = {name: os.environ.get(name) for name in WORKER_ENVIRONMENT}
    os.environ.update({name: value for name, value in WORKER_ENVIRONMENT.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
