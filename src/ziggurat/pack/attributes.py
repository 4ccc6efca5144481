"""What is said of images, as typed columns: names and types that SQL can hold, found from what is said."""

import csv
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from ziggurat.convert.manifest import FIELD_LIMIT
from ziggurat.errors import UsageError
from ziggurat.pack.entry import Value
from ziggurat.pack.schema import TAKEN, TYPES, Column

_INTEGER = re.compile(r"0|-?[1-9]\d{0,18}")
_REAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
"""Numbers whose text says nothing more than the number: "007" is a name."""

EXACT: Final = 1 << 53
"""Whole numbers up to which a REAL holds each."""


def column_name(name: str) -> str:
    """What an attribute is called in a pack: as it is, unless every image has something of this name."""
    shown = "".join("_" if unicodedata.category(char) in {"Cc", "Cs"} else char for char in name) or "_"
    return f"{shown}_" if shown.lower() in TAKEN else shown


def columns_of(rows: Iterable[Mapping[str, Value]], names: Sequence[str] = ()) -> tuple[Column, ...]:
    """The columns that hold what is said: numbers where all that is said is numbers.

    Names that differ by case alone are one column, as SQL has it.

    Args:
        rows: all that is said.
        names: columns that there are in any case.
    """
    types = {name.lower(): -1 for name in map(column_name, names)}
    shown = {name.lower(): name for name in map(column_name, names)}
    places: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            place = places.get(name)
            if place is None:
                own = column_name(name)
                place = places[name] = own.lower()
                shown.setdefault(place, own)
            least = types.setdefault(place, -1)
            if value is not None and least < len(TYPES) - 1:
                types[place] = max(least, _type_of(value))
    # Of what nothing is said, text may be said later: -1 is the last.
    return tuple(Column(shown[place], TYPES[kind]) for place, kind in types.items())


def _type_of(value: float | str) -> int:
    """Which of the types holds a value, all of it."""
    if isinstance(value, str):
        return _type_of_text(value)
    if isinstance(value, int):
        return 0 if -1 << 63 <= value < 1 << 63 else 2
    return 1


def _type_of_text(text: str) -> int:
    if _INTEGER.fullmatch(text) and -1 << 63 <= int(text) < 1 << 63:
        return 0
    if _REAL.fullmatch(text) and math.isfinite(float(text)):
        return 1 if not text.lstrip("-").isdecimal() or abs(int(text)) <= EXACT else 2
    return 2


def typed(said: Mapping[str, Value], columns: Sequence[Column]) -> dict[str, Value]:
    """What is said of an image, as its columns hold it.

    Raises:
        UsageError: if a column cannot hold it.
    """
    values: dict[str, Value] = {}
    own = {column.name.lower(): column for column in columns}
    for name, value in said.items():
        column = own.get(column_name(name).lower())
        if value is None or column is None:
            continue
        kind = {"INTEGER": int, "REAL": float}.get(column.type, str)
        try:
            values[column.name] = value if isinstance(value, kind) else kind(value)
        except ValueError:
            raise UsageError(f"{name} is {str(value)[:100]!a}, its column is for {column.type}; make it text") from None
    return values


def plain(value: object) -> Value:
    """A value of JSON as a column holds it."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float) or value is None:
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()


def read_table(path: Path) -> tuple[tuple[Column, ...], Iterator[tuple[str, dict[str, Value]]]]:
    """Attributes from a CSV file in UTF-8 with a header: the column "key", or else the first, names the image.

    Returns:
        The columns, and key and values of every line.

    Raises:
        UsageError: if it is no such file; also while iterating.
    """
    header = next(_lines(path), None)
    if header is None or len(header) < 2 or len({column_name(name).lower() for name in header}) < len(header):  # noqa: PLR2004 - a key and something said
        raise UsageError(f"{path} needs a header: a column of keys, and others whose names differ by more than case")
    place = header.index("key") if "key" in header else 0

    def rows() -> Iterator[tuple[str, dict[str, Value]]]:
        lines = _lines(path)
        next(lines)
        for number, line in enumerate(lines, 2):
            if len(line) != len(header):
                raise UsageError(f"row {number} of {path} has {len(line)} fields, the header has {len(header)}")
            said: dict[str, Value] = {name: value for name, value in zip(header, line, strict=True) if value}
            yield line[place], {name: value for name, value in said.items() if name != header[place]}

    columns = columns_of((said for _, said in rows()), [name for name in header if name != header[place]])
    return columns, ((key, typed(said, columns)) for key, said in rows())


def _lines(path: Path) -> Iterator[list[str]]:
    csv.field_size_limit(FIELD_LIMIT)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from filter(None, csv.reader(file, strict=True))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; check the path") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no CSV file in UTF-8: {error}") from error
