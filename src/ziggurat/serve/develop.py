"""From stored samples to 8 bits grey or RGB, as a view asks for it, else as suits the image."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ziggurat.codec.lupton import Asked, Composition, chosen, spread
from ziggurat.errors import CorruptImage, UnsupportedFeature, UsageError
from ziggurat.geometry import Window
from ziggurat.image import Image
from ziggurat.model import ColourSpace, ImageInfo, Samples
from ziggurat.serve.colourmaps import colours
from ziggurat.serve.sketch import is_long, sample
from ziggurat.serve.view import Stretch, View
from ziggurat.write.forms import PictureOptions, decide

type Read = Callable[[int, Window], Samples]
"""Pixels of a window of a level, as stored."""

type Develop = Callable[[Samples], Samples]
"""Upright (y, x, band) pixels as stored to uint8 (y, x, 1 or 3)."""

TYPICAL: Final = (0.5, 99.5)
"""Per cent of the pixels that become black and white where samples have no range of their own: hot pixels are fewer."""

MEASURED_ROWS: Final = 64
"""Rows that are measured of an image whose coarser levels take long to make: the same before and after they are."""

SOFTENING: Final = 10.0
"""How steep asinh is at black: what is ten times as bright as the knee comes out three times as bright."""

_BYTE: Final = 8


def has_own_range(info: ImageInfo) -> bool:
    """Whether all codes of the bit depth are what a screen should show, as of photographs.

    Measurements rarely use their codes fully: floating point, signed numbers, FITS, and deep grey without a profile.
    """
    if info.kind != "unsigned" or info.format == "fits":
        return False
    if info.bit_depth <= _BYTE or info.icc is not None:
        return True
    return info.colour_space not in {ColourSpace.GREY, ColourSpace.GREY_INVERTED, ColourSpace.UNKNOWN}


def is_plain(info: ImageInfo) -> bool:
    """Whether the samples are shown as they are, where nothing else is asked for."""
    try:
        return has_own_range(info) and decide(info, PictureOptions(srgb=True), "display").convert is None
    except (UnsupportedFeature, CorruptImage):
        return False


def develop(image: Image, view: View, read: Read) -> Develop:
    """How the samples of an image are shown.

    Args:
        image: it.
        view: what is asked for.
        read: reads a window of a level of it, perhaps faster than the image itself.

    Raises:
        UsageError: if a band is asked for that is not there.
    """
    info = image.info
    if view.bands is not None and max(view.bands) >= info.bands:
        raise UsageError(f"band {max(view.bands)} is asked for, and the last one is {info.bands - 1}")
    if not view.names_levels and has_own_range(info):
        try:
            form = decide(info, PictureOptions(srgb=True, bands=view.bands), "display")
        except (UnsupportedFeature, CorruptImage):
            if view.bands is not None:
                raise
            form = decide(info, PictureOptions(bands=_default_bands(info)), "display")
        return form.convert or (lambda pixels: pixels)
    return (Composed if is_composed(info, view) else Stretched).of(image, view, read)


def is_composed(info: ImageInfo, view: View) -> bool:
    """Whether bands become colours by Lupton's curve: where it is asked for, and of mosaics unless another one is."""
    return view.stretch == "lupton" or (view.stretch is None and info.format == "mosaic")


def usual_bands(info: ImageInfo) -> tuple[int, ...]:
    """Bands for red, green and blue where three are shown; a mosaic's outermost bands are faint."""
    last = info.bands - 1
    if info.format != "mosaic":
        return tuple(min(place, last) for place in range(3))
    edge = last // 4
    return last - edge, info.bands // 2, edge


def _default_bands(info: ImageInfo) -> tuple[int, ...]:
    """Three bands where there are just three for colours, or where they are a mosaic's, else the first."""
    few = 3  # red, green, blue
    return usual_bands(info) if info.colour_bands == few or (info.format == "mosaic" and info.bands > few) else (0,)


