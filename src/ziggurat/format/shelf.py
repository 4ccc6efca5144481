"""Where what was found out about a file lies ready for the next reader: beside it, in a cache, or where it is said."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from ziggurat.errors import SourceError, WriteError
from ziggurat.storage.file_cache import FileCache
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.resolve import open_source

SUFFIX = ".zgi"
"""What the name of an index beside its image ends in."""

LONGEST = 1 << 30
"""Bytes of an index that are believed."""

_log = logging.getLogger(__name__)


def beside_of(image: Path) -> Path:
    """The index beside an image."""
    return image.with_name(image.name + SUFFIX)


@dataclass(frozen=True, slots=True)
class Shelf:
    """The places of one image's index.

    Attributes:
        identity: what tells the image from all others, as ``storage.resolve.identity`` has it.
        cache: where indexes are kept; None keeps nothing.
        beside: the image's path, beside which one may lie.
        place: path or URL of an index that is to be used; it must be there.
    """

    identity: str
    cache: FileCache | None = None
    beside: Path | None = None
    place: str | None = None

    @property
    def _key(self) -> str:
        return f"index {self.identity}"

    def found(self) -> Iterator[tuple[str, bytes]]:
        """What lies ready, the place that was said first: its name and its bytes.

        Raises:
            SourceError: if nothing lies at the place that was said.
        """
        if self.place is not None:
            yield self.place, _read(self.place)
        places = [beside_of(self.beside)] if self.beside is not None else []
        kept = self.cache.get(self._key) if self.cache is not None else None
        for path in (*places, *([kept] if kept is not None else [])):
            with suppress(SourceError):
                yield str(path), _read(str(path))

    def keep(self, data: bytes) -> None:
        """Keeps an index in the cache; that it cannot be kept is no error."""
        if self.cache is None:
            return
        try:
            self.cache.put(self._key, partial(_write, data))
        except WriteError as error:
            _log.info("the index of %s is not kept: %s", self.identity, error)


@runtime_checkable
class Indexed(Protocol):
    """A reader that finds out where things lie, and can be told."""

    shelf: Shelf | None

    def make_index(self) -> bytes:
        """The complete index, to be stored."""
        ...


def _write(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def _read(place: str) -> bytes:
    source = open_source(place)
    try:
        return source.read_ranges([ByteRange(0, min(source.size, LONGEST))])[0]
    finally:
        source.close()
