"""The one contract of this layer: an opened image file."""

from typing import Protocol

from ziggurat.geometry import Window
from ziggurat.model import ImageInfo, Samples
from ziggurat.storage.protocol import ByteSource


class Reader(Protocol):
    """One image behind its format. Made by ``open_reader`` of the format's module.

    ``open_reader(source)`` reads the header alone and raises a ``FormatError`` that says what is wrong
    and where; it never returns a reader whose ``info`` is incomplete.
    """

    @property
    def info(self) -> ImageInfo:
        """What the header says."""
        ...

    def read(self, level: int, window: Window) -> Samples:
        """Pixels of a window of a level.

        Args:
            level: index into ``info.levels``; the caller has checked it.
            window: on that level's grid; the caller has checked that it lies inside.

        Returns:
            Array (y, x, band) of ``info.dtype``, exactly the window's size. Palettes, subsampling and
            YCbCr are undone; ``info.colour_space`` says what the bands mean.

        Raises:
            CorruptImage: if the pixels do not decode completely.
        """
        ...

    def read_cost(self, level: int, window: Window) -> int:
        """Peak bytes of memory that ``read`` of this window takes, its result included, by the header."""
        ...


class OpenReader(Protocol):
    """What every format's module offers under the name ``open_reader``."""

    def __call__(self, source: ByteSource) -> Reader:
        """Opens the image by its header."""
        ...
