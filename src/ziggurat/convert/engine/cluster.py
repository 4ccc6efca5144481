"""The workers of a Dask cluster as an engine: one station in each, wherever and whenever they join or leave."""

import logging
import pickle
import queue
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ziggurat import __version__
from ziggurat.convert.budgeting import Budgeting
from ziggurat.convert.engine.protocol import Event, Work
from ziggurat.convert.engine.station import (
    BEAT_SECONDS,
    Close,
    Handed,
    Joined,
    Message,
    Orders,
    Report,
    Witness,
    deliver,
    run_station,
    settle,
)
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
        """The workers that there are, by address, and what each would do; small ones are left out."""
        found: dict[str, Budgeting] = {}
        for address, facts in self.client.scheduler_info(n_workers=-1)["workers"].items():
            try:
                found[address] = settle(facts["nthreads"], facts["memory_limit"])
            except UsageError as error:
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
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )
        return Cluster(own.scheduler_address, Client(own, set_as_default=False), own)
    try:
        return Cluster(scheduler, Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False))
    except (OSError, ValueError) as error:
        raise SchedulerLost(f"there is no Dask scheduler at {scheduler}: {error}") from error


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
        config = replace(
            config, destination=absolute(config.destination), budget=least.budget, share=least.share
        )  # fmt: skip
        orders = Orders(
            topic=f"ziggurat-{uuid.uuid4().hex[:12]}",
            version=__version__,
            config=config,
            witnesses=witnesses,
            deaf=cluster.own is not None,
        )
        engine = DaskEngine(cluster, orders)
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
    """A station as it is seen from here."""

    name: str
    address: str
    task: "Future[None]"
    slots: int = 0
    held: list[Work] = field(default_factory=list)
    outbox: list[Message] = field(default_factory=list)
    sent: "list[Future[None]]" = field(default_factory=list)
    written: float = 0.0


