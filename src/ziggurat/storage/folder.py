"""Folders, and prefixes of stores and web servers, that are one image together: a Zarr's documents and chunks."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ziggurat.errors import SourceNotFound, SourceRefused
from ziggurat.storage.local import reading
from ziggurat.storage.protocol import ByteSource, SourceVersion
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.urls import Remote, path_url

DOCUMENTS: Final = ("zarr.json", ".zarray", ".zattrs", ".zgroup")
"""Files that say that their folder is a Zarr, of which the first that is there stands for it."""

SUFFIX: Final = ".zarr"
"""What the names of such folders end in."""

type OpenOne = Callable[[Path | Remote, bool], ByteSource]
"""A place, and whether all of it will be read → its bytes."""

type Names = Callable[[Path | Remote], Sequence[str] | None]
"""A folder → the names of the folders in it; None where that cannot be asked."""


class FolderSource:
    """A folder of files that are one image. It has no bytes of its own; its version is that of its document.

    Args:
        place: the folder.
        open_one: opens a single file.
        names: lists a folder.

    Raises:
        SourceNotFound: if none of the documents is there.
        SourceRefused: if they may not be read.
        StoreUnavailable: if the store does not answer.
    """

    def __init__(self, place: Path | Remote, open_one: OpenOne, names: Names) -> None:
        self._place = place
        self._open_one = open_one
        self._names = names
        self._real: str | None = None
        if isinstance(place, Path):
            with reading(path_url(place)):
                self._real = os.path.realpath(place)
        self.document, source = self._first()
        self._version = source.version
        source.close()

    def _first(self) -> tuple[str, ByteSource]:
        refused: SourceRefused | None = None
        for name in DOCUMENTS:
            try:
                return name, self.open(name)
            except SourceNotFound:
                continue
            except SourceRefused as error:  # stores that must not be listed refuse what is not there
                refused = refused or error
        if refused is not None:
            raise refused
        raise SourceNotFound(f"{self.url}: there is no such Zarr: it holds none of {', '.join(DOCUMENTS)}")

    @property
    def url(self) -> str:
        """Of the folder, without query."""
        return path_url(self._place) if isinstance(self._place, Path) else self._place.url

    @property
    def size(self) -> int:
        """Bytes of its document."""
        return self._version.size

    @property
    def version(self) -> SourceVersion:
        """Of its document: chunks that are replaced under the same document are not noticed."""
        return self._version

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Never returns: there is nothing to copy, hash or pack as one file.

        Raises:
            SourceRefused: always.
        """
        del ranges
        raise SourceRefused(
            f"{self.url} is a folder of many files, which is no file itself; where one is needed, zip it (.ozx), or "
            "convert it"
        )

    @property
    def near(self) -> bool:
        """Whether it lies on this machine."""
        return self._real is not None

    def open(self, key: str, *, whole: bool = True) -> ByteSource:
        """A file of the folder.

        Args:
            key: its path below the folder, with "/" between parts.
            whole: all of it will be read, so that it may come at once.

        Raises:
            SourceNotFound: if there is none.
            SourceRefused: if it may not be read, or lies elsewhere.
            StoreUnavailable: if the store does not answer.
        """
        check_inside(key, self.url)
        if isinstance(self._place, Remote):
            below = quote(key) if self._place.is_web else key
            above = f"{self._place.key}/" if self._place.key else ""
            return self._open_one(replace(self._place, key=f"{above}{below}"), whole)
        path = os.path.realpath(os.path.join(self._real or "", key))  # noqa: PTH118 - one a chunk
        if not path.startswith(f"{self._real}{os.sep}"):
            raise SourceRefused(f"{self.url}: {key} is a link that leads out of it; copy what it leads to")
        return self._open_one(Path(path), whole)

    def names(self, key: str) -> Sequence[str] | None:
        """Names of the folders in one of its folders, sorted; None where they cannot be listed.

        Args:
            key: path below the folder; "" is the folder itself.
        """
        if isinstance(self._place, Path):
            return self._names(self._place / key)
        return self._names(replace(self._place, key=f"{self._place.key}/{key}".strip("/")))

    def close(self) -> None:
        """Nothing is held."""


def check_inside(key: str, url: str) -> None:
    """Accepts a path that stays in its folder, whatever a document says.

    Raises:
        SourceRefused: if it is absolute, climbs, or holds what no name has.
    """
    if "\0" in key or "\\" in key or any(part in {"", ".", ".."} for part in key.split("/")):
        raise SourceRefused(f"{url}: {key[:200]!a} is no path of something inside; the document is damaged")


def local_folder(path: Path) -> Path | None:
    """The folder that a path names, if it is a Zarr: by itself, or by one of its documents."""
    if path.name in DOCUMENTS:
        return path.parent
    return path if document_in(path) is not None else None


def document_in(path: Path | str) -> str | None:
    """Path of the document that makes a folder of this machine a Zarr; None where there is none."""
    places = (os.path.join(path, name) for name in DOCUMENTS)  # noqa: PTH118 - one for every folder of a listing
    return next((place for place in places if os.path.isfile(place)), None)  # noqa: PTH113 - as above


def is_named_folder(name: str) -> bool:
    """Whether a folder of this name is a Zarr, if it has a document."""
    return name.lower().endswith(SUFFIX)


def remote_folder(place: Remote) -> Remote | None:
    """The folder that a URL names: one whose name ends in .zarr, something within it, or one named by its document.

    Nothing is asked: a Zarr of another name is named by its document.
    """
    above, _, last = place.key.rpartition("/")
    if last in DOCUMENTS:
        return replace(place, key=above)
    key = place.key.rstrip("/")
    return replace(place, key=key) if any(map(is_named_folder, key.split("/"))) else None


def folder_of_key(key: str) -> str | None:
    """The first folder of a key that may be a Zarr by its name; None if there is none."""
    parts = key.split("/")
    found = next((index for index, part in enumerate(parts[:-1]) if is_named_folder(part)), None)
    return None if found is None else "/".join(parts[: found + 1])


def folders_in(path: Path) -> Iterator[str]:
    """Names of the folders in a folder of this machine.

    Raises:
        OSError: if it cannot be listed.
    """
    with os.scandir(path) as entries:
        yield from (entry.name for entry in entries if entry.is_dir())
