"""What a pack notes of an image: its form by its header, its digest, and where the bytes begin that are its own."""

import hashlib
from dataclasses import dataclass
from typing import Final

from ziggurat.errors import ZigguratError
from ziggurat.format.whole import read_all
from ziggurat.image import open_image
from ziggurat.pack.coarse import WAVELET, coarse_spans
from ziggurat.pack.entry import Kind
from ziggurat.pack.packed import Spans
from ziggurat.storage.memory import MemorySource
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.stored import source_digest

LONGEST_HEAD: Final = 1 << 12
"""Bytes that images may have in common at their beginning: a JPEG's tables take 600."""

LARGE: Final = 1 << 26
"""Bytes from which on an image is not taken into memory."""

KNOWN: Final = 1 << 12
"""Heads whose forms are remembered."""

_JPEG = b"\xff\xd8\xff"
_SCAN = 0xDA
_BARE = frozenset({0x01, *range(0xD0, 0xDA)})
"""Markers without a length behind them (ITU-T T.81, table B.1)."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was found out about an image.

    Attributes:
        kind: its form, without a head.
        head: how many bytes it begins with that images of the same settings share.
        length: bytes.
        sha256: of them.
        data: the bytes; None of a large one.
        problem: why its header cannot be read.
        spans: its coarse bytes.
    """

    kind: Kind
    head: int
    length: int
    sha256: bytes
    data: bytes | None
    problem: str | None = None
    spans: Spans = ()


def scan_start(data: bytes) -> int:
    """Where the first scan's data begins in a JPEG, behind all tables; 0 if it is none, or its header is long."""
    if not data.startswith(_JPEG):
        return 0
    at = 2
    while at + 4 <= len(data) and at < LONGEST_HEAD and data[at] == 0xFF:  # noqa: PLR2004 - begins a marker
        marker = data[at + 1]
        if marker in _BARE:
            at += 2
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _SCAN:
            return at if at <= min(LONGEST_HEAD, len(data)) else 0
    return 0


class Preparer:
    """Finds out about images, one after another; what it learned of a JPEG's tables holds for all with the same.

    Args:
        by_resolution: find out, too, which bytes of a JPEG 2000 image a small picture of it needs.
    """

    def __init__(self, *, by_resolution: bool = False) -> None:
        self._by_resolution = by_resolution
        self._forms: dict[bytes, Kind] = {}

    def prepare(self, source: ByteSource) -> Prepared:
        """Finds out about one.

        Raises:
            SourceError: if its bytes cannot be had.
        """
        if source.size > LARGE:
            digest, length = source_digest(source)
            kind, problem = form_of(source)
            return Prepared(kind, 0, length, bytes.fromhex(digest), None, problem)
        return self.of_bytes(read_all(source), source.url)

    def of_bytes(self, data: bytes, name: str) -> Prepared:
        """Finds out about one that is in memory.

        Args:
            data: the file.
            name: what it is called, for messages.
        """
        head = scan_start(data)
        kind = self._forms.get(data[:head]) if head else None
        problem = None
        if kind is None:
            kind, problem = form_of(MemorySource(name, data))
            if head and problem is None and len(self._forms) < KNOWN:
                self._forms[data[:head]] = kind
        spans = coarse_spans(data) if self._by_resolution and kind.format in WAVELET else ()
        return Prepared(kind, head, len(data), hashlib.sha256(data).digest(), data, problem, spans)


def form_of(source: ByteSource) -> tuple[Kind, str | None]:
    """The form of an image by its header, or why it cannot be read."""
    try:
        with open_image(source) as image:
            info = image.info
            return Kind(info.format, info.size.height, info.size.width, info.bands, info.dtype), None
    except ZigguratError as error:
        return Kind(), f"{type(error).__name__}: {error}"
