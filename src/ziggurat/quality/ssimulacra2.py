"""SSIMULACRA2, a measure of how visibly two pictures differ: 100 equal, 90 not visible, 70 high quality.

The metric is version 2.1 of Cloudinary's SSIMULACRA 2 (https://github.com/cloudinary/ssimulacra2), as libjxl has
it in ``tools/ssimulacra2.cc`` (BSD-3); weights and the cubic that follows them are that file's, the colour space
is XYB of ISO/IEC 18181-1. Blurs are true Gaussians, within 0.1 of the scores of the PyPI package ``ssimulacra2``:
a window's columns beyond the picture count as zero, its rows are mirrored.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ziggurat.errors import UsageError
from ziggurat.model import Samples

type _Planes = NDArray[np.float32]

_SMALLEST = 8
"""Rows and columns that a scale needs."""

_SCALES = 6

_SIGMA = 1.5
"""Standard deviation of the window, in pixels."""

_RADIUS = 5
"""Pixels on either side of the window's centre that have a weight."""

_BLOCK = 48
"""Pixels that one matrix blurs: with a larger one most products are with zeros, with a smaller one the margins
are."""

_C2 = 0.0009
"""SSIM's constant that keeps the ratio of variances finite where there are none."""

_OPSIN = np.array(
    [
        [0.30, 1 - 0.078 - 0.30, 0.078],
        [0.23, 1 - 0.078 - 0.23, 0.078],
        [0.24342268924547819, 0.20476744424496821, 1 - 0.24342268924547819 - 0.20476744424496821],
    ],
    np.float32,
)
"""Linear RGB to the responses of the eye's cones (libjxl ``opsin_params.h``)."""

_BIAS = 0.0037930732552754493

# By plane (X, Y, B), scale, norm (1, 4) and map (SSIM, artefacts, lost detail), in this order of nesting.
# fmt: off
_WEIGHTS = (
    0.0, 0.0007376606707406586, 0.0, 0.0, 0.0007793481682867309, 0.0,
    0.0, 0.0004371155730107379, 0.0, 1.1041726426657346, 0.00066284834129271, 0.00015231632783718752,
    0.0, 0.0016406437456599754, 0.0, 1.8422455520539298, 11.441172603757666, 0.0,
    0.0007989109436015163, 0.000176816438078653, 0.0, 1.8787594979546387, 10.94906990605142, 0.0,
    0.0007289346991508072, 0.9677937080626833, 0.0, 0.00014003424285435884, 0.9981766977854967, 0.00031949755934435053,
    0.0004550992113792063, 0.0, 0.0, 0.0013648766163243398, 0.0, 0.0,
    0.0, 0.0, 0.0, 7.466890328078848, 0.0, 17.445833984131262,
    0.0006235601634041466, 0.0, 0.0, 6.683678146179332, 0.00037724407979611296, 1.027889937768264,
    225.20515300849274, 0.0, 0.0, 19.213238186143016, 0.0011401524586618361, 0.001237755635509985,
    176.39317598450694, 0.0, 0.0, 24.43300999870476, 0.28520802612117757, 0.0004485436923833408,
    0.0, 0.0, 0.0, 34.77906344483772, 44.835625328877896, 0.0,
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
    0.0, 0.0008680556573291698, 0.0, 0.0, 0.0, 0.0,
    0.0, 0.0005313191874358747, 0.0, 0.00016533814161379112, 0.0, 0.0,
    0.0, 0.0, 0.0, 0.0004179171803251336, 0.0017290828234722833, 0.0,
    0.0020827005846636437, 0.0, 0.0, 8.826982764996862, 23.19243343998926, 0.0,
    95.1080498811086, 0.9863978034400682, 0.9834382792465353,
    0.0012286405048278493, 171.2667255897307, 0.9807858872435379,
    0.0, 0.0, 0.0, 0.0005130064588990679, 0.0, 0.00010854057858411537,
)
# fmt: on


def ssimulacra2(original: Samples, distorted: Samples) -> float:
    """The score of a picture against its original.

    Args:
        original: uint8 sRGB (y, x, 3), or (y, x, 1) for grey with sRGB's tone curve.
        distorted: of the same shape.

    Returns:
        At most 100; below 0 where hardly anything is left.

    Raises:
        UsageError: if the shapes or types are others, or a side is shorter than 8 pixels, of which the metric
            can say nothing.
    """
    for pixels in (original, distorted):
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in {1, 3}:  # noqa: PLR2004 - y, x, band
            raise UsageError(f"SSIMULACRA2 needs uint8 (y, x, 1 or 3), not {pixels.dtype} {pixels.shape}")
    if original.shape != distorted.shape:
        raise UsageError(f"pictures of {original.shape} and {distorted.shape} cannot be compared")
    if min(original.shape[:2]) < _SMALLEST:
        raise UsageError(f"SSIMULACRA2 needs {_SMALLEST} x {_SMALLEST} pixels or more, not {original.shape[:2]}")
    linear = [_linear(pixels) for pixels in (original, distorted)]
    terms: list[NDArray[np.float64]] = []
    for _ in range(_SCALES):
        height, _, width = linear[0].shape
        if min(height, width) < _SMALLEST:
            break
        terms.append(_scale_terms(_xyb(linear[0]), _xyb(linear[1])))
        linear = [_halved(planes) for planes in linear]
    # Few scales use the first weights, as the reference does.
    values = np.stack(terms, axis=1).reshape(-1)
    return _score(float(np.dot(_WEIGHTS[: values.size], values)))


