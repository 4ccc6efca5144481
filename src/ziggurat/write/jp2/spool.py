"""One codestream out of those of its tiles (ISO/IEC 15444-1 Annex A): tile-parts kept aside, then put in order.

A tile whose size is a power of two, at least 2^levels, divides into the same precincts and code-blocks at every
multiple of its size as at the origin: its packets are the same bytes wherever it lies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import BinaryIO

from ziggurat.codestream.markers import Marker
from ziggurat.codestream.transcode import tlm_segments
from ziggurat.errors import UnsupportedFeature
from ziggurat.geometry import Size

_GEOMETRY = slice(8, 40)
"""Xsiz to YTOsiz in a main header (A.5.1): SOC, the marker, Lsiz and Rsiz come before."""

_TILE = slice(4, 6)
"""Isot in a tile-part (A.4.2)."""

_COPIED = 1 << 22
"""Bytes copied at once."""


@dataclass(frozen=True, slots=True, order=True)
class _Part:
    """A tile-part that is kept: sorted, parts lie in the order of the file."""

    stage: int
    tile: int
    number: int
    offset: int
    length: int


class Spool:
    """Takes the tiles of a picture in any order, from any thread.

    Args:
        file: where tile-parts are kept; empty, and closed by the caller.
        size: of the picture.
        tile: height and width of a tile.
        coarse_first: whether the first tile-parts of all tiles come before the second ones.
        tlm: whether the main header lists the tile-parts.
    """

    def __init__(self, file: BinaryIO, size: Size, tile: int, *, coarse_first: bool, tlm: bool) -> None:
        self._file = file
        self._geometry = (size.width, size.height, 0, 0, tile, tile, 0, 0)
        self._coarse_first = coarse_first
        self._tlm = tlm
        self._lock = Lock()
        self._head: bytes | None = None
        self._parts: list[_Part] = []
        self._end = 0

    def add(self, tile: int, head: bytes, parts: Sequence[bytes]) -> None:
        """Keeps a tile.

        Args:
            tile: its number.
            head: its main header, whatever geometry it has.
            parts: its tile-parts, whatever tile they say.

        Raises:
            UnsupportedFeature: if the encoder has coded this tile otherwise than those before.
        """
        with self._lock:
            usual = _without_geometry(head)
            if self._head is None:
                self._head = head
            elif _without_geometry(self._head) != usual:
                raise UnsupportedFeature(
                    f"the encoder codes tile {tile} otherwise than the first one, which cannot be said in one header"
                )
            for number, part in enumerate(parts):
                stage = number if self._coarse_first else 0
                self._parts.append(_Part(stage, tile, number, self._end, len(part)))
                self._file.write(part[: _TILE.start])
                self._file.write(tile.to_bytes(2))
                self._file.write(memoryview(part)[_TILE.stop :])
                self._end += len(part)

    @property
    def length(self) -> int:
        """Bytes of the codestream of all that was added."""
        return len(self._main_header()) + self._end + 2

    def write(self, out: BinaryIO) -> None:
        """Writes the codestream."""
        out.write(self._main_header())
        for part in sorted(self._parts):
            self._file.seek(part.offset)
            left = part.length
            while left:
                left -= out.write(self._file.read(min(left, _COPIED)))
        out.write(Marker.EOC.to_bytes(2))

    def _main_header(self) -> bytes:
        head = self._head or b""
        geometry = b"".join(number.to_bytes(4) for number in self._geometry)
        listed = tlm_segments((part.tile, part.length) for part in sorted(self._parts)) if self._tlm else b""
        return head[: _GEOMETRY.start] + geometry + head[_GEOMETRY.stop :] + listed


def _without_geometry(head: bytes) -> bytes:
    return head[: _GEOMETRY.start] + head[_GEOMETRY.stop :]
