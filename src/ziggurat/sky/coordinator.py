"""The process that hands out cutouts to workers and alone writes the ledger: a durable transaction a turn.

A kill at any moment loses at most the records of some cutouts that are in their places already. They are made again,
to the same bytes, and so found to be ours.
"""

import time
from dataclasses import dataclass, field
from typing import Final

from ziggurat.convert.guard import Guard, Lost
from ziggurat.convert.progress import Progress
from ziggurat.errors import StoreFull
from ziggurat.model import JSON
from ziggurat.sky.ledger import CutoutLedger
from ziggurat.sky.records import Batch, Finished, Order, Outcome
from ziggurat.sky.schema import State
from ziggurat.storage.destination import Destination

BATCH: Final = 256
"""Targets that a worker gets at once: enough for most images to be opened once."""

ATTEMPTS: Final = 2
"""How often a target is tried that takes its worker down."""

PATIENCE_SECONDS: Final = 600.0
"""Seconds after which a cutout counts as hung: exact resampling of ten megapixels takes a tenth of that."""

GATHER: Final = 0.05
"""Seconds for which what workers say is gathered: a durable transaction for every cutout would cost as much as it."""

TICK: Final = 0.1
"""Seconds between two looks at the workers."""


@dataclass(slots=True)
class _Held:
    """A batch in a worker's hands, and how many of its orders have ended."""

    batch: Batch
    ended: int = 0

    @property
    def open(self) -> tuple[Order, ...]:
        """Orders that have not ended, the one in hand first."""
        return self.batch.orders[self.ended :]


@dataclass(slots=True)
class Coordinator:
    """Runs the open rows of one ledger to their ends.

    Attributes:
        ledger: of the job.
        guard: its workers.
        destination: where cutouts go.
        progress: counts and shows.
        cap: bytes at which a worker is stopped.
        stopped: told to stop, or the destination is full.
        full: what the destination said then.
    """

    ledger: CutoutLedger
    guard: Guard[Batch, Outcome | Finished]
    destination: Destination
    progress: Progress
    cap: int
    stopped: bool = False
    full: str | None = None
    _held: list[_Held] = field(default_factory=list)

    def run(self) -> None:
        """Makes cutouts until none is left, or until told to stop."""
        counts = self.ledger.counts()
        self.progress.images = sum(counts.values())
        self.progress.finished = counts.get(State.DONE, 0)
        self.progress.unsuccessful = self.progress.images - self.progress.finished - counts.get(State.PLANNED, 0)
        try:
            while not self.stopped and (self._turn() or self.guard.busy()):
                self.progress.tick()
        finally:
            self.guard.close()
            with self.ledger.transaction():
                for held in self._held:
                    self._clear(held)
                    self.ledger.release(held.open)

    def drain(self) -> None:
        """Stops; a cutout that is in hand is made anew by the next run."""
        self.stopped = True

    abort = drain

    def _turn(self) -> bool:
        """Records what workers said and hands out more; returns whether something was handed out."""
        events = list(self.guard.events(TICK)) if self.guard.workers else []
        if events:
            time.sleep(GATHER)
            events += self.guard.events(0)
        taken: list[Batch] = []
        with self.ledger.transaction():
            outcomes = [event for event in events if isinstance(event, Outcome)]
            self.ledger.ended(outcomes)
            for outcome in outcomes:
                self._count(outcome)
            for event in events:
                if isinstance(event, Lost):
                    self._lost(event)
            while not self.stopped and len(taken) < self.guard.idle() and (batch := self.ledger.take(BATCH)):
                taken.append(batch)
        for batch in taken:
            self._held.append(_Held(batch))
            self.guard.submit(batch, seconds=PATIENCE_SECONDS, cap=self.cap)
        return bool(taken)

    def _count(self, outcome: Outcome) -> None:
        """Notes that an order has ended, and tells of it."""
        for held in self._held:
            if held.open[0].row == outcome.row:
                held.ended += 1
                for worker in self.guard.workers:
                    if worker.work is held.batch:
                        worker.deadline = time.monotonic() + PATIENCE_SECONDS
        self._held = [held for held in self._held if held.open]
        if outcome.error_class == StoreFull.__name__:
            self.full, self.stopped = outcome.error_message, True
            return
        self._show(outcome)

    def _show(self, outcome: Outcome) -> None:
        progress = self.progress
        progress.pixels_done += outcome.pixels
        progress.bytes_done += outcome.size or 0
        progress.last_finished = time.monotonic()
        if outcome.state == State.DONE:
            progress.finished += 1
        else:
            progress.unsuccessful += 1
        facts: dict[str, JSON] = {"id": outcome.row, "state": outcome.state, "error": outcome.error_message}
        progress.display.event("image", facts)

    def _lost(self, event: Lost[Batch]) -> None:
        """The order in hand took the worker down; those behind it were not begun."""
        held = next((held for held in self._held if held.batch is event.work), None)
        if held is None:
            return
        self._held.remove(held)
        self._clear(held)
        culprit, *others = held.open
        self.ledger.release(others)
        if culprit.attempts + 1 < ATTEMPTS:
            self.ledger.again(culprit)
            return
        message = f"{culprit.name or culprit.key}: {event.message}"
        outcome = Outcome(
            row=culprit.row, state=State.QUARANTINED, error_class=event.error_class, error_message=message
        )
        self.ledger.ended([outcome])
        self._show(outcome)

    def _clear(self, held: _Held) -> None:
        """Removes temporary files; the worker may be farther than it was heard to be."""
        job = str(self.ledger.fact("id"))
        for order in held.open:
            self.destination.cleanup(order.key, order.token(job))
