"""The one process that decides: hands out headers and images, and alone writes the ledger.

Every turn of its loop is one durable transaction: what workers reported is recorded, and what runs next is marked
as running, before any worker is told to publish or to begin.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ziggurat.convert.admission import Admission
from ziggurat.convert.engine.protocol import Engine, Event, Work
from ziggurat.convert.guard import Lost
from ziggurat.convert.hooks import ItemHooks, Notifier
from ziggurat.convert.ledger.ledger import Ledger
from ziggurat.convert.ledger.schema import State
from ziggurat.convert.options import OutputOptions, RunOptions
from ziggurat.convert.probe import Question
from ziggurat.convert.progress import Progress
from ziggurat.convert.records import Failure, Probe, Published, Task, Verified
from ziggurat.convert.settling import Settling
from ziggurat.convert.worker import Probed
from ziggurat.errors import StoreFull, WorkerLost, WriteError
from ziggurat.storage.destination import Destination
from ziggurat.write.table import target

CHUNK = 100
"""Headers that a worker reads at once."""

HEADERS_AT_MOST = 1 << 30
"""Bytes that reading headers may take before it is stopped."""

READY = 64
"""Images with known headers, per worker, that are kept ready."""

LAST = (1 << 63) - 1
"""Above every row's id."""

TICK = 0.1
"""Seconds between two looks at the workers' memory and deadlines."""

QUARANTINE = {"WorkerCrashed", "TimedOut", "OutOfMemory", "WorkerLost"}
"""Errors of which another attempt may be spared, and after which an image is kept apart."""

TRANSIENT = {"StoreUnavailable": 6, "ChecksumMismatch": 3}
"""Errors that may go away, and how often an image is tried then: a server may be away for minutes."""

LOSSES = 8
"""How often an image is tried that lost the worker of a cluster: it is rarely the image's fault, but may be."""

RETRY_SECONDS = 5.0
"""Wait before the first new attempt after a transient error; doubled every time."""

SLOWEST = 100_000
"""Samples a second below which a decoder counts as hung (the slowest seen, noisy lossless JPEG 2000, is 2,000,000)."""

SLOWEST_STORE = 200_000
"""Bytes a second below which a store counts as hung."""

