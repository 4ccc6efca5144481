"""What a TIFF's directories say of the image."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from tifffile import TiffPage

from ziggurat.format.exif import ExifValue, build_exif
from ziggurat.format.tiff.colour import CIELAB, ICCLAB, alpha, colour_space
from ziggurat.format.tiff.ifd import Survey
from ziggurat.format.tiff.pages import Chosen
from ziggurat.format.tiff.plane import Plane, compression_name
from ziggurat.geometry import Size
from ziggurat.model import JSON, ImageInfo, Level, Metadata, Resolution, SampleKind

MAX_DESCRIPTION = 2000
"""Characters of ImageDescription in the details; a slide's own XML can be megabytes."""

METRES = {2: 0.0254, 3: 0.01}
"""Metres in ResolutionUnit's inch and centimetre."""

TEXT_TAGS = (270, 271, 272, 305, 306, 315, 33432)
"""ImageDescription, Make, Model, Software, DateTime, Artist, Copyright."""

EXIF_TAGS: Mapping[int, tuple[str, Literal["text", "ratio", "number"]]] = MappingProxyType(
    {
        33434: ("ExposureTime", "ratio"),
        33437: ("FNumber", "ratio"),
        34855: ("ISOSpeedRatings", "number"),
        36867: ("DateTimeOriginal", "text"),
        36868: ("DateTimeDigitized", "text"),
        37386: ("FocalLength", "ratio"),
        40961: ("ColorSpace", "number"),
        41989: ("FocalLengthIn35mmFilm", "number"),
        42033: ("BodySerialNumber", "text"),
        42035: ("LensMake", "text"),
        42036: ("LensModel", "text"),
    }
)
"""Tags of the Exif directory that are carried over (Exif 3.0), by tifffile's names."""

KINDS: Mapping[str, SampleKind] = MappingProxyType({"u": "unsigned", "i": "signed", "f": "float"})


def image_info(
    page: TiffPage,
    planes: tuple[tuple[Plane, ...], ...],
    chosen: Chosen,
    found: Survey,
    dtype: str,
    bands: int,
) -> ImageInfo:
    """Everything that consumers ask for, from the finest level's first directory."""
    plane = planes[0][0]
    space = colour_space(page, bands)
    kind = KINDS[page.dtype.kind] if page.dtype is not None and page.dtype.kind in KINDS else "unsigned"
    mapped = page.photometric == 3  # noqa: PLR2004 - palette
    return ImageInfo(
        format="tiff",
        levels=tuple(Level(level[0].size, _tile(level[0])) for level in planes),
        bands=bands,
        dtype=dtype,
        bit_depth={"uint8": 8, "uint16": 16}[dtype] if mapped else plane.bits,
        kind=kind,
        colour_space=space,
        alpha=alpha(page, space, bands),
        icc=_block(page, 34675),
        orientation=_orientation(page),
        resolution=_resolution(page),
        metadata=Metadata(exif=_exif(page), xmp=_block(page, 700), iptc=_iptc(page)),
        details=MappingProxyType({"tiff": _details(page, plane, chosen, found)}),
    )


def _tile(plane: Plane) -> Size:
    return Size(min(plane.segment.height, plane.size.height), plane.segment.width)


def _details(page: TiffPage, plane: Plane, chosen: Chosen, found: Survey) -> dict[str, JSON]:
    details: dict[str, JSON] = {
        "big": found.big,
        "byte_order": "little" if found.order == "<" else "big",
        "compression": compression_name(page),
        "compression_tag": int(page.compression),
        "photometric": str(getattr(page.photometric, "name", page.photometric)),
        "predictor": int(page.predictor),
        "planar_configuration": "separate" if plane.planes > 1 else "contiguous",
        "layout": "tiles" if plane.tiled else "strips",
        "samples": plane.samples * plane.planes,
        "extra_samples": [int(value) for value in page.extrasamples],
        "pages": chosen.pages,
        "directories": found.directories,
        "directories_complete": found.complete,
        "series": chosen.kind,
    }
    if not plane.tiled:
        details["rows_per_strip"] = plane.segment.height
    if page.photometric in {CIELAB, ICCLAB}:
        details["lab"] = "a and b are offset by half the range"
    if page.description:
        details["description"] = page.description[:MAX_DESCRIPTION]
    return details


def _orientation(page: TiffPage) -> int:
    value = page.tags.valueof(274)
    return int(value) if isinstance(value, int) and 1 <= value <= 8 else 1  # noqa: PLR2004 - EXIF's eight


def _resolution(page: TiffPage) -> Resolution | None:
    metres = METRES.get(_integer(page, 296, default=2))
    x, y = (_rational(page, code) for code in (282, 283))
    if metres is None or not x or not y:
        return None
    return Resolution(y=y / metres, x=x / metres)


def _integer(page: TiffPage, code: int, *, default: int) -> int:
    value = page.tags.valueof(code)
    return int(value) if isinstance(value, int) else default


def _rational(page: TiffPage, code: int) -> float | None:
    value = page.tags.valueof(code)
    if isinstance(value, tuple) and len(value) == 2 and value[1]:  # noqa: PLR2004 - numerator and denominator
        value = value[0] / value[1]
    return float(value) if isinstance(value, int | float) and math.isfinite(value) and value > 0 else None


def _block(page: TiffPage, code: int) -> bytes | None:
    value = page.tags.valueof(code)
    return bytes(value) if isinstance(value, bytes) and value else None


def _iptc(page: TiffPage) -> bytes | None:
    """IPTC records; writers that store them as 32-bit numbers have swapped the bytes of a big-endian file."""
    data = _block(page, 33723)
    if data is None or data[0] == 0x1C:  # noqa: PLR2004 - every IPTC record begins so
        return data
    swapped = b"".join(data[at : at + 4][::-1] for at in range(0, len(data), 4))
    return swapped if swapped[:1] == b"\x1c" else None


def _exif(page: TiffPage) -> bytes | None:
    """The descriptive tags of the directory and of its Exif directory as an EXIF block of their own."""
    tags: dict[int, ExifValue] = {code: text for code in TEXT_TAGS if (text := _text(page.tags.valueof(code)))}
    shooting = _shooting(page.tags.valueof(34665))
    if not tags and not shooting:
        return None
    for code in (282, 283):
        ratio = _ratio(page.tags.valueof(code))
        if ratio is not None:
            tags[code] = ratio
    for code in (274, 296):
        number = page.tags.valueof(code)
        if isinstance(number, int):
            tags[code] = int(number)
    return build_exif(tags, shooting)


def _shooting(directory: object) -> dict[int, ExifValue]:
    """What tifffile read from the Exif directory, by name, as values by tag."""
    found: dict[int, ExifValue] = {}
    if isinstance(directory, dict):
        for code, (name, kind) in EXIF_TAGS.items():
            value = directory.get(name)
            if kind == "text" and (text := _text(value)):
                found[code] = text
            elif kind == "ratio" and (ratio := _ratio(value)):
                found[code] = ratio
            elif kind == "number" and isinstance(value, int) and 0 <= value < 1 << 16:
                found[code] = int(value)
    return found


def _text(value: object) -> str:
    """Text as EXIF holds it: ASCII, not endless."""
    return value[:MAX_DESCRIPTION].encode("ascii", "replace").decode("ascii") if isinstance(value, str) else ""


def _ratio(value: object) -> tuple[int, int] | None:
    match value:
        case (int() as above, int() as below) if above >= 0 and below > 0:
            return int(above), int(below)
        case _:
            return None
