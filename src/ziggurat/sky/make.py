"""One target's cutout: reads windows of the chosen images, leaves them as they are or brings them onto one grid."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io.fits import Header
from astropy.wcs.utils import proj_plane_pixel_scales

from ziggurat.errors import CorruptImage, OutOfMemory
from ziggurat.format.fits.places import world_to_pixel
from ziggurat.format.foreign import named
from ziggurat.geometry import Window
from ziggurat.sky.grid import Grid, corner_of, made_grid, part_inside
from ziggurat.sky.images import Field, Plane, SkyImage, weights_of
from ziggurat.sky.options import CutoutOptions

OPEN_FIELDS: Final = 16
"""Images that stay open for the next target."""

MOSAIC_BYTES: Final = 160
"""Bytes that joining takes for each pixel of the grid and of an image: values, weights, footprints and places, in
double precision and twice."""


@dataclass(frozen=True, slots=True)
class Used:
    """An image that a cutout was made of.

    Attributes:
        image: which.
        window: the pixels of it that were read.
        header: of its HDU.
    """

    image: SkyImage
    window: Window
    header: Header


@dataclass(frozen=True, slots=True, kw_only=True)
class BandCutout:
    """One band of a cutout.

    Attributes:
        band: its name; may be empty.
        grid: its pixels' places.
        data: physical values (y, x), NaN outside of all images.
        coverage: how many images there are at each pixel (y, x), parts of one at edges; None of a single image that was
            not brought onto another grid.
        weight: sum of the weights (y, x), where weights were given.
        used: the images, the best first.
    """

    band: str
    grid: Grid
    data: Plane
    coverage: Plane | None
    weight: Plane | None
    used: tuple[Used, ...]


def covered_share(made: Sequence[BandCutout]) -> float:
    """Share of the pixels that have a value, the mean over bands."""
    return float(np.mean([np.isfinite(one.data).mean() for one in made]))


class Maker:
    """Makes cutouts; keeps the images that it read last open. Close it, or use ``with``.

    Args:
        options: what is wanted.
        memory: bytes that one cutout may take.
    """

    def __init__(self, options: CutoutOptions, *, memory: int) -> None:
        self._options = options
        self._memory = memory
        self._open: OrderedDict[tuple[str, int], Field] = OrderedDict()

    def make(self, place: SkyCoord, images: Mapping[str, Sequence[SkyImage]]) -> tuple[BandCutout, ...]:
        """The bands of one target's cutout.

        Args:
            place: of the target.
            images: band to images, the best first; at least one.

        Raises:
            ZigguratError: if an image cannot be read, or it takes too much memory.
        """
        # Headers may hold any number; what overflows is undefined in the end.
        with np.errstate(all="ignore"):
            return self._made(place, images)

    def _made(self, place: SkyCoord, images: Mapping[str, Sequence[SkyImage]]) -> tuple[BandCutout, ...]:
        bands = list(images)
        if self._options.regridded:
            grid = self._new_grid(place, images[bands[0]][0])
            return tuple(self._mosaic(band, images[band], grid) for band in bands)
        made = [self._native(band, images[band], place) for band in bands]
        if self._options.kind == "fits":
            return tuple(made)
        # A picture shows all bands on one grid.
        grid = made[0].grid
        return tuple(
            one if one.grid.same_as(grid) else self._mosaic(band, images[band], grid)
            for band, one in zip(bands, made, strict=True)
        )

    def _new_grid(self, place: SkyCoord, best: SkyImage) -> Grid:
        scale = self._options.scale
        if scale is None:
            scale = float(np.mean(_scales(self._field(best))))
        size = self._options.extent.pixels((scale, scale))
        return made_grid(place, size, scale, self._options.projection or "TAN")

    def _native(self, band: str, images: Sequence[SkyImage], place: SkyCoord) -> BandCutout:
        """On the pixels of the best image."""
        field = self._field(images[0])
        with named(field.image.where):
            x, y = (float(value) for value in world_to_pixel(field.wcs, place))
        if not (np.isfinite(x) and np.isfinite(y)):
            raise CorruptImage(f"{field.image.where}: its world coordinates give this place no pixel")
        size = self._options.extent.pixels(_scales(field))
        y0, x0 = corner_of(x, y, size)
        grid = Grid(field.wcs, size, (y0, x0), field.image.plain_cards)
        if len(images) > 1:
            return self._mosaic(band, images, grid)
        self._check(size.pixels)
        inside = part_inside(y0, x0, size, field.image.size)
        if inside is None:
            raise CorruptImage(f"{field.image.where} does not reach this place; make the index again")
        found = field.read(inside)
        data = found
        if inside.size != size:
            data = np.full(size, np.nan, found.dtype)
            data[inside.shifted(-y0, -x0).slices()] = found
        used = (Used(field.image, inside, field.header),)
        return BandCutout(band=band, grid=grid, data=data, coverage=None, weight=None, used=used)

    def _mosaic(self, band: str, images: Sequence[SkyImage], grid: Grid) -> BandCutout:
        from ziggurat.sky.mosaic import joined, needed, part_of  # noqa: PLC0415 - reproject takes seconds to import

        windows = [(image, window) for image in images if (window := needed(self._field(image), grid)) is not None]
        if not windows:
            raise CorruptImage(f"{images[0].where} and others do not reach the cutout; make the index again")
        self._check(grid.size.pixels * len(windows) + sum(window.size.pixels for _, window in windows))
        pattern = self._options.weights
        parts, used = [], []
        for image, window in windows:
            weights = None if pattern is None else self._field(weights_of(image, pattern))
            field = self._field(image)
            parts.append(part_of(field, weights, window, grid, self._options))
            used.append(Used(image, window, field.header))
        data, coverage, weight = joined(parts, grid, self._options)
        return BandCutout(band=band, grid=grid, data=data, coverage=coverage, weight=weight, used=tuple(used))

    def _check(self, pixels: int) -> None:
        cost = pixels * MOSAIC_BYTES
        if cost > self._memory:
            raise OutOfMemory(
                f"the cutout takes about {cost >> 20} MiB, the limit is {self._memory >> 20} MiB; ask for a smaller "
                "one, for --fields best, or raise --memory"
            )

    def _field(self, image: SkyImage) -> Field:
        key = (image.url, image.hdu)
        found = self._open.get(key)
        if found is None:
            while len(self._open) >= OPEN_FIELDS:
                self._open.popitem(last=False)[1].close()
            found = self._open[key] = Field(image, memory=self._memory)
        self._open.move_to_end(key)
        return found

    def close(self) -> None:
        """Closes all images."""
        while self._open:
            self._open.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def _scales(field: Field) -> tuple[float, float]:
    """Degrees a pixel along y and x, as ``astropy.nddata.Cutout2D`` takes them."""
    x, y = np.abs(proj_plane_pixel_scales(field.wcs)).tolist()
    return y, x
