"""What a worker tells of an image besides pictures: all that its header says, and the samples of single pixels."""

import io
import logging
import math
from collections.abc import Iterator, Mapping
from typing import Final

from tifffile import TiffFile

from ziggurat.codec.icc import profile_name
from ziggurat.errors import ZigguratError
from ziggurat.geometry import Size, Window
from ziggurat.model import JSON, Metadata
from ziggurat.serve.develop import Composed, Stretched, has_own_range, is_composed, usual_bands
from ziggurat.serve.render import Opened
from ziggurat.serve.view import AS_IT_IS

LONGEST_TEXT: Final = 2000
"""Characters of a metadata value that are told."""

LONGEST_XMP: Final = 200_000
"""Characters of an XMP packet that are told; some hold thumbnails and histories of megabytes."""

MANY: Final = 16
"""Numbers of one EXIF tag that are told; more of them are tables for programs."""

COMPASS: Final = 1e-4
"""Degrees of sky over which directions are found."""

IPTC_NAMES: Final = {
    5: "Title", 25: "Keywords", 40: "Instructions", 55: "Date created", 80: "By-line", 85: "By-line title", 90: "City",
    95: "Province", 101: "Country", 103: "Reference", 105: "Headline", 110: "Credit", 115: "Source", 116: "Copyright",
    120: "Caption", 122: "Caption writer",
}  # fmt: skip
"""Data sets of record 2 of IPTC-IIM 4.2."""

_IPTC_MARK: Final = 0x1C
_APPLICATION: Final = 2


def details(opened: Opened) -> dict[str, JSON]:
    """The header as plain values; sizes are [height, width] as stored, resolution is in pixels per metre.

    ``composed`` says that bands are shown by Lupton's curve unless another one is asked for, ``usual_bands`` which ones
    suit red, green and blue; ``compass`` where north and east are in the middle of an image of the sky.
    ``own_range`` says whether all codes of the samples are shown, as of photographs; ``shown_range`` which samples are
    black and white where that was measured.
    """
    image = opened.image
    info = image.info
    resolution = info.resolution
    return {
        "format": info.format,
        "stored_size": list(info.size),
        "bands": info.bands,
        "dtype": info.dtype,
        "bit_depth": info.bit_depth,
        "kind": info.kind,
        "colour_space": str(info.colour_space),
        "alpha": info.alpha,
        "icc_profile": None if info.icc is None else profile_name(info.icc),
        "own_range": has_own_range(info),
        "shown_range": _shown_range(opened),
        "composed": is_composed(info, AS_IT_IS),
        "usual_bands": list(usual_bands(info)),
        "compass": _compass(opened),
        "orientation": info.orientation,
        "resolution": None if resolution is None else [resolution.y, resolution.x],
        "levels": [
            {"size": list(level.shape), "tile": _pair(level.tile), "made": level.made} for level in image.levels
        ],
        "warnings": list(image.warnings),
        "metadata": _metadata(info.metadata),
        "details": info.details,
    }


def _shown_range(opened: Opened) -> JSON:
    try:
        show = opened.develop(AS_IT_IS)
    except ZigguratError:
        # The header is told even where the pixels are damaged.
        return None
    return list(show.ends[0]) if isinstance(show, Stretched | Composed) else None


def probe(opened: Opened, y: int, x: int) -> dict[str, JSON]:
    """The samples of one pixel of the upright image, in the file's own units, and where on the sky it is.

    Values that are no numbers are told as text, because JSON has none for them.

    Raises:
        ZigguratError: as reading does.
    """
    upright = Window(y, x, y + 1, x + 1)
    window = opened.turn.stored(upright, opened.turn.size(opened.image.levels[0].shape))
    samples = opened.read(0, window)[0, 0]
    values = [_number(value) for value in samples.tolist()]
    told: dict[str, JSON] = {"x": x, "y": y, "values": values, "dtype": opened.image.info.dtype}
    place = _sky(opened, window)
    return told if place is None else told | {"sky": list(place)}


def _sky(opened: Opened, pixel: Window) -> tuple[float, float] | None:
    try:
        return opened.image.place(pixel.y0, pixel.x0)
    except ZigguratError:
        # The samples are told even where the coordinates are damaged.
        return None


