"""Bands → RGB: Lupton et al. 2004, PASP 116, 133 (2004PASP..116..133L), for any number of bands. Pure.

The intensity, the mean of the three colours, goes through a curve; colours are multiplied by the ratio. So a pixel's
colour depends on the ratios of its bands and not on its brightness, and bright pixels do not turn white.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

type Curve = Literal["asinh", "linear", "log"]
type Numbers = NDArray[np.float64]

FAINT: Final = 0.1
"""Part of the range that Lupton's linear part reaches: intensity ``FAINT * stretch`` is shown at ``FAINT``."""

NOISE: Final = 2.0
"""Standard deviations of the sky that an automatic stretch shows at ``FAINT``."""

BRIGHT: Final = 99.5
"""Percentile of the intensity that an automatic stretch shows at full range."""

LOG: Final = 1000.0
"""Contrast of the logarithmic curve, as in DS9."""

USUAL_Q: Final = 8.0
"""Lupton's Q where a stretch is given and nothing else."""

SIGMA: Final = 1.4826
"""Standard deviations of normal noise in its median absolute deviation."""

SOFTEST, HARDEST = 1e-3, 1e12
"""Between which an automatic stretch looks for Lupton's Q."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked for of a composition; None is found out by the pixels.

    Attributes:
        curve: of the intensity.
        minimum: value that is black in all bands; None takes every band's own sky.
        bright: intensity above black that is shown at full range; None takes that of the bright pixels.
        stretch: of asinh, Lupton's stretch; of the others, the range from black to full.
        q: Lupton's Q, the softening.
    """

    curve: Curve = "asinh"
    minimum: float | None = None
    bright: float | None = None
    stretch: float | None = None
    q: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Composition:
    """How bands become a picture: the same for all parts of an image.

    Attributes:
        weights: of the bands in the colours (colour, band).
        minimum: what is black in every band.
        curve: of the intensity.
        stretch: of asinh, Lupton's stretch; of the others, the range from black to full.
        q: Lupton's Q.
        full: share of the full range at which the end of the range is shown: 1, or less so that strong colours fit.
        bright: intensity above black that is shown about there.
    """

    weights: Numbers
    minimum: Numbers
    curve: Curve
    stretch: float
    q: float
    full: float
    bright: float

    @classmethod
    def measured(cls, cube: Numbers, weights: Numbers, asked: Asked) -> "Composition":
        """The composition that suits some pixels.

        Args:
            cube: pixels (band, y, x), NaN where there is no value.
            weights: of the bands in the colours (colour, band).
            asked: what is known beforehand.
        """
        minimum = _sky(cube) if asked.minimum is None else np.full(len(cube), asked.minimum)
        colours, known = _coloured(cube, minimum, weights)
        intensity, largest = colours.mean(axis=0), colours.max(axis=0)
        values = intensity[known] if known.any() else np.zeros(1)
        bright = float(np.percentile(values, BRIGHT)) if asked.bright is None else asked.bright
        # What an automatic stretch shows a bright pixel's intensity at, so that its strongest colour is at full range.
        above = known & (intensity >= bright) & (intensity > 0)
        full = float(np.median(intensity[above] / largest[above])) if above.any() else 1.0
        stretch, q = asked.stretch, asked.q
        if asked.curve == "asinh":
            if stretch is None:
                noise = SIGMA * float(np.median(np.abs(values - np.median(values))))
                stretch = NOISE * noise / FAINT or bright or 1.0
            q = q or (_softening(bright / stretch, full) if asked.stretch is None else USUAL_Q)
        else:
            full = 1.0 if stretch is not None else full
            stretch = stretch or max(bright, 0.0) or 1.0
        return cls(weights, minimum, asked.curve, stretch, q or USUAL_Q, full, bright)

    def __call__(self, cube: Numbers) -> Numbers:
        """A picture of pixels (band, y, x): colours (colour, y, x) from 0 to 1; black where no band has a value."""
        colours, _ = _coloured(cube, self.minimum, self.weights)
        intensity = colours.mean(axis=0)
        shown = self._curved(np.maximum(intensity, 0))
        with np.errstate(divide="ignore", invalid="ignore"):
            colours *= np.where(intensity > 0, shown / intensity, 0.0)
        colours = np.clip(colours, 0.0, None)
        # A colour beyond the range is brought back along its own line to black: the hue stays (section 2.2).
        colours /= np.maximum(colours.max(axis=0), 1.0)
        return colours

    def _curved(self, intensity: Numbers) -> Numbers:
        """The intensity, 0 or more, through the curve: 0 is black, 1 full range."""
        if self.curve == "asinh":
            asinh: Numbers = np.arcsinh(intensity * self.q / self.stretch) * FAINT / np.arcsinh(FAINT * self.q)
            return asinh
        part = intensity / self.stretch
        curved = part if self.curve == "linear" else np.log1p(LOG * part) / np.log1p(LOG)
        return curved * self.full


def spread(count: int) -> Numbers:
    """Weights (colour, band) of bands, the bluest first, in red, green and blue; a single row for one band.

    The bands are spread evenly from blue to red, each shared by the two colours between which it lies.
    """
    if count == 1:
        return np.ones((1, 1))
    places = np.linspace(0.0, 1.0, count)
    weights = np.stack([np.clip(1 - 2 * np.abs(places - centre), 0.0, None) for centre in (1.0, 0.5, 0.0)])
    weights[weights.sum(axis=1) == 0] = 1.0
    even: Numbers = weights / weights.sum(axis=1, keepdims=True)
    return even


def chosen(bands: Sequence[int], count: int) -> Numbers:
    """Weights (colour, band) of some bands, one for each colour, of so many."""
    return np.array([[float(band == place) for place in range(count)] for band in bands])


def _coloured(cube: Numbers, minimum: Numbers, weights: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
    """Colours above black, and which pixels have a value in any band."""
    cube = cube - minimum[:, np.newaxis, np.newaxis]
    known = np.isfinite(cube).any(axis=0)
    colours: Numbers = np.einsum("cb,byx->cyx", weights, np.nan_to_num(cube, copy=False))
    return colours, known


def _sky(cube: Numbers) -> Numbers:
    """Every band's median."""
    levels = [np.median(plane[np.isfinite(plane)]) if np.isfinite(plane).any() else 0.0 for plane in cube]
    return np.array(levels)


def _softening(ratio: float, full: float) -> float:
    """Lupton's Q by which an intensity of ``ratio`` stretches is shown at ``full``, within limits."""
    low, high = np.log(SOFTEST), np.log(HARDEST)
    for _ in range(60):
        middle = (low + high) / 2
        q = np.exp(middle)
        # The larger Q, the less of the range a bright pixel takes.
        if np.arcsinh(ratio * q) * FAINT > np.arcsinh(FAINT * q) * full:
            low = middle
        else:
            high = middle
    return float(np.exp(high))
