"""Where the images of a new pack come from: folders, patterns, prefixes, manifests, tar files, packs, databases."""

import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from io import BufferedReader
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from ziggurat.convert.manifest import Manifest, Row, manifest_rows, open_manifest
from ziggurat.errors import CorruptImage, SourceError, UsageError
from ziggurat.pack.attributes import column_name, columns_of, plain, typed
from ziggurat.pack.contents import contents
from ziggurat.pack.entry import Value
from ziggurat.pack.pack import Pack
from ziggurat.pack.schema import LARGEST, Column
from ziggurat.storage.file_view import FileView
from ziggurat.storage.listing import list_sources
from ziggurat.storage.pack_url import Table
from ziggurat.storage.resolve import open_source
from ziggurat.storage.urls import is_pack

TAR: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

PIECE: Final = 1 << 22
"""Bytes of a tar file that are read at a time."""

SIDECAR: Final = 1 << 20
"""Bytes of a file beside an image of a tar that says something of it."""

SAID: Final = (".json", ".cls", ".txt")
"""Endings of files of a WebDataset's samples that are attributes: of the first the values that it names, of the others
one value, called like the ending."""

KEY: Final = "__key__"
"""What a sample's JSON calls the key of its image, where no file of a WebDataset can have it as its name."""

_NONE: Mapping[str, str] = MappingProxyType({})


class Found(NamedTuple):
    """An image to be packed.

    Attributes:
        key: it is to have.
        url: opens it.
        data: its bytes, where they are at hand.
        attributes: what is said of it.
        problem: why it cannot be packed, if it cannot.
        size: bytes, where the listing says so.
        sha256: hexadecimal, that it must have, where that is said.
    """

    key: str
    url: str
    data: bytes | None = None
    attributes: Mapping[str, Value] = MappingProxyType({})
    problem: str | None = None
    size: int | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Gathering:
    """The images of a place, and the columns of what is said of them."""

    images: Iterator[Found]
    columns: tuple[Column, ...] = ()


def gather(place: str, *, table: Table | None = None, columns: Mapping[str, str] = _NONE) -> Gathering:
    """Finds the images of a place, in its order.

    Args:
        place: folder, pattern, prefix, file, manifest (.csv), tar file or pack (.zpk).
        table: where the images are in a database that is no pack.
        columns: of a manifest: role (source, name) to column.

    Raises:
        SourceError: if it cannot be read, also while iterating.
        UsageError: if a manifest's header makes no sense.
    """
    name = place.partition("?")[0].lower()
    if table is not None or is_pack(place):
        return _packed(Pack(place, table=table))
    if name.endswith(TAR):
        return _of_tar(place)
    if name.endswith(".csv"):
        return _listed(open_manifest(Path(place), columns))
    return Gathering(Found(item.key, item.url, size=item.size) for item in list_sources(place))


def _packed(pack: Pack) -> Gathering:
    columns = held_columns(pack)

    def images() -> Iterator[Found]:
        with pack:
            for entry, content in contents(pack, pack.stored()):
                url = pack.place.key_url(entry.key)
                data = content if isinstance(content, bytes) else None
                problem = str(content) if isinstance(content, SourceError) else None
                try:
                    said = typed(entry.attributes, columns)
                except UsageError as error:
                    said, problem = {}, str(error)
                yield Found(entry.key, url, data, said, problem, sha256=entry.sha256.hex())

    return Gathering(images(), columns)


def held_columns(pack: Pack) -> tuple[Column, ...]:
    """The columns of a pack or of somebody else's table, as those of a pack; bytes are not among them."""
    return tuple(
        Column(column_name(column.name), _affinity(column.type))
        for column in pack.columns
        if column.type.upper() != "BLOB"
    )


def _affinity(declared: str) -> str:
    """The type of a column of somebody else's table (sqlite.org/datatype3.html 3.1)."""
    if "INT" in declared.upper():
        return "INTEGER"
    return "REAL" if any(word in declared.upper() for word in ("REAL", "FLOA", "DOUB")) else "TEXT"


