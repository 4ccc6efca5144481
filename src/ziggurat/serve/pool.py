"""Worker processes as the server's front sees them: a bounded queue, deadlines, replacements for those that die."""

import asyncio
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ziggurat import errors
from ziggurat.errors import CorruptImage, Overloaded, TimedOut, WorkerCrashed, ZigguratError
from ziggurat.serve.wire import HEAD, LAST, Kind, Task, WorkerConfig

ENVIRONMENT: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""The processes are the parallelism."""

LOOKAHEAD: Final = 16
"""Tasks at the head of the queue among which a worker looks for an image that it has open."""

PATIENCE: Final = 0.1
"""Seconds after which the first task in the queue goes first, whatever its image."""

LONGEST: Final = 1 << 28
"""Bytes of an answer that are believed."""

START_SECONDS: Final = 30.0
"""For a worker that must load its libraries first, on top of a task's own time."""

PAUSE: Final = 0.5
"""Seconds before another worker takes the place of one that died without having answered anything."""


class Answer(NamedTuple):
    """What a worker made of a task."""

    kind: Kind
    data: bytes


@dataclass(slots=True)
class _Waiting:
    task: Task
    result: asyncio.Future[Answer]
    since: float


@dataclass(slots=True, eq=False)
class _Idle:
    """A worker without a task, and the images that it has open."""

    wake: asyncio.Future[None]
    known: dict[str, None]


@dataclass(slots=True)
class Figures:
    """What the pool has done so far."""

    done: int = 0
    failed: int = 0
    dropped: int = 0
    refused: int = 0
    crashed: int = 0
    timed_out: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class _Process:
    child: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    fresh: bool = True


