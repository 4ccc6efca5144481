"""A tile's pixels → its bytes, and the tags that say how they are coded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import imagecodecs
import numpy as np

from ziggurat.errors import UnsupportedFeature
from ziggurat.model import ColourSpace, Samples
from ziggurat.pyramid.cascade import Encode
from ziggurat.write.protocol import Picture
from ziggurat.write.ptiff.options import LOSSY_QUALITY, PtiffOptions

WHITE_IS_0, BLACK_IS_0, RGB, CMYK, YCBCR, CIELAB = 0, 1, 2, 5, 6, 8
"""Values of tag 262, PhotometricInterpretation."""

TAGS = {"none": 1, "lzw": 5, "jpeg": 7, "deflate": 8, "jpeg2000": 33005, "zstd": 50000, "webp": 50001}
"""Values of tag 259. JPEG 2000 has several; 33005 is Aperio's for codestreams whose colours are RGB."""

SUBSAMPLING = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}

_PHOTOMETRIC = {
    ColourSpace.GREY: BLACK_IS_0,
    ColourSpace.GREY_INVERTED: WHITE_IS_0,
    ColourSpace.RGB: RGB,
    ColourSpace.SRGB: RGB,
    ColourSpace.CMYK: CMYK,
    ColourSpace.LAB: CIELAB,
    ColourSpace.UNKNOWN: BLACK_IS_0,
}

NO_PREDICTOR, DIFFERENCES, FLOATING_POINT = 1, 2, 3
"""Values of tag 317: TIFF 6.0 section 14, and Technical Note 3 for floats."""

_PACKERS: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType(
    {
        "none": lambda data: data,
        "deflate": lambda data: bytes(imagecodecs.zlib_encode(data, 6)),
        "zstd": lambda data: bytes(imagecodecs.zstd_encode(data, 9)),
        "lzw": lambda data: bytes(imagecodecs.lzw_encode(data)),
    }
)
"""Lossless packing of a tile's bytes, at levels beyond which time grows faster than files shrink."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How all tiles of a file are coded.

    Attributes:
        compression: tag 259.
        photometric: tag 262.
        predictor: tag 317; 1 is none.
        extra: tag 338, one value for each band beyond the colours.
        subsampling: tag 530, horizontal and vertical, of YCbCr.
        encode: a full tile (y, x, band) → its bytes.
    """

    compression: int
    photometric: int
    predictor: int
    extra: tuple[int, ...]
    subsampling: tuple[int, int] | None
    encode: Encode


def coding(picture: Picture, options: PtiffOptions) -> Coding:
    """Chooses tags and encoder for a picture.

    Raises:
        UnsupportedFeature: if the compression cannot hold such samples; the message says what can.
    """
    photometric = _PHOTOMETRIC.get(picture.colour_space)
    if photometric is None:
        raise UnsupportedFeature(f"TIFF has no colour space {picture.colour_space}; convert to sRGB first")
    colours = picture.colour_space.bands or 1
    extra = _extra(picture, colours)
    match options.compression:
        case "jpeg":
            return _jpeg(picture, options, photometric)
        case "webp":
            _only(picture, options, bands={3, 4}, types="B", spaces={RGB}, photometric=photometric)
            if picture.bands > colours and picture.alpha is None:
                raise UnsupportedFeature("webp's fourth band is opacity alone; choose compression deflate or zstd")
            encode = _webp(options.quality or LOSSY_QUALITY)
        case "jpeg2000":
            _only(picture, options, bands={1, 2, 3, 4}, types="BH", spaces=None, photometric=photometric)
            encode = _jpeg2000(options.psnr, picture)
        case _:
            return _lossless(picture, options, photometric, extra)
    return Coding(
        compression=TAGS[options.compression],
        photometric=photometric,
        predictor=1,
        extra=extra,
        subsampling=None,
        encode=_signed_lab(picture, encode),
    )


def _extra(picture: Picture, colours: int) -> tuple[int, ...]:
    """Tag 338: 0 unspecified, 1 premultiplied alpha, 2 straight alpha (TIFF 6.0 section 18)."""
    count = picture.bands - colours
    if count < 0:
        raise UnsupportedFeature(
            f"a picture of {picture.bands} bands cannot be {picture.colour_space}, which has {colours}"
        )
    alpha = {"premultiplied": (1,), "straight": (2,)}.get(picture.alpha or "", ())
    return ((0,) * (count - len(alpha)) + alpha) if count else ()


