"""A tile's JPEG as a file of its own: what TIFF keeps apart is put together, and no pixel is decoded.

TIFF stores abbreviated streams: the tables that all tiles share lie in tag 347 (TIFF technical note 2), and the
directory says what the components mean. A file of its own says that by its markers (T.871; Adobe technical note 5116).
"""

import struct
from dataclasses import dataclass
from typing import Final, Literal

from tifffile import TiffPage

from ziggurat.codec.jpeg_syntax import Marker, Segment, is_frame, parse_frame, segments
from ziggurat.errors import CorruptImage
from ziggurat.format.tiff.colour import BLACK_IS_0, RGB, YCBCR
from ziggurat.geometry import Size

type Colour = Literal["grey", "ycc", "rgb"]

JPEG: Final = 7
"""Compression of technical note 2; the other values of tag 259 that mean JPEG do it in ways of their own."""

_JFIF: Final = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
_ADOBE_RGB: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
"""The last byte is the transform: none."""

_SHARED: Final = frozenset({Marker.DQT, Marker.DHT, Marker.DRI})
_SHOWN_EVERYWHERE: Final = frozenset({0, 1, 2})
"""Processes that every browser decodes: baseline, extended sequential, progressive, all with Huffman codes."""

_BITS: Final = 8


@dataclass(frozen=True, slots=True)
class Abbreviated:
    """What a directory says of its tiles' JPEG streams.

    Attributes:
        tables: the stream that all tiles share, if there is one.
        colour: what the components mean.
    """

    tables: bytes | None
    colour: Colour

    @property
    def components(self) -> int:
        """Sample planes of a tile."""
        return 1 if self.colour == "grey" else 3


def abbreviated(page: TiffPage) -> Abbreviated | None:
    """What a directory says of its tiles' JPEG streams; None where they cannot be files of their own.

    That is the case for more than grey or three colours, for white as 0, for other kinds of JPEG than that of technical
    note 2, and where RGB is stored as something else than the directory says.
    """
    if page.compression != JPEG or page.jpegheader is not None or page.extrasamples or page.bitspersample != _BITS:
        return None
    if page.planarconfig != 1 and page.samplesperpixel != 1:
        return None
    kinds: dict[tuple[int, int], Colour] = {(BLACK_IS_0, 1): "grey", (YCBCR, 3): "ycc", (RGB, 3): "rgb"}
    colour = kinds.get((int(page.photometric), page.samplesperpixel))
    if colour is None or (colour == "rgb" and page.is_jfif):
        return None
    return Abbreviated(page.jpegtables, colour)


def complete(data: bytes, said: Abbreviated, size: Size) -> bytes | None:
    """A tile's stream as a file of its own, the scans byte by byte as they are.

    Args:
        data: the stream.
        said: what the directory says of it.
        size: that it must have.

    Returns:
        None where it is damaged, of another size, or of a kind that browsers do not show.
    """
    try:
        shared = b"" if said.tables is None else _kept(said.tables, list(segments(said.tables, name="the tables")))
        own = list(segments(data, name="the tile"))
        frames = [parse_frame(data, one, name="the tile") for one in own if is_frame(one.marker)]
    except CorruptImage:
        return None
    end = data.rfind(b"\xff\xd9")
    if len(frames) != 1 or own[-1].marker != Marker.SOS or end < own[-1].end:
        return None
    frame = frames[0]
    fits = (frame.height, frame.width) == size and len(frame.components) == said.components
    if not fits or frame.precision != _BITS or frame.process not in _SHOWN_EVERYWHERE:
        return None
    if _contradicts(data, own, said.colour, bytes(component.identifier for component in frame.components)):
        return None
    head = _kept(data, own[:-1])
    return b"".join(
        (b"\xff\xd8", _ADOBE_RGB if said.colour == "rgb" else _JFIF, shared, head, data[own[-1].offset : end + 2])
    )


def _kept(data: bytes, found: list[Segment]) -> bytes:
    """Tables and frame headers; what applications wrote beside them says nothing that holds here."""
    return b"".join(
        data[one.offset : one.offset + 2] + struct.pack(">H", one.end - one.start + 2) + data[one.start : one.end]
        for one in found
        if one.marker in _SHARED or is_frame(one.marker)
    )


def _contradicts(data: bytes, found: list[Segment], colour: Colour, identifiers: bytes) -> bool:
    """Whether a decoder that believes the stream would take its colours for others than those of the directory."""
    marked = {one.marker: data[one.start : one.end] for one in found if one.marker in {Marker.APP0, Marker.APP14}}
    adobe = marked.get(Marker.APP14, b"")
    untransformed = adobe.startswith(b"Adobe") and adobe[11:12] == b"\0"
    if colour == "rgb":
        return Marker.APP0 in marked or (Marker.APP14 in marked and not untransformed)
    return colour == "ycc" and Marker.APP0 not in marked and (identifiers == b"RGB" or untransformed)
