"""Finding, in a file, the codestream and what is said around it (ISO/IEC 15444-1 Annex I). No pixels."""

from collections.abc import Iterator
from dataclasses import dataclass

from ziggurat.codestream.boxes import (
    MAX_HEADER,
    SIGNATURE,
    UUID_EXIF,
    UUID_GEOTIFF,
    UUID_IPTC,
    UUID_XMP,
    Box,
    Jp2Header,
    parse_box,
    parse_header,
)
from ziggurat.codestream.fields import Incomplete
from ziggurat.codestream.markers import (
    MainHeader,
    Marker,
    TilePart,
    parse_main_header,
    parse_tile_part,
    scan_segments,
)
from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.model import Metadata
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

_FIRST_READ = 1 << 14
"""Bytes read at once: holds the whole header of nearly every file that does not carry an ICC profile."""

_NEXT_READ = 1 << 12
"""Bytes read where a box lies elsewhere: its header and a small content."""

_MAX_BOXES = 1000
"""Top-level boxes that are looked at; each can cost a request."""

_MAX_CONTENT = 64 << 20
"""Bytes of a box or of a main header that are read; an ICC profile or EXIF block has at most a few million."""

_SOT_BYTES = 12

_MAX_XML = 1 << 16
"""Characters of an XML box that are passed on."""

_BRANDS = {b"jp2 ": "jp2", b"jpx ": "jp2", b"jpm ": "jp2", b"jph ": "jph"}


class _Bytes:
    """Small reads of a source, of which the last one is kept."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.size = source.size
        self._start = 0
        self._data = source.read_ranges([ByteRange(0, min(_FIRST_READ, source.size))])[0]

    def get(self, start: int, end: int) -> bytes:
        """Bytes from start to end, or to the end of the source."""
        end = min(end, self.size)
        if start >= end:
            return b""
        if not self._start <= start <= end <= self._start + len(self._data):
            self._data = self._source.read_ranges([ByteRange(start, min(max(end, start + _NEXT_READ), self.size))])[0]
            self._start = start
        return self._data[start - self._start : end - self._start]


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A file's parts.

    Attributes:
        format: jp2, jph or j2k.
        brand: of the file type box; empty for a bare codestream.
        codestream: where the first codestream lies, cut at the end of the file.
        main: its main header.
        head: the main header's bytes.
        first: the first tile-part, unless it is damaged.
        tile_markers: names of the markers in its header, as far as they were read.
        header: what jp2h says.
        notes: what is wrong with the wrapper without hindering reading.
        truncated: bytes of the codestream that are missing at the end of the file.
    """

    format: str
    brand: str
    codestream: ByteRange
    main: MainHeader
    head: bytes
    first: TilePart | None
    tile_markers: tuple[str, ...]
    header: Jp2Header
    metadata: Metadata
    xml: tuple[str, ...] = ()
    geotiff: int | None = None
    notes: tuple[str, ...] = ()
    truncated: int = 0


@dataclass(slots=True)
class _Found:
    """What the walk over the boxes has met so far."""

    notes: list[str]
    xml: list[str]
    codestreams: list[Box]
    brand: bytes = b""
    header: Box | None = None
    header_content: bytes = b""
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    geotiff: int | None = None
    fragmented: bool = False


def read_container(source: ByteSource) -> Container:
    """Reads the header of a file, boxed or bare, in a few small requests.

    Raises:
        CorruptImage: naming box or marker, byte and rule.
        UnsupportedFeature: if the codestream lies in other files or in fragments.
    """
    data = _Bytes(source)
    if data.get(0, 2) == Marker.SOC.to_bytes(2):
        return _bare(data)
    found = _Found([], [], [])
    for box in _boxes(data, found):
        _visit(box, data, found)
    if not found.codestreams:
        if found.fragmented:
            raise UnsupportedFeature("the codestream lies in fragments (box 'ftbl'), which are not read")
        raise CorruptImage("there is no codestream: no box 'jp2c' up to the end of the file")
    box = found.codestreams[0]
    if len(found.codestreams) > 1:
        found.notes.append(f"{len(found.codestreams)} codestreams; the first one is read")
    if found.header is None:
        found.notes.append("no box 'jp2h': what its colours mean is not known")
    header = parse_header(found.header_content, offset=found.header.start if found.header else 0)
    main, first, tile_markers = _main_header(data, box.start, min(box.end, data.size))
    head = data.get(box.start, box.start + main.length)
    return Container(
        format=_BRANDS.get(found.brand, "jp2"),
        brand=found.brand.decode("latin-1").strip(),
        codestream=ByteRange(box.start, min(box.end, data.size)),
        main=main,
        head=head,
        first=first,
        tile_markers=tile_markers,
        header=header,
        metadata=Metadata(exif=found.exif, xmp=found.xmp, iptc=found.iptc),
        xml=tuple(found.xml),
        geotiff=found.geotiff,
        notes=tuple(found.notes),
        truncated=max(0, box.end - data.size),
    )


def _bare(data: _Bytes) -> Container:
    main, first, tile_markers = _main_header(data, 0, data.size)
    return Container(
        format="j2k",
        brand="",
        codestream=ByteRange(0, data.size),
        main=main,
        head=data.get(0, main.length),
        first=first,
        tile_markers=tile_markers,
        header=Jp2Header(),
        metadata=Metadata(),
    )


