"""The headers of cutouts: what their images agree on, their place on the sky, and what they were made of."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from astropy.io.fits import Card, Header

from ziggurat import __version__
from ziggurat.errors import UnsupportedFeature
from ziggurat.format.fits.quiet import quiet
from ziggurat.format.fits.wcs import KEYWORDS
from ziggurat.sky.fits_file import card
from ziggurat.sky.grid import Grid
from ziggurat.sky.make import BandCutout, Used

NOT_CARRIED: Final = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|GROUPS|END|COMMENT|HISTORY|CONTINUE|"
    r"EXTNAME|EXTVER|EXTLEVEL|INHERIT|NEXTEND|CHECKSUM|DATASUM|"
    r"BSCALE|BZERO|BLANK|DATAMIN|DATAMAX|"
    # Compressed images and the tables that they lie in.
    r"Z(IMAGE|TENSION|SIMPLE|EXTEND|BITPIX|NAXIS\d*|TILE\d+|CMPTYPE|NAME\d+|VAL\d+|QUANTIZ|DITHER0|BLANK|SCALE|ZERO|"
    r"PCOUNT|GCOUNT|HECKSUM|DATASUM|BLOCKED|MASKCMP)|T(FIELDS|HEAP|(TYPE|FORM|UNIT|NULL|SCAL|ZERO|DISP|DIM)\d+)|"
    # Places in the whole image; other coordinate systems than the first; tables of distortion.
    r"LT[VM]\d?(_\d)?|(DET|DATA|CCD|AMP|TRIM|BIAS)SEC\w*|"
    r"(WCSAXES|WCSNAME|RADESYS|EQUINOX|LONPOLE|LATPOLE|(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)\d|(CD|PC|PV|PS)\d_\d+)[A-Z]|"
    r"(CPDIS|CQDIS|D2IMDIS|DP|DQ|CPERR|D2IMERR)\d.*|D2IMEXT|AXISCORR|"
)
"""Keywords that say something of the file, or of all pixels of the image, that does not hold for a part."""

TIMES: Final = ("DATE-OBS", "MJD-OBS", "DATEREF", "MJDREF", "MJDREFI", "MJDREFF")
"""Keywords of times: they are the images', not the grid's."""


HISTORY: Final = 72
"""Characters of a line."""


class _Same:
    """A header that is equal to itself alone, so that what is made of it can be kept."""

    def __init__(self, header: Header) -> None:
        self.header = header

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.header is other.header

    def __hash__(self) -> int:
        return id(self.header)


@lru_cache(maxsize=64)
def _carried(headers: tuple[_Same, ...]) -> tuple[bytes, bool]:
    """Cards that all headers agree on, and whether they name the filter."""
    first, *others = (held.header for held in headers)
    kept = Header()
    with quiet():
        for one in first.cards:
            try:
                keyword, value = one.keyword, one.value
                if NOT_CARRIED.fullmatch(keyword) or (KEYWORDS.fullmatch(keyword) and keyword not in TIMES):
                    continue
                if all(keyword in other and other[keyword] == value for other in others):
                    kept.append(Card(keyword, value, one.comment))
            except Exception:  # noqa: BLE001, S112 - a malformed card is left out; astropy raises almost anything
                continue
        return _text(kept), "FILTER" in kept


def _text(header: Header) -> bytes:
    """A header's cards without the last one and what fills the block."""
    text: str = header.tostring(sep="", endcard=False, padding=False)
    return text.encode("ascii")


def sky_cards(grid: Grid) -> bytes:
    """The keywords of a grid's world coordinates: an image's own, moved, where it is cut out of one.

    Raises:
        UnsupportedFeature: if they cannot be written as keywords.
    """
    if grid.cards is not None:
        others, numbers = _places(grid.cards)
        y0, x0 = grid.origin
        # CNPIX is where the image begins on the photographic plate (Digitized Sky Survey).
        shifts = {"CRPIX1": -x0, "CRPIX2": -y0, "CNPIX1": x0, "CNPIX2": y0}
        return others + b"".join(card(keyword, value + shifts[keyword]) for keyword, value in numbers.items())
    try:
        with quiet():
            header: Header = grid.wcs.to_header(relax=True)
            return _text(_timeless(header))
    except Exception as error:  # astropy raises almost anything on coordinates that it cannot write
        raise UnsupportedFeature(
            f"the image's world coordinates cannot be written into a header: {error}; use --project TAN"
        ) from error


@lru_cache(maxsize=64)
def _places(cards: bytes) -> tuple[bytes, Mapping[str, float]]:
    """An image's keywords: those that are the same for every part of it, and the numbers of those that are not."""
    header = _timeless(Header.fromstring(cards.decode("ascii")))
    numbers = {f"CRPIX{axis}": header.get(f"CRPIX{axis}", 0.0) for axis in (1, 2)}
    numbers |= {keyword: header[keyword] for keyword in ("CNPIX1", "CNPIX2") if keyword in header}
    for keyword in numbers:
        header.remove(keyword, ignore_missing=True)
    return _text(header), numbers


def _timeless(header: Header) -> Header:
    for keyword in TIMES:
        header.remove(keyword, ignore_missing=True)
    return header


def cutout_cards(made: BandCutout) -> bytes:
    """The cards of one band, without those that say how its pixels are stored.

    Raises:
        UnsupportedFeature: if the world coordinates cannot be written as keywords.
    """
    carried, filtered = _carried(tuple(_Same(used.header) for used in made.used))
    named = card("FILTER", made.band) if made.band and not filtered else b""
    combined = card("NCOMBINE", len(made.used), "images that the cutout is made of")
    return carried + sky_cards(made.grid) + named + combined + _history(made.used)


def _history(used: Sequence[Used]) -> bytes:
    lines = [f"Cutout by Ziggurat {__version__}: rows, columns (from 0, end-exclusive)"]
    lines += [f"{w.y0}:{w.y1}, {w.x0}:{w.x1} of {one.image.where}" for one in used for w in [one.window]]
    plain = [line.encode("ascii", "backslashreplace") for line in lines]
    pieces = [line[start : start + HISTORY] for line in plain for start in range(0, len(line), HISTORY)]
    return b"".join((b"HISTORY " + piece).ljust(80) for piece in pieces)
