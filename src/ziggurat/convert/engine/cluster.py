"""The workers of a Dask cluster as an engine: one station in each, wherever and whenever they join or leave."""

import logging
import queue
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ziggurat import __version__
from ziggurat.convert.budgeting import Budgeting
from ziggurat.convert.engine.line import Switchboard
from ziggurat.convert.engine.protocol import Event, Work
from ziggurat.convert.engine.station import Close, Handed, Joined, Message, Orders, Witness, run_station, settle
from ziggurat.convert.guard import Lost
from ziggurat.convert.options import RunOptions
from ziggurat.convert.records import Budget, Failure, Published, Task
from ziggurat.convert.worker import Committed, Probed, WorkerConfig
from ziggurat.errors import DependencyError, SchedulerLost, UsageError, WorkerLost, ZigguratError
from ziggurat.storage.urls import absolute

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

CONNECT_SECONDS = 30.0
"""How long a scheduler is waited for."""

UNLIMITED = 1 << 62
"""A budget that never binds."""

CLOSE_SECONDS = 5.0
"""How long stations are waited for at the end: they kill what they have in hand, and that is all."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Cluster:
    """A connection to a scheduler.

    Attributes:
        address: of the scheduler.
        client: the connection.
        own: the cluster, where it was started for this job and ends with it.
    """

    address: str
    client: "Client"
    own: "LocalCluster | None" = None

    def close(self) -> None:
        """Ends the connection, and the cluster if it is ours."""
        self.client.close()
        if self.own is not None:
            self.own.close()

    def alive(self) -> bool:
        """Whether the scheduler is still there."""
        return self.client.status == "running"

    def host(self) -> str:
        """The address of this machine as the cluster sees it."""
        from distributed.utils import get_ip  # noqa: PLC0415 - an extra

        return str(get_ip(urlsplit(self.address).hostname or "127.0.0.1"))

    def wait(self) -> dict[str, Budgeting]:
        """Waits for a worker that can be used, for as long as it takes: in batch systems that may be hours."""
        began = time.monotonic()
        told = False
        while not (found := self.workers()):
            if not told and time.monotonic() - began > CONNECT_SECONDS:
                _log.warning("%s has no workers yet; waiting for them", self.address)
                told = True
            time.sleep(0.5)
        return found

    def workers(self) -> dict[str, Budgeting]:
        """The workers that there are, by address, and what each would do; small ones are left out.

        Raises:
            SchedulerLost: if the scheduler is gone.
            UsageError: if the workers are ours, and have too little memory.
        """
        found: dict[str, Budgeting] = {}
        try:
            workers = self.client.scheduler_info(n_workers=-1)["workers"]
        except OSError as error:
            raise SchedulerLost(f"the Dask scheduler {self.address} is gone: {error}") from error
        for address, facts in workers.items():
            try:
                found[address] = settle(facts["nthreads"], facts["memory_limit"])
            except UsageError as error:
                if self.own is not None:
                    raise
                _log.warning("%s is not used: %s", address, error)
        return found


def connect(scheduler: str | None, workers: int, memory: int) -> Cluster:
    """Connects to a scheduler, or starts a cluster of processes on this machine.

    Args:
        scheduler: address, or None for a cluster of our own.
        workers: processes of a cluster of our own.
        memory: bytes for all of them together.

    Raises:
        DependencyError: if Dask is not installed.
        SchedulerLost: if there is no scheduler.
    """
    try:
        from distributed import Client, LocalCluster  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise DependencyError(f"--engine dask: pip install 'ziggurat[dask]' ({error})") from error
    logging.getLogger("distributed").setLevel(logging.ERROR)
    if scheduler is None:
        own = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=memory // workers,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        )
        return Cluster(own.scheduler_address, Client(own, set_as_default=False), own)
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SchedulerLost(f"there is no Dask scheduler at {scheduler}: {error}") from error
    return Cluster(client.scheduler_info(n_workers=0)["address"], client)


def start_cluster(run: RunOptions, config: WorkerConfig, witnesses: tuple[Witness, ...]) -> "DaskEngine":
    """Connects to a cluster, or starts one, and waits for its first worker.

    Args:
        run: which cluster.
        config: of the workers, but for their memory.
        witnesses: what each of them must find.

    Raises:
        DependencyError: if Dask is not installed.
        SchedulerLost: if there is no scheduler.
        UsageError: if there are workers, and none can be used.
    """
    cluster = connect(run.scheduler, run.workers, run.memory)
    try:
        # Planned for the smallest of the workers, every image can go to any of them.
        least = min(cluster.wait().values(), key=lambda settings: settings.budget.total)
        place = absolute(config.destination)
        config = replace(config, destination=place, budget=least.budget, share=least.share)
        engine = DaskEngine(cluster, config, witnesses)
        engine.wait()
    except BaseException:
        cluster.close()
        raise
    return engine


@dataclass(frozen=True, slots=True)
class _Change:
    """A worker joined the cluster, or left it."""

    address: str
    joined: bool


@dataclass(slots=True)
class _Seat:
    """A station as it is seen from here; without a line as long as it has not called."""

    name: str
    address: str
    task: "Future[None]"
    line: Connection | None = None
    held: list[Work] = field(default_factory=list)
    slots: int = 0


class DaskEngine:
    """An engine over all workers of a cluster. See ``Engine`` for the methods."""

    def __init__(self, cluster: Cluster, config: WorkerConfig, witnesses: tuple[Witness, ...]) -> None:
        self._cluster = cluster
        self._seats: dict[str, _Seat] = {}
        # A place for every piece of work that could be handed out now, in the order in which they became free.
        self._free: deque[_Seat] = deque()
        self._seat_of: dict[int, _Seat] = {}
        self._refused: str | None = None
        self._workers: set[str] = set()
        self._news: queue.SimpleQueue[_Change | Connection] = queue.SimpleQueue()
        self._switchboard = Switchboard(cluster.host(), self._news.put)
        self.budget = Budget(total=UNLIMITED, bands=config.budget.bands)  # every station minds its own memory
        self._orders = Orders(
            exchange=self._switchboard.exchange,
            version=__version__,
            config=config,
            witnesses=witnesses,
            deaf=cluster.own is not None,
        )
        cluster.client.subscribe_topic("all", self._on_change)
        for address in cluster.workers():
            self._enlist(address)

    def _on_change(self, event: tuple[float, dict[str, str]]) -> None:
        """Dask calls this in a thread of its own."""
        match event[1]:
            case {"action": "add-worker", "worker": address}:
                self._news.put(_Change(address, joined=True))
            case {"action": "remove-worker", "worker": address}:
                self._news.put(_Change(address, joined=False))
            case _:
                pass

    # -- the engine -------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """How much work may be in hand at once, now."""
        return max(1, sum(seat.slots for seat in self._seats.values()))

    def idle(self) -> int:
        """How much more work could be handed out now."""
        return len(self._free)

    def held(self) -> list[Work]:
        """All work that is in hand."""
        return [work for seat in self._seats.values() for work in seat.held]

    def submit(self, work: Work, *, seconds: float, cap: int) -> None:
        """Hands out work to the station that has waited longest."""
        seat = self._free.popleft()
        seat.held.append(work)
        if isinstance(work, Task):
            self._seat_of[work.image] = seat
        _send(seat, Handed(work, seconds, cap))

    def committed(self, image: int) -> None:
        """Tells the station that holds this image to publish it."""
        seat = self._seat_of.get(image)
        if seat is not None:
            _send(seat, Committed(image))

    def events(self, seconds: float) -> Iterator[Event]:
        """Waits for what stations say, and looks after them."""
        seats = {seat.line: seat for seat in self._seats.values() if seat.line is not None}
        if not seats:
            time.sleep(seconds)
        ready = set(wait(list(seats), seconds))
        for line, seat in seats.items():
            if line in ready:
                yield from self._listen(seat)
        while not self._news.empty():
            self._learn(self._news.get())
        self._look_after()
        if not self._cluster.alive() and not any(seat.line for seat in self._seats.values()):
            raise SchedulerLost(
                f"the Dask scheduler {self._cluster.address} is gone; nothing is lost, the same command goes on"
            )

    def wait(self) -> None:
        """Waits for the first station.

        Raises:
            UsageError: if there are workers, and none can be used.
        """
        while not self._free:
            list(self.events(0.1))
            if self._refused is not None and not self._seats:
                raise UsageError(self._refused)

    def close(self) -> None:
        """Ends the stations, and the cluster if it is ours."""
        self._workers.clear()
        for seat in self._seats.values():
            _send(seat, Close())
        deadline = time.monotonic() + CLOSE_SECONDS
        for seat in self._seats.values():
            with suppress(EOFError, OSError):
                # What they still say does not count; the end of the line is the end of what they had in hand.
                while seat.line is not None and seat.line.poll(max(0.0, deadline - time.monotonic())):
                    seat.line.recv()
        self._seats.clear()
        self._free.clear()
        self._switchboard.close()
        if self._cluster.alive():
            # Dask would tell us, too, that we go.
            self._cluster.client.unsubscribe_topic("all")
        self._cluster.close()

    # -- stations ---------------------------------------------------------------------------------------------

    def _enlist(self, address: str) -> None:
        """Starts a station on a worker."""
        self._workers.add(address)
        if any(seat.address == address for seat in self._seats.values()):
            return
        name = uuid.uuid4().hex[:12]
        task = self._cluster.client.submit(
            run_station, name, self._orders, key=f"ziggurat-station-{name}", workers=[address], pure=False
        )
        self._seats[name] = _Seat(name, address, task)

    def _learn(self, news: "_Change | Connection") -> None:
        match news:
            case _Change(address, joined=True):
                self._enlist(address)
            case _Change(address):
                self._workers.discard(address)
                # One that has a line is gone when that is.
                for seat in [seat for seat in self._seats.values() if seat.address == address and seat.line is None]:
                    self._forget(seat)
            case Connection():
                self._welcome(news)

    def _welcome(self, line: Connection) -> None:
        """Gives a line to the station that calls; it says its name at once."""
        try:
            joined: Joined = line.recv()
        except (EOFError, OSError):
            line.close()
            return
        seat = self._seats.get(joined.name)
        if seat is None:
            line.close()
            return
        seat.line, seat.slots = line, joined.slots
        self._free.extend([seat] * joined.slots)

    def _listen(self, seat: _Seat) -> Iterator[Event]:
        try:
            while seat.line is not None and seat.line.poll():
                yield from self._ended(seat, seat.line.recv())
        except (EOFError, OSError):
            self._forget(seat)
            for work in seat.held:
                if isinstance(work, Task):
                    self._seat_of.pop(work.image, None)
                yield Lost(work, WorkerLost.__name__, f"the Dask worker {seat.address} is gone", None)
            if seat.address in self._workers:
                # Perhaps it was only the line.
                self._enlist(seat.address)

    def _ended(self, seat: _Seat, said: Sequence[Event]) -> Iterator[Event]:
        """Passes on what a station said, and frees the places of what it has ended."""
        for event in said:
            match event:
                case Published(image=image) | Failure(image=image) | Lost(work=Task(image=image)):
                    del self._seat_of[image]
                    self._release(seat, image)
                case Probed(probes):
                    self._release(seat, probes[0].image)
                case Lost(work=list() as questions):
                    self._release(seat, questions[0].image)
                case _:
                    pass
            yield event

    def _release(self, seat: _Seat, image: int) -> None:
        """Takes the work that is, or begins with, this image out of a station's hands."""
        for work in seat.held:
            if (work.image if isinstance(work, Task) else work[0].image) == image:
                seat.held.remove(work)
                self._free.append(seat)
                return

    def _look_after(self) -> None:
        """Notices stations that could not begin."""
        for seat in [seat for seat in self._seats.values() if seat.line is None and seat.task.status == "error"]:
            error = seat.task.exception()
            reason = str(error) if isinstance(error, ZigguratError) else f"{type(error).__name__}: {error}"
            self._refused = f"the Dask worker {seat.address} cannot be used: {reason}"
            _log.warning("%s", self._refused)
            self._forget(seat)

    def _forget(self, seat: _Seat) -> None:
        del self._seats[seat.name]
        self._free = deque(free for free in self._free if free is not seat)
        seat.task.release()
        if seat.line is not None:
            seat.line.close()


def _send(seat: _Seat, message: Message) -> None:
    if seat.line is not None:
        # A line that is broken is found so when it is listened to.
        with suppress(OSError):
            seat.line.send(message)