def _main_header(data: _Bytes, start: int, end: int) -> tuple[MainHeader, TilePart | None, tuple[str, ...]]:
    length = min(max(_FIRST_READ - start, _NEXT_READ), end - start)
    while True:
        prefix = data.get(start, start + length)
        main = parse_main_header(prefix, base=start)
        if isinstance(main, MainHeader):
            break
        if main.needed > end - start:
            raise CorruptImage(
                f"codestream at byte {start}: its main header is not complete where the codestream ends, "
                f"at byte {end}: the file is truncated"
            )
        if main.needed > _MAX_CONTENT:
            raise CorruptImage(f"codestream at byte {start}: its main header is longer than {_MAX_CONTENT} bytes")
        length = min(max(main.needed, 2 * length), end - start)
    try:
        first = parse_tile_part(
            data.get(start, start + main.length + _SOT_BYTES),
            main.length,
            tiles=main.siz.tiles,
            base=start,
            size=end - start,
        )
        if not isinstance(first, TilePart):
            return main, None, ()
        inner = main.length + _SOT_BYTES
        segments, _ = scan_segments(prefix[inner:], 0, until=Marker.SOD, base=start + inner)
    except CorruptImage:
        return main, None, ()  # the pixels will tell
    return main, first, tuple(dict.fromkeys(segment.name for segment in segments))


def _boxes(data: _Bytes, found: _Found) -> Iterator[Box]:
    """The top-level boxes. After the codestream, what is no box ends the walk instead of being an error."""
    at = 0
    for _ in range(_MAX_BOXES):
        if at >= data.size:
            return
        try:
            box = _box(data, at)
        except CorruptImage as error:
            if not found.codestreams:
                raise
            found.notes.append(f"after the codestream: {error}")
            return
        yield box
        at = box.end
    found.notes.append(f"more than {_MAX_BOXES} boxes; those from byte {at} on are not looked at")


def _box(data: _Bytes, at: int) -> Box:
    head = data.get(at, at + MAX_HEADER)
    # A codestream cut short by the end of the file still has a header worth reading.
    limit = 1 << 64 if head[4:8] == b"jp2c" and head[:4] != bytes(4) else data.size
    box = parse_box(head, 0, offset=at, limit=limit)
    if isinstance(box, Incomplete):
        raise CorruptImage(f"box at byte {at}: {len(head)} bytes are no box")
    return box


def _visit(box: Box, data: _Bytes, found: _Found) -> None:
    match box.kind:
        case b"jP  " | b"jP\x1a\x1a" if data.get(box.start, box.end)[:5] != SIGNATURE:
            found.notes.append("the signature box is damaged")
        case b"ftyp":
            _visit_type(_content(box, data), found)
        case b"jp2h" if found.header is None:
            found.header = box
            found.header_content = _content(box, data) + found.header_content
        case b"colr" | b"pclr" | b"cmap" | b"cdef" | b"bpcc" | b"res ":
            # Some writers close jp2h too early: what follows it belongs inside.
            found.notes.append(f"{box.name} lies outside of 'jp2h'")
            found.header_content += data.get(box.offset, box.start) + _content(box, data)
        case b"jp2c":
            found.codestreams.append(box)
        case b"ftbl":
            found.fragmented = True
        case b"uuid" | b"xml ":
            _visit_metadata(box, data, found)


def _visit_metadata(box: Box, data: _Bytes, found: _Found) -> None:
    if box.end - box.start > _MAX_CONTENT:
        found.notes.append(f"{box.name} is larger than {_MAX_CONTENT} bytes and passed over")
    elif box.kind == b"uuid":
        _visit_uuid(data.get(box.start, box.start + 16), box, data, found)
    else:
        text = _content(box, data)[: 4 * _MAX_XML].rstrip(b"\0").decode("utf-8", "replace")
        found.xml.append(text[:_MAX_XML])


def _content(box: Box, data: _Bytes) -> bytes:
    if box.end - box.start > _MAX_CONTENT:
        raise CorruptImage(f"{box.name} is {box.end - box.start} bytes long, more than {_MAX_CONTENT} are not believed")
    return data.get(box.start, box.end)


def _visit_type(content: bytes, found: _Found) -> None:
    compatible = [content[at : at + 4] for at in range(8, len(content), 4)]
    known = [brand for brand in (content[:4], *compatible) if brand in _BRANDS]
    found.brand = known[0] if known else content[:4]
    if content[:4] not in _BRANDS:
        found.notes.append(f"the file type box names the brand {content[:4].decode('latin-1')!r}")


def _visit_uuid(identifier: bytes, box: Box, data: _Bytes, found: _Found) -> None:
    if identifier == UUID_GEOTIFF:
        found.geotiff = box.end - box.start - 16
    if identifier not in {UUID_XMP, UUID_EXIF, UUID_IPTC}:
        return
    content = data.get(box.start + 16, box.end)
    if identifier == UUID_XMP and found.xmp is None:
        found.xmp = content.rstrip(b"\0")
    elif identifier == UUID_EXIF and found.exif is None:
        block = content.removeprefix(b"EXIF\0\0").removeprefix(b"Exif\0\0")
        if block[:4] in {b"II*\0", b"MM\0*"}:
            found.exif = block
        else:
            found.notes.append(f"{box.name}: its EXIF block begins with {block[:4].hex(' ')} and is left out")
    elif identifier == UUID_IPTC and found.iptc is None:
        if content[:1] == b"\x1c":
            found.iptc = content
        else:
            found.notes.append(f"{box.name}: its IPTC block begins with {content[:4].hex(' ')} and is left out")
