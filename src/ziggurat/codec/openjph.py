"""OpenJPH through imagecodecs: several times as fast as OpenJPEG on what it takes, which is HTJ2K alone."""

import re

import imagecodecs
import numpy as np

from ziggurat.errors import CorruptImage, OutOfMemory
from ziggurat.model import Samples


def decode(data: bytes, *, reduce: int = 0) -> Samples:
    """Decodes an HTJ2K codestream whose components are alike in depth, sign and size.

    Args:
        data: the codestream from SOC on.
        reduce: finest resolutions to leave out.

    Returns:
        Array (y, x, band), unsigned or signed integers as the components are.

    Raises:
        CorruptImage: if OpenJPH refuses it, be it damaged or beyond what OpenJPH reads.
        OutOfMemory: if its buffers cannot be allocated.
    """
    try:
        pixels = imagecodecs.htj2k_decode(data, skipres=reduce)
    except MemoryError as error:
        raise OutOfMemory(f"OpenJPH has no memory for the image: {error}") from error
    except (imagecodecs.Htj2kError, ValueError, RuntimeError, NotImplementedError, OverflowError) as error:
        raise CorruptImage(f"OpenJPH failed: {re.sub(r'\s+', ' ', str(error)).strip()}") from error
    return pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels  # noqa: PLR2004 - one band comes without its axis
