"""Chunks into shards: files of some chunks each, whose places stand in an index at the end.

Sharding-indexed codec 1.0 of the Zarr v3 core specification.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import imagecodecs
import numpy as np

from ziggurat.geometry import Size
from ziggurat.interop.multiscale import Grid
from ziggurat.model import JSON

A_SIDE: Final = 8
"""Chunks a side of a shard: tens of megabytes, a good size for a file or an object."""

_ABSENT: Final = (1 << 64) - 1
"""Place and length of a chunk that is not there."""

_ALL: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Sharding:
    """One level as an array of shards.

    Attributes:
        size: of the level.
        bands: of the image, all of them in every chunk.
        chunk: height and width of a chunk.
        across: chunks of a shard in x.
        down: chunks of a shard in y.
    """

    size: Size
    bands: int
    chunk: Size
    across: int
    down: int

    @classmethod
    def of(cls, size: Size, bands: int, chunk: Size) -> "Sharding":
        """The usual number of chunks in a shard, or as many as there are."""
        counts = Size(-(-size.height // chunk.height), -(-size.width // chunk.width))
        return cls(size, bands, chunk, min(A_SIDE, counts.width), min(A_SIDE, counts.height))

    @property
    def chunks_across(self) -> int:
        """Chunks in a row of the level."""
        return -(-self.size.width // self.chunk.width)

    @property
    def grid(self) -> Grid:
        """The array, whose chunks are the shards."""
        shard = Size(self.chunk.height * self.down, self.chunk.width * self.across)
        return Grid(self.size, self.bands, shard, self.bands)

    def key(self, row: int, column: int) -> str:
        """Of a shard, below its array."""
        return "/".join(("c", *(["0"] if self.bands > 1 else []), str(row), str(column)))

    def codec(self, codecs: Sequence[JSON]) -> JSON:
        """The array's codec, the chunks' own ones in it."""
        inner = Grid(self.size, self.bands, self.chunk, self.bands)
        return {
            "name": "sharding_indexed",
            "configuration": {
                "chunk_shape": list(inner.chunk_shape),
                "codecs": list(codecs),
                "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
                "index_location": "end",
            },
        }


class _Shard:
    """A file to which chunks are added."""

    def __init__(self, file: BinaryIO, chunks: int) -> None:
        self._file = file
        self._index = np.full((chunks, 2), _ABSENT, "<u8")
        self._end = 0

    def add(self, place: int, data: bytes) -> int:
        start = self._end
        self._file.write(data)
        self._index[place] = start, len(data)
        self._end += len(data)
        return start

    def finish(self) -> None:
        index = self._index.tobytes()
        self._file.write(index + (imagecodecs.isal_crc32c(index, _ALL) ^ _ALL).to_bytes(4, "little"))


def write_shards(chunks: Iterable[bytes], sharding: Sharding, folder: Path) -> list[int]:
    """Writes the shards of a level as its chunks come, one row of shards open at a time.

    Args:
        chunks: of the level, row after row.
        sharding: of the level.
        folder: of the array.

    Returns:
        Where each chunk begins in its shard, in the order of the chunks.

    Raises:
        OSError: if a file cannot be written.
    """
    starts: list[int] = []
    across = sharding.chunks_across
    supply = iter(chunks)
    shard_rows, shard_columns = sharding.grid.counts[-2:]
    rows = -(-sharding.size.height // sharding.chunk.height)
    for shard_row in range(shard_rows):
        with ExitStack() as files:
            shards = []
            for column in range(shard_columns):
                path = folder / sharding.key(shard_row, column)
                path.parent.mkdir(parents=True, exist_ok=True)
                shards.append(_Shard(files.enter_context(path.open("wb")), sharding.across * sharding.down))
            first = shard_row * sharding.down
            for row in range(min(sharding.down, rows - first)):
                for at in range(across):
                    column, inside = divmod(at, sharding.across)
                    starts.append(shards[column].add(row * sharding.across + inside, next(supply)))
            for shard in shards:
                shard.finish()
    return starts
