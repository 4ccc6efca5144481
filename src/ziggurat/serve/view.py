"""How samples become colours on a screen: the words of a query, parsed and checked. Pure."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import parse_qsl

from ziggurat.errors import UsageError
from ziggurat.serve.colourmaps import COLOUR_MAPS

type Stretch = Literal["linear", "asinh", "log", "sqrt", "lupton"]

STRETCHES: Final[Mapping[str, Stretch]] = {name: name for name in ("linear", "asinh", "log", "sqrt", "lupton")}

BANDS: Final = "[0-9]{1,5}(,[0-9]{1,5},[0-9]{1,5})?"
NUMBER: Final = r" ?[-+]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][-+]?[0-9]{1,3})?"
PAIR: Final = f"{NUMBER},{NUMBER}"
"""What values look like; whether they make sense is another question."""

_BANDS, _NUMBER, _PAIR = (re.compile(pattern) for pattern in (BANDS, NUMBER, PAIR))

LONGEST_QUERY: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a request says of display; None leaves the choice to the image.

    Attributes:
        bands: one band, or three for red, green and blue, counted from 0.
        limits: samples that become black and white.
        percentile: the same as shares of the pixels, 0 to 100.
        stretch: the curve between them; ``lupton`` is one of the intensity, which leaves colours as they are.
        gamma: exponent 1 / gamma on the result.
        colour_map: colours for one band.
        invert: black and white exchanged.
    """

    bands: tuple[int, ...] | None = None
    limits: tuple[float, float] | None = None
    percentile: tuple[float, float] | None = None
    stretch: Stretch | None = None
    gamma: float = 1.0
    colour_map: str | None = None
    invert: bool = False

    @property
    def key(self) -> str:
        """The query that says the same, in one order."""
        return "&".join(f"{name}={value}" for name, value in self._said())

    def _said(self) -> Sequence[tuple[str, str]]:
        said: list[tuple[str, str]] = []
        if self.bands is not None:
            said.append(("bands", ",".join(map(str, self.bands))))
        for name, pair in (("range", self.limits), ("percentile", self.percentile)):
            if pair is not None:
                said.append((name, ",".join(map(repr, pair))))
        if self.stretch is not None:
            said.append(("stretch", self.stretch))
        if self.gamma != 1:
            said.append(("gamma", repr(self.gamma)))
        if self.colour_map is not None:
            said.append(("colormap", self.colour_map))
        if self.invert:
            said.append(("invert", "1"))
        return said

    @property
    def names_levels(self) -> bool:
        """Whether it says anything about how samples become grey values."""
        return self != View(bands=self.bands)


AS_IT_IS: Final = View()
"""Nothing is asked for: what suits the image."""


def parse_view(query: str) -> View:
    """Reads ``bands``, ``range``, ``percentile``, ``stretch``, ``gamma``, ``colormap``, ``invert``; ignores others.

    Raises:
        UsageError: if a value makes no sense.
    """
    if not query:
        return AS_IT_IS
    if len(query) > LONGEST_QUERY:
        raise UsageError(f"the query has {len(query)} characters, {LONGEST_QUERY} are allowed")
    try:
        said = dict(parse_qsl(query, max_num_fields=20))
    except ValueError:
        raise UsageError("the query has too many fields; bands, range, stretch and so on once each") from None
    limits, percentile = _pair(said, "range"), _pair(said, "percentile")
    if limits is not None and percentile is not None:
        raise UsageError("range and percentile exclude each other; give one")
    if percentile is not None and not 0 <= percentile[0] < percentile[1] <= 100:  # noqa: PLR2004 - per cent
        raise UsageError(f"percentile={said['percentile']}: two numbers from 0 to 100, the lower one first")
    if limits is not None and not limits[0] < limits[1]:
        raise UsageError(f"range={said['range']}: the lower number comes first; invert=1 exchanges black and white")
    bands = _bands(said.get("bands"))
    colour_map = said.get("colormap")
    if colour_map is not None and colour_map not in COLOUR_MAPS:
        raise UsageError(f"colormap={colour_map[:40]!a} is none of {', '.join(COLOUR_MAPS)}")
    if colour_map is not None and bands is not None and len(bands) > 1:
        raise UsageError("a colormap colours one band; give bands=0 or another single one")
    stretch = said.get("stretch")
    if stretch is not None and stretch not in STRETCHES:
        raise UsageError(f"stretch={stretch[:40]!a} is none of {', '.join(STRETCHES)}")
    return View(
        bands=bands,
        limits=limits,
        percentile=percentile,
        stretch=None if stretch is None else STRETCHES[stretch],
        gamma=_gamma(said.get("gamma")),
        colour_map=colour_map,
        invert=said.get("invert", "0") in {"1", "true"},
    )


def _pair(said: Mapping[str, str], name: str) -> tuple[float, float] | None:
    text = said.get(name)
    if text is None:
        return None
    low, high = map(float, text.split(",")) if _PAIR.fullmatch(text) else (math.nan, math.nan)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UsageError(f"{name}={text[:80]!a} is not two numbers with a comma between them, such as {name}=1,99")
    return low, high


def _bands(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    if _BANDS.fullmatch(text) is None:
        raise UsageError(
            f"bands={text[:80]!a} is not one band, or three for red, green and blue: bands=0 or bands=2,1,0"
        )
    return tuple(map(int, text.split(",")))


def _gamma(text: str | None) -> float:
    if text is None:
        return 1.0
    gamma = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not 0.1 <= gamma <= 10:  # noqa: PLR2004 - beyond, everything is black or white
        raise UsageError(f"gamma={text[:40]!a} is not a number from 0.1 to 10")
    return gamma
