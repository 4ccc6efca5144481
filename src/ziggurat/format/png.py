"""PNG files (PNG specification, third edition): chunks read within bounds, pixels by libpng.

Grey of 1, 2 and 4 bits is scaled to 0..255, palettes and transparent colours are undone, so that ``bit_depth`` is 8 or
16; what is stored stands in ``details``.
"""

import re
import zlib
from dataclasses import dataclass, field

import imagecodecs
import numpy as np

from ziggurat.errors import CorruptImage
from ziggurat.format import exif
from ziggurat.format.whole import Header, WholeReader
from ziggurat.geometry import Size
from ziggurat.model import JSON, ColourSpace, ImageInfo, Level, Metadata, Resolution, Samples
from ziggurat.storage.protocol import ByteSource

MAX_CHUNKS = 10_000
"""Chunks looked at; pixel data of a large file may come in hundreds of thousands, of which only the first counts."""

MAX_INFLATED = 1 << 24
"""Bytes that a profile or an XMP packet may have when inflated: a few kilobytes can grow a thousandfold."""

MAX_SIDE = (1 << 31) - 1
"""PNG 11.1.1."""

TAIL = 1 << 16
"""Bytes at the end in which EXIF and XMP behind the pixels are looked for."""

_SIGNATURE = 8
_WRAPPER = 12
"""Bytes of a chunk besides its data: length, type, CRC."""

_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bit depths by colour type (PNG table 12)."""

_PALETTE = 3
_KINDS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey and alpha", 6: "RGB and alpha"}
_COLOUR_BANDS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}
_WITH_ALPHA = frozenset({4, 6})
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
"""Chunks that decoding needs: libpng does not see the others, which may be bombs."""

_XMP = b"XML:com.adobe.xmp\0"


@dataclass(slots=True)
class _Found:
    """Chunks by type; of a repeated type the first counts."""

    chunks: dict[bytes, bytes] = field(default_factory=dict)
    xmp: bytes | None = None

    def take(self, kind: bytes, body: bytes, url: str) -> None:
        if kind == b"iTXt" and body.startswith(_XMP):
            self.xmp = self.xmp or _xmp(body[len(_XMP) :], url)
        else:
            self.chunks.setdefault(kind, body)


def open_reader(source: ByteSource) -> WholeReader:
    """Opens a PNG by the chunks in front of its pixels, and metadata at its end.

    Raises:
        CorruptImage: if a chunk leaves the file, fails its CRC, or contradicts the specification.
    """
    header = Header(source)
    found = _Found()
    at = _SIGNATURE
    for _ in range(MAX_CHUNKS):
        head = header.read(at, 8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == b"IDAT":
            break
        body = _chunk(header, at, length, kind)
        if kind == b"IEND":
            raise CorruptImage(f"{source.url} has no pixels: IEND at byte {at} comes before any IDAT")
        found.take(kind, body, source.url)
        at += length + _WRAPPER
    else:
        raise CorruptImage(f"{source.url} has over {MAX_CHUNKS} chunks before its pixels")
    _take_tail(found, header, at)
    info = _describe(found, source.url)
    # libpng holds a few rows, or for interlaced files their pixels in place.
    return WholeReader(
        source, info, lambda data: _decode(data, source.url), scratch=source.size + 16 * info.size.width + (1 << 20)
    )


def _chunk(header: Header, at: int, length: int, kind: bytes) -> bytes:
    """A chunk's data, its CRC checked."""
    data = header.read(at + 4, length + 8)
    if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "big"):
        raise CorruptImage(f"{header.url}: the chunk {kind!r} at byte {at} fails its CRC")
    return data[4:-4]


def _take_tail(found: _Found, header: Header, start: int) -> None:
    """EXIF and XMP behind the pixels: a chunk is one if its CRC says so; walking there would read all lengths."""
    first = max(start, header.size - TAIL)
    tail = header.read(first, header.size - first)
    for match in re.finditer(rb"eXIf|iTXt", tail):
        length = int.from_bytes(tail[max(0, match.start() - 4) : match.start()], "big")
        end = match.end() + length
        if end + 4 <= len(tail) and zlib.crc32(tail[match.start() : end]) == int.from_bytes(tail[end : end + 4], "big"):
            found.take(match[0], tail[match.end() : end], header.url)


