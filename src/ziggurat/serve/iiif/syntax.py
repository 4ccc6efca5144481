"""IIIF image requests (Image API 3.0 section 4, 2.1 section 4) and what they mean for an image. Pure."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from ziggurat.codec.pictures import Encoding
from ziggurat.errors import UnsupportedFeature, UsageError
from ziggurat.geometry import Size, Window
from ziggurat.serve.plan import MEDIA_TYPES, QUALITIES, Plan, Quality
from ziggurat.serve.settings import SIDE
from ziggurat.serve.view import AS_IT_IS, View

type Version = Literal["2", "3"]

_INTEGER = r"\d{1,10}"
_NUMBER = r"\d{1,10}(?:\.\d{1,20})?|\.\d{1,20}"
_PIXELS = re.compile(rf"({_INTEGER}),({_INTEGER}),({_INTEGER}),({_INTEGER})", re.ASCII)
_PERCENT = re.compile(rf"pct:({_NUMBER}),({_NUMBER}),({_NUMBER}),({_NUMBER})", re.ASCII)
_SIZE = re.compile(rf"(\^)?(?:(max|full)|pct:({_NUMBER})|(!)?({_INTEGER})?,({_INTEGER})?)", re.ASCII)
_ROTATION = re.compile(rf"(!)?({_NUMBER})", re.ASCII)

FORMATS: Final[dict[str, Encoding]] = {"jpg": "jpg", "png": "png", "webp": "webp", "avif": "avif"}
KNOWN_FORMATS: Final = frozenset({"tif", "gif", "jp2", "pdf"})
"""Formats of the specification that are not sent: 501 rather than 400."""

QUALITY_NAMES: Final[dict[str, Quality]] = {
    "default": "default",
    "color": "color",
    "gray": "gray",
    "bitonal": "bitonal",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large results may be: a side of at most ``side`` and at most ``pixels`` in all."""

    pixels: int
    side: int = SIDE

    def hold(self, size: Size) -> bool:
        """Whether a picture of this size is sent."""
        return size.pixels <= self.pixels and max(size) <= self.side

    def largest(self, region: Size, *, upscale: bool = False) -> Size:
        """The largest size of the region's shape that is sent, not enlarged unless asked for."""
        if self.hold(region) and not upscale:
            return region
        scale = min((self.pixels / region.pixels) ** 0.5, self.side / max(region))
        size = Size(max(1, int(region.height * scale)), max(1, int(region.width * scale)))
        # A side of one pixel cannot shrink further: the other gives way.
        return Size(min(size.height, self.side), min(size.width, self.side))