def _listed(manifest: Manifest) -> Gathering:
    source = manifest.header.index(manifest.roles["source"])
    taken = {manifest.roles["source"], manifest.roles.get("name"), manifest.roles.get("checksum")}
    names = [name for name in manifest.header if name not in taken]

    def said(row: Row) -> dict[str, Value]:
        own = dict(zip(manifest.header, row.columns, strict=True)) if row.problem is None else {}
        return {name: own[name] for name in names if own.get(name)}

    columns = columns_of(map(said, manifest_rows(manifest)), names)

    def images() -> Iterator[Found]:
        for row in manifest_rows(manifest):
            written = row.columns[source] if row.problem is None else ""
            key = row.fields.get("name", "") if "name" in manifest.roles else key_of(written)
            own = typed(said(row), columns)
            yield Found(key, row.source, None, own, row.problem, sha256=row.checksum or "")

    return Gathering(images(), columns)


def key_of(written: str) -> str:
    """The key of a file that is given by its path or URL: its path below the root or the bucket."""
    _, scheme, rest = written.rpartition("://")
    path = rest.partition("?")[0].partition("/")[2] if scheme else written
    return "/".join(part for part in path.replace("\\", "/").split("/") if part not in {"", ".", ".."})


def _of_tar(place: str) -> Gathering:
    samples = [_said_by(members) for _, members in _samples(place, images=False)]
    columns = columns_of(samples)

    def images() -> Iterator[Found]:
        # What is said of an image may stand behind it.
        for said, (_, members) in zip(samples, _samples(place, images=True), strict=True):
            own = typed(said, columns)
            for member in members:
                if not member.key.lower().endswith(SAID):
                    yield member._replace(key=str(said.get(KEY, member.key)), attributes=own)

    return Gathering(images(), tuple(column for column in columns if column.name != KEY))


def _samples(place: str, *, images: bool) -> Iterator[tuple[str, Iterator[Found]]]:
    """The samples of a tar: files that follow each other with one name but for the ending."""
    return groupby(_members(place, images=images), lambda found: stem_of(found.key))


def _said_by(members: Iterable[Found]) -> dict[str, Value]:
    """What the files of a sample say of its images."""
    said: dict[str, Value] = {}
    for member in members:
        if member.key.lower().endswith(SAID):
            said |= _said(member)
    return said


def stem_of(key: str) -> str:
    """A file's path up to the first dot of its name, as WebDataset takes samples apart."""
    folder, slash, name = key.rpartition("/")
    return f"{folder}{slash}{name.partition('.')[0]}"


def _members(place: str, *, images: bool) -> Iterator[Found]:
    with closing(open_source(place)) as source:
        view = BufferedReader(FileView(source, block=PIECE, blocks=4, total=1 << 62))
        try:
            with tarfile.open(fileobj=view, mode="r|*") as tar:
                for member in tar:
                    is_said = member.name.lower().endswith(SAID)
                    if not member.isreg() or (is_said and member.size > SIDECAR):
                        continue
                    key, url = member.name.removeprefix("./"), f"{place}!{member.name}"
                    if member.size > LARGEST:
                        yield Found(key, url, problem=f"it has {member.size} bytes; take it out of the tar file first")
                        continue
                    file = tar.extractfile(member) if images or is_said else None
                    yield Found(key, url, b"" if file is None else file.read())
        except (tarfile.TarError, EOFError, OSError) as error:
            raise CorruptImage(f"{place} is no whole tar file: {error}") from error


def _said(member: Found) -> dict[str, Value]:
    """What a file beside an image says; nothing if it makes no sense."""
    text = (member.data or b"").decode("utf-8", "replace").strip()
    suffix = member.key.rpartition(".")[2].lower()
    if suffix != "json":
        return {suffix: text}
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    named = values.items() if isinstance(values, dict) else ()
    return {name: plain(value) for name, value in named if value is not None}
