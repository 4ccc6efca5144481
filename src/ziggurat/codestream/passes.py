"""Which bit-planes of a codestream a lossy target cannot show: pure arithmetic, from headers and quantisation tables.

The coefficients of a noisy scan end in planes of noise, which take most of the time of decoding, and which a JPEG
then rounds to zero. A wavelet's subband and a range of the frequencies of the DCT are about the same part of a
picture: planes below a part of the quantisation step there make no difference, or little.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.coding import HIGH_THROUGHPUT, ComponentCoding, TileCoding
from ziggurat.codestream.partition import HH, HL, LH
from ziggurat.codestream.segments import Component

type PlanesLeftOut = Callable[[int, int, int], int]
"""Bit-planes to leave out of a subband, by component, decomposition level (1 is the finest) and orientation."""

type Sparing = Callable[[TileCoding], PlanesLeftOut | None]
"""What to leave out of a tile, by how it is coded; None for nothing."""

COLOURS = 3

_LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of R, G and B in the luma of JFIF (T.871 clause 7)."""

_DEEPEST = 3
"""Levels whose frequencies the 8 x 8 DCT tells apart."""

_TAPS = 1 << 7
"""Samples to either side of an impulse that is synthesised: more than ``_DEEPEST`` steps of the 9-7 transform reach."""

_LIFTING = (-0.443506852043971, -0.882911075530934, 0.052980118572961, 1.586134342059924)
_K = 1.230174104914001
"""Parameters of the inverse 9-7 transform, in the order of its steps, and what scales its subbands (Table F.4)."""


@dataclass(frozen=True, slots=True)
class Strength:
    """How much is left out, as the part of half a quantisation step that the planes of a subband may reach.

    Half a step is what the DCT rounds to zero; but a coefficient of a wavelet is spread over several of the DCT's, and
    what many of them lose adds up, so that the parts are small. They were found by measuring JPEGs of noisy scans.

    Attributes:
        luma: for the luma of components that are mostly luma.
        coarse_chroma: for chroma but for its finest subbands.
    """

    luma: float
    coarse_chroma: float


STRENGTHS = (Strength(luma=0.15, coarse_chroma=0.15), Strength(luma=0.05, coarse_chroma=0.0))
"""The stronger first."""

_FINEST_CHROMA = 0.6
"""The same part for the finest subbands of chroma, of which the eye sees least."""

_LEAK = 0.3
"""And for what components that are mostly chroma change of the luma."""

_LITTLE_LUMA = 0.2
"""What a step of such a component changes of the luma at most: U of the reversible transform 0.14, blue 0.11."""


@dataclass(frozen=True)
class Shown:
    """What of a picture a JPEG keeps.

    Attributes:
        tables: quantisation steps (vertical, horizontal frequency) of luma, and of chroma where there are three bands.
        halved: whether chroma is halved along y, and along x.
        scale: steps of the target's 8 bits for a step of a stored sample.
        level: of the image, from which the target's pixels are made.
    """

    tables: tuple[NDArray[np.float64], ...]
    halved: tuple[bool, bool]
    scale: float
    level: int


def planes_left_out(
    coding: TileCoding, components: tuple[Component, ...], shown: Shown, strength: Strength
) -> PlanesLeftOut | None:
    """The planes that do not matter.

    Args:
        coding: of the tile.
        components: one, or three that are red, green and blue, all of the same spacing.
        shown: the target.
        strength: how much may be lost.

    Returns:
        None where too few are left out to be worth it, or nothing can be said.
    """
    style = coding.components[0].style
    alike = all(
        (item.style.levels, item.style.transform) == (style.levels, style.transform)
        and item.termination != HIGH_THROUGHPUT
        for item in coding.components
    )
    if not alike or style.levels <= shown.level:
        return None
    planes: dict[tuple[int, int, int], int] = {}
    gains = _gains(coding.component_transform, style.transform, len(components))
    for index, item in enumerate(components):
        for depth in range(1, min(_DEEPEST, style.levels - shown.level) + 1):
            for orientation in (HL, LH, HH):
                reach = _reach(gains[index], shown, strength, depth, orientation, style.transform)
                step = _step(coding.components[index], item.depth, depth + shown.level, orientation) * shown.scale
                left_out = int(math.log2(reach / step)) if reach > step else 0
                planes[index, depth + shown.level, orientation] = left_out
    finest = [count for (_, depth, _), count in planes.items() if depth == 1 + shown.level]
    if sum(finest) < len(finest):
        return None
    return lambda component, depth, orientation: planes.get((component, depth, orientation), 0)


