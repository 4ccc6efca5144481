"""What an index of footprints covers: a mosaic for every group of images that hang together."""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import apsw
import numpy as np

from ziggurat.errors import SourceNotFound, SourceRefused, UsageError
from ziggurat.format.fits.places import Numbers
from ziggurat.sky.footprints import Footprints
from ziggurat.sky.images import SkyImage
from ziggurat.storage.local import local_tag, reading
from ziggurat.storage.protocol import SourceVersion
from ziggurat.storage.urls import Packed, Remote, parse

COARSEST: Final = 90.0
"""Degrees that a pixel may have, at most."""

OPEN: Final = 4
"""Indexes that stay open in a process."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Images that hang together.

    Attributes:
        name: ``Jhhmmss.s+ddmmss``, of its middle.
        centre: right ascension and declination of the middle in degrees, ICRS.
        numbers: of the images in the index.
        middles: of their boxes (image, 3), on the unit sphere or a little inside.
        radii: of spheres around these that hold the images, as lengths of chords.
        bands: what their headers say of the filter.
        scales: degrees of their pixels.
        scale: of the finest ones.
    """

    name: str
    centre: tuple[float, float]
    numbers: tuple[int, ...]
    middles: Numbers
    radii: Numbers
    bands: tuple[str, ...]
    scales: tuple[float, ...]
    scale: float


class Survey:
    """An open index and its groups. Safe to use from several threads.

    Args:
        path: of the index.

    Raises:
        JobError: if it is no index.
        SourceRefused: if what it says makes no sense.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._index = Footprints(path)
        try:
            self.groups: Mapping[str, Group] = self._grouped()
        except (apsw.Error, TypeError, ValueError, OverflowError) as error:
            self._index.close()
            raise SourceRefused(f"{path} is damaged: {error}; make it again with `ziggurat footprints`") from error

    def _grouped(self) -> dict[str, Group]:
        kinds = self._index.kinds()
        found: dict[str, Group] = {}
        for placed in self._index.groups():
            boxes = np.array([box for _, box in placed], np.float64)
            low, high = boxes[:, 0::2], boxes[:, 1::2]
            numbers = tuple(number for number, _ in placed)
            scales = tuple(float(kinds[number][1]) for number in numbers)
            scale = min(scales)
            middle = (low.min(axis=0) + high.max(axis=0)) / 2
            length = float(np.linalg.norm(middle))
            if not (np.isfinite(boxes).all() and all(0 < scale < COARSEST for scale in scales)):
                raise ValueError("its images have no place or no size")
            # What surrounds all of the sky has no middle: the first image is as good as any.
            if length < 1e-6:  # noqa: PLR2004 - of a unit vector
                middle = (low[0] + high[0]) / 2
            ra = math.degrees(math.atan2(middle[1], middle[0])) % 360
            dec = math.degrees(math.atan2(middle[2], math.hypot(middle[0], middle[1])))
            name = _free(designation(ra, dec), found)
            radii = np.linalg.norm(high - low, axis=1) / 2
            bands = tuple(str(kinds[number][0]) for number in numbers)
            found[name] = Group(name, (ra, dec), numbers, (low + high) / 2, radii, bands, scales, scale)
        return found

    def image(self, number: int) -> SkyImage:
        """What is known of an image.

        Raises:
            SourceRefused: if what the index says of it makes no sense.
        """
        try:
            with self._lock:
                image = self._index.image(number)[0]
            place = parse(image.url)
        except (apsw.Error, TypeError, ValueError, UsageError) as error:
            raise SourceRefused(
                f"{self.path} is damaged, or was written anew: {error}; make it again with `ziggurat footprints`"
            ) from error
        # As of manifests, but that packs may hold images, too.
        if not isinstance(place, Path | Remote | Packed):
            raise SourceRefused(f"{self.path} names {image.url[:100]}, where no image can lie")
        return image

    def group(self, name: str) -> Group:
        """A group by its name; "" is the only one.

        Raises:
            SourceNotFound: if there is none, or there are several.
        """
        if name in self.groups:
            return self.groups[name]
        if not name and len(self.groups) == 1:
            return next(iter(self.groups.values()))
        known = ", ".join(list(self.groups)[:20])
        if name:
            raise SourceNotFound(f"{self.path.name} has no mosaic {name[:40]!a}; there are {known}")
        raise SourceNotFound(f"{self.path.name} has {len(self.groups)} mosaics; name one, as sky:INDEX!NAME: {known}")


def version_of(path: Path) -> SourceVersion:
    """The state of an index.

    Raises:
        SourceNotFound: if there is none.
    """
    with reading(str(path)):
        status = path.stat()
    return SourceVersion(status.st_size, local_tag(status))


@lru_cache(maxsize=OPEN)
def open_survey(path: Path, version: SourceVersion) -> Survey:  # noqa: ARG001 - another state is another index
    """An index in a state, opened once.

    Raises:
        JobError: if it is no index.
        SourceRefused: if what it says makes no sense.
    """
    return Survey(path)


def designation(ra: float, dec: float) -> str:
    """A position as it names things: ``J012345.6+012345``, truncated as the IAU recommends."""
    tenths = math.floor(ra / 15 * 36000) % 864000
    seconds = math.floor(abs(dec) * 3600)
    hours = f"{tenths // 36000:02}{tenths // 600 % 60:02}{tenths // 10 % 60:02}.{tenths % 10}"
    degrees = f"{seconds // 3600:02}{seconds // 60 % 60:02}{seconds % 60:02}"
    return f"J{hours}{'-' if dec < 0 else '+'}{degrees}"


def _free(name: str, taken: Mapping[str, Group]) -> str:
    """The name, with a number behind it where another group has it: rings around one place do."""
    number = 2
    chosen = name
    while chosen in taken:
        chosen = f"{name}-{number}"
        number += 1
    return chosen
