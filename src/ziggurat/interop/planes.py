"""The images behind an array: one, or several of a kind in one file or many; each opened as often as needed."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ziggurat.errors import UsageError
from ziggurat.format.protocol import Stacked
from ziggurat.image import Image
from ziggurat.interop.multiscale import Pyramid
from ziggurat.model import SINGLE, Stack

type Opener = Callable[[], Image]

_IDLE = 64
"""Images that stay open while nobody reads from them."""


def pyramid_of(image: Image, stack: Stack) -> Pyramid:
    """What an image's header says of its arrays."""
    info = image.info
    return Pyramid(
        levels=tuple(level.shape for level in image.levels),
        tile=info.levels[0].tile,
        bands=info.bands,
        dtype=info.dtype,
        depth=info.bit_depth,
        resolution=info.resolution,
        stack=stack,
    )


class Planes:
    """Images of a stack, opened when they are first read. An image is read by one thread at a time.

    Args:
        openers: what opens each file, and opens it once more when it is called again; None of ``first`` where it
            cannot be opened again.
        several: whether the files make an axis: of depth, or of time where each has a depth of its own.
        inner: whether the planes in a file make axes, even if there is but one.
        first: the first one, already open; it is the caller's and stays open.

    Raises:
        UsageError: if there is none, or files that have points in time make an axis.
        ZigguratError: if the first one cannot be opened.
    """

    def __init__(
        self,
        openers: Sequence[Opener | None],
        *,
        several: bool = False,
        inner: bool = False,
        first: Image | None = None,
    ) -> None:
        if not openers:
            raise UsageError("there are no images to make an array of")
        self._openers = openers
        self._lent = first
        self._idle: deque[tuple[int, Image]] = deque()
        self._returned = threading.Condition()
        image = self._open(0) if first is None else first
        self._idle.append((0, image))
        try:
            self._by_page, self._inner = inner, image.stack if inner else SINGLE
            with self._plane(image, 0) as plane:
                self.pyramid = pyramid_of(plane, _joined(len(openers) if several else None, self._inner, always=inner))
        except BaseException:
            self.close()
            raise
        self.name = image.url.rstrip("/").rpartition("/")[2]

    @contextmanager
    def borrow(self, plane: int) -> Iterator[Image]:
        """An image that nobody else reads from.

        Raises:
            UsageError: if it is not of the first one's size and kind.
            ZigguratError: if it cannot be opened.
        """
        file, number = divmod(plane, self._inner.planes)
        image = self._take(file)
        try:
            with self._plane(image, number) as found:
                if pyramid_of(found, self.pyramid.stack) != self.pyramid:
                    raise UsageError(
                        f"{image.url} differs in size, bands, sample type or resolution from the first plane of the "
                        "stack"
                    )
                yield found
        finally:
            self._give_back(file, image)

    @contextmanager
    def _plane(self, image: Image, number: int) -> Iterator[Image]:
        if not self._by_page or not isinstance(image.reader, Stacked):
            yield image
        elif image.stack != self._inner:
            raise UsageError(f"{image.url} holds not as many planes as the first file of the stack")
        else:
            with image.plane(number) as plane:
                yield plane

    def _take(self, file: int) -> Image:
        with self._returned:
            while True:
                for entry in reversed(self._idle):
                    if entry[0] == file:
                        self._idle.remove(entry)
                        return entry[1]
                if self._openers[file] is not None:
                    break
                self._returned.wait()
        return self._open(file)

    def _open(self, file: int) -> Image:
        opener = self._openers[file]
        if opener is None:
            raise UsageError("an image without an address cannot be opened again")
        return opener()

    def _give_back(self, file: int, image: Image) -> None:
        with self._returned:
            self._returned.notify()
            self._idle.append((file, image))
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


def _joined(files: int | None, inner: Stack, *, always: bool) -> Stack:
    """The axes of all planes: those in a file, and that of the files outside of them."""
    if files is None:
        return Stack(depth=1) if always and inner == SINGLE else inner
    if inner.times is not None:
        raise UsageError("each of the files holds several points in time: they make no axis; open one of them")
    return Stack(depth=files) if inner.depth is None else Stack(times=files, depth=inner.depth)
