"""What a job converts: rows from a CSV manifest, or from folders, globs, prefixes and single files."""

import csv
import hashlib
import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ziggurat.errors import UsageError
from ziggurat.storage.listing import Listing, list_sources
from ziggurat.storage.urls import absolute

FIELD_LIMIT = 1 << 20
"""Characters of one CSV field; a missing quote would otherwise swallow the file into memory."""

MAX_COLUMNS = 1000
"""Columns of a manifest; SQLite's default limit is 2000."""

ROLES = ("source", "item", "name", "group", "checksum")
"""What a manifest's column can be to a job."""


@dataclass(frozen=True, slots=True)
class Row:
    """One image to convert, as it was asked for.

    Attributes:
        source: URL or path; empty where the row names none.
        fields: what a name template can use: role and column names to values.
        item: the physical object that the image belongs to.
        checksum: SHA-256 of the source in hex, if the manifest states it.
        size: bytes, where the listing said so.
        tag: the version that the listing saw (see ``SourceVersion.tag``).
        columns: the manifest's own columns, in its order.
        problem: why this row cannot be planned, if it cannot.
    """

    source: str
    fields: Mapping[str, str] = field(default_factory=dict)
    item: str | None = None
    checksum: str | None = None
    size: int | None = None
    tag: str | None = None
    columns: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A CSV file and what its columns are to the job.

    Attributes:
        path: the file.
        header: its column names, in order.
        roles: role to column name, for the roles that are filled.
        sha256: digest of the file, by which a change is noticed.
    """

    path: Path
    header: tuple[str, ...]
    roles: Mapping[str, str]
    sha256: str


def parse_columns(text: str, known: Sequence[str] = ROLES) -> dict[str, str]:
    """Reads ``source=path,item=uuid`` into a mapping from role to column name.

    Args:
        text: what was said.
        known: the roles that there are.

    Raises:
        UsageError: if a part is not ``role=column`` or the role is unknown.
    """
    roles: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        role, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column or role not in known:
            raise UsageError(f"--columns {part!r} is not ROLE=COLUMN with ROLE one of {', '.join(known)}")
        roles[role] = column
    return roles


def open_manifest(path: Path, columns: Mapping[str, str]) -> Manifest:
    """Reads the header of a manifest and settles what its columns mean.

    A role that ``columns`` does not name takes the column of its own name, where there is one.

    Raises:
        UsageError: if the file is no CSV with a header, a named column is missing or no column is the source.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            header = tuple(next(csv.reader(file), ()))
        with path.open("rb") as raw:
            sha256 = hashlib.file_digest(raw, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"the manifest {path} cannot be read: {error.strerror}") from error
    except csv.Error as error:
        raise UsageError(f"the manifest {path} is not CSV: {error}") from error
    if any(name.encode("utf-8", "replace").decode() != name for name in header):
        raise UsageError(f"the header of the manifest {path} is not UTF-8; export it as UTF-8")
    names = {name.casefold() for name in header}
    if len(names) != len(header) or not all(header) or "images_id" in names or len(header) > MAX_COLUMNS:
        raise UsageError(
            f"the manifest {path} needs a header of 1 to {MAX_COLUMNS} names that differ by more than case, none "
            f"of them images_id; it has {list(header[:20])}"
        )
    missing = sorted(set(columns.values()) - set(header))
    if missing:
        raise UsageError(f"the manifest {path} has no column {missing[0]!r}; it has {', '.join(header)}")
    roles = {role: role for role in ROLES if role in header} | dict(columns)
    if "source" not in roles:
        raise UsageError(
            f"no column of {path} is the source; say which with --columns source=NAME (columns: {', '.join(header)})"
        )
    return Manifest(path, header, roles, sha256)


def manifest_rows(manifest: Manifest) -> Iterator[Row]:
    """The rows of a manifest, in order. A row that cannot be read becomes a ``Row`` with its ``problem``.

    Relative sources are taken from the manifest's own folder.
    """
    csv.field_size_limit(FIELD_LIMIT)
    base = os.path.abspath(manifest.path.parent)  # noqa: PTH100 - links stay
    with manifest.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        # Strict: a quote that is never closed is an error on its line, and does not swallow the lines behind it.
        lines = csv.reader(file, strict=True)
        next(lines)
        while True:
            first = lines.line_num + 1
            try:
                values = next(lines)
            except StopIteration:
                return
            except csv.Error as error:
                last = lines.line_num
                where = f"line {first}" if first == last else f"lines {first} to {last}"
                yield Row(
                    source="", problem=f"{where} of {manifest.path}: {error}; look for a quote that is not closed"
                )
                continue
            if values:
                yield _row(manifest, base, values, lines.line_num)


def _row(manifest: Manifest, base: str, values: Sequence[str], line: int) -> Row:
    shown = tuple(map(_shown, values))
    if len(values) != len(manifest.header):
        wrong = f"line {line} of {manifest.path} has {len(values)} fields, the header has {len(manifest.header)}"
        return Row(source="", columns=shown[: len(manifest.header)], problem=wrong)
    fields = dict(zip(manifest.header, values, strict=True))
    written = fields[manifest.roles["source"]].strip()
    problem: str | None = None
    if not written:
        problem = f"line {line} of {manifest.path} names no source"
    elif shown != tuple(values):
        problem = f"line {line} of {manifest.path} is not UTF-8"
    elif "\0" in written:
        problem = f"line {line} of {manifest.path}: the source has a NUL character"
    if problem is not None:
        return Row(source=_shown(written), columns=shown, problem=problem)
    relative = "://" not in written and not written.startswith(("/", "memory:", "file:", "pack:"))
    fields |= path_fields(written if relative else written.rpartition("/")[2])
    for role, column in manifest.roles.items():
        fields[role] = values[manifest.header.index(column)]
    checksum = fields.get("checksum", "").strip().lower().removeprefix("sha256:") or None
    return Row(
        source=os.path.join(base, written) if relative else written,  # noqa: PTH118 - a million of them
        fields=fields,
        item=fields.get("item") or None,
        checksum=checksum,
        columns=shown,
    )


def _shown(text: str) -> str:
    """Text as every reader can take it: what was no UTF-8 becomes escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def path_fields(key: str) -> dict[str, str]:
    """What a template can use of a source's path below the place it was found in.

    ``path`` is the path without its suffix, ``folder`` its folder, ``stem`` the last part without suffix,
    ``suffix`` the suffix without its dot.
    """
    folder, slash, name = key.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    if not dot or not stem:
        stem, suffix = name, ""
    return {"path": f"{folder}{slash}{stem}", "folder": folder, "stem": stem, "suffix": suffix}


def listed_rows(
    places: Iterable[str], suffixes: Iterable[str], skipped: list[str], known: Container[str] = frozenset()
) -> Iterator[Row]:
    """One row for every image file in folders, globs, prefixes, and for every single file.

    Args:
        places: as given on the command line.
        suffixes: endings by which a folder's files are taken for images.
        skipped: gets the URLs of files that do not have such an ending.
        known: sources that are left out because the job has them.
    """
    for place in places:
        listing: Listing = list_sources(place, tuple(suffixes))
        for found in listing:
            source = absolute(found.url)
            if source in known:
                continue
            fields = path_fields(_shown(found.key).replace("\\", "%"))
            yield Row(
                source=source,
                fields=fields | {"name": fields["stem"], "group": fields["folder"], "source": source},
                size=found.size,
                tag=found.tag,
            )
        skipped.extend(listing.skipped)
