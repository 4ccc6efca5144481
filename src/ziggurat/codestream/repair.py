"""Codestreams that say too small a number of tile-parts, set right."""

from collections import Counter
from collections.abc import Sequence

from ziggurat.codestream.markers import TilePart
from ziggurat.errors import CorruptImage

_TNSOT = 11
"""Where the number of tile-parts stands in a SOT segment (A.4.2)."""


def with_true_part_counts(data: bytes, parts: Sequence[TilePart]) -> bytes | None:
    """The codestream with TNsot as it should be, or None where it is right already.

    Some encoders (Adobe's) write the index of the last part as the number of parts. A strict decoder then leaves the
    last part, the finest resolution, out and says nothing.

    Raises:
        CorruptImage: if a tile has fewer parts than it says: they are missing.
    """
    counts = Counter(part.tile for part in parts)
    wrong = [part for part in parts if part.parts not in {0, counts[part.tile]}]
    for part in wrong:
        if part.parts > counts[part.tile]:
            raise CorruptImage(
                f"tile {part.tile} consists of {part.parts} tile-parts, of which {counts[part.tile]} are there"
            )
    if not wrong:
        return None
    repaired = bytearray(data)
    for part in wrong:
        repaired[part.offset + _TNSOT] = min(counts[part.tile], 255)
    return bytes(repaired)
