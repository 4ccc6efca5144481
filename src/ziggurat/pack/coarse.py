"""Which bytes of an image a small picture of it needs: those that reading one asks for."""

from collections.abc import Sequence
from typing import Final

from ziggurat import pyramid
from ziggurat.errors import ZigguratError
from ziggurat.image import Image, open_image
from ziggurat.pack.packed import MOST_SPANS, Spans
from ziggurat.storage.memory import MemorySource
from ziggurat.storage.protocol import SourceVersion
from ziggurat.storage.ranges import ByteRange

WAVELET: Final = frozenset({"jp2", "j2k", "jph", "jpx"})
"""Formats that hold coarser levels in their own bytes."""

SMALL: Final = 256
"""Pixels of the longer side of a small picture."""


class _Recording:
    """A source in memory that notes what is read of it."""

    def __init__(self, data: bytes) -> None:
        self._source = MemorySource("memory:coarse", data)
        self.url, self.size = self._source.url, len(data)
        self.version: SourceVersion = self._source.version
        self.read: list[ByteRange] = []

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """The bytes, noted."""
        self.read += ranges
        return self._source.read_ranges(ranges)

    def close(self) -> None:
        """Nothing is held."""


def small_level(image: Image) -> int:
    """The level that a small picture is made of."""
    return pyramid.coarsest_above(image.levels, pyramid.fit(image.info.size, SMALL))


def coarse_spans(data: bytes) -> Spans:
    """The bytes that a small picture needs, in order; none where they are too scattered, or most of the file.

    Args:
        data: the file.
    """
    source = _Recording(data)
    try:
        with open_image(source) as image:
            level = small_level(image)
            if level == 0 or level >= len(image.info.levels):
                return ()
            image.read(level)
    except ZigguratError:
        return ()
    spans: list[tuple[int, int]] = []
    for item in sorted(source.read, key=lambda item: item.start):
        if spans and item.start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], item.end))
        else:
            spans.append((item.start, item.end))
    held = sum(end - start for start, end in spans)
    return tuple(spans) if len(spans) <= MOST_SPANS and held < len(data) // 2 else ()
