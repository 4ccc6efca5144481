"""AVIF files (AV1 Image File Format 1.1 over ISO/IEC 23008-12), the primary item, pixels by libavif.

Pixels are as coded: rotation and mirroring (``irot``, ``imir``) become ``orientation``. EXIF's own word is not asked:
23008-12 makes it mere information.
"""

from collections.abc import Callable

import imagecodecs

from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format import exif
from ziggurat.format.avif_meta import Item, ItemGraph, parse_meta
from ziggurat.format.bmff import boxes
from ziggurat.format.whole import Header, WholeReader, decoded_bytes
from ziggurat.geometry import Size
from ziggurat.model import JSON, Alpha, ColourSpace, ImageInfo, Level, Metadata, Samples
from ziggurat.storage.protocol import ByteSource

_ALPHA_TYPES = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0", b"urn:mpeg:hevc:2015:auxid:1\0")
_SRGB = (1, 13)
"""Colour primaries and transfer characteristics of sRGB (ITU-T H.273)."""

_ORIENTATIONS = {
    # (quarter turns anticlockwise, mirror axis or None): EXIF's number. Turned first, then mirrored.
    (0, None): 1,
    (1, None): 8,
    (2, None): 3,
    (3, None): 6,
    (0, 1): 2,
    (1, 1): 7,
    (2, 1): 4,
    (3, 1): 5,
    (0, 0): 4,
    (1, 0): 5,
    (2, 0): 2,
    (3, 0): 7,
}


def open_reader(source: ByteSource) -> WholeReader:
    """Opens an AVIF by its meta box.

    Raises:
        CorruptImage: if it is cut short or contradicts itself.
        UnsupportedFeature: if the primary item is not AV1.
    """
    header = Header(source)
    brand = header.read(8, 4) if header.size >= 12 else b""  # noqa: PLR2004 - size, "ftyp", brand
    graph: ItemGraph | None = None
    for box in boxes(header, 0, header.size):
        if box.kind == b"meta":
            graph = parse_meta(header, box)
            break
    if graph is None:
        raise CorruptImage(f"{source.url} has no meta box")
    info = _describe(header, graph, sequence=brand == b"avis")

    def decode(data: bytes) -> Samples:
        try:
            pixels: Samples = imagecodecs.avif_decode(data, index=0, numthreads=1)
        except (imagecodecs.AvifError, ValueError, RuntimeError, OverflowError, IndexError) as error:
            raise CorruptImage(f"{source.url} does not decode as AVIF: {error}") from error
        return pixels

    # The planes of AV1 in their own type, and half as much for borders and film grain (measured: 1.1).
    return WholeReader(source, info, decode, scratch=decoded_bytes(info) * 3 // 2 + (1 << 22))


def _describe(header: Header, graph: ItemGraph, *, sequence: bool) -> ImageInfo:
    url = header.url
    primary = graph.primary
    if primary.kind not in {b"av01", b"grid"}:
        raise UnsupportedFeature(f"{url}: its primary item is {primary.kind!r}, not AV1")
    size = _size(primary, url)
    depth, mono = _depth(graph, primary, url)
    alpha = _alpha(graph, primary)
    # libavif gives monochrome with alpha as RGB with alpha.
    colour_bands = 1 if mono and alpha is None else 3
    blob = _metadata(header, graph, lambda item: item.kind == b"Exif")
    if blob is not None:
        blob = blob[4 + int.from_bytes(blob[:4], "big") :] or None
    xmp = _metadata(header, graph, lambda item: item.content_type == b"application/rdf+xml")
    nclx = next((p[4:11] for p in primary.values(b"colr") if p[:4] == b"nclx"), b"")
    icc = next((p[4:] for p in primary.values(b"colr") if p[:4] in {b"prof", b"rICC"}), None)
    colour = tuple(int.from_bytes(nclx[at : at + 2], "big") for at in (0, 2))
    avif: dict[str, JSON] = {"sequence": sequence, "grid": primary.kind == b"grid", "monochrome": mono}
    if nclx:
        avif["primaries"], avif["transfer"] = colour
    return ImageInfo(
        format="avif",
        levels=(Level(size),),
        bands=colour_bands + (alpha is not None),
        dtype="uint8" if depth == 8 else "uint16",  # noqa: PLR2004 - bits
        bit_depth=depth,
        colour_space=_colour(colour_bands, colour),
        alpha=alpha,
        icc=icc,
        orientation=_orientation(primary),
        resolution=exif.resolution(blob),
        metadata=Metadata(exif=blob, xmp=xmp),
        details={"avif": avif},
    )


def _colour(bands: int, colour: tuple[int, ...]) -> ColourSpace:
    if bands == 1:
        return ColourSpace.GREY
    return ColourSpace.SRGB if colour == _SRGB else ColourSpace.RGB


def _size(item: Item, url: str) -> Size:
    """The ispe property (23008-12 6.5.3)."""
    for body in item.values(b"ispe"):
        width, height = (int.from_bytes(body[at : at + 4], "big") for at in (4, 8))
        if width and height:
            return Size(height, width)
    raise CorruptImage(f"{url}: its primary item has no size")


def _depth(graph: ItemGraph, item: Item, url: str) -> tuple[int, bool]:
    """Bit depth and whether it is monochrome, by av1C (AV1-ISOBMFF 2.3) of the item or of a grid's first tile."""
    tiles = [graph.items[number] for number in graph.references(b"dimg", item.number) if number in graph.items]
    for candidate in (item, *tiles):
        for body in candidate.values(b"av1C"):
            if len(body) >= 4:  # noqa: PLR2004 - its fixed part
                flags = body[2]
                high, twelve, mono = flags >> 6 & 1, flags >> 5 & 1, flags >> 4 & 1
                return (12 if twelve else 10) if high else 8, bool(mono)
    raise CorruptImage(f"{url}: its primary item has no AV1 configuration")


def _alpha(graph: ItemGraph, item: Item) -> Alpha | None:
    """Whether an auxiliary item holds opacity, and how colours relate to it."""
    for other in graph.items.values():
        auxiliary = item.number in graph.references(b"auxl", other.number)
        if auxiliary and any(body[4:].startswith(_ALPHA_TYPES) for body in other.values(b"auxC")):
            return "premultiplied" if other.number in graph.references(b"prem", item.number) else "straight"
    return None


def _orientation(item: Item) -> int:
    turns = next((body[0] & 3 for body in item.values(b"irot") if body), 0)
    axis = next((body[0] & 1 for body in item.values(b"imir") if body), None)
    return _ORIENTATIONS[turns, axis]


def _metadata(header: Header, graph: ItemGraph, wanted: Callable[[Item], bool]) -> bytes | None:
    """Contents of the first metadata item of a kind that describes the primary one."""
    for item in graph.items.values():
        if wanted(item) and graph.primary.number in graph.references(b"cdsc", item.number):
            return b"".join(header.read(start, length) for start, length in item.extents) or None
    return None
