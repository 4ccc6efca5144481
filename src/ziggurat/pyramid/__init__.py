"""Choosing a level for a purpose, and making coarser pixels from finer ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ziggurat.geometry import Size
from ziggurat.model import Level, Samples

FEW_BANDS = 8
"""Bands up to which sums band by band are faster: two to three times at 3, half as fast at 16."""

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
    result: Samples = _averaged(_averaged(pixels, 0, target.height, wide), 1, target.width, wide)
    if pixels.dtype.kind in "iu":
        limits = np.iinfo(pixels.dtype)
        result = np.clip(np.rint(result), limits.min, limits.max)
    return result.astype(pixels.dtype)


def _averaged(pixels: Samples, axis: int, target: int, wide: type[np.floating[Any]]) -> Samples:
    """One axis reduced to ``target``, by less than half: each result covers at most three source pixels."""
    size = pixels.shape[axis]
    if size == target:
        return pixels.astype(wide)
    edges = np.arange(target + 1) * (size / target)
    first = np.floor(edges[:-1]).astype(np.intp)
    result: Samples = np.zeros((*pixels.shape[:axis], target, *pixels.shape[axis + 1 :]), wide)
    for place in range(COVERED):
        source = first + place
        cover = np.clip(np.minimum(edges[1:], source + 1) - np.maximum(edges[:-1], source), 0, None)
        weights = (cover * (target / size)).astype(wide).reshape((-1, *[1] * (pixels.ndim - 1 - axis)))
        result += weights * np.take(pixels, np.minimum(source, size - 1), axis)
    return result
