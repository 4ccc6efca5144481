"""What a pack notes of an image: its form by its header, its digest, and where the bytes begin that are its own."""

import hashlib
from typing import Final, NamedTuple

from ziggurat.errors import ZigguratError
from ziggurat.format.whole import read_all
from ziggurat.image import open_image
from ziggurat.pack.coarse import WAVELET, coarse_spans
from ziggurat.pack.entry import Kind
from ziggurat.pack.packed import Spans
from ziggurat.pack.schema import LONGEST_HEAD
from ziggurat.storage.memory import MemorySource
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.stored import source_digest

LARGE: Final = 1 << 26
"""Bytes from which on an image is not taken into memory."""

KNOWN: Final = 1 << 12
"""Heads whose forms are remembered."""

_JPEG = b"\xff\xd8\xff"
_SCAN = 0xDA
_BARE = frozenset({0x01, *range(0xD0, 0xDA)})
"""Markers without a length behind them (ITU-T T.81, table B.1)."""


class Prepared(NamedTuple):
    """What was found out about an image.

    Attributes:
        kind: its form, and the bytes that it shares with others.
        length: bytes.
        sha256: of all of them.
        rest: its bytes behind those that it shares; None of a large one.
        problem: why its header cannot be read.
        spans: its coarse bytes.
    """

    kind: Kind
    length: int
    sha256: bytes
    rest: bytes | None
    problem: str | None = None
    spans: Spans = ()


def scan_start(data: bytes) -> int:
    """Where the first scan's data begins in a JPEG, behind all tables; 0 if it is none, or its header is long."""
    at, end = 2, min(LONGEST_HEAD, len(data) - 4)
    if data[:3] != _JPEG:
        return 0
    while at <= end and data[at] == 0xFF:  # noqa: PLR2004 - begins a marker
        marker = data[at + 1]
        at += 2 if marker in _BARE else 2 + (data[at + 2] << 8) + data[at + 3]
        if marker == _SCAN:
            return at if at <= end else 0
    return 0


class Preparer:
    """Finds out about images, one after another.

    What it learned of one JPEG's tables holds for all with the same ones, which share them from the second on.

    Args:
        by_resolution: find out, too, which bytes of a JPEG 2000 image a small picture of it needs.
    """

    def __init__(self, *, by_resolution: bool = False) -> None:
        self._by_resolution = by_resolution
        self._kinds: dict[bytes, Kind] = {}
        self._last = 0

    def prepare(self, source: ByteSource) -> Prepared:
        """Finds out about one.

        Raises:
            SourceError: if its bytes cannot be had.
        """
        if source.size > LARGE:
            digest, length = source_digest(source)
            kind, problem = form_of(source)
            return Prepared(kind, length, bytes.fromhex(digest), None, problem)
        return self.of_bytes(read_all(source), source.url)

    def of_bytes(self, data: bytes, name: str) -> Prepared:
        """Finds out about one that is in memory.

        Args:
            data: the file.
            name: what it is called, for messages.
        """
        sha256 = hashlib.sha256(data).digest()
        # Most often it begins as the one before it did.
        kind = self._kinds.get(data[: self._last])
        if kind is not None:
            return Prepared(kind, len(data), sha256, data[self._last :])
        start = scan_start(data)
        if start:
            kind = self._kinds.get(data[:start])
            if kind is not None:
                self._last = start
                return Prepared(kind, len(data), sha256, data[start:])
        kind, problem = form_of(MemorySource(name, data))
        if start and problem is None and len(self._kinds) < KNOWN:
            self._kinds[data[:start]] = kind._replace(head=data[:start])
        spans = coarse_spans(data) if self._by_resolution and kind.format in WAVELET else ()
        return Prepared(kind, len(data), sha256, data, problem, spans)


def form_of(source: ByteSource) -> tuple[Kind, str | None]:
    """The form of an image by its header, or why it cannot be read."""
    try:
        with open_image(source) as image:
            info = image.info
            return Kind(info.format, info.size.height, info.size.width, info.bands, info.dtype), None
    except ZigguratError as error:
        return Kind(), f"{type(error).__name__}: {error}"
