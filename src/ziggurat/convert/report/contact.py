"""A few images before and after: small, and a piece of the middle pixel by pixel. Never fails, never takes long."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import ziggurat
from ziggurat import pyramid
from ziggurat.codec.jpeg import encode
from ziggurat.convert.ledger.view import ImageRow, View
from ziggurat.convert.report.places import Places
from ziggurat.errors import OutOfMemory, ZigguratError
from ziggurat.geometry import Size, Window
from ziggurat.image import Image
from ziggurat.model import JSON, Samples
from ziggurat.write.picture import PictureOptions, prepare

SIDE = 240
"""Pixels of a thumbnail's longer side."""

PIECE = 220
"""Pixels a side of the piece that is shown as it is."""

THUMBNAIL_QUALITY = 82
PIECE_QUALITY = 97
"""A piece must not look worse than what it shows."""

MEMORY = 1 << 30
"""Bytes that showing one image may take; larger ones are left out."""

SECONDS = 90.0
"""For the whole sheet; images that come later are left out."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """One side of a sample as JPEG files, or why there are none."""

    thumbnail: bytes | None = None
    piece: bytes | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """An image before and after, and why it was chosen."""

    row: ImageRow
    reason: str
    before: Pictures
    after: Pictures


def choose(view: View, count: int) -> list[tuple[ImageRow, str]]:
    """The images of the sheet: the worst, the most reduced, and some at even distances; the same every time."""
    if count < 1:
        return []
    quarter = max(1, count // 4)
    lowest = view.lowest("ssimulacra2", quarter)
    worst = [row for row in lowest or view.lowest("psnr", quarter) if not math.isinf(row.psnr or 0.0)]
    chosen: dict[int, tuple[ImageRow, str]] = {}
    for rows, reason, most in (
        (worst, "lowest fidelity", quarter),
        (view.most_reduced(2 * quarter), "largest reduction", 2 * quarter),
        (view.spread(count), "one of the spread", count),
    ):
        for row in rows:
            if row.id not in chosen and len(chosen) < min(most, count):
                chosen[row.id] = (row, reason)
    return list(chosen.values())


def sheet(view: View, count: int, places: Places) -> Iterator[Sample]:
    """Makes the pictures, one sample after the other."""
    try:
        options = _options(view.facts().get("options"))
    except ZigguratError:
        options = _Options(PictureOptions(srgb=True), PictureOptions(srgb=True))
    until = time.monotonic() + SECONDS
    for row, reason in choose(view, count):
        if time.monotonic() > until:
            late = Pictures(problem=f"left out: the sheet may take {SECONDS:.0f} s")
            yield Sample(row, reason, late, late)
            continue
        after, size = _shown(places.output(row.target), options.output, None)
        before, _ = _shown(places.source(row.source), options.source, size)
        yield Sample(row, reason, before, after)


@dataclass(frozen=True, slots=True)
class _Options:
    """How the pixels of sources and of outputs become colours of a screen."""

    source: PictureOptions
    output: PictureOptions


def _options(recorded: JSON) -> _Options:
    """Sources are prepared as the job prepared them; outputs hold that already."""
    picture = recorded.get("picture") if isinstance(recorded, Mapping) else None
    values = picture if isinstance(picture, Mapping) else {}
    low_high, bands, background = values.get("sample_range"), values.get("bands"), values.get("background")
    plain = PictureOptions(srgb=True)
    if isinstance(low_high, list) and len(low_high) == 2:  # noqa: PLR2004 - two ends
        plain = replace(plain, sample_range=(_real(low_high[0]), _real(low_high[1])))
    source = plain
    if isinstance(bands, list) and bands:
        source = replace(source, bands=tuple(int(_real(band)) for band in bands))
    if isinstance(background, list) and len(background) == 3:  # noqa: PLR2004 - red, green, blue
        red, green, blue = (int(_real(value)) for value in background)
        source = replace(source, background=(red, green, blue))
    return _Options(source, plain)


def _real(value: JSON) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _shown(url: str | None, options: PictureOptions, like: Size | None) -> tuple[Pictures, Size | None]:
    """One side, and the size of the picture that it shows.

    Args:
        url: where it lies, if it is known.
        options: how it is prepared.
        like: size of the output that the source is to match, where it was made smaller; None to take it as it is.
    """
    if url is None:
        return Pictures(problem="its place is not known"), None
    try:
        with ziggurat.open(url, memory=MEMORY, cache=False) as image:
            size = prepare(image, options, form="display").size
            factor = 1 if like is None else max(1, round(max(size) / max(like)))
            return Pictures(jpeg(small(image, options), THUMBNAIL_QUALITY), _piece(image, options, factor)), size
    except OutOfMemory as error:
        return Pictures(problem=f"too large to show: {error}"), like
    except ZigguratError as error:
        return Pictures(problem=f"cannot be shown any more: {type(error).__name__}: {error}"), like


def small(image: Image, options: PictureOptions) -> Samples:
    """An image in a square of ``SIDE`` pixels, as its options show it.

    Raises:
        OutOfMemory: if that takes more than ``MEMORY``.
        ZigguratError: if it cannot be read.
    """
    halvings = max(0, (max(image.info.size) // SIDE).bit_length() - 1)
    picture = prepare(image, replace(options, shrink=1 << halvings), form="display")
    window = Window.full(picture.size)
    _check(image, picture.read_cost(window))
    pixels = picture.read(window)
    return pyramid.shrink(pixels, pyramid.fit(picture.size, SIDE))


def _piece(image: Image, options: PictureOptions, factor: int) -> bytes:
    """The middle, at the resolution of the output."""
    picture = prepare(image, replace(options, shrink=factor), form="display")
    height, width = min(PIECE, picture.size.height), min(PIECE, picture.size.width)
    y0, x0 = (picture.size.height - height) // 2, (picture.size.width - width) // 2
    window = Window(y0, x0, y0 + height, x0 + width)
    _check(image, picture.read_cost(window))
    return jpeg(picture.read(window), PIECE_QUALITY)


def _check(image: Image, cost: int) -> None:
    if cost > MEMORY:
        raise OutOfMemory(f"{image.url} takes about {cost >> 20} MiB, the sheet may take {MEMORY >> 20}")


def jpeg(pixels: Samples, quality: int) -> bytes:
    """Pixels (y, x, band) as a file for the page."""
    return encode(pixels, quality=quality, optimise=True)
