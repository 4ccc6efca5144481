"""Between pixels and places on the sky, through astropy's transformations. FITS Standard 4.0 section 8."""

import math
from collections.abc import Callable

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS, NoConvergence
from astropy.wcs.utils import pixel_to_skycoord, skycoord_to_pixel
from numpy.typing import NDArray

from ziggurat.format.fits.quiet import quiet
from ziggurat.format.foreign import foreign_errors

type Numbers = NDArray[np.float64]


def pixel_to_world(wcs: WCS, x: Numbers, y: Numbers) -> SkyCoord:
    """Places of pixels; NaN where the projection has none.

    Raises:
        CorruptImage: if the coordinates make no sense.
    """
    with foreign_errors("its world coordinates"), quiet(), np.errstate(all="ignore"):
        return pixel_to_skycoord(*_longitude_first(wcs, x, y), wcs, origin=0, mode="all").icrs


def world_to_pixel(wcs: WCS, places: SkyCoord) -> tuple[Numbers, Numbers]:
    """Pixels (x, y), from 0, of places, as ``astropy.nddata.Cutout2D`` finds them.

    Where the iteration that undoes a distortion does not converge, within astropy's twenty steps, there is no pixel.

    Returns:
        Two arrays of the shape of ``places``; NaN where there is no pixel.

    Raises:
        CorruptImage: if the coordinates cannot be inverted.
    """
    if _is_icrs(wcs):
        # The same without a change of frames, which takes ten times as long as all the rest.
        icrs = places.icrs
        return _inverted(wcs, places.shape, lambda: wcs.all_world2pix(icrs.ra.deg, icrs.dec.deg, 0))
    return _inverted(wcs, places.shape, lambda: skycoord_to_pixel(places, wcs, origin=0, mode="all"))


def pixel_to_pixel(wcs: WCS, x: Numbers, y: Numbers, other: WCS) -> tuple[Numbers, Numbers]:
    """Pixels (x, y), from 0, of another image at the places of some of one.

    Returns:
        Two arrays of the shape of ``x``; NaN where there is no pixel.

    Raises:
        CorruptImage: if the coordinates make no sense, or cannot be inverted.
    """
    if not (_is_icrs(wcs) and _is_icrs(other)):
        return world_to_pixel(other, pixel_to_world(wcs, x, y))
    with foreign_errors("its world coordinates"), quiet(), np.errstate(all="ignore"):
        ra, dec = wcs.all_pix2world(x, y, 0)
    return _inverted(other, x.shape, lambda: other.all_world2pix(ra, dec, 0))


def _is_icrs(wcs: WCS) -> bool:
    return bool(wcs.wcs.radesys == "ICRS" and wcs.wcs.ctype[0].startswith("RA--"))


def _inverted(
    wcs: WCS, shape: tuple[int, ...], invert: Callable[[], tuple[Numbers, Numbers]]
) -> tuple[Numbers, Numbers]:
    """Pixels (x, y) that an inversion finds; NaN where it does not converge."""
    with foreign_errors("its world coordinates"), quiet(), np.errstate(all="ignore"):
        try:
            x, y = invert()
        except NoConvergence as error:
            best = np.array(error.best_solution, np.float64)
            for lost in (error.divergent, error.slow_conv):
                if lost is not None:
                    best[lost] = np.nan
            x, y = (best[:, axis].reshape(shape) for axis in (0, 1))
    return _longitude_first(wcs, np.asarray(x, np.float64), np.asarray(y, np.float64))


def _longitude_first(wcs: WCS, x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    """Pixels in the order in which astropy's functions for positions have them, or back from it."""
    return (x, y) if wcs.wcs.lng < wcs.wcs.lat else (y, x)


def unit_vectors(places: SkyCoord) -> Numbers:
    """Unit vectors x, y, z, along a last axis of 3, of places in a spherical frame."""
    unit = places.represent_as("unitspherical").to_cartesian()
    return np.stack([unit.x.value, unit.y.value, unit.z.value], axis=-1)


def pixel_of(wcs: WCS, ra: float, dec: float) -> tuple[float, float] | None:
    """Row and column, from 0, of a place in degrees, ICRS; None where the projection has no pixel for it.

    Raises:
        CorruptImage: if the coordinates cannot be inverted.
    """
    across, down = world_to_pixel(wcs, SkyCoord(np.array(float(ra)), np.array(float(dec)), unit="deg"))
    x, y = float(across), float(down)
    return (y, x) if math.isfinite(y) and math.isfinite(x) else None


def place_of(wcs: WCS, y: float, x: float) -> tuple[float, float] | None:
    """Right ascension and declination of a pixel in degrees, ICRS; None where the projection has no sky.

    Raises:
        CorruptImage: if the coordinates make no sense.
    """
    place = pixel_to_world(wcs, np.array(float(x)), np.array(float(y)))
    ra, dec = float(place.ra.deg), float(place.dec.deg)
    return (ra, dec) if math.isfinite(ra) and math.isfinite(dec) else None