def _describe(found: _Found, url: str) -> ImageInfo:
    header = found.chunks.get(b"IHDR", b"")
    if len(header) != 13:  # noqa: PLR2004 - PNG 11.2.1
        raise CorruptImage(f"{url} has no valid IHDR chunk")
    width, height = (int.from_bytes(header[at : at + 4], "big") for at in (0, 4))
    depth, kind, compression, filtering, interlace = header[8:]
    if depth not in _DEPTHS.get(kind, ()) or compression or filtering or interlace > 1:
        raise CorruptImage(f"{url}: IHDR declares an illegal combination: {header[8:].hex(' ')}")
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise CorruptImage(f"{url}: IHDR declares {height} x {width} pixels")
    if kind == _PALETTE and b"PLTE" not in found.chunks:
        raise CorruptImage(f"{url} has no palette, its pixels need one")
    alpha = kind in _WITH_ALPHA or b"tRNS" in found.chunks
    blob = found.chunks.get(b"eXIf")
    icc = _profile(found.chunks.get(b"iCCP"), url)
    png: dict[str, JSON] = {"bit_depth": depth, "colour_type": _KINDS[kind], "interlaced": bool(interlace)}
    if b"gAMA" in found.chunks:
        png["gamma"] = int.from_bytes(found.chunks[b"gAMA"][:4], "big") / 100_000
    return ImageInfo(
        format="png",
        levels=(Level(Size(height, width)),),
        bands=_COLOUR_BANDS[kind] + alpha,
        dtype="uint16" if depth > 8 else "uint8",  # noqa: PLR2004 - bits
        bit_depth=max(8, depth),
        colour_space=_colour(kind, srgb=b"sRGB" in found.chunks),
        alpha="straight" if alpha else None,
        icc=icc,
        orientation=exif.orientation(blob),
        resolution=_resolution(found.chunks.get(b"pHYs")) or exif.resolution(blob),
        metadata=Metadata(exif=blob, xmp=found.xmp),
        details={"png": png},
    )


def _colour(kind: int, *, srgb: bool) -> ColourSpace:
    if _COLOUR_BANDS[kind] == 1:
        return ColourSpace.GREY
    return ColourSpace.SRGB if srgb else ColourSpace.RGB


def _resolution(body: bytes | None) -> Resolution | None:
    """Pixels per metre, if the unit says so (PNG 11.3.4.3)."""
    if body is None or len(body) != 9 or body[8] != 1:  # noqa: PLR2004 - the chunk's length
        return None
    x, y = (int.from_bytes(body[at : at + 4], "big") for at in (0, 4))
    return Resolution(y, x) if x and y else None


def _profile(body: bytes | None, url: str) -> bytes | None:
    """The profile of an iCCP chunk: name, a zero, the compression method, the deflated profile (PNG 11.3.2.3)."""
    if body is None:
        return None
    _, separator, rest = body.partition(b"\0")
    if not separator or not rest or rest[0]:
        raise CorruptImage(f"{url}: the iCCP chunk is malformed")
    return _inflate(rest[1:], "the profile", url)


def _xmp(rest: bytes, url: str) -> bytes | None:
    """The packet of an iTXt chunk behind its keyword (PNG 11.3.3.4)."""
    compressed, method = rest[:1], rest[1:2]
    parts = rest[2:].split(b"\0", 2)
    if len(parts) != 3 or method != b"\0":  # noqa: PLR2004 - language, translated keyword, text
        return None
    return (_inflate(parts[2], "the XMP packet", url) if compressed == b"\1" else parts[2]) or None


def _inflate(data: bytes, what: str, url: str) -> bytes:
    """Inflates at most ``MAX_INFLATED`` bytes."""
    inflater = zlib.decompressobj()
    try:
        result = inflater.decompress(data, MAX_INFLATED)
    except zlib.error as error:
        raise CorruptImage(f"{url}: {what} does not inflate: {error}") from error
    if not inflater.eof:
        raise CorruptImage(f"{url}: {what} is cut short or inflates to more than {MAX_INFLATED >> 20} MiB")
    return result


def _decode(data: bytes, url: str) -> Samples:
    """Pixels from the chunks that libpng needs."""
    parts = [data[:_SIGNATURE]]
    view = memoryview(data)
    at, kind = _SIGNATURE, b""
    while kind != b"IEND":
        length, kind = int.from_bytes(view[at : at + 4], "big"), bytes(view[at + 4 : at + 8])
        end = at + length + _WRAPPER
        if end > len(data) or len(kind) != 4:  # noqa: PLR2004 - characters
            raise CorruptImage(f"{url} ends at byte {len(data)} inside its chunks: truncated")
        if kind in _KEPT:
            parts.append(view[at:end])  # type: ignore[arg-type]  # join takes any buffer
        at = end
    try:
        pixels: Samples = imagecodecs.png_decode(b"".join(parts))
    except (imagecodecs.PngError, ValueError, RuntimeError, OverflowError) as error:
        raise CorruptImage(f"{url} does not decode as PNG: {error}") from error
    return pixels if pixels.ndim == 3 else pixels[:, :, np.newaxis]  # noqa: PLR2004 - axes
