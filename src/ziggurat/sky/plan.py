"""Which images a target's cutout is made of."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from ziggurat.convert.records import naming
from ziggurat.errors import ZigguratError
from ziggurat.format.fits.places import unit_vectors, world_to_pixel
from ziggurat.geometry import Size
from ziggurat.sky.footprints import Footprints
from ziggurat.sky.grid import corner_of, mesh, part_inside
from ziggurat.sky.images import SkyImage
from ziggurat.sky.options import CutoutOptions

SLACK: Final = 1.5
"""Of the radius within which images are looked for: pixels at their edges may be larger than in their middle."""

SPOTS: Final = 9
"""Points along either axis of a new grid by which it is known how much of it an image covers."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a cutout is made of.

    Attributes:
        bands: band to numbers of images in the index, the best first.
        problems: why images that might have covered it were left out.
    """

    bands: Mapping[str, tuple[int, ...]]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Cover:
    """How well an image covers a target: the share of its cutout, then the distance of its centre from the edge."""

    share: float
    depth: float
    image: int


def choose(footprints: Footprints, places: SkyCoord, options: CutoutOptions) -> list[Choice]:
    """Chooses images for every target. Reads nothing but the index; every image is looked at once.

    Args:
        footprints: the index.
        places: of the targets, an array.
        options: what is wanted.

    Returns:
        One choice a target; without bands where no image covers it.
    """
    covers: list[dict[str, list[_Cover]]] = [defaultdict(list) for _ in places]
    problems: list[list[str]] = [[] for _ in places]
    for number, members in _candidates(footprints, places, options).items():
        image, scale = footprints.image(number)
        band = options.bands.of(image)
        if band is None:
            continue
        try:
            with np.errstate(all="ignore"):
                shares, depths = _covered(image, scale, places[members], options)
        except ZigguratError as error:
            for member in members:
                problems[member].append(naming(image.where, str(error)))
            continue
        for member, share, depth in zip(members, shares, depths, strict=True):
            if share > 0:
                covers[member][band].append(_Cover(float(share), float(depth), number))
    return [
        Choice({band: _chosen(found[band], options) for band in options.bands.ordered(set(found))}, tuple(said))
        for found, said in zip(covers, problems, strict=True)
    ]


def _chosen(covers: Iterable[_Cover], options: CutoutOptions) -> tuple[int, ...]:
    ranked = sorted(covers, key=lambda cover: (-cover.share, -cover.depth, cover.image))
    alone = options.fields == "best" or (options.fields == "auto" and ranked[0].share >= 1)
    return tuple(cover.image for cover in ranked[: 1 if alone else None])


def _candidates(footprints: Footprints, places: SkyCoord, options: CutoutOptions) -> dict[int, list[int]]:
    """Images to the targets that lie near them."""
    scale = footprints.coarsest() if options.scale is None else options.scale
    radius = min(180.0, SLACK * options.extent.radius(scale))
    reach = 2 * float(np.sin(np.radians(radius) / 2))
    found: dict[int, list[int]] = defaultdict(list)
    for member, place in enumerate(unit_vectors(places).tolist()):
        for image in footprints.near(place, reach):
            found[image].append(member)
    return found


def _covered(
    image: SkyImage, scale: tuple[float, float], places: SkyCoord, options: CutoutOptions
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of every target's cutout that an image covers, and pixels from its centre to the image's edge."""
    wcs, size = image.wcs(), image.size
    x, y = world_to_pixel(wcs, places)
    depths = np.minimum(np.minimum(x, size.width - 1 - x), np.minimum(y, size.height - 1 - y))
    if options.regridded:
        step = options.scale or scale[0]
        sides = options.extent.pixels((step, step))
        across, down = world_to_pixel(wcs, _spots(places, sides, step))
        inside = (across > -0.5) & (across < size.width - 0.5) & (down > -0.5) & (down < size.height - 0.5)  # noqa: PLR2004 - the edges
        return inside.mean(axis=1), depths
    wanted = options.extent.pixels(scale)
    return np.array([_share(*pixel, wanted, size) for pixel in zip(x, y, strict=True)]), depths


def _share(x: float, y: float, wanted: Size, whole: Size) -> float:
    if not (np.isfinite(x) and np.isfinite(y)):
        return 0.0
    inside = part_inside(*corner_of(x, y, wanted), wanted, whole)
    return 0.0 if inside is None else inside.size.pixels / wanted.pixels


def _spots(places: SkyCoord, size: Size, scale: float) -> SkyCoord:
    """Points of the new grids around places, an array (places, points)."""
    x, y = mesh(size, SPOTS)
    east = (x.ravel() - (size.width - 1) / 2) * scale
    north = (y.ravel() - (size.height - 1) / 2) * scale
    angle, distance = np.arctan2(east, north), np.hypot(east, north)
    return places[:, np.newaxis].directional_offset_by(angle * units.rad, distance * units.deg)
