"""Windows of several images joined on one grid, by reproject.

Pixels of images hold flux, which is proportional to their solid angle. Resampling wants brightness: flux is divided by
the solid angle of the image's pixels before, and multiplied by that of the grid's after, distortions included.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from reproject import reproject_adaptive, reproject_exact, reproject_interp

from ziggurat.format.fits.places import Numbers
from ziggurat.format.fits.quiet import quiet
from ziggurat.format.foreign import foreign_errors
from ziggurat.geometry import Window
from ziggurat.sky.grid import Grid, areas, moved, part_needed
from ziggurat.sky.images import Field, Plane
from ziggurat.sky.options import CutoutOptions, Method

if TYPE_CHECKING:
    from astropy.wcs import WCS

MARGIN: Final = 4
"""Pixels of the grid around it that a method looks at: adaptive's kernel reaches farthest."""

FUNCTIONS: Final[dict[Method, Callable[..., tuple[Numbers, Numbers]]]] = {
    "interp": reproject_interp,
    "adaptive": reproject_adaptive,
    "exact": reproject_exact,
}


@dataclass(frozen=True, slots=True)
class Part:
    """What one image gives to a mosaic.

    Attributes:
        where: file and HDU, for messages.
        window: of the image.
        wcs: of the window's pixels.
        values: brightness (y, x).
        weights: of the pixels (y, x), or None.
        dtype: of the image's values.
    """

    where: str
    window: Window
    wcs: "WCS"
    values: Numbers
    weights: Numbers | None
    dtype: "np.dtype[np.floating]"


def needed(field: Field, grid: Grid) -> Window | None:
    """The pixels of an image that a grid needs; None if it needs nothing."""
    return part_needed(grid, field.wcs, field.image.size, MARGIN)


def part_of(field: Field, weights: Field | None, window: Window, grid: Grid, options: CutoutOptions) -> Part:
    """A window of an image, read for a grid.

    Raises:
        ZigguratError: if it cannot be read.
    """
    wcs = moved(field.wcs, window.y0, window.x0)
    found = field.read(window)
    values = found.astype(np.float64)
    if options.quantity == "flux":
        values /= areas(wcs, window.size) / _unit(grid)
    if weights is None:
        return Part(field.image.where, window, wcs, values, None, found.dtype)
    weighed = np.maximum(np.nan_to_num(weights.read(window).astype(np.float64)), 0.0)
    # What weighs nothing is no value: a bad pixel must not reach its neighbours through the kernel.
    values[weighed == 0] = np.nan
    return Part(field.image.where, window, wcs, values, weighed, found.dtype)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A part on the grid.

    Attributes:
        window: of the grid that it touches.
        values: brightness (y, x) of that window, 0 where there is none.
        share: how much of each pixel it covers, 0 to 1.
        weight: the share times the weights.
    """

    window: Window
    values: Numbers
    share: Numbers
    weight: Numbers


def joined(parts: Sequence[Part], grid: Grid, options: CutoutOptions) -> tuple[Plane, Plane, Plane | None]:
    """The mean of all parts, weighted where they have weights.

    Returns:
        Values (y, x) with NaN where there are none; how many images there are at each pixel; the weights' sum or None.

    Raises:
        CorruptImage: if reproject refuses the coordinates.
    """
    placed = [found for part in parts if (found := _placed(part, grid, options.method)) is not None]
    levels = _levels(placed) if options.match_background else np.zeros(len(placed))
    total, weight, coverage = (np.zeros(grid.size) for _ in range(3))
    for one, level in zip(placed, levels, strict=True):
        inside = one.window.slices()
        total[inside] += (one.values - level) * one.weight
        weight[inside] += one.weight
        coverage[inside] += one.share
    with np.errstate(invalid="ignore", divide="ignore"):
        values = total / weight
    values[weight == 0] = np.nan
    if options.quantity == "flux":
        values *= areas(grid.wcs, grid.size) / _unit(grid)
    dtype = np.result_type(np.float32, *(part.dtype for part in parts))
    weighed = weight.astype(np.float32) if any(part.weights is not None for part in parts) else None
    return values.astype(dtype), coverage.astype(np.float32), weighed


def _placed(part: Part, grid: Grid, method: Method) -> _Placed | None:
    """A part brought onto the grid; None if it does not touch it."""
    window = part_needed(Grid(part.wcs, part.window.size), grid.wcs, grid.size, 1)
    if window is None:
        return None
    function = FUNCTIONS[method]
    wcs, shape = moved(grid.wcs, window.y0, window.x0), tuple(window.size)
    with foreign_errors(part.where), quiet(), np.errstate(all="ignore"):
        values, share = function((part.values, part.wcs), wcs, shape_out=shape)
        weights = None if part.weights is None else function((part.weights, part.wcs), wcs, shape_out=shape)[0]
    known = np.isfinite(values) & (share > 0)
    share = np.where(known, share, 0.0)
    weight = share if weights is None else share * np.maximum(np.nan_to_num(weights), 0.0)
    return _Placed(window, np.where(known, values, 0.0), share, weight)


def _levels(placed: Sequence[_Placed]) -> Numbers:
    """Constants by which parts are too bright, by the medians of what they differ by where they overlap.

    The first keeps its level, and with it all that overlap it or its neighbours; others keep their mean.
    """
    count = len(placed)
    rows, differences = [], []
    group = list(range(count))
    for i, one in enumerate(placed):
        for j, other in enumerate(placed[:i]):
            common = one.window.intersect(other.window)
            if common is None:
                continue
            a, b = (common.shifted(-part.window.y0, -part.window.x0).slices() for part in (one, other))
            both = (one.share[a] > 0) & (other.share[b] > 0)
            if not both.any():
                continue
            heft = np.sqrt(np.count_nonzero(both))
            rows.append(heft * (np.eye(count)[i] - np.eye(count)[j]))
            differences.append(heft * np.median((one.values[a] - other.values[b])[both]))
            group = [group[i] if label == group[j] else label for label in group]
    if not rows:
        return np.zeros(count)
    # Of all solutions the one of least norm: every group of parts that overlap keeps its mean.
    levels: Numbers = np.linalg.lstsq(np.array(rows), np.array(differences))[0]
    return levels - np.where(np.array(group) == group[0], levels[0], 0.0)


def _unit(grid: Grid) -> float:
    """The solid angle in which brightness is counted: that of the grid's middle pixel, so that numbers stay alike."""
    height, width = grid.size
    return float(areas(grid.wcs, grid.size)[height // 2, width // 2])