@dataclass(frozen=True, slots=True)
class Request:
    """The four parameters of a request, as they were sent."""

    region: str
    size: str
    rotation: str
    quality: str
    format: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a request means.

    Attributes:
        plan: the picture.
        canonical: the parameters in canonical form, joined by slashes (3.0 section 4.7; 2.1 section 4.7).
    """

    plan: Plan
    canonical: str


def resolve(request: Request, image: Size, bounds: Bounds, version: Version, view: View = AS_IT_IS) -> Resolved:
    """What a request means for an image of a size.

    Raises:
        UsageError: if it makes no sense: 400.
        UnsupportedFeature: if it does, and is not offered: 501.
    """
    quality, encoding = parse_quality(request.quality), parse_format(request.format)
    mirror, angle = parse_rotation(request.rotation)
    region = parse_region(request.region, image)
    size, upscaled = parse_size(request.size, region.size, bounds, version)
    plan = Plan(
        region=region, size=size, mirror=mirror, angle=angle, quality=quality, encoding=encoding, view=view
    )  # fmt: skip
    where = "full" if region == Window.full(image) else f"{region.x0},{region.y0},{region.width},{region.height}"
    turned = f"{'!' if mirror else ''}{_plain(angle)}"
    return Resolved(plan, f"{where}/{_canonical_size(plan, bounds, version, upscaled)}/{turned}/{quality}.{encoding}")


def _canonical_size(plan: Plan, bounds: Bounds, version: Version, upscaled: bool) -> str:  # noqa: FBT001 - private
    region, size = plan.region.size, plan.size
    if version == "3":
        if size == bounds.largest(region):
            return "max"
        return f"{'^' if upscaled else ''}{size.width},{size.height}"
    if size == region:
        return "full"
    kept = max(1, round(Fraction(region.height * size.width, region.width)))
    return f"{size.width}," if size.height == kept else f"{size.width},{size.height}"


def parse_quality(text: str) -> Quality:
    """Section 4.4 in both versions."""
    quality = QUALITY_NAMES.get(text)
    if quality is None:
        raise UsageError(f"quality {text[:40]!a} is none of {', '.join(QUALITIES)}")
    return quality


def parse_format(text: str) -> Encoding:
    """Section 4.5 in both versions."""
    encoding = FORMATS.get(text)
    if encoding is not None:
        return encoding
    offered = ", ".join(MEDIA_TYPES)
    if text in KNOWN_FORMATS:
        raise UnsupportedFeature(f"format {text} is not offered; ask for one of {offered}")
    raise UsageError(f"format {text[:40]!a} is none of {offered}")


def parse_rotation(text: str) -> tuple[bool, float]:
    """Section 4.3 in both versions: whether it is mirrored first, and degrees clockwise below 360."""
    found = _ROTATION.fullmatch(text)
    angle = float(found[2]) if found else -1.0
    if found is None or angle > 360:  # noqa: PLR2004 - degrees
        raise UsageError(f"rotation {text[:40]!a} is not a number from 0 to 360, with ! before it for mirroring")
    return found[1] is not None, angle % 360


def parse_region(text: str, image: Size) -> Window:
    """Section 4.1 in both versions: the part of the image, cut at its borders."""
    if text == "full":
        return Window.full(image)
    if text == "square":
        side = min(image)
        y0, x0 = (image.height - side) // 2, (image.width - side) // 2
        return Window(y0, x0, y0 + side, x0 + side)
    if found := _PIXELS.fullmatch(text):
        x, y, width, height = map(int, found.groups())
        y1, x1 = y + height, x + width
    elif found := _PERCENT.fullmatch(text):
        left, top, across, down = (Fraction(part) / 100 for part in found.groups())
        x, y = round(left * image.width), round(top * image.height)
        width, height = int(across > 0), int(down > 0)
        x1 = max(x + 1, round((left + across) * image.width))
        y1 = max(y + 1, round((top + down) * image.height))
    else:
        raise UsageError(f"region {text[:80]!a} is not full, square, x,y,w,h or pct:x,y,w,h")
    if not width or not height:
        raise UsageError(f"region {text[:80]!a} has no width or no height")
    if y >= image.height or x >= image.width:
        raise UsageError(f"region {text[:80]!a} lies outside of the image, which is {image.width} x {image.height}")
    return Window(y, x, min(y1, image.height), min(x1, image.width))


def parse_size(text: str, region: Size, bounds: Bounds, version: Version) -> tuple[Size, bool]:
    """Section 4.2 in both versions: the size of the result, and whether it is larger than the region.

    Raises:
        UsageError: if it makes no sense, is larger than the region where that was not asked for, or over the limits.
        UnsupportedFeature: if it is enlarged beyond the limits.
    """
    found = _SIZE.fullmatch(text)
    if found is None or (version == "2" and found[1]) or (version == "3" and found[2] == "full"):
        raise UsageError(f"size {text[:80]!a} is not {_KINDS[version]}")
    up = found[1] is not None
    if found[2]:
        size = bounds.largest(region, upscale=up)
        if not bounds.hold(size) or (found[2] == "full" and size != region):
            raise UsageError(_too_large(text, region, bounds))
        return size, up and size != region
    size = _asked(found, text, region, bounds, enlarge=up)
    larger = size.height > region.height or size.width > region.width
    if larger and version == "3" and not up:
        raise UsageError(
            f"size {text[:80]!a} is larger than the region, which is {region.width} x {region.height}; ask for "
            f"^{text[:80]} to have it enlarged"
        )
    if not bounds.hold(size):
        message = _too_large(text, size, bounds)
        raise UnsupportedFeature(message) if larger else UsageError(message)
    return size, larger


_KINDS: Final = {
    "2": "full, max, w, ,h pct:n w,h or !w,h",
    "3": "max, w, ,h pct:n w,h or !w,h, with ^ before it for enlarging",
}


def _asked(found: re.Match[str], text: str, region: Size, bounds: Bounds, *, enlarge: bool) -> Size:
    height, width = region
    if found[3]:
        scale = Fraction(found[3]) / 100
        if not scale:
            raise UsageError(f"size {text[:80]!a} asks for nothing")
        return Size(max(1, round(height * scale)), max(1, round(width * scale)))
    across, down = (None if part is None else int(part) for part in found.group(5, 6))
    if 0 in {across, down} or (across is None and down is None) or (found[4] and None in {across, down}):
        raise UsageError(f"size {text[:80]!a} asks for nothing; give a width, a height or both, of 1 or more")
    if found[4] and across is not None and down is not None:
        scale = min(Fraction(across, width), Fraction(down, height))
        if not enlarge:
            scale = min(scale, Fraction(1))
        size = Size(min(down, max(1, round(height * scale))), min(across, max(1, round(width * scale))))
        return size if enlarge or bounds.hold(size) else bounds.largest(size)
    if across is None and down is not None:
        return Size(down, max(1, round(Fraction(width * down, height))))
    if down is None and across is not None:
        return Size(max(1, round(Fraction(height * across, width))), across)
    return Size(down or 1, across or 1)


def _too_large(text: str, size: Size, bounds: Bounds) -> str:
    return (
        f"size {text[:80]!a} is {size.width} x {size.height}; at most {bounds.side} a side and {bounds.pixels} pixels "
        "are sent: ask for a smaller size or region"
    )


def _plain(angle: float) -> str:
    """A number without a needless point or zeros."""
    return str(int(angle)) if angle == int(angle) else repr(angle)
