"""What of a tile a window needs: subband samples, code-blocks, precincts, and the canvas that holds them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm

from ziggurat.codestream.coding import TileCoding
from ziggurat.codestream.partition import HL, LH, Band, Partition, Rect, Resolution, ceil_shift, shrunk
from ziggurat.codestream.segments import Siz

_MARGINS = {0: 4, 1: 2}
"""Samples to either side that one synthesis step of the 9-7 and of the 5-3 transform looks at (F.3.8, Table F.4)."""


@dataclass(frozen=True, slots=True)
class BandBlocks:
    """The code-blocks of one subband that are needed.

    Attributes:
        band: the subband.
        blocks: absolute numbers of its code-blocks, columns and rows; may be empty.
    """

    band: Band
    blocks: Rect


@dataclass(frozen=True, slots=True)
class Selection:
    """What a window needs of one resolution of a component.

    Attributes:
        component, number: which.
        resolution: the partition's.
        bands: its subbands.
        precincts: numbers of the precincts that hold these code-blocks.
    """

    component: int
    number: int
    resolution: Resolution
    bands: tuple[BandBlocks, ...]
    precincts: list[int]


def with_transform(coding: TileCoding, wanted: Mapping[int, Rect]) -> dict[int, Rect]:
    """The components to decode: those that a component transform mixes come together, with the same samples."""
    mixes = coding.component_transform and len(coding.components) >= 3  # noqa: PLR2004 - Annex G; others cannot be
    mixed = [index for index in range(3) if index in wanted] if mixes else []
    if not mixed:
        return dict(sorted(wanted.items()))
    rects = [wanted[index] for index in mixed]
    union = Rect(
        min(rect.x0 for rect in rects),
        min(rect.y0 for rect in rects),
        max(rect.x1 for rect in rects),
        max(rect.y1 for rect in rects),
    )
    return dict(sorted({**wanted, **dict.fromkeys(range(3), union)}.items()))


def select(partition: Partition, coding: TileCoding, level: int, wanted: Mapping[int, Rect]) -> list[Selection]:
    """The code-blocks that samples of some components need, coarsest resolutions last.

    Args:
        partition: of the tile.
        coding: of the tile.
        level: finest resolutions that are left out.
        wanted: samples by component, on the component's grid at that level, inside of the tile.
    """
    found = []
    for component, samples in wanted.items():
        resolutions = partition.components[component]
        margin = _MARGINS[coding.components[component].style.transform]
        needed = samples
        for number in range(len(resolutions) - 1 - level, -1, -1):
            resolution = resolutions[number]
            needed = needed.intersect(resolution.rect)
            if number:
                grown = Rect(needed.x0 - margin, needed.y0 - margin, needed.x1 + margin, needed.y1 + margin)
                grown = grown.intersect(resolution.rect)
                bands = tuple(
                    BandBlocks(band, band.blocks_in(_half(grown, band.orientation))) for band in resolution.bands
                )
                needed = _half(grown, 0)
            else:
                bands = (BandBlocks(resolution.bands[0], resolution.bands[0].blocks_in(needed)),)
            found.append(Selection(component, number, resolution, bands, _precincts(resolution, bands)))
    return found


def _half(rect: Rect, kind: int) -> Rect:
    """The samples of a subband that are interleaved into a rectangle of its resolution (F.3.3)."""
    x, y = (1 if kind & HL else 0), (1 if kind & LH else 0)
    return Rect(
        ceil_shift(rect.x0 - x, 1), ceil_shift(rect.y0 - y, 1), ceil_shift(rect.x1 - x, 1), ceil_shift(rect.y1 - y, 1)
    )


def _precincts(resolution: Resolution, bands: Sequence[BandBlocks]) -> list[int]:
    """The precincts that hold these code-blocks, ascending."""
    found: set[int] = set()
    for item in bands:
        if item.blocks.empty:
            continue
        columns = item.band.columns.touching(item.blocks.x0, item.blocks.x1)
        for row in item.band.rows.touching(item.blocks.y0, item.blocks.y1):
            first = resolution.first + row * resolution.wide
            found.update(first + column for column in columns)
    return sorted(found)


def canvas_rect(siz: Siz, partition: Partition, level: int, selected: Sequence[Selection]) -> Rect:
    """The part of a tile that a codestream must hold so that none of the code-blocks needed is cut.

    Its borders are the tile's, or multiples of the code-blocks' sizes at every resolution: code-blocks inside are then
    the same as in the whole tile, and the transform's phase too. What lies between border and window is farther from
    the window than the transform looks.

    Returns:
        A rectangle on the reference grid reduced by 2^level.
    """
    tile = shrunk(partition.rect, 1, 1, level)
    unit_x = unit_y = 1
    edges: list[Rect] = []
    for item in selected:
        spacing = siz.components[item.component]
        for part in item.bands:
            depth = part.band.depth - level
            step_x = spacing.dx << (part.band.block_x + depth)
            step_y = spacing.dy << (part.band.block_y + depth)
            unit_x, unit_y = lcm(unit_x, step_x), lcm(unit_y, step_y)
            if not part.blocks.empty:
                x0, y0, x1, y1 = part.blocks
                edges.append(Rect(x0 * step_x, y0 * step_y, x1 * step_x, y1 * step_y))
    if not edges:
        return tile
    return Rect(
        max(tile.x0, min(edge.x0 for edge in edges) // unit_x * unit_x),
        max(tile.y0, min(edge.y0 for edge in edges) // unit_y * unit_y),
        min(tile.x1, -(-max(edge.x1 for edge in edges) // unit_x) * unit_x),
        min(tile.y1, -(-max(edge.y1 for edge in edges) // unit_y) * unit_y),
    )
