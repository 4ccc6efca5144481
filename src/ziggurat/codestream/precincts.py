"""Finding out what the packets of some precincts hold, with as few and as short reads as can be."""

from collections.abc import Mapping, Sequence

from ziggurat.codestream.gather import Held
from ziggurat.codestream.reads import Reads, Span, joined_spans
from ziggurat.codestream.select import Selection
from ziggurat.codestream.tile_index import Parsed, TileIndex, parse_precinct, try_precinct, walk_to, walked_precinct
from ziggurat.errors import CorruptImage

_SMALL = 1 << 20
"""Bytes of a precinct's packets that are read whole, without asking first how much of them is needed: a store sends
them in the time of a round trip or two."""

_MOST = 0.5
"""Part of a precinct's code-blocks from which on its packets are read whole."""

_HEADER_BYTES = 7
"""Bytes of a packet's header that a code-block takes, first guess: real ones take two to six."""

_KEPT = 1 << 20
"""Code-blocks of precincts parsed one by one that are kept with a tile's index."""


def read_precincts(tile: TileIndex, selected: Sequence[Selection], held: Held) -> Reads[Mapping[int, Parsed]]:
    """What the packets of the selected precincts hold.

    Where PLT said where they lie they are read one by one, all of them at once; else all packet headers up to the last
    of them have to be walked.

    Args:
        tile: index of the tile.
        selected: precincts, with the code-blocks that are needed.
        held: gets what is read of the packets' bodies on the way.

    Raises:
        CorruptImage: if a packet contradicts itself or lies outside of the file.
    """
    precincts = [precinct for item in selected for precinct in item.precincts]
    if not tile.listed:
        places = [place for precinct in precincts for place in tile.places(precinct)]
        if places:
            yield from walk_to(tile, max(places) + 1)
        return {precinct: walked_precinct(tile, precinct) for precinct in precincts}
    found = {precinct: tile.parsed[precinct] for precinct in precincts if precinct in tile.parsed}
    open_: dict[int, list[int]] = {}
    for item in selected:
        for precinct in item.precincts:
            if precinct not in found:
                open_[precinct] = _first_reads(tile, item, precinct)
    while open_:
        yield from _read(tile, open_, held)
        for precinct, lengths in list(open_.items()):
            parsed = _try(tile, precinct, lengths, held)
            if parsed is not None:
                found[precinct] = parsed
                del open_[precinct]
    _keep(tile, found)
    return found


def _first_reads(tile: TileIndex, item: Selection, precinct: int) -> list[int]:
    """Bytes to read first of each of a precinct's packets: all, or what its header probably takes."""
    packets = tile.columns.packets
    lengths = [packets.length[place] for place in tile.places(precinct)]
    tables = tile.partition.tables
    first, last = int(tables.band_first[precinct]), int(tables.band_first[precinct + 1])
    blocks = int(tables.block_first[last] - tables.block_first[first])
    row, column = divmod(precinct - item.resolution.first, item.resolution.wide)
    needed = 0
    for part in item.bands:
        common = part.band.blocks(column, row).intersect(part.blocks)
        needed += 0 if common.empty else (common.x1 - common.x0) * (common.y1 - common.y0)
    if sum(lengths) <= _SMALL or needed >= _MOST * blocks:
        return lengths
    return [min(length, 64 + _HEADER_BYTES * blocks) for length in lengths]


def _read(tile: TileIndex, open_: Mapping[int, Sequence[int]], held: Held) -> Reads[None]:
    offsets = tile.columns.packets.offset
    spans = [
        Span(offsets[place], offsets[place] + length)
        for precinct, lengths in open_.items()
        for place, length in zip(tile.places(precinct), lengths, strict=True)
    ]
    missing = sorted({span for span in spans if held.find(*span) is None})
    for span in missing:
        if span.end > tile.size:
            raise CorruptImage(
                f"a packet lies at bytes {span.start} to {span.end}, the file ends at {tile.size}: it is truncated"
            )
    joined = joined_spans(missing, gap=0)
    if joined:
        for span, data in zip(joined, (yield joined), strict=True):
            held.add(span.start, data)


def _try(tile: TileIndex, precinct: int, lengths: list[int], held: Held) -> Parsed | None:
    """Parses a precinct; where a packet's header was not there whole, more of it is asked for."""
    packets = tile.columns.packets
    places = tile.places(precinct)
    data = [
        bytes(held.find(packets.offset[place], packets.offset[place] + length) or b"")
        for place, length in zip(places, lengths, strict=True)
    ]
    if all(length == packets.length[place] for place, length in zip(places, lengths, strict=True)):
        return parse_precinct(tile, precinct, data)
    parsed = try_precinct(tile, precinct, data)
    if isinstance(parsed, Parsed):
        return parsed
    lengths[parsed] = min(2 * lengths[parsed], packets.length[places[parsed]])
    return None


def _keep(tile: TileIndex, found: Mapping[int, Parsed]) -> None:
    """Keeps what was parsed, as long as it is not too much."""
    kept = sum(len(item.planes) for item in tile.parsed.values())
    for precinct, parsed in found.items():
        if precinct not in tile.parsed:
            kept += len(parsed.planes)
            if kept > _KEPT:
                return
            tile.parsed[precinct] = parsed
