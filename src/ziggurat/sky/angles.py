"""Angles, sizes and positions as people write them."""

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from ziggurat.errors import UsageError
from ziggurat.geometry import Size

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

UNITS: Final = {
    "deg": 1.0,
    "arcmin": 1 / 60,
    "arcsec": 1 / 3600,
    "mas": 1 / 3_600_000,
    "px": 0.0,
}
"""Degrees of a unit; pixels have none before there is an image."""

_WRITTEN = re.compile(r"(\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+)\s*([a-z]+)", re.IGNORECASE)

FRAMES: Final = {
    "icrs": "icrs",
    "fk5": "fk5",
    "fk4": "fk4",
    "galactic": "galactic",
    "supergalactic": "supergalactic",
    "ecliptic": "barycentricmeanecliptic",
}
"""Frames that positions may be given in, by astropy's names."""

LARGEST_SIDE: Final = 1 << 20
"""Pixels of a side: more is a slip of the unit."""


@dataclass(frozen=True, slots=True)
class Extent:
    """The size of a cutout, in degrees or in pixels.

    Attributes:
        height: of the rows' axis.
        width: of the columns' axis.
        unit: of both.
    """

    height: float
    width: float
    unit: Literal["deg", "px"]

    def pixels(self, scale: tuple[float, float]) -> Size:
        """Height and width in pixels, rounded as ``astropy.nddata.Cutout2D`` rounds.

        Args:
            scale: degrees a pixel along y and x.

        Raises:
            UsageError: if that is no pixel, or too many.
        """
        y, x = (1.0, 1.0) if self.unit == "px" else scale
        sides = [side / step for side, step in ((self.height, y), (self.width, x))]
        if not all(0.5 <= side < LARGEST_SIDE for side in sides):  # noqa: PLR2004 - rounds to a pixel
            raise UsageError(
                f"a cutout of {sides[0]:.6g} x {sides[1]:.6g} pixels is none; sides may have 1 to {LARGEST_SIDE}; "
                "check the size and its unit"
            )
        return Size(round(sides[0]), round(sides[1]))

    def radius(self, scale: float) -> float:
        """Degrees from the centre to a corner.

        Args:
            scale: degrees a pixel, of an image.
        """
        return math.hypot(self.height, self.width) / 2 * (scale if self.unit == "px" else 1.0)


def parse_extent(text: str) -> Extent:
    """Reads ``0.05deg``, ``3arcmin``, ``20arcsec``, ``512px``, or height and width such as ``1arcmin,2arcmin``.

    Raises:
        UsageError: if it is none of these.
    """
    parts = [_measured(part, "--size") for part in text.split(",")]
    units = {unit == "px" for _, unit in parts}
    if not 1 <= len(parts) <= 2 or len(units) != 1:  # noqa: PLR2004 - height and width
        raise UsageError(f"--size {text!r} is not one size, or a height and a width, such as 0.05deg or 512px,256px")
    if "px" in {unit for _, unit in parts}:
        return Extent(parts[0][0], parts[-1][0], "px")
    height, width = (value * UNITS[unit] for value, unit in (parts[0], parts[-1]))
    return Extent(height, width, "deg")


def parse_angle(text: str, name: str) -> float:
    """Reads an angle with its unit, such as ``0.4arcsec``, as degrees.

    Raises:
        UsageError: if it is none.
    """
    value, unit = _measured(text, name)
    if unit == "px":
        raise UsageError(f"{name} {text!r} is no angle; give one such as 0.4arcsec")
    return value * UNITS[unit]


def _measured(text: str, name: str) -> tuple[float, str]:
    found = _WRITTEN.fullmatch(text.strip())
    unit = "" if found is None else found[2].lower()
    if found is None or unit not in UNITS or not 0 < float(found[1]) < math.inf:
        raise UsageError(f"{name} {text!r} is no positive number with one of the units {', '.join(UNITS)}")
    return float(found[1]), unit


def parse_position(longitude: str, latitude: str, frame: str = "icrs") -> "SkyCoord":
    """Reads one position.

    Args:
        longitude: degrees, or sexagesimal: hours in equatorial frames (``10:00:28.6``, ``10h00m28.6s``), degrees in
            others; or with a unit, such as ``150.1d``.
        latitude: degrees, or sexagesimal degrees.
        frame: a name of ``FRAMES``.

    Raises:
        UsageError: if it is no position.
    """
    from astropy.coordinates import SkyCoord  # noqa: PLC0415 - half a second, and only for commands of the sky

    if frame.lower() not in FRAMES:
        raise UsageError(f"--frame {frame!r} is not one of {', '.join(FRAMES)}")
    name = FRAMES[frame.lower()]
    hours = name in {"icrs", "fk4", "fk5"} and _sexagesimal(longitude)
    try:
        place = SkyCoord(longitude, latitude, unit=("hourangle" if hours else "deg", "deg"), frame=name)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{longitude!r:.60} {latitude!r:.60} is no position: {error}") from error
    if not (math.isfinite(place.spherical.lon.deg) and math.isfinite(place.spherical.lat.deg)):
        raise UsageError(f"{longitude!r:.60} {latitude!r:.60} is no position: it is not finite")
    return place.icrs


def _sexagesimal(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return True
    return False
