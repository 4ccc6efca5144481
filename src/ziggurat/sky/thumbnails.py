"""Small pictures of cutouts for a report. Never fails, never takes long."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import ziggurat
from ziggurat import pyramid
from ziggurat.convert.ledger.view import ImageRow, View
from ziggurat.convert.report.contact import MEMORY, PIECE_QUALITY, SECONDS, SIDE, jpeg, small
from ziggurat.convert.report.places import Places
from ziggurat.errors import OutOfMemory, ZigguratError
from ziggurat.format.fits import list_hdus, open_fits
from ziggurat.geometry import Size, Window
from ziggurat.model import Samples
from ziggurat.sky.colour import ColourOptions, compose
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.resolve import open_source
from ziggurat.write.picture import PictureOptions

LARGEST: Final = 1 << 24
"""Pixels of a cutout's bands together that are read for its picture: composing them takes some 60 bytes each."""

MAPS: Final = ("COVERAGE", "WEIGHT")
"""Extensions that are no bands; behind a band's name and "_" where there are several."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A cutout as a JPEG file, or why there is none."""

    row: ImageRow
    picture: bytes | None = None
    problem: str | None = None


def shown(view: View, number: int, places: Places) -> Iterator[Shown]:
    """Pictures of some cutouts at even distances in the catalogue; the same ones every time."""
    options = view.facts().get("options")
    of_fits = isinstance(options, Mapping) and options.get("kind") == "fits"
    until = time.monotonic() + SECONDS
    for row in view.spread(number) if number > 0 else []:
        url = places.output(row.target)
        if url is None or time.monotonic() > until:
            yield Shown(row, problem="its place is not known" if url is None else "left out: it takes too long")
            continue
        try:
            pixels = _composed(url) if of_fits else _picture(url)
            yield Shown(row, jpeg(_enlarged(pixels), PIECE_QUALITY))
        except OutOfMemory as error:
            yield Shown(row, problem=f"too large to show: {error}")
        except ZigguratError as error:
            yield Shown(row, problem=f"cannot be shown any more: {type(error).__name__}: {error}")


def _picture(url: str) -> Samples:
    with ziggurat.open(url, memory=MEMORY, cache=False) as image:
        return small(image, PictureOptions(srgb=True))


def _composed(url: str) -> Samples:
    """The bands of a FITS file in colours, north up where their rows go that way."""
    with closing(open_source(url)) as source:
        names = [name for name in _units(source) if name.rpartition("_")[2] not in MAPS]
        readers = [open_fits(source, hdu=name) for name in names]
        if sum(reader.info.size.height * reader.info.size.width for reader in readers) > LARGEST:
            raise OutOfMemory(f"its bands have more than {LARGEST >> 20} megapixels")
        planes = [reader.read(0, Window.full(reader.info.size))[:, :, 0] for reader in readers]
    if any(plane.shape != planes[0].shape for plane in planes):
        # Bands on grids of their own: the first one alone.
        planes = planes[:1]
    picture = compose(planes, names[: len(planes)], ColourOptions())[::-1]
    return pyramid.shrink(picture, pyramid.fit(Size(*picture.shape[:2]), SIDE))


def _units(source: ByteSource) -> list[str]:
    return [str(unit["name"]) for unit in list_hdus(source) if unit.get("shape")]


def _enlarged(pixels: Samples) -> Samples:
    """A cutout of few pixels as large as others, each pixel a square."""
    factor = max(1, SIDE // max(pixels.shape[:2]))
    return pixels.repeat(factor, 0).repeat(factor, 1)
