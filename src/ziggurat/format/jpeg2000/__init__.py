"""JPEG 2000 images: JP2, JPX and JPH files and bare codestreams, HTJ2K included."""

from collections.abc import Iterator
from contextlib import contextmanager

from ziggurat.codec import openjpeg
from ziggurat.codestream.markers import TilePart, walk_tile_parts
from ziggurat.codestream.repair import with_true_part_counts
from ziggurat.errors import CorruptImage, FormatError, LimitExceeded, OutOfMemory
from ziggurat.format.jpeg2000 import fast
from ziggurat.format.jpeg2000.bands import BandPlan, plan_bands
from ziggurat.format.jpeg2000.container import Container, read_container
from ziggurat.format.jpeg2000.cost import read_cost
from ziggurat.format.jpeg2000.grid import Grid, decoded_area
from ziggurat.format.jpeg2000.info import build_info
from ziggurat.format.jpeg2000.pixels import assemble
from ziggurat.geometry import Window
from ziggurat.model import ImageInfo, Samples
from ziggurat.storage.protocol import ByteSource

__all__ = ["Jpeg2000Reader", "open_reader"]


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
            data, parts = self._codestream()
            if fast.suits(self._container.main, self._plan) and fast.tiles_suit(data, parts):
                return self._fast(data, level, window)
            return self._general(data, level, window)

    def read_cost(self, level: int, window: Window) -> int:
        """Peak bytes of memory that ``read`` of this window takes, its result included."""
        return read_cost(self._container, self._plan, level, window)

    def _codestream(self) -> tuple[bytes, list[TilePart]]:
        """The codestream, found complete by its tile-parts' own lengths."""
        container, main = self._container, self._container.main
        span = container.codestream
        if container.truncated:
            raise CorruptImage(
                f"box 'jp2c' at byte {span.start}: {container.truncated} of its bytes are missing at the end of "
                "the file: it is truncated"
            )
        data = self._source.read_ranges([span])[0]
        parts = list(walk_tile_parts(data, main, base=span.start))
        seen = {part.tile for part in parts}
        missing = (tile for tile in range(main.siz.tiles) if tile not in seen)
        lost = next((tile for tile in missing if not self._grid.tile_is_empty(tile)), None)
        if lost is not None:
            raise CorruptImage(f"tile {lost} of {main.siz.tiles} is missing in the codestream")
        repaired = with_true_part_counts(data, parts)
        if repaired is None:
            return data, parts
        self.warnings = ("tiles have more tile-parts than they say; all are read",)
        return repaired, parts

    def _general(self, data: bytes, level: int, window: Window) -> Samples:
        area = decoded_area(self._container.main, level, window)
        decoded = openjpeg.decode(data, reduce=level, area=area and openjpeg.Area(*area))
        self.warnings += decoded.warnings
        if len(decoded.planes) != len(self._container.main.siz.components):
            raise CorruptImage(f"{len(decoded.planes)} components were decoded, the header has another number")
        return assemble(decoded.planes, self._plan, self._grid, level, window)

    def _fast(self, data: bytes, level: int, window: Window) -> Samples:
        size = self._info.levels[level].shape
        try:
            pixels = fast.decode(data, self._container.main, self._plan, level, size)
        except FormatError as refused:
            return self._second_try(data, level, window, refused)
        return pixels[window.slices()]

    def _second_try(self, data: bytes, level: int, window: Window, first: FormatError) -> Samples:
        try:
            pixels = self._general(data, level, window)
        except FormatError as second:
            raise type(second)(f"{second}; before that, {first}") from second
        self.warnings += (str(first),)
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
