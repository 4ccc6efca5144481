"""A chunk of a Zarr array made in a worker: samples as stored, in the order of the array's axes, packed."""

import imagecodecs

from ziggurat.errors import UsageError
from ziggurat.interop.decoded import chunk_of
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
    samples = chunk_of(opened.read(task.level, task.window)[:, :, first:behind], task.shape)
    return bytes(imagecodecs.zstd_encode(samples, level=ZSTD_LEVEL)) + END
