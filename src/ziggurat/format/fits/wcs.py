"""Where on the sky the pixels are. FITS Standard 4.0 section 8; Greisen and Calabretta 2002.

astropy gets a header of only those keywords that it needs, with bounds on their number: others make it open files
or reserve memory on a damaged header's word.
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from astropy.io.fits import Header

from ziggurat.errors import CorruptImage
from ziggurat.format.fits.axes import Axes
from ziggurat.format.fits.cards import Cards
from ziggurat.format.fits.quiet import quiet
from ziggurat.format.foreign import foreign_errors
from ziggurat.model import JSON

if TYPE_CHECKING:
    from astropy.wcs import WCS

MAX_AXES = 9
"""Axes whose coordinates are looked at."""

MAX_SIP = 9
"""Order of distortion polynomials (SIP); astropy reserves its square."""

KEYWORDS = re.compile(
    r"(WCSAXES|RADESYS|RADECSYS|EQUINOX|EPOCH|LONPOLE|LATPOLE|MJD-OBS|DATE-OBS|RESTFRQ|RESTWAV|SPECSYS|VELREF"
    r"|(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)[1-9]|(CD|PC)[1-9]_[1-9]|PV[1-9]_[1-9]?[0-9]"
    r"|(A|B|AP|BP)_ORDER|(A|B|AP|BP)_[0-9]_[0-9]|WAT[0-9]_[0-9]{3}"
    r"|CNPIX[12]|PPO[1-6]|[XY]PIXELSZ|PLTRA[HMS]|PLTDEC(SN|D|M|S)|AMD[XY][0-9]{1,2})"
)
"""The standard's keywords, SIP polynomials, IRAF's (WATi_nnn) and those of the Digitized Sky Survey's plates."""

_NUMBERS = re.compile(r"(CRVAL|CRPIX|CDELT|CROTA|CD|PC|PV)[1-9]|[AB]P?_")
"""Those of them that astropy would take for 0 where they are texts."""

_TABLES = re.compile(r"(C[PQ]DIS|D2IMDIS)[1-9]")
"""Distortions that other HDUs hold."""


def wcs_details(cards: Cards, axes: Axes) -> dict[str, JSON] | None:
    """The world coordinates as plain JSON values, or None where the header has none.

    Values stand in the order of the file's axes, fastest first: ``ctype``, ``crval``, ``crpix``, ``cunit``,
    the matrix ``cd`` (CDi_j, or CDELTi times PCi_j; degrees a pixel for celestial axes). Where columns
    and rows are celestial also ``pixel_scale`` (arcseconds along x and y), ``centre`` and ``corners`` ((ra, dec)
    or the header's own longitude and latitude in degrees; the corners are the outer edges of the corner pixels,
    in the order (first row, first column), (first row, last column), (last row, last column), (last row, first
    column); null where the projection has no sky). ``note`` says what astropy refused.
    """
    count = min(len(axes.lengths), MAX_AXES)
    if not any(f"CTYPE{n}" in cards or f"CRVAL{n}" in cards for n in range(1, count + 1)):
        return None
    found: dict[str, JSON] = {}
    if any(_TABLES.fullmatch(keyword) for keyword in cards.header):
        found["note"] = "distortions that tables of the file describe are left out; places may be off by some pixels"
    try:
        found |= _plain(cards, count)
        with foreign_errors(f"{cards.where}: its world coordinates"):
            found |= _celestial(cards, axes)
    except CorruptImage as error:
        found["note"] = str(error)
    return found


def _plain(cards: Cards, count: int) -> dict[str, JSON]:
    """The keywords' own values."""
    numbers = range(1, count + 1)
    found: dict[str, JSON] = {
        "ctype": [cards.text(f"CTYPE{n}") for n in numbers],
        "crval": [cards.number(f"CRVAL{n}", 0.0) for n in numbers],
        "crpix": [cards.number(f"CRPIX{n}", 0.0) for n in numbers],
        "cunit": [cards.text(f"CUNIT{n}") for n in numbers],
        "cd": _matrix(cards, numbers),
    }
    frame = cards.text("RADESYS") or cards.text("RADECSYS")
    if frame:
        found["frame"] = frame
    if "EQUINOX" in cards:
        found["equinox"] = cards.number("EQUINOX", 2000.0)
    return found


