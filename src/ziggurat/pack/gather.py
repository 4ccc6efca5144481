"""Where the images of a new pack come from: folders, patterns, prefixes, manifests, tar files, packs, databases."""

import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from io import BufferedReader
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ziggurat.convert.manifest import Manifest, Row, manifest_rows, open_manifest
from ziggurat.errors import CorruptImage
from ziggurat.pack.entry import Value
from ziggurat.pack.pack import Pack
from ziggurat.pack.prepare import LARGE
from ziggurat.pack.schema import TYPES, Column
from ziggurat.storage.file_view import FileView
from ziggurat.storage.listing import list_sources
from ziggurat.storage.pack_url import Table
from ziggurat.storage.resolve import open_source
from ziggurat.storage.urls import is_pack

TAR: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

SIDECAR: Final = 1 << 20
"""Bytes of a file beside an image of a tar that says something of it."""

SAID: Final = (".json", ".cls", ".txt")
"""Endings of files of a WebDataset's samples that are attributes: of the first the values that it names, of the others
one value, called like the ending."""

_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Found:
    """An image to be packed.

    Attributes:
        key: it is to have.
        url: opens it.
        data: its bytes, where they are at hand.
        attributes: what is said of it.
        problem: why it cannot be packed, if it cannot.
        size: bytes, where the listing says so.
    """

    key: str
    url: str
    data: bytes | None = None
    attributes: Mapping[str, Value] = field(default_factory=dict)
    problem: str | None = None
    size: int | None = None


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
    columns = tuple(Column(column.name, _affinity(column.type)) for column in pack.columns)

    def images() -> Iterator[Found]:
        with pack:
            for entry in pack.entries():
                data = pack[entry.key] if entry.length <= LARGE else None
                yield Found(entry.key, pack.place.key_url(entry.key), data, typed(entry.attributes, columns))

    return Gathering(images(), columns)


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
            yield Found(key, row.source, None, typed(said(row), columns), row.problem)

    return Gathering(images(), columns)


def key_of(written: str) -> str:
    """The key of a file that is given by its path or URL: its path below the root or the bucket."""
    _, scheme, rest = written.rpartition("://")
    path = rest.partition("?")[0].partition("/")[2] if scheme else written
    return "/".join(part for part in path.replace("\\", "/").split("/") if part not in {"", ".", ".."})


def _of_tar(place: str) -> Gathering:
    columns = columns_of(said for _, said in _samples(place, images=False))

    def images() -> Iterator[Found]:
        for found, said in _samples(place, images=True):
            for image in found:
                yield Found(image.key, image.url, image.data, typed(said, columns))

    return Gathering(images(), columns)


def _samples(place: str, *, images: bool) -> Iterator[tuple[list[Found], dict[str, Value]]]:
    """The samples of a tar: files that follow each other with one name but for the ending, and what they say."""
    for _, members in groupby(_members(place, images=images), lambda found: stem_of(found.key)):
        found: list[Found] = []
        said: dict[str, Value] = {}
        for member in members:
            if member.key.lower().endswith(SAID):
                said |= _said(member)
            else:
                found.append(member)
        yield found, said


def stem_of(key: str) -> str:
    """A file's path up to the first dot of its name, as WebDataset takes samples apart."""
    folder, slash, name = key.rpartition("/")
    return f"{folder}{slash}{name.partition('.')[0]}"


def _members(place: str, *, images: bool) -> Iterator[Found]:
    with closing(open_source(place)) as source:
        view = BufferedReader(FileView(source, total=1 << 62))
        try:
            with tarfile.open(fileobj=view, mode="r|*") as tar:
                for member in tar:
                    is_said = member.name.lower().endswith(SAID)
                    if not member.isreg() or (is_said and member.size > SIDECAR):
                        continue
                    file = tar.extractfile(member) if images or is_said else None
                    data = b"" if file is None else file.read()
                    yield Found(member.name.removeprefix("./"), f"{place}!{member.name}", data)
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
    return {name: _plain(value) for name, value in named if value is not None}


def _plain(value: object) -> Value:
    """A value of JSON as a column holds it."""
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, int | float | str) else json.dumps(value, ensure_ascii=False)


def columns_of(rows: Iterable[Mapping[str, Value]], names: Sequence[str] = ()) -> tuple[Column, ...]:
    """The columns that hold what is said: numbers where all that is said is numbers.

    Args:
        rows: all that is said.
        names: columns that there are in any case.
    """
    types: dict[str, int] = dict.fromkeys(names, 0)
    for row in rows:
        for name, value in row.items():
            least = types.setdefault(name, 0)
            if least < 2:  # noqa: PLR2004 - the last of the types holds everything
                types[name] = max(least, _type_of(value))
    used: dict[str, str] = {}
    for name in types:
        # SQLite's names differ by more than case, and "id" is taken.
        shown = name if name.lower() not in {"id", *map(str.lower, used.values())} else f"{name}_"
        used[name] = shown
    return tuple(Column(used[name], TYPES[kind]) for name, kind in types.items())


def _type_of(value: Value) -> int:
    for place, kind in enumerate((int, float)):
        try:
            number = kind(value)
        except (TypeError, ValueError, OverflowError):
            continue
        if kind is float or (abs(int(number)) < 1 << 63 and (isinstance(value, int) or str(value) == str(number))):
            return place
    return 2


def typed(said: Mapping[str, Value], columns: Sequence[Column]) -> dict[str, Value]:
    """What is said of an image, as its columns hold it."""
    values: dict[str, Value] = {}
    own = {column.name: column.type for column in columns}
    for name, value in said.items():
        kind = own.get(name) or own.get(f"{name}_")
        if value is None or kind is None:
            continue
        shown = name if name in own else f"{name}_"
        values[shown] = str(value) if kind == "TEXT" else (int if kind == "INTEGER" else float)(value)
    return values
