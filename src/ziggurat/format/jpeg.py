"""JPEG files: ITU-T T.81 streams with the segments of JFIF (T.871), EXIF, Adobe and ICC."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ziggurat.codec.jpeg import ColourModel, decode
from ziggurat.codec.jpeg_bands import BandLayout, Piece, RestartScanner, band_layout, decode_rows
from ziggurat.codec.jpeg_syntax import Frame, Marker, Segment, is_frame, parse_frame, restart_interval, segments
from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format import exif
from ziggurat.format.whole import checked, cropped, decoded_bytes, read_all
from ziggurat.geometry import Size, Window
from ziggurat.model import JSON, ColourSpace, ImageInfo, Level, Metadata, Resolution, Samples
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

FIRST_READ = 1 << 15
"""Bytes of the first read: the header of most files, some with a thumbnail."""

MAX_HEADER = 1 << 26
"""Bytes in front of the first scan: profile, EXIF, previews of every camera fit."""

SCAN_BLOCK = 1 << 23
"""Bytes read at a time in search of restart markers."""

_PROCESSES = {
    0: "baseline",
    1: "extended sequential",
    2: "progressive",
    3: "lossless",
    9: "extended sequential, arithmetic",
    10: "progressive, arithmetic",
    11: "lossless, arithmetic",
}
_DECODED = frozenset({0, 1, 2, 3, 9, 10})
_SUBSAMPLINGS = {(1, 1): "4:4:4", (1, 2): "4:2:2", (2, 2): "4:2:0", (2, 1): "4:4:0", (1, 4): "4:1:1", (2, 4): "4:1:0"}
_RGB_IDENTIFIERS = (0x52, 0x47, 0x42)
_JFIF, _ICC, _ADOBE = 12, 14, 12
"""Least bytes of these application segments, as far as they are looked at."""

_IPTC_RESOURCE = 0x0404
_METRES = {1: 0.0254, 2: 0.01}
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"


@dataclass(slots=True)
class _Found:
    """What the application segments hold, collected in the file's order."""

    jfif: bytes | None = None
    adobe: int | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    extended_xmp: int = 0
    icc: dict[int, bytes] = field(default_factory=dict)
    icc_count: int = 0
    photoshop: list[bytes] = field(default_factory=list)
    interval: int = 0
    scanned: int = 0
    frame: Frame | None = None


def open_reader(source: ByteSource) -> "JpegReader":
    """Opens a JPEG by the segments in front of its first scan.

    Raises:
        CorruptImage: if they are cut short or contradict themselves.
        UnsupportedFeature: if the process or the number of components is one that libjpeg does not decode.
    """
    head = _read_head(source)
    found = _collect(head, source.url)
    frame = found.frame
    if frame is None:
        raise CorruptImage(f"{source.url} has no frame header before its first scan")
    if frame.process not in _DECODED or frame.precision not in _precisions(frame):
        raise UnsupportedFeature(
            f"{source.url} is coded with JPEG process SOF{frame.process} at {frame.precision} bits, which libjpeg "
            "does not decode"
        )
    model = _model(found, frame, source.url)
    layout = band_layout(head, name=source.url)
    info = _describe(found, frame, layout, source.url)
    coding = Coding(
        model=model,
        layout=layout,
        buffered=frame.progressive or found.scanned != len(frame.components),
        inverted=found.adobe is not None and info.colour_space == ColourSpace.CMYK,
    )
    return JpegReader(source, info, coding)


def _precisions(frame: Frame) -> Iterable[int]:
    """Sample precisions that libjpeg decodes (T.81 table B.2)."""
    if frame.lossless:
        return range(2, 17)
    return (8,) if frame.process == 0 else (8, 12)


def _read_head(source: ByteSource) -> bytes:
    """The file up to the first scan's header, by reads that double."""
    length = min(source.size, FIRST_READ)
    head = source.read_ranges([ByteRange(0, length)])[0]
    while True:
        try:
            *_, last = segments(head, name=source.url)
        except CorruptImage:
            if length == source.size or length >= MAX_HEADER:
                raise
        else:
            return head[: last.end]
        grown = min(source.size, 2 * length)
        head += source.read_ranges([ByteRange(length, grown)])[0]
        length = grown


def _collect(head: bytes, url: str) -> _Found:
    found = _Found()
    for segment in segments(head, name=url):
        body = head[segment.start : segment.end]
        if is_frame(segment.marker):
            if found.frame is not None:
                raise CorruptImage(f"{url} has a second frame header at byte {segment.offset}")
            found.frame = parse_frame(head, segment, name=url)
        elif segment.marker == Marker.DRI:
            found.interval = restart_interval(head, segment)
        elif segment.marker == Marker.SOS:
            found.scanned = body[0] if body else 0
        else:
            _take_application(found, segment, body, url)
    return found