class DaskEngine:
    """An engine over all workers of a cluster. See ``Engine`` for the methods."""

    def __init__(self, cluster: Cluster, orders: Orders) -> None:
        self._cluster, self._orders = cluster, orders
        self._seats: dict[str, _Seat] = {}
        # A place for every piece of work that could be handed out now, in the order in which they became free.
        self._free: deque[_Seat] = deque()
        self._seat_of: dict[int, _Seat] = {}
        self._refused: str | None = None
        self._heard: queue.SimpleQueue[Report | _Change] = queue.SimpleQueue()
        cluster.client.subscribe_topic(orders.topic, self._on_report)
        cluster.client.subscribe_topic("all", self._on_change)
        for address in cluster.workers():
            self._enlist(address)

    # -- what Dask tells, in its own thread ---------------------------------------------------------------------

    def _on_report(self, event: tuple[float, bytes]) -> None:
        self._heard.put(pickle.loads(event[1]))  # noqa: S301 - what workers of a Dask cluster say is pickled anyway

    def _on_change(self, event: tuple[float, dict[str, str]]) -> None:
        match event[1]:
            case {"action": "add-worker", "worker": address}:
                self._heard.put(_Change(address, joined=True))
            case {"action": "remove-worker", "worker": address}:
                self._heard.put(_Change(address, joined=False))
            case _:
                pass

    # -- the engine -------------------------------------------------------------------------------------------

    @property
    def budget(self) -> Budget:
        """Bytes for all that is in hand together: every station minds its own memory."""
        return Budget(total=UNLIMITED, bands=self._orders.config.budget.bands)

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
        seat.outbox.append(Handed(work, seconds, cap))

    def committed(self, image: int) -> None:
        """Tells the station that holds this image to publish it."""
        seat = self._seat_of.get(image)
        if seat is not None:
            seat.outbox.append(Committed(image))

    def events(self, seconds: float) -> Iterator[Event]:
        """Sends what is to be sent, waits, and tells what was heard."""
        self._send()
        if not self._cluster.alive():
            raise SchedulerLost(
                f"the Dask scheduler {self._cluster.address} is gone; nothing is lost, the same command goes on"
            )
        waiting = seconds
        while True:
            try:
                heard = self._heard.get(timeout=waiting) if waiting else self._heard.get_nowait()
            except queue.Empty:
                break
            waiting = 0.0
            match heard:
                case _Change(address, joined=True):
                    self._enlist(address)
                case _Change(address):
                    for seat in [seat for seat in self._seats.values() if seat.address == address]:
                        yield from self._bury(seat, "left the cluster")
                case (name, said):
                    yield from self._hear(name, said)
        yield from self._look_after()

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
        if self._cluster.alive():
            for seat in self._seats.values():
                seat.outbox = [Close()]
            self._send()
            deadline = time.monotonic() + CLOSE_SECONDS
            while time.monotonic() < deadline and not all(seat.task.done() for seat in self._seats.values()):
                time.sleep(0.02)
            # Dask would tell us, too, that we go.
            self._cluster.client.unsubscribe_topic("all")
            self._cluster.client.unsubscribe_topic(self._orders.topic)
        self._seats.clear()
        self._free.clear()
        self._cluster.close()

    # -- stations ---------------------------------------------------------------------------------------------

    def _enlist(self, address: str) -> None:
        """Starts a station on a worker."""
        if any(seat.address == address for seat in self._seats.values()):
            return
        name = uuid.uuid4().hex[:12]
        task = self._cluster.client.submit(
            run_station, name, self._orders, key=f"ziggurat-station-{name}", workers=[address], pure=False
        )
        self._seats[name] = _Seat(name, address, task, written=time.monotonic())

    def _hear(self, name: str, said: Sequence[Joined | Event]) -> Iterator[Event]:
        seat = self._seats.get(name)
        if seat is None:
            # It was given up; what it did since is done again.
            return
        for event in said:
            match event:
                case Joined(slots):
                    seat.slots = slots
                    self._free.extend([seat] * slots)
                    continue
                case Published(image=image) | Failure(image=image) | Lost(work=Task(image=image)):
                    self._seat_of.pop(image)
                    self._ended(
                        seat, next(work for work in seat.held if isinstance(work, Task) and work.image == image)
                    )
                case Probed(probes):
                    images = {probe.image for probe in probes}
                    self._ended(
                        seat, next(work for work in seat.held if isinstance(work, list) and work[0].image in images)
                    )
                case Lost(work=list() as questions):
                    self._ended(seat, questions)
                case _:
                    pass
            yield event

    def _ended(self, seat: _Seat, work: Work) -> None:
        seat.held.remove(work)
        self._free.append(seat)

    def _look_after(self) -> Iterator[Event]:
        """Notices stations that have ended by themselves."""
        for seat in list(self._seats.values()):
            if not seat.task.done():
                continue
            error = seat.task.exception() if seat.task.status == "error" else None
            yield from self._bury(seat, "gave up")
            if error is None:
                self._enlist(seat.address)
                continue
            reason = str(error) if isinstance(error, ZigguratError) else f"{type(error).__name__}: {error}"
            self._refused = f"the Dask worker {seat.address} cannot be used: {reason}"
            _log.warning("%s", self._refused)

    def _bury(self, seat: _Seat, how: str) -> Iterator[Event]:
        """Forgets a station; what it had in hand is lost."""
        del self._seats[seat.name]
        self._free = deque(free for free in self._free if free is not seat)
        seat.task.release()
        seat.sent.clear()
        for work in seat.held:
            if isinstance(work, Task):
                self._seat_of.pop(work.image, None)
            yield Lost(work, WorkerLost.__name__, f"the Dask worker {seat.address} {how}", None)

    def _send(self) -> None:
        """Sends every station its messages, all in one task, or a sign of life where there was none for a while."""
        now = time.monotonic()
        for seat in self._seats.values():
            if not seat.slots or not (seat.outbox or now - seat.written > BEAT_SECONDS):
                continue
            seat.sent = [future for future in seat.sent if not future.done()]
            seat.sent.append(
                self._cluster.client.submit(
                    deliver, seat.name, seat.outbox, key=f"ziggurat-{uuid.uuid4().hex}", workers=[seat.address],
                    priority=100, pure=False,
                )
            )  # fmt: skip
            seat.outbox, seat.written = [], now