@dataclass(frozen=True, slots=True)
class Stretched:
    """Chosen bands on a curve between black and white, each band between its own.

    Attributes:
        bands: those shown.
        ends: black and white of each.
        stretch: the curve.
        gamma: exponent 1 / gamma.
        table: colours of the 256 results of one band, or None.
    """

    bands: tuple[int, ...]
    ends: tuple[tuple[float, float], ...]
    stretch: Stretch
    gamma: float
    table: Samples | None

    @classmethod
    def of(cls, image: Image, view: View, read: Read) -> "Stretched":
        """As a view says, else as the samples of the coarsest level suggest."""
        info = image.info
        bands = view.bands or ((0,) if view.colour_map else _default_bands(info))
        if view.limits is not None:
            ends: tuple[tuple[float, float], ...] = (view.limits,) * len(bands)
        elif view.percentile is None and has_own_range(info):
            ends = ((0.0, float((1 << info.bit_depth) - 1)),) * len(bands)
        else:
            ends = measured(image, bands, view.percentile or TYPICAL, read)
        if view.invert != (info.colour_space is ColourSpace.GREY_INVERTED and bands == (0,)):
            ends = tuple((high, low) for low, high in ends)
        table = None if view.colour_map is None else colours(view.colour_map)
        return cls(bands, ends, view.stretch or "linear", view.gamma, table)

    def __call__(self, pixels: Samples) -> Samples:
        """The pixels, shown."""
        shown = np.empty((*pixels.shape[:2], len(self.bands)), np.uint8)
        for place, (band, ends) in enumerate(zip(self.bands, self.ends, strict=True)):
            shown[:, :, place] = self._grey(pixels[:, :, band], ends)
        return shown if self.table is None else self.table[shown[:, :, 0]]

    def _grey(self, samples: Samples, ends: tuple[float, float]) -> NDArray[np.uint8]:
        if samples.dtype.kind in "iu" and samples.dtype.itemsize == 1:
            codes = np.arange(256).astype(np.uint8).view(samples.dtype)
            table = self._curve(codes, ends)
            return table[np.ascontiguousarray(samples).view(np.uint8)]
        return self._curve(samples, ends)

    def _curve(self, samples: Samples, ends: tuple[float, float]) -> NDArray[np.uint8]:
        low, high = ends
        share: NDArray[np.float64] = samples.astype(np.float64)
        share -= low
        share /= (high - low) or 1.0
        # Comparisons with NaN are false: fmax takes the other operand, and what was not measured is black.
        np.fmax(share, 0, out=share)
        np.fmin(share, 1, out=share)
        match self.stretch:
            case "asinh":
                share = np.arcsinh(share * SOFTENING) / np.arcsinh(SOFTENING)
            case "log":
                share = np.log1p(share * 1000) / np.log1p(1000)
            case "sqrt":
                share = np.sqrt(share)
            case "linear" | "lupton":
                pass
        if self.gamma != 1:
            share = share ** (1 / self.gamma)
        return np.rint(share * 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Composed:
    """Bands mixed to colours, whose intensity goes through a curve: bright pixels keep their hue.

    Attributes:
        composition: how.
        gamma: exponent 1 / gamma on the result.
        invert: black and white exchanged.
        table: colours of the 256 results of one band, or None.
    """

    composition: Composition
    gamma: float
    invert: bool
    table: Samples | None

    @classmethod
    def of(cls, image: Image, view: View, read: Read) -> "Composed":
        """As a view says, else as some of the pixels suggest: black is the sky of each band."""
        bands = view.bands or ((0,) if view.colour_map else None)
        weights = spread(image.info.colour_bands) if bands is None else chosen(bands, image.info.bands)
        cube = _cube(_some(image, read), weights.shape[1])
        ends = view.limits
        if view.percentile is not None:
            shown = cube[weights.any(axis=0)]
            finite = shown[np.isfinite(shown)]
            low, high = np.percentile(finite, view.percentile) if finite.size else (0.0, 1.0)
            ends = float(low), float(high)
        asked = Asked() if ends is None else Asked(minimum=ends[0], bright=max(ends[1] - ends[0], 1e-30))
        table = None if view.colour_map is None else colours(view.colour_map)
        return cls(Composition.measured(cube, weights, asked), view.gamma, view.invert, table)

    @property
    def ends(self) -> tuple[tuple[float, float], ...]:
        """Black and white of every band."""
        return tuple((float(low), float(low) + self.composition.bright) for low in self.composition.minimum)

    def __call__(self, pixels: Samples) -> Samples:
        """The pixels, shown."""
        share = self.composition(_cube(pixels, self.composition.weights.shape[1]))
        if self.gamma != 1:
            share **= 1 / self.gamma
        if self.invert:
            share = 1 - share
        shown: Samples = np.moveaxis(np.rint(share * 255).astype(np.uint8), 0, -1)
        return shown if self.table is None else self.table[shown[:, :, 0]]


def _cube(pixels: Samples, bands: int) -> NDArray[np.float64]:
    """Bands first, NaN where there is no value."""
    cube: NDArray[np.float64] = np.moveaxis(pixels[:, :, :bands], -1, 0).astype(np.float64)
    cube[~np.isfinite(cube)] = np.nan
    return cube


def _some(image: Image, read: Read) -> Samples:
    """Pixels by which an image is judged: its coarsest level, or some rows or parts where that takes long to make."""
    if is_long(image):
        return sample(image, MEASURED_ROWS, read)
    coarsest = len(image.levels) - 1
    return read(coarsest, Window.full(image.levels[coarsest].shape))


def measured(
    image: Image, bands: tuple[int, ...], percentile: tuple[float, float], read: Read
) -> tuple[tuple[float, float], ...]:
    """Samples below which these shares of the coarsest level's pixels lie, band by band; of some rows where it is long.

    Pixels of no value (NaN, infinite) do not count.
    """
    pixels = _some(image, read)
    ends = []
    for band in bands:
        samples = pixels[:, :, band]
        finite = samples[np.isfinite(samples)] if samples.dtype.kind == "f" else samples
        low, high = np.percentile(finite, percentile) if finite.size else (0.0, 1.0)
        ends.append((float(low), float(high)) if low < high else (float(low), float(low) + 1))
    return tuple(ends)
