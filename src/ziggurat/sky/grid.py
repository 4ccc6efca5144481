"""Grids of pixels on the sky: cut out of an image's own, or made anew; and the way between sky and pixels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS, Sip

from ziggurat.format.fits.places import Numbers, pixel_to_world, unit_vectors, world_to_pixel
from ziggurat.format.fits.quiet import quiet
from ziggurat.geometry import Size, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MESH: Final = 33
"""Points along either axis where areas and places are computed; between them they are interpolated."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Pixels with places on the sky.

    Attributes:
        whole: pixels (x, y), from 0, to the sky, of the image that the grid is cut out of, or of a grid of its own.
        size: height and width.
        origin: first row and column, in that image.
        cards: the image's own keywords, a FITS header of two axes; None where there are no such.
    """

    whole: WCS
    size: Size
    origin: tuple[int, int] = (0, 0)
    cards: bytes | None = None

    @property
    def wcs(self) -> WCS:
        """Pixels (x, y), from 0, of the grid to the sky; made anew at every call where it is cut out of an image."""
        return self.whole if self.origin == (0, 0) else moved(self.whole, *self.origin)

    def same_as(self, other: "Grid") -> bool:
        """Whether both put the same pixels at the same places, to a hundredth of a pixel."""
        if self.size != other.size:
            return False
        x, y = mesh(self.size, 3)
        across, down = world_to_pixel(other.wcs, pixel_to_world(self.wcs, x, y))
        return bool(np.all(np.hypot(across - x, down - y) < 0.01))  # noqa: PLR2004 - of a pixel


def moved(wcs: WCS, y0: int, x0: int) -> WCS:
    """The transformation of a part of the pixels, whose first is (y0, x0) of the whole; either may be negative."""
    with quiet():
        part = wcs.deepcopy()
        part.wcs.crpix = np.array(wcs.wcs.crpix) - (x0, y0)
        if wcs.sip is not None:
            part.sip = Sip(wcs.sip.a, wcs.sip.b, wcs.sip.ap, wcs.sip.bp, np.array(wcs.sip.crpix) - (x0, y0))
    return part


def corner_of(x: float, y: float, size: Size) -> tuple[int, int]:
    """First row and column of a cutout around a pixel, as ``astropy.nddata.Cutout2D`` rounds them."""
    return int(np.ceil(y - size.height / 2)), int(np.ceil(x - size.width / 2))


def part_inside(y0: int, x0: int, size: Size, whole: Size) -> Window | None:
    """What of a rectangle, whose corner may be outside, lies inside of an image."""
    top, left = max(y0, 0), max(x0, 0)
    bottom, right = min(y0 + size.height, whole.height), min(x0 + size.width, whole.width)
    return Window(top, left, bottom, right) if top < bottom and left < right else None


def made_grid(place: SkyCoord, size: Size, scale: float, projection: str) -> Grid:
    """A grid around a place: north up, east to the left, ICRS.

    Args:
        place: in the middle.
        size: height and width.
        scale: degrees a pixel.
        projection: a name of ``ziggurat.sky.options.PROJECTIONS``.
    """
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.crval = [place.ra.deg, place.dec.deg]
    wcs.wcs.crpix = [(size.width + 1) / 2, (size.height + 1) / 2]
    wcs.wcs.cdelt = [-scale, scale]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    with quiet():
        wcs.wcs.set()
    return Grid(wcs, size)


def mesh(size: Size, points: int = MESH) -> tuple[Numbers, Numbers]:
    """Pixels x and y, arrays (points, points), from edge to edge of a grid."""
    down = np.linspace(-0.5, size.height - 0.5, points)
    across = np.linspace(-0.5, size.width - 0.5, points)
    y, x = np.meshgrid(down, across, indexing="ij")
    return x, y


def part_needed(grid: Grid, wcs: WCS, size: Size, margin: int) -> Window | None:
    """The pixels of an image that a grid may need.

    Args:
        grid: on which the image is to be brought.
        wcs: of the image.
        size: of the image.
        margin: pixels of the grid that the method looks around it.
    """
    x, y = world_to_pixel(wcs, pixel_to_world(grid.wcs, *mesh(grid.size)))
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return None
    steps = [np.hypot(np.diff(x, axis=axis), np.diff(y, axis=axis)) for axis in (0, 1)]
    longest = max((float(np.nanmax(step)) for step in steps if np.isfinite(step).any()), default=0.0)
    # Between points of the mesh the image may bulge; a pixel of the grid may be many of the image.
    pixel = longest * (MESH - 1) / max(1, min(grid.size))
    around = margin * max(1.0, pixel) + longest / 8
    low = [int(np.floor(values[known].min() - around)) for values in (y, x)]
    high = [int(np.ceil(values[known].max() + around)) + 1 for values in (y, x)]
    return part_inside(low[0], low[1], Size(high[0] - low[0], high[1] - low[1]), size)


def areas(wcs: WCS, size: Size) -> Numbers:
    """Solid angles of pixels (y, x) in square degrees, distortions included; NaN where there is no sky."""
    x, y = mesh(size)
    half = 0.5
    sides = []
    for dx, dy in ((half, 0.0), (0.0, half)):
        ahead = unit_vectors(pixel_to_world(wcs, x + dx, y + dy))
        behind = unit_vectors(pixel_to_world(wcs, x - dx, y - dy))
        sides.append(ahead - behind)
    known = np.linalg.norm(np.cross(sides[0], sides[1]), axis=2) * np.degrees(1) ** 2
    rows = _between(known, x[0], np.arange(size.width))
    return _between(rows.T, y[:, 0], np.arange(size.height)).T


def _between(values: Numbers, at: Numbers, wanted: "Sequence[int] | NDArray[np.intp]") -> Numbers:
    """Linear interpolation along the last axis."""
    return np.stack([np.interp(wanted, at, row) for row in values])
