"""A file around a codestream that is laid out anew: its boxes in their order (ISO/IEC 15444-1 Annex I)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ziggurat.codestream.boxes import MAX_HEADER, UUID_GEOTIFF, Box, children, parse_box
from ziggurat.codestream.fields import Incomplete
from ziggurat.codestream.reads import Reads, Span, one
from ziggurat.codestream.transcode import Transcoding
from ziggurat.errors import CorruptImage, UnsupportedFeature

_INDEXES = frozenset({b"cidx", b"fidx", b"iptr", b"prxy"})
"""Boxes that say at which bytes of the file things lie (ISO/IEC 15444-9 Annex I): they would lie."""

_REFERRING = frozenset({b"asoc", b"jpch", b"jplh", b"cref"})
_MAX_BOXES = 1000
_MAX_CONTENT = 64 << 20
_LONGEST_BOX = (1 << 32) - 1
_NUMBER = 65535
_EXPONENTS = range(-128, 128)


@dataclass(frozen=True, slots=True)
class Rewrapping:
    """A file to be written.

    Attributes:
        before, after: what surrounds the codestream: bytes, and spans of the source.
        codestream: what replaces the source's.
        notes: what the user should know.
    """

    before: tuple[bytes | Span, ...]
    codestream: Transcoding
    after: tuple[bytes | Span, ...]
    notes: tuple[str, ...]

    @property
    def start(self) -> int:
        """Where the codestream begins."""
        return sum(len(item) if isinstance(item, bytes) else item.end - item.start for item in self.before)

    def pieces(self) -> Iterator[bytes | Span]:
        """What the file consists of."""
        yield from self.before
        yield from self.codestream.pieces()
        yield from self.after


def plan_file(span: Span, size: int, codestream: Transcoding, *, level: int) -> Reads[Rewrapping]:
    """Plans the file around a codestream.

    Args:
        span: where the codestream lies in the source.
        size: bytes of the source.
        codestream: what replaces it.
        level: levels that were left out.

    Raises:
        CorruptImage: if the boxes do not follow each other.
        UnsupportedFeature: if fragments of codestreams lie at fixed places of the file.
    """
    if span.start == 0:
        return Rewrapping((), codestream, (), ())
    boxes, rest = yield from _boxes(span.start, size)
    before: list[bytes | Span] = []
    after: list[bytes | Span] = []
    notes: list[str] = []
    out = before
    for box in boxes:
        if box.start == span.start and box.kind == b"jp2c":
            out.append(_head(b"jp2c", codestream.length))
            out = after
        elif box.kind == b"ftbl":
            raise UnsupportedFeature(f"{box.name}: codestreams in fragments lie at fixed bytes of the file")
        elif box.kind in _INDEXES:
            notes.append(f"{box.name} says where packets lay; it is left out")
        else:
            out += yield from _kept(box, codestream, level, notes)
    if out is before:
        raise CorruptImage(f"the codestream at byte {span.start} lies in no box of its own")
    if rest < size:
        after.append(Span(rest, size))
    return Rewrapping(tuple(before), codestream, tuple(after), tuple(notes))


def _head(kind: bytes, length: int) -> bytes:
    """A box's header: XLBox where LBox is too short (I.4)."""
    if length + 8 <= _LONGEST_BOX:
        return (length + 8).to_bytes(4) + kind
    return (1).to_bytes(4) + kind + (length + MAX_HEADER).to_bytes(8)


def _boxes(codestream: int, size: int) -> Reads[tuple[list[Box], int]]:
    """The top-level boxes, and where what is no box begins behind the codestream."""
    found: list[Box] = []
    at = 0
    while at < size and len(found) < _MAX_BOXES:
        data = yield from one(at, min(at + MAX_HEADER, size))
        cut_short = at < codestream and data[4:8] == b"jp2c" and data[:4] != bytes(4)
        try:
            box = parse_box(data, 0, offset=at, limit=1 << 64 if cut_short else size)
        except CorruptImage:
            box = Incomplete(0)
            if at < codestream:
                raise
        if isinstance(box, Incomplete):
            break
        found.append(box)
        at = box.end
    return found, at


def _kept(box: Box, codestream: Transcoding, level: int, notes: list[str]) -> Reads[Sequence[bytes | Span]]:
    """A box that stays, changed where levels are left out."""
    whole = Span(box.offset, box.end)
    if box.end - box.start > _MAX_CONTENT:
        return [whole]
    if box.kind in _REFERRING:
        content = yield from one(box.start, box.end)
        if box.kind == b"cref" or b"cref" in content or b"flst" in content:
            notes.append(f"{box.name} refers to bytes of files; where that is this file it is no longer right")
        if level and b"gml" in content:
            notes.append(f"{box.name} holds GML, which still describes the pixels of full resolution")
    if not level:
        return [whole]
    if box.kind == b"uuid" and (yield from one(box.start, box.start + 16)) == UUID_GEOTIFF:
        notes.append(f"{box.name} holds GeoTIFF tags, which still describe the pixels of full resolution")
    if box.kind in {b"jp2h", b"jpch", b"jplh", b"res "}:
        content = yield from one(box.offset, box.end)
        return [_smaller(content, box.offset, codestream, level)]
    return [whole]


def _smaller(data: bytes, offset: int, codestream: Transcoding, level: int) -> bytes:
    """Boxes, those inside of them included, with size and resolution as they are without the finest levels."""
    out = bytearray()
    for box, fields in children(data, offset=offset):
        head = data[box.offset - offset : box.start - offset]
        content = fields.rest()
        match box.kind:
            case b"jp2h" | b"jpch" | b"jplh" | b"res ":
                content = _smaller(content, box.start, codestream, level)
            case b"ihdr" if len(content) >= 8:  # noqa: PLR2004 - height and width
                content = codestream.height.to_bytes(4) + codestream.width.to_bytes(4) + content[8:]
            case b"resc" | b"resd" if len(content) >= 10:  # noqa: PLR2004 - two ratios, two exponents
                content = _scaled(content, level)
        out += head + content
    return bytes(out)


def _scaled(content: bytes, level: int) -> bytes:
    """A resolution divided by 2^level (I.5.3.7.1)."""
    vertical, y_exponent = _ratio(content[:4], content[8:9], level)
    horizontal, x_exponent = _ratio(content[4:8], content[9:10], level)
    return vertical + horizontal + y_exponent + x_exponent + content[10:]


def _ratio(ratio: bytes, exponent: bytes, level: int) -> tuple[bytes, bytes]:
    numerator, denominator = int.from_bytes(ratio[:2]), int.from_bytes(ratio[2:])
    power = int.from_bytes(exponent, signed=True)
    if not numerator or not denominator:
        return ratio, exponent
    value = Fraction(numerator, denominator << level)
    while value < 1:
        value, power = value * 10, power - 1
    while value.numerator > _NUMBER and value >= 10:  # noqa: PLR2004 - the exponent is one of ten
        value, power = value / 10, power + 1
    if value.numerator > _NUMBER or value.denominator > _NUMBER:
        value = value.limit_denominator(_NUMBER // (int(value) + 1))
    if power not in _EXPONENTS:
        return ratio, exponent
    return value.numerator.to_bytes(2) + value.denominator.to_bytes(2), power.to_bytes(1, signed=True)
