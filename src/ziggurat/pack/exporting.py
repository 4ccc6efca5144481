"""A pack for others: tar files as WebDataset has them, its attributes as CSV, its index as Parquet."""

import csv
import importlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from typing import IO, Final, cast

from ziggurat.errors import DependencyError, SourceError, UsageError
from ziggurat.pack.attributes import typed
from ziggurat.pack.contents import Content, contents, damage
from ziggurat.pack.entry import Entry, Value
from ziggurat.pack.gather import KEY, PIECE, SAID, held_columns
from ziggurat.pack.numbered import Numbered
from ziggurat.pack.pack import Pack
from ziggurat.pack.packing import Outcome
from ziggurat.pack.prepare import form_of
from ziggurat.pack.schema import Column
from ziggurat.storage.file_view import FileView
from ziggurat.storage.memory import MemorySource
from ziggurat.storage.stored import writing

ENDINGS: Final = {"jpeg": "jpg", "tiff": "tif"}
"""Of formats whose files are called otherwise."""

ROWS: Final = 50_000
"""Of a Parquet file that are in memory, and lie together in it."""

_ENDING = re.compile(r"[A-Za-z0-9]{1,8}")
_BARE: Final = frozenset(ending.removeprefix(".") for ending in SAID)

FORM: Final = {
    "key": "TEXT",
    "format": "TEXT",
    "height": "INTEGER",
    "width": "INTEGER",
    "bands": "INTEGER",
    "dtype": "TEXT",
    "length": "INTEGER",
    "sha256": "TEXT",
}
"""Columns of an index in front of the attributes."""


@dataclass(frozen=True, slots=True)
class Shards:
    """The tar files of a WebDataset.

    Attributes:
        names: of them.
        publish: puts one in its place: gets what writes it, and its name.
        most: bytes that one may have; one with a single image may be larger.
        where: an SQL expression that chooses images.
    """

    names: Numbered
    publish: Callable[[Callable[[Path], object], str], object]
    most: int
    where: str | None = None


