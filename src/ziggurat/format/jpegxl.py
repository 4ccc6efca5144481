"""JPEG XL files (ISO/IEC 18181-1 codestream, 18181-2 container), pixels by libjxl.

The header is read up to the colour encoding. An ICC profile lies behind it, entropy-coded: it is not read, and
``details`` says that there is one and what the pixels mean then. Metadata in compressed boxes is left out, and named.
"""

from dataclasses import dataclass

import imagecodecs

from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format import exif
from ziggurat.format.bmff import Box, boxes
from ziggurat.format.jpegxl_bits import ImageHeader, parse_header
from ziggurat.format.whole import Header, WholeReader
from ziggurat.geometry import Size
from ziggurat.model import JSON, ColourSpace, ImageInfo, Level, Metadata, Samples
from ziggurat.storage.protocol import ByteSource

MAX_HEADER = 1 << 12
"""Bytes of codestream that are looked at: names of extra channels are its only longer parts."""

_CODESTREAM = b"\xff\x0a"
_MAX_INTEGER_BITS = 16
_SCRATCH = 4
"""Bytes a sample that libjxl takes: group by group it is one (measured), but a file coded for progressive display is
held whole as floats, and the header does not say which it is."""


@dataclass(frozen=True, slots=True)
class _Container:
    """What lies around the codestream."""

    head: bytes
    exif: bytes | None
    xmp: bytes | None
    compressed: tuple[str, ...]
    reconstructs_jpeg: bool


def open_reader(source: ByteSource) -> WholeReader:
    """Opens a JPEG XL file by the header of its codestream.

    Raises:
        CorruptImage: if it is cut short or contradicts itself.
        UnsupportedFeature: if it has extra channels besides alpha, or integers of over 16 bits.
    """
    header = Header(source)
    if header.read(0, min(2, header.size)) == _CODESTREAM:
        container = _Container(header.read(0, min(MAX_HEADER, header.size)), None, None, (), reconstructs_jpeg=False)
    else:
        container = _unwrap(header)
    image = parse_header(container.head, source.url)
    info = _describe(image, container, source.url)

    def decode(data: bytes) -> Samples:
        try:
            pixels: Samples = imagecodecs.jpegxl_decode(data, index=0 if image.animated else None, keeporientation=True)
        except (imagecodecs.JpegxlError, ValueError, RuntimeError, OverflowError, IndexError) as error:
            raise CorruptImage(f"{source.url} does not decode as JPEG XL: {error}") from error
        return pixels

    scratch = _SCRATCH * info.size.pixels * info.bands + (1 << 22)
    return WholeReader(source, info, decode, scratch=scratch)


def _unwrap(header: Header) -> _Container:
    """The boxes of a container: the beginning of the codestream, and metadata."""
    parts: list[bytes] = []
    found: dict[bytes, Box] = {}
    compressed: list[str] = []
    for box in boxes(header, 0, header.size):
        if box.kind in {b"jxlc", b"jxlp"}:
            # A partial codestream begins with its number (18181-2 9.9).
            start = box.start + 4 * (box.kind == b"jxlp")
            wanted = min(box.end - start, MAX_HEADER - sum(map(len, parts)))
            if wanted > 0:
                parts.append(header.read(start, wanted))
        elif box.kind == b"brob" and box.end - box.start >= 4:  # noqa: PLR2004 - the kind of the box within
            compressed.append(header.read(box.start, 4).decode("latin-1"))
        else:
            found.setdefault(box.kind, box)
    blob = _body(header, found.get(b"Exif"))
    if blob is not None:
        # The offset of the TIFF header behind this field (18181-2 9.4).
        blob = blob[4 + int.from_bytes(blob[:4], "big") :] or None
    return _Container(
        b"".join(parts), blob, _body(header, found.get(b"xml ")), tuple(compressed), reconstructs_jpeg=b"jbrd" in found
    )


def _body(header: Header, box: Box | None) -> bytes | None:
    return header.read(box.start, box.end - box.start) or None if box else None


def _describe(image: ImageHeader, container: _Container, url: str) -> ImageInfo:
    if image.unsupported is not None:
        raise UnsupportedFeature(f"{url}: {image.unsupported} is not read")
    if not image.floating and image.bits > _MAX_INTEGER_BITS:
        raise UnsupportedFeature(f"{url} has integers of {image.bits} bits; libjxl gives at most {_MAX_INTEGER_BITS}")
    if image.floating and image.bits not in {16, 32}:
        raise UnsupportedFeature(f"{url} has floats of {image.bits} bits")
    jxl: dict[str, JSON] = {
        "xyb": image.xyb,
        "animated": image.animated,
        "reconstructs_jpeg": container.reconstructs_jpeg,
    }
    if image.has_icc:
        jxl["profile"] = (
            "embedded and not read; pixels are converted by libjxl, to sRGB where it can"
            if image.xyb
            else "embedded and not read; pixels are in its space"
        )
    if container.compressed:
        jxl["compressed_boxes_left_out"] = list(container.compressed)
    space = ColourSpace.GREY if image.grey else ColourSpace.SRGB if image.srgb else ColourSpace.RGB
    kind = "float" if image.floating else "uint"
    return ImageInfo(
        format="jxl",
        levels=(Level(Size(image.height, image.width)),),
        bands=(1 if image.grey else 3) + (image.alpha is not None),
        dtype=f"{kind}{8 if image.bits <= 8 else 16 if image.bits <= 16 else 32}",  # noqa: PLR2004 - bits
        bit_depth=image.bits,
        kind="float" if image.floating else "unsigned",
        colour_space=space,
        alpha=image.alpha,
        orientation=image.orientation,
        resolution=exif.resolution(container.exif),
        metadata=Metadata(exif=container.exif, xmp=container.xmp),
        details={"jxl": jxl},
    )
