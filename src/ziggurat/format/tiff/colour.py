"""Stored samples → the bands that a reader returns: palettes, YCbCr and signed Lab are undone here."""

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffPage

from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.model import Alpha, ColourSpace, Samples

type Finish = Callable[[Samples], Samples]

DECODERS_MAKE_RGB = frozenset({6, 7, 33007, 34892, 50001, 50002, 52546, 22610, 34933, 34934})
"""Compressions whose decoders return RGB where the directory says YCbCr."""

APERIO_YCBCR = 33003

WHITE_IS_0, BLACK_IS_0, RGB, PALETTE, MASK, CMYK, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 4, 5, 6, 8, 9
"""Values of tag 262, PhotometricInterpretation."""

_SPACES = {
    WHITE_IS_0: ColourSpace.GREY_INVERTED,
    BLACK_IS_0: ColourSpace.GREY,
    MASK: ColourSpace.GREY,
    RGB: ColourSpace.RGB,
    PALETTE: ColourSpace.RGB,
    YCBCR: ColourSpace.RGB,
    CMYK: ColourSpace.CMYK,
    CIELAB: ColourSpace.LAB,
    ICCLAB: ColourSpace.LAB,
}


def colour_space(page: TiffPage, bands: int) -> ColourSpace:
    """What the bands mean, by tag 262; unknown where it promises more bands than there are."""
    space = _SPACES.get(int(page.photometric), ColourSpace.UNKNOWN)
    if space is ColourSpace.CMYK and page.tags.valueof(332, default=1) != 1:
        return ColourSpace.UNKNOWN  # InkSet: inks other than cyan, magenta, yellow and black
    return ColourSpace.UNKNOWN if (space.bands or 0) > bands else space


def alpha(page: TiffPage, space: ColourSpace, bands: int) -> Alpha | None:
    """Opacity by tag 338, where it is the last band and the only one of its kind."""
    extra = tuple(int(value) for value in page.extrasamples)
    if not extra or bands <= (space.bands or 0):
        return None
    kinds: dict[int, Alpha] = {1: "premultiplied", 2: "straight"}
    return kinds.get(extra[-1])


def finisher(page: TiffPage, where: str) -> tuple[Finish | None, np.dtype[np.generic] | None]:
    """How to turn stored samples of a pixel into bands, and the type that this gives where it is another.

    Raises:
        UnsupportedFeature: if the combination is not read.
        CorruptImage: if the palette does not fit the samples.
    """
    photometric = int(page.photometric)
    if photometric == PALETTE:
        table = _palette(page, where)
        return (lambda pixels: table[pixels[..., 0]]), table.dtype
    if photometric == CIELAB and page.dtype is not None and page.dtype.kind == "u":
        if page.planarconfig != 1:
            raise UnsupportedFeature(f"{where}: CIELab in separate planes is not supported")
        return _offset_lab(page.dtype), None
    aperio = page.compression == APERIO_YCBCR and page.is_svs and page.samplesperpixel == 3  # noqa: PLR2004 - YCbCr
    if aperio or (photometric == YCBCR and page.compression not in DECODERS_MAKE_RGB):
        return _ycbcr(page, where), None
    if photometric == YCBCR and (page.planarconfig != 1 or page.extrasamples):
        raise UnsupportedFeature(f"{where}: YCbCr in separate planes or with extra samples is not supported")
    return None, None


def _palette(page: TiffPage, where: str) -> NDArray[np.generic]:
    """The colour map as (index, band) of 8 bits where 16 say no more; TIFF 6.0, ColorMap."""
    if page.samplesperpixel != 1 or page.dtype is None or page.dtype.kind not in "bu":
        raise UnsupportedFeature(f"{where}: a palette image of {page.samplesperpixel} samples is not supported")
    colours = page.tags.valueof(320)
    entries = 1 << int(page.bitspersample)
    if not isinstance(colours, np.ndarray) or colours.shape != (3, entries):
        raise CorruptImage(f"{where}: the colour map (tag 320) does not hold 3 x {entries} values")
    table = np.ascontiguousarray(colours.T).astype(np.uint16)
    if np.all(table % 257 == 0):
        return (table // 257).astype(np.uint8)
    return table


def _offset_lab(dtype: np.dtype[np.generic]) -> Finish:
    """Signed a and b of CIELab (TIFF 6.0 section 23) → offset by half the range, as elsewhere."""
    flip = np.array([0, 1, 1], np.uint64) << np.uint64(dtype.itemsize * 8 - 1)

    def finish(pixels: Samples) -> Samples:
        mask = np.zeros(pixels.shape[2], dtype)
        mask[:3] = flip[: pixels.shape[2]].astype(dtype)
        return cast("Samples", pixels ^ mask)

    return finish


def _ycbcr(page: TiffPage, where: str) -> Finish:
    """YCbCr → RGB by TIFF 6.0 section 21, with the file's own coefficients and reference levels."""
    if page.dtype != np.uint8 or page.samplesperpixel != 3 or page.planarconfig != 1:  # noqa: PLR2004 - Y, Cb, Cr
        raise UnsupportedFeature(f"{where}: YCbCr is only read as three interleaved bytes")
    red, green, blue = _numbers(page, 529, (0.299, 0.587, 0.114))
    levels = _numbers(page, 532, (0, 255, 128, 255, 128, 255))
    black, white = np.array(levels[0::2]), np.array(levels[1::2])
    if not green or np.any(white == black):
        raise CorruptImage(f"{where}: the YCbCr coefficients or reference levels (tags 529, 532) make no sense")
    scale = np.array([255.0, 127.0, 127.0]) / (white - black)

    def finish(pixels: Samples) -> Samples:
        y, cb, cr = np.moveaxis((pixels.astype(np.float32) - black) * scale, -1, 0)
        r, b = cr * (2 - 2 * red) + y, cb * (2 - 2 * blue) + y
        g = (y - blue * b - red * r) / green
        return np.clip(np.rint(np.stack([r, g, b], axis=-1)), 0, 255).astype(np.uint8)

    return finish


def _numbers(page: TiffPage, code: int, default: Sequence[float]) -> list[float]:
    """Rationals of a tag as numbers, or the default where the tag is missing or malformed."""
    value = page.tags.valueof(code)
    if not isinstance(value, tuple) or len(value) not in {len(default), 2 * len(default)}:
        return [float(number) for number in default]
    if len(value) == len(default):
        return [float(number) for number in value]
    return [a / b if b else 0.0 for a, b in zip(value[0::2], value[1::2], strict=True)]