def _take_application(found: _Found, segment: Segment, body: bytes, url: str) -> None:
    match segment.marker:
        case Marker.APP0 if body.startswith(b"JFIF\0") and len(body) >= _JFIF:
            found.jfif = found.jfif or body
        case Marker.APP1 if body.startswith(b"Exif\0"):
            found.exif = found.exif or body[6:] or None
        case Marker.APP1 if body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            found.xmp = found.xmp or body[29:] or None
        case Marker.APP1 if body.startswith(_EXTENDED_XMP):
            found.extended_xmp += max(0, len(body) - len(_EXTENDED_XMP) - 40)
        case Marker.APP2 if body.startswith(b"ICC_PROFILE\0") and len(body) >= _ICC:
            number, count = body[12], body[13]
            if number in found.icc or found.icc_count not in {0, count}:
                raise CorruptImage(f"{url}: the ICC profile's parts contradict each other at byte {segment.offset}")
            found.icc_count = count
            found.icc[number] = body[14:]
        case Marker.APP13 if body.startswith(b"Photoshop 3.0\0"):
            found.photoshop.append(body[14:])
        case Marker.APP14 if body.startswith(b"Adobe") and len(body) >= _ADOBE:
            found.adobe = body[11]
        case _:
            pass


def _profile(found: _Found, url: str) -> bytes | None:
    """The profile from its numbered parts (ICC.1:2022 B.4)."""
    if not found.icc:
        return None
    if sorted(found.icc) != list(range(1, found.icc_count + 1)):
        raise CorruptImage(f"{url}: {len(found.icc)} of the ICC profile's {found.icc_count} parts are there")
    return b"".join(found.icc[number] for number in sorted(found.icc))


def _iptc(resources: bytes) -> bytes | None:
    """The IPTC records among Photoshop's image resources; damage ends the search."""
    at = 0
    while resources.startswith(b"8BIM", at) and at + 12 <= len(resources):
        identifier = int.from_bytes(resources[at + 4 : at + 6], "big")
        # A Pascal string padded to even length names the resource.
        body = at + 6 + (1 + resources[at + 6] + 1) // 2 * 2
        length = int.from_bytes(resources[body : body + 4], "big")
        if body + 4 + length > len(resources):
            return None
        if identifier == _IPTC_RESOURCE and length:
            return resources[body + 4 : body + 4 + length]
        at = body + 4 + length + length % 2
    return None


def _model(found: _Found, frame: Frame, url: str) -> ColourModel:
    """How the components are to be understood: JFIF first, then Adobe's marker, then their identifiers."""
    match len(frame.components):
        case 1:
            return "GRAYSCALE"
        case 3:
            if found.jfif is None:
                if found.adobe is not None:
                    return "RGB" if found.adobe == 0 else "YCBCR"
                if frame.lossless or tuple(c.identifier for c in frame.components) == _RGB_IDENTIFIERS:
                    return "RGB"
            return "RGB" if frame.lossless else "YCBCR"
        case 4:
            return "YCCK" if found.adobe == 2 else "CMYK"  # noqa: PLR2004 - Adobe technical note 5116
        case count:
            raise UnsupportedFeature(f"{url} has {count} components, whose meaning JPEG leaves open")


def _resolution(found: _Found) -> Resolution | None:
    if found.jfif is not None:
        metres = _METRES.get(found.jfif[7])
        x, y = (int.from_bytes(found.jfif[at : at + 2], "big") for at in (8, 10))
        if metres and x and y:
            return Resolution(y / metres, x / metres)
    return exif.resolution(found.exif)


def _describe(found: _Found, frame: Frame, layout: BandLayout | None, url: str) -> ImageInfo:
    size = Size(frame.height, frame.width)
    spaces = {1: ColourSpace.GREY, 3: ColourSpace.RGB, 4: ColourSpace.CMYK}
    jpeg: dict[str, JSON] = {
        "process": _PROCESSES[frame.process],
        "restart_interval": found.interval,
        "sampling": ",".join(f"{c.horizontal}x{c.vertical}" for c in frame.components),
    }
    if len(frame.components) == 3:  # noqa: PLR2004 - luma and two chroma
        jpeg["subsampling"] = _subsampling(frame)
    if found.adobe is not None:
        jpeg["adobe_transform"] = found.adobe
    if found.extended_xmp:
        # The packet in ``metadata`` is the standard one, complete in itself; the extension is left behind.
        jpeg["extended_xmp_bytes"] = found.extended_xmp
    return ImageInfo(
        format="jpeg",
        levels=(Level(size, Size(layout.rows, size.width) if layout else None),),
        bands=len(frame.components),
        dtype="uint8" if frame.precision <= 8 else "uint16",  # noqa: PLR2004 - bits
        bit_depth=frame.precision,
        colour_space=spaces.get(len(frame.components), ColourSpace.UNKNOWN),
        icc=_profile(found, url),
        orientation=exif.orientation(found.exif),
        resolution=_resolution(found),
        metadata=Metadata(exif=found.exif, xmp=found.xmp, iptc=_iptc(b"".join(found.photoshop))),
        details={"jpeg": jpeg},
    )


