"""The one contract of this layer: an opened image file."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ziggurat.codestream.passes import Shown, Strength
from ziggurat.geometry import Window
from ziggurat.model import ImageInfo, Samples, Stack
from ziggurat.storage.protocol import ByteSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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


@runtime_checkable
class Picking(Protocol):
    """A reader that reads single rows and columns of a level cheaper than everything between them."""

    def read_picked(self, level: int, rows: "NDArray[np.intp]", columns: "NDArray[np.intp]") -> Samples:
        """Pixels at the crossings of some rows and columns.

        Args:
            level: index into ``info.levels``.
            rows: of that level, ascending, at least one.
            columns: of that level, ascending, at least one.

        Returns:
            Array (y, x, band) of ``info.dtype``, one pixel a crossing.

        Raises:
            CorruptImage: if the pixels do not decode completely.
        """
        ...

    def picked_cost(self, level: int, rows: "NDArray[np.intp]", columns: "NDArray[np.intp]") -> int:
        """Peak bytes of memory that ``read_picked`` of these takes, its result included."""
        ...


@runtime_checkable
class StoringJpeg(Protocol):
    """A reader of a format that holds parts of a level as JPEG."""

    def stored_jpeg(self, level: int, window: Window) -> bytes | None:
        """The JPEG that the file holds of a window, as a file of its own: the pixels of ``read`` without decoding them.

        Args:
            level: index into ``info.levels``.
            window: on that level's grid; the caller has checked that it lies inside.

        Returns:
            None where the file holds none of exactly this window, or not in plain colours.

        Raises:
            CorruptImage: if it lies outside the file.
        """
        ...


@runtime_checkable
class Stacked(Protocol):
    """A reader of a format whose files may hold several images of one kind, one behind the other."""

    @property
    def stack(self) -> Stack:
        """The axes that they lie along; none of a file with a single one.

        Raises:
            CorruptImage: if what the file says of them is damaged.
            UnsupportedFeature: if they lie along other axes than these.
        """
        ...

    def plane(self, number: int) -> Reader:
        """One of them: a reader of the same source.

        Args:
            number: below ``stack.planes``; the caller has checked it.
        """
        ...


@runtime_checkable
class SparingReader(Protocol):
    """A reader that can do with less than it has for a target that shows less."""

    def sparing(self, shown: Shown, strength: Strength) -> "Reader | None":
        """A reader of the same image that leaves out what a target cannot show.

        Args:
            shown: the target.
            strength: how much may be lost.

        Returns:
            None where that would save little, or is not known to be harmless.
        """
        ...


@runtime_checkable
class OnTheSky(Protocol):
    """A reader of images that may have a place on the sky."""

    def place(self, y: float, x: float) -> tuple[float, float] | None:
        """The place of a pixel.

        Args:
            y: row of level 0; the middle of the first pixel is at 0.
            x: column.

        Returns:
            Right ascension and declination in degrees, ICRS; None where there is no sky.

        Raises:
            CorruptImage: if the header's coordinates make no sense.
        """
        ...

    def pixel(self, ra: float, dec: float) -> tuple[float, float] | None:
        """The pixel of a place: row and column of level 0, which may lie outside of the image.

        Args:
            ra: right ascension in degrees, ICRS.
            dec: declination in degrees.

        Returns:
            None where the projection has no pixel for it.

        Raises:
            CorruptImage: if the header's coordinates make no sense.
        """
        ...


class OpenReader(Protocol):
    """What every format's module offers under the name ``open_reader``."""

    def __call__(self, source: ByteSource) -> Reader:
        """Opens the image by its header."""
        ...
