"""WebP files (RFC 9649): RIFF chunks read within bounds, pixels by libwebp. Of an animation, the first frame."""

from collections.abc import Iterator
from typing import NamedTuple

import imagecodecs

from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format import exif
from ziggurat.format.whole import Header, WholeReader
from ziggurat.geometry import Size
from ziggurat.model import JSON, ColourSpace, ImageInfo, Level, Metadata, Samples
from ziggurat.storage.protocol import ByteSource

MAX_CHUNKS = 10_000
"""Chunks looked at: an animation of some minutes."""

_RIFF_HEADER = 12
_ALPHA, _ANIMATED = 0x10, 0x02
"""Flags of VP8X (RFC 9649 2.7.1)."""

_LOSSLESS_SIGNATURE = 0x2F


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    length: int


class _Canvas(NamedTuple):
    size: Size
    alpha: bool


def open_reader(source: ByteSource) -> WholeReader:
    """Opens a WebP by its chunks' headers.

    Raises:
        CorruptImage: if a chunk leaves the file, or there is no image.
        UnsupportedFeature: if the bitstream is of an unknown version.
    """
    header = Header(source)
    found: dict[bytes, _Chunk] = {}
    frames = 0
    for chunk in _chunks(header):
        frames += chunk.kind == b"ANMF"
        found.setdefault(chunk.kind, chunk)
    canvas, animated, coding = _canvas(header, found)
    blobs = {kind: _body(header, found[kind]) for kind in (b"ICCP", b"EXIF", b"XMP ") if kind in found}
    blob = blobs.get(b"EXIF", b"").removeprefix(b"Exif\0\0") or None
    webp: dict[str, JSON] = {"coding": coding, "frames": frames if animated else 1}
    info = ImageInfo(
        format="webp",
        levels=(Level(canvas.size),),
        bands=3 + canvas.alpha,
        dtype="uint8",
        bit_depth=8,
        # RFC 9649 2.7.1.4: without a profile, sRGB is assumed.
        colour_space=ColourSpace.RGB if b"ICCP" in blobs else ColourSpace.SRGB,
        alpha="straight" if canvas.alpha else None,
        icc=blobs.get(b"ICCP") or None,
        orientation=exif.orientation(blob),
        resolution=exif.resolution(blob),
        metadata=Metadata(exif=blob, xmp=blobs.get(b"XMP ") or None),
        details={"webp": webp},
    )

    def decode(data: bytes) -> Samples:
        try:
            pixels: Samples = imagecodecs.webp_decode(data, index=0 if animated else None, hasalpha=canvas.alpha)
        except (imagecodecs.WebpError, ValueError, RuntimeError, OverflowError, IndexError) as error:
            raise CorruptImage(f"{source.url} does not decode as WebP: {error}") from error
        return pixels

    # libwebp holds lossless pixels as 4 bytes each, and planes of lossy ones; an animation needs its canvas.
    return WholeReader(source, info, decode, scratch=(12 if animated else 5) * canvas.size.pixels + (1 << 20))


def _chunks(header: Header) -> Iterator[_Chunk]:
    """The chunks of the RIFF container (RFC 9649 2.3)."""
    riff = header.read(0, _RIFF_HEADER)
    end = int.from_bytes(riff[4:8], "little") + 8
    if riff[:4] != b"RIFF" or end > header.size:
        raise CorruptImage(f"{header.url}: its RIFF header declares {end} bytes, the file has {header.size}: truncated")
    at = _RIFF_HEADER
    for _ in range(MAX_CHUNKS):
        if at + 8 > end:
            return
        head = header.read(at, 8)
        length = int.from_bytes(head[4:], "little")
        if at + 8 + length > end:
            raise CorruptImage(f"{header.url}: the chunk {head[:4]!r} at byte {at} leaves the file: truncated")
        yield _Chunk(head[:4], at + 8, length)
        at += 8 + length + length % 2
    raise CorruptImage(f"{header.url} has over {MAX_CHUNKS} chunks")


def _body(header: Header, chunk: _Chunk) -> bytes:
    return header.read(chunk.start, chunk.length)


def _canvas(header: Header, found: dict[bytes, _Chunk]) -> tuple[_Canvas, bool, str]:
    """Size and alpha, whether it is an animation, and how the first frame is coded."""
    coding = "lossless" if b"VP8L" in found else "lossy"
    if b"VP8X" in found:
        body = _body(header, found[b"VP8X"])
        if len(body) < 10:  # noqa: PLR2004 - RFC 9649 2.7.1
            raise CorruptImage(f"{header.url}: its VP8X chunk has only {len(body)} bytes")
        width, height = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (4, 7))
        animated = bool(body[0] & _ANIMATED)
        if b"ANMF" not in found and not {b"VP8 ", b"VP8L"} & found.keys():
            raise CorruptImage(f"{header.url} has no image chunk")
        return _Canvas(Size(height, width), bool(body[0] & _ALPHA)), animated, "animation" if animated else coding
    if b"VP8L" in found:
        return _lossless(header, found[b"VP8L"]), False, coding
    if b"VP8 " in found:
        return _lossy(header, found[b"VP8 "]), False, coding
    raise CorruptImage(f"{header.url} has no image chunk")


def _lossless(header: Header, chunk: _Chunk) -> _Canvas:
    """RFC 9649 3.4: signature, 14 bits each of width and height minus one, the alpha flag, 3 bits of version."""
    body = header.read(chunk.start, min(chunk.length, 5))
    if len(body) < 5 or body[0] != _LOSSLESS_SIGNATURE:  # noqa: PLR2004 - as above
        raise CorruptImage(f"{header.url}: its VP8L chunk has no valid header")
    bits = int.from_bytes(body[1:], "little")
    if bits >> 29:
        raise UnsupportedFeature(f"{header.url} is lossless WebP of the unknown version {bits >> 29}")
    return _Canvas(Size((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1), bool(bits >> 28 & 1))


def _lossy(header: Header, chunk: _Chunk) -> _Canvas:
    """RFC 6386 9.1: a three-byte frame tag, the start code, 14 bits each of width and height."""
    body = header.read(chunk.start, min(chunk.length, 10))
    if len(body) < 10 or body[3:6] != b"\x9d\x01\x2a":  # noqa: PLR2004 - as above
        raise CorruptImage(f"{header.url}: its VP8 chunk has no key frame header")
    width, height = (int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    if not width or not height:
        raise CorruptImage(f"{header.url}: its VP8 chunk declares {height} x {width} pixels")
    return _Canvas(Size(height, width), alpha=False)
