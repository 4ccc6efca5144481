"""Coarser levels as the first bytes of the chunks of the finest one."""

from collections.abc import Sequence

import numpy as np

from ziggurat.codestream.chunk import TRAILER
from ziggurat.model import JSON, Samples
from ziggurat.pyramid.cascade import Encode
from ziggurat.write.omezarr.resolutions import opened
from ziggurat.write.omezarr.shards import Sharding


class Prefixes:
    """Encodes chunks that can be cut, and remembers where.

    Args:
        encode: a tile → a codestream, the coarsest resolutions first.
    """

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._ends: list[list[int]] = []

    def encode(self, tile: Samples) -> bytes:
        """A tile (y, x, band) as a codestream whose length is left open."""
        data, ends = opened(self._encode(tile))
        self._ends.append(ends)
        return data

    def references(self, finest: Sharding, starts: Sequence[int], levels: int) -> dict[str, JSON]:
        """What a document of references says of chunks, by key: the shards of level 0 as they are, and prefixes.

        URLs are relative to the group.

        Args:
            finest: of level 0.
            starts: where its chunks begin in their shards, row after row.
            levels: with level 0.
        """
        rows, columns = finest.grid.counts[-2:]
        shards = [f"0/{finest.key(row, column)}" for row in range(rows) for column in range(columns)]
        found: dict[str, JSON] = {shard: [shard] for shard in shards}
        ends = np.array(self._ends, np.int64) + TRAILER
        for level in range(1, levels):
            for number, start in enumerate(starts):
                row, column = divmod(number, finest.chunks_across)
                shard = f"0/{finest.key(row // finest.down, column // finest.across)}"
                # A level of the pyramid has all the chunks of the finest one, and these have no shards.
                found[f"{level}/{finest.key(row, column)}"] = [shard, start, int(ends[number, level])]
        return found
