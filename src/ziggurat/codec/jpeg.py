"""JPEG pixels and segments: encoded, decoded and proved complete. No I/O.

libjpeg-turbo does the transforms. It only *warns* where entropy-coded data ends too early and fills the rest with
grey, and its warnings cannot be seen here; ``decode`` therefore proves by other means that every unit was there.
"""

import math
import re
import struct
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

import imagecodecs
import numpy as np

from ziggurat.codec.jpeg_syntax import (
    MAX_SEGMENTS,
    Frame,
    Marker,
    Segment,
    end_of_scan,
    is_frame,
    natural_order,
    parse_frame,
    quantisation_tables,
    restart_interval,
    restarts,
    segment_at,
)
from ziggurat.errors import CorruptImage, UnsupportedFeature, UsageError
from ziggurat.model import Metadata, Resolution, Samples

__all__ = [
    "Segments",
    "Subsampling",
    "decode",
    "encode",
    "natural_order",
    "opening",
    "quantisation_tables",
    "with_segments",
]

type Subsampling = Literal["444", "422", "420"]
type ColourModel = Literal["GRAYSCALE", "RGB", "YCBCR", "CMYK", "YCCK"]

MAX_SIDE = 65_500
"""libjpeg's JPEG_MAX_DIMENSION; the format itself ends at 65,535."""

MAX_SCANS = 1000
"""Scans of one image. Progressive files have about ten; a scan of a few bytes can cost a pass over the image."""

_MAX_PAYLOAD = 65_533
"""Bytes behind the length field of a segment."""

_ICC = b"ICC_PROFILE\0"
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_PAD = b"\x5a\x96\x2d" * 85
"""Entropy-coded data that no encoder meant: what a decoder makes of it is not a flat grey."""


@dataclass(frozen=True, slots=True)
class Segments:
    """What to store beside the pixels.

    Attributes:
        resolution: pixels per metre, stored as whole pixels per centimetre or inch, whichever is closer.
        icc: colour profile.
        metadata: EXIF, XMP and IPTC.
    """

    resolution: Resolution | None = None
    icc: bytes | None = None
    metadata: Metadata = field(default_factory=Metadata)


def encode(pixels: Samples, *, quality: int, subsampling: Subsampling = "444", optimise: bool = False) -> bytes:
    """A baseline JFIF file of grey or RGB pixels.

    Args:
        pixels: (y, x, 1 or 3) uint8.
        quality: 1 to 100 on libjpeg's scale.
        subsampling: of chroma; without meaning for one band.
        optimise: whether the Huffman codes are made for this image (a second pass) or are those of T.81 annex K.

    Raises:
        UsageError: if the pixels are of another kind.
    """
    check_pixels(pixels)
    # An axis of length one may have any stride, and the encoder takes only the usual one.
    grey = pixels.shape[2] == 1
    packed = np.ascontiguousarray(pixels[:, :, 0] if grey else pixels)
    try:
        data = imagecodecs.jpeg8_encode(packed, quality, subsampling=subsampling, optimize=optimise)
    except (imagecodecs.Jpeg8Error, ValueError) as error:
        raise UsageError(f"{pixels.shape} pixels cannot be encoded as JPEG: {error}") from error
    return bytes(data)