@dataclass(slots=True)
class Pool:
    """Answers tasks by worker processes.

    Attributes:
        config: what workers are told.
        size: processes.
        queue: tasks that may wait.
        seconds: that a task may take.
    """

    config: WorkerConfig
    size: int
    queue: int
    seconds: float
    figures: Figures = field(default_factory=Figures)
    _waiting: deque[_Waiting] = field(default_factory=deque)
    _idle: list[_Idle] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """Starts the workers, once; call it inside the event loop that uses the pool."""
        self._tasks = self._tasks or [asyncio.create_task(self._run()) for _ in range(self.size)]

    async def close(self) -> None:
        """Ends the workers, whatever they have in hand."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._waiting:
            self._waiting.popleft().result.cancel()

    @property
    def waiting(self) -> int:
        """Tasks that no worker has begun with."""
        return len(self._waiting)

    def submit(self, task: Task) -> asyncio.Future[Answer]:
        """Queues a task. Cancelling the result drops it, unless a worker has begun.

        Raises:
            Overloaded: if too many wait already.
        """
        if len(self._waiting) >= self.queue:
            self._forget_cancelled()
        if len(self._waiting) >= self.queue:
            self.figures.refused += 1
            raise Overloaded(f"{self.queue} requests are waiting already; try again in a moment")
        result = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(task, result, time.monotonic()))
        if self._idle:
            # The one that has the image open, if one has.
            best = next((one for one in self._idle if task.url in one.known), self._idle[0])
            self._idle.remove(best)
            if not best.wake.done():
                best.wake.set_result(None)
        return result

    def _forget_cancelled(self) -> None:
        kept = [one for one in self._waiting if not one.result.done()]
        self.figures.dropped += len(self._waiting) - len(kept)
        self._waiting = deque(kept)

    async def _next(self, known: dict[str, None]) -> _Waiting:
        """The next task for a worker, of an image that it has open if one is near the head of the queue."""
        while True:
            while self._waiting and self._waiting[0].result.done():
                self._waiting.popleft()
                self.figures.dropped += 1
            if self._waiting:
                return self._taken(known)
            sleeper = _Idle(asyncio.get_running_loop().create_future(), known)
            self._idle.append(sleeper)
            await sleeper.wake

    def _taken(self, known: dict[str, None]) -> _Waiting:
        first = self._waiting[0]
        if first.task.url not in known and time.monotonic() - first.since < PATIENCE:
            for place in range(1, min(LOOKAHEAD, len(self._waiting))):
                one = self._waiting[place]
                if one.task.url in known and not one.result.done():
                    del self._waiting[place]
                    return one
        return self._waiting.popleft()

    async def _run(self) -> None:
        """Keeps one worker alive and busy."""
        while True:
            worker = await self._spawn()
            try:
                await self._feed(worker)
            finally:
                self._end(worker)
            if worker.fresh:
                await asyncio.sleep(PAUSE)

    async def _feed(self, worker: _Process) -> None:
        """Hands tasks to a worker until it dies."""
        known: dict[str, None] = {}
        while True:
            waiting = await self._next(known)
            if worker.reader.at_eof():
                # It died with nothing in hand: its successor takes the task.
                self._waiting.appendleft(waiting)
                return
            began = time.monotonic()
            try:
                async with asyncio.timeout(self.seconds + (START_SECONDS if worker.fresh else 0)):
                    kind, payload = await _exchange(worker, waiting.task)
            except TimeoutError:
                self.figures.timed_out += 1
                text = f"{waiting.task.url} took longer than {self.seconds:g} s; ask for less, or make its levels first"
                _fail(waiting.result, TimedOut(f"{text} with `ziggurat overview`"))
                return
            except (EOFError, OSError, ValueError):
                self.figures.crashed += 1
                _fail(waiting.result, WorkerCrashed(f"{waiting.task.url}: {_how_it_died(worker.child)}"))
                return
            except asyncio.CancelledError:
                waiting.result.cancel()
                raise
            worker.fresh = False
            known.pop(waiting.task.url, None)
            known[waiting.task.url] = None
            if len(known) > LOOKAHEAD:
                del known[next(iter(known))]
            self._settle(waiting, kind & ~LAST, payload, time.monotonic() - began)
            if kind & LAST:
                return

    def _settle(self, waiting: _Waiting, kind: int, payload: bytes, seconds: float) -> None:
        self.figures.seconds += seconds
        if kind in {Kind.DONE, Kind.SKETCHED, Kind.STORED}:
            self.figures.done += 1
            if not waiting.result.done():
                waiting.result.set_result(Answer(Kind(kind), payload))
        else:
            self.figures.failed += 1
            _fail(waiting.result, _error(payload))

    async def _spawn(self) -> _Process:
        ours, theirs = socket.socketpair()
        try:
            command = [sys.executable, "-m", "ziggurat.serve.worker", str(theirs.fileno())]
            child = subprocess.Popen(  # noqa: ASYNC220, S603 - it returns at once; our own module
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=ENVIRONMENT | os.environ
            )
        finally:
            theirs.close()
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        _write(writer, self.config)
        return _Process(child, reader, writer)

    def _end(self, worker: _Process) -> None:
        worker.writer.close()
        with suppress(ProcessLookupError):
            worker.child.kill()
        worker.child.wait()


async def _exchange(worker: _Process, task: Task) -> tuple[int, bytes]:
    """Hands over a task and waits for the answer.

    Raises:
        EOFError: if the worker dies.
        ValueError: if it says what makes no sense.
    """
    _write(worker.writer, task)
    kind, length = HEAD.unpack(await worker.reader.readexactly(HEAD.size))
    if length > LONGEST:
        raise ValueError(length)
    return kind, await worker.reader.readexactly(length)


def _write(writer: asyncio.StreamWriter, said: Task | WorkerConfig) -> None:
    data = pickle.dumps(said)
    writer.write(HEAD.pack(0, len(data)) + data)


def _fail(result: asyncio.Future[Answer], error: ZigguratError) -> None:
    if not result.done():
        result.set_exception(error)


def _error(payload: bytes) -> ZigguratError:
    """The error that a worker told of; one of a class that there is not is a fault of ours."""
    try:
        name, message = json.loads(payload)
    except ValueError:
        name, message = "", "a worker's answer makes no sense"
    kind = getattr(errors, name, None) if isinstance(name, str) else None
    if isinstance(kind, type) and issubclass(kind, ZigguratError):
        return kind(str(message))
    return CorruptImage(f"it could not be read: {message}")


def _how_it_died(child: subprocess.Popen[bytes]) -> str:
    with suppress(subprocess.TimeoutExpired):
        child.wait(timeout=0.2)
    code = child.returncode
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"its decoder process was ended by {signal.Signals(-code).name}"
    return "its decoder process ended" if code is None else f"its decoder process ended with code {code}"
