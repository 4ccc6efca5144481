"""Images with a place on the sky: found in files by their headers, described, opened again without reading others."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from ziggurat.errors import CorruptImage, OutOfMemory, SourceChanged, UnsupportedFeature, ZigguratError
from ziggurat.format.fits import FitsReader, open_unit
from ziggurat.format.fits.axes import arrange
from ziggurat.format.fits.blocks import Headers
from ziggurat.format.fits.cards import Cards
from ziggurat.format.fits.hdu import Hdu, choose, walk
from ziggurat.format.fits.quiet import quiet
from ziggurat.format.fits.wcs import celestial_wcs, sky_cards
from ziggurat.format.foreign import foreign_errors
from ziggurat.geometry import Size, Window
from ziggurat.model import Samples
from ziggurat.sky.footprint import Footprint, footprint
from ziggurat.storage.protocol import ByteSource, SourceVersion
from ziggurat.storage.resolve import open_source

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.wcs import WCS

BAND_KEYWORDS = ("FILTER", "BAND", "FILTNAM", "FILTER1")
"""Where headers name the filter, the first one that is there."""

RECORD = "url, size, tag, hdu, header, name, lengths, band, cards"
"""Columns of an image's row."""

type Plane = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SkyImage:
    """What is known of an image without opening it.

    Attributes:
        url: of the file.
        version: the state of the file that was looked at.
        hdu: number of the HDU.
        header: first byte of its header.
        name: EXTNAME.
        lengths: NAXIS1, NAXIS2 and on.
        band: what the header says of the filter; empty where it says nothing.
        cards: the keywords of its world coordinates, a FITS header of their own.
    """

    url: str
    version: SourceVersion
    hdu: int
    header: int
    name: str
    lengths: tuple[int, ...]
    band: str
    cards: bytes

    def record(self) -> tuple[str | int | bytes, ...]:
        """Plain values for a row of SQLite, in the order of ``RECORD``."""
        version = self.version
        return (
            self.url, version.size, version.tag, self.hdu, self.header, self.name, json.dumps(self.lengths), self.band,
            self.cards,
        )  # fmt: skip

    @classmethod
    def from_record(cls, record: Sequence[Any]) -> Self:
        """The same from these values."""
        url, size, tag, hdu, header, name, lengths, band, cards = record
        return cls(
            url=url,
            version=SourceVersion(size, tag),
            hdu=hdu,
            header=header,
            name=name,
            lengths=tuple(json.loads(lengths)),
            band=band,
            cards=cards,
        )

    @property
    def size(self) -> Size:
        """Height and width."""
        return arrange(self.lengths).size

    @property
    def where(self) -> str:
        """File and HDU, for messages and records."""
        return f"{self.url}[{self.hdu}]"

    @property
    def plain_cards(self) -> bytes | None:
        """The keywords of its world coordinates if they are of rows and columns alone."""
        return self.cards if len(self.lengths) == 2 else None  # noqa: PLR2004 - as said

    def wcs(self) -> "WCS":
        """Astropy's transformation between pixels (x, y), from 0, and the sky.

        Raises:
            CorruptImage: if astropy refuses the keywords.
        """
        with foreign_errors(f"{self.where}: its world coordinates"):
            found = celestial_wcs(Cards(self.cards, self.where), arrange(self.lengths))
        if found is None:
            raise CorruptImage(f"{self.where} has no place on the sky; make the index again")
        return found


def find_images(source: ByteSource) -> Iterator[tuple[SkyImage, Footprint] | str]:
    """The images of a file that have a place on the sky, and, in their order, why others are left out.

    Only headers are read.

    Raises:
        FormatError: if a header is damaged.
        SourceError: if it cannot be read.
    """
    with foreign_errors(f"{source.url}: the FITS header"):
        for hdu in walk(Headers(source)):
            if not hdu.is_image:
                continue
            try:
                yield _described(source, hdu)
            except ZigguratError as error:
                said = str(error)
                yield said if source.url in said else f"{source.url}[{hdu.index}]: {said}"


def _described(source: ByteSource, hdu: Hdu) -> tuple[SkyImage, Footprint]:
    axes = arrange(hdu.axes)
    if axes.bands > 1 or axes.first_of:
        raise UnsupportedFeature("it has more than one plane; cutouts are made of single ones")
    image = SkyImage(
        url=source.url,
        version=source.version,
        hdu=hdu.index,
        header=hdu.header,
        name=hdu.name,
        lengths=hdu.axes,
        band=next((text for keyword in BAND_KEYWORDS if (text := hdu.cards.text(keyword))), ""),
        cards=sky_cards(hdu.cards, axes),
    )
    with foreign_errors("its world coordinates"), quiet(), np.errstate(all="ignore"):
        wcs = celestial_wcs(hdu.cards, axes)
        if wcs is None:
            raise UnsupportedFeature("its header gives it no place on the sky")
        return image, footprint(wcs, axes.size)


