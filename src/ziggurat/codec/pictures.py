"""8-bit pixels as the bytes of a picture that browsers show."""

from typing import Literal

import imagecodecs
import numpy as np

from ziggurat.codec.jpeg import encode as jpeg
from ziggurat.model import Samples

type Encoding = Literal["jpg", "png", "webp", "avif"]

AVIF_SPEED = 9
"""Of 10: somebody is waiting."""

PNG_LEVEL = 3
"""zlib's: 6 takes three times as long for a few per cent."""


def encode(pixels: Samples, alpha: Samples | None, encoding: Encoding, quality: int) -> bytes:
    """The bytes of a picture.

    Args:
        pixels: uint8 (y, x, 1 or 3).
        alpha: uint8 (y, x, 1), 255 is opaque; white shows behind in formats without transparency. None is opaque.
        encoding: the format.
        quality: 1 to 100, of lossy ones.
    """
    if 1 in pixels.shape[:2]:
        # An axis of one pixel may have any stride, and libjpeg's binding takes only the usual one.
        pixels = pixels.copy()
    if encoding == "jpg":
        return jpeg(pixels if alpha is None else _on_white(pixels, alpha), quality=quality, subsampling="420")
    if encoding != "png" and pixels.shape[2] == 1:
        # These encoders know no grey.
        pixels = np.repeat(pixels, 3, axis=2)
    if alpha is not None:
        pixels = np.concatenate([pixels, alpha], axis=2)
    packed = np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    match encoding:
        case "png":
            return bytes(imagecodecs.png_encode(packed, level=PNG_LEVEL))
        case "webp":
            return bytes(imagecodecs.webp_encode(packed, level=quality, method=2))
        case "avif":
            return bytes(imagecodecs.avif_encode(packed, level=quality, speed=AVIF_SPEED, numthreads=1))


def _on_white(pixels: Samples, alpha: Samples) -> Samples:
    opacity = alpha.astype(np.uint16)
    return ((pixels * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)
