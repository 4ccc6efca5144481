"""The header of a TIFF, and the widths of the fields of its directories: classic, BigTIFF or NDPI.

TIFF 6.0 section 2; BigTIFF as libtiff defines it; NDPI's 64-bit offsets as in the NDPI notes of tifffile.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ziggurat.errors import CorruptImage

SIZES: Mapping[int, int] = MappingProxyType(
    {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
)
"""Bytes of one value, by field type."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Widths of the fields of a directory, as codes of ``struct``.

    Attributes:
        order: "<" or ">".
        count: of the number of entries.
        entry: of an entry: tag, field type, number of values, values or their place.
        pointer: of the place of the next directory.
        inline: bytes of values that an entry itself holds.
        big: whether the file is a BigTIFF.
    """

    order: str
    count: str
    entry: str
    pointer: str
    inline: int
    big: bool

    @property
    def ndpi(self) -> bool:
        """Whether 64-bit places are patched into a classic TIFF, as Hamamatsu's scanners do."""
        return self.pointer == "Q" and not self.big

    def size(self, code: str) -> int:
        """Bytes of a field."""
        return struct.calcsize(self.order + code)

    def number(self, code: str, data: bytes | bytearray) -> int:
        """A field's value."""
        value: int = struct.unpack(self.order + code, data)[0]
        return value

    def place(self, inline: bytes) -> int:
        """Where an entry's values lie that it does not hold itself."""
        return self.number("Q" if self.big else "I", inline)


def parse_header(head: bytes, url: str, *, ndpi: bool) -> tuple[Layout, int]:
    """The layout of a file, and where its first directory lies.

    Args:
        head: its first 16 bytes, or all of them.
        url: for messages.
        ndpi: whether the file's name ends in .ndpi.

    Raises:
        CorruptImage: if it is no TIFF, or its header is damaged.
    """
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:  # noqa: PLR2004 - the classic header's length
        raise CorruptImage(f"{url}: {head[:8].hex(' ')} is no TIFF header")
    version = struct.unpack_from(order + "H", head, 2)[0]
    if version == 43:  # noqa: PLR2004 - BigTIFF's version
        if len(head) < 16 or struct.unpack_from(order + "HH", head, 4) != (8, 0):  # noqa: PLR2004 - as above
            raise CorruptImage(f"{url}: the BigTIFF header {head.hex(' ')} is damaged")
        return Layout(order, "Q", "HHQ8s", "Q", 8, big=True), struct.unpack_from(order + "Q", head, 8)[0]
    if version != 42:  # noqa: PLR2004 - TIFF's version
        raise CorruptImage(f"{url}: TIFF version {version} is neither 42 nor 43")
    if ndpi and order == "<" and len(head) >= 12:  # noqa: PLR2004 - a 64-bit offset ends there
        return Layout(order, "H", "HHI4s", "Q", 4, big=False), struct.unpack_from("<Q", head, 4)[0]
    return Layout(order, "H", "HHI4s", "I", 4, big=False), struct.unpack_from(order + "I", head, 4)[0]
