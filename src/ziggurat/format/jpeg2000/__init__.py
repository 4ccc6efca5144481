"""JPEG 2000 images: JP2, JPX and JPH files and bare codestreams, HTJ2K included."""

from collections.abc import Iterator
from contextlib import contextmanager

from ziggurat.codec import openjpeg, openjph
from ziggurat.codestream.markers import walk_tile_parts
from ziggurat.errors import CorruptImage, FormatError, LimitExceeded, OutOfMemory
from ziggurat.format.jpeg2000.bands import BandPlan, plan_bands
from ziggurat.format.jpeg2000.container import Container, read_container
from ziggurat.format.jpeg2000.cost import read_cost
from ziggurat.format.jpeg2000.grid import Grid
from ziggurat.format.jpeg2000.info import build_info
from ziggurat.format.jpeg2000.pixels import assemble
from ziggurat.geometry import Window
from ziggurat.model import ImageInfo, Samples
from ziggurat.storage.protocol import ByteSource

__all__ = ["Jpeg2000Reader", "open_reader"]

_HT_SHARE = 4
"""OpenJPH decodes all or nothing, about five times as fast as OpenJPEG: windows of less than a quarter of the
level are left to OpenJPEG."""


def open_reader(source: ByteSource) -> "Jpeg2000Reader":
    """Opens an image by its header, in a few small reads.

    Raises:
        CorruptImage: naming box or marker, byte and rule.
        UnsupportedFeature: if the image needs what no decoder here does.
    """
    with _named(source.url):
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
        with _named(self._source.url):
            data = self._codestream()
            return (
                self._fast(data, level, window)
                if self._suits_openjph(level, window)
                else self._general(data, level, window)
            )

    def read_cost(self, level: int, window: Window) -> int:
        """Peak bytes of memory that ``read`` of this window takes, its result included."""
        return read_cost(self._container.main, self._plan, level, window, compressed=self._container.codestream.length)

    def _codestream(self) -> bytes:
        container = self._container
        span = container.codestream
        if container.truncated:
            raise CorruptImage(
                f"box 'jp2c' at byte {span.start}: {container.truncated} of its bytes are missing at the end of the "
                "file: it is truncated"
            )
        data = self._source.read_ranges([span])[0]
        main = container.main
        seen = {part.tile for part in walk_tile_parts(data, main, base=span.start)}
        if len(seen) < main.siz.tiles:
            raise CorruptImage(
                f"{main.siz.tiles - len(seen)} of {main.siz.tiles} tiles are missing, the first of them is "
                f"tile {next(tile for tile in range(main.siz.tiles) if tile not in seen)}"
            )
        return data

    def _general(self, data: bytes, level: int, window: Window) -> Samples:
        whole = window.size == self._info.levels[level].shape
        area = None if whole else openjpeg.Area(*self._grid.area(level, window))
        decoded = openjpeg.decode(data, reduce=level, area=area)
        self.warnings = decoded.warnings
        if len(decoded.planes) != len(self._container.main.siz.components):
            raise CorruptImage(f"{len(decoded.planes)} components were decoded, the header has another number")
        return assemble(decoded.planes, self._plan, self._grid, level, window)

    def _suits_openjph(self, level: int, window: Window) -> bool:
        main = self._container.main
        kinds = {(item.depth, item.signed, item.dx, item.dy) for item in main.siz.components}
        order = [band.component for band in self._plan.bands]
        return (
            main.ht
            and len(kinds) == 1
            and not main.rgn
            and self._plan.plain
            and order == list(range(len(main.siz.components)))
            and window.size.pixels * _HT_SHARE >= self._info.levels[level].shape.pixels
        )

    def _fast(self, data: bytes, level: int, window: Window) -> Samples:
        try:
            pixels = openjph.decode(data, reduce=level)
        except FormatError as refused:
            return self._second_try(data, level, window, refused)
        expected = (*self._info.levels[level].shape, self._info.bands)
        if pixels.shape != expected or pixels.dtype != self._info.dtype:
            wrong = CorruptImage(f"OpenJPH returned {pixels.shape} {pixels.dtype} instead of {expected}")
            return self._second_try(data, level, window, wrong)
        return pixels[window.slices()]

    def _second_try(self, data: bytes, level: int, window: Window, first: FormatError) -> Samples:
        try:
            pixels = self._general(data, level, window)
        except FormatError as second:
            raise type(second)(f"{second}; before that, {first}") from second
        self.warnings = (str(first), *self.warnings)
        return pixels


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Puts the file's name before messages that know only what lies inside it."""
    try:
        yield
    except (FormatError, LimitExceeded) as error:
        raise type(error)(f"{url}: {error}") from error
    except MemoryError as error:
        raise OutOfMemory(f"{url}: there is not enough memory to read it") from error
