"""One file opened by several threads: its bytes are one source, whose first ones are fetched once."""

import threading
from collections.abc import Callable, Sequence

from ziggurat.image import Image, open_image
from ziggurat.storage.protocol import ByteSource, SourceVersion
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.resolve import open_source


class Shared:
    """Opens an image each time that it is called, over a source that is open as long as one of them is.

    Nothing is kept in the cache of this machine, whose blocks would be larger than what is read of coarse levels.

    Args:
        url: of the image.
        memory: bytes that one ``read`` may take.
    """

    def __init__(self, url: str, memory: int) -> None:
        self._url = url
        self._memory = memory
        self._lock = threading.Lock()
        self._users = 0
        self._source: ByteSource | None = None

    def __call__(self) -> Image:
        """The image, once more.

        Raises:
            SourceError: if its bytes cannot be had.
            FormatError: if they are not an image that can be read.
        """
        with self._lock:
            if self._source is None:
                self._source = open_source(self._url)
            self._users += 1
            source = self._source
        return open_image(_Lent(source, self._done), memory=self._memory)

    def _done(self) -> None:
        with self._lock:
            self._users -= 1
            gone = None
            if not self._users:
                gone, self._source = self._source, None
        if gone is not None:
            gone.close()


class _Lent:
    """A source that is others', too."""

    def __init__(self, source: ByteSource, done: Callable[[], None]) -> None:
        self._source = source
        self._done: Callable[[], None] | None = done

    @property
    def url(self) -> str:
        return self._source.url

    @property
    def size(self) -> int:
        return self._source.size

    @property
    def version(self) -> SourceVersion:
        return self._source.version

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        return self._source.read_ranges(ranges)

    def close(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done()
