"""A chunk of a Zarr array made in a worker: samples as stored, in the order of the array's axes, packed."""

import sys

import imagecodecs
import numpy as np

from ziggurat.errors import UsageError
from ziggurat.interop.multiscale import ZSTD_LEVEL
from ziggurat.serve.render import Opened
from ziggurat.serve.sketch import needs_pass
from ziggurat.serve.wire import END, Slab


def must_wait_for(opened: Opened, task: Slab) -> bool:
    """Whether a chunk needs levels that take long to make and are not there."""
    return not opened.is_whole and needs_pass(opened.image, task.level, task.window)


def slab(opened: Opened, task: Slab) -> bytes:
    """The bytes of a chunk, and ``END``.

    Raises:
        ZigguratError: as reading an image does.
    """
    levels = opened.image.levels
    if task.level >= len(levels) or not task.window.within(levels[task.level].shape):
        raise UsageError(f"{opened.image.url} has no such chunk any more; open it anew")
    first, behind = task.bands
    pixels = np.moveaxis(opened.read(task.level, task.window)[:, :, first:behind], 2, 0)
    # What lies beyond the edge is the fill value.
    block = np.zeros(task.shape, pixels.dtype)
    block[: pixels.shape[0], : pixels.shape[1], : pixels.shape[2]] = pixels
    if sys.byteorder == "big":
        block = block.byteswap()
    return bytes(imagecodecs.zstd_encode(block.tobytes(), level=ZSTD_LEVEL)) + END
