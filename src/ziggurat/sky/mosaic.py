"""Windows of several images joined on one grid, by reproject.

Pixels of images hold flux, which is proportional to their solid angle. Resampling wants brightness: flux is divided by
the solid angle of the image's pixels before, and multiplied by that of the grid's after, distortions included.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from reproject import reproject_adaptive, reproject_exact, reproject_interp
from reproject.mosaicking import reproject_and_coadd

from ziggurat.format.fits.quiet import quiet
from ziggurat.format.foreign import foreign_errors
from ziggurat.geometry import Window
from ziggurat.sky.grid import Grid, Numbers, areas, moved, part_needed
from ziggurat.sky.images import Field, Plane
from ziggurat.sky.options import CutoutOptions, Method

if TYPE_CHECKING:
    from astropy.wcs import WCS

MARGIN: Final = 4
"""Pixels of the grid around it that a method looks at: adaptive's kernel reaches farthest."""

FUNCTIONS: Final[dict[Method, Callable[..., object]]] = {
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


def part_of(field: Field, weights: Field | None, grid: Grid, options: CutoutOptions) -> Part | None:
    """The window of an image that a grid needs; None if it needs nothing.

    Raises:
        ZigguratError: if it cannot be read.
    """
    window = part_needed(grid, field.wcs, field.image.size, MARGIN)
    if window is None:
        return None
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


def joined(parts: Sequence[Part], grid: Grid, options: CutoutOptions) -> tuple[Plane, Plane, Plane | None]:
    """The mean of all parts, weighted where they have weights.

    Returns:
        Values (y, x) with NaN where there are none; how many images there are at each pixel; the weights' sum or None.

    Raises:
        CorruptImage: if reproject refuses the coordinates.
    """
    values: Numbers = np.full(grid.size, np.nan)
    found: Numbers = np.zeros(grid.size)
    weights = [part.weights for part in parts if part.weights is not None]
    weighted = bool(parts) and len(weights) == len(parts)
    function = FUNCTIONS[options.method]
    if parts:
        with foreign_errors(parts[0].where), quiet(), np.errstate(all="ignore"):
            values, found = reproject_and_coadd(
                [(part.values, part.wcs) for part in parts],
                grid.wcs,
                shape_out=tuple(grid.size),
                input_weights=weights if weighted else None,
                reproject_function=function,
                match_background=options.match_background and len(parts) > 1,
                # The best image keeps its level.
                background_reference=0,
                blank_pixel_value=np.nan,
            )
    if options.quantity == "flux":
        values *= areas(grid.wcs, grid.size) / _unit(grid)
    coverage = _coverage(parts, grid) if weighted else found
    dtype = np.result_type(np.float32, *(part.dtype for part in parts))
    return values.astype(dtype), coverage.astype(np.float32), found.astype(np.float32) if weighted else None


def _coverage(parts: Sequence[Part], grid: Grid) -> Numbers:
    """How many images have a value at each pixel."""
    with foreign_errors(parts[0].where), quiet(), np.errstate(all="ignore"):
        count, _ = reproject_and_coadd(
            [(np.isfinite(part.values).astype(np.float64), part.wcs) for part in parts],
            grid.wcs,
            shape_out=tuple(grid.size),
            reproject_function=reproject_interp,
            combine_function="sum",
            order="nearest-neighbor",
        )
    return np.asarray(count, np.float64)


def _unit(grid: Grid) -> float:
    """The solid angle in which brightness is counted: that of the grid's middle pixel, so that numbers stay alike."""
    height, width = grid.size
    return float(areas(grid.wcs, grid.size)[height // 2, width // 2])
