"""The boxes of JP2, JPX and JPH files as values (ISO/IEC 15444-1 Annex I, 15444-2 Annex M)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from ziggurat.codestream.fields import Fields, Incomplete
from ziggurat.errors import CorruptImage

SIGNATURE = b"\x0d\x0a\x87\x0a"
"""Content of the box that begins a file (I.5.1)."""

UUID_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
UUID_EXIF = b"JpgTiffExif->JP2"
UUID_IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
UUID_GEOTIFF = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03")

MAX_HEADER = 16
"""Bytes that a box's own header can take: LBox, TBox, XLBox (I.4)."""

MAX_CHILDREN = 1000
"""Boxes in one superbox that are looked at; real ones hold about five."""

UNSPECIFIED_DEPTH = 255
_MAX_PALETTE = 1024
_UNASSOCIATED = 65535


@dataclass(frozen=True, slots=True)
class Box:
    """Where a box lies in the file: its header from ``offset``, its content from ``start`` to ``end``."""

    kind: bytes
    offset: int
    start: int
    end: int

    @property
    def name(self) -> str:
        """The four characters of its type and its place, for messages."""
        return f"box '{self.kind.decode('latin-1')}' at byte {self.offset}"


def parse_box(data: bytes, at: int, *, offset: int, limit: int) -> Box | Incomplete:
    """Parses a box's header (I.4).

    Args:
        data: bytes that hold it.
        at: where it starts in ``data``.
        offset: where it starts in the file.
        limit: the file's offset that the box must not pass.

    Returns:
        The box in file offsets, or how many bytes of ``data`` are needed.

    Raises:
        CorruptImage: if its length is impossible.
    """
    if at + 8 > len(data):
        return Incomplete(at + 8)
    length, kind, header = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8], 8
    if length == 1:
        header = MAX_HEADER
        if at + header > len(data):
            return Incomplete(at + header)
        length = int.from_bytes(data[at + 8 : at + header])
    elif length == 0:
        length = limit - offset
    box = Box(kind, offset, offset + header, offset + length)
    if length < header:
        raise CorruptImage(f"{box.name}: length {length} is less than its own header's {header}")
    if box.end > limit:
        raise CorruptImage(f"{box.name}: its end, byte {box.end}, lies past the {limit} that hold it")
    return box


