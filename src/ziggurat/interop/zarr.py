"""``zarr_store``: any image, or a stack of images, as a Zarr store."""

from collections.abc import Sequence
from functools import partial

import zarr

from ziggurat.image import DEFAULT_MEMORY, Image
from ziggurat.image import open as open_url
from ziggurat.interop.decoded import DecodedLevels
from ziggurat.interop.planes import Planes
from ziggurat.interop.store import KEPT, ImageStore
from ziggurat.interop.virtual import VirtualLevels


def zarr_store(
    url: str | Sequence[str], *, virtual: bool = False, memory: int = DEFAULT_MEMORY, cache: int = KEPT
) -> ImageStore:
    """Opens an image as an OME-Zarr 0.5 group: one array a level, axes (c, z, y, x), without c of one band.

    Chunks are made when they are asked for, in threads, and kept as long as there is room for them. The store may be
    pickled, and is read-only: ``zarr.open_group(store, mode="r")``.

    Args:
        url: path or URL of an image; or of several of the same size and kind, in their order, which are the planes of
            a stack and get the axis z.
        virtual: give out the file's own bytes instead of samples: every tile of a JPEG 2000 image is a chunk, and the
            reader decodes it with the codecs of imagecodecs-zarr. Levels are then those of the wavelet transform, and
            a coarse one reads none of the bytes of finer ones.
        memory: bytes that reading one chunk may take.
        cache: bytes of chunks that are kept.

    Raises:
        SourceError: if the bytes cannot be had.
        FormatError: if they are not an image that can be read, or that has no virtual levels (``UnsupportedFeature``).
        UsageError: if there are no images; while reading, if a plane is not of the first one's kind.
    """
    urls = [url] if isinstance(url, str) else list(url)
    openers = [partial(open_url, one, memory=memory) for one in urls]
    planes = Planes(openers, stack=not isinstance(url, str))
    try:
        levels = VirtualLevels(planes) if virtual else DecodedLevels(planes)
    except BaseException:
        planes.close()
        raise
    again = partial(
        zarr_store, url if isinstance(url, str) else tuple(urls), virtual=virtual, memory=memory, cache=cache
    )
    return ImageStore(levels, again, cache)


def to_zarr(image: Image, again: partial[Image] | None) -> zarr.Group:
    """The group of an open image, which must stay open; see ``Image.to_zarr``.

    Args:
        image: it.
        again: opens it once more; None where that is not possible.
    """
    levels = DecodedLevels(Planes([again], stack=False, first=image))
    reopened = None if again is None else partial(_reopened, again)
    return zarr.open_group(ImageStore(levels, reopened), mode="r")


def _reopened(again: partial[Image]) -> ImageStore:
    return ImageStore(DecodedLevels(Planes([again], stack=False)), partial(_reopened, again))