def check_pixels(pixels: Samples) -> None:
    """Whether JPEG can be made of them.

    Raises:
        UsageError: if not.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in {1, 3}:  # noqa: PLR2004 - axes and bands
        raise UsageError(f"JPEG is made from (y, x, 1 or 3) uint8, not {pixels.shape} {pixels.dtype}")


def with_segments(jpeg: bytes, extra: Segments) -> bytes:
    """The JPEG with density, EXIF, XMP, profile and IPTC put in right behind its JFIF header.

    The order is the customary one: APP0, EXIF, XMP (APP1), ICC (APP2), IPTC (APP13).

    Raises:
        UnsupportedFeature: if EXIF, XMP or IPTC is larger than one segment holds, or the profile than 255.
        CorruptImage: if the JPEG does not begin with a JFIF header.
    """
    head, rest = opening(jpeg, extra)
    return head + jpeg[rest:]


def opening(jpeg: bytes, extra: Segments) -> tuple[bytes, int]:
    """What ``with_segments`` puts in front, and where in the JPEG the rest begins: large files need no copy.

    Raises:
        UnsupportedFeature: as there.
        CorruptImage: as there.
    """
    first = segment_at(jpeg, 2, name="the JPEG")
    if first.marker != Marker.APP0 or not jpeg.startswith(b"JFIF\0", first.start):
        raise CorruptImage("the JPEG does not begin with a JFIF header")
    jfif = bytearray(jpeg[first.offset : first.end])
    if extra.resolution is not None:
        # Behind the marker, the length and "JFIF\0" come the version, the unit and the densities.
        struct.pack_into(">BHH", jfif, 11, *_density(extra.resolution))
    return b"".join((jpeg[:2], jfif, application_segments(extra))), first.end


def application_segments(extra: Segments) -> bytes:
    """The APP1, APP2 and APP13 segments of these blocks, in the customary order.

    Raises:
        UnsupportedFeature: if one does not fit.
    """
    parts: list[bytes] = []
    meta = extra.metadata
    if meta.exif:
        parts.append(_segment(Marker.APP1, _EXIF + meta.exif, "EXIF"))
    if meta.xmp:
        parts.append(_segment(Marker.APP1, _XMP + meta.xmp, "XMP"))
    if extra.icc:
        parts.extend(_icc_segments(extra.icc))
    if meta.iptc:
        # An image resource (Adobe Photoshop file formats, "image resource blocks") with an empty, even-sized name.
        size = struct.pack(">I", len(meta.iptc))
        resource = b"8BIM\x04\x04\0\0" + size + meta.iptc + b"\0" * (len(meta.iptc) % 2)
        parts.append(_segment(Marker.APP13, _PHOTOSHOP + resource, "IPTC"))
    return b"".join(parts)


def _segment(marker: int, payload: bytes, what: str) -> bytes:
    if len(payload) > _MAX_PAYLOAD:
        raise UnsupportedFeature(
            f"{what} of {len(payload)} bytes does not fit into a JPEG segment of {_MAX_PAYLOAD}; choose ptiff, or "
            "leave it out"
        )
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _icc_segments(icc: bytes) -> list[bytes]:
    """The profile in numbered chunks (ICC.1:2022 B.4)."""
    room = _MAX_PAYLOAD - len(_ICC) - 2
    chunks = [icc[at : at + room] for at in range(0, len(icc), room)]
    if len(chunks) > 255:  # noqa: PLR2004 - the count is one byte
        raise UnsupportedFeature(f"the ICC profile of {len(icc)} bytes is too large for a JPEG")
    return [
        _segment(Marker.APP2, _ICC + bytes((number, len(chunks))) + chunk, "ICC")
        for number, chunk in enumerate(chunks, 1)
    ]


def _density(resolution: Resolution) -> tuple[int, int, int]:
    """JFIF's unit, and horizontal and vertical density in it (T.871 10.1)."""

    def rounded(unit: float) -> tuple[int, int]:
        x, y = (min(65_535, max(1, round(value * unit))) for value in (resolution.x, resolution.y))
        return x, y

    def error(unit: float) -> float:
        x, y = rounded(unit)
        return abs(x / unit / resolution.x - 1) + abs(y / unit / resolution.y - 1)

    number, unit = min(((1, 0.0254), (2, 0.01)), key=lambda choice: error(choice[1]))
    return number, *rounded(unit)


@dataclass(frozen=True, slots=True)
class Scans:
    """Where the entropy-coded data of a whole file lies.

    Attributes:
        frame: the frame header.
        spans: start and end of each scan's data.
        interval: MCUs between restart markers in the last scan; 0 for none.
        eoi: offset of the end marker.
    """

    frame: Frame
    spans: tuple[tuple[int, int], ...]
    interval: int
    eoi: int


