"""Samples of any type brought to 8 or 16 bits by a linear ramp."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ziggurat.model import SampleKind, Samples

SCRATCH_PER_SAMPLE = 16
"""Bytes that rescaling takes beside input and result: an index or a float64, and its product."""


type Peak = Literal[255, 65535]
"""The largest code of 8 or of 16 bits."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """The sample ``lo`` becomes 0 and ``hi`` becomes ``peak``; between, linear; beyond, clipped.

    Results are rounded to nearest, halves up. ``lo`` above ``hi`` inverts.
    """

    lo: float
    hi: float
    peak: Peak = 255

    @classmethod
    def full(cls, depth: int, kind: SampleKind, peak: Peak = 255) -> "Ramp":
        """All codes of an integer of ``depth`` bits: v * peak / (2^depth - 1), signed ones from -2^(depth-1)."""
        lo = -(1 << depth - 1) if kind == "signed" else 0
        return cls(lo, lo + (1 << depth) - 1, peak)

    def inverted(self) -> "Ramp":
        """The same range from the other end."""
        return Ramp(self.hi, self.lo, self.peak)

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """Type of the results: the smallest that holds the peak."""
        return np.dtype(np.uint8) if self.peak == np.iinfo(np.uint8).max else np.dtype(np.uint16)

    def is_identity(self, dtype: np.dtype[np.generic]) -> bool:
        """Whether samples of this type are left as they are."""
        return dtype == self.dtype and (self.lo, self.hi) == (0, self.peak)

    def apply(self, pixels: Samples) -> Samples:
        """Pixels on the ramp, of the same shape; the very array where nothing changes.

        Not-a-number becomes 0. Takes ``SCRATCH_PER_SAMPLE`` bytes a sample: give it blocks.
        """
        if self.is_identity(pixels.dtype):
            return pixels
        if pixels.dtype.kind not in "iu" or pixels.dtype.itemsize > np.dtype(np.uint16).itemsize:
            return _on_ramp(pixels, self)
        codes = np.ascontiguousarray(pixels).view(f"u{pixels.dtype.itemsize}")
        out = np.empty(codes.shape, self.dtype)
        # Every code has an entry, so that no mode changes a result; "wrap" is the one that checks nothing.
        np.take(_table(pixels.dtype, self), codes, out=out, mode="wrap")
        return out


@lru_cache(maxsize=32)
def _table(dtype: np.dtype[np.generic], ramp: Ramp) -> NDArray[np.generic]:
    """The result for every code of an integer type of at most 16 bits, in the order of the unsigned codes."""
    codes = np.arange(1 << 8 * dtype.itemsize).astype(f"u{dtype.itemsize}")
    return _on_ramp(codes.view(dtype), ramp)


def _on_ramp(pixels: Samples, ramp: Ramp) -> Samples:
    scaled = pixels.astype(np.float64)
    scaled -= ramp.lo
    # Before the multiplication, so that the codes of a full range that are halves are seen exactly as such.
    scaled *= ramp.peak
    scaled /= ramp.hi - ramp.lo
    scaled += 0.5
    # Comparisons with NaN are false: fmax takes the other operand.
    np.fmax(scaled, 0, out=scaled)
    np.fmin(scaled, ramp.peak, out=scaled)
    return scaled.astype(ramp.dtype)