def _subsampling(frame: Frame) -> str | None:
    """The usual name of the chroma's subsampling, where it has one."""
    luma, *chroma = frame.components
    if any(a[1:] != b[1:] for a, b in pairwise(chroma)):
        return None
    ratio = luma.vertical / chroma[0].vertical, luma.horizontal / chroma[0].horizontal
    return _SUBSAMPLINGS.get((int(ratio[0]), int(ratio[1]))) if ratio == (int(ratio[0]), int(ratio[1])) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How the pixels of a file are coded, beyond what ``ImageInfo`` says.

    Attributes:
        model: meaning of the components.
        layout: the bands in which it can be read, if it can.
        buffered: whether libjpeg holds all coefficients, because components come in several scans.
        inverted: whether CMYK is stored with 0 for full ink: Adobe's writers do so, and say it only by their marker.
    """

    model: ColourModel
    layout: BandLayout | None
    buffered: bool
    inverted: bool


class JpegReader:
    """A JPEG. A window is cheap where restart markers divide the file into whole rows, else all is decoded."""

    def __init__(self, source: ByteSource, info: ImageInfo, coding: Coding) -> None:
        self._source = source
        self._info = info
        self._coding = coding
        self._index: NDArray[np.int64] | None = None
        self._lock = threading.Lock()

    @property
    def info(self) -> ImageInfo:
        """What the header says."""
        return self._info

    def read(self, level: int, window: Window) -> Samples:  # noqa: ARG002 - there is only level 0
        """Pixels of a window; CMYK with 0 for no ink.

        Raises:
            CorruptImage: if they do not decode completely.
        """
        if self._coding.layout is None or window.height == self._info.size.height:
            pixels = decode(read_all(self._source), self._coding.model, name=self._source.url)
            pixels = checked(pixels, self._info, self._source.url)
            pixels = cropped(pixels, window)
        else:
            rows = self._read_rows(self._coding.layout, window)
            pixels = cropped(rows, Window(0, window.x0, window.height, window.x1))
        if self._coding.inverted:
            pixels = np.subtract((1 << self._info.bit_depth) - 1, pixels, dtype=pixels.dtype)
        return pixels

    def _read_rows(self, layout: BandLayout, window: Window) -> Samples:
        """The rows of a window at full width, from the intervals that hold them."""
        first, end = layout.intervals(window.y0, window.y1)
        spans = self._restart_index(layout)[first:end]
        wanted = ByteRange(int(spans[0, 0]), int(spans[-1, 1]))
        piece = Piece(first, spans, self._source.read_ranges([wanted])[0])
        return decode_rows(layout, piece, (window.y0, window.y1), self._coding.model, name=self._source.url)

    def _restart_index(self, layout: BandLayout) -> NDArray[np.int64]:
        """Where the intervals lie: one pass over the file when a band is read for the first time."""
        with self._lock:
            if self._index is None:
                scanner = RestartScanner(layout)
                for start in range(layout.start, self._source.size, SCAN_BLOCK):
                    block = ByteRange(start, min(self._source.size, start + SCAN_BLOCK))
                    scanner.feed(self._source.read_ranges([block])[0])
                    if scanner.end is not None:
                        break
                self._index = scanner.finish(name=self._source.url)
            return self._index

    def read_cost(self, level: int, window: Window) -> int:  # noqa: ARG002 - there is only level 0
        """Bytes of the file (twice, for the proof of completeness), the pixels, and libjpeg's coefficients."""
        whole, size, file = decoded_bytes(self._info), self._info.size, self._source.size
        part = whole * window.size.pixels // size.pixels
        if self._coding.layout is None or window.height == size.height:
            coefficients = 2 * size.pixels * self._info.bands if self._coding.buffered else 0
            again = part if window.size != size or self._coding.inverted else 0
            return 2 * file + whole + coefficients + again + _row_buffers(size, self._info)
        first, end = self._coding.layout.intervals(window.y0, window.y1)
        rows = min(size.height, (end - first) * self._coding.layout.rows)
        scan = 2 * min(file, SCAN_BLOCK) + 16 * self._coding.layout.count
        pieces = 3 * file * rows // size.height + whole * rows // size.height
        return max(scan, pieces + part) + 16 * self._coding.layout.count + _row_buffers(size, self._info)


def _row_buffers(size: Size, info: ImageInfo) -> int:
    """What libjpeg holds of a few MCU rows, and what is small."""
    return 64 * size.width * info.bands * 2 + (1 << 20)