@lru_cache(maxsize=1024)
def weights_of(image: SkyImage, pattern: str) -> SkyImage:
    """The weight map of an image: in its file the HDU of the same EXTNAME, or the first image.

    Args:
        image: whose weights.
        pattern: of the file's name beside the image's, or of a whole path or URL, with ``{stem}`` for the name of the
            image's file without ``.fits``, ``.fit``, ``.fts`` and ``.fz``.

    Raises:
        SourceError: if it cannot be read.
        FormatError: if it is no image of the same size.
    """
    folder, slash, name = image.url.rpartition("/")
    stem = re.sub(r"(\.(fits|fit|fts|fz))+$", "", name, flags=re.IGNORECASE)
    named = pattern.replace("{stem}", stem)
    with closing(open_source(named if "/" in pattern else f"{folder}{slash}{named}")) as source:
        wanted = None if image.name in {"", "PRIMARY", "COMPRESSED_IMAGE"} else image.name
        with foreign_errors(f"{source.url}: the FITS header"):
            hdu, _, _ = choose(Headers(source), wanted)
        if arrange(hdu.axes).size != image.size:
            raise CorruptImage(f"{source.url}[{hdu.index}] is no weight map of {image.where}: their sizes differ")
        return replace(
            image, url=source.url, version=source.version, hdu=hdu.index, header=hdu.header, lengths=hdu.axes
        )


class Field:
    """An image that is open, to read windows of it. Close it, or use ``with``.

    Args:
        image: as it was found.
        memory: bytes that one ``read`` may take.

    Raises:
        SourceChanged: if the file is not the one that was looked at.
        ZigguratError: if it cannot be opened.
    """

    def __init__(self, image: SkyImage, *, memory: int) -> None:
        self.image = image
        self._memory = memory
        self.source = open_source(image.url)
        try:
            _require_version(self.source, image)
            self._reader: FitsReader = open_unit(self.source, image.hdu, image.header)
        except BaseException:
            self.source.close()
            raise
        self._blank = _blank(self._reader)

    @cached_property
    def wcs(self) -> "WCS":
        """Astropy's transformation between pixels (x, y), from 0, and the sky.

        Raises:
            CorruptImage: if astropy refuses the keywords.
        """
        return self.image.wcs()

    @property
    def header(self) -> "Header":
        """The header of the image's HDU; not to be changed."""
        return self._reader.header

    def read(self, window: Window) -> Plane:
        """Physical values (y, x) of a window; undefined ones are NaN.

        Returns:
            float32 where that holds the stored numbers exactly (up to 16 bits, and floats), else float64.

        Raises:
            OutOfMemory: if it takes more than the limit.
            CorruptImage: if the window does not decode.
        """
        cost = self._reader.read_cost(0, window)
        if cost > self._memory:
            raise OutOfMemory(
                f"{self.image.where}: reading {window.height} x {window.width} pixels takes about {cost >> 20} MiB, "
                f"the limit is {self._memory >> 20} MiB; ask for less, or raise --memory"
            )
        return self._physical(self._reader.read(0, window)[:, :, 0])

    def picked(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Plane:
        """Physical values at the crossings of some rows and columns, both ascending; only these rows are read.

        Raises:
            CorruptImage: if they do not decode.
        """
        return self._physical(self._reader.read_picked(0, rows, columns)[:, :, 0])

    def _physical(self, stored: Samples) -> Plane:
        if stored.dtype.kind == "f":
            return cast("Plane", stored)
        exact = np.float32 if stored.dtype.itemsize <= 2 else np.float64  # noqa: PLR2004 - bytes
        values = cast("Plane", stored.astype(exact))
        if self._blank is not None:
            values[stored == self._blank] = np.nan
        return values

    def close(self) -> None:
        """Releases the file."""
        self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def _require_version(source: ByteSource, image: SkyImage) -> None:
    if source.version != image.version:
        raise SourceChanged(f"{image.url} has changed since its header was looked at; make the index again")


def _blank(reader: FitsReader) -> int | None:
    """The integer of ``read`` that stands for an undefined sample; where values are scaled, the reader knows it."""
    facts = reader.info.details["fits"]
    blank, zero = (facts["blank"], facts["bzero"]) if isinstance(facts, dict) else (None, None)
    return blank + int(zero) if isinstance(blank, int) and isinstance(zero, float) else None
