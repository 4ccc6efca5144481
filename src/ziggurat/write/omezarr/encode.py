"""A chunk's pixels → its bytes, and the codecs that turn them back."""

from collections.abc import Callable
from typing import Any, Final

import imagecodecs
import numpy as np

from ziggurat.errors import UnsupportedFeature
from ziggurat.geometry import Size
from ziggurat.interop.multiscale import samples
from ziggurat.model import JSON, ColourSpace, Samples
from ziggurat.pyramid.cascade import Encode
from ziggurat.write.omezarr.options import OmeZarrOptions
from ziggurat.write.protocol import Picture

ZSTD_LEVEL: Final = 9
"""Beyond it time grows faster than chunks shrink."""

USUAL: Final = 5
"""Decompositions of a chunk, unless its coarser levels ask for more: fewer compress less."""

STEP: Final = 1 / 256
STEP_DB: Final = 50.4
"""A quantisation step of OpenJPH, and the signal-to-noise ratio that it gives (measured; 6 dB for each halving)."""

LARGEST_STEP: Final = 0.4


def codecs(picture: Picture, options: OmeZarrOptions, level: int = 0) -> list[JSON]:
    """What turns a chunk's bytes into samples (band, y, x).

    Args:
        picture: what is written.
        options: of the group.
        level: finest resolutions that the bytes lack.
    """
    if options.codec == "zstd":
        packed: JSON = {"name": "zstd", "configuration": {"level": ZSTD_LEVEL, "checksum": False}}
        return [samples(picture.dtype.name), packed]
    # OpenJPH wraps what overshoots the range of the samples, as only lossless pixels of full size never do.
    openjph = options.codec == "htj2k" and options.psnr is None and level == 0
    planes: dict[str, JSON] = {"planar": True} if picture.bands > 1 else {}
    skip: dict[str, JSON] = {"skipres": level} if options.levels == "virtual" else {}
    return [{"name": "imagecodecs_htj2k" if openjph else "imagecodecs_jpeg2k", "configuration": skip | planes}]


def encoder(picture: Picture, options: OmeZarrOptions, chunk: Size, levels: int = 1) -> Encode:
    """What encodes a tile (y, x, band), which may be larger than the chunk.

    Args:
        picture: what is written.
        options: of the group.
        chunk: height and width of a chunk.
        levels: resolutions that a chunk must have.

    Raises:
        UnsupportedFeature: if the codec cannot hold such samples; the message says what can.
    """
    if picture.dtype.kind not in "uif":
        raise UnsupportedFeature(f"OME-Zarr has no samples of type {picture.dtype}")
    if options.codec == "zstd":
        pack: Callable[[Samples], bytes] = _zstd
    else:
        if picture.dtype.kind not in "ui" or picture.dtype.itemsize > 2:  # noqa: PLR2004 - 16 bits
            raise UnsupportedFeature(
                f"{options.codec} chunks cannot hold samples of {picture.dtype}; choose --codec zstd, which holds all"
            )
        pack = _jpeg2000(picture, options, min(max(USUAL, levels - 1), min(chunk).bit_length() - 1))
    return lambda tile: pack(tile[: chunk.height, : chunk.width])


def _zstd(tile: Samples) -> bytes:
    planes = np.moveaxis(tile, 2, 0)
    return bytes(imagecodecs.zstd_encode(planes.astype(tile.dtype.newbyteorder("<"), copy=False).tobytes(), ZSTD_LEVEL))


def _jpeg2000(picture: Picture, options: OmeZarrOptions, decompositions: int) -> Callable[[Samples], bytes]:
    colours = picture.colour_space in {ColourSpace.RGB, ColourSpace.SRGB}
    common: dict[str, Any] = {"bitspersample": picture.bit_depth, "reversible": options.psnr is None}
    if picture.bands > 1:
        common["planar"] = False

    def jpeg2k(tile: Samples) -> bytes:
        return bytes(
            imagecodecs.jpeg2k_encode(
                tile,
                options.psnr or 0,  # type: ignore[arg-type]  # any number, not only whole ones
                codecformat="j2k",
                mct=colours and picture.bit_depth > 1,  # OpenJPEG transforms no colours of one bit
                resolutions=decompositions + 1,
                **common,
            )
        )

    def htj2k(tile: Samples) -> bytes:
        return bytes(
            imagecodecs.htj2k_encode(
                tile, _step(options.psnr), rgb=colours, resolutions=decompositions, prog_order="RPCL", **common
            )
        )

    encode = htj2k if options.codec == "htj2k" else jpeg2k
    return lambda tile: encode(np.ascontiguousarray(tile if picture.bands > 1 else tile[..., 0]))


def _step(decibels: float | None) -> float | None:
    return None if decibels is None else min(LARGEST_STEP, STEP * 10 ** ((STEP_DB - decibels) / 20))
