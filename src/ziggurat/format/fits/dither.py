"""Quantised floating-point tiles → values. FITS Standard 4.0 section 10.2 and appendix I."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

RANDOMS = 10_000
"""Length of the sequence of random numbers that writers and readers share."""

EXACT_ZERO = -2147483646
"""The integer that SUBTRACTIVE_DITHER_2 keeps for samples of exactly 0."""


@cache
def random_sequence() -> NDArray[np.float32]:
    """The standard's 10,000 numbers between 0 and 1 (appendix I).

    Park and Miller's minimal generator: seed times 16807 modulo 2^31 - 1, beginning with 1.
    """
    modulus = 2147483647
    seeds = np.empty(RANDOMS, np.float64)
    seed = 1
    for index in range(RANDOMS):
        seed = 16807 * seed % modulus
        seeds[index] = seed
    return (seeds / modulus).astype(np.float32)


def randoms(tile: int, seed: int, count: int) -> NDArray[np.float32]:
    """The numbers of a tile's samples, in their order.

    Args:
        tile: the tile's row in the table, from 0.
        seed: ZDITHER0.
        count: samples of the tile.
    """
    sequence = random_sequence()
    at = (tile + seed - 1) % RANDOMS
    parts: list[NDArray[np.float32]] = []
    missing = count
    while missing > 0:
        first = int(sequence[at] * np.float32(500))
        parts.append(sequence[first : first + missing])
        missing -= parts[-1].size
        at = (at + 1) % RANDOMS
    return np.concatenate(parts)


def dequantised(
    quantised: NDArray[np.integer],
    scale: float,
    zero: float,
    *,
    noise: NDArray[np.float32] | None,
    blank: int | None,
    zeros: bool,
) -> NDArray[np.float64]:
    """Physical values of quantised ones.

    Args:
        quantised: integers of any shape.
        scale: ZSCALE of the tile.
        zero: ZZERO of the tile.
        noise: the samples' random numbers in the same shape; None for NO_DITHER.
        blank: ZBLANK, which becomes NaN.
        zeros: whether ``EXACT_ZERO`` stands for 0, as in SUBTRACTIVE_DITHER_2.
    """
    with np.errstate(all="ignore"):
        values = quantised.astype(np.float64)
        if noise is not None:
            values -= noise
            values += 0.5
        values *= scale
        values += zero
    if zeros:
        values[quantised == EXACT_ZERO] = 0.0
    if blank is not None:
        values[quantised == blank] = np.nan
    return values
