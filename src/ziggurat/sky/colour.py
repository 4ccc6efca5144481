"""Pictures of bands: what is asked for on a command line, and the composition that comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ziggurat.codec.lupton import Asked, Composition, Curve, Numbers, chosen, spread
from ziggurat.errors import UsageError


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
    asked = Asked(curve=options.curve, minimum=options.minimum, stretch=options.stretch, q=options.q)
    composition = Composition.measured(cube, mixing(bands, options.rgb), asked)
    picture: NDArray[np.uint8] = np.moveaxis(np.rint(composition(cube) * 255).astype(np.uint8), 0, -1)
    return picture


def mixing(bands: Sequence[str], rgb: Sequence[str] = ()) -> Numbers:
    """Weights (colour, band) of bands in red, green and blue; a single row for one band.

    Raises:
        UsageError: if ``rgb`` names another band.
    """
    if not rgb:
        return spread(len(bands))
    missing = [name for name in rgb if name not in bands]
    if missing:
        raise UsageError(f"--rgb names {missing[0]!r}; the bands of the picture are {', '.join(bands)}")
    return chosen([list(bands).index(name) for name in rgb], len(bands))
