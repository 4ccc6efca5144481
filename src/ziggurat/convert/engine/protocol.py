"""What the coordinator needs of whatever runs its work."""

from collections.abc import Iterable
from typing import Protocol

from ziggurat.convert.guard import Lost
from ziggurat.convert.probe import Question
from ziggurat.convert.records import Budget, Task
from ziggurat.convert.worker import Answer

type Work = Task | list[Question]
"""An image, or a chunk of headers."""

type Event = Answer | Lost[Work]
"""What a worker says, or what became of its work when it was lost."""


class Engine(Protocol):
    """Runs work somewhere. One thread uses it; all that happens elsewhere is told by ``events``.

    Of an image the events are ``Verified`` and, after ``committed``, ``Published``; or ``Failure``; or ``Lost``. Of
    headers they are ``Probed`` or ``Lost``. Events of ``Stage`` may be left out.
    """

    @property
    def size(self) -> int:
        """How much work may be in hand at once, now: 1 or more."""
        ...

    @property
    def budget(self) -> Budget:
        """Bytes for all that is in hand together."""
        ...

    def idle(self) -> int:
        """How much more work could be handed out now."""
        ...

    def held(self) -> list[Work]:
        """All work that is in hand."""
        ...

    def submit(self, work: Work, *, seconds: float, cap: int) -> None:
        """Hands out work; only as often as ``idle`` says.

        Args:
            work: an image, or a chunk of headers.
            seconds: after which it is given up.
            cap: bytes above a worker's own at which it is given up.
        """
        ...

    def events(self, seconds: float) -> Iterable[Event]:
        """Waits up to ``seconds`` for something to happen, and tells it.

        Raises:
            SchedulerLost: if nothing can be heard any more.
        """
        ...

    def committed(self, image: int) -> None:
        """Tells the worker that holds this image to publish it: the ledger has what it said in ``Verified``."""
        ...

    def close(self) -> None:
        """Ends all workers; what they have in hand is given up."""
        ...
