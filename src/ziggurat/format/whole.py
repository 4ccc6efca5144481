"""What formats share that are decoded whole: small reads of a header, and a reader around a decoding function."""

from collections.abc import Callable

import numpy as np

from ziggurat.errors import CorruptImage
from ziggurat.geometry import Window
from ziggurat.model import ImageInfo, Samples
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

BLOCK = 1 << 14
"""Bytes fetched at least: most headers lie within the first."""

MAX_PART = 1 << 26
"""Bytes of one part of a header: no profile and no metadata block of a real image is longer."""


class Header:
    """Small reads of a source, a block at a time, none of which leaves it.

    Args:
        source: the bytes.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._start = 0
        self._held = b""

    @property
    def url(self) -> str:
        """Where the bytes lie."""
        return self._source.url

    @property
    def size(self) -> int:
        """Length of the file in bytes."""
        return self._source.size

    def read(self, start: int, length: int) -> bytes:
        """Bytes from ``start``.

        Raises:
            CorruptImage: if they leave the file, or are more than a header's part can be.
        """
        if length > MAX_PART or start + length > self.size:
            raise CorruptImage(f"{self.url}: {length} bytes are declared at byte {start}, the file ends at {self.size}")
        if not self._start <= start <= start + length <= self._start + len(self._held):
            end = min(self.size, start + max(length, BLOCK))
            self._held = self._source.read_ranges([ByteRange(start, end)])[0]
            self._start = start
        return self._held[start - self._start : start - self._start + length]


def read_all(source: ByteSource) -> bytes:
    """The whole file."""
    return source.read_ranges([ByteRange(0, source.size)])[0]


class WholeReader:
    """A ``Reader`` of one level whose every read decodes the whole file.

    Args:
        source: the bytes.
        info: what the header says.
        decode: the file's bytes to all pixels (y, x, band); raises a ``FormatError``.
        scratch: bytes that decoding takes besides the file and the pixels.
    """

    def __init__(
        self, source: ByteSource, info: ImageInfo, decode: Callable[[bytes], Samples], *, scratch: int
    ) -> None:
        self._source = source
        self._info = info
        self._decode = decode
        self._scratch = scratch

    @property
    def info(self) -> ImageInfo:
        """What the header says."""
        return self._info

    def read(self, level: int, window: Window) -> Samples:  # noqa: ARG002 - there is only level 0
        """Pixels of a window; decodes all of them.

        Raises:
            CorruptImage: if they do not decode, or are not what the header says.
        """
        pixels = self._decode(read_all(self._source))
        return cropped(checked(pixels, self._info, self._source.url), window)

    def read_cost(self, level: int, window: Window) -> int:  # noqa: ARG002 - there is only level 0
        """Bytes of the file, of all pixels, of the decoder, and of the window where it is a part."""
        whole = decoded_bytes(self._info)
        part = 0 if window.size == self._info.size else whole * window.size.pixels // self._info.size.pixels
        return self._source.size + whole + self._scratch + part


def decoded_bytes(info: ImageInfo) -> int:
    """Bytes of all pixels."""
    return info.size.pixels * info.bands * np.dtype(info.dtype).itemsize


def checked(pixels: Samples, info: ImageInfo, url: str) -> Samples:
    """The pixels, if they are what the header says.

    Raises:
        CorruptImage: if not.
    """
    if pixels.ndim == 2:  # noqa: PLR2004 - a single band without its axis
        pixels = pixels[:, :, np.newaxis]
    expected = (*info.size, info.bands)
    if pixels.shape != expected or pixels.dtype != info.dtype:
        raise CorruptImage(
            f"{url} decoded to {pixels.shape} {pixels.dtype}, its header declares {expected} {info.dtype}"
        )
    return pixels


def cropped(pixels: Samples, window: Window) -> Samples:
    """A window of the pixels that does not keep the rest in memory."""
    if pixels.shape[:2] == window.size:
        return pixels
    return np.ascontiguousarray(pixels[window.slices()])
