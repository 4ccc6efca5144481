"""Choosing a level for a purpose, and making coarser pixels from finer ones."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ziggurat.geometry import Size
from ziggurat.model import Level, Samples


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
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    if pixels.dtype.kind == "f":
        wide = pixels.astype(
            np.float64 if pixels.dtype.itemsize > np.dtype(np.float32).itemsize else np.float32, copy=False
        )
        rows = wide[0::2] + wide[1::2]
        means: Samples = (rows[:, 0::2] + rows[:, 1::2]) / 4
        return means.astype(pixels.dtype)
    # Sums of four samples need two more bits than the samples have.
    room = np.dtype(f"{'i' if pixels.dtype.kind == 'i' else 'u'}{min(8, pixels.dtype.itemsize * 2)}")
    rows = np.add(pixels[0::2], pixels[1::2], dtype=room)
    sums: Samples = rows[:, 0::2] + rows[:, 1::2]
    sums += 2
    return (sums >> 2).astype(pixels.dtype)


def shrink(pixels: Samples, target: Size) -> Samples:
    """Reduces (y, x, band) pixels to exactly ``target``, each result the mean of the area that it covers."""
    while pixels.shape[0] >= 2 * target.height and pixels.shape[1] >= 2 * target.width:
        pixels = halve(pixels)
    if pixels.shape[:2] == target:
        return pixels
    rows = _area_weights(pixels.shape[0], target.height)
    columns = _area_weights(pixels.shape[1], target.width)
    result: Samples = np.tensordot(rows, pixels.astype(np.float32), axes=(1, 0))
    result = np.moveaxis(np.tensordot(columns, result, axes=(1, 1)), 0, 1)
    if pixels.dtype.kind in "iu":
        limits = np.iinfo(pixels.dtype)
        result = np.clip(np.rint(result), limits.min, limits.max)
    return result.astype(pixels.dtype)


def _area_weights(size: int, target: int) -> NDArray[np.float32]:
    """Matrix (target, size) whose row i averages the source pixels that target pixel i covers."""
    edges = np.arange(target + 1) * (size / target)
    starts = np.arange(size)
    cover = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    weights: NDArray[np.float64] = np.clip(cover, 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)