def _gains(mixed: int, transform: int, count: int) -> NDArray[np.float64]:
    """What a step of each component changes of luma and chroma: (component, plane of JFIF) (Annex G, T.871)."""
    if count == 1:
        return np.ones((1, 1))
    to_rgb = np.eye(COLOURS)
    if mixed and transform == 1:
        to_rgb = np.array([[1, 1, 1], [-0.25, -0.25, 0.75], [0.75, -0.25, -0.25]])
    elif mixed:
        to_rgb = np.array([[1, 1, 1], [0, -0.344136, 1.772], [1.402, -0.714136, 0]])
    luma = to_rgb @ _LUMA
    blue, red = (to_rgb[:, 2] - luma) / 1.772, (to_rgb[:, 0] - luma) / 1.402
    return np.abs(np.stack([luma, blue, red], axis=1))


def _reach(
    gains: NDArray[np.float64], shown: Shown, strength: Strength, depth: int, orientation: int, transform: int
) -> float:
    """How large a coefficient of a subband may be that is left out, in steps of the target's samples."""
    reach = math.inf
    for plane, gain in enumerate(gains):
        if gain < 1e-6:  # noqa: PLR2004 - nothing but rounding of the matrices
            continue
        halved = shown.halved if plane else (False, False)
        spans = (
            _span(depth, high=bool(orientation & LH), halved=halved[0]),
            _span(depth, high=bool(orientation & HL), halved=halved[1]),
        )
        if None in spans:
            continue
        rows, columns = (slice(*span) for span in spans if span is not None)
        step = float(shown.tables[min(plane, 1)][rows, columns].mean())
        if plane == 0:
            part = _LEAK if gain < _LITTLE_LUMA else strength.luma
        else:
            part = _FINEST_CHROMA if depth == 1 else strength.coarse_chroma
        # A halved axis holds half as many samples of the same size.
        norm = norm_of(transform, depth, orientation) / math.sqrt(2) ** sum(halved)
        reach = min(reach, part * step / 2 / (gain * norm))
    return reach


def _span(depth: int, *, high: bool, halved: bool) -> tuple[int, int] | None:
    """The frequencies of the DCT, of 8 along an axis, that a subband covers; None where the target has none."""
    low, end = (8 >> depth, 16 >> depth) if high else (0, 8 >> depth)
    if halved:
        low, end = 2 * low, min(2 * end, 8)
    return None if low >= end else (low, end)


def _step(coding: ComponentCoding, bits: int, depth: int, orientation: int) -> float:
    """The quantisation step of a subband (E-3), 1 where there is none."""
    quantization, levels = coding.quantization, coding.style.levels
    if quantization.style == 0:
        return 1.0
    if quantization.style == 1:
        exponent, mantissa = quantization.steps[0]
        exponent -= levels - depth
    else:
        exponent, mantissa = quantization.steps[min(3 * (levels - depth) + orientation, len(quantization.steps) - 1)]
    gain = 2 if orientation == HH else 1
    return float(2.0 ** (bits + gain - exponent) * (1 + mantissa / (1 << 11)))


@cache
def norm_of(transform: int, depth: int, orientation: int) -> float:
    """What a unit coefficient adds to the picture: the root of its squares' sum.

    Args:
        transform: 1 is the 5-3, 0 the 9-7.
        depth: decomposition level of the subband, 1 is the finest.
        orientation: LL, HL, LH or HH.
    """
    across, down = (_line(transform, depth, high=bool(orientation & axis)) for axis in (HL, LH))
    return math.sqrt(across * down)


@cache
def _line(transform: int, depth: int, *, high: bool) -> float:
    """Sum of the squares of what an impulse in a subband becomes along one axis (F.3)."""
    signal = np.zeros(2 * _TAPS)
    signal[_TAPS + 1 if high else _TAPS] = 1.0
    signal = _synthesised(signal, transform)
    for _ in range(depth - 1):
        # The impulse's surroundings, on the even places of the next finer level.
        finer = np.zeros_like(signal)
        finer[::2] = signal[_TAPS // 2 : _TAPS // 2 + _TAPS]
        signal = _synthesised(finer, transform)
    return float(signal @ signal)


def _synthesised(line: NDArray[np.float64], transform: int) -> NDArray[np.float64]:
    """One step of the inverse transform of interleaved subbands, without rounding (F.3.8)."""
    factors: tuple[float, ...]
    if transform == 1:
        line, factors = line.copy(), (-0.25, 0.5)
    else:
        line, factors = line * np.tile([_K, 1 / _K], len(line) // 2), _LIFTING
    for number, factor in enumerate(factors):
        line[number % 2 :: 2] += factor * (np.roll(line, 1) + np.roll(line, -1))[number % 2 :: 2]
    return line
