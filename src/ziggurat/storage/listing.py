"""What lies in a folder, below a prefix, or matches a pattern."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

import obstore

from ziggurat.errors import SourceNotFound, SourceRefused, UsageError
from ziggurat.storage.client import asking, bind, tag_of
from ziggurat.storage.folder import DOCUMENTS, document_in, folder_of_key, is_named_folder
from ziggurat.storage.local import local_tag, reading
from ziggurat.storage.names import OURS
from ziggurat.storage.network import NetworkOptions, configured
from ziggurat.storage.pack_url import PackPlace
from ziggurat.storage.pattern import Pattern, is_pattern, parse_pattern
from ziggurat.storage.resolve import open_source, packs
from ziggurat.storage.urls import Held, Mosaic, Packed, Remote, Repository, is_pack, parse, path_url

PAGE: Final = 1000
"""Objects taken from the client at a time; a store sends as many."""


class Listed(NamedTuple):
    """One file or object, or a Zarr: a folder that is one image.

    Attributes:
        url: opens it; goes into records.
        key: its path below the place listed, with "/" between parts; of a single file its name.
        size: bytes; of a Zarr those of its document.
        tag: version tag, as ``SourceVersion`` has it.
    """

    url: str
    key: str
    size: int
    tag: str


@dataclass(frozen=True, slots=True)
class _Walk:
    """What a walk through folders carries along.

    Attributes:
        pattern: of what is to be found; None finds everything.
        within: real folders that links must not lead out of; None follows all.
        seen: the folders in which it was.
        skip: notes oddities.
    """

    pattern: Pattern | None
    within: Sequence[str] | None
    seen: set[tuple[int, int]]
    skip: Callable[[str], None]

    def finds(self, key: str) -> bool:
        """Whether what has this key is to be found."""
        return self.pattern is None or self.pattern.matches(key)


class Listing:
    """Files or objects of one place, in an order that does not change; iterate over it once.

    Attributes:
        skipped: URLs of what was left out so far: other suffixes, and what is no regular file.
    """

    def __init__(self, found: Iterator[Listed], suffixes: Sequence[str] | None, skipped: list[str]) -> None:
        self.skipped = skipped
        self._found = found
        self._suffixes = None if suffixes is None else tuple(suffix.lower() for suffix in suffixes)

    def __iter__(self) -> Iterator[Listed]:
        """Yields what has one of the suffixes, and notes the rest."""
        for item in self._found:
            if self._suffixes is None or item.key.lower().endswith(self._suffixes):
                yield item
            else:
                self.skipped.append(item.url)


def list_sources(
    place: str,
    suffixes: Sequence[str] | None = None,
    *,
    network: NetworkOptions | None = None,
    within: Sequence[str] | None = None,
) -> Listing:
    """Lists a folder with all folders below it, a pattern, an object-store prefix, a pack, mosaics or one file.

    Links are followed; every folder is listed once, however many links lead to it. A name that exists is
    taken as it is, even if it holds a wildcard. A folder whose name ends in .zarr, and that holds a Zarr's document,
    is one image: what lies in it is not listed.

    Args:
        place: path, pattern (``*``, ``?``, ``[...]``, ``**``) or URL.
        suffixes: endings to keep, such as ".jp2", whatever their case; None keeps all.
        network: how stores are reached; None is what ``configure`` set in this process.
        within: real paths of folders that links must not lead out of; None follows all.

    Raises:
        SourceNotFound: while iterating, if there is nothing at that place.
        SourceRefused: while iterating, if it may not be listed.
        StoreUnavailable: while iterating, if the store does not answer.
        UsageError: if the string names no place that can be listed.
    """
    skipped: list[str] = []
    where = parse(place)
    if isinstance(where, Held | Repository):
        raise UsageError(f"{place} cannot be listed; give a path or the URL of a store")
    if not isinstance(where, Packed) and is_pack(place):
        where = Packed(PackPlace(place), "")
    if isinstance(where, Packed):
        # Everything in it is an image, whatever its key ends in.
        return Listing(_packed(where, network), None, skipped)
    if isinstance(where, Mosaic):
        return Listing(_mosaics(where), None, skipped)
    if isinstance(where, Path):
        return Listing(_local(where, within, skipped.append), suffixes, skipped)
    options = configured() if network is None else network
    found = _single(where, place, options) if where.is_web else _objects(where, options)
    return Listing(found, suffixes, skipped)


def is_within(real: str, folders: Sequence[str]) -> bool:
    """Whether a real path is one of some real folders, or lies below one."""
    return any(f"{real}{os.sep}".startswith(f"{folder.rstrip(os.sep)}{os.sep}") for folder in folders)


def _packed(place: Packed, network: NetworkOptions | None) -> Iterator[Listed]:
    for url, key, size, tag in packs("ziggurat.pack.opening", "list_packed")(place, network):
        yield Listed(url, key, size, tag)


def _mosaics(place: Mosaic) -> Iterator[Listed]:
    for url, key, size, tag in packs("ziggurat.sky.opening", "list_mosaics")(place):
        yield Listed(url, key, size, tag)


def _local(path: Path, within: Sequence[str] | None, skip: Callable[[str], None]) -> Iterator[Listed]:
    text = os.fspath(path)
    if is_pattern(text) and not os.path.lexists(path):
        pattern = parse_pattern(text)
        yield from _some(_walk(pattern.root or os.curdir, pattern.root, _Walk(pattern, within, set(), skip)), text)
        return
    url = path_url(path)
    with reading(url):
        status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        own = _as_one(text, path.name)
        if own is not None:
            yield own
            return
        yield from _walk(text, text, _Walk(None, within, set(), skip))
    elif stat.S_ISREG(status.st_mode):
        yield Listed(url, path.name, status.st_size, local_tag(status))
    else:
        raise SourceRefused(f"{url} is neither a file nor a folder; give one")


def _walk(root: str, shown: str, walk: _Walk) -> Iterator[Listed]:
    """All regular files below a folder, in the order of their names' bytes, folders in between.

    Args:
        root: the folder.
        shown: how paths in it begin; "" for the current folder.
        walk: what is to be found, and where to note oddities.
    """
    # No recursion: folders may lie deeper in each other than the interpreter allows calls.
    open_folders = [(_entries(root, walk), os.path.join(shown, ""), "")]  # noqa: PTH118 - see below
    while open_folders:
        entries, above, prefix = open_folders[-1]
        entry = next(entries, None)
        if entry is None:
            open_folders.pop()
            continue
        path, key = above + entry.name, prefix + entry.name
        if walk.within is not None and entry.is_symlink() and not is_within(os.path.realpath(path), walk.within):
            walk.skip(path_url(path))
            continue
        try:
            status = entry.stat()
        except OSError:  # a link to nothing, or a file that is gone by now
            walk.skip(path_url(path))
            continue
        if stat.S_ISDIR(status.st_mode):
            one = _as_one(path, key)
            if one is None and (walk.pattern is None or walk.pattern.may_hold(key)):
                open_folders.append((_entries(path, walk), path + os.sep, f"{key}/"))
            if one is not None and walk.finds(key):
                yield one
        elif walk.pattern is not None and not walk.pattern.matches(key):
            continue
        elif stat.S_ISREG(status.st_mode):
            yield Listed(path_url(path), key, status.st_size, local_tag(status))
        else:
            walk.skip(path_url(path))


def _as_one(path: str, key: str) -> Listed | None:
    """A folder that is one image; None if it is none."""
    document = document_in(path) if is_named_folder(key) else None
    if document is None:
        return None
    with reading(path_url(path)):
        status = os.stat(document)  # noqa: PTH116 - as everywhere here
    return Listed(path_url(path), key, status.st_size, local_tag(status))


def _entries(folder: str, walk: _Walk) -> Iterator[os.DirEntry[str]]:
    """What lies in a folder, sorted; nothing if the walk has been there."""
    with reading(path_url(folder)):
        here = os.stat(folder)  # noqa: PTH116 - paths would triple the time of a listing
        if (here.st_dev, here.st_ino) in walk.seen:
            return iter(())
        walk.seen.add((here.st_dev, here.st_ino))
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=_bytes_of_name)
    return (entry for entry in ordered if not entry.name.startswith(OURS))


def _bytes_of_name(entry: os.DirEntry[str]) -> bytes:
    return os.fsencode(entry.name)


def _single(place: Remote, url: str, network: NetworkOptions) -> Iterator[Listed]:
    source = open_source(url, network=network)
    try:
        version = source.version
    finally:
        source.close()
    yield Listed(url, place.key.rpartition("/")[2], version.size, version.tag)


def _objects(place: Remote, network: NetworkOptions) -> Iterator[Listed]:
    if place.key and not place.key.endswith("/"):
        try:
            yield from _single(place, place.url, network)
        except SourceNotFound:
            pass
        else:
            return
    pattern = parse_pattern(place.key) if is_pattern(place.key) else None
    prefix = (place.key if pattern is None else pattern.root).rstrip("/")
    yield from _some(_as_ones(_prefixed(place, prefix, pattern, network)), place.url)


def _prefixed(place: Remote, prefix: str, pattern: Pattern | None, network: NetworkOptions) -> Iterator[Listed]:
    bound = bind(Remote(place.scheme, place.root, prefix), network)
    base = f"{place.scheme}://{place.root}/"
    below = len(prefix) + 1 if prefix else 0
    with asking(place.url):
        pages = iter(obstore.list(bound.store, prefix or None, chunk_size=PAGE))
    while True:
        with asking(place.url):
            page = next(pages, None)
        if page is None:
            return
        for meta in page:
            key = meta["path"][below:]
            # The empty object that some tools put in the place of a folder has the folder's key.
            if key and (pattern is None or pattern.matches(key)):
                yield Listed(base + meta["path"], key, meta["size"], tag_of(meta))


def _as_ones(found: Iterator[Listed]) -> Iterator[Listed]:
    """The same, each Zarr once instead of all that it holds. A store lists what lies in one folder together."""
    for folder, members in groupby(found, lambda item: folder_of_key(item.key)):
        if folder is None:
            yield from members
            continue
        documents = {f"{folder}/{name}": len(DOCUMENTS) - place for place, name in enumerate(DOCUMENTS)}
        best = max(
            (item for item in members if item.key in documents), key=lambda item: documents[item.key], default=None
        )
        if best is not None:
            yield best._replace(url=best.url[: len(folder) - len(best.key)], key=folder)


def _some(found: Iterator[Listed], place: str) -> Iterator[Listed]:
    """The same, with an error where there is nothing."""
    nothing = True
    for item in found:
        nothing = False
        yield item
    if nothing:
        raise SourceNotFound(f"{place}: nothing is there; check the name")
