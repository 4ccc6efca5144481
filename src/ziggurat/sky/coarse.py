"""Images at an eighth of their size, made once and kept: what coarse views of a mosaic are made of."""

import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ziggurat.errors import WriteError
from ziggurat.geometry import row_bands
from ziggurat.pyramid import halve
from ziggurat.sky.images import Field, SkyImage
from ziggurat.storage.file_cache import FileCache
from ziggurat.storage.protocol import SourceVersion
from ziggurat.storage.resolve import identity

TIMES: Final = 3
"""Halvings of what is kept: 190 KB of a field of 2048 x 1489."""

HELD: Final = 128 << 20
"""Bytes that are held in memory."""

STRIP: Final = 8 << 20
"""Bytes of pixels that are read at a time: 8 MiB."""

KIND: Final = 1
"""To be raised when they come out otherwise than before."""

type Values = NDArray[np.float32]
type Name = tuple[str, int, SourceVersion]


def halved(values: NDArray[np.floating], times: int) -> Values:
    """Means of squares of 2^times pixels that have a value; NaN where none has, an odd last row or column repeats.

    Args:
        values: (y, x).
        times: halvings.
    """
    pixels = values.astype(np.float32, copy=False)[:, :, np.newaxis]
    for _ in range(times):
        means = halve(pixels)
        if np.isnan(means).any():
            known = ~np.isnan(pixels)
            shares = halve(known.astype(np.float32))
            with np.errstate(invalid="ignore", divide="ignore"):
                means = halve(np.where(known, pixels, np.float32(0))) / shares
        pixels = means
    return pixels[:, :, 0]


class Coarse:
    """Small versions of images: in memory, and in a cache where there is one. Safe to use from several threads.

    Args:
        cache: None keeps them in memory alone.
    """

    def __init__(self, cache: FileCache | None) -> None:
        self.cache = cache
        self._lock = threading.Lock()
        self._held: OrderedDict[Name, Values] = OrderedDict()
        self._bytes = 0

    def has(self, image: SkyImage) -> bool:
        """Whether it was made."""
        with self._lock:
            if _name(image) in self._held:
                return True
        key = _key(image)
        return self.cache is not None and key is not None and self.cache.get(key) is not None

    def get(self, image: SkyImage) -> Values | None:
        """The small version, if it was made."""
        name = _name(image)
        with self._lock:
            found = self._held.get(name)
            if found is not None:
                self._held.move_to_end(name)
                return found
        key = _key(image)
        path = None if self.cache is None or key is None else self.cache.get(key)
        if path is None:
            return None
        # A power cut may have left anything there.
        with suppress(OSError, ValueError, EOFError):
            loaded: Values = np.load(path, allow_pickle=False)
            if loaded.shape == tuple(image.size.halved(TIMES)) and loaded.dtype == np.float32:
                self._hold(name, loaded)
                return loaded
        return None

    def make(self, field: Field) -> Values:
        """The small version, made and kept.

        Raises:
            ZigguratError: if the image cannot be read.
        """
        image = field.image
        made: Values = np.empty(image.size.halved(TIMES), np.float32)
        step = 1 << TIMES
        rows = max(1, STRIP // (8 * image.size.width) // step) * step
        for window in row_bands(image.size, rows):
            strip = halved(field.read(window), TIMES)
            made[window.y0 // step : window.y0 // step + len(strip)] = strip
        self._hold(_name(image), made)
        key = _key(image)
        if self.cache is not None and key is not None:
            with suppress(WriteError):
                self.cache.put(key, lambda path: _save(path, made))
        return made

    def _hold(self, name: Name, values: Values) -> None:
        with self._lock:
            if name in self._held:
                return
            self._held[name] = values
            self._bytes += values.nbytes
            while self._bytes > HELD and len(self._held) > 1:
                self._bytes -= self._held.popitem(last=False)[1].nbytes


def _save(path: Path, values: Values) -> None:
    with path.open("wb") as file:
        np.save(file, values, allow_pickle=False)


def _name(image: SkyImage) -> Name:
    return image.url, image.hdu, image.version


def _key(image: SkyImage) -> str | None:
    named = identity(image.url)
    if named is None:
        return None
    return f"coarse field {KIND}\0{named}\0{image.version.tag}\0{image.version.size}\0{image.hdu}"
