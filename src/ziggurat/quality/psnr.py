"""Squared error and the peak signal-to-noise ratio made of it."""

import math

import numpy as np

from ziggurat.errors import UsageError
from ziggurat.model import Samples

_ROW = 256
"""Squares of byte differences whose sum float32 holds exactly: 256 * 255^2 < 2^24."""

_BLOCK = 1 << 16
"""Samples at a time: the differences stay in a processor's cache."""


def squared_error(a: Samples, b: Samples) -> int | float:
    """Sum of squared differences. Sums of parts of a picture add up to that of the whole.

    Args:
        a: samples of any shape.
        b: samples of the same shape and type.

    Returns:
        An exact integer for integers of up to 16 bits, else a float64. NaN against NaN is no difference.

    Raises:
        UsageError: if shapes or types differ.
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        raise UsageError(f"{a.shape} {a.dtype} and {b.shape} {b.dtype} cannot be compared sample by sample")
    # Views of rows of a larger picture are not flat; blocks of their rows are, once copied.
    if a.ndim > 1 and not (a.flags.c_contiguous and b.flags.c_contiguous):
        rows = max(1, _BLOCK // max(1, math.prod(a.shape[1:])))
        return sum(
            squared_error(np.ascontiguousarray(a[y : y + rows]), np.ascontiguousarray(b[y : y + rows]))
            for y in range(0, len(a), rows)
        )
    measure = _of_bytes if a.dtype == np.uint8 else _of_any
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    parts = (measure(flat_a[at : at + _BLOCK], flat_b[at : at + _BLOCK]) for at in range(0, a.size, _BLOCK))
    if a.dtype.kind == "f" or a.dtype.itemsize > np.dtype(np.uint16).itemsize:
        return math.fsum(parts)
    return sum(int(part) for part in parts)


def _of_bytes(a: Samples, b: Samples) -> float:
    difference = np.subtract(a, b, dtype=np.int16).astype(np.float32)
    whole = difference.size // _ROW * _ROW
    rows, rest = difference[:whole].reshape(-1, _ROW), difference[whole:]
    return float(np.vecdot(rows, rows).sum(dtype=np.float64)) + float(np.dot(rest, rest))


def _of_any(a: Samples, b: Samples) -> float:
    # A block of squares of 16-bit differences sums to less than 2^48: float64 is exact.
    difference = a.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference -= b
    if a.dtype.kind == "f":
        difference[(a == b) | (np.isnan(a) & np.isnan(b))] = 0
    return float(np.dot(difference, difference))


def psnr(mse: float, peak: float) -> float:
    """Peak signal-to-noise ratio in dB.

    Args:
        mse: mean squared error: ``squared_error`` over the number of samples.
        peak: the largest difference there can be, 255 for bytes.

    Returns:
        ``math.inf`` for equal pictures. JSON and SQLite have no infinity that every reader understands: who
        stores it stores null, and the error as 0.
    """
    if math.isnan(mse):
        return math.nan
    return math.inf if mse <= 0 else 10 * math.log10(peak * peak / mse)
