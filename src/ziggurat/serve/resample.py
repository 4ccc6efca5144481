"""Pixels on another grid: smaller by areas, larger by cubic curves, turned by any angle."""

import math

import numpy as np

from ziggurat.geometry import Size
from ziggurat.model import Samples


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
    down = _axis(pixels, 0, rows, target.height)
    both = _axis(down, 1, columns, target.width)
    return both if both.dtype == np.uint8 else np.clip(np.rint(both), 0, 255).astype(np.uint8)


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
    height, width = pixels.shape[:2]
    size = rotated_size(Size(height, width), angle)
    radians = math.radians(angle)
    cosine, sine = math.cos(radians), math.sin(radians)
    y = np.arange(size.height, dtype=np.float32)[:, None] + (0.5 - size.height / 2)
    x = np.arange(size.width, dtype=np.float32)[None, :] + (0.5 - size.width / 2)
    # Where each pixel of the result comes from: the inverse turn.
    rows = y * cosine - x * sine + (height / 2 - 0.5)
    columns = x * cosine + y * sine + (width / 2 - 0.5)
    y0, x0 = np.floor(rows).astype(np.int32), np.floor(columns).astype(np.int32)
    dy, dx = (rows - y0)[:, :, None], (columns - x0)[:, :, None]
    out = np.zeros((*size, pixels.shape[2]), np.float32)
    cover = np.zeros((*size, 1), np.float32)
    for down, across in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = (dy if down else 1 - dy) * (dx if across else 1 - dx)
        row, column = y0 + down, x0 + across
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        weight = weight * inside[:, :, None]
        out += pixels[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)] * weight
        cover += weight
    colour = np.rint(out / np.maximum(cover, 1e-6)).astype(np.uint8)
    return colour, np.rint(cover * 255).astype(np.uint8)


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