def _matrix(cards: Cards, numbers: range) -> list[list[JSON]]:
    """Units of the sky by pixels: CDi_j, or CDELTi times PCi_j, or turned by CROTA2 as before 2002 (section 8.2)."""
    if any(f"CD{i}_{j}" in cards for i in numbers for j in numbers):
        return [[cards.number(f"CD{i}_{j}", 0.0) for j in numbers] for i in numbers]
    cdelt = {n: cards.number(f"CDELT{n}", 1.0) for n in numbers}
    turned = {(i, j): cards.number(f"PC{i}_{j}", float(i == j)) for i in numbers for j in numbers}
    angle = math.radians(cards.number("CROTA2", 0.0))
    if angle and len(numbers) > 1 and not any(f"PC{i}_{j}" in cards for i, j in turned):
        ratio = cdelt[2] / cdelt[1] if cdelt[1] else 0.0
        turned[1, 1] = turned[2, 2] = math.cos(angle)
        turned[1, 2] = -math.sin(angle) * ratio
        turned[2, 1] = math.sin(angle) / ratio if ratio else 0.0
    # Adding 0 makes 0 of -0.
    return [[cdelt[i] * turned[i, j] + 0.0 for j in numbers] for i in numbers]


def celestial_wcs(cards: Cards, axes: Axes) -> "WCS | None":
    """Astropy's transformation between pixels (x, y) and the sky, or None where rows and columns are not celestial.

    Raises:
        Exception: whatever astropy raises on keywords that it does not understand.
    """
    from astropy.wcs import WCS  # noqa: PLC0415 - another fifth of a second, and only for files with a sky

    with quiet():
        whole = WCS(_chosen(cards, len(axes.lengths)))
        if max(axes.x, axes.y) >= whole.naxis:
            return None
        part = whole.sub([axes.x + 1, axes.y + 1])
        return part if part.has_celestial else None


def sky_cards(cards: Cards, axes: Axes) -> bytes:
    """Those cards that ``celestial_wcs`` needs, in whole blocks with an END card: a header of its own.

    Raises:
        CorruptImage: if there are more axes or higher distortions than are understood.
    """
    text: str = _chosen(cards, len(axes.lengths)).tostring()
    return text.encode("ascii")


def _celestial(cards: Cards, axes: Axes) -> dict[str, JSON]:
    found = celestial_wcs(cards, axes)
    if found is None:
        return {}
    from astropy.wcs.utils import proj_plane_pixel_scales  # noqa: PLC0415 - as above

    height, width = axes.size
    left, right, top, bottom = -0.5, width - 0.5, -0.5, height - 0.5
    pixels = [((width - 1) / 2, (height - 1) / 2), (left, top), (right, top), (right, bottom), (left, bottom)]
    with quiet():
        world = found.all_pix2world(pixels, 0)
        scales = proj_plane_pixel_scales(found)
    places = [_place(pair[found.wcs.lng], pair[found.wcs.lat]) for pair in world.tolist()]
    scale = [_finite(float(value) * 3600) for value in scales]
    return {"pixel_scale": scale, "centre": places[0], "corners": places[1:]}


def _chosen(cards: Cards, axes: int) -> Header:
    """The keywords that astropy may see."""
    header = Header()
    for keyword, value in _known(cards):
        header[keyword] = value
    if "WCSAXES" not in header:
        header["WCSAXES"] = min(axes, MAX_AXES)
    if not 0 < int(header["WCSAXES"]) <= MAX_AXES:
        raise CorruptImage(f"{cards.where}: WCSAXES is {header['WCSAXES']}; up to {MAX_AXES} are understood")
    return header


def _known(cards: Cards) -> Iterator[tuple[str, bool | int | float | str]]:
    for keyword in dict.fromkeys(cards.header.keys()):
        if not KEYWORDS.fullmatch(keyword):
            continue
        value = cards.value(keyword)
        if not isinstance(value, bool | int | float | str):
            continue
        if keyword.endswith("_ORDER") and not (isinstance(value, int) and 0 <= value <= MAX_SIP):
            raise CorruptImage(f"{cards.where}: {keyword} is {value!r:.40}; distortions up to {MAX_SIP} are understood")
        if isinstance(value, str) and _NUMBERS.match(keyword):
            raise CorruptImage(f"{cards.where}: {keyword} is {value!r:.40}, not a number; the header is damaged")
        yield keyword, value


def _place(longitude: float, latitude: float) -> Sequence[JSON] | None:
    return [longitude, latitude] if math.isfinite(longitude) and math.isfinite(latitude) else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
