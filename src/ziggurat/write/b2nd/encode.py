"""A block's pixels → its JPEG 2000 codestream, without loss or as small or as good as asked for."""

import math
from collections.abc import Callable

import imagecodecs
import numpy as np

from ziggurat.codec.openjpeg_encode import Coding
from ziggurat.codec.openjpeg_encode import encode as openjpeg
from ziggurat.errors import UnsupportedFeature
from ziggurat.model import ColourSpace, Samples
from ziggurat.write.b2nd.options import B2ndOptions
from ziggurat.write.protocol import Picture

type Encode = Callable[[Samples], bytes]

STEPS = 8
"""Encodings in which a size or decibels are found by OpenJPH, which knows steps alone: to a third of a decibel."""

FINEST, OCTAVES = 2.0**-18, 16.0
"""OpenJPH's quantisation steps: from a quarter of a 16-bit code to a quarter of the range."""


def block_encoder(picture: Picture, options: B2ndOptions) -> Encode:
    """What encodes the blocks of a picture: (y, x, band) → codestream.

    Raises:
        UnsupportedFeature: if the codec cannot hold such samples.
    """
    _check(picture, options)
    colours = picture.colour_space in {ColourSpace.RGB, ColourSpace.SRGB} and picture.bands == _COLOURS
    if options.rate is not None and not options.high_throughput:
        return _cut(options.rate, colours=colours)
    plain = _openjph(colours=colours) if options.high_throughput else _openjpeg(colours=colours)
    if options.lossless:
        return lambda block: plain(_squeezed(block), None)
    # OpenJPEG counts decibels from the largest code of the type.
    shift = 20 * math.log10(((1 << 8 * picture.dtype.itemsize) - 1) / ((1 << picture.bit_depth) - 1))
    if options.psnr is not None and not options.high_throughput:
        decibels = options.psnr + shift
        return lambda block: plain(_squeezed(block), decibels)
    peak = float((1 << picture.bit_depth) - 1)
    return lambda block: _searched(_squeezed(block), plain, options, peak)


_COLOURS = 3

_USUAL = 5
"""Decompositions of a block that is large enough."""

_UNCOUNTED = 32
"""Bytes by which OpenJPEG may miss a length: it does not count all of its headers (16 seen)."""

type _Plain = Callable[[Samples, float | None], bytes]
"""Pixels, and decibels or a step, or None for all of it → codestream."""


def _check(picture: Picture, options: B2ndOptions) -> None:
    # What OpenJPH's binding and the plugins take.
    fits = {1, 3} if options.high_throughput or options.codec == "blosc2_j2k" else {1, 2, 3, 4}
    if picture.dtype not in {np.dtype(np.uint8), np.dtype(np.uint16)} or picture.bands not in fits:
        raise UnsupportedFeature(
            f"the codec {options.codec} holds {', '.join(map(str, sorted(fits)))} bands of uint8 or uint16, not "
            f"{picture.bands} of {picture.dtype}; choose --codec zstd, which holds everything"
        )


def _squeezed(block: Samples) -> Samples:
    return np.ascontiguousarray(block if block.shape[2] > 1 else block[:, :, 0])


def _openjpeg(*, colours: bool) -> _Plain:
    def encode(pixels: Samples, decibels: float | None) -> bytes:
        return bytes(
            imagecodecs.jpeg2k_encode(
                pixels,
                decibels or 0,  # type: ignore[arg-type]  # any number, not only whole ones
                codecformat="j2k",
                reversible=decibels is None,
                mct=colours,
                numthreads=1,
            )
        )

    return encode


def _openjph(*, colours: bool) -> _Plain:
    def encode(pixels: Samples, step: float | None) -> bytes:
        return bytes(
            imagecodecs.htj2k_encode(pixels, step, reversible=step is None, rgb=colours or None)
            if step is not None
            else imagecodecs.htj2k_encode(pixels, reversible=True, rgb=colours or None)
        )

    return encode


def _cut(ratio: float, *, colours: bool) -> Encode:
    """As good as the ratio allows: OpenJPEG ends each block where the bytes are used up."""

    def encode(block: Samples) -> bytes:
        pixels = np.ascontiguousarray(block)
        most = pixels.nbytes / ratio

        def of_length(length: float) -> bytes:
            coding = Coding(
                levels=min(_USUAL, min(pixels.shape[:2]).bit_length() - 1),
                tile=max(pixels.shape[:2]),
                reversible=False,
                layers=(pixels.nbytes / length,),
                component_transform=colours,
            )
            return openjpeg(pixels, coding, depth=8 * pixels.dtype.itemsize)

        data = of_length(most)
        return data if len(data) <= most or most < 2 * _UNCOUNTED else of_length(most - _UNCOUNTED)

    return encode


def _searched(pixels: Samples, plain: _Plain, options: B2ndOptions, peak: float) -> bytes:
    """The best encoding of the bytes allowed, or the smallest of the decibels asked for."""
    if options.rate is not None:
        most = int(pixels.nbytes / options.rate)

        def enough(data: bytes) -> bool:
            return len(data) <= most
    else:
        least = options.psnr or 0.0

        def enough(data: bytes) -> bool:
            decoded = imagecodecs.jpeg2k_decode(data)
            return _decibels(pixels, decoded, peak) >= least

    # With a rate, as good as it allows; with decibels, as coarse as they allow.
    finer_is_wanted = options.rate is not None
    low, high = 0.0, 1.0
    best: bytes | None = None
    for _ in range(STEPS):
        middle = (low + high) / 2
        data = plain(pixels, _step(middle))
        fits = enough(data)
        best = data if fits else best
        low, high = (middle, high) if fits == finer_is_wanted else (low, middle)
    return plain(pixels, _step(0.0 if finer_is_wanted else 1.0)) if best is None else best


def _decibels(pixels: Samples, decoded: Samples, peak: float) -> float:
    error = float(np.mean(np.square(pixels.astype(np.float32) - decoded), dtype=np.float64))
    return math.inf if not error else 10 * math.log10(peak * peak / error)


def _step(fineness: float) -> float:
    """A quantisation step, from the coarsest at 0 to the finest at 1."""
    return FINEST * 2 ** (OCTAVES * (1 - fineness))
