"""Finding out what the packets of some precincts say, with as few and as short reads as can be."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.gather import Held
from ziggurat.codestream.insides import parse, places_of, walked
from ziggurat.codestream.packets import Insides
from ziggurat.codestream.reads import Reads, joined_spans
from ziggurat.codestream.select import Selection
from ziggurat.codestream.tile_index import TileIndex, walk_to
from ziggurat.errors import CorruptImage

_SMALL = 1 << 20
"""Bytes of a precinct's packets that are read whole, without asking first how much of them is needed: a store sends
them in the time of a round trip or two."""

_MOST = 0.5
"""Part of a precinct's code-blocks from which on its packets are read whole."""

_HEADER_BYTES = 7
"""Bytes of a packet's header that a code-block takes, first guess: real ones take two to six."""

_KEPT = 1 << 20
"""Code-blocks of large precincts that are kept with a tile's index, once parsed."""


@dataclass(frozen=True, slots=True)
class Known:
    """Some precincts of a resolution, and what their packets say."""

    precincts: Sequence[int]
    insides: Insides


@dataclass(slots=True)
class _Open:
    """Some precincts whose packets are to be parsed together.

    Attributes:
        selection: place of their resolution among those selected.
        precincts: their numbers.
        places: of their packets.
        first: the first one of each precinct; one more at the end.
        have: bytes of each that are read, or are to be.
        keep: whether what is parsed is kept: its bytes are not all needed for a window, and a read is saved.
    """

    selection: int
    precincts: Sequence[int]
    places: NDArray[np.int64]
    first: NDArray[np.int64]
    have: NDArray[np.int64]
    keep: bool


def read_precincts(tile: TileIndex, selected: Sequence[Selection], held: Held) -> Reads[list[list[Known]]]:
    """What the packets of the selected precincts say.

    Where PLT said where they lie they are read by themselves, all of them at once; else all packet headers up to the
    last of them have to be walked.

    Args:
        tile: index of the tile.
        selected: precincts, with the code-blocks that are needed.
        held: gets what is read of the packets' bodies on the way.

    Returns:
        For each selection its precincts, each once.

    Raises:
        CorruptImage: if a packet contradicts itself or lies outside of the file.
    """
    if not tile.listed:
        last = max((int(places_of(tile, item.precincts)[0].max(initial=-1)) for item in selected), default=-1)
        yield from walk_to(tile, last + 1)
        return [[Known(item.precincts, walked(tile, item.precincts))] for item in selected]
    found: list[list[Known]] = [[] for _ in selected]
    open_: list[_Open] = []
    for number, item in enumerate(selected):
        for precinct in item.precincts:
            if precinct in tile.parsed:
                found[number].append(Known([precinct], tile.parsed[precinct]))
        rest = [precinct for precinct in item.precincts if precinct not in tile.parsed] if found[number] else None
        open_ += _first_reads(tile, number, item, item.precincts if rest is None else rest)
    while open_:
        yield from _read(tile, open_, held)
        open_ = [item for item in open_ if not _parsed(tile, item, held, found[item.selection])]
    return found


def _first_reads(tile: TileIndex, number: int, item: Selection, precincts: Sequence[int]) -> list[_Open]:
    """What to read first of each packet: all, or of large ones what its header probably takes."""
    lengths = np.asarray(tile.columns.packets.length)
    places, first = places_of(tile, precincts)
    sums = np.append(0, np.cumsum(lengths[places]))[first]
    small = np.diff(sums) <= _SMALL
    together = [precinct for precinct, fits in zip(precincts, small.tolist(), strict=True) if fits]
    made = []
    if together:
        counts = np.diff(first)
        own = places[np.repeat(small, counts)]
        made.append(_Open(number, together, own, np.append(0, np.cumsum(counts[small])), lengths[own], keep=False))
    for place in np.flatnonzero(~small).tolist():
        own = places[first[place] : first[place + 1]]
        blocks = tile.shape.tables.blocks(precincts[place])
        whole = _needed(item, precincts[place]) >= _MOST * (blocks.stop - blocks.start)
        have = lengths[own] if whole else np.minimum(lengths[own], 64 + _HEADER_BYTES * (blocks.stop - blocks.start))
        made.append(_Open(number, [precincts[place]], own, np.array([0, len(own)]), have, keep=True))
    return made


def _needed(item: Selection, precinct: int) -> int:
    """Code-blocks of a precinct that a window needs."""
    row, column = divmod(precinct - item.resolution.first, item.resolution.wide)
    common = [part.band.blocks(column, row).intersect(part.blocks) for part in item.bands]
    return sum((rect.x1 - rect.x0) * (rect.y1 - rect.y0) for rect in common if not rect.empty)


def _read(tile: TileIndex, open_: Sequence[_Open], held: Held) -> Reads[None]:
    offsets = np.asarray(tile.columns.packets.offset)
    start = np.concatenate([offsets[item.places] for item in open_])
    end = start + np.concatenate([item.have for item in open_])
    spans = sorted(zip(start.tolist(), end.tolist(), strict=True))
    beyond = next((span for span in spans if span[1] > tile.size), None)
    if beyond is not None:
        raise CorruptImage(
            f"a packet lies at bytes {beyond[0]} to {beyond[1]}, the file ends at {tile.size}: it is truncated"
        )
    joined = joined_spans([span for span in spans if held.find(*span) is None], gap=0)
    if joined:
        for span, data in zip(joined, (yield joined), strict=True):
            held.add(span.start, data)


def _parsed(tile: TileIndex, item: _Open, held: Held, found: list[Known]) -> bool:
    """Parses packets; where a packet's header was not there whole, more of it is asked for."""
    insides = parse(tile, item.precincts, (item.places, item.first), item.have, held)
    if isinstance(insides, int):
        length = tile.columns.packets.length[int(item.places[insides])]
        item.have = item.have.copy()
        item.have[insides] = min(2 * int(item.have[insides]), length)
        return False
    found.append(Known(item.precincts, insides))
    if item.keep:
        kept = sum(len(other.planes) for other in tile.parsed.values())
        if kept + len(insides.planes) <= _KEPT:
            tile.parsed[item.precincts[0]] = insides
    return True
