"""Where on the unit sphere an image lies, as a box of x, y, z: no poles, no seam at 0 h."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from ziggurat.errors import UnsupportedFeature
from ziggurat.format.fits.places import pixel_to_world, unit_vectors, world_to_pixel
from ziggurat.geometry import Size
from ziggurat.sky.grid import mesh

SAMPLES: Final = 17
"""Points along either axis by which an image's place is found, its edges included."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """A box on the unit sphere in ICRS that holds an image, and its pixels' size.

    Attributes:
        low: least x, y, z.
        high: largest x, y, z.
        scale: degrees of a pixel along y and x, as astropy's ``proj_plane_pixel_scales``.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    scale: tuple[float, float]


def footprint(wcs: WCS, size: Size) -> Footprint:
    """The box of an image.

    Points of a grid over all of it are taken to the sky. Between neighbours the image bulges out of their box by less
    than their distance; the box is larger by the longest one. Points that have no place on the sky, or whose place has
    another pixel, are left out.

    Args:
        wcs: pixels (x, y) to the sky.
        size: of the image.

    Raises:
        UnsupportedFeature: if no point has a place.
    """
    x, y = mesh(size, SAMPLES)
    places = pixel_to_world(wcs, x, y)
    points = unit_vectors(places)
    known = np.isfinite(points).all(axis=2)
    steps = [np.linalg.norm(np.diff(points, axis=axis), axis=2) for axis in (0, 1)]
    lengths = np.concatenate([step[np.isfinite(step)] for step in steps])
    scale = np.abs(proj_plane_pixel_scales(wcs))
    across, down = world_to_pixel(wcs, places)
    known &= np.hypot(across - x, down - y) < 1
    if not known.any() or not np.isfinite(scale).all() or not (scale > 0).all():
        raise UnsupportedFeature("its world coordinates give no pixel a place on the sky")
    margin = float(lengths.max()) if lengths.size else 2.0
    low, high = points[known].min(axis=0) - margin, points[known].max(axis=0) + margin
    return Footprint(
        (float(low[0]), float(low[1]), float(low[2])),
        (float(high[0]), float(high[1]), float(high[2])),
        (float(scale[1]), float(scale[0])),
    )
