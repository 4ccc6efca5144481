"""The order of a tile's packets (ISO/IEC 15444-1 B.12), computed for all of them at once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.coding import TileCoding
from ziggurat.codestream.partition import Partition, Tables
from ziggurat.codestream.segments import Progression, ProgressionChange, Siz
from ziggurat.errors import LimitExceeded

MAX_PACKETS = 1 << 25
"""Packets of one tile that are believed, if it has the bytes for them."""

MAX_CHANGES = 1 << 10
"""Progression changes of one tile that are believed: each costs a pass over all precincts."""


@dataclass(frozen=True, slots=True)
class PacketOrder:
    """The packets in the order of the codestream.

    Attributes:
        precinct: number of each packet's precinct.
        layer: its layer.
    """

    precinct: NDArray[np.int32]
    layer: NDArray[np.int32]


class Shape:
    """What tiles have in common that are divided alike: it need not be computed for each of thousands.

    Args:
        siz: the geometry.
        coding, partition: of one of the tiles.

    Attributes:
        precincts: how many there are.
        resolutions: first and number of the precincts of each, by component, the coarsest first.
    """

    def __init__(self, siz: Siz, coding: TileCoding, partition: Partition) -> None:
        self.precincts = partition.precincts
        self._of = siz, coding, partition
        self.resolutions = tuple(
            tuple((resolution.first, resolution.precincts) for resolution in resolutions)
            for resolutions in partition.components
        )
        self._layers = coding.layers
        self._coarse: dict[int, NDArray[np.int64]] = {}

    @property
    def tables(self) -> Tables:
        """The precincts' code-blocks as flat arrays."""
        return self._of[2].tables

    @cached_property
    def order(self) -> PacketOrder:
        """The order of the packets."""
        return packet_order(*self._of)

    @cached_property
    def place(self) -> NDArray[np.int32]:
        """By precinct and layer, a packet's place in the order; -1 where it is not in the codestream."""
        place = np.full(self.precincts * self._layers, -1, np.int32)
        number = self.order.precinct.astype(np.int64) * self._layers + self.order.layer
        place[number] = np.arange(len(number), dtype=np.int32)
        return place

    def coarse(self, level: int) -> NDArray[np.int64]:
        """Places of the packets of all but the ``level`` finest resolutions, in the order LRCP."""
        if level not in self._coarse:
            chosen = sorted(
                (number, component, first, count)
                for component, resolutions in enumerate(self.resolutions)
                for number, (first, count) in enumerate(resolutions[: len(resolutions) - level])
            )
            precincts = np.concatenate([np.arange(first, first + count) for _, _, first, count in chosen])
            layers = np.arange(self._layers, dtype=np.int64)
            numbers = (precincts[None, :] * self._layers + layers[:, None]).ravel()
            self._coarse[level] = self.place[numbers].astype(np.int64)
        return self._coarse[level]


@dataclass(frozen=True, slots=True)
class _Precincts:
    """What the orders sort by, a value a precinct."""

    component: NDArray[np.int32]
    resolution: NDArray[np.int32]
    number: NDArray[np.int32]
    y: NDArray[np.uint32]
    x: NDArray[np.uint32]


def packet_order(siz: Siz, coding: TileCoding, partition: Partition) -> PacketOrder:
    """The packets of a tile, in order.

    Packets that no progression change mentions come nowhere: they are not in the codestream.

    Raises:
        LimitExceeded: if there are implausibly many.
    """
    if partition.precincts * coding.layers > MAX_PACKETS:
        raise LimitExceeded(
            f"a tile of {partition.precincts} precincts and {coding.layers} layers has more than {MAX_PACKETS} "
            "packets; its header is not believed"
        )
    if len(coding.changes) > MAX_CHANGES:
        raise LimitExceeded(f"marker POC: {len(coding.changes)} progression changes; {MAX_CHANGES} are believed")
    table = _precincts(siz, partition)
    deepest = max(item.style.levels for item in coding.components) + 1
    everything = ProgressionChange(0, 0, coding.layers, deepest, len(coding.components), coding.progression)
    done = np.zeros(partition.precincts, np.int32)
    precincts, layers = [], []
    for change in coding.changes or (everything,):
        inside = (table.resolution >= change.resolution_start) & (table.resolution < change.resolution_end)
        inside &= (table.component >= change.component_start) & (table.component < change.component_end)
        chosen = np.flatnonzero(inside)
        precinct, layer = _sorted(table, chosen, done[chosen], min(change.layer_end, coding.layers), change.progression)
        done[chosen] = np.maximum(done[chosen], min(change.layer_end, coding.layers))
        precincts.append(precinct)
        layers.append(layer)
    return PacketOrder(np.concatenate(precincts), np.concatenate(layers))