def locate(opened: Opened, ra: float, dec: float) -> dict[str, JSON]:
    """The pixel of the upright image at a place on the sky: its row and column, null where there is none.

    The middle of the first pixel is at 0; it may lie outside of the image.

    Raises:
        ZigguratError: if the coordinates make no sense.
    """
    found = opened.image.pixel(ra, dec) if opened.turn.is_none else None
    told: dict[str, JSON] = {"ra": ra, "dec": dec, "y": None, "x": None}
    return told if found is None else told | {"y": found[0], "x": found[1]}


def _compass(opened: Opened) -> JSON:
    """Degrees from up, clockwise, of north and east in the middle of the image; None where there is no sky."""
    image = opened.image
    y, x = ((side - 1) / 2 for side in image.info.size)
    try:
        place = image.place(y, x) if opened.turn.is_none else None
        if place is None or abs(place[1]) + COMPASS > 90:  # noqa: PLR2004 - at a pole all ways lead from it
            return None
        ra, dec = place
        there = image.pixel(ra, dec + COMPASS), image.pixel(ra + COMPASS / math.cos(math.radians(dec)), dec)
    except ZigguratError:
        return None
    ways = [round(math.degrees(math.atan2(one[1] - x, y - one[0])), 2) for one in there if one is not None]
    return dict(zip(("north", "east"), ways, strict=True)) if len(ways) == len(there) else None


def _pair(size: Size | None) -> JSON:
    return None if size is None else list(size)


def _number(value: float) -> JSON:
    return value if math.isfinite(value) else str(value)


def _metadata(blocks: Metadata) -> dict[str, JSON]:
    told: dict[str, JSON] = {}
    if blocks.exif:
        told["exif"] = exif_fields(blocks.exif)
    if blocks.iptc:
        told["iptc"] = iptc_fields(blocks.iptc)
    if blocks.xmp:
        told["xmp"] = blocks.xmp.decode("utf-8", "replace")[:LONGEST_XMP]
    return told


def exif_fields(block: bytes) -> dict[str, JSON]:
    """The tags of an EXIF block and of the directories that it points to, by their names; {} where it is broken."""
    # Whatever is wrong with a tag is logged by the library, once a tag.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        with TiffFile(io.BytesIO(block)) as file:
            return dict(_told(file.pages.first.tags))
    except Exception:  # noqa: BLE001 - the library raises what it likes on damaged blocks
        return {}


def _told(tags: object) -> Iterator[tuple[str, JSON]]:
    for tag in tags:  # type: ignore[attr-defined]  # the library's own table
        value = tag.value
        fields = value.items() if isinstance(value, Mapping) else [(tag.name, value)]
        for name, field in fields:
            plain = _plain(field)
            if plain not in (None, ""):
                yield str(name), plain


def _plain(value: object) -> JSON:
    """A value that people can read; None for others."""
    match value:
        case str():
            return value.strip("\0 ")[:LONGEST_TEXT]
        case int() | float():
            return _number(value)
        case (int() as above, int() as below) if below:
            return round(above / below, 6) if above % below else above // below
        case tuple() if len(value) <= MANY and all(isinstance(part, int | float) for part in value):
            return [_number(part) for part in value]
        case bytes() if len(value) <= MANY and value.isascii() and value.decode("ascii").strip("\0").isprintable():
            return value.decode("ascii").strip("\0")
        case _:
            return None


def iptc_fields(block: bytes) -> dict[str, JSON]:
    """The readable data sets of an IPTC-IIM block (IIM 4.2 chapter 3), several of one kind joined by semicolons."""
    found: dict[str, list[str]] = {}
    at = 0
    while at + 5 <= len(block) and block[at] == _IPTC_MARK:
        record, kind, length = block[at + 1], block[at + 2], int.from_bytes(block[at + 3 : at + 5])
        # The highest bit says that the length itself has a length: nothing readable is that long.
        if length >> 15:
            break
        name = IPTC_NAMES.get(kind)
        if record == _APPLICATION and name is not None:
            text = block[at + 5 : at + 5 + length].decode("utf-8", "replace")[:LONGEST_TEXT]
            found.setdefault(name, []).append(text)
        at += 5 + length
    return {name: "; ".join(texts) for name, texts in found.items()}
