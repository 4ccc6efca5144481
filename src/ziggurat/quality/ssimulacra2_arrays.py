"""SSIMULACRA2's planes and maps as products of arrays, for where the loops are not compiled."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ziggurat.model import Samples

type Planes = NDArray[np.float32]

RADIUS = 5
"""Pixels on either side of the window's centre that have a weight."""

TAPS = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / 1.5) ** 2)
"""The window's weights: a Gaussian with a standard deviation of 1.5 pixels."""
TAPS /= TAPS.sum()

C2 = 0.0009
"""SSIM's constant that keeps the ratio of variances finite where there are none."""

OPSIN = np.array(
    [
        [0.30, 1 - 0.078 - 0.30, 0.078],
        [0.23, 1 - 0.078 - 0.23, 0.078],
        [0.24342268924547819, 0.20476744424496821, 1 - 0.24342268924547819 - 0.20476744424496821],
    ],
    np.float32,
)
"""Linear RGB to the responses of the eye's cones (libjxl ``opsin_params.h``)."""

BIAS = 0.0037930732552754493

_CODE = np.arange(256) / 255
LIGHT = np.where(_CODE <= 0.04045, _CODE / 12.92, ((_CODE + 0.055) / 1.055) ** 2.4).astype(np.float32)  # noqa: PLR2004
"""Linear light for every code of sRGB (IEC 61966-2-1 5.2)."""

_BLOCK = 48
"""Pixels that one matrix blurs: with a larger one most products are with zeros, with a smaller one the margins
are."""


def pyramid(pixels: Samples, counts: Sequence[int]) -> list[Planes]:
    """Planes (y, plane, x) of every scale, in the order Y, X, B, as many as ``counts`` says.

    Args:
        pixels: uint8 (y, x, 1 or 3).
        counts: planes that each scale needs.
    """
    linear = LIGHT[np.ascontiguousarray(np.swapaxes(pixels, 1, 2))]
    linear = np.broadcast_to(linear, (linear.shape[0], 3, linear.shape[2]))
    result: list[Planes] = []
    for count in counts:
        result.append(_xyb(linear, count))
        linear = _halved(linear)
    return result


def _xyb(linear: Planes, count: int) -> Planes:
    """XYB, shifted and scaled to be positive; of two planes or one, two cones suffice."""
    height, _, width = linear.shape
    result = np.empty((height, count, width), np.float32)
    if not count:
        return result
    cones: Planes = np.matmul(OPSIN[: max(2, count)], linear)
    cones += np.float32(BIAS)
    np.cbrt(cones, out=cones)
    cones -= np.float32(np.cbrt(BIAS))
    luma = (cones[:, 0] + cones[:, 1]) * np.float32(0.5)
    result[:, 0] = luma + np.float32(0.01)
    if count > 1:
        result[:, 1] = (cones[:, 0] - cones[:, 1]) * np.float32(7) + np.float32(0.42)
    if count > 2:  # noqa: PLR2004 - planes
        result[:, 2] = cones[:, 2] - luma + np.float32(0.55)
    return result


def _halved(planes: Planes) -> Planes:
    """Means of 2 x 2, those at an odd edge of what there is."""
    height, _, width = planes.shape
    if height % 2 or width % 2:
        planes = np.pad(planes, ((0, height % 2), (0, 0), (0, width % 2)), mode="edge")
    rows = planes[0::2] + planes[1::2]
    means: Planes = (rows[:, :, 0::2] + rows[:, :, 1::2]) * np.float32(0.25)
    return means


def sums(a: Planes, b: Planes) -> NDArray[np.float64]:
    """Sums of the three maps, and of their fourth powers: (plane, power times map)."""
    height, count, width = a.shape
    if not count:
        return np.empty((0, 6))
    stack = np.empty((height, 4 * count, width), np.float32)
    parts = [stack[:, at * count : (at + 1) * count] for at in range(4)]
    parts[0][...], parts[1][...] = a, b
    # The variances are needed as their sum, and the covariance as half of what their sum has over the variance
    # of the difference: that is small where the pictures are alike, and float32 then holds it well.
    np.multiply(a, a, out=parts[2])
    parts[2] += b * b
    difference = a - b
    np.multiply(difference, difference, out=parts[3])
    blurred = _blur(stack)
    mean_a, mean_b, squares, differences = (blurred[:, at * count : (at + 1) * count] for at in range(4))
    variances = squares - mean_a * mean_a - mean_b * mean_b + np.float32(C2)
    offset = mean_a - mean_b
    offset *= offset
    # 1 - (1 - offset) * (variances - apart) / variances, without the cancellation.
    apart = (differences - offset) / variances
    ssim = np.maximum(apart + offset * (1 - apart), 0)
    edges = (1 + np.abs(b - mean_b)) / (1 + np.abs(a - mean_a)) - 1
    maps = ssim, np.maximum(edges, 0), np.maximum(-edges, 0)
    return np.array([power(values) for power in (_sum, _sum_of_fourths) for values in maps]).T


def _sum(values: Planes) -> NDArray[np.float64]:
    return values.sum(axis=(0, 2), dtype=np.float64)


def _sum_of_fourths(values: Planes) -> NDArray[np.float64]:
    squares = values * values
    squares *= squares
    return _sum(squares)


def _blur(planes: Planes) -> Planes:
    """Gaussian of (y, plane, x): mirrored beyond the first and last row, zero beyond the first and last column."""
    height, count, width = planes.shape
    rows = np.empty_like(planes)
    flat, flat_rows = planes.reshape(height, -1), rows.reshape(height, -1)
    for start, stop, low, high in _blocks(height):
        np.matmul(_weights(start, stop, low, high, height), flat[low:high], out=flat_rows[start:stop])
    tall = rows.reshape(height * count, width)
    result = np.empty_like(tall)
    for start, stop, low, high in _blocks(width):
        np.matmul(tall[:, low:high], _weights(start, stop, low, high, None).T, out=result[:, start:stop])
    return result.reshape(planes.shape)


def _blocks(length: int) -> list[tuple[int, int, int, int]]:
    """Ranges of results, and of what they are made from."""
    return [
        (start, min(start + _BLOCK, length), max(0, start - RADIUS), min(length, start + _BLOCK + RADIUS))
        for start in range(0, length, _BLOCK)
    ]


@lru_cache(maxsize=256)
def _weights(start: int, stop: int, low: int, high: int, mirror: int | None) -> NDArray[np.float32]:
    """Matrix (stop - start, high - low) of the window's weights; ``mirror`` is the length, or None for zeros."""
    matrix = np.zeros((stop - start, high - low), np.float32)
    for row in range(stop - start):
        for step, tap in enumerate(TAPS, start=-RADIUS):
            at = start + row + step
            if mirror is not None:
                # Half-sample symmetry: the edge pixel is its own first image.
                at = -1 - at if at < 0 else at
                at = 2 * mirror - 1 - at if at >= mirror else at
            if low <= at < high:
                matrix[row, at - low] += tap
    return matrix
