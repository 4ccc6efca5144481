"""A header's keywords as numbers and texts, each checked for its type."""

import math

from astropy.io.fits import Header

from ziggurat.errors import CorruptImage
from ziggurat.format.fits.quiet import quiet
from ziggurat.format.foreign import foreign_errors

MAX_INTEGER = 1 << 62
"""Numbers beyond it are no sizes: sums of two still fit into 64 bits."""


class Cards:
    """The header of one HDU.

    Args:
        data: its blocks, the END card included.
        where: the file and the HDU, for messages.

    Raises:
        CorruptImage: if astropy cannot take it for a header.
    """

    def __init__(self, data: bytes, where: str) -> None:
        self._where = where
        # Text of the standard is ASCII (FITS 4.0 section 4.2.1); what is not stays visible as a question mark.
        text = data.decode("ascii", "replace").replace("\ufffd", "?").replace("\0", " ")
        with foreign_errors(where), quiet():
            self.header = Header.fromstring(text)

    @property
    def where(self) -> str:
        """The file and the HDU."""
        return self._where

    def value(self, keyword: str) -> object:
        """What astropy makes of the keyword's value; None where it is missing or malformed."""
        try:
            with foreign_errors(self._where), quiet():
                found: object = self.header.get(keyword)
        except CorruptImage:
            return None
        return found

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.header

    def integer(self, keyword: str, default: int | None = None) -> int:
        """An integer.

        Raises:
            CorruptImage: if it is missing and has no default, or is no integer of sensible size.
        """
        if default is not None and keyword not in self:
            return default
        value = self.value(keyword)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MAX_INTEGER:
            raise CorruptImage(f"{self._where}: {keyword} is {value!r:.60}, not an integer; the header is damaged")
        return value

    def number(self, keyword: str, default: float) -> float:
        """A real number.

        Raises:
            CorruptImage: if it is no finite number.
        """
        if keyword not in self:
            return default
        value = self.value(keyword)
        if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > MAX_REAL:
            raise CorruptImage(f"{self._where}: {keyword} is {value!r:.60}, not a number; the header is damaged")
        return float(value)

    def text(self, keyword: str, default: str = "") -> str:
        """A text without blanks around it; the default where it is missing or no text."""
        value = self.value(keyword)
        return value.strip() if isinstance(value, str) else default

    def flag(self, keyword: str) -> bool:
        """Whether a logical keyword is there and true."""
        return self.value(keyword) is True


MAX_REAL = math.sqrt(1.7e308)
"""Scales and offsets beyond it would leave double precision."""
