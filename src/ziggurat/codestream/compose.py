"""Writing a codestream of one tile, one layer and one progression: the headers around given packets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ziggurat.codestream.coding import ComponentCoding, TileCoding
from ziggurat.codestream.markers import MainHeader, Marker
from ziggurat.codestream.partition import Rect
from ziggurat.codestream.segments import CodingStyle, Component, Progression, ProgressionChange, Quantization, Siz

_PARTS_HT = 15
_LONGEST_PRECINCT = 15


@dataclass(frozen=True, slots=True)
class Canvas:
    """A codestream to be written.

    Attributes:
        rect: the image, on its reference grid.
        components: depth, sign and spacing.
        coding: how they are coded.
        tile: the first tile without what the image leaves of it; None where it is the only one.
    """

    rect: Rect
    components: tuple[Component, ...]
    coding: TileCoding
    tile: Rect | None = None

    @property
    def siz(self) -> Siz:
        """Its geometry."""
        x0, y0, x1, y1 = self.rect
        tile = self.tile or self.rect
        return Siz(0, x0, y0, x1, y1, tile.x0, tile.y0, tile.x1 - tile.x0, tile.y1 - tile.y0, self.components)


def without_levels(style: CodingStyle, level: int) -> CodingStyle:
    """The style of a component whose ``level`` finest resolutions are left out."""
    return replace(style, levels=style.levels - level, precincts=style.precincts[: style.levels + 1 - level])


def with_wide_precincts(style: CodingStyle) -> CodingStyle:
    """The style with precincts as large as they can be without making the code-blocks larger (B.7)."""
    precincts = []
    for number, (height, width) in enumerate(style.precincts):
        inner = 0 if number == 0 else 1
        precincts.append((_precinct(height, style.block_height << inner), _precinct(width, style.block_width << inner)))
    return replace(style, precincts=tuple(precincts))


def _precinct(size: int, needed: int) -> int:
    return 1 << _LONGEST_PRECINCT if size >= needed else size


def _fewer_steps(quantization: Quantization, style: CodingStyle) -> Quantization:
    """The steps of the subbands that are left; derived ones follow from the first (E-5)."""
    if quantization.style == 1:
        return quantization
    return replace(quantization, steps=quantization.steps[: 1 + 3 * style.levels])


def coding_of_level(coding: TileCoding, level: int) -> TileCoding:
    """The coding of a tile whose ``level`` finest resolutions are left out."""
    components = []
    for item in coding.components:
        style = without_levels(item.style, level)
        components.append(ComponentCoding(style, _fewer_steps(item.quantization, style), item.roi))
    return replace(coding, components=tuple(components))


def coding_of_slice(coding: TileCoding, components: Sequence[int], level: int) -> TileCoding:
    """One layer of some components without their finest resolutions, in one progression, in few precincts."""
    reduced = coding_of_level(coding, level)
    return TileCoding(
        sop=False,
        eph=False,
        progression=Progression.LRCP,
        layers=1,
        component_transform=coding.component_transform if list(components[:3]) == [0, 1, 2] else 0,
        components=tuple(
            replace(reduced.components[index], style=with_wide_precincts(reduced.components[index].style))
            for index in components
        ),
        changes=(),
    )


def main_header(canvas: Canvas, source: MainHeader) -> bytes:
    """SOC to the last segment before SOT.

    Args:
        canvas: what is written.
        source: the header of the codestream that it is made from: for CAP, of HT code-blocks.
    """
    coding = canvas.coding
    first = coding.components[0]
    wide = 1 if len(canvas.components) < 257 else 2  # noqa: PLR2004 - A.6.2
    high_throughput = source.cap is not None and _PARTS_HT in source.cap.parts
    out = [
        Marker.SOC.to_bytes(2),
        _siz(canvas, capabilities=source.siz.capabilities & 0x4000 if high_throughput else 0),
    ]
    if source.cap is not None and high_throughput:
        bits = sum(1 << (32 - part) for part in source.cap.parts)
        out.append(_segment(Marker.CAP, bits.to_bytes(4) + b"".join(word.to_bytes(2) for word in source.cap.words)))
    out.append(
        _segment(
            Marker.COD,
            bytes([1 | coding.sop << 1 | coding.eph << 2, coding.progression])
            + coding.layers.to_bytes(2)
            + bytes([coding.component_transform])
            + _style(first.style),
        )
    )
    out.append(_segment(Marker.QCD, _quantization(first.quantization)))
    for index, item in enumerate(coding.components):
        number = index.to_bytes(wide)
        if item.style != first.style:
            out.append(_segment(Marker.COC, number + b"\x01" + _style(item.style)))
        if item.quantization != first.quantization:
            out.append(_segment(Marker.QCC, number + _quantization(item.quantization)))
        if item.roi:
            out.append(_segment(Marker.RGN, number + b"\x00" + bytes([item.roi])))
    if coding.changes:
        out.append(_segment(Marker.POC, b"".join(_change(change, wide) for change in coding.changes)))
    return b"".join(out)


def _change(change: ProgressionChange, wide: int) -> bytes:
    return (
        bytes([change.resolution_start])
        + change.component_start.to_bytes(wide)
        + change.layer_end.to_bytes(2)
        + bytes([change.resolution_end])
        + (change.component_end % (1 << 8 * wide)).to_bytes(wide)
        + bytes([change.progression])
    )


def _segment(marker: Marker, content: bytes) -> bytes:
    return marker.to_bytes(2) + (len(content) + 2).to_bytes(2) + content


def _siz(canvas: Canvas, *, capabilities: int) -> bytes:
    siz = canvas.siz
    numbers = (siz.x1, siz.y1, siz.x0, siz.y0, siz.tile_width, siz.tile_height, siz.tile_x0, siz.tile_y0)
    components = b"".join(
        bytes([item.depth - 1 | (0x80 if item.signed else 0), item.dx, item.dy]) for item in canvas.components
    )
    content = b"".join(number.to_bytes(4) for number in numbers) + len(canvas.components).to_bytes(2) + components
    return _segment(Marker.SIZ, capabilities.to_bytes(2) + content)


def _style(style: CodingStyle) -> bytes:
    exponents = [((height.bit_length() - 1) << 4) | (width.bit_length() - 1) for height, width in style.precincts]
    return bytes(
        [
            style.levels,
            style.block_width.bit_length() - 3,
            style.block_height.bit_length() - 3,
            style.block_style,
            style.transform,
            *exponents,
        ]
    )


def _quantization(quantization: Quantization) -> bytes:
    head = bytes([quantization.guard_bits << 5 | quantization.style])
    if quantization.style == 0:
        return head + bytes(exponent << 3 for exponent, _ in quantization.steps)
    return head + b"".join((exponent << 11 | mantissa).to_bytes(2) for exponent, mantissa in quantization.steps)


def tile_part_header(length: int, *, tile: int = 0, part: int = 0, parts: int = 1, own: bytes = b"") -> bytes:
    """SOT, the tile-part's own segments, and SOD, before so many bytes of packets."""
    sot = tile.to_bytes(2) + (14 + len(own) + length).to_bytes(4) + bytes([part, parts])
    return b"".join((_segment(Marker.SOT, sot), own, Marker.SOD.to_bytes(2)))


def codestream(canvas: Canvas, source: MainHeader, *tiles: Sequence[bytes | memoryview]) -> bytes:
    """The whole codestream of a canvas with the packets of its tiles."""
    out: list[bytes | memoryview] = [main_header(canvas, source)]
    for number, packets in enumerate(tiles):
        out.append(tile_part_header(sum(map(len, packets)), tile=number))
        out += packets
    return b"".join((*out, Marker.EOC.to_bytes(2)))
