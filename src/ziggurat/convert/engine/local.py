"""Processes of this machine, under guard."""

from functools import partial

from ziggurat.convert.engine.protocol import Work
from ziggurat.convert.guard import Guard, send
from ziggurat.convert.records import Budget, Failure, Published, Task
from ziggurat.convert.worker import Answer, Committed, Probed, WorkerConfig, serve


class Pool(Guard[Work, Answer]):
    """Workers that take images, or chunks of headers."""

    def __init__(self, size: int, config: WorkerConfig) -> None:
        super().__init__(size, partial(serve, config=config), (Published, Failure, Probed))
        self.budget: Budget = config.budget

    def held(self) -> list[Work]:
        """All work that is in hand."""
        return [worker.work for worker in self.workers if worker.work is not None]

    def committed(self, image: int) -> None:
        """Tells the worker that holds this image to publish it."""
        for worker in self.workers:
            if isinstance(worker.work, Task) and worker.work.image == image:
                send(worker, Committed(image))
