"""Identifiers of images and the places they stand for: nothing outside the served places has one.

One folder or prefix alone gives its images the paths below it. Of several each has a name, the last part of its place
or what stands before ``=`` in ``NAME=PLACE``, and its images are ``NAME/path``. A single file is called by its name
alone.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from ziggurat.errors import SourceNotFound, SourceRefused, UsageError
from ziggurat.format.table import FORMATS
from ziggurat.storage.listing import list_sources
from ziggurat.storage.local import local_tag
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.urls import Held, Remote, parse, path_url

SUFFIXES: Final = tuple(suffix for entry in FORMATS.values() for suffix in entry.suffixes)

LONGEST: Final = 4096
"""Characters of an identifier; a path of the system has no more."""

_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)=(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Root:
    """One served place.

    Attributes:
        name: what its identifiers begin with; "" where they are paths below it alone.
        kind: a folder of this machine, a prefix of a store, or a single file anywhere.
        place: the real path of a folder; a prefix without its last slash; the URL of a file.
    """

    name: str
    kind: str
    place: str

    @property
    def title(self) -> str:
        """What people call it; never the query of an address, which may hold a signature."""
        return self.name or self.place.rpartition("/")[2] or "images"


@dataclass(frozen=True, slots=True)
class Found:
    """An image's place.

    Attributes:
        id: its identifier.
        url: opens it.
        version: size and tag of a local file as it is now; None where only its store knows.
    """

    id: str
    url: str
    version: tuple[int, str] | None


class Catalogue:
    """The images below several places. Remote objects are named, not looked for."""

    def __init__(self, roots: Sequence[Root], network: NetworkOptions) -> None:
        self._roots = tuple(roots)
        self._network = network
        self._folders = tuple(root.place for root in roots if root.kind == "folder")
        self._files = {root.name: root for root in roots if root.kind == "file"}
        self._named = {root.name: root for root in roots if root.kind != "file"}

    @property
    def roots(self) -> tuple[Root, ...]:
        """The served places."""
        return self._roots

    def find(self, identifier: str) -> Found:
        """The image of an identifier, percent-encoding undone.

        Raises:
            SourceNotFound: if there is none, or it may not be read: which of both is nobody's business.
        """
        if len(identifier) <= LONGEST:
            if (single := self._files.get(identifier)) is not None:
                return self._single(single)
            root = self._named.get("")
            below = identifier
            if root is None:
                name, _, below = identifier.partition("/")
                root = self._named.get(name)
            if root is not None and _is_plain(below):
                found = (
                    self._local(root, below, identifier) if root.kind == "folder" else _object(root, below, identifier)
                )
                if found is not None:
                    return found
        raise SourceNotFound(f"there is no image {identifier[:200]!a}; check the identifier, and that slashes are %2F")

    def decode(self, segment: str) -> Found:
        """The image of a segment of a URL as it was sent; one that was encoded twice is decoded twice.

        Raises:
            SourceNotFound: as ``find``.
        """
        once = unquoted(segment)
        try:
            return self.find(once)
        except SourceNotFound:
            if "%" not in once:
                raise
            twice = unquoted(once)
            if twice == once:
                raise
            return self.find(twice)

    def _single(self, root: Root) -> Found:
        if isinstance(parse(root.place), Remote):
            return Found(root.name, root.place, None)
        return _checked(root.place, root.name) or _none(root.name)

    def _local(self, root: Root, below: str, identifier: str) -> Found | None:
        try:
            real = os.path.realpath(os.path.join(root.place, below), strict=True)  # noqa: PTH118 - for speed
        except (OSError, ValueError):
            return None
        if not any(real.startswith(folder if folder == os.sep else folder + os.sep) for folder in self._folders):
            return None
        return _checked(real, identifier)

    def listed(self) -> Iterator[tuple[str, str]]:
        """Identifiers of all images and their URLs, place by place, by their suffixes.

        Raises:
            SourceError: if a place cannot be listed.
        """
        for root in self._roots:
            if root.kind == "file":
                yield root.name, root.place
                continue
            begin = f"{root.name}/" if root.name else ""
            # The slash keeps "scans" from listing "scans-old", and a folder that is empty is no error.
            place = root.place if root.kind == "folder" else root.place + "/"
            try:
                for item in list_sources(place, SUFFIXES, network=self._network):
                    if _is_plain(item.key) and _text(item.key) is not None:
                        yield begin + item.key, item.url
            except SourceNotFound:
                continue


def _none(identifier: str) -> Found:
    raise SourceNotFound(f"the file behind {identifier!a} is gone; bring it back or restart the server without it")


def _checked(path: str, identifier: str) -> Found | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - for speed
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return Found(identifier, path_url(path), (status.st_size, local_tag(status)))


def _object(root: Root, below: str, identifier: str) -> Found | None:
    return Found(identifier, f"{root.place}/{below}", None) if _text(below) is not None else None


def _text(key: str) -> str | None:
    try:
        key.encode()
    except UnicodeEncodeError:
        return None
    return key


def _is_plain(below: str) -> bool:
    """Whether it is a path below something: no empty, hidden or climbing part, no NUL."""
    return bool(below) and "\0" not in below and not any(not part or part[0] == "." for part in below.split("/"))


def unquoted(segment: str) -> str:
    """Percent-encoding undone, to the name that a file of this system has, whatever its bytes."""
    return os.fsdecode(unquote_to_bytes(segment)) if "%" in segment else segment


def quoted(identifier: str) -> str:
    """An identifier as one segment of a URL."""
    return quote(os.fsencode(identifier), safe="")


def open_catalogue(places: Sequence[str], network: NetworkOptions) -> Catalogue:
    """The catalogue of places as an operator names them.

    Raises:
        UsageError: if a place is of no kind that can be served, or two have the same name.
        SourceNotFound: if a local one is not there.
        SourceRefused: if it is neither a file nor a folder.
    """
    roots = [_root(*_split(place)) for place in places]
    holding = [root for root in roots if root.kind != "file"]
    if len(holding) == 1 == len(roots) and _split(places[0])[0] is None:
        return Catalogue([Root("", holding[0].kind, holding[0].place)], network)
    names = [root.name for root in roots]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two places are called {twice!r}; give one another name: NAME=PLACE")
    return Catalogue(roots, network)


def _split(place: str) -> tuple[str | None, str]:
    """A name, if one is given, and the place."""
    found = _NAMED.fullmatch(place)
    if found is None or os.path.lexists(place):
        return None, place
    return found[1], found[2]


def _root(name: str | None, text: str) -> Root:
    place = parse(text)
    if isinstance(place, Held):
        raise UsageError(f"{text} lies in another process's memory and cannot be served; give a path or a URL")
    if isinstance(place, Remote):
        last = unquoted(place.key) if place.is_web else place.key
        own = name or last.rstrip("/").rpartition("/")[2] or place.root
        if place.is_web:
            if not place.key or place.key.endswith("/"):
                raise UsageError(f"{place.url}: a web server cannot be listed; give the URL of one image")
            return Root(own, "file", text)
        if place.key and not place.key.endswith("/") and last.lower().endswith(SUFFIXES):
            return Root(own, "file", text)
        return Root(own, "prefix", text.rstrip("/"))
    real = os.path.realpath(place)
    own = name or Path(real).name or "root"
    if os.path.isdir(real):  # noqa: PTH112 - real is text
        return Root(own, "folder", real)
    if os.path.isfile(real):  # noqa: PTH113 - as above
        return Root(name or place.name, "file", path_url(real))
    if not os.path.lexists(real):
        raise SourceNotFound(f"{text} is not there; give a folder, a prefix such as s3://bucket/scans/, or a file")
    raise SourceRefused(f"{text} is neither a file nor a folder; give one")
