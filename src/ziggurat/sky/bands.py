"""Which band an image is of: by its header, or by its file's name."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ziggurat.errors import UsageError

if TYPE_CHECKING:
    from ziggurat.sky.images import SkyImage

MARK = "{band}"

SPECTRUM = (
    "FUV", "NUV", "u", "U", "g", "B", "V", "r", "R", "i", "I", "z", "Z", "y", "Y",
    "J", "H", "K", "Ks", "W1", "W2", "W3", "W4",
)  # fmt: skip
"""Usual bands from blue to red."""


@dataclass(frozen=True, slots=True)
class Bands:
    """The bands that are wanted.

    Attributes:
        names: (name, what headers or file names call it), in the order of the output; empty takes all that there are.
        pattern: of file names, with ``{band}`` in it; None asks the header.
    """

    names: tuple[tuple[str, str], ...] = ()
    pattern: str | None = None

    def of(self, image: "SkyImage") -> str | None:
        """The name of an image's band; None if it is none of the wanted ones."""
        said = image.band if self.pattern is None else _in_name(self.pattern, image.url)
        if said is None:
            return None
        if not self.names:
            return said
        wanted = {called: name for name, called in self.names}
        # Filters are called "r.MP9602" or "r DECam SDSS c0002 6415.0 1480.0": the first word is the band.
        for form in (said, re.split(r"[\s._-]", said)[0]):
            if form in wanted:
                return wanted[form]
        return None

    def ordered(self, found: set[str]) -> list[str]:
        """Those that were found, in the order in which they were asked for, else from blue to red as far as known."""
        if self.names:
            return [name for name, _ in self.names if name in found]
        return sorted(found, key=lambda name: (_rank(name), name))


def parse_bands(text: str | None, pattern: str | None = None) -> Bands:
    """Reads ``u,g,r`` or ``r=r.MP9602,i=i.MP9703``.

    Args:
        text: what was said; None takes all bands.
        pattern: of file names, such as ``frame-{band}-*.fits``.

    Raises:
        UsageError: if a band is named twice or not at all, or the pattern has not one ``{band}``.
    """
    parts = [] if text is None else [part.partition("=") for part in text.split(",")]
    names = tuple((name.strip(), (called if equals else name).strip()) for name, equals, called in parts)
    doubled = len({name for name, _ in names}) < len(names) or len({called for _, called in names}) < len(names)
    if doubled or not all(name and called and name.isascii() and name.isprintable() for name, called in names):
        raise UsageError(
            f"--bands {text!r} is no list of different bands, in ASCII, such as g,r,i or g=g.MP9402,r=r.MP9602"
        )
    if pattern is not None and pattern.count(MARK) != 1:
        raise UsageError(f"--band-pattern {pattern!r} needs {MARK} once, where the band stands in file names")
    return Bands(names, pattern)


def _rank(name: str) -> int:
    first = re.split(r"[\s._-]", name)[0]
    return SPECTRUM.index(first) if first in SPECTRUM else len(SPECTRUM)


@lru_cache(maxsize=16)
def _compiled(pattern: str) -> re.Pattern[str]:
    marks = {"*": "[^/]*", "?": "[^/]", MARK: r"(?P<band>[A-Za-z0-9]+)"}
    pieces = re.split(r"(\*|\?|\{band\})", pattern)
    return re.compile("(?:.*/)?" + "".join(marks.get(piece, re.escape(piece)) for piece in pieces))


def _in_name(pattern: str, url: str) -> str | None:
    found = _compiled(pattern).fullmatch(url)
    return None if found is None else found["band"]
