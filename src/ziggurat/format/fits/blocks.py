"""Headers out of a source, in few and small reads. FITS Standard 4.0 section 3: blocks of 2880 bytes."""

import numpy as np

from ziggurat.errors import CorruptImage
from ziggurat.format.fits.cards import Cards
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

BLOCK = 2880
"""Bytes of a block; headers and data units begin on multiples of it."""

CARD = 80
"""Bytes of a card."""

CHUNK = 1 << 16
"""Bytes fetched at a time: as many as an object store's first answer brings, so that those cost no second one."""

MAX_HEADER = 4 << 20
"""Bytes of one header: 52,000 cards, a hundred times what long histories of processing take."""

_END = np.frombuffer(b"END     ", np.uint8)


class Headers:
    """Reads headers at given places and keeps the bytes fetched last.

    Args:
        source: the file.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._start = 0
        self._held = b""

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._source.size

    @property
    def url(self) -> str:
        """Where the file lies."""
        return self._source.url

    def held(self, start: int) -> bool:
        """Whether the header at ``start`` is complete in the bytes at hand, so that it costs no request."""
        return start >= self._start and _end_of(self._held[start - self._start :]) is not None

    def is_extension(self, start: int) -> bool:
        """Whether an extension begins there (section 3.4.1), not padding or special records."""
        return start + BLOCK <= self.size and self._bytes(start, CARD).startswith(b"XTENSION")

    def read(self, start: int, where: str) -> tuple[Cards, int]:
        """The header at ``start``, and where its data begin.

        Raises:
            CorruptImage: if it has no END card before the file or the patience ends.
        """
        kept = self._held[start - self._start :] if start >= self._start else b""
        end = _end_of(kept)
        if end is not None:
            return Cards(kept[:end], where), start + end
        length = CHUNK
        while True:
            length = min(length, MAX_HEADER, self.size - start)
            data = self._bytes(start, length)
            end = _end_of(data)
            if end is not None:
                return Cards(data[:end], where), start + end
            if length == self.size - start:
                raise CorruptImage(f"{where}: the header at byte {start} has no END; the file is truncated or damaged")
            if length == MAX_HEADER:
                raise CorruptImage(f"{where}: the header at byte {start} has no END within {MAX_HEADER >> 20} MiB")
            length *= 4

    def _bytes(self, start: int, length: int) -> bytes:
        """Bytes that lie inside the file; fetches a chunk at least."""
        if not self._start <= start <= start + length <= self._start + len(self._held):
            end = min(self.size, start + max(length, CHUNK))
            self._held = self._source.read_ranges([ByteRange(start, end)])[0]
            self._start = start
        return self._held[start - self._start : start - self._start + length]


def _end_of(data: bytes) -> int | None:
    """Where the block of the first END card ends, or None where there is no such card (section 4.4.1)."""
    cards = np.frombuffer(data, np.uint8, len(data) // CARD * CARD).reshape(-1, CARD)
    found = np.flatnonzero((cards[:, : _END.size] == _END).all(axis=1))
    return padded((int(found[0]) + 1) * CARD) if found.size else None


def padded(length: int) -> int:
    """The length in whole blocks."""
    return -(-length // BLOCK) * BLOCK
