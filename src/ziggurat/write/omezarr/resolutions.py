"""Encoded chunks of which every coarser level is a prefix: see ``ziggurat.codestream.chunk``."""

import numpy as np

from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.reads import Span
from ziggurat.codestream.tile_index import walk_to
from ziggurat.errors import WriteError
from ziggurat.format.jpeg2000.container import read_container
from ziggurat.format.jpeg2000.windows import drive
from ziggurat.storage.memory import MemorySource

_PSOT = slice(6, 10)
"""Of a tile-part's first segment, SOT (A.4.2)."""


def opened(data: bytes) -> tuple[bytes, list[int]]:
    """Leaves the length of a chunk's only tile-part open, so that it may be cut, and finds where.

    Args:
        data: a codestream of one tile in one tile-part, the coarsest resolutions first.

    Returns:
        The codestream, and by level, finest first, the byte behind its last packet.

    Raises:
        WriteError: if the codestream is not such a one: the encoder is at fault.
    """
    source = MemorySource("a chunk", data)
    container = read_container(source)
    index = CodestreamIndex(container.main, container.head, Span(0, len(data)), len(data))
    tile = drive(index.tile(0), source)
    if index.main.siz.tiles > 1 or len(tile.headers) > 1:
        raise WriteError("a chunk was encoded in several tile-parts, which cannot be cut; try again")
    precincts = tile.order.precinct
    drive(walk_to(tile, len(precincts)), source)
    found = [np.full(resolution.precincts, number) for _, number, resolution in tile.partition.resolutions()]
    resolution = np.concatenate(found)[precincts]
    if (np.diff(resolution) < 0).any():
        raise WriteError("a chunk was encoded with fine resolutions before coarse ones; try again")
    packets = tile.columns.packets
    ends = np.asarray(packets.offset)[: len(precincts)] + np.asarray(packets.length)[: len(precincts)]
    last = np.searchsorted(resolution, np.arange(resolution[-1], -1, -1), "right") - 1
    part = tile.headers[0].part.offset
    cuttable = bytearray(data)
    cuttable[part + _PSOT.start : part + _PSOT.stop] = bytes(4)
    return bytes(cuttable), [int(end) for end in ends[last]]
