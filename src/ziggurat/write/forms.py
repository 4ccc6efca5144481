"""Deciding by a header what an image's bands become on their way to a target. No I/O, no pixels decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ziggurat.codec import colour
from ziggurat.codec.icc import Transform, convertible, is_profile, profile_bands, profile_space
from ziggurat.codec.samples import Ramp
from ziggurat.errors import CorruptImage, UnsupportedFeature, UsageError
from ziggurat.model import Alpha, ColourSpace, ImageInfo, SampleKind, Samples

_PLAIN_SCRATCH = 4
"""Bytes a sample that lcms takes for bytes of full range: a contiguous copy, where it must, and the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOptions:
    """How pixels are prepared for their target.

    Attributes:
        srgb: whether colours are converted to sRGB rather than kept with their profile; display form only.
        background: RGB, 0 to 255, on which alpha is flattened; display form only.
        sample_range: samples that become black and white; display form only, and needed for floating point.
        bands: source bands to take, from 0, in this order, or None for all.
        shrink: divisor of the size; each pixel is the mean of a square of this many.
    """

    srgb: bool = False
    background: tuple[int, int, int] = (255, 255, 255)
    sample_range: tuple[float, float] | None = None
    bands: tuple[int, ...] | None = None
    shrink: int = 1

    def __post_init__(self) -> None:
        if not all(0 <= value <= np.iinfo(np.uint8).max for value in self.background):
            raise UsageError(f"--background {self.background}: three numbers from 0 to 255 are needed")
        if self.sample_range is not None and not np.diff(self.sample_range)[0] > 0:
            raise UsageError(f"--sample-range {self.sample_range}: LO must be below HI")
        if self.bands is not None and (not self.bands or min(self.bands) < 0):
            raise UsageError(f"--bands {self.bands}: one or more band numbers are needed, counted from 0")
        if self.shrink < 1:
            raise UsageError(f"a picture cannot be shrunk by {self.shrink}; 1 or more is needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What the prepared pixels are, and how a block of stored bands becomes them.

    Attributes:
        convert: upright (y, x, band) pixels of all stored bands to those of the picture; None: they are.
        scratch: bytes that converting takes for a stored sample, its result included; at least 1.
    """

    bands: int
    dtype: np.dtype[np.generic]
    bit_depth: int
    kind: SampleKind
    colour_space: ColourSpace
    alpha: Alpha | None
    icc: bytes | None
    convert: Callable[[Samples], Samples] | None = None
    scratch: int = 1


def decide(info: ImageInfo, options: PictureOptions, target: Literal["display", "native"]) -> Form:
    """What the picture's samples are and how they are made; ``ziggurat.write.picture.prepare`` says the rules.

    Raises:
        UsageError: if a band is named that is not there, or floating-point samples have no range.
        UnsupportedFeature: if the bands have no meaning that the display form could show.
        CorruptImage: if an ICC profile that is needed cannot be used.
    """
    source = _selected(info, options.bands)
    return _display(source, options) if target == "display" else _native(source)


@dataclass(frozen=True, slots=True)
class _Selected:
    """What an image is once its bands are chosen: their numbers, colour bands first, and what they mean."""

    info: ImageInfo
    colours: tuple[int, ...]
    alpha: Alpha | None
    colour_space: ColourSpace
    icc: bytes | None

    @property
    def bands(self) -> tuple[int, ...]:
        """Numbers of all bands that are taken."""
        return self.colours + ((self.info.bands - 1,) if self.alpha else ())

    @property
    def all_in_order(self) -> bool:
        """Whether the bands are the stored ones as they are."""
        return self.bands == tuple(range(self.info.bands))


def _selected(info: ImageInfo, bands: tuple[int, ...] | None) -> _Selected:
    """The bands that are taken. Chosen ones other than all colours lose their meaning and their profile."""
    stored = tuple(range(info.colour_bands))
    if bands is None:
        return _Selected(info, stored, info.alpha, info.colour_space, info.icc)
    if max(bands) >= info.bands:
        raise UsageError(f"--bands asks for band {max(bands)}, and the last one is {info.bands - 1}")
    alpha = info.alpha if len(bands) > 1 and bands[-1] == info.bands - 1 else None
    colours = bands[:-1] if alpha else bands
    if colours == stored:
        # Naming all colours is how a picture is taken without a profile that nothing can use.
        usable = info.icc is not None and convertible(info.icc)
        return _Selected(info, colours, alpha, info.colour_space, info.icc if usable else None)
    meaning = {1: ColourSpace.GREY, 3: ColourSpace.RGB}.get(len(colours), ColourSpace.UNKNOWN)
    return _Selected(info, colours, alpha, meaning, None)


def _native(source: _Selected) -> Form:
    info = source.info
    inverts = source.colour_space is ColourSpace.GREY_INVERTED and info.kind != "float"
    bands = list(source.bands)

    def convert(pixels: Samples) -> Samples:
        taken = pixels if source.all_in_order else pixels[:, :, bands]
        if inverts:
            taken = taken.copy()
            # The complement is exact for signed samples too: -1 - v; of unsigned ones the depth's bits alone count.
            mask = -1 if info.kind == "signed" else (1 << info.bit_depth) - 1
            taken[:, :, 0] ^= taken.dtype.type(mask)
        return taken

    return Form(
        bands=len(bands),
        dtype=np.dtype(info.dtype),
        bit_depth=info.bit_depth,
        kind=info.kind,
        colour_space=ColourSpace.GREY if inverts else source.colour_space,
        alpha=source.alpha,
        icc=source.icc,
        convert=None if source.all_in_order and not inverts else convert,
        scratch=2 * np.dtype(info.dtype).itemsize,
    )


def _display(source: _Selected, options: PictureOptions) -> Form:
    info = source.info
    space, icc = _meaning(source)
    shown = colour.display(
        colour.Encoding(
            colour_space=space,
            depth=info.bit_depth,
            icc=icc,
            kind=info.kind,
            limits=options.sample_range,
            lab=colour.lab_ramps(info.details, info.bit_depth, info.kind) if space is ColourSpace.LAB else None,
        ),
        srgb=options.srgb,
    )
    opacity = Ramp(0, 1) if info.kind == "float" else Ramp.full(info.bit_depth, info.kind)
    count = len(source.colours)
    # A slice is a view, a list of bands a copy.
    colours = slice(count) if source.colours == tuple(range(count)) else list(source.colours)

    def convert(pixels: Samples) -> Samples:
        taken = pixels[:, :, colours]
        if source.alpha is None:
            return shown.apply(taken)
        alpha = opacity.apply(pixels[:, :, -1:])
        if source.alpha == "premultiplied" and shown.convert is None:
            return colour.flatten(shown.apply(taken), alpha, options.background, "premultiplied")
        # A curve must not be applied to colours that are multiplied by alpha.
        divisor = alpha if source.alpha == "premultiplied" else None
        return colour.flatten(shown.apply(taken, divisor), alpha, options.background, "straight")

    # Bytes of full range need no indices and no sums before lcms, and nothing at all without it.
    plain = source.all_in_order and source.alpha is None and shown.keeps(np.dtype(info.dtype))
    plain = plain and (shown.convert is None or isinstance(shown.convert, Transform))
    return Form(
        bands=shown.bands,
        dtype=np.dtype(np.uint8),
        bit_depth=8,
        kind="unsigned",
        colour_space=shown.colour_space,
        alpha=None,
        icc=shown.icc,
        convert=None if plain and shown.convert is None else convert,
        scratch=_PLAIN_SCRATCH if plain else colour.SCRATCH_PER_SAMPLE,
    )


def _meaning(source: _Selected) -> tuple[ColourSpace, bytes | None]:
    """What the colour bands mean, and the profile where it fits them; a profile of another number of bands does not.

    Raises:
        UnsupportedFeature: if nothing says how to show them.
        CorruptImage: if the profile is damaged.
    """
    count, space, icc = len(source.colours), source.colour_space, source.icc
    choice = "choose those to show with --bands, such as --bands 0 or --bands 0,1,2"
    if icc is not None and not is_profile(icc):
        raise CorruptImage(f"its ICC profile is damaged; {choice}, which leaves it out")
    if icc is not None and profile_bands(icc) == count:
        if not convertible(icc):
            raise UnsupportedFeature(f"its ICC profile is of colour space {profile_space(icc)!r}; {choice}")
        by_profile = {
            "GRAY": ColourSpace.GREY,
            "RGB ": ColourSpace.RGB,
            "CMYK": ColourSpace.CMYK,
            "Lab ": ColourSpace.LAB,
        }
        if space is ColourSpace.UNKNOWN or space.bands != count:
            space = by_profile[profile_space(icc)]
        fits = by_profile[profile_space(icc)].bands == space.bands
        icc = icc if fits else None
    else:
        icc = None
    if space is ColourSpace.UNKNOWN:
        space = {1: ColourSpace.GREY, 3: ColourSpace.RGB}.get(count, space)
    if space.bands != count:
        raise UnsupportedFeature(f"{count} colour bands of colour space {space.value} cannot be shown; {choice}")
    return space, icc
