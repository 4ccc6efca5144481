"""TIFFs far larger than what is stored of them: directories written by hand, and holes for pixels."""

import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ziggurat.storage.protocol import SourceVersion
from ziggurat.storage.ranges import ByteRange

SHORT, LONG, LONG8 = 3, 4, 16
TYPES = {2: "S1", SHORT: "u2", LONG: "u4", LONG8: "u8"}

type Entries = Mapping[int, tuple[int, Sequence[int] | np.ndarray | bytes]]


class SparseSource:
    """A ``ByteSource`` of which only some pieces are not zero.

    Args:
        size: bytes in all.
        pieces: what lies at which offset.
    """

    url = "memory:sparse.btf"

    def __init__(self, size: int, pieces: Mapping[int, bytes]) -> None:
        self.size = size
        self.version = SourceVersion(size, "sparse")
        self.pieces = dict(pieces)

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        return [self._read(item) for item in ranges]

    def _read(self, item: ByteRange) -> bytes:
        assert item.end <= self.size
        data = bytearray(item.length)
        for at, piece in self.pieces.items():
            start, end = max(at, item.start), min(at + len(piece), item.end)
            if start < end:
                data[start - item.start : end - item.start] = piece[start - at : end - at]
        return bytes(data)

    def close(self) -> None:
        pass

    def write(self, path: Path) -> Path:
        """The same as a file with holes."""
        with path.open("wb") as file:
            for at, piece in self.pieces.items():
                file.seek(at)
                file.write(piece)
            os.truncate(path, self.size)
        return path


def header(first: int, *, order: str = "<") -> bytes:
    """The header of a BigTIFF."""
    return {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HHHQ", 43, 8, 0, first)


def directory(
    entries: Entries, at: int, *, following: int = 0, order: str = "<", values_at: int | None = None
) -> dict[int, bytes]:
    """A BigTIFF directory at an offset and its values, behind it or elsewhere, as pieces by offset."""
    length = 8 + 20 * len(entries) + 8
    ifd = struct.pack(order + "Q", len(entries))
    values, place = b"", at + length if values_at is None else values_at
    for code, (kind, numbers) in sorted(entries.items()):
        data = numbers if isinstance(numbers, bytes) else np.asarray(numbers, order + TYPES[kind]).tobytes()
        count = len(data) // np.dtype(TYPES[kind]).itemsize
        inline = data.ljust(8, b"\0") if len(data) <= 8 else struct.pack(order + "Q", place + len(values))
        ifd += struct.pack(order + "HHQ8s", code, kind, count, inline)
        if len(data) > 8:
            values += data
    ifd += struct.pack(order + "Q", following)
    return {at: ifd, place: values} if values else {at: ifd}


def rgb(height: int, width: int, **tags: tuple[int, Sequence[int] | np.ndarray | bytes]) -> Entries:
    """Tags of an uncompressed 8-bit RGB picture without its places; more tags by "t" and their number."""
    return {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [8, 8, 8]),
        259: (SHORT, [1]),
        262: (SHORT, [2]),
        277: (SHORT, [3]),
    } | {int(name[1:]): tag for name, tag in tags.items()}


def strips(height: int, width: int, rows: int, start: int) -> Entries:
    """Tags of an uncompressed RGB picture in strips, one behind the other."""
    number = -(-height // rows)
    offsets = start + np.arange(number, dtype=np.uint64) * np.uint64(rows * width * 3)
    counts = np.full(number, rows * width * 3, np.uint64)
    counts[-1] = (height - (number - 1) * rows) * width * 3
    return rgb(height, width, t273=(LONG8, offsets), t278=(LONG, [rows]), t279=(LONG8, counts))


def tiles(height: int, width: int, tile: int, start: int, *, shared: bool) -> Entries:
    """Tags of an uncompressed RGB picture in square tiles: all the same one, or none stored."""
    number = -(-height // tile) * -(-width // tile)
    offsets = np.full(number, start if shared else 0, np.uint64)
    counts = np.full(number, tile * tile * 3 if shared else 0, np.uint32)
    return rgb(height, width, t322=(SHORT, [tile]), t323=(SHORT, [tile]), t324=(LONG8, offsets), t325=(LONG, counts))


def scanner_file(height: int = 40_000, width: int = 42_000, rows: int = 64) -> SparseSource:
    """What a slide scanner writes: strips of one 5 GB picture, its directory behind them, then a thumbnail's."""
    start, pixels = 4096, height * width * 3
    at = start + pixels
    large = strips(height, width, rows, start) | {270: (2, b"Olympus slide\0"), 254: (LONG, [0])}
    thumbnail_at = at + 1_000_000
    pieces = {0: header(at)} | directory(large, at, following=thumbnail_at)
    thumbnail = strips(400, 420, 400, thumbnail_at + 4096) | {254: (LONG, [0]), 270: (2, b"Thumbnail image\0")}
    pieces |= directory(thumbnail, thumbnail_at)
    return SparseSource(thumbnail_at + 4096 + 400 * 420 * 3, pieces)
