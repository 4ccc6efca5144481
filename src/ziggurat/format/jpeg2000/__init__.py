"""JPEG 2000 images: JP2, JPX and JPH files and bare codestreams, HTJ2K included."""

from copy import copy

from ziggurat.codestream.coding import TileCoding, main_coding
from ziggurat.codestream.passes import COLOURS, PlanesLeftOut, Shown, Strength, planes_left_out
from ziggurat.codestream.reads import Span
from ziggurat.format.foreign import named
from ziggurat.format.jpeg2000.bands import BandPlan, plan_bands
from ziggurat.format.jpeg2000.container import Container, read_container
from ziggurat.format.jpeg2000.cost import read_cost
from ziggurat.format.jpeg2000.grid import Grid
from ziggurat.format.jpeg2000.info import build_info
from ziggurat.format.jpeg2000.pixels import assemble
from ziggurat.format.jpeg2000.windows import WindowDecoder
from ziggurat.format.shelf import Shelf
from ziggurat.geometry import Window
from ziggurat.model import ImageInfo, Samples
from ziggurat.storage.protocol import ByteSource

__all__ = ["Jpeg2000Reader", "open_reader"]

_LEAST_TILE = 1 << 18
"""Pixels of a tile below which making its packets anew takes what leaving out planes saves."""

_NOISY = 2.0
"""Bits a sample below which few planes of noise are coded, and little is to be saved."""


def open_reader(source: ByteSource) -> "Jpeg2000Reader":
    """Opens an image by its header, in a few small reads.

    Raises:
        CorruptImage: naming box or marker, byte and rule.
        UnsupportedFeature: if the image needs what no decoder here does.
    """
    with named(source.url):
        container = read_container(source)
        plan = plan_bands(container.main, container.header)
        return Jpeg2000Reader(source, container, plan, build_info(container, plan))


class Jpeg2000Reader:
    """One JPEG 2000 image.

    Attributes:
        warnings: what the decoder remarked in the last ``read`` without failing.
    """

    def __init__(self, source: ByteSource, container: Container, plan: BandPlan, info: ImageInfo) -> None:
        self._source = source
        self._container = container
        self._plan = plan
        self._info = info
        self._grid = Grid.of(container.main.siz)
        span = container.codestream
        self._windows = WindowDecoder(
            source, container.main, container.head, Span(span.start, span.end + container.truncated)
        )
        self.warnings: tuple[str, ...] = ()

    @property
    def info(self) -> ImageInfo:
        """What the header says."""
        return self._info

    def read(self, level: int, window: Window) -> Samples:
        """Pixels of a window of a level.

        Returns:
            Array (y, x, band) of ``info.dtype``.

        Raises:
            CorruptImage: if the codestream is incomplete or does not decode, with the decoder's words.
            UnsupportedFeature: if it lies beyond what the decoders address.
            OutOfMemory: if there is not enough.
        """
        self.warnings = ()
        with named(self._source.url):
            components = sorted({band.component for band in self._plan.bands})
            planes, remarks = self._windows.planes(level, window, components)
            self.warnings = tuple(dict.fromkeys(remarks))
            return assemble(planes, self._plan, self._grid, level, window)

    @property
    def shelf(self) -> Shelf | None:
        """Where the index of the codestream is looked for and kept."""
        return self._windows.shelf

    @shelf.setter
    def shelf(self, shelf: Shelf | None) -> None:
        self._windows.shelf = shelf

    def make_index(self) -> bytes:
        """The complete index of the codestream, see ``codestream.index_file``.

        Raises:
            CorruptImage: if the codestream is damaged.
            UnsupportedFeature: if it cannot be taken apart.
        """
        with named(self._source.url):
            return self._windows.make_index()

    def sparing(self, shown: Shown, strength: Strength) -> "Jpeg2000Reader | None":
        """A reader of the same image that leaves out the bit-planes that a target cannot show.

        Args:
            shown: the target.
            strength: how much may be lost.

        Returns:
            None where that would save little, or is not known to be harmless.
        """
        siz, coding, plan = self._container.main.siz, main_coding(self._container.main), self._plan
        count, pixels = len(siz.components), self._info.size.pixels
        tile = min(siz.tile_width * siz.tile_height, pixels)
        noisy = self._container.codestream.length * 8 >= _NOISY * pixels * count
        known = plan.plain and plan.alpha is None and [band.component for band in plan.bands] == list(range(count))
        alike = count in {1, COLOURS} and len(set(siz.components)) == 1 and not self._container.main.part_2
        if not (noisy and known and alike and tile >= _LEAST_TILE):
            return None

        def of_tile(coded: TileCoding) -> PlanesLeftOut | None:
            return planes_left_out(coded, siz.components, shown, strength)

        if of_tile(coding) is None:
            return None
        other = copy(self)
        other._windows = self._windows.spared(of_tile)  # noqa: SLF001 - of this class
        return other

    def read_cost(self, level: int, window: Window) -> int:
        """Peak bytes of memory that ``read`` of this window takes, its result included."""
        return read_cost(self._container, self._plan, level, window)
