"""Identifiers of images and the places they stand for: nothing outside the served places has one.

One folder or prefix alone gives its images the paths below it. Of several each has a name, the last part of its place
or what stands before ``=`` in ``NAME=PLACE``, and its images are ``NAME/path``. A single file is called by its name
alone. A job or a manifest names images anywhere, and is searched by what it says of them; so is a pack.
"""

import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from ziggurat.errors import SourceNotFound, SourceRefused, UsageError
from ziggurat.format.table import FORMATS
from ziggurat.pack import Pack
from ziggurat.serve.found import Found, checked, is_text
from ziggurat.serve.items import EVERYTHING, Contents, Entry, Hits, Item, Page, Place, Wanted, grouped, label
from ziggurat.serve.manifest import ManifestFile
from ziggurat.serve.pack_table import PackTable
from ziggurat.serve.register import Register
from ziggurat.serve.table import Table
from ziggurat.serve.words import terms
from ziggurat.storage.folder import document_in, is_named_folder, remote_folder
from ziggurat.storage.listing import is_within, list_sources
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.pack_url import PackPlace, parse_pack
from ziggurat.storage.resolve import packs
from ziggurat.storage.urls import (
    Held,
    Mosaic,
    Packed,
    Remote,
    Repository,
    is_index,
    is_pack,
    local_path,
    parse,
    path_url,
)

SUFFIXES: Final = tuple(suffix for entry in FORMATS.values() for suffix in entry.suffixes)

LONGEST: Final = 4096
"""Characters of an identifier; a path of the system has no more."""

TABLES: Final[Mapping[str, str]] = {".zgj": "job", ".csv": "manifest"}
"""Files of this machine that name images, by their suffixes."""

NO_COLUMNS: Final[Mapping[str, str]] = MappingProxyType({})

LISTED_SECONDS: Final = 10.0
"""For which a list of everything is taken to be up to date."""

