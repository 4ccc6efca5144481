"""Opens a FITS image by its headers and reads windows of it."""

from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import numpy as np

from ziggurat.errors import UnsupportedFeature
from ziggurat.format.fits.axes import MAX_BANDS, Axes, arrange
from ziggurat.format.fits.blocks import Headers
from ziggurat.format.fits.cards import Cards
from ziggurat.format.fits.hdu import Hdu, choose, unit_at, walk
from ziggurat.format.fits.plain import PlainImage, Stored
from ziggurat.format.fits.samples import Scaling, scaling
from ziggurat.format.fits.tiled import TiledImage
from ziggurat.format.fits.tiling import Tiling, tiling
from ziggurat.format.fits.wcs import celestial_wcs, wcs_details
from ziggurat.format.foreign import foreign_errors, named
from ziggurat.geometry import Size, Window
from ziggurat.model import JSON, ColourSpace, ImageInfo, Level, Samples, Stack
from ziggurat.storage.protocol import ByteSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from astropy.io.fits import Header
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    type Places = NDArray[np.intp]


class FitsReader:
    """One image of a FITS file, at one level. Safe to use from several threads."""

    def __init__(
        self,
        info: ImageInfo,
        image: PlainImage | TiledImage,
        cards: Cards,
        axes: Axes,
        with_axes: "Callable[[Axes], FitsReader]",
    ) -> None:
        self._info = info
        self._image = image
        self._cards = cards
        self._axes = axes
        self._with_axes = with_axes
        self._world: WCS | None = None

    @property
    def info(self) -> ImageInfo:
        """What the headers say."""
        return self._info

    def read(self, level: int, window: Window) -> Samples:  # noqa: ARG002 - there is only level 0
        """Pixels of a window, from only the rows, columns or tiles that it touches.

        Row 0 is the file's first row. The standard's pictures have it at the bottom; nothing is flipped.

        Returns:
            Array (y, x, band).

        Raises:
            CorruptImage: if the file ends before the window does, or a tile does not decode.
            OutOfMemory: if there is no memory for the window.
        """
        with foreign_errors(self._image.where):
            return self._image.read(window)

    def read_picked(self, level: int, rows: "Places", columns: "Places") -> Samples:  # noqa: ARG002 - as above
        """Pixels at the crossings of some rows and columns, from these rows alone where rows lie apart.

        Raises:
            CorruptImage: if the file ends before the last row does, or a tile does not decode.
        """
        with foreign_errors(self._image.where):
            if isinstance(self._image, PlainImage):
                return self._image.picked(rows, columns)
            left, right = int(columns[0]), int(columns[-1]) + 1
            picked: Samples = np.empty((len(rows), len(columns), self.info.bands), self.info.dtype)
            for block, window in self._row_blocks(rows, left, right):
                pixels = self._image.read(window)
                picked[block] = pixels[np.ix_(rows[block] - window.y0, columns - left)]
            return picked

    def _row_blocks(self, rows: "Places", left: int, right: int) -> "Iterator[tuple[slice, Window]]":
        """Rows that lie in one row of tiles, and the window that holds them."""
        tile = self.info.levels[0].tile
        height = 1 if tile is None else tile.height
        edges = [0, *(np.flatnonzero(np.diff(rows // height)) + 1).tolist(), len(rows)]
        for first, last in pairwise(edges):
            yield slice(first, last), Window(int(rows[first]), left, int(rows[last - 1]) + 1, right)

    def picked_cost(self, level: int, rows: "Places", columns: "Places") -> int:
        """Peak bytes of ``read_picked``: as much as its rows beside each other, or a row of tiles."""
        width = int(columns[-1]) + 1 - int(columns[0])
        tile = self.info.levels[0].tile
        height = len(rows) if tile is None else min(tile.height, self.info.size.height)
        result = len(rows) * len(columns) * self.info.bands * np.dtype(self.info.dtype).itemsize
        left = int(columns[0])
        return result + self.read_cost(level, Window(0, left, min(height, self.info.size.height), left + width))

    def read_cost(self, level: int, window: Window) -> int:  # noqa: ARG002 - there is only level 0
        """Peak bytes of ``read``: the result, one batch of stored bytes, and what is decoded at a time."""
        return self._image.cost(window)

    @property
    def stack(self) -> Stack:
        """The third axis and the fourth, of which the third is bands to ``read``."""
        return self._axes.stack

    def plane(self, number: int) -> "FitsReader":
        """One plane of the third axis and the fourth, as an image of one band."""
        return self._with_axes(self._axes.only(number))

    @property
    def stored(self) -> Stored | None:
        """Where samples lie that are not compressed; None where they are."""
        return self._image.stored if isinstance(self._image, PlainImage) else None

    @property
    def header(self) -> "Header":
        """The HDU's header as astropy has it; not to be changed."""
        return self._cards.header

    def sky(self) -> "WCS | None":
        """Astropy's transformation between pixels (x, y), from 0, and the sky; None where there is no sky.

        Raises:
            CorruptImage: if astropy refuses the header's world coordinates.
        """
        with foreign_errors(f"{self._image.where}: its world coordinates"):
            return celestial_wcs(self._cards, self._axes)

    def place(self, y: float, x: float) -> tuple[float, float] | None:
        """Right ascension and declination of a pixel in degrees, ICRS; None where there is no sky.

        Raises:
            CorruptImage: if astropy refuses the header's world coordinates.
        """
        if (world := self._known_sky()) is None:
            return None
        from ziggurat.format.fits.places import place_of  # noqa: PLC0415 - half a second, and only for a sky

        with named(self._image.where):
            return place_of(world, y, x)

    def pixel(self, ra: float, dec: float) -> tuple[float, float] | None:
        """Row and column of a place in degrees, ICRS; None where there is no sky, or no pixel for it.

        Raises:
            CorruptImage: if astropy refuses the header's world coordinates.
        """
        if (world := self._known_sky()) is None:
            return None
        from ziggurat.format.fits.places import pixel_of  # noqa: PLC0415 - as above

        with named(self._image.where):
            return pixel_of(world, ra, dec)

    def _known_sky(self) -> "WCS | None":
        """The transformation, made once."""
        if "ctype" not in cast("Mapping[str, JSON]", self._info.details.get("wcs", {})):
            return None
        if self._world is None:
            self._world = self.sky()
        return self._world


def open_reader(source: ByteSource) -> FitsReader:
    """Opens the first image of two or more dimensions.

    Raises:
        CorruptImage: if a header on the way is damaged.
        UnsupportedFeature: if there is no such image, or its compression is not the standard's.
    """
    return open_fits(source)


def open_fits(source: ByteSource, *, hdu: int | str | None = None) -> FitsReader:
    """Opens one image of a file.

    Args:
        source: the file.
        hdu: index or EXTNAME of the image; None is the first one.

    Raises:
        UsageError: if there is no such HDU.
        CorruptImage: if a header on the way is damaged.
        UnsupportedFeature: if the HDU is no image, or its compression is not the standard's.
    """
    with foreign_errors(f"{source.url}: the FITS header"):
        chosen, known, complete = choose(Headers(source), hdu)
        listing: dict[str, JSON] = {"hdus": [one.summary() for one in known], "hdus_complete": complete}
        return _opened(source, chosen, listing, _world(chosen), arrange(chosen.axes))


def open_unit(source: ByteSource, index: int, start: int) -> FitsReader:
    """Opens the image of a file whose header is known to begin at a byte; headers before it are not read.

    Its world coordinates are not looked at, which takes most of the time of opening: whoever knows where the header
    begins knows them.

    Args:
        source: the file.
        index: the number of its HDU.
        start: first byte of its header, as ``Hdu.header`` has it.

    Raises:
        CorruptImage: if the header is damaged.
        UnsupportedFeature: if the HDU is no image, or its compression is not the standard's.
    """
    with foreign_errors(f"{source.url}: the FITS header"):
        chosen = unit_at(Headers(source), index, start)
        if not chosen.is_image:
            raise UnsupportedFeature(f"{chosen.cards.where} is no image of two or more dimensions")
        return _opened(source, chosen, {}, None, arrange(chosen.axes))


def _world(chosen: Hdu) -> dict[str, JSON] | None:
    return wcs_details(chosen.cards, arrange(chosen.axes))


def _opened(
    source: ByteSource, chosen: Hdu, listing: dict[str, JSON], world: dict[str, JSON] | None, axes: Axes
) -> FitsReader:
    blank = "BLANK" if chosen.kind == "image" or "BLANK" in chosen.cards else "ZBLANK"
    rule = scaling(chosen.cards, chosen.bitpix, blank=blank)
    tiles = tiling(chosen, axes) if chosen.kind == "compressed" else None
    image: PlainImage | TiledImage
    if tiles is None:
        image = PlainImage(source, chosen.start, axes, rule, chosen.cards.where)
    else:
        image = TiledImage(source, tiles, axes, rule, chosen.cards.where)
    details: dict[str, JSON] = {"fits": _details(chosen, axes, rule, tiles) | listing}
    if world is not None:
        details["wcs"] = world
    return FitsReader(
        _info(axes, rule, tiles, details), image, chosen.cards, axes, partial(_opened, source, chosen, listing, world)
    )


def list_hdus(source: ByteSource) -> list[dict[str, JSON]]:
    """All units of a file: index, name, kind, and shape and BITPIX of images.

    Costs about a request for every unit of more than 64 KiB.

    Raises:
        CorruptImage: if a header is damaged.
    """
    with foreign_errors(f"{source.url}: the FITS header"):
        return [hdu.summary() for hdu in walk(Headers(source))]


def _info(axes: Axes, rule: Scaling, tiles: Tiling | None, details: dict[str, JSON]) -> ImageInfo:
    """What consumers ask for. Rows that are stored as they are can be had one by one: they have no tile."""
    tile = None if tiles is None else Size(tiles.tile[axes.y], tiles.tile[axes.x])
    return ImageInfo(
        format="fits",
        levels=(Level(axes.size, tile),),
        bands=axes.bands,
        dtype=rule.dtype.name,
        bit_depth=8 * rule.dtype.itemsize,
        kind=rule.kind,
        colour_space=ColourSpace.GREY if axes.bands == 1 else ColourSpace.UNKNOWN,
        details=MappingProxyType(details),
    )


def _details(chosen: Hdu, axes: Axes, rule: Scaling, tiles: Tiling | None) -> dict[str, JSON]:
    found: dict[str, JSON] = {
        "hdu": chosen.index,
        "name": chosen.name,
        "bitpix": chosen.bitpix,
        "shape": list(chosen.axes[::-1]),
        "bscale": rule.scale,
        "bzero": rule.zero,
        "blank": rule.blank,
        "unit": chosen.cards.text("BUNIT"),
        "first_row": "bottom",
    }
    if axes.first_of:
        found["first_plane_of"] = [
            {"axis": index + 1, "length": axes.lengths[index], "name": chosen.cards.text(f"CTYPE{index + 1}")}
            for index in axes.first_of
        ]
        found["note"] = f"planes are bands on the third axis, up to {MAX_BANDS}; of further axes only the first is read"
    if tiles is not None:
        found |= {
            "compression": tiles.codec.name,
            "tile": list(tiles.tile[::-1]),
            "tiles": list(tiles.grid[::-1]),
            "quantised": tiles.scale is not None,
            "dither": ("NO_DITHER", "SUBTRACTIVE_DITHER_1", "SUBTRACTIVE_DITHER_2")[tiles.dither],
            "heap_bytes": tiles.heap_bytes,
        }
    return found