def _score(distance: float) -> float:
    distance *= 0.9562382616834844
    distance = 2.326765642916932 * distance - 0.020884521182843837 * distance**2 + 6.248496625763138e-05 * distance**3
    return 100 - 10 * distance**0.6276336467831387 if distance > 0 else 100.0


@lru_cache(maxsize=1)
def _light() -> NDArray[np.float32]:
    """Linear light for every code of sRGB (IEC 61966-2-1 5.2)."""
    code = np.arange(256) / 255
    curve = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004 - the curve's joint
    return curve.astype(np.float32)


def _linear(pixels: Samples) -> _Planes:
    """Linear RGB as (y, band, x), the layout in which both blurs are single matrix products."""
    planes = np.ascontiguousarray(np.swapaxes(pixels, 1, 2))
    light: _Planes = np.broadcast_to(_light()[planes], (planes.shape[0], 3, planes.shape[2]))
    return light


def _xyb(linear: _Planes) -> _Planes:
    """XYB, shifted and scaled to be positive, as (y, band, x)."""
    cones: _Planes = np.matmul(_OPSIN, linear)
    cones += np.float32(_BIAS)
    np.cbrt(cones, out=cones)
    cones -= np.float32(np.cbrt(_BIAS))
    result = np.empty_like(cones)
    red, green, blue = (cones[:, band] for band in range(3))
    result[:, 0] = (red - green) * np.float32(7) + np.float32(0.42)
    luma = (red + green) * np.float32(0.5)
    result[:, 1] = luma + np.float32(0.01)
    result[:, 2] = blue - luma + np.float32(0.55)
    return result


def _halved(planes: _Planes) -> _Planes:
    """Means of 2 x 2, those at an odd edge of what there is."""
    height, _, width = planes.shape
    if height % 2 or width % 2:
        planes = np.pad(planes, ((0, height % 2), (0, 0), (0, width % 2)), mode="edge")
    rows = planes[0::2] + planes[1::2]
    means: _Planes = (rows[:, :, 0::2] + rows[:, :, 1::2]) * np.float32(0.25)
    return means


def _scale_terms(a: _Planes, b: _Planes) -> NDArray[np.float64]:
    """Both norms of the three maps of one scale: (plane, norm times map)."""
    height, _, width = a.shape
    stack = np.empty((height, 12, width), np.float32)
    stack[:, 0:3], stack[:, 3:6] = a, b
    # The variances are needed as their sum, and the covariance as half of what their sum has over the variance
    # of the difference: that is small where the pictures are alike, and float32 then holds it well.
    np.multiply(a, a, out=stack[:, 6:9])
    stack[:, 6:9] += b * b
    difference = a - b
    np.multiply(difference, difference, out=stack[:, 9:12])
    blurred = _blur(stack)
    mean_a, mean_b = blurred[:, 0:3], blurred[:, 3:6]
    variances = blurred[:, 6:9] - mean_a * mean_a - mean_b * mean_b + np.float32(_C2)
    offset = mean_a - mean_b
    offset *= offset
    # 1 - (1 - offset) * (variances - apart) / variances, without the cancellation.
    apart = (blurred[:, 9:12] - offset) / variances
    ssim = np.maximum(apart + offset * (1 - apart), 0)
    edges = (1 + np.abs(b - mean_b)) / (1 + np.abs(a - mean_a)) - 1
    return (
        np.concatenate(
            [norm(part) for norm in (_mean, _fourth) for part in (ssim, np.maximum(edges, 0), np.maximum(-edges, 0))]
        )
        .reshape(6, 3)
        .T
    )


def _mean(values: _Planes) -> NDArray[np.float64]:
    return values.mean(axis=(0, 2), dtype=np.float64)


def _fourth(values: _Planes) -> NDArray[np.float64]:
    squares = values * values
    squares *= squares
    result: NDArray[np.float64] = squares.mean(axis=(0, 2), dtype=np.float64) ** 0.25
    return result


def _blur(planes: _Planes) -> _Planes:
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
        (start, min(start + _BLOCK, length), max(0, start - _RADIUS), min(length, start + _BLOCK + _RADIUS))
        for start in range(0, length, _BLOCK)
    ]


@lru_cache(maxsize=256)
def _weights(start: int, stop: int, low: int, high: int, mirror: int | None) -> NDArray[np.float32]:
    """Matrix (stop - start, high - low) of the window's weights; ``mirror`` is the length, or None for zeros."""
    taps = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    taps /= taps.sum()
    matrix = np.zeros((stop - start, high - low), np.float32)
    for row in range(stop - start):
        for step, tap in enumerate(taps, start=-_RADIUS):
            at = start + row + step
            if mirror is not None:
                # Half-sample symmetry: the edge pixel is its own first image.
                at = -1 - at if at < 0 else at
                at = 2 * mirror - 1 - at if at >= mirror else at
            if low <= at < high:
                matrix[row, at - low] += tap
    return matrix
