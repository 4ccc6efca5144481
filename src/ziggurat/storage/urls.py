"""What a place is called: plain paths, and the URLs of files, stores, web servers, memory and the sky. No I/O."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlsplit

from ziggurat.errors import UsageError
from ziggurat.storage.pack_url import SCHEME, PackPlace, parse_pack

STORES: Final = ("s3", "gs", "az")
"""Schemes of object stores: scheme://bucket/key, the key as it is, without percent-encoding."""

ICECHUNK: Final = "icechunk:"
"""Scheme of Icechunk repositories: icechunk:PLACE, and icechunk:PLACE!KEY for something in one."""

PACK: Final = ".zpk"
"""What the names of packs end in."""

SKY: Final = "sky:"
"""Scheme of mosaics: sky:INDEX!NAME."""

INDEX: Final = ".zgf"
"""What the names of indexes of footprints end in."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True, slots=True)
class Remote:
    """An object in a store or on a web server.

    Attributes:
        scheme: s3, gs, az, http or https.
        root: the bucket or container; for the web the host, with its port if one is given.
        key: the object's key; for the web the path, still percent-encoded, without its first slash.
        query: of a web URL; it may hold a signature, and is never shown.
    """

    scheme: str
    root: str
    key: str
    query: str = ""

    @property
    def url(self) -> str:
        """The place for messages and records, without query."""
        return f"{self.scheme}://{self.root}/{self.key}"

    @property
    def is_web(self) -> bool:
        """Whether it lies on a web server, which cannot be listed."""
        return self.scheme not in STORES


@dataclass(frozen=True, slots=True)
class Packed:
    """An image in a database of images, or all of them where the key is empty."""

    pack: PackPlace
    key: str


@dataclass(frozen=True, slots=True)
class Mosaic:
    """A mosaic of the images that an index of footprints knows, or all of them where the name is empty.

    Attributes:
        index: path of the index.
        name: the mosaic's.
    """

    index: str
    name: str = ""

    @property
    def url(self) -> str:
        """What it is called: ``sky:INDEX!NAME``, with an exclamation mark in INDEX written as in ``pack:`` URLs."""
        place = PackPlace(self.index)
        return SKY + (place.key_url(self.name) if self.name else place.url).removeprefix(SCHEME)


@dataclass(frozen=True, slots=True)
class Repository:
    """An Icechunk repository, at a path or s3: URL; or a group in it, which icechunk and zarr read."""

    place: str


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes in this process's memory, by the name that follows ``memory:``."""

    name: str


def parse(url: str) -> Path | Remote | Held | Packed | Mosaic | Repository:
    """Tells what kind of place a string names. The one function that understands URLs and paths.

    A string without a known scheme is a path, taken as it is: relative or absolute, ``~`` not expanded. Of
    ``file:`` URLs (RFC 8089) the percent-encoding is undone to bytes, so that every file name can be written.

    Raises:
        UsageError: if the scheme is unknown, or the URL is not complete.
    """
    own = next((made for prefix, made in _OWN.items() if url.startswith(prefix)), None)
    if own is not None:
        return own(url)
    found = _SCHEME.match(url)
    if found is None:
        if not url:
            raise UsageError("an empty string is no place; give a path or a URL")
        return Path(url)
    scheme = found[1].lower()
    if scheme in {"http", "https"}:
        return _web(url, scheme)
    if scheme not in STORES:
        raise UsageError(
            f"{found[0]} is no kind of place that is known; give a path, or a file:, s3:, gs:, az:, http: "
            f"or https: URL (a folder whose name ends in a colon is written ./{found[1]}:/...)"
        )
    root, _, key = url[found.end() :].partition("/")
    if not root or "@" in root:
        raise UsageError(f"{_shown(url)} names no bucket; write {scheme}://bucket/key")
    return Remote(scheme, root, key)


def _mosaic(url: str) -> Mosaic:
    pack, name = parse_pack(SCHEME + url.removeprefix(SKY))
    if pack.table is not None or not isinstance(parse(pack.place), Path):
        raise UsageError(f"{url[:200]} names no index of footprints on this machine; write sky:PATH!NAME")
    return Mosaic(pack.place, name)


def _file(url: str) -> Path:
    rest = url.removeprefix("file:")
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host not in {"", "localhost"} or not slash:
            raise UsageError(f"{_shown(url)} lies on another machine; write file:///path for one of this machine")
        rest = slash + path
    return Path(os.fsdecode(unquote_to_bytes(rest)))


def _web(url: str, scheme: str) -> Remote:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{_shown(url)} is no web address: {error}") from None
    if not host:
        raise UsageError(f"{_shown(url)} names no host; write {scheme}://host/path")
    if parts.username is not None:
        raise UsageError(f"{_shown(url)} holds a password, which is not supported; use a signed URL instead")
    root = f"[{host}]" if ":" in host else host
    return Remote(scheme, root if port is None else f"{root}:{port}", parts.path.removeprefix("/"), parts.query)


def _shown(url: str) -> str:
    """A URL that does not parse, without what may be a secret."""
    return re.sub(r"//[^/]*@", "//", url.partition("?")[0])


_OWN: Final[Mapping[str, Callable[[str], Path | Held | Packed | Mosaic | Repository]]] = {
    SCHEME: lambda url: Packed(*parse_pack(url)),
    SKY: _mosaic,
    ICECHUNK: lambda url: Repository(url.removeprefix(ICECHUNK)),
    "memory:": lambda url: Held(url.removeprefix("memory:")),
    "file:/": _file,
}
"""Kinds of place that are understood by what they begin with."""


def is_pack(place: str) -> bool:
    """Whether a path or URL names a pack, by its suffix."""
    return place.partition("?")[0].lower().endswith(PACK)


def is_index(place: str) -> bool:
    """Whether a path names an index of footprints, by its suffix."""
    return place.lower().endswith(INDEX)


def local_path(url: str) -> Path | None:
    """The path that a string names, or None where it names a store, a web server or memory."""
    place = parse(url)
    return place if isinstance(place, Path) else None


def absolute(url: str) -> str:
    """A place that means the same from every folder: a local path from the root, links in it kept; URLs as they are."""
    if url.startswith(SCHEME):
        pack, key = parse_pack(url)
        moved = replace(pack, place=absolute(pack.place))
        return moved.key_url(key) if key else moved.url
    if url.startswith(SKY):
        mosaic = _mosaic(url)
        return replace(mosaic, index=absolute(mosaic.index)).url
    if url.startswith(ICECHUNK):
        return ICECHUNK + absolute(url.removeprefix(ICECHUNK))
    return url if "://" in url or url.startswith(("memory:", "file:")) else os.path.abspath(url)  # noqa: PTH100 - links stay


def path_url(path: Path | str) -> str:
    """A string that names a path and survives JSON and SQLite.

    It is the path itself where that is text and cannot be mistaken for a URL, else an absolute ``file:`` URL.
    ``local_path`` leads back to the same file.

    Raises:
        UsageError: if no file can have this name.
    """
    text = os.fspath(path)
    if text.isascii() or _is_text(text):
        return text if ":" not in text or not _looks_like_url(text) else f".{os.sep}{text}"
    try:
        return "file://" + quote_from_bytes(os.fsencode(Path(text).absolute()))
    except UnicodeEncodeError:
        raise UsageError(f"no file can be called {text!a}; check where the name comes from") from None


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _looks_like_url(text: str) -> bool:
    return text.startswith(("memory:", SCHEME, SKY, ICECHUNK, "file:/")) or _SCHEME.match(text) is not None
