"""The headers of cutouts: what their images agree on, their place on the sky, and what they were made of."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from astropy.io.fits import Card, Header

from ziggurat import __version__
from ziggurat.errors import UnsupportedFeature
from ziggurat.format.fits.quiet import quiet
from ziggurat.format.fits.wcs import KEYWORDS
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


@lru_cache(maxsize=64)
def _carried(headers: tuple["_Same", ...]) -> Header:
    """Cards that all headers agree on."""
    first, *others = (held.header for held in headers)
    kept = Header()
    with quiet():
        for card in first.cards:
            try:
                keyword, value = card.keyword, card.value
                if NOT_CARRIED.fullmatch(keyword) or (KEYWORDS.fullmatch(keyword) and keyword not in TIMES):
                    continue
                if all(keyword in other and other[keyword] == value for other in others):
                    kept.append(Card(keyword, value, card.comment))
            except Exception:  # noqa: BLE001, S112 - a malformed card is left out; astropy raises almost anything
                continue
    return kept


class _Same:
    """A header that is equal to itself alone, so that what is made of it can be kept."""

    def __init__(self, header: Header) -> None:
        self.header = header

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.header is other.header

    def __hash__(self) -> int:
        return id(self.header)


def sky_header(grid: Grid) -> Header:
    """The keywords of a grid's world coordinates: an image's own, moved, where it is cut out of one.

    Raises:
        UnsupportedFeature: if they cannot be written as keywords.
    """
    if grid.cards is not None:
        return _moved(grid.cards, *grid.origin)
    try:
        with quiet():
            header: Header = grid.wcs.to_header(relax=True)
    except Exception as error:  # astropy raises almost anything on coordinates that it cannot write
        raise UnsupportedFeature(
            f"the image's world coordinates cannot be written into a header: {error}; use --project TAN"
        ) from error
    for keyword in TIMES:
        header.remove(keyword, ignore_missing=True)
    return header


def _moved(cards: bytes, y0: int, x0: int) -> Header:
    header = _parsed(cards).copy()
    for axis, first in ((1, x0), (2, y0)):
        header[f"CRPIX{axis}"] = header.get(f"CRPIX{axis}", 0.0) - first
        if f"CNPIX{axis}" in header:
            # Where the image begins on the photographic plate (Digitized Sky Survey).
            header[f"CNPIX{axis}"] += first
    return header


@lru_cache(maxsize=64)
def _parsed(cards: bytes) -> Header:
    header = Header.fromstring(cards.decode("ascii"))
    for keyword in TIMES:
        header.remove(keyword, ignore_missing=True)
    return header


def cutout_header(made: BandCutout) -> Header:
    """The header of one band, without the cards that say how its pixels are stored.

    Raises:
        UnsupportedFeature: if the world coordinates cannot be written as keywords.
    """
    header = _carried(tuple(_Same(used.header) for used in made.used)).copy()
    header.update(sky_header(made.grid))
    if made.band and "FILTER" not in header:
        header["FILTER"] = made.band
    header["NCOMBINE"] = (len(made.used), "images that the cutout is made of")
    for line in _history(made.used):
        header.add_history(line)
    return header


def _history(used: Sequence[Used]) -> list[str]:
    lines = [f"Cutout by Ziggurat {__version__}: rows, columns (from 0, end-exclusive)"]
    for one in used:
        w = one.window
        lines.append(f"{w.y0}:{w.y1}, {w.x0}:{w.x1} of {one.image.where}")
    return [line.encode("ascii", "backslashreplace").decode() for line in lines]
