"""Which directories of a TIFF are the levels of its first image."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from tifffile import TiffFile, TiffPage, TiffPageSeries

from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format.tiff.ifd import MAX_SERIES_PAGES, Survey
from ziggurat.format.tiff.stack import Page, stack_axes
from ziggurat.model import Stack

SLIDES = (
    "ome", "svs", "mikroscan", "motic", "trestle", "huron", "scn", "qpi", "ndpi", "bif", "avs", "philips",
    "indica", "geotiff",
)  # fmt: skip
"""Dialects whose levels tifffile finds from their own metadata; all others are taken by their directories."""

MAX_SERIES_TAGS = 1 << 16
"""Tags above which the same holds; a page has about twenty."""

DIGITS = 9
"""Digits of a count of planes that is not plausible any more."""

MAX_BANDS = 256
"""Pages that are taken for bands of one image."""

FIRST = frozenset({"ome", "geotiff"})
"""Dialects whose first image is the one that is meant; in those of scanners a label or an overview may come first."""

_PLACES = re.compile(r'\b[crz]\s*=\s*["\'](\d+)["\']')
"""Channel, resolution and depth of a page in Leica's XML."""

_COUNTS = re.compile(r'\b(?:Size[ZTC]|NumPlanes|PlaneCount|IFD|First[ZTC]|SamplesPerPixel)\s*=\s*["\'](\d+)["\']')


@dataclass(frozen=True, slots=True)
class Chosen:
    """The first image of a file.

    Attributes:
        kind: the dialect, as tifffile names it, or "first page".
        levels: finest first; each level's pages are its bands.
        pages: planes in the whole stack that this image is the first of.
    """

    kind: str
    levels: tuple[tuple[Page, ...], ...]
    pages: int


def choose(tif: TiffFile, found: Survey) -> Chosen:
    """Finds the levels of the first image; a level that does not fit the finest one ends them."""
    first = tif.pages.first
    if _is_too_long(found):
        return Chosen("first page", ((first,),), found.pages)
    everything = _series(tif, found)
    if not everything:
        return Chosen("first page", ((first,),), found.pages)
    series = _meant(everything)
    levels = _levels(series, _bands)
    if levels and series.kind == "generic":
        levels += _marked([other for other in everything if other is not series], levels[-1], levels[0])
    if not levels:
        return Chosen("first page", ((first,),), found.pages)
    planes = math.prod(n for n, axis in zip(series.shape, series.axes, strict=True) if axis not in "YXS")
    return Chosen(series.kind, tuple(levels), max(1, planes))


def choose_planes(tif: TiffFile, found: Survey, where: str) -> tuple[Stack, list[Chosen]]:
    """Finds the levels of all images of the first image's series, and the axes that these lie along.

    Args:
        tif: the file.
        found: by the first walk over it.
        where: the file, for messages.

    Raises:
        UnsupportedFeature: if there are too many directories, or they lie along other axes than t, z and c.
        CorruptImage: if a plane is missing.
    """
    if _is_too_long(found):
        raise UnsupportedFeature(
            f"{where} has {found.directories} directories; stacks are read of up to {MAX_SERIES_PAGES} in a file: "
            "divide it into several"
        )
    everything = _series(tif, found)
    if not everything:
        return Stack(), [choose(tif, found)]
    series = _meant(everything)
    axes = stack_axes(tif, series, where)
    chosen: list[Chosen] = []
    for number in range(axes.stack.planes):
        levels = _levels(series, partial(axes.pages, number))
        if not levels or (chosen and len(levels) != len(chosen[0].levels)):
            raise CorruptImage(f"{where}: plane {number} of {axes.stack.planes} is missing, or lacks levels")
        chosen.append(Chosen(series.kind, tuple(levels), axes.stack.planes))
    return axes.stack, chosen


def _is_too_long(found: Survey) -> bool:
    return found.directories > MAX_SERIES_PAGES or found.entries > MAX_SERIES_TAGS


def _levels(series: TiffPageSeries, bands: Callable[[TiffPageSeries], tuple[Page, ...]]) -> list[tuple[Page, ...]]:
    """The pages of each level, as long as they fit the next finer one."""
    levels: list[tuple[Page, ...]] = []
    for level in series.levels:
        pages = bands(level)
        if not pages or (levels and not _fits(pages, levels[-1])):
            break
        levels.append(pages)
    return levels


