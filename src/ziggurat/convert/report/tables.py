"""A job as CSV and JSON: all images, its figures, and the failed images as a manifest to feed in again."""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import IO

from ziggurat.convert.ledger.view import Value, View
from ziggurat.convert.report.places import absolute
from ziggurat.errors import WriteError
from ziggurat.model import JSON

ERRORS = ("error_class", "error_message", "state")
"""Columns that the list of failed images adds."""


def write_rows(view: View, path: Path) -> int:
    """Writes one line for every row of the ledger with all its columns; returns how many.

    Empty is unknown; an infinite PSNR, of identical pixels, is ``inf``.

    Raises:
        WriteError: if the file cannot be written.
    """
    return write_csv(path, view.row_columns(), view.row_records())


def write_failed(view: View, facts: Mapping[str, JSON], path: Path) -> int:
    """Writes the images without an output so that ``ziggurat convert`` takes the file as a manifest; returns how many.

    A manifest's own columns keep their names, order and values, but that sources are absolute. Images that were listed
    get the columns ``source`` and ``name``; with ``--name {name}`` their targets are those of the job.

    Raises:
        WriteError: if the file cannot be written.
    """
    own = view.manifest_columns()
    records = view.failed_records()
    if not own:
        header: tuple[str, ...] = ("source", "name", *ERRORS)
        return write_csv(path, header, (_listed(record) for record in records))
    # The list of an earlier job that was fed in has these columns already: they are brought up to date.
    kept = own[: -len(ERRORS)] if own[-len(ERRORS) :] == ERRORS else own
    source = _source_column(facts, own)
    header = (*kept, *free(ERRORS, kept))
    return write_csv(path, header, (_manifest_row(record, len(kept), source) for record in records))


def _listed(record: Sequence[Value]) -> tuple[Value, ...]:
    source, target, *errors = record
    return absolute(str(source)), str(target or "").rpartition(".")[0], *errors


def _manifest_row(record: Sequence[Value], kept: int, source: int | None) -> tuple[Value, ...]:
    resolved, _, *errors = record[:5]
    values = list(record[5 : 5 + kept])
    # A row that names no source keeps what the manifest says there.
    if source is not None and source < kept and resolved:
        values[source] = absolute(str(resolved))
    return *values, *errors


def _source_column(facts: Mapping[str, JSON], columns: Sequence[str]) -> int | None:
    """Where the manifest's sources are, by the job's ``--columns`` or by its name."""
    options = facts.get("options")
    roles = options.get("columns") if isinstance(options, Mapping) else None
    name = roles.get("source", "source") if isinstance(roles, Mapping) else "source"
    return columns.index(str(name)) if name in columns else None


def free(names: Sequence[str], taken: Sequence[str]) -> list[str]:
    """The names, each with underscores behind it until it differs from all that are taken by more than case."""
    used = {name.casefold() for name in taken}
    found: list[str] = []
    for name in names:
        free = name
        while free in used:
            free += "_"
        found.append(free)
    return found


def write_csv(path: Path, header: Sequence[str], records: Iterable[tuple[Value, ...]]) -> int:
    """Writes a table; returns the number of its records.

    Raises:
        WriteError: if the file cannot be written.
    """
    number = 0
    try:
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            for record in records:
                writer.writerow(["inf" if value == math.inf else value for value in record])
                number += 1
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror}") from error
    return number


def write_json(view: View, summary: object, path: Path) -> int:
    """Writes the figures, and every row of the ledger as one object a line; returns how many.

    An infinite PSNR is null, with ``"identical": true`` beside it.

    Raises:
        WriteError: if the file cannot be written.
    """
    columns, rows = view.row_columns(), view.schema.rows
    number = 0
    try:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.write(f'{{"job": {json.dumps(str(view.path))},\n"summary": {json.dumps(plain(summary))},\n"{rows}": [')
            for number, record in enumerate(view.row_records(), 1):
                _object(file, dict(zip(columns, record, strict=True)), first=number == 1)
            file.write("\n]}\n")
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror}") from error
    return number


def _object(file: IO[str], record: Mapping[str, Value], *, first: bool) -> None:
    file.write(("\n" if first else ",\n") + json.dumps(_finite(record)))


def plain(value: object) -> JSON:
    """Dataclasses, tuples and mappings as JSON values; numbers that JSON does not know as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return _finite({field.name: plain(getattr(value, field.name)) for field in fields(value)}, value)
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def _finite(record: Mapping[str, JSON], raw: object = None) -> dict[str, JSON]:
    """The record with ``identical`` beside a PSNR that is infinite."""
    psnr = record.get("psnr") if raw is None else getattr(raw, "psnr", None)
    if isinstance(psnr, float) and math.isinf(psnr):
        return {**record, "psnr": None, "identical": True}
    return dict(record)
