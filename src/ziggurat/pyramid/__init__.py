"""Choosing a level for a purpose, and making coarser pixels from finer ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from ziggurat.codec.threads import decoding_threads, side_by_side
from ziggurat.geometry import Size
from ziggurat.model import Level, Samples

FEW_BANDS = 8
"""Bands up to which sums band by band are faster: two to three times at 3, half as fast at 16."""

CHUNK = 1 << 18
"""Bytes of pixels that are worked on at a time: 256 KiB, so that sums and their sources stay in a core's cache and in
memory that is used again. A picture of 50 MB is then halved in 0.02 s and not in 0.11 s."""

FEW = 1 << 17
"""The same, of floating-point numbers, of which shrinking takes several arrays: 128 KiB."""

COVERED = 3
"""Source pixels, at most, that lie under one that is less than twice as wide."""


def fit(size: Size, side: int) -> Size:
    """The largest size of the same shape inside a square of ``side``, at least 1 x 1, never enlarged."""
    scale = min(1.0, side / max(size))
    return Size(max(1, round(size.height * scale)), max(1, round(size.width * scale)))


def coarsest_above(levels: Sequence[Level], target: Size) -> int:
    """Index of the coarsest level that is no smaller than the target on either side; 0 if none is."""
    fitting = [
        index
        for index, level in enumerate(levels)
        if level.shape.height >= target.height and level.shape.width >= target.width
    ]
    return min(fitting, key=lambda index: levels[index].shape.pixels, default=0)


def halve(pixels: Samples) -> Samples:
    """Half the size, rounded up, each pixel the mean of 2 x 2; an odd last row or column repeats.

    Args:
        pixels: (y, x, band), any numeric type; booleans are not.

    Returns:
        (ceil(y / 2), ceil(x / 2), band) of the same type; integers rounded to nearest, halves up.
    """
    return _halve(pixels, 2, 2)


def _halve(pixels: Samples, down: int, across: int) -> Samples:
    """Means of ``down`` x ``across`` pixels: 2 x 2, 2 x 1 or 1 x 2."""
    height, width, bands = pixels.shape
    rows = max(1, CHUNK // max(1, down * width * bands * pixels.dtype.itemsize)) * down
    if height <= rows:
        return _halve_part(pixels, down, across)
    result: Samples = np.empty((-(-height // down), -(-width // across), bands), pixels.dtype)
    for y in range(0, height, rows):
        result[y // down : (y + rows) // down] = _halve_part(pixels[y : y + rows], down, across)
    return result


def _halve_part(pixels: Samples, down: int, across: int) -> Samples:
    """The same, of few rows at once."""
    height, width = pixels.shape[:2]
    if height % down or width % across:
        pixels = np.pad(pixels, ((0, height % down), (0, width % across), (0, 0)), mode="edge")
    room = _room(pixels.dtype)
    sums: Samples = pixels
    if down > 1:
        sums = np.add(sums[0::2], sums[1::2], dtype=room)
    if across > 1:
        sums = _pairs(sums, room)
    count = down * across
    if pixels.dtype.kind == "f":
        np.divide(sums, count, out=sums)
    else:
        np.add(sums, count // 2, out=sums)
        np.right_shift(sums, count // 2, out=sums)
    return sums.astype(pixels.dtype)


def _pairs(sums: Samples, room: np.dtype[Any]) -> Samples:
    """Sums of neighbouring columns; of few bands one by one, since numpy is slow along an axis of three."""
    height, width, bands = sums.shape
    if bands > FEW_BANDS:
        return np.add(sums[:, 0::2], sums[:, 1::2], dtype=room)
    paired: Samples = np.empty((height, width // 2, bands), room)
    for band in range(bands):
        np.add(sums[:, 0::2, band], sums[:, 1::2, band], out=paired[:, :, band], dtype=room)
    return paired


def _room(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A type that holds sums of four samples, which need two more bits than the samples have."""
    if dtype.kind == "f":
        return np.dtype(np.float64 if dtype.itemsize > np.dtype(np.float32).itemsize else np.float32)
    return np.dtype(f"{dtype.kind}{min(8, dtype.itemsize * 2)}")