PATIENCE_SECONDS = 90.0
"""Seconds that every image may take besides its samples: stores may be slow."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Coordinator:
    """Runs the open rows of one ledger to their ends."""

    ledger: Ledger
    engine: Engine
    destination: Destination
    options: OutputOptions
    run_options: RunOptions
    progress: Progress
    hooks: ItemHooks
    notifier: Notifier
    admission: Admission = field(init=False)
    settling: Settling = field(init=False)
    draining: bool = False
    aborted: bool = False
    full: str | None = None
    _running: dict[int, Task] = field(default_factory=dict)
    _broken: list[list[Question]] = field(default_factory=list)
    _asked: int = 0
    _fetched: int = 0
    _headers_done: bool = False
    _probing: int = 0

    def __post_init__(self) -> None:
        self.admission = Admission(self.engine.budget)
        self.settling = Settling(self.destination)

    # -- phases -----------------------------------------------------------------------------------------------

    def read_headers(self, limit: int) -> None:
        """Reads up to ``limit`` headers before anything is converted, and records the verdicts."""
        asked = 0
        # Few headers are shared out too, so that all workers start at once and not one after the other.
        few = len(self.ledger.unprobed(self._asked, CHUNK * self.engine.size))
        chunk = max(1, min(CHUNK, -(-few // self.engine.size)))
        while not self.aborted:
            while not self.draining and asked < limit and self.engine.idle() and not self._headers_done:
                asked += self._ask(min(chunk, limit - asked))
            if not self.engine.held():
                return
            self._turn(admit=False)

    def run(self) -> None:
        """Converts until nothing is left that may run, or until told to stop."""
        self.progress.begin(self.ledger)
        self.hooks.start(self.ledger.hooks_due())
        while not self.aborted:
            self._turn(admit=not self.draining)
            self.notifier.watch(self.progress)
            if not self.engine.held() and (self.draining or self._exhausted()):
                if not self.settling.waiting:
                    break
                self.settling.hurry()
        self._put_back()
        self.hooks.finish(self.ledger)

    def drain(self) -> None:
        """Starts nothing new; what runs is finished."""
        self.draining = True

    def abort(self) -> None:
        """Stops at once; what runs is planned again."""
        self.draining = self.aborted = True

    # -- one turn ---------------------------------------------------------------------------------------------

    def _turn(self, *, admit: bool) -> None:
        reported = list(self.engine.events(TICK if self.engine.held() else TICK / 2))
        for event in reported:
            if isinstance(event, Published):
                self.admission.release(event.image)
        events = list(self.settling.passed(reported, self._running.__getitem__))
        chosen: list[Task] = []
        with self.ledger.transaction():
            completed = self._absorb(events)
            if admit:
                chosen = self._choose()
                tokens = self.ledger.start([task.image for task in chosen])
                chosen = [replace(task, token=token) for task, token in zip(chosen, tokens, strict=True)]
        for event in events:
            if isinstance(event, Verified):
                self.engine.committed(event.image)
        for task in chosen:
            self._running[task.image] = task
            self.engine.submit(task, seconds=self._seconds(task), cap=task.cap)
        self.hooks.start(completed)
        self.hooks.collect(self.ledger)
        self.progress.tick()

    def _absorb(self, events: Sequence[Event]) -> list[str]:
        """Records what workers reported; returns the items that are complete now."""
        for event in events:
            match event:
                case Probed(probes):
                    self._probed(probes)
                case Failure():
                    self._failed(event)
                case Lost(work=Task() as task):
                    self._clear(task)
                    text = f"{task.source}: {event.message}"
                    self._failed(
                        Failure(
                            image=task.image,
                            error_class=event.error_class,
                            error_message=text,
                            peak_memory=event.peak,
                        )
                    )
                case Lost(work=list() as questions):
                    self._lost_headers(questions, event)
                case Verified():
                    # Should its worker die between publishing and saying so, the next attempt may replace this.
                    task = self._running[event.image]
                    self._running[event.image] = replace(task, replaces=event.output_sha256)
                case _:
                    pass
        self.ledger.verified(event for event in events if isinstance(event, Verified))
        published = [event for event in events if isinstance(event, Published)]
        for event in published:
            self.progress.done(self._running.pop(event.image), event)
        return self.ledger.published(published)

    def _choose(self) -> list[Task]:
        """Takes the tasks that begin now, and asks for headers when few images are ready."""
        if self.admission.waiting < READY * self.engine.size:
            self._fetch()
        chosen: list[Task] = []
        for _ in range(self.engine.idle()):
            task = self.admission.next(time.time())
            if task is None:
                if not self._headers_done and not self._probing:
                    self._ask(CHUNK)
                break
            chosen.append(task)
        return chosen

    # -- headers ----------------------------------------------------------------------------------------------

    def _ask(self, count: int) -> int:
        """Hands out the next chunk of headers; returns how many it holds."""
        if self._broken:
            questions = self._broken.pop()
        else:
            rows = self.ledger.unprobed(self._asked, count)
            if not rows:
                self._headers_done = True
                self._asked = LAST
                return 0
            self._asked = rows[-1][0]
            questions = [Question(*row) for row in rows]
        self._probing += 1
        self.engine.submit(
            questions, seconds=60 + 5 * len(questions), cap=min(HEADERS_AT_MOST, self.engine.budget.total)
        )
        return len(questions)

    def _probed(self, answers: Iterable[Probe]) -> None:
        self._probing -= 1
        probes = [self._retargeted(probe) for probe in answers]
        self.ledger.set_probes(probes)
        self.progress.probed(probes)
        self._fetched = min([self._fetched, *(probe.image - 1 for probe in probes)])

    def _retargeted(self, probe: Probe) -> Probe:
        """An oversized image that goes to another writer takes that writer's suffix."""
        if probe.writer is None or probe.writer == self.options.target:
            return probe
        if self.ledger.retarget(probe.image, target(probe.writer).suffixes[0]):
            return probe
        return replace(
            probe,
            verdict=State.REFUSED,
            error_class="NameCollision",
            error_message=f"written as {probe.writer}, it would have the target of another row; see --name",
        )

    def _lost_headers(self, questions: list[Question], lost: Lost[Work]) -> None:
        """Halves a chunk that took a worker down until the one image that did it stands alone."""
        self._probing -= 1
        if lost.error_class == WorkerLost.__name__:
            self._broken.append(questions)
            self._headers_done = False
            return
        if len(questions) > 1:
            middle = len(questions) // 2
            self._broken += [questions[:middle], questions[middle:]]
            self._headers_done = False
            return
        probe = Probe(
            image=questions[0].image,
            verdict=State.QUARANTINED,
            error_class=lost.error_class,
            error_message=f"{questions[0].source}: {lost.message}",
        )
        self.ledger.set_probes([probe])
        self.progress.probed([probe])

    # -- images -----------------------------------------------------------------------------------------------

    def _fetch(self) -> None:
        """Takes more planned rows with known headers from the ledger."""
        tasks = self.ledger.ready(self._fetched, self._asked, READY * self.engine.size)
        if tasks:
            self._fetched = tasks[-1].image
        held = self.admission.images()
        self.admission.add(task for task in tasks if task.image not in held)

    def _exhausted(self) -> bool:
        return self._headers_done and not self._broken and not self.admission.waiting and not self._more()

    def _more(self) -> bool:
        self._fetch()
        return self.admission.waiting > 0

    def _seconds(self, task: Task) -> float:
        if self.run_options.timeout is not None:
            return self.run_options.timeout
        return PATIENCE_SECONDS + task.samples / SLOWEST + task.source_size / SLOWEST_STORE

    def _failed(self, failure: Failure) -> None:
        """Decides what becomes of an image after an attempt that ended badly."""
        self.admission.release(failure.image)
        task = self._running.pop(failure.image)
        if failure.error_class == StoreFull.__name__:
            self.full = failure.error_message
            self.ledger.release([failure.image])
            self.drain()
            return
        limit = TRANSIENT.get(failure.error_class, 0)
        if failure.error_class in QUARANTINE:
            limit = LOSSES if failure.error_class == WorkerLost.__name__ else self.run_options.attempts
        if task.attempt < limit:
            wait = RETRY_SECONDS * 2 ** (task.attempt - 1) if failure.error_class in TRANSIENT else 0.0
            until = time.time() + wait
            self.ledger.failed(failure, State.PLANNED, until)
            self.admission.delay(replace(task, attempt=task.attempt + 1), until)
            return
        state = State.QUARANTINED if failure.error_class in QUARANTINE else State.FAILED
        self.ledger.failed(failure, state)
        self.progress.failed(failure, state)

    def _clear(self, task: Task) -> None:
        """Removes the temporary file of a worker that is gone."""
        try:
            self.destination.cleanup(task.target, task.token)
        except WriteError as error:
            _log.warning("%s", error)

    def _put_back(self) -> None:
        """Ends the workers; images that they still hold, after an abort, are planned again."""
        held = [work for work in self.engine.held() if isinstance(work, Task)]
        self.engine.close()
        for task in held:
            self._clear(task)
        if held:
            with self.ledger.transaction():
                self.ledger.release([task.image for task in held])
