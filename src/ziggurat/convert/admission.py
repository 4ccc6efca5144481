"""Which image runs next: admission by predicted memory, in the ledger's order as far as memory allows."""

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from ziggurat.convert.records import Budget, Task

LOOK_AHEAD = 64
"""Images behind one that must wait for memory that may overtake it, so that no core idles."""

PATIENCE = 256
"""Overtakings after which nothing passes a waiting image any more."""


@dataclass(slots=True)
class Admission:
    """Images that are ready to run, and the memory that is taken.

    Attributes:
        budget: bytes for all tasks together.
        queue: ready tasks in the ledger's order.
        delayed: tasks to try again, by the time from which on they may.
        taken: predicted bytes of the tasks that run, by image.
    """

    budget: Budget
    queue: deque[Task] = field(default_factory=deque)
    delayed: list[tuple[float, int, Task]] = field(default_factory=list)
    taken: dict[int, int] = field(default_factory=dict)
    overtaken: int = 0

    def add(self, tasks: Iterable[Task]) -> None:
        """Appends tasks that are ready."""
        self.queue.extend(tasks)

    def delay(self, task: Task, until: float) -> None:
        """Keeps a task back until a time, in seconds since the epoch."""
        heapq.heappush(self.delayed, (until, task.image, task))

    def release(self, image: int) -> None:
        """Gives back what a task took."""
        self.taken.pop(image, None)

    @property
    def waiting(self) -> int:
        """Tasks that are ready or delayed."""
        return len(self.queue) + len(self.delayed)

    def images(self) -> set[int]:
        """Rows that are ready, delayed or running."""
        return {task.image for task in self.queue} | {image for _, image, _ in self.delayed} | self.taken.keys()

    def next(self, now: float) -> Task | None:
        """The next task that fits beside those that run, and takes its memory; None if none may run now."""
        while self.delayed and self.delayed[0][0] <= now:
            self.queue.appendleft(heapq.heappop(self.delayed)[2])
        free = self.budget.total - sum(self.taken.values())
        reach = 1 if self.overtaken >= PATIENCE else LOOK_AHEAD
        for place, task in enumerate(self.queue):
            if place >= reach:
                return None
            # A task larger than the whole budget was deferred by the plan; after a retry it may ask for more
            # than there is, and then runs alone.
            if task.memory <= free or not self.taken:
                del self.queue[place]
                self.overtaken = self.overtaken + 1 if place else 0
                self.taken[task.image] = task.memory
                return task
        return None
