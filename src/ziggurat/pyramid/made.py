"""The levels that a file lacks: computed where that is cheap, else made once and kept."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from ziggurat.errors import FormatError, SourceError, WriteError
from ziggurat.format.protocol import Reader
from ziggurat.geometry import Size, Window
from ziggurat.model import Level, Samples
from ziggurat.pyramid.blocks import Progress, finer_window, reduced, reduced_cost
from ziggurat.pyramid.lacking import made_levels, write_cost
from ziggurat.pyramid.sampled import Places, centres, picked, picked_cost, sampled_places
from ziggurat.storage.cached import is_certain
from ziggurat.storage.file_cache import FileCache
from ziggurat.storage.names import temporary_name
from ziggurat.storage.protocol import SourceVersion
from ziggurat.storage.stored import writing

if TYPE_CHECKING:
    from ziggurat.pyramid.overview import Overview

MODEST: Final = 64 << 20
"""Bytes that reading the finer pixels of a window may take for it to be computed in any case: 64 MiB, that is a quarter
of a second from a store. All levels are made once where it takes more, and is not a small part of the image; or where
windows were computed of as many strips and tiles as the image has."""

NEARER: Final = 4
"""How many times as much that may be of a file on this machine: it takes no longer."""

PART: Final = 8
"""A window that takes no more than this part of the image's strips or tiles is computed, too: one of a gigapixel takes
a second then, and a pass over all of it ten."""

KIND: Final = 1
"""To be raised when made levels come out otherwise than before: those in caches are then made again."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where an image's made levels may lie.

    Attributes:
        identity: what tells the image from all others, as ``storage.resolve.identity`` has it.
        cache: where they are kept once they are made; None keeps nothing.
        beside: a local image's path, beside which they may lie.
        progress: told how far a pass over the image is that makes them.
    """

    identity: str
    cache: FileCache | None = None
    beside: Path | None = None
    progress: Progress | None = None


@runtime_checkable
class Coarsening(Protocol):
    """A reader that makes the levels that it does not store in a way of its own."""

    def coarser(self, home: "Home | None") -> "MadeLevels":
        """These levels.

        Args:
            home: where what they are made of may be kept; None keeps nothing.
        """
        ...


def beside_of(image: Path) -> Path:
    """The file of levels beside an image, named as GDAL does."""
    return image.with_name(image.name + ".ovr")


def _touched(finer: Level, times: int, window: Window) -> int:
    """Pixels of the strips or tiles from which a window is made."""
    wanted = finer_window(window, times, finer.shape)
    height, width = finer.tile or finer.shape
    rows = -(-wanted.y1 // height) - wanted.y0 // height
    columns = -(-wanted.x1 // width) - wanted.x0 // width
    return min(rows * height, finer.shape.height) * min(columns * width, finer.shape.width)


class MadeLevels:
    """All levels below the coarsest stored one. Safe to use from several threads.

    A window equals that window of the whole level, made by ``halve`` of the whole next finer one.

    Args:
        reader: of the image.
        version: of the image's bytes.
        home: where made levels are looked for and kept; None computes them each time.
        memory: bytes that making all levels may take; where it takes more, windows are computed each time.
        plain: a reader of the same image that keeps nothing of what it reads, for reading all of it.
        near: the image's bytes lie on this machine.
    """

    def __init__(
        self,
        reader: Reader,
        version: SourceVersion,
        *,
        home: Home | None,
        memory: int,
        plain: Callable[[], Reader],
        near: bool = False,
    ) -> None:
        self._reader = reader
        self._version = version
        self._home = home
        self._memory = memory
        self._plain = plain
        self._near = near
        self._computed = 0
        self._lock = RLock()
        self._looked = False
        self._discarded = False
        self._overview: Overview | None = None
        self.levels = made_levels(reader.info.levels)
        self.notes: list[str] = []

    def read(self, number: int, window: Window) -> Samples:
        """Pixels of a window of a made level.

        Args:
            number: 0 is the finest made level.
            window: on that level's grid; the caller has checked that it lies inside.

        Raises:
            SourceError: if the image cannot be read.
            FormatError: if it does not decode.
        """
        if self.makes_all(number, window):
            try:
                self.make()
            except WriteError as error:
                self.notes.append(f"made levels are not kept: {error}")
                self._home = None
        reader, level, times = self._nearest(number)
        try:
            if not times:
                return reader.read(level, window)
            self._computed += _touched(reader.info.levels[level], times, window)
            return reduced(reader, level, times, window, near=self._near)
        except (SourceError, FormatError) as error:
            if reader is self._reader:
                raise
            self._discard(error)
        return self.read(number, window)

    def read_cost(self, number: int, window: Window) -> int:
        """Peak bytes of memory that ``read`` of this window takes, its result included."""
        reader, level, times = self._nearest(number)
        if not times:
            return reader.read_cost(level, window)
        cost = reduced_cost(reader, level, times, window, near=self._near)
        return max(cost, write_cost(self._reader)) if self.makes_all(number, window) else cost

    def read_sampled(self, number: int, window: Window) -> Samples:
        """As ``read``, but where the level does not lie ready, single pixels of the next finer one that does."""
        reader, level, times = self._nearest(number)
        return picked(reader, level, *self._samples(number, window)) if times else self.read(number, window)

    def sampled_cost(self, number: int, window: Window) -> int:
        """Peak bytes of memory that ``read_sampled`` of this window takes, its result included."""
        reader, level, times = self._nearest(number)
        return picked_cost(reader, level, *self._samples(number, window)) if times else self.read_cost(number, window)

    def _samples(self, number: int, window: Window) -> tuple[Places, Places]:
        reader, level, times = self._nearest(number)
        height, width = reader.info.levels[level].shape
        rows = sampled_places(window.y0, window.y1, times, height)
        return rows, sampled_places(window.x0, window.x1, times, width)

    @property
    def sketches(self) -> bool:
        """Whether ``sketch`` makes something."""
        return False

    def sketch(self, number: int, window: Window, seconds: float) -> Samples | None:  # noqa: ARG002 - for others
        """As ``read_sampled``, of what can be read in some seconds; None where ``read_sampled`` may take for ever.

        Args:
            number: 0 is the finest made level.
            window: on that level's grid.
            seconds: for all of it.
        """
        return None

    @property
    def has_holes(self) -> bool:
        """Whether a part of the image was left out a moment ago, because it could not be read."""
        return False

    def sample(self) -> Samples | None:
        """Pixels of full resolution from all over the image, the same every time; None where these are not quick.

        Returns:
            Array (y, x, band) of the image's type.
        """
        return None

    def thumbnail(self, number: int, target: Size) -> Samples | None:
        """Single pixels of the whole image, without a level between; None where the made level lies ready.

        Args:
            number: of the made level that is no smaller than the target.
            target: height and width.
        """
        reader, level, times = self._nearest(number)
        if not times:
            return None
        height, width = reader.info.levels[level].shape
        return picked(reader, level, centres(height, target.height), centres(width, target.width))

    def ready(self) -> Path | None:
        """The file in which all made levels lie ready, if there is one."""
        found = self._found()
        return found.path if found is not None and len(found.places) == len(self.levels) else None

    def make(self, *, progress: Progress | None = None) -> Path | None:
        """Makes sure that all made levels lie ready: beside the image, or in the cache.

        Many processes that ask at once make them once; the others wait.

        Returns:
            Where they are; None where the file has all levels itself, or nothing is kept.

        Raises:
            WriteError: if they cannot be kept.
            SourceError: if the image cannot be read.
            FormatError: if it does not decode.
        """
        with self._lock:
            ready = self.ready()
            if ready is not None:
                return ready
            cache, key = self._kept_under()
            if cache is None or not self.levels:
                return None
            with cache.alone(key):
                path = cache.get(key)
                if path is None or not self._use(path):
                    told = progress or (self._home.progress if self._home else None)
                    write = partial(self._write, limit=cache.limit, progress=told)
                    path = cache.put(key, write)
                    self._use(path)
            return path

    def write(self, path: Path, *, progress: Progress | None = None) -> None:
        """Writes all made levels to a file, in one pass over the image; the file appears when it is whole.

        Raises:
            WriteError: if it cannot be written.
            SourceError: if the image cannot be read.
            FormatError: if it does not decode.
        """
        temporary = path.with_name(temporary_name(secrets.token_hex(8)))
        with writing(str(path)):
            try:
                self._write(temporary, progress=progress)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def _write(self, path: Path, *, limit: int | None = None, progress: Progress | None) -> None:
        from ziggurat.pyramid.overview import write_overview  # noqa: PLC0415 - loads TIFF, which few images need

        write_overview(self._plain(), path, self._version, limit=limit, progress=progress, near=self._near)

    def makes_all(self, number: int, window: Window) -> bool:
        """Whether ``read`` of this window makes all levels first, in a pass over the image."""
        reader, level, times = self._nearest(number)
        if not times or reader is not self._reader or self._kept_under()[0] is None:
            return False
        shape = reader.info.levels[level].shape
        finer = finer_window(window, times, shape)
        touched = _touched(reader.info.levels[level], times, window)
        slow = reader.read_cost(level, finer) > MODEST * (NEARER if self._near else 1)
        slow = slow and touched * PART > shape.pixels
        often = self._computed + touched > shape.pixels
        often = often and reader.read_cost(level, Window.full(shape)) > MODEST
        return (slow or often) and write_cost(reader) <= self._memory

    def _nearest(self, number: int) -> tuple[Reader, int, int]:
        """The coarsest level that there is and that is no coarser than the made one, and how often to halve it."""
        found = self._found()
        ready = max((place for place in found.places if place <= number), default=None) if found else None
        if found is None or ready is None:
            return self._reader, len(self._reader.info.levels) - 1, number + 1
        return found.reader, found.places[ready], number - ready

    def _kept_under(self) -> tuple[FileCache | None, str]:
        home = self._home
        if home is None or home.cache is None or not is_certain(self._version):
            return None, ""
        return home.cache, f"overview {KIND}\0{home.identity}\0{self._version.tag}\0{self._version.size}"

    def _found(self) -> "Overview | None":
        """What was made before, looked for once: beside the image, then in the cache."""
        with self._lock:
            if not self._looked and self._home is not None and self.levels:
                self._looked = True
                self._look_beside(self._home.beside)
                cache, key = self._kept_under()
                if self._overview is None and cache is not None and (path := cache.get(key)) is not None:
                    self._use(path)
            return self._overview

    def _look_beside(self, image: Path | None) -> None:
        path = None if image is None else beside_of(image)
        if image is None or path is None or not path.is_file():
            return
        try:
            self._overview = self._opened(path, newer_than=image.stat().st_mtime_ns)
        except (SourceError, FormatError, OSError) as error:
            self.notes.append(str(error))

    def _use(self, path: Path) -> bool:
        """Opens levels of the cache; false if they are gone or damaged."""
        with suppress(SourceError, FormatError):
            self._overview = self._opened(path)
            return True
        return False

    def _opened(self, path: Path, *, newer_than: int = 0) -> "Overview":
        from ziggurat.pyramid.overview import open_overview  # noqa: PLC0415 - loads TIFF, which few images need

        return open_overview(path, self._reader.info, self._version, newer_than=newer_than)

    def _discard(self, error: SourceError | FormatError) -> None:
        """Goes on without a file of levels that turns out to be damaged; without any after the second one."""
        with self._lock:
            found, self._overview = self._overview, None
            if self._discarded:
                self._home = None
            self._discarded = True
            self.notes.append(f"{error}; the level is made from the image instead")
            cache, _ = self._kept_under()
            if found is not None and cache is not None and found.path.is_relative_to(cache.folder):
                with suppress(OSError):
                    found.path.unlink()

    def close(self) -> None:
        """Closes the file of levels."""
        with self._lock:
            if self._overview is not None:
                self._overview.source.close()
                self._overview = None
            self._looked = True