def box(pixels: Samples, side: int) -> Samples:
    """Means of squares of ``side`` pixels, counted from the first; those at the far edges may be cut.

    Args:
        pixels: (y, x, band), any numeric type; booleans are not.
        side: 1 or more.

    Returns:
        (ceil(y / side), ceil(x / side), band) of the same type; integers rounded to nearest, halves up.
    """
    if side == 2:  # noqa: PLR2004 - what halving is faster at
        return halve(pixels)
    height, width = pixels.shape[:2]
    rows, columns = np.arange(0, height, side), np.arange(0, width, side)
    # Squares of 128 samples of 16 bits sum to less than 2^31.
    narrow = pixels.dtype.itemsize <= np.dtype(np.int16).itemsize and side <= 128  # noqa: PLR2004
    wide = np.float64 if pixels.dtype.kind == "f" else np.int32 if narrow else np.int64
    sums = np.add.reduceat(np.add.reduceat(pixels, rows, axis=0, dtype=wide), columns, axis=1)
    counts = np.outer(np.diff(rows, append=height), np.diff(columns, append=width))[:, :, None]
    means: Samples = sums / counts if pixels.dtype.kind == "f" else (sums + counts // 2) // counts
    return means.astype(pixels.dtype)


def shrink(pixels: Samples, target: Size) -> Samples:
    """Reduces (y, x, band) pixels to exactly ``target``, each result the mean of the area that it covers."""
    # Halving each axis as far as it goes keeps the matrices below small, however long and thin the picture.
    while (down := pixels.shape[0] >= 2 * target.height) | (across := pixels.shape[1] >= 2 * target.width):
        pixels = _halve(pixels, 1 + down, 1 + across)
    if pixels.shape[:2] == target:
        return pixels
    wide = np.float32 if pixels.dtype.itemsize <= np.dtype(np.uint16).itemsize else np.float64
    result: Samples = np.empty((*target, pixels.shape[2]), pixels.dtype)
    down, across = _Covers.of(pixels.shape[0], target.height), _Covers.of(pixels.shape[1], target.width)
    step = max(1, FEW // (pixels.shape[1] * pixels.shape[2] * np.dtype(wide).itemsize))

    def fill(y: int) -> None:
        part = across.averaged(down.averaged(pixels, 0, slice(y, y + step), wide), 1, slice(None), wide)
        if pixels.dtype.kind in "iu":
            limits = np.iinfo(pixels.dtype)
            np.clip(np.rint(part, out=part), limits.min, limits.max, out=part)
        result[y : y + step] = part

    side_by_side(fill, range(0, target.height, step), decoding_threads())
    return result


@dataclass(frozen=True, slots=True)
class _Covers:
    """How one axis is reduced by less than half: each result covers at most three source pixels.

    Attributes:
        size: source pixels.
        first: for each result, the first pixel that it covers.
        weights: how much of a result each of its source pixels makes, one row a pixel.
    """

    size: int
    first: NDArray[np.intp]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, size: int, target: int) -> Self:
        """For so many source pixels and results."""
        edges = np.arange(target + 1) * (size / target)
        first = np.floor(edges[:-1]).astype(np.intp)
        sources = first + np.arange(COVERED)[:, None]
        cover = np.clip(np.minimum(edges[1:], sources + 1) - np.maximum(edges[:-1], sources), 0, None)
        return cls(size, first, cover * (target / size))

    def averaged(self, pixels: Samples, axis: int, part: slice, wide: type[np.floating[Any]]) -> Samples:
        """Some of the results, along an axis of (y, x, band) pixels."""
        if self.size == len(self.first):
            return pixels[(slice(None),) * axis + (part,)].astype(wide)
        shape = (-1, *[1] * (pixels.ndim - 1 - axis))
        total: Samples | None = None
        for place, weights in enumerate(self.weights[:, part]):
            source = np.minimum(self.first[part] + place, self.size - 1)
            share = np.take(pixels, source, axis).astype(wide, copy=False)
            share *= weights.astype(wide).reshape(shape)
            total = share if total is None else np.add(total, share, out=total)
        return cast("Samples", total)
