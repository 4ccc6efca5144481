"""Stored numbers → physical values. FITS Standard 4.0 sections 4.4.2.5 (BSCALE, BZERO, BLANK) and 5."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ziggurat.format.fits.cards import Cards
from ziggurat.model import SampleKind, Samples

type Rule = Literal["as stored", "sign flipped", "scaled"]

KINDS: dict[str, SampleKind] = {"u": "unsigned", "i": "signed", "f": "float"}


@dataclass(frozen=True, slots=True)
class Scaling:
    """How stored numbers become samples.

    Attributes:
        stored: type in the file, big-endian.
        dtype: type of the samples, in the machine's order.
        rule: whether values are kept, have their sign bit flipped, or go through ``scale`` and ``zero``.
        scale: BSCALE.
        zero: BZERO.
        blank: the integer that stands for an undefined sample, or None.
    """

    stored: np.dtype[np.generic]
    dtype: np.dtype[np.generic]
    rule: Rule
    scale: float
    zero: float
    blank: int | None

    @property
    def kind(self) -> SampleKind:
        """What the samples are."""
        return KINDS[self.dtype.kind]

    @property
    def scratch(self) -> int:
        """Bytes a sample that ``apply`` takes besides its result and its argument."""
        return 0 if self.rule == "as stored" else self.dtype.itemsize if self.rule == "sign flipped" else 25

    def apply(self, raw: Samples) -> Samples:
        """Samples of ``dtype`` from numbers of the stored type in either byte order.

        Undefined ones become NaN where ``dtype`` is a float.
        """
        if self.rule == "as stored":
            return raw.astype(self.dtype, copy=False)
        if self.rule == "sign flipped":
            # The offset is half the range: adding it modulo the range flips the highest bit.
            bits = np.dtype(f"u{self.dtype.itemsize}")
            native = raw.astype(self.stored.newbyteorder("="), copy=False).view(bits)
            flip = bits.type(1 << (8 * bits.itemsize - 1))
            flipped: Samples = np.bitwise_xor(native, flip).view(self.dtype)
            return flipped
        with np.errstate(all="ignore"):
            values = raw.astype(np.float64)
            values *= self.scale
            values += self.zero
            if self.blank is not None and raw.dtype.kind != "f":
                values[raw == self.blank] = np.nan
            return values.astype(self.dtype, copy=False)


def scaling(cards: Cards, bitpix: int, *, blank: str = "BLANK") -> Scaling:
    """The rule of a header.

    - BSCALE 1 and BZERO 0: the stored type.
    - BSCALE 1 and BZERO half the range: unsigned integers, or signed bytes (section 4.4.2.5, table 11).
    - else physical values. 8 and 16 bits fit into the 24 bits of a float32 exactly, so that no step of the
      scale is lost in half the memory; 32 and 64 bits need a float64.

    Args:
        cards: the header.
        bitpix: BITPIX or ZBITPIX.
        blank: the keyword of the undefined value.

    Raises:
        CorruptImage: if a keyword is no number.
    """
    scale, zero = cards.number("BSCALE", 1.0), cards.number("BZERO", 0.0)
    width = abs(bitpix) // 8
    stored = np.dtype(f">f{width}" if bitpix < 0 else f">i{width}" if width > 1 else ">u1")
    null = cards.integer(blank) if bitpix > 0 and blank in cards else None
    native = stored.newbyteorder("=")
    if scale == 1 and zero == 0:
        return Scaling(stored, native, "as stored", scale, zero, null)
    if scale == 1 and bitpix > 0 and zero == (-128 if width == 1 else 2.0 ** (bitpix - 1)):
        flipped = np.dtype("i1" if width == 1 else f"u{width}")
        return Scaling(stored, flipped, "sign flipped", scale, zero, null)
    if bitpix > 0:
        native = np.dtype(np.float32 if width <= 2 else np.float64)  # noqa: PLR2004 - bytes
    return Scaling(stored, native, "scaled", scale, zero, null)