def _meant(everything: Sequence[TiffPageSeries]) -> TiffPageSeries:
    """The image that is meant: the first, unless that is an overview or says that it is a reduced one."""
    first = everything[0]
    if first.kind in SLIDES and first.kind not in FIRST:
        return max(everything, key=_pixels)
    if first.kind == "generic" and first.keyframe.is_reduced:
        return next((other for other in everything if not other.keyframe.is_reduced), first)
    return first


def _marked(
    others: Sequence[TiffPageSeries], coarsest: tuple[Page, ...], finest: tuple[Page, ...]
) -> list[tuple[Page, ...]]:
    """Further levels: pages that are marked as reduced, of the finest level's proportions.

    tifffile wants levels of exactly a half, a third or a quarter; a border of one pixel cannot be that.
    """
    levels: list[tuple[Page, ...]] = []
    for other in sorted(others, key=_pixels, reverse=True):
        pages = _bands(other) if other.keyframe.is_reduced else ()
        if pages and _fits(pages, levels[-1] if levels else coarsest) and _proportional(pages, finest):
            levels.append(pages)
    return levels


def _series(tif: TiffFile, found: Survey) -> Sequence[TiffPageSeries]:
    for kind in SLIDES:
        if getattr(tif, f"is_{kind}") and _is_sane(kind, tif, found):
            series = tif.series(kind=kind)
            if len(series):
                return series
    return tif.series(kind="generic")


def _is_sane(kind: str, tif: TiffFile, found: Survey) -> bool:
    """Whether a dialect's XML counts no more planes than the file has; its parser allocates by these numbers."""
    first = tif.pages.first
    xml = f"{first.description}{_text(first.tags.valueof(700)) if kind == 'bif' else ''}"
    if "<!ENTITY" in xml:
        return False
    if kind == "ome" and "modulo" in xml.lower():
        return False
    numbers = {"ome": _COUNTS, "scn": _PLACES}.get(kind)
    counts = numbers.findall(xml) if numbers else ()
    return all(len(number) < DIGITS and int(number) <= max(found.pages, 64) for number in counts)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _pixels(series: TiffPageSeries) -> int:
    return int(series.keyframe.imagelength) * int(series.keyframe.imagewidth)


def _bands(level: TiffPageSeries) -> tuple[Page, ...]:
    """The pages of a level's first plane: one, or one a band where an axis C lies over one-sample pages."""
    pages: Sequence[Page | None] = level.pages
    first = pages[0] if len(pages) else None
    if first is None:
        return ()
    axes, shape = level.axes, level.shape
    count = shape[axes.index("C")] if "C" in axes else 1
    if not 1 < count <= MAX_BANDS or cast("TiffPage", first.keyframe).samplesperpixel != 1:
        return (first,)
    after = axes.index("C") + 1
    step = math.prod(n for n, axis in zip(shape[after:], axes[after:], strict=True) if axis not in "YXS")
    bands = [pages[index * step] for index in range(count) if index * step < len(pages)]
    if len(bands) < count or any(band is None for band in bands):
        return (first,)
    return tuple(band for band in bands if band is not None)


def _fits(pages: Sequence[Page], finer: Sequence[Page]) -> bool:
    """Whether these pages can be the next coarser level: the same samples, and fewer pixels."""
    a, b = (cast("TiffPage", level[0].keyframe) for level in (pages, finer))
    return (
        len(pages) == len(finer)
        and a.samplesperpixel == b.samplesperpixel
        and a.dtype == b.dtype
        and a.photometric == b.photometric
        and 0 < a.imagelength <= b.imagelength
        and 0 < a.imagewidth <= b.imagewidth
        and a.imagelength * a.imagewidth < b.imagelength * b.imagewidth
    )


def _proportional(pages: Sequence[Page], finest: Sequence[Page]) -> bool:
    """Whether both sides are reduced alike, up to rounding: a label or a macro view is no level."""
    a, b = (cast("TiffPage", level[0].keyframe) for level in (pages, finest))
    lowest = max(b.imagelength / (a.imagelength + 1), b.imagewidth / (a.imagewidth + 1))
    highest = min(
        b.imagelength / (a.imagelength - 1) if a.imagelength > 1 else math.inf,
        b.imagewidth / (a.imagewidth - 1) if a.imagewidth > 1 else math.inf,
    )
    return lowest <= highest