_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)=(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Root:
    """One served place.

    Attributes:
        name: what its identifiers begin with; "" where they are paths below it alone.
        kind: a folder of this machine, a prefix of a store, a pack or a single file anywhere, mosaics of the sky
            ("sky"), a job's ledger or a manifest.
        place: the real path of a folder; a prefix without its last slash; the URL of a file, a pack or mosaics, the
            latter two with "!" behind it; the path of a table.
    """

    name: str
    kind: str
    place: str

    @property
    def is_table(self) -> bool:
        """Whether it names images, rather than holds them."""
        return self.kind in TABLES.values()

    @property
    def is_pack(self) -> bool:
        """Whether it is a pack, and no other database of images."""
        return self.kind == "pack" and parse_pack(self.place.removesuffix("!"))[0].table is None

    @property
    def title(self) -> str:
        """What people call it; never the query of an address, which may hold a signature."""
        if self.kind == "pack":
            return self.name or label(parse_pack(self.place.removesuffix("!"))[0].place)
        if self.kind == "sky":
            return self.name or label(self.place.removesuffix("!"))
        last = self.place.rpartition("/")[2]
        return self.name or (label(last) if self.is_table else last) or "images"


class Catalogue:
    """The images below several places. Remote objects are named, not looked for."""

    def __init__(
        self,
        roots: Sequence[Root],
        network: NetworkOptions,
        *,
        listed: int = 100_000,
        columns: Mapping[str, str] = NO_COLUMNS,
    ) -> None:
        self._roots = tuple(roots)
        self._network = network
        self._limit = listed
        self._listing = threading.Lock()
        self._contents: Contents | None = None
        self._held: Contents | None = None
        self._manifests = {
            root.name: ManifestFile(Path(root.place), columns) for root in roots if root.kind == "manifest"
        }
        self._tables = {root.name: self._table(root) for root in roots if root.is_table}
        self._packs = {root.name: self._pack_table(root) for root in roots if root.is_pack}
        self._searched: tuple[Table | PackTable, ...] = (*self._tables.values(), *self._packs.values())
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
            found = None if root is None or not below else self._below(root, below, identifier)
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
        return checked(root.place, root.name) or _none(root.name)

    def _below(self, root: Root, below: str, identifier: str) -> Found | None:
        if root.is_table:
            return self._tables[root.name].find(below) if is_text(below) else None
        if not _is_plain(below):
            return None
        if root.kind in {"pack", "sky"}:
            return Found(identifier, f"{root.place}{below}", None) if is_text(below) else None
        return self._local(root, below, identifier) if root.kind == "folder" else _object(root, below, identifier)

    def _local(self, root: Root, below: str, identifier: str) -> Found | None:
        try:
            real = os.path.realpath(os.path.join(root.place, below), strict=True)  # noqa: PTH118 - for speed
        except (OSError, ValueError):
            return None
        return checked(real, identifier) if is_within(real, self._folders) else None

    def _table(self, root: Root) -> Table:
        prefix = f"{root.name}/" if root.name else ""
        if root.kind == "manifest":
            manifest = self._manifests[root.name]
            return Table(manifest.ledger, manifest.folder, prefix)
        return Table(partial(Path, root.place), None, prefix)

    def _pack_table(self, root: Root) -> PackTable:
        prefix = f"{root.name}/" if root.name else ""
        return PackTable(parse_pack(root.place.removesuffix("!"))[0].place, prefix, self._network)

    @property
    def tables(self) -> Mapping[str, Table]:
        """The jobs and manifests, by the names of their places."""
        return self._tables

    # -- what there is ----------------------------------------------------------------------------------------

    def contents(self, seconds: float = LISTED_SECONDS) -> Contents:
        """All images, grouped into items, listed at most so many seconds ago. Takes as long as listing does.

        Raises:
            SourceError: if a place cannot be listed.
            JobError: if a ledger cannot be read.
        """
        with self._listing:
            known = self.recent(seconds)
            if known is None:
                known = self._contents = self._list()
            return known

    def recent(self, seconds: float = LISTED_SECONDS) -> Contents | None:
        """What was listed at most so many seconds ago, if anything was."""
        known = self._contents
        return known if known is not None and time.monotonic() - known.when <= seconds else None

    def _list(self) -> Contents:
        for manifest in self._manifests.values():
            manifest.refresh()
        tops = [root.name for root in self._roots if root.kind != "file"]
        found = grouped((identifier for identifier, _ in self.listed()), tops, self._limit, time.monotonic())
        self._held = found
        items, labels, complete = dict(found.items), dict[str, str](), found.complete
        for table in self._searched:
            room = self._limit - sum(map(len, items.values()))
            more, named, whole = table.contents(max(0, room))
            items |= more
            labels |= named
            complete = complete and whole
        return replace(found, items=MappingProxyType(items), complete=complete, labels=MappingProxyType(labels))

    def item(self, identifier: str) -> Item | None:
        """An item with its pages in order, and what is said of them; None if there is none.

        Raises:
            SourceError: if a place cannot be listed.
        """
        for table in self._searched:
            if (found := table.item(identifier)) is not None:
                return found
        pages = self.contents().items.get(identifier)
        if pages is None:
            # It may be new.
            pages = self.contents(1).items.get(identifier)
        return None if pages is None else Item(identifier, label(identifier), tuple(map(Page, pages)))

    def entry(self, identifier: str) -> Entry | None:
        """What a job, a manifest or a pack says of an image; None of images that lie in folders.

        Raises:
            JobError: if a ledger cannot be read.
            SourceError: if a pack cannot be read.
        """
        return next((found for table in self._searched if (found := table.entry(identifier))), None)

    def columns(self) -> tuple[str, ...]:
        """The columns of jobs, manifests and packs that can be searched.

        Raises:
            JobError: if a ledger cannot be read.
            SourceError: if a pack cannot be read.
        """
        return tuple(dict.fromkeys(name for table in self._searched for name in table.columns()))

    def search(self, wanted: Wanted = EVERYTHING, offset: int = 0, limit: int = 100) -> Hits:
        """Images that are looked for, among what was listed last and in all rows of tables and packs.

        Args:
            wanted: which ones.
            offset: of the first image that is told.
            limit: of those that are told.

        Raises:
            SourceError: if a place cannot be listed.
            JobError: if a ledger cannot be read.
        """
        for manifest in self._manifests.values():
            manifest.refresh()
        sought = terms(wanted.q, self.columns())
        held = self._register()
        total, entries = 0, tuple[Entry, ...]()
        if held is not None and wanted.state is None and not any(term.column for term in sought):
            words = [term.text for term in sought]
            if wanted.folder is None:
                chosen = held.search(words, wanted.under, wanted.item)
            else:
                chosen = held.inside(wanted.folder)
            total = len(chosen)
            entries = tuple(_entry(held, identifier) for identifier in chosen[offset : offset + limit])
        for table in self._searched:
            hits = table.search(wanted, sought, (max(0, offset - total), limit - len(entries)))
            total += hits.total
            entries += hits.entries
        return Hits(total, entries, held is None or held.complete)

    def folders(self, under: str = "") -> list[tuple[str, int]]:
        """The folders directly below one, and how many images lie below each.

        Raises:
            SourceError: if a place cannot be listed.
            JobError: if a ledger cannot be read.
        """
        held = self._register()
        found = [] if held is None else held.folders(under)
        return found + [folder for table in self._searched for folder in table.folders(under)]

    def place(self, identifier: str) -> Place:
        """Where an image stands among those beside it.

        Raises:
            SourceError: if a place cannot be listed.
            JobError: if a ledger cannot be read.
        """
        for table in self._searched:
            if (found := table.place(identifier)) is not None:
                return found
        beside = Wanted(folder=identifier.rpartition("/")[0])
        held = self._register()
        if held is None:
            return Place(identifier, None, beside, None, 0)
        entry, (index, total) = _entry(held, identifier), held.place(identifier)
        return Place(entry.item, entry.title, beside, index, total)

    @property
    def holds_images(self) -> bool:
        """Whether a place holds images itself, which takes listing."""
        return any(not root.is_table and not root.is_pack for root in self._roots)

    def _register(self) -> Register | None:
        """What places hold, as it was listed last; None where nothing but tables and packs is served."""
        if not self.holds_images:
            return None
        if self._held is None:
            self.contents()
        return None if self._held is None else Register.of(self._held)

    def listed(self) -> Iterator[tuple[str, str]]:
        """Identifiers of all images that places hold and their URLs, place by place, by their suffixes; of packs none.

        Raises:
            SourceError: if a place cannot be listed.
        """
        for root in self._roots:
            if root.is_table or root.is_pack:
                continue
            if root.kind == "file":
                yield root.name, root.place
                continue
            begin = f"{root.name}/" if root.name else ""
            # The slash keeps "scans" from listing "scans-old", and a folder that is empty is no error.
            place = root.place + "/" if root.kind == "prefix" else root.place.removesuffix("!")
            try:
                for item in list_sources(place, SUFFIXES, network=self._network, within=self._folders):
                    if _is_plain(item.key):
                        yield begin + item.key, item.url
            except SourceNotFound:
                continue


def _entry(held: Register, identifier: str) -> Entry:
    """An image that lies in a place."""
    item, folder = held.item(identifier), identifier.rpartition("/")[0]
    return Entry(identifier, item, label(identifier), folder, None if item == identifier else label(item))


def _none(identifier: str) -> Found:
    raise SourceNotFound(f"the file behind {identifier!a} is gone; bring it back or restart the server without it")


def _object(root: Root, below: str, identifier: str) -> Found | None:
    return Found(identifier, f"{root.place}/{below}", None) if is_text(below) else None


def _is_plain(below: str) -> bool:
    """Whether it is a path below something: no empty, hidden or climbing part, no NUL."""
    return bool(below) and "\0" not in below and not any(not part or part[0] == "." for part in below.split("/"))


def unquoted(segment: str) -> str:
    """Percent-encoding undone, to the name that a file of this system has, whatever its bytes."""
    return os.fsdecode(unquote_to_bytes(os.fsencode(segment))) if "%" in segment else segment


def quoted(identifier: str) -> str:
    """An identifier as one segment of a URL."""
    return quote(os.fsencode(identifier), safe="")


def open_catalogue(
    places: Sequence[str], network: NetworkOptions, *, listed: int = 100_000, columns: Mapping[str, str] = NO_COLUMNS
) -> Catalogue:
    """The catalogue of places as an operator names them.

    Args:
        places: folders, prefixes, files, jobs, manifests.
        network: how stores are reached.
        listed: images that are listed of all of them.
        columns: of manifests: role to column.

    Raises:
        UsageError: if a place is of no kind that can be served, or two have the same name.
        SourceNotFound: if a local one is not there.
        SourceRefused: if it is neither a file nor a folder.
    """
    roots = [_root(*_split(place)) for place in places]
    holding = [root for root in roots if root.kind != "file"]
    if len(holding) == 1 == len(roots) and _split(places[0])[0] is None:
        return Catalogue([Root("", holding[0].kind, holding[0].place)], network, listed=listed, columns=columns)
    names = [root.name for root in roots]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two places are called {twice!r}; give one another name: NAME=PLACE")
    return Catalogue(roots, network, listed=listed, columns=columns)


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
    if isinstance(place, Repository):
        raise UsageError(f"{text} lies in a repository, which icechunk and zarr read; give a path or a URL")
    if not isinstance(place, Packed) and is_pack(text):
        place = Packed(PackPlace(text), "")
    if isinstance(place, Packed):
        return _pack_root(name, place)
    if isinstance(place, Path) and is_index(text):
        place = Mosaic(text)
    if isinstance(place, Mosaic):
        return _sky_root(name, place)
    if isinstance(place, Remote):
        return _remote_root(name, text, place)
    return _local_root(name, text, place)


def _remote_root(name: str | None, text: str, place: Remote) -> Root:
    last = unquoted(place.key) if place.is_web else place.key
    own = name or last.rstrip("/").rpartition("/")[2] or place.root
    single = place.is_web or (place.key and not place.key.endswith("/") and last.lower().endswith(SUFFIXES))
    if remote_folder(place) is None:
        if place.is_web and (not place.key or place.key.endswith("/")):
            raise UsageError(f"{place.url}: a web server cannot be listed; give the URL of one image")
        if not single:
            return Root(own, "prefix", text.rstrip("/"))
    return Root(own, "file", text)


def _pack_root(name: str | None, said: Packed) -> Root:
    if said.key:
        raise UsageError(f"{said.pack.key_url(said.key)} is one image of a pack; serve the pack: {said.pack.url}")
    path = local_path(said.pack.place)
    pack = said.pack if path is None else replace(said.pack, place=os.path.realpath(path))
    last = pack.place.partition("?")[0].rstrip("/").rpartition("/")[2]
    # Whether it is one is seen at once, not by the first reader.
    Pack(pack.place, table=pack.table).close()
    return Root(name or label(last), "pack", pack.key_url(""))


def _sky_root(name: str | None, said: Mosaic) -> Root:
    if said.name:
        raise UsageError(f"{said.url} is one mosaic of an index; serve the index: {said.index}")
    mosaics = Mosaic(os.path.realpath(said.index))
    # Whether it is an index is seen at once, not by the first reader.
    for _ in packs("ziggurat.sky.opening", "list_mosaics")(mosaics):
        break
    return Root(name or Path(said.index).name, "sky", f"{mosaics.url}!")


def _local_root(name: str | None, text: str, place: Path) -> Root:
    real = os.path.realpath(place)
    own = name or Path(real).name or "root"
    if is_named_folder(real) and document_in(real) is not None:
        return Root(own, "file", path_url(real))
    if os.path.isdir(real):  # noqa: PTH112 - real is text
        return Root(own, "folder", real)
    if os.path.isfile(real):  # noqa: PTH113 - as above
        table = TABLES.get(place.suffix.lower())
        if table is not None:
            # Links stay: a manifest's sources lie where it is called from, a ledger's other files beside it.
            return Root(name or place.stem, table, os.path.abspath(place))  # noqa: PTH100 - as above
        return Root(name or place.name, "file", path_url(real))
    if not os.path.lexists(real):
        raise SourceNotFound(f"{text} is not there; give a folder, a prefix such as s3://bucket/scans/, or a file")
    raise SourceRefused(f"{text} is neither a file nor a folder; give one")