def _only(
    picture: Picture,
    options: PtiffOptions,
    *,
    bands: set[int],
    types: str,
    spaces: set[int] | None,
    photometric: int,
) -> None:
    """Refuses pictures that a compression cannot hold."""
    fits = picture.bands in bands and picture.dtype.char in types and (spaces is None or photometric in spaces)
    if not fits:
        raise UnsupportedFeature(
            f"{options.compression} tiles cannot hold {picture.bands} bands of {picture.dtype} in "
            f"{picture.colour_space}; choose compression deflate or zstd, which hold everything"
        )


def _jpeg(picture: Picture, options: PtiffOptions, photometric: int) -> Coding:
    """Full JPEG streams in every tile (TIFF Technical Note 2): RGB as YCbCr, grey as it is."""
    _only(
        picture,
        options,
        bands={1, 3},
        types="B",
        spaces={WHITE_IS_0, BLACK_IS_0, RGB},
        photometric=photometric,
    )
    if picture.alpha is not None or (picture.bands == 1) == (photometric == RGB):
        raise UnsupportedFeature(
            "jpeg tiles hold grey or RGB alone; choose compression deflate, zstd or webp for a picture with "
            "opacity or further bands"
        )
    level, sampling = options.quality or LOSSY_QUALITY, SUBSAMPLING[options.subsampling]

    def encode_grey(tile: Samples) -> bytes:
        return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(tile[..., 0]), level))

    def encode_rgb(tile: Samples) -> bytes:
        return bytes(
            imagecodecs.jpeg8_encode(tile, level, colorspace="RGB", outcolorspace="YCBCR", subsampling=sampling)
        )

    grey = picture.bands == 1
    return Coding(
        compression=TAGS["jpeg"],
        photometric=photometric if grey else YCBCR,
        predictor=1,
        extra=(),
        subsampling=None if grey else sampling,
        encode=encode_grey if grey else encode_rgb,
    )


def _webp(quality: int) -> Encode:
    return lambda tile: bytes(imagecodecs.webp_encode(tile, quality, lossless=False))


def _jpeg2000(decibels: float | None, picture: Picture) -> Encode:
    depth = picture.bit_depth

    def encode(tile: Samples) -> bytes:
        return bytes(
            imagecodecs.jpeg2k_encode(
                tile if tile.shape[2] > 1 else tile[..., 0],
                decibels or 0,  # type: ignore[arg-type]  # any number, not only whole ones
                codecformat="j2k",
                bitspersample=depth,
                reversible=decibels is None,
                mct=picture.colour_space in {ColourSpace.RGB, ColourSpace.SRGB},
            )
        )

    return encode


def _lossless(picture: Picture, options: PtiffOptions, photometric: int, extra: tuple[int, ...]) -> Coding:
    """Bytes of the samples, with differences to the left neighbour where that helps (TIFF 6.0 section 14)."""
    dtype = picture.dtype
    if dtype.kind not in "uif" or dtype.itemsize > 8:  # noqa: PLR2004 - 64-bit samples
        raise UnsupportedFeature(f"TIFF samples cannot be of type {dtype}")
    if photometric == CIELAB and dtype.char not in "BH":
        raise UnsupportedFeature(f"TIFF holds CIELab in 8 or 16 bits, not as {dtype}")
    name = options.compression
    pack = _PACKERS[name]
    predictor = NO_PREDICTOR
    if name != "none" and dtype.kind == "f":
        predictor = FLOATING_POINT
    elif name != "none" and dtype.itemsize < 8:  # noqa: PLR2004 - libtiff before 4.4 undoes none of 64 bits
        predictor = DIFFERENCES

    def encode(tile: Samples) -> bytes:
        if predictor == FLOATING_POINT:
            # These bytes have their order already.
            return pack(np.asarray(imagecodecs.floatpred_encode(tile, axis=-2)).tobytes())
        data = np.asarray(imagecodecs.delta_encode(tile, axis=-2)) if predictor == DIFFERENCES else tile
        return pack(data.astype(dtype.newbyteorder("<"), copy=False).tobytes())

    return Coding(
        compression=TAGS[name],
        photometric=photometric,
        predictor=predictor,
        extra=extra,
        subsampling=None,
        encode=_signed_lab(picture, encode),
    )


def _signed_lab(picture: Picture, encode: Encode) -> Encode:
    """TIFF's CIELab stores a and b signed (TIFF 6.0 section 23); here they are offset by half the range."""
    if picture.colour_space is not ColourSpace.LAB:
        return encode
    mask = np.zeros(picture.bands, picture.dtype)
    mask[1:3] = 1 << (picture.dtype.itemsize * 8 - 1)
    return lambda tile: encode(tile ^ mask)