class ChannelType(IntEnum):
    """What a channel means (Table I.16)."""

    COLOUR = 0
    OPACITY = 1
    PREMULTIPLIED_OPACITY = 2
    UNSPECIFIED = 65535


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour specification (I.5.3.3).

    Attributes:
        method: 1 enumerated, 2 restricted ICC, 3 any ICC (JPX), others are JPX's.
        precedence: PREC, higher is preferred (JPX).
        approximation: APPROX, 1 is exact, 4 poor, 0 does not say.
        enumerated: EnumCS where the method is 1.
        parameters: EP, what follows EnumCS (JPX).
        profile: the ICC profile where there is one.
    """

    method: int
    precedence: int
    approximation: int
    enumerated: int | None = None
    parameters: bytes = b""
    profile: bytes | None = None


@dataclass(frozen=True, slots=True)
class Palette:
    """A palette (I.5.3.4): per column its depth and signedness, and the entries row by row."""

    depths: tuple[int, ...]
    signed: tuple[bool, ...]
    entries: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """One channel of cmap (I.5.3.5): which component it comes from, through which palette column if any."""

    component: int
    column: int | None


@dataclass(frozen=True, slots=True)
class Channel:
    """One entry of cdef (I.5.3.6). ``colour`` counts from 1; 0 is the whole image, None none."""

    index: int
    kind: int
    colour: int | None


@dataclass(frozen=True, slots=True)
class Resolutions:
    """Pixels per metre, vertical and horizontal (I.5.3.7)."""

    capture: tuple[float, float] | None = None
    display: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """ihdr (I.5.3.1). ``depth`` is None where the components differ."""

    height: int
    width: int
    components: int
    depth: int | None
    signed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Jp2Header:
    """The content of jp2h that is understood here."""

    header: ImageHeader | None = None
    depths: tuple[tuple[int, bool], ...] = ()
    colours: tuple[Colour, ...] = ()
    palette: Palette | None = None
    mappings: tuple[Mapping, ...] = ()
    channels: tuple[Channel, ...] = ()
    resolutions: Resolutions = field(default_factory=Resolutions)


def children(data: bytes, *, offset: int) -> Iterator[tuple[Box, Fields]]:
    """The boxes inside a superbox, each with its content.

    Args:
        data: the superbox's content.
        offset: where the content starts in the file.

    Raises:
        CorruptImage: if one of them leaves the superbox, or there are implausibly many.
    """
    at = 0
    for _ in range(MAX_CHILDREN):
        if at >= len(data):
            return
        box = parse_box(data, at, offset=offset + at, limit=offset + len(data))
        if isinstance(box, Incomplete):
            raise CorruptImage(f"box at byte {offset + at}: {len(data) - at} bytes are no box")
        yield box, Fields(data, box.start - offset, box.end - offset, box.name)
        at = box.end - offset
    raise CorruptImage(f"superbox at byte {offset}: more than {MAX_CHILDREN} boxes in it")


def parse_header(data: bytes, *, offset: int) -> Jp2Header:
    """Parses the content of a jp2h superbox; boxes of unknown kinds are passed over.

    Raises:
        CorruptImage: naming the box, its place and the rule.
    """
    of: dict[bytes, list[Fields]] = {}
    for box, fields in children(data, offset=offset):
        of.setdefault(box.kind, []).append(fields)
    if len(of.get(b"pclr", ())) > 1:
        raise CorruptImage(f"{of[b'pclr'][1].name}: a second palette")
    palette = next(map(_parse_pclr, of.get(b"pclr", ())), None)
    mappings = next(map(_parse_cmap, of.get(b"cmap", ())), ())
    if palette is not None and not mappings:
        raise CorruptImage(f"superbox 'jp2h' at byte {offset}: a palette (pclr) without its mapping (cmap)")
    return Jp2Header(
        header=next(map(_parse_ihdr, of.get(b"ihdr", ())), None),
        depths=next((tuple(map(_depth, fields.rest())) for fields in of.get(b"bpcc", ())), ()),
        colours=tuple(map(_parse_colr, of.get(b"colr", ()))),
        palette=palette,
        mappings=mappings if palette is None else _repaired(mappings),
        channels=next(map(_parse_cdef, of.get(b"cdef", ())), ()),
        resolutions=next(map(_parse_res, of.get(b"res ", ())), Resolutions()),
    )


def _repaired(mappings: tuple[Mapping, ...]) -> tuple[Mapping, ...]:
    """Each column in order, where a writer of one-component palettes left all but the first mapping blank."""
    blank = Mapping(0, None)
    if mappings[0] == Mapping(0, 0) and len(mappings) > 1 and all(item == blank for item in mappings[1:]):
        return tuple(Mapping(0, column) for column in range(len(mappings)))
    return mappings


def _depth(value: int) -> tuple[int, bool]:
    return (value & 0x7F) + 1, bool(value & 0x80)


def _parse_ihdr(fields: Fields) -> ImageHeader:
    height, width, components = fields.number(4), fields.number(4), fields.number(2)
    value = fields.number(1)
    fields.require(height > 0 and width > 0 and components > 0, f"{height} x {width} x {components} is no image")
    depth, signed = _depth(value)
    return ImageHeader(height, width, components, None if value == UNSPECIFIED_DEPTH else depth, signed)


def _parse_colr(fields: Fields) -> Colour:
    method, precedence, approximation = fields.number(1), fields.signed(1), fields.number(1)
    match method:
        case 1:
            return Colour(method, precedence, approximation, fields.number(4), fields.rest())
        case 2 | 3:
            return Colour(method, precedence, approximation, profile=fields.rest())
    return Colour(method, precedence, approximation, parameters=fields.rest())


def _parse_pclr(fields: Fields) -> Palette:
    entries, columns = fields.number(2), fields.number(1)
    fields.require(1 <= entries <= _MAX_PALETTE, f"{entries} entries, 1 to {_MAX_PALETTE} are allowed")
    fields.require(columns > 0, "no column")
    depths = [_depth(value) for value in fields.take(columns)]
    fields.require(all(depth <= 31 for depth, _ in depths), "a column of more than 31 bits")  # noqa: PLR2004
    sizes = [-(-depth // 8) for depth, _ in depths]
    rows = []
    for _ in range(entries):
        row = []
        for size, (depth, signed) in zip(sizes, depths, strict=True):
            value = fields.number(size) & ((1 << depth) - 1)
            row.append(value - (1 << depth) if signed and value >> (depth - 1) else value)
        rows.append(tuple(row))
    return Palette(tuple(depth for depth, _ in depths), tuple(signed for _, signed in depths), tuple(rows))


def _parse_cmap(fields: Fields) -> tuple[Mapping, ...]:
    mappings = []
    while fields.left:
        component, kind, column = fields.number(2), fields.number(1), fields.number(1)
        fields.require(kind <= 1, f"mapping type {kind} is reserved")
        mappings.append(Mapping(component, column if kind == 1 else None))
    return tuple(mappings)


def _parse_cdef(fields: Fields) -> tuple[Channel, ...]:
    count = fields.number(2)
    fields.require(count > 0, "no channel")
    channels = []
    for _ in range(count):
        index, kind, colour = fields.number(2), fields.number(2), fields.number(2)
        channels.append(Channel(index, kind, None if colour == _UNASSOCIATED else colour))
    fields.require(len({channel.index for channel in channels}) == count, "a channel is defined twice")
    return tuple(channels)


def _parse_res(fields: Fields) -> Resolutions:
    capture = display = None
    offset = fields.at
    for box, inner in children(fields.rest(), offset=offset):
        if box.kind == b"resc":
            capture = _parse_resolution(inner)
        elif box.kind == b"resd":
            display = _parse_resolution(inner)
    return Resolutions(capture, display)


def _parse_resolution(fields: Fields) -> tuple[float, float] | None:
    y, y_divisor, x, x_divisor = (fields.number(2) for _ in range(4))
    y_exponent, x_exponent = fields.signed(1), fields.signed(1)
    if not (y and y_divisor and x and x_divisor):
        return None
    return y / y_divisor * 10.0**y_exponent, x / x_divisor * 10.0**x_exponent
