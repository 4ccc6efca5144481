"""The images behind an array: one, or several of a kind, one behind the other; each opened as often as needed."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ziggurat.errors import UsageError
from ziggurat.image import Image
from ziggurat.interop.multiscale import Pyramid

type Opener = Callable[[], Image]

_IDLE = 64
"""Images that stay open while nobody reads from them."""


def pyramid_of(image: Image, planes: int | None) -> Pyramid:
    """What an image's header says of its arrays."""
    info = image.info
    return Pyramid(
        levels=tuple(level.shape for level in image.levels),
        tile=info.levels[0].tile,
        bands=info.bands,
        dtype=info.dtype,
        depth=info.bit_depth,
        resolution=info.resolution,
        planes=planes,
    )


class Planes:
    """Images of a stack, opened when they are first read. An image is read by one thread at a time.

    Args:
        openers: what opens each of them, and opens it once more when it is called again; None of ``first`` where it
            cannot be opened again.
        stack: whether they are planes of a stack, even if there is but one.
        first: the first one, already open; it is the caller's and stays open.

    Raises:
        UsageError: if there is none.
        ZigguratError: if the first one cannot be opened.
    """

    def __init__(self, openers: Sequence[Opener | None], *, stack: bool, first: Image | None = None) -> None:
        if not openers:
            raise UsageError("there are no images to make an array of")
        self._openers = openers
        self._stack = stack
        self._lent = first
        self._idle: deque[tuple[int, Image]] = deque()
        self._returned = threading.Condition()
        image = self._open(0) if first is None else first
        self.pyramid = pyramid_of(image, len(openers) if stack else None)
        self.name = image.url.rstrip("/").rpartition("/")[2]
        self._idle.append((0, image))

    @contextmanager
    def borrow(self, plane: int) -> Iterator[Image]:
        """An image that nobody else reads from.

        Raises:
            UsageError: if it is not of the first one's size and kind.
            ZigguratError: if it cannot be opened.
        """
        image = self._take(plane)
        try:
            yield image
        finally:
            self._give_back(plane, image)

    def _take(self, plane: int) -> Image:
        with self._returned:
            while True:
                for entry in reversed(self._idle):
                    if entry[0] == plane:
                        self._idle.remove(entry)
                        return entry[1]
                if self._openers[plane] is not None:
                    break
                self._returned.wait()
        image = self._open(plane)
        if pyramid_of(image, self.pyramid.planes) != self.pyramid:
            image.close()
            raise UsageError(
                f"{image.url} differs in size, bands, sample type or resolution from the first plane of the stack"
            )
        return image

    def _open(self, plane: int) -> Image:
        opener = self._openers[plane]
        if opener is None:
            raise UsageError("an image without an address cannot be opened again")
        return opener()

    def _give_back(self, plane: int, image: Image) -> None:
        with self._returned:
            self._returned.notify()
            self._idle.append((plane, image))
            extra = self._idle.popleft()[1] if len(self._idle) > _IDLE else None
        if extra is not None and extra is not self._lent:
            extra.close()

    def close(self) -> None:
        """Closes all images that are not being read from."""
        with self._returned:
            idle, self._idle = self._idle, deque()
        for _, image in idle:
            if image is not self._lent:
                image.close()
