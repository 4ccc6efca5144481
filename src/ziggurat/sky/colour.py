"""Bands → RGB: Lupton et al. 2004, PASP 116, 133 (2004PASP..116..133L), for any number of bands. Pure.

The intensity, the mean of the three colours, goes through a curve; colours are multiplied by the ratio. So a pixel's
colour depends on the ratios of its bands and not on its brightness, and bright pixels do not turn white.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ziggurat.errors import UsageError

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

SIGMA: Final = 1.4826
"""Standard deviations of normal noise in its median absolute deviation."""

SOFTEST, HARDEST = 1e-3, 1e12
"""Between which an automatic stretch looks for Lupton's Q."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourOptions:
    """How pixels are shown.

    Attributes:
        curve: of the intensity.
        minimum: intensity that is black, in the unit of the scaled bands; None takes every band's own sky.
        stretch: of asinh, Lupton's stretch; of the others, the range from black to full; None goes by the noise and the
            bright pixels.
        q: Lupton's Q, the softening; None goes by the bright pixels, or takes 8 where ``stretch`` is given.
        scales: factor of every band, in their order; empty is 1 for all.
        rgb: the bands that become red, green and blue; empty spreads all bands from blue to red.
        quality: 1 to 100, of lossy pictures.
    """

    curve: Curve = "asinh"
    minimum: float | None = None
    stretch: float | None = None
    q: float | None = None
    scales: tuple[float, ...] = ()
    rgb: tuple[str, ...] = ()
    quality: int = 92

    def __post_init__(self) -> None:
        for name, value in (("--stretch", self.stretch), ("--q", self.q)):
            if value is not None and not 0 < value < np.inf:
                raise UsageError(f"{name} {value}: a number above 0 is needed")
        if not 1 <= self.quality <= 100:  # noqa: PLR2004 - the scale of qualities
            raise UsageError(f"--quality {self.quality} is not 1 to 100")
        if not all(0 <= value < np.inf for value in self.scales):
            raise UsageError("--band-scales: every factor is 0 or more")
        if self.rgb and len(self.rgb) != 3:  # noqa: PLR2004 - colours
            raise UsageError(f"--rgb {','.join(self.rgb)}: three bands are needed, for red, green and blue")


def compose(planes: Sequence[NDArray[np.floating]], bands: Sequence[str], options: ColourOptions) -> NDArray[np.uint8]:
    """A picture of some bands.

    Args:
        planes: one array (y, x) a band, of one shape; pixels without a value are NaN.
        bands: their names, bluest first.
        options: how they are shown.

    Returns:
        Array (y, x, band) of 0 to 255 with one band (grey) for one band, else three; pixels that no band has are black.

    Raises:
        UsageError: if the options name other bands, or another number of them.
    """
    if options.scales and len(options.scales) != len(planes):
        raise UsageError(f"--band-scales has {len(options.scales)} factors, there are {len(planes)} bands")
    cube = np.stack([np.asarray(plane, np.float64) for plane in planes])
    cube[~np.isfinite(cube)] = np.nan
    if options.scales:
        cube *= np.array(options.scales)[:, np.newaxis, np.newaxis]
    cube -= _sky(cube) if options.minimum is None else options.minimum
    known = np.isfinite(cube).any(axis=0)
    cube = np.nan_to_num(cube, copy=False)
    colours = np.einsum("cb,byx->cyx", mixing(bands, options.rgb), cube)
    intensity = colours.mean(axis=0)
    shown = _curved(intensity, colours.max(axis=0), known, options)
    with np.errstate(divide="ignore", invalid="ignore"):
        colours *= np.where(intensity > 0, shown / intensity, 0.0)
    colours = np.clip(colours, 0.0, None)
    # A colour beyond the range is brought back along its own line to black: the hue stays (section 2.2).
    colours /= np.maximum(colours.max(axis=0), 1.0)
    picture: NDArray[np.uint8] = np.moveaxis(np.rint(colours * 255).astype(np.uint8), 0, -1)
    return picture


def mixing(bands: Sequence[str], rgb: Sequence[str] = ()) -> Numbers:
    """Weights (colour, band) of bands in red, green and blue; a single row for one band.

    Without ``rgb`` the bands are spread evenly from blue to red, each shared by the two colours between which it lies.

    Raises:
        UsageError: if ``rgb`` names another band.
    """
    if rgb:
        missing = [name for name in rgb if name not in bands]
        if missing:
            raise UsageError(f"--rgb names {missing[0]!r}; the bands of the picture are {', '.join(bands)}")
        return np.array([[float(band == name) for band in bands] for name in rgb])
    if len(bands) == 1:
        return np.ones((1, 1))
    places = np.linspace(0.0, 1.0, len(bands))
    weights = np.stack([np.clip(1 - 2 * np.abs(places - centre), 0.0, None) for centre in (1.0, 0.5, 0.0)])
    weights[weights.sum(axis=1) == 0] = 1.0
    spread: Numbers = weights / weights.sum(axis=1, keepdims=True)
    return spread


def _sky(cube: Numbers) -> Numbers:
    """Every band's median, to be subtracted (band, 1, 1)."""
    levels = [np.median(plane[np.isfinite(plane)]) if np.isfinite(plane).any() else 0.0 for plane in cube]
    return np.array(levels)[:, np.newaxis, np.newaxis]


def _curved(intensity: Numbers, largest: Numbers, known: NDArray[np.bool_], options: ColourOptions) -> Numbers:
    """The intensity through the curve: 0 is black, 1 full range.

    Args:
        intensity: the mean of the colours (y, x).
        largest: of the three colours.
        known: pixels that have a value.
        options: which curve.
    """
    values = intensity[known] if known.any() else np.zeros(1)
    bright = float(np.percentile(values, BRIGHT))
    # What an automatic stretch shows a bright pixel's intensity at, so that its strongest colour is at full range.
    above = known & (intensity >= bright) & (intensity > 0)
    full = float(np.median(intensity[above] / largest[above])) if above.any() else 1.0
    if options.curve == "asinh":
        stretch = options.stretch
        if stretch is None:
            noise = SIGMA * float(np.median(np.abs(values - np.median(values))))
            stretch = NOISE * noise / FAINT or bright or 1.0
        q = options.q or (_softening(bright / stretch, full) if options.stretch is None else 8.0)
        asinh: Numbers = np.arcsinh(np.maximum(intensity, 0) * q / stretch) * FAINT / np.arcsinh(FAINT * q)
        return asinh
    part = np.maximum(intensity, 0) / (options.stretch or max(bright, 0.0) or 1.0)
    curved = part if options.curve == "linear" else np.log1p(LOG * part) / np.log1p(LOG)
    return curved if options.stretch is not None else curved * full


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
