"""``open(url)``: a place and a format joined into one image with its levels."""

import importlib
from collections.abc import Mapping
from types import TracebackType
from typing import Self, cast

from ziggurat import pyramid
from ziggurat.errors import OutOfMemory, UsageError
from ziggurat.format.protocol import OpenReader, Reader
from ziggurat.format.table import FORMATS, HEAD, Format, recognise
from ziggurat.geometry import Size, Window
from ziggurat.model import ImageInfo, Level, Samples
from ziggurat.storage.file_cache import default_cache
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.resolve import open_source

DEFAULT_MEMORY = 8 << 30
"""Bytes that one ``read`` may take unless told otherwise: a header that asks for more is more often a lie
than an image, and the caller who has such an image also knows of it."""


class Image:
    """One picture with its levels, finest first. Made by ``ziggurat.open``; close it or use ``with``."""

    def __init__(self, source: ByteSource, reader: Reader, *, memory: int = DEFAULT_MEMORY) -> None:
        self._source = source
        self._reader = reader
        self._memory = memory

    @property
    def url(self) -> str:
        """Where its bytes lie."""
        return self._source.url

    @property
    def source(self) -> ByteSource:
        """The bytes behind it."""
        return self._source

    @property
    def info(self) -> ImageInfo:
        """What the header says."""
        return self._reader.info

    @property
    def levels(self) -> tuple[Level, ...]:
        """The resolutions, finest first; each with ``shape`` (height, width)."""
        return self._reader.info.levels

    def read(self, level: int = 0, window: Window | tuple[int, int, int, int] | None = None) -> Samples:
        """Pixels of a window of a level, as stored: no orientation applied, no colour converted.

        Args:
            level: 0 is full resolution.
            window: (y0, x0, y1, x1), end-exclusive, in pixels of that level; None is all of it.

        Returns:
            Array (y, x, band) of ``info.dtype``.

        Raises:
            UsageError: if there is no such level, or the window leaves it.
            OutOfMemory: if the header predicts more than the memory limit.
            CorruptImage: if the pixels do not decode completely.
        """
        wanted = self._checked(level, window)
        cost = self._reader.read_cost(level, wanted)
        if cost > self._memory:
            raise OutOfMemory(
                f"{self.url}: reading {wanted.height} x {wanted.width} pixels of level {level} takes about "
                f"{cost >> 20} MiB, the limit is {self._memory >> 20} MiB; read a smaller window or a "
                "coarser level, or raise the limit"
            )
        return self._reader.read(level, wanted)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What decoders complained of so far and went on nevertheless."""
        found: tuple[str, ...] = getattr(self._reader, "warnings", ())
        return found

    def read_cost(self, level: int = 0, window: Window | None = None) -> int:
        """Peak bytes of memory that ``read`` of this window takes, its result included."""
        return self._reader.read_cost(level, self._checked(level, window))

    def thumbnail(self, size: int) -> Samples:
        """The whole image made to fit into ``size`` x ``size`` pixels, from the coarsest level that suffices.

        Returns:
            Array (y, x, band) of ``info.dtype``; never larger than the image itself.
        """
        if size < 1:
            raise UsageError(f"a thumbnail of {size} pixels is none; ask for 1 or more")
        target = pyramid.fit(self.info.size, size)
        level = pyramid.coarsest_above(self.levels, target)
        return pyramid.shrink(self.read(level), target)

    def _checked(self, level: int, window: Window | tuple[int, int, int, int] | None) -> Window:
        if not 0 <= level < len(self.levels):
            raise UsageError(f"{self.url} has levels 0 to {len(self.levels) - 1}, not {level}")
        size: Size = self.levels[level].shape
        if window is None:
            return Window.full(size)
        wanted = window if isinstance(window, Window) else Window(*window)
        if not wanted.within(size):
            raise UsageError(
                f"window ({wanted.y0}, {wanted.x0}, {wanted.y1}, {wanted.x1}) leaves level {level} of "
                f"{self.url}, which is {size.height} x {size.width}"
            )
        return wanted

    def close(self) -> None:
        """Releases the source."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        height, width = self.info.size
        return f"<Image {self.url} {self.info.format} {height}x{width}x{self.info.bands} {self.info.dtype}>"


def open(  # noqa: A001 - the package's front door, always used as ziggurat.open
    url: str,
    *,
    formats: Mapping[str, Format] = FORMATS,
    memory: int = DEFAULT_MEMORY,
    cache: bool = True,
) -> Image:
    """Opens an image by its header.

    Args:
        url: a path, or file:, s3:, gs:, az:, http(s): or memory: URL.
        formats: the formats to recognise.
        memory: bytes that one ``read`` may take.
        cache: keep what is fetched of a remote image on this machine, for the next time.

    Raises:
        SourceError: if the bytes cannot be had.
        FormatError: if they are not an image that can be read.
    """
    source = open_source(url, cache=default_cache() if cache else None)
    return open_image(source, formats=formats, memory=memory)


def open_image(source: ByteSource, *, formats: Mapping[str, Format] = FORMATS, memory: int = DEFAULT_MEMORY) -> Image:
    """Opens an image over a source; closes the source where that fails."""
    try:
        head = source.read_ranges([ByteRange(0, min(HEAD, source.size))])[0]
        _, entry = recognise(head, formats, url=source.url)
        module, _, name = entry.reader.partition(":")
        opener = cast("OpenReader", getattr(importlib.import_module(module), name))
        return Image(source, opener(source), memory=memory)
    except BaseException:
        source.close()
        raise
