"""The workers of a conversion, under guard."""

from functools import partial

from ziggurat.convert.guard import Guard, send
from ziggurat.convert.probe import Question
from ziggurat.convert.records import Failure, Published, Task
from ziggurat.convert.worker import Answer, Committed, Probed, WorkerConfig, serve


class Pool(Guard[Task | list[Question], Answer]):
    """Workers that take images, or chunks of headers."""

    def __init__(self, size: int, config: WorkerConfig) -> None:
        super().__init__(size, partial(serve, config=config), (Published, Failure, Probed))

    def committed(self, image: int) -> None:
        """Tells the worker that holds this image to publish it."""
        for worker in self.workers:
            if isinstance(worker.work, Task) and worker.work.image == image:
                send(worker, Committed(image))
