"""Pixels on another grid: smaller by areas, larger by cubic curves, turned by any angle."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from ziggurat.geometry import Size
from ziggurat.model import Samples

SAMPLES: Final = 1 << 21
"""Samples that are worked on at once: with their sums of 8 bytes they still fit into a cache, or nearly."""

REACH: Final = 2
"""Rows beyond its own that a curve looks at."""


def resample(pixels: Samples, rows: tuple[float, float], columns: tuple[float, float], target: Size) -> Samples:
    """A rectangle of pixels made to fit a size.

    Args:
        pixels: uint8 (y, x, band).
        rows: where the rectangle begins and ends, in rows counted from the upper edge of the first.
        columns: the same across.
        target: of the result.

    Returns:
        uint8 (y, x, band); a pixel is the mean of the area that it covers, or lies on a cubic curve through its
        neighbours where it covers less than a pixel.
    """
    out = np.empty((*target, pixels.shape[2]), np.uint8)
    step = (rows[1] - rows[0]) / target.height
    wide = (pixels.shape[1] * max(1.0, step) + target.width) * pixels.shape[2]
    block = max(1, int(SAMPLES / wide))
    for y0 in range(0, target.height, block):
        y1 = min(y0 + block, target.height)
        start, end = rows[0] + y0 * step, rows[0] + y1 * step
        top = max(0, math.floor(start) - REACH)
        part = pixels[top : math.ceil(end) + REACH]
        down = _axis(part, 0, (start - top, end - top), y1 - y0)
        both = _axis(down, 1, columns, target.width)
        out[y0:y1] = both if both.dtype == np.uint8 else np.clip(np.rint(both), 0, 255)
    return out


def in_blocks(change: Callable[[Samples], Samples], pixels: Samples) -> Samples:
    """Changes pixels a few rows at a time where they are many, so that it takes little memory.

    Args:
        change: (y, x, band) pixels to uint8 ones of the same height and width, row by row.
        pixels: all of them.
    """
    height, width, bands = pixels.shape
    block = max(1, SAMPLES // (width * bands))
    if block >= height:
        return change(pixels)
    first = change(pixels[:block])
    out = np.empty((height, *first.shape[1:]), first.dtype)
    out[:block] = first
    for y0 in range(block, height, block):
        out[y0 : y0 + block] = change(pixels[y0 : y0 + block])
    return out


def _axis(pixels: Samples, axis: int, ends: tuple[float, float], target: int) -> Samples:
    size = pixels.shape[axis]
    start, end = max(0.0, ends[0]), min(float(size), ends[1])
    if (start, end, target) == (0.0, float(size), size):
        return pixels
    step = (end - start) / target
    return _areas(pixels, axis, start, step, target) if step >= 1 else _curves(pixels, axis, start, step, target)


def _areas(pixels: Samples, axis: int, start: float, step: float, target: int) -> Samples:
    """Differences of running sums, which are linear between the pixels' edges: any area in one pass."""
    moved = np.moveaxis(pixels, axis, 0)
    sums = np.zeros((moved.shape[0] + 1, *moved.shape[1:]), np.float64)
    np.cumsum(moved, axis=0, out=sums[1:])
    edges = np.minimum(start + step * np.arange(target + 1), moved.shape[0])
    first = np.minimum(edges.astype(np.intp), moved.shape[0] - 1)
    share = (edges - first).reshape(-1, *[1] * (moved.ndim - 1))
    there = sums[first] * (1 - share) + sums[first + 1] * share
    means = (np.diff(there, axis=0) / step).astype(np.float32)
    result: Samples = np.moveaxis(means, 0, axis)
    return result


def _curves(pixels: Samples, axis: int, start: float, step: float, target: int) -> Samples:
    """Catmull-Rom through the four nearest pixels (R. Keys, 1981, a = -1/2)."""
    centres = start + step * (np.arange(target) + 0.5) - 0.5
    first = np.floor(centres).astype(np.intp)
    t = (centres - first).astype(np.float32)
    weights = (
        ((-t + 2) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((-3 * t + 4) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    )
    shape = [1] * pixels.ndim
    shape[axis] = -1
    last = pixels.shape[axis] - 1
    result: Samples = np.zeros(1, np.float32)
    for offset, weight in enumerate(weights, -1):
        result = result + np.take(pixels, np.clip(first + offset, 0, last), axis) * weight.reshape(shape)
    return np.clip(result, 0, 255)


def rotate(pixels: Samples, angle: float) -> tuple[Samples, Samples | None]:
    """The picture turned clockwise, on a sheet that holds all of it.

    Args:
        pixels: uint8 (y, x, band).
        angle: degrees, 0 to below 360.

    Returns:
        The pixels, and how opaque each is, uint8 (y, x, 1): None where all are, as after quarter turns.
    """
    quarters, rest = divmod(angle, 90)
    if not rest:
        return np.rot90(pixels, -int(quarters)), None
    size = rotated_size(Size(*pixels.shape[:2]), angle)
    colour = np.empty((*size, pixels.shape[2]), np.uint8)
    cover = np.empty((*size, 1), np.uint8)
    block = max(1, SAMPLES // (size.width * 8))
    for y0 in range(0, size.height, block):
        y1 = min(y0 + block, size.height)
        colour[y0:y1], cover[y0:y1] = _turned_rows(pixels, math.radians(angle), size, (y0, y1))
    return colour, cover


def _turned_rows(pixels: Samples, radians: float, size: Size, rows: tuple[int, int]) -> tuple[Samples, Samples]:
    """Rows of the turned picture, each pixel a mixture of the four that lie around where it comes from."""
    height, width = pixels.shape[:2]
    cosine, sine = math.cos(radians), math.sin(radians)
    y = np.arange(*rows, dtype=np.float32)[:, None] + (0.5 - size.height / 2)
    x = np.arange(size.width, dtype=np.float32)[None, :] + (0.5 - size.width / 2)
    down = y * cosine - x * sine + (height / 2 - 0.5)
    across = x * cosine + y * sine + (width / 2 - 0.5)
    y0, x0 = np.floor(down).astype(np.int32), np.floor(across).astype(np.int32)
    dy, dx = down - y0, across - x0
    mixed = np.zeros((*down.shape, pixels.shape[2]), np.float32)
    cover = np.zeros((*down.shape, 1), np.float32)
    for row, column, weight in (
        (y0, x0, (1 - dy) * (1 - dx)),
        (y0, x0 + 1, (1 - dy) * dx),
        (y0 + 1, x0, dy * (1 - dx)),
        (y0 + 1, x0 + 1, dy * dx),
    ):
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        share = (weight * inside)[:, :, None]
        mixed += pixels[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)] * share
        cover += share
    # A pixel that is covered hardly at all is as good as transparent, whatever its colour.
    return np.rint(mixed / np.maximum(cover, 1e-3)).astype(np.uint8), np.rint(cover * 255).astype(np.uint8)


def rotated_size(size: Size, angle: float) -> Size:
    """Height and width of the sheet that holds a picture turned by an angle."""
    if angle % 180 == 0:
        return size
    if angle % 90 == 0:
        return Size(size.width, size.height)
    sine, cosine = abs(math.sin(math.radians(angle))), abs(math.cos(math.radians(angle)))
    return Size(
        math.ceil(size.height * cosine + size.width * sine - 1e-9),
        math.ceil(size.width * cosine + size.height * sine - 1e-9),
    )