def _precincts(siz: Siz, partition: Partition) -> _Precincts:
    if all(resolution.precincts <= 1 for _, _, resolution in partition.resolutions()):
        return _single_precincts(siz, partition)
    parts = []
    for component, number, resolution in partition.resolutions():
        count = resolution.precincts
        if not count:
            continue
        shift = len(partition.components[component]) - 1 - number
        item = siz.components[component]
        rows = (resolution.row + np.arange(resolution.high, dtype=np.int64)) << (resolution.precinct_y + shift)
        columns = (resolution.column + np.arange(resolution.wide, dtype=np.int64)) << (resolution.precinct_x + shift)
        # The first row and column begin where the tile does, if not at a multiple of their size (B.12.1.3).
        y = np.maximum(rows * item.dy, partition.rect.y0)
        x = np.maximum(columns * item.dx, partition.rect.x0)
        parts.append(
            (
                np.full(count, component, np.int32),
                np.full(count, number, np.int32),
                np.arange(count, dtype=np.int32),
                np.repeat(y.astype(np.uint32), resolution.wide),
                np.tile(x.astype(np.uint32), resolution.high),
            )
        )
    return _Precincts(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _single_precincts(siz: Siz, partition: Partition) -> _Precincts:
    """The same where no resolution is divided, as in most tiles, of which there may be thousands."""
    rows = []
    for component, number, resolution in partition.resolutions():
        if resolution.precincts:
            shift = len(partition.components[component]) - 1 - number
            item = siz.components[component]
            y = (resolution.row << (resolution.precinct_y + shift)) * item.dy
            x = (resolution.column << (resolution.precinct_x + shift)) * item.dx
            rows.append((component, number, 0, max(y, partition.rect.y0), max(x, partition.rect.x0)))
    table = np.array(rows, np.int64).reshape(len(rows), 5).T
    small, large = table[:3].astype(np.int32), table[3:].astype(np.uint32)
    return _Precincts(small[0], small[1], small[2], large[0], large[1])


def _sorted(
    table: _Precincts,
    chosen: NDArray[np.int64],
    start: NDArray[np.int32],
    end: int,
    progression: Progression,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Precincts and layers of the packets of one progression: the layers from ``start`` on, by precinct, to ``end``."""
    counts = np.maximum(end - start, 0)
    precinct = np.repeat(chosen.astype(np.int32), counts)
    first = np.repeat((np.cumsum(counts) - counts).astype(np.int32), counts)
    layer = np.arange(len(precinct), dtype=np.int32) - first + np.repeat(start, counts)
    del first
    component, resolution = table.component[precinct], table.resolution[precinct]
    number, y, x = table.number[precinct], table.y[precinct], table.x[precinct]
    # numpy sorts by the last key first.
    keys = {
        Progression.LRCP: (number, component, resolution, layer),
        Progression.RLCP: (number, component, layer, resolution),
        Progression.RPCL: (layer, number, component, x, y, resolution),
        Progression.PCRL: (layer, number, resolution, component, x, y),
        Progression.CPRL: (layer, number, resolution, x, y, component),
    }[progression]
    order = np.lexsort(keys)
    return precinct[order], layer[order]
