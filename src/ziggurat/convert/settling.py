"""Outputs that are published, and seen by nobody until many of them are committed together."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from ziggurat.convert.engine.protocol import Event
from ziggurat.convert.records import Failure, Published, Task, naming
from ziggurat.errors import TargetExists, WriteError, ZigguratError
from ziggurat.storage.destination import Destination

SECONDS: Final = 5.0
"""For which an output waits for others at most, unless committing takes long."""

SHARE: Final = 20
"""The wait is this many times what the last commit took: a twentieth of the time goes into commits."""

MOST: Final = 4000
"""Outputs that wait at most: of a repository each takes some 14 kB while it is committed."""


@dataclass(slots=True)
class Settling:
    """Holds the reports of published outputs back until their destination has committed them.

    Where publishing is enough, all reports pass at once.

    Attributes:
        destination: of the job.
        waiting: reports that are held back, with their tasks.
    """

    destination: Destination
    waiting: list[tuple[Task, Published]] = field(default_factory=list)
    _hurried: bool = False
    _since: float = 0.0
    _took: float = 0.0

    def hurry(self) -> None:
        """Waits no longer."""
        self._hurried = True

    def passed(self, events: Iterable[Event], task: Callable[[int], Task]) -> Iterator[Event]:
        """The events that may be recorded now.

        Args:
            events: what workers reported.
            task: gives the task of an image that is under way.
        """
        for event in events:
            if isinstance(event, Published) and self.destination.gathers:
                self._since = self._since if self.waiting else time.monotonic()
                self.waiting.append((task(event.image), event))
            else:
                yield event
        if self.waiting and self._due():
            yield from self._settled()

    def _due(self) -> bool:
        waited = time.monotonic() - self._since
        return self._hurried or len(self.waiting) >= MOST or waited > max(SECONDS, SHARE * self._took)

    def _settled(self) -> Iterator[Published | Failure]:
        """Commits what waits, and tells of each what came of it."""
        waiting, self.waiting, self._hurried = self.waiting, [], False
        began = time.monotonic()
        problem: ZigguratError | None = None
        refused: list[str] = []
        try:
            refused = self.destination.settle([task.token for task, _ in waiting])
        except ZigguratError as error:
            problem = error
        self._took = time.monotonic() - began
        for task, event in waiting:
            if problem is not None:
                yield self._failure(task, problem)
            elif task.token in refused:
                said = f"another writer has put something at {task.target} meanwhile; choose which is to stay"
                yield self._failure(task, TargetExists(said))
            else:
                yield event

    def _failure(self, task: Task, error: ZigguratError) -> Failure:
        with suppress(WriteError):
            self.destination.cleanup(task.target, task.token)
        kind, message = type(error).__name__, naming(task.source, str(error))
        return Failure(image=task.image, error_class=kind, error_message=message)
