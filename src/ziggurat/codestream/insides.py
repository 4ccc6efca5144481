"""What the packets of some precincts say: from the walk over all packet headers, or parsed by themselves."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.gather import Held
from ziggurat.codestream.packet_parser import PacketParser
from ziggurat.codestream.packets import Insides, Packets, column, room, zeros
from ziggurat.codestream.tile_index import TileIndex, check_blocks, layout

_FEW = 64
"""Records for which there is room at first, where several packets may have some of the same code-block."""


def places_of(tile: TileIndex, precincts: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of the packets of precincts in the codestream, precinct after precinct, layer after layer.

    Returns:
        The places, without packets that are not in the codestream; and the first one of each precinct, with one more
        number at the end.
    """
    found = tile.place.reshape(-1, tile.coding.layers)[np.asarray(precincts, np.int64)]
    there = found >= 0
    first = np.zeros(len(found) + 1, np.int64)
    np.cumsum(there.sum(axis=1), out=first[1:])
    return found[there].astype(np.int64), first


def walked(tile: TileIndex, precincts: Sequence[int]) -> Insides:
    """What the packets of some precincts say, from the headers that the walk has read; nothing is copied."""
    columns = tile.columns
    packets = columns.packets
    tables = tile.shape.tables
    places, first = places_of(tile, precincts)
    record = np.asarray(packets.record)
    return Insides(
        block_first=column(tables.block_first[tables.band_first[np.asarray(precincts, np.int64)]], "i8"),
        packet_first=column(first, "i8"),
        body=column(np.asarray(packets.offset)[places] + np.asarray(packets.header)[places], "i8"),
        record_first=column(record[places], "i8"),
        record_last=column(record[places + 1], "i8"),
        rows=columns.rows or room(0),
        # A tile whose packets no progression change mentions is not walked.
        planes=columns.planes if len(columns.planes) else zeros(int(tables.block_first[-1]), "u1"),
    )


def parse(
    tile: TileIndex,
    precincts: Sequence[int],
    packets_of: tuple[NDArray[np.int64], NDArray[np.int64]],
    have: NDArray[np.int64],
    held: Held,
) -> Insides | int:
    """Parses the packets of some precincts, of which PLT said where they lie.

    Args:
        tile: index of the tile.
        precincts: their numbers.
        packets_of: places of their packets, as ``places_of`` has them.
        have: bytes of each that have been read.
        held: these bytes.

    Returns:
        What they say; or which of the packets needs more bytes.

    Raises:
        CorruptImage: if a header contradicts itself or the packet's known length.
    """
    check_blocks(tile)
    places, first = packets_of
    source = tile.columns.packets
    offset, length = np.asarray(source.offset)[places], np.asarray(source.length)[places]
    spans = zip(offset.tolist(), (offset + have).tolist(), strict=True)
    data = b"".join(held.find(*span) or b"" for span in spans)
    count = len(places)
    packets = Packets(
        precinct=column(np.repeat(np.arange(len(precincts)), np.diff(first)), "i4"),
        layer=column(np.asarray(source.layer)[places], "i4"),
        offset=zeros(count, "i8"),
        header=zeros(count, "u4"),
        length=zeros(count, "i8"),
        record=zeros(count + 1, "i8"),
    )
    laid = layout(tile.coding, tile.shape.tables, int(length.sum()), precincts)
    planes = zeros(laid.blocks, "u1")
    parser = PacketParser(laid, packets, planes, room(max(_FEW, laid.blocks)))
    where = np.cumsum(have) - have
    short = parser.run_each(data, *(column(values, "i8") for values in (where, have, offset, length)))
    if short >= 0:
        return short
    record = np.asarray(packets.record)
    blocks = np.append(np.asarray(laid.block_first), laid.blocks)
    return Insides(
        block_first=column(blocks[np.asarray(laid.band_first)[:-1]], "i8"),
        packet_first=column(first, "i8"),
        body=column(np.asarray(packets.offset) + np.asarray(packets.header), "i8"),
        record_first=column(record[:-1], "i8"),
        record_last=column(record[1:], "i8"),
        rows=parser.rows,
        planes=planes,
    )