def scan_structure(data: bytes, *, name: str) -> Scans:
    """Follows the markers from SOI to EOI.

    Raises:
        CorruptImage: if the data ends before EOI, restart markers are missing or out of order, or a component
            has no scan.
    """
    frame: Frame | None = None
    spans: list[tuple[int, int]] = []
    seen: set[int] = set()
    interval, at = 0, 2
    for _ in range(MAX_SEGMENTS):
        segment = segment_at(data, at, name=name)
        at = segment.end
        if segment.marker == Marker.EOI:
            break
        if is_frame(segment.marker):
            if frame is not None:
                raise CorruptImage(f"{name} has a second frame header at byte {segment.offset}")
            frame = parse_frame(data, segment, name=name)
        elif segment.marker == Marker.DRI:
            interval = restart_interval(data, segment)
        elif segment.marker == Marker.SOS:
            if frame is None:
                raise CorruptImage(f"{name} has a scan before its frame header at byte {segment.offset}")
            members = _scan_components(data, segment, frame, name=name)
            seen |= members
            at = _end_of_scan(data, segment.end, name=name)
            _check_restarts(data, (segment.end, at), interval, _units(frame, members), name=name)
            spans.append((segment.end, at))
            _check_count(spans, name=name)
    if frame is None or segment.marker != Marker.EOI or seen != {c.identifier for c in frame.components}:
        raise CorruptImage(f"{name} ends at byte {segment.offset} before every component had a scan")
    return Scans(frame, tuple(spans), interval, segment.offset)


def _check_count(spans: list[tuple[int, int]], *, name: str) -> None:
    if len(spans) > MAX_SCANS:
        raise CorruptImage(f"{name} has over {MAX_SCANS} scans")


def _end_of_scan(data: bytes, start: int, *, name: str) -> int:
    end = end_of_scan(data, start)
    if end < 0:
        raise CorruptImage(f"{name} ends at byte {len(data)} inside its pixel data: truncated")
    return end


def _scan_components(data: bytes, segment: Segment, frame: Frame, *, name: str) -> set[int]:
    """The identifiers that a scan header names (T.81 B.2.3)."""
    body = data[segment.start : segment.end]
    count = body[0] if body else 0
    members = set(body[1 : 1 + 2 * count : 2])
    known = {c.identifier for c in frame.components}
    if not count or len(body) < 4 + 2 * count or not members <= known:
        raise CorruptImage(f"{name}: the scan header at byte {segment.offset} does not fit the frame header")
    return members


def _units(frame: Frame, members: set[int]) -> int:
    """MCUs of a scan (T.81 A.2): interleaved ones, or the blocks of a single component."""
    if len(members) > 1:
        return frame.mcu_rows * frame.mcus_per_row
    component = next(c for c in frame.components if c.identifier in members)
    unit = 1 if frame.lossless else 8
    rows = math.ceil(frame.height * component.vertical / max(c.vertical for c in frame.components))
    columns = math.ceil(frame.width * component.horizontal / max(c.horizontal for c in frame.components))
    return math.ceil(rows / unit) * math.ceil(columns / unit)


