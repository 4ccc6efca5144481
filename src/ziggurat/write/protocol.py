"""The contracts of this layer: a picture ready to be written, and a writer of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ziggurat.geometry import Size, Window
from ziggurat.model import Alpha, ColourSpace, Metadata, Resolution, SampleKind, Samples


class Picture(Protocol):
    """Pixels as the target will hold them: upright, in the target's sample type and colour space.

    Made from an ``Image`` by ``ziggurat.write.picture``; windows are on the upright grid.
    """

    @property
    def name(self) -> str:
        """What people call it: its file's name without suffix."""
        ...

    @property
    def size(self) -> Size:
        """Height and width, upright."""
        ...

    @property
    def bands(self) -> int:
        """Sample planes, alpha included."""
        ...

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of the samples."""
        ...

    @property
    def bit_depth(self) -> int:
        """Significant bits of a sample."""
        ...

    @property
    def kind(self) -> SampleKind:
        """How the samples are to be understood."""
        ...

    @property
    def colour_space(self) -> ColourSpace:
        """What the colour bands mean."""
        ...

    @property
    def alpha(self) -> Alpha | None:
        """Whether the last band is opacity."""
        ...

    @property
    def icc(self) -> bytes | None:
        """The profile that describes the colour bands as they are here."""
        ...

    @property
    def resolution(self) -> Resolution | None:
        """Pixels per metre, upright."""
        ...

    @property
    def metadata(self) -> Metadata:
        """Blocks to carry over; an EXIF orientation in them is 1."""
        ...

    @property
    def grain(self) -> Size | None:
        """Height and width of the unit in which reading is cheap, or None: only whole."""
        ...

    @property
    def coarser(self) -> Sequence["Picture"]:
        """The levels that the source itself has below this one, each half as large as the finer one, rounded up."""
        ...

    def read(self, window: Window) -> Samples:
        """Array (y, x, band) of exactly the window."""
        ...

    def read_cost(self, window: Window) -> int:
        """Peak bytes that reading this window takes, its result included."""
        ...


class Writer(Protocol):
    """Encodes a picture into a file. Made with its options; knows no place but a local path."""

    def write_cost(self, picture: Picture, *, memory: int) -> int:
        """Peak bytes that ``write`` takes when it may take ``memory``, reading included.

        A writer that can work in bands returns a figure at or below ``memory`` whenever the picture can be
        read in bands; otherwise the figure may exceed it, and the caller decides.
        """
        ...

    def write(self, picture: Picture, path: Path, *, memory: int) -> None:
        """Writes the file, of some targets a folder, anew, and closes it, using about ``write_cost`` bytes of memory.

        Raises:
            UnsupportedFeature: if the target cannot hold this picture.
            TooManyPixels: if it is too large for the target.
        """
        ...