class _Names:
    """Names of samples: one an image, with no dot but that before the ending, none twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, key: str, form: str | None) -> str:
        """The name of an image: its key, where a sample can be called so.

        Args:
            key: of the image.
            form: its format, for the ending, if its key has none.
        """
        folder, slash, name = key.rpartition("/")
        stem, _, ending = name.rpartition(".")
        if not stem or not _ENDING.fullmatch(ending) or ending.lower() in _BARE:
            stem, ending = name, ENDINGS.get(form or "", form or "bin")
        plain = f"{folder}{slash}{stem.replace('.', '_')}"
        number, sample = 1, plain
        while sample in self._taken:
            number += 1
            sample = f"{plain}_{number}"
        self._taken.add(sample)
        return f"{sample}.{ending}"


def export_webdataset(pack: Pack, shards: Shards, progress: Callable[[Outcome], None] = lambda _: None) -> Outcome:
    """Writes images into tar files, in the order in which they lie, one sample an image.

    Attributes are a JSON file beside the image; it says as ``__key__``, too, what cannot be a sample's name.

    Args:
        pack: the pack.
        shards: the tar files.
        progress: called now and then.
    """
    outcome = Outcome()
    samples = _samples(pack, shards.where, outcome)
    sample = next(samples, None)

    def write(path: Path) -> None:
        nonlocal sample
        length = 0
        with path.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            while sample is not None:
                entry, members = sample
                before, length = length, length + sum(_tar_length(info) for info, _ in members)
                if before and _whole(length) > shards.most:
                    return
                for info, data in members:
                    tar.addfile(info, data)
                # What it remembers of each is not needed.
                tar.members.clear()  # type: ignore[attr-defined]
                outcome.packed += 1
                outcome.bytes += entry.length
                progress(outcome)
                sample = next(samples, None)

    number = 0
    while sample is not None:
        shards.publish(write, shards.names[number])
        number += 1
    return outcome


def _samples(
    pack: Pack, where: str | None, outcome: Outcome
) -> Iterator[tuple[Entry, list[tuple[tarfile.TarInfo, IO[bytes]]]]]:
    names, columns = _Names(), held_columns(pack)
    for entry, content in contents(pack, pack.stored(where)):
        try:
            yield entry, _sample(names, pack, entry, content, columns)
        except (SourceError, UsageError) as error:
            outcome.left.append((entry.key, str(error)))


def _sample(
    names: _Names, pack: Pack, entry: Entry, content: Content, columns: Sequence[Column]
) -> list[tuple[tarfile.TarInfo, IO[bytes]]]:
    """The files of a sample.

    Raises:
        SourceError: if the image cannot be read, or is damaged.
        UsageError: if its attributes are not what its columns say.
    """
    error = damage(pack, entry, content)
    if error is not None or isinstance(content, SourceError):
        raise error or SourceError(f"{entry.key} cannot be read")
    form = entry.kind.format
    if form is None and "." not in entry.key:
        form = form_of(MemorySource(entry.key, content) if isinstance(content, bytes) else content)[0].format
    name = names.of(entry.key, form)
    data = (
        io.BytesIO(content) if isinstance(content, bytes) else FileView(content, block=PIECE, blocks=4, total=1 << 62)
    )
    members: list[tuple[tarfile.TarInfo, IO[bytes]]] = [(_member(name, entry.length), cast("IO[bytes]", data))]
    said = typed(entry.attributes, columns) | ({} if name == entry.key else {KEY: entry.key})
    if said or columns:
        text = json.dumps(said, ensure_ascii=False).encode()
        members.append((_member(f"{name.rpartition('.')[0]}.json", len(text)), io.BytesIO(text)))
    return members


def _member(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    return info


def _tar_length(info: tarfile.TarInfo) -> int:
    """Bytes that a file takes in a tar file."""
    return len(info.tobuf(tarfile.PAX_FORMAT)) + -(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _whole(length: int) -> int:
    """Bytes of a tar file, with its end."""
    return -(-(length + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE


def write_attributes(pack: Pack, path: Path, where: str | None = None) -> int:
    """Writes the attributes as a CSV file that ``ziggurat pack --attributes`` takes.

    Returns:
        How many rows there are.
    """
    count, columns = 0, held_columns(pack)
    names = [column.name for column in columns]
    with writing(str(path)), path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["key", *names])
        for entry in pack.entries(where):
            said = typed(entry.attributes, columns)
            table.writerow([entry.key, *(said.get(name) for name in names)])
            count += 1
    return count


def write_index(pack: Pack, path: Path, where: str | None = None) -> int:
    """Writes a Parquet file of one row an image: key, form, length, SHA-256, attributes.

    Returns:
        How many rows there are.

    Raises:
        DependencyError: if pyarrow is not installed.
        UsageError: if attributes of somebody's table are not what its columns say.
    """
    try:
        arrow, parquet = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))
    except ImportError as error:
        raise DependencyError('Parquet needs pyarrow; pip install "ziggurat[parquet]"') from error
    columns = held_columns(pack)
    types = {"INTEGER": arrow.int64(), "REAL": arrow.float64(), "TEXT": arrow.string()}
    fields = [*FORM.items(), *((column.name, column.type) for column in columns)]
    schema = arrow.schema([(name, types[kind]) for name, kind in fields])
    count = 0
    with writing(str(path)), parquet.ParquetWriter(str(path), schema) as writer:
        for entries in batched(pack.entries(where), ROWS):
            rows = [_row(entry) | typed(entry.attributes, columns) for entry in entries]
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
            count += len(rows)
    return count


def _row(entry: Entry) -> dict[str, Value]:
    kind = entry.kind
    own = (entry.key, kind.format, kind.height, kind.width, kind.bands, kind.dtype, entry.length)
    return dict(zip(FORM, (*own, entry.sha256.hex() or None), strict=True))