def _check_restarts(data: bytes, span: tuple[int, int], interval: int, units: int, *, name: str) -> None:
    found = restarts(data, *span)
    expected = -(-units // interval) - 1 if interval else 0
    if found.size != expected:
        raise CorruptImage(
            f"{name}: the scan at byte {span[0]} has {found.size} restart markers, {expected} are due: damaged"
        )
    numbers = np.frombuffer(data, np.uint8)[found + 1] - Marker.RST0
    if not np.array_equal(numbers, np.arange(expected) % 8):
        raise CorruptImage(f"{name}: the restart markers of the scan at byte {span[0]} are out of order: damaged")


def decode(data: bytes, model: ColourModel, *, name: str) -> Samples:
    """All pixels of a whole file, proved complete.

    Args:
        data: from SOI to EOI; what follows is ignored.
        model: how the components are to be understood. YCBCR gives RGB, YCCK gives CMYK as stored.
        name: for messages.

    Returns:
        (y, x, band) uint8 or uint16.

    Raises:
        CorruptImage: if it does not decode, or pixel data ends before the last unit.
        UnsupportedFeature: if libjpeg does not know the process.
    """
    scans = scan_structure(data, name=name)
    pixels = decode_raw(data, model, scans.frame, name=name)
    if _suspicious(pixels, scans, model):
        # A digest instead of the pixels: two pictures at once would double the memory.
        seen = _digest(pixels)
        del pixels
        pixels = decode_raw(_padded(data, scans), model, scans.frame, name=name)
        if _digest(pixels) != seen:
            raise CorruptImage(f"{name}: pixel data ends before the last row is complete: truncated or damaged")
    return pixels


def _digest(pixels: Samples) -> bytes:
    return blake2b(memoryview(np.ascontiguousarray(pixels)).cast("B")).digest()


def decode_raw(data: bytes, model: ColourModel, frame: Frame, *, name: str) -> Samples:
    """What libjpeg makes of the data, its shape checked against the header."""
    target = {"YCBCR": "RGB", "YCCK": "CMYK"}.get(model, model)
    try:
        pixels: Samples = imagecodecs.jpeg8_decode(data, colorspace=model, outcolorspace=target)
    except (imagecodecs.Jpeg8Error, ValueError, OverflowError, RuntimeError) as error:
        if "nsupported" in str(error) or "not implemented" in str(error).lower():
            raise UnsupportedFeature(f"{name}: libjpeg does not decode this kind of JPEG: {error}") from error
        raise CorruptImage(f"{name} does not decode as JPEG: {error}") from error
    pixels = pixels.reshape((*pixels.shape[:2], -1))
    expected = (frame.height, frame.width, len(frame.components))
    if pixels.shape != expected:
        raise CorruptImage(f"{name} decoded to {pixels.shape}, its header declares {expected}")
    return pixels


def _suspicious(pixels: Samples, scans: Scans, model: ColourModel) -> bool:
    """Whether data may have run out: then the last unit of an interval holds no coefficients and is mid-grey.

    Progressive and lossless scans have no such mark and are always looked at again. In arithmetic coding running
    out is legal (T.81 D.2.6).
    """
    frame = scans.frame
    if frame.arithmetic:
        return False
    if frame.progressive or frame.lossless or len(scans.spans) > 1:
        return True
    units = frame.mcu_rows * frame.mcus_per_row
    step = scans.interval or units
    last = np.append(np.arange(step - 1, units - 1, step), units - 1)
    height, width = frame.mcu
    y = np.minimum((last // frame.mcus_per_row) * height + height // 2, frame.height - 1)
    x = np.minimum((last % frame.mcus_per_row) * width + width // 2, frame.width - 1)
    samples = pixels[y, x].astype(np.int32)
    # Chroma of a neighbour may have bled in; luma has not.
    luma = samples @ np.array([299, 587, 114]) / 1000 if model == "YCBCR" else samples[:, -1]
    middle, slack = 1 << (frame.precision - 1), 4 << (frame.precision - 8)
    return bool((np.abs(luma - middle) <= slack).any())


def _padded(data: bytes, scans: Scans) -> bytes:
    """The same file with foreign data behind every interval: it decodes alike only if nothing was missing."""
    parts: list[bytes] = []
    at = 0
    for start, end in scans.spans:
        parts.append(data[at:start])
        parts.append(re.sub(rb"(\xff[\xd0-\xd7])", lambda match: _PAD + match[0], data[start:end]))
        parts.append(_PAD)
        at = end
    parts.append(data[at:])
    return b"".join(parts)
