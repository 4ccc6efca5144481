"""Where the images of a mosaic lie on its grid: tangent plane, north up, east to the left.

A header's coordinates take milliseconds to understand, so only those images are looked at closely that may reach an
edge of the mosaic, or a window that is read; of the others the index's boxes are known.
"""

import math
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import numpy as np
from astropy.coordinates import SkyCoord

from ziggurat.errors import CorruptImage, UnsupportedFeature, ZigguratError
from ziggurat.format.fits.places import Numbers, pixel_to_pixel, world_to_pixel
from ziggurat.geometry import Size, Window
from ziggurat.sky.footprint import SAMPLES
from ziggurat.sky.grid import Grid, made_grid, mesh, moved
from ziggurat.sky.survey import Group, Survey

if TYPE_CHECKING:
    from astropy.wcs import WCS

WIDEST: Final = 60.0
"""Degrees across that one tangent plane shows: at its edges areas are one and a half times as large."""

LARGEST: Final = 1 << 30
"""Pixels of a side."""

KNOWN: Final = 4096
"""Transformations that are kept; some kilobytes each."""


class Layout:
    """The grid of a mosaic, and where its images are on it. Safe to use from several threads.

    Args:
        survey: the index.
        group: the images.

    Attributes:
        group: the images.
        grid: its pixels' places.

    Raises:
        UnsupportedFeature: if it is too wide.
        CorruptImage: if no image has a place.
    """

    def __init__(self, survey: Survey, group: Group) -> None:
        self.survey = survey
        self.group = group
        self._lock = threading.Lock()
        self._worlds: OrderedDict[int, WCS] = OrderedDict()
        self._exact: dict[int, Numbers | None] = {}
        self._origin = (0, 0)
        wcs = made_grid(SkyCoord(*group.centre, unit="deg"), Size(1, 1), group.scale, "TAN").whole
        wcs.wcs.cdelt = [-group.scale, -group.scale]
        self._wcs = wcs
        self._bounds = self._bounded()
        y0, x0 = (math.floor(self._edge(axis) + 0.5) for axis in (0, 1))
        y1, x1 = (math.ceil(self._edge(axis) - 0.5) + 1 for axis in (2, 3))
        size = Size(y1 - y0, x1 - x0)
        if max(size) > LARGEST:
            raise UnsupportedFeature(f"{self.where} would have {size.height} x {size.width} pixels, which is too many")
        self.grid = Grid(moved(wcs, y0, x0), size)
        self._origin = (y0, x0)

    @property
    def where(self) -> str:
        """The mosaic, for messages."""
        return f"the mosaic {self.group.name} of {self.survey.path}"

    def world(self, place: int) -> "WCS":
        """Pixels (x, y) of an image, by its place in the group, to the sky.

        Raises:
            ZigguratError: if its coordinates make no sense.
        """
        with self._lock:
            known = self._worlds.get(place)
        if known is None:
            known = self.survey.image(self.group.numbers[place]).wcs()
            with self._lock:
                self._worlds[place] = known
                if len(self._worlds) > KNOWN:
                    self._worlds.popitem(last=False)
        return known

    def near(self, window: Window) -> list[int]:
        """Places in the group of the images that may touch a window of the grid."""
        y0, x0, y1, x1 = (self._bounds - np.tile(self._origin, 2)).T
        touched = (y0 < window.y1) & (y1 > window.y0 - 1) & (x0 < window.x1) & (x1 > window.x0 - 1)
        return [place for place in np.flatnonzero(touched).tolist() if self._touches(place, window)]

    def _touches(self, place: int, window: Window) -> bool:
        exact = self._exact.get(place)
        if exact is None:
            return place not in self._exact
        y0, x0, y1, x1 = exact - np.tile(self._origin, 2)
        return bool(y0 < window.y1 and y1 > window.y0 - 1 and x0 < window.x1 and x1 > window.x0 - 1)

    def bounds(self, place: int, *, closely: bool = True) -> Window | None:
        """The pixels of the grid that an image touches; None of one whose coordinates make no sense.

        Args:
            place: of the image in the group.
            closely: by the image's own coordinates; else, where these were not looked at before, by its box.
        """
        exact = self._outline(place) if closely or place in self._exact else self._bounds[place]
        if exact is None:
            return None
        y0, x0, y1, x1 = exact - np.tile(self._origin, 2)
        corner = max(0, math.floor(y0)), max(0, math.floor(x0))
        end = min(self.grid.size.height, math.ceil(y1) + 1), min(self.grid.size.width, math.ceil(x1) + 1)
        return Window(*corner, *end) if corner[0] < end[0] and corner[1] < end[1] else None

    def _bounded(self) -> Numbers:
        """Bounds (image, 4) of y0, x0, y1, x1, from the tangent point, that the images do not leave."""
        group = self.group
        points = group.middles / np.maximum(np.linalg.norm(group.middles, axis=1, keepdims=True), 1e-9)
        places = SkyCoord(*points.T, representation_type="cartesian")
        places.representation_type = "unitspherical"
        centre = SkyCoord(*group.centre, unit="deg")
        reach = 2 * np.arcsin(np.minimum(group.radii, 2.0) / 2) * 1.01
        apart = centre.separation(places).rad + reach
        if np.degrees(apart.max()) > WIDEST / 2 + group.scale:
            raise UnsupportedFeature(
                f"{self.where} is {np.degrees(2 * apart.max()):.0f} degrees wide, and {WIDEST:.0f} are shown on one "
                "plane; make indexes of parts with `ziggurat footprints`"
            )
        x, y = world_to_pixel(self._wcs, places)
        radius = reach / np.cos(apart) ** 2 / np.radians(group.scale)
        return np.stack([y - radius, x - radius, y + radius, x + radius], axis=1)

    def _edge(self, side: int) -> float:
        """Where the mosaic ends on one side of y0, x0, y1, x1: images that cannot change that are not looked at."""
        sign = 1.0 if side > 1 else -1.0
        best = -math.inf
        for place in np.argsort(-sign * self._bounds[:, side]).tolist():
            if sign * self._bounds[place, side] <= best:
                break
            exact = self._outline(place)
            if exact is not None:
                best = max(best, sign * float(exact[side]))
        if not math.isfinite(best):
            raise CorruptImage(f"{self.where}: no image has a place on the sky; make the index again")
        return sign * best

    def _outline(self, place: int) -> Numbers | None:
        """Least and largest y, x of an image's points, from the tangent point; None where there is no sky."""
        if place not in self._exact:
            found = None
            try:
                size = self.survey.image(self.group.numbers[place]).size
                points = pixel_to_pixel(self.world(place), *mesh(size, SAMPLES), self._wcs)
                y, x = (values[np.isfinite(values)] for values in points[::-1])
                if y.size and x.size:
                    found = np.array([y.min(), x.min(), y.max(), x.max()])
            except ZigguratError:
                found = None
            self._exact[place] = found
        return self._exact[place]
