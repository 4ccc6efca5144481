"""The marker segments of a JPEG 2000 main header as values: ISO/IEC 15444-1 A.5 to A.9, 15444-15 for CAP.

Every parser takes the fields after the segment's length and checks what the standard lets it check there.
"""

from dataclasses import dataclass
from enum import IntEnum

from ziggurat.codestream.fields import Fields

MAX_COMPONENTS = 16384
MAX_TILES = 65535
MAX_DEPTH = 38
MAX_LEVELS = 32
_MAX_PRECINCT_EXPONENT = 15
_MAX_BLOCK_EXPONENT = 10
_MAX_BLOCK_EXPONENT_SUM = 12
_WIDE = 257
"""Components from which component indexes take two bytes (A.6.2)."""


class Progression(IntEnum):
    """Order of the packets (Table A.16): Layer, Resolution, Component, Position."""

    LRCP = 0
    RLCP = 1
    RPCL = 2
    PCRL = 3
    CPRL = 4


@dataclass(frozen=True, slots=True)
class Component:
    """One component of the codestream: significant bits, signedness, and its spacing on the reference grid."""

    depth: int
    signed: bool
    dx: int
    dy: int


@dataclass(frozen=True, slots=True)
class Siz:
    """Geometry on the reference grid (A.5.1). All rectangles are half-open.

    Attributes:
        capabilities: Rsiz.
        x0, y0, x1, y1: the image area (XOsiz, YOsiz, Xsiz, Ysiz).
        tile_x0, tile_y0: origin of the first tile (XTOsiz, YTOsiz).
        tile_width, tile_height: nominal size of a tile (XTsiz, YTsiz).
        components: in the codestream's order.
    """

    capabilities: int
    x0: int
    y0: int
    x1: int
    y1: int
    tile_x0: int
    tile_y0: int
    tile_width: int
    tile_height: int
    components: tuple[Component, ...]

    @property
    def tiles_across(self) -> int:
        """Tiles in a row (B-5)."""
        return -(-(self.x1 - self.tile_x0) // self.tile_width)

    @property
    def tiles_down(self) -> int:
        """Tiles in a column (B-5)."""
        return -(-(self.y1 - self.tile_y0) // self.tile_height)

    @property
    def tiles(self) -> int:
        """Tiles in all."""
        return self.tiles_across * self.tiles_down


@dataclass(frozen=True, slots=True)
class CodingStyle:
    """How one component is coded (Table A.20), from COD or COC.

    Attributes:
        levels: decomposition levels.
        block_height, block_width: nominal size of a code-block.
        block_style: Table A.19's bits; 0x40 is HT.
        transform: 0 is the irreversible 9-7, 1 the reversible 5-3; more are Part 2's.
        precincts: (height, width) per resolution, the coarsest first.
        factors: index of the DFS segment that says how each level is decomposed (15444-2 A.3.3); ``levels`` is
            then 0, ``precincts`` that of full resolution at the largest.
    """

    levels: int
    block_height: int
    block_width: int
    block_style: int
    transform: int
    precincts: tuple[tuple[int, int], ...]
    factors: int | None = None


@dataclass(frozen=True, slots=True)
class Cod:
    """Coding style default (A.6.1)."""

    sop: bool
    eph: bool
    progression: Progression
    layers: int
    component_transform: int
    style: CodingStyle


@dataclass(frozen=True, slots=True)
class Quantization:
    """Quantisation of one component (A.6.4).

    Attributes:
        style: 0 none, 1 derived from the first step, 2 a step per subband.
        guard_bits: G.
        steps: (exponent, mantissa) as stored; mantissa 0 where there is no quantisation.
    """

    style: int
    guard_bits: int
    steps: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class ProgressionChange:
    """One entry of POC (A.6.6): resolutions and components half-open, layers up to ``layer_end``."""

    resolution_start: int
    component_start: int
    layer_end: int
    resolution_end: int
    component_end: int
    progression: Progression


@dataclass(frozen=True, slots=True)
class TilePartLength:
    """One entry of TLM (A.7.1). ``tile`` is None where tiles are in order, one part each."""

    tile: int | None
    length: int


@dataclass(frozen=True, slots=True)
class Cap:
    """Extended capabilities (A.5.2): the parts of 15444 that the codestream uses, and a word for each."""

    parts: tuple[int, ...]
    words: tuple[int, ...]


def parse_siz(fields: Fields) -> Siz:
    """Parses SIZ."""
    capabilities = fields.number(2)
    x1, y1, x0, y0, width, height, tile_x0, tile_y0 = (fields.number(4) for _ in range(8))
    count = fields.number(2)
    fields.require(1 <= count <= MAX_COMPONENTS, f"{count} components, 1 to {MAX_COMPONENTS} are allowed")
    fields.require(fields.left == 3 * count, f"{count} components do not fill the segment")
    fields.require(x0 < x1 and y0 < y1, f"image area ({x0}, {y0}) to ({x1}, {y1}) is empty")
    fields.require(width > 0 and height > 0, f"tile of {width} x {height}")
    fields.require(
        tile_x0 <= x0 < tile_x0 + width and tile_y0 <= y0 < tile_y0 + height,
        f"the first tile, at ({tile_x0}, {tile_y0}), does not hold the image's origin ({x0}, {y0})",
    )
    components = []
    for index in range(count):
        precision, dx, dy = fields.take(3)
        depth = (precision & 0x7F) + 1
        fields.require(depth <= MAX_DEPTH, f"component {index} of {depth} bits, at most {MAX_DEPTH} are allowed")
        fields.require(dx > 0 and dy > 0, f"component {index} is subsampled by {dx} x {dy}")
        components.append(Component(depth, bool(precision & 0x80), dx, dy))
    siz = Siz(capabilities, x0, y0, x1, y1, tile_x0, tile_y0, width, height, tuple(components))
    fields.require(siz.tiles <= MAX_TILES, f"{siz.tiles} tiles, at most {MAX_TILES} are allowed")
    return siz


def _parse_style(fields: Fields, *, precincts: bool) -> CodingStyle:
    levels, xcb, ycb, block_style, transform = fields.take(5)
    factors = levels & 0x7F if levels & 0x80 else None
    if factors is not None:
        # Its levels are said elsewhere: whoever wants more than full resolution needs the DFS segment.
        levels = 0
    fields.require(levels <= MAX_LEVELS, f"{levels} decomposition levels, at most {MAX_LEVELS} are allowed")
    width, height = (xcb & 15) + 2, (ycb & 15) + 2
    fields.require(
        max(width, height) <= _MAX_BLOCK_EXPONENT and width + height <= _MAX_BLOCK_EXPONENT_SUM,
        f"code-blocks of 2^{width} x 2^{height} are larger than the standard allows",
    )
    sizes = [(_MAX_PRECINCT_EXPONENT, _MAX_PRECINCT_EXPONENT)] * (levels + 1)
    if precincts and factors is None:
        sizes = [(size >> 4, size & 15) for size in fields.take(levels + 1)]
        fields.require(
            all(min(size) > 0 for size in sizes[1:]),
            "a precinct of one sample is allowed at the coarsest resolution only",
        )
    return CodingStyle(
        levels=levels,
        block_height=1 << height,
        block_width=1 << width,
        block_style=block_style,
        transform=transform,
        precincts=tuple((1 << y, 1 << x) for y, x in sizes),
        factors=factors,
    )


def _progression(fields: Fields) -> Progression:
    value = fields.number(1)
    fields.require(value in Progression, f"progression order {value} does not exist")
    return Progression(value)


def parse_cod(fields: Fields) -> Cod:
    """Parses COD."""
    style = fields.number(1)
    progression = _progression(fields)
    layers = fields.number(2)
    fields.require(layers > 0, "0 layers, 1 to 65535 are allowed")
    return Cod(
        sop=bool(style & 2),
        eph=bool(style & 4),
        progression=progression,
        layers=layers,
        component_transform=fields.number(1),
        style=_parse_style(fields, precincts=bool(style & 1)),
    )


def parse_component(fields: Fields, components: int) -> int:
    """Parses the index of the component that COC, QCC or RGN is about."""
    component = fields.number(1 if components < _WIDE else 2)
    fields.require(component < components, f"component {component}, there are {components}")
    return component


def parse_coc(fields: Fields, components: int) -> tuple[int, CodingStyle]:
    """Parses COC (A.6.2): the component and its coding style."""
    component = parse_component(fields, components)
    precincts = bool(fields.number(1) & 1)
    return component, _parse_style(fields, precincts=precincts)


def parse_quantization(fields: Fields) -> Quantization:
    """Parses the body of QCD or QCC."""
    first = fields.number(1)
    style, guard_bits = first & 31, first >> 5
    fields.require(style <= 2, f"quantisation style {style} does not exist")  # noqa: PLR2004 - Table A.28
    if style == 0:
        steps = tuple((value >> 3, 0) for value in fields.rest())
    else:
        pairs = [fields.number(2) for _ in range(fields.left // 2)]
        steps = tuple((value >> 11, value & 0x7FF) for value in pairs)
    fields.require(bool(steps), "no quantisation step at all")
    return Quantization(style, guard_bits, steps)


def parse_rgn(fields: Fields, components: int) -> tuple[int, int]:
    """Parses RGN (A.6.3): the component and how far its region of interest is shifted."""
    component = parse_component(fields, components)
    fields.require(fields.number(1) == 0, "only the maximum shift method exists")
    return component, fields.number(1)


def parse_poc(fields: Fields, components: int) -> tuple[ProgressionChange, ...]:
    """Parses POC."""
    wide = 1 if components < _WIDE else 2
    changes = []
    while fields.left:
        resolution_start = fields.number(1)
        component_start = fields.number(wide)
        layer_end = fields.number(2)
        resolution_end = fields.number(1)
        component_end = fields.number(wide) or 256
        change = ProgressionChange(
            resolution_start,
            component_start,
            layer_end,
            resolution_end,
            component_end,
            _progression(fields),
        )
        fields.require(
            resolution_start < resolution_end and component_start < component_end and layer_end > 0,
            "a progression change that covers nothing",
        )
        changes.append(change)
    return tuple(changes)


def parse_tlm(fields: Fields) -> tuple[int, tuple[TilePartLength, ...]]:
    """Parses TLM: its index, by which several are put in order, and its entries."""
    index, sizes = fields.take(2)
    tile_bytes, length_bytes = (sizes >> 4) & 3, 4 if sizes & 0x40 else 2
    fields.require(tile_bytes <= 2, "ST of 3 is reserved")  # noqa: PLR2004 - Table A.33
    entry = tile_bytes + length_bytes
    fields.require(fields.left % entry == 0, f"entries of {entry} bytes do not fill the segment")
    entries = tuple(
        TilePartLength(fields.number(tile_bytes) if tile_bytes else None, fields.number(length_bytes))
        for _ in range(fields.left // entry)
    )
    return index, entries


def parse_cap(fields: Fields) -> Cap:
    """Parses CAP."""
    bits = fields.number(4)
    parts = tuple(part for part in range(1, 33) if bits >> (32 - part) & 1)
    return Cap(parts, tuple(fields.number(2) for _ in parts))


def parse_comment(fields: Fields) -> str:
    """Parses COM (A.9.2): Latin text as it is, binary as its length."""
    registration = fields.number(2)
    data = fields.rest()
    return data.decode("latin-1") if registration == 1 else f"({len(data)} bytes, binary)"
