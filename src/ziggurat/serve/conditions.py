"""What is asked of the rows of a ledger, in SQL. Pure."""

import re
from collections.abc import Sequence
from typing import Final

from ziggurat.convert.ledger.view import Value

type Condition = tuple[str, list[Value]]
"""An expression, and the values in it."""

SIGNED: Final = "(i.source LIKE 'http%' AND instr(i.source, '?') > 0)"
"""Whether a source may hold a signature."""

SHOWN_SOURCE: Final = f"iif({SIGNED}, substr(i.source, 1, instr(i.source, '?') - 1), i.source)"
"""A source as everybody may see it."""

OUTPUT_PATH: Final = "coalesce(i.target, '')"
"""The path that folders of a job are of."""


def source_without(base: str) -> str:
    """A source without the folder that all have in common."""
    begin = "'" + base.replace("'", "''") + "/'"
    return f"iif(instr(i.source, {begin}) = 1, substr(i.source, length({begin}) + 1), {SHOWN_SOURCE})"


def source_path(base: str) -> str:
    """The path that folders of a manifest are of: of a store, bucket and key."""
    source = source_without(base)
    path = f"iif(instr({source}, '://'), substr({source}, instr({source}, '://') + 3), {source})"
    return f"iif({SIGNED}, 'row/' || i.id || '/', {path})"


def all_of(conditions: Sequence[Condition]) -> Condition:
    """That all of some conditions are true."""
    return " AND ".join(text for text, _ in conditions), [value for _, values in conditions for value in values]


def one_of(column: str, values: Sequence[str]) -> Condition:
    """That a column has one of some values."""
    return f"{column} IN ({', '.join('?' * len(values))})", list(values)


def holding(text: str, columns: Sequence[str]) -> Condition:
    """That one of some columns holds a text, or anything where there is none.

    SQLite compares letters without regard to case in ASCII alone: of others both cases are looked for.
    """
    forms = [text] if text.isascii() else list(dict.fromkeys((text, text.lower(), text.upper(), text.capitalize())))
    patterns = ["%" + re.sub(r"([%_\\])", r"\\\1", form) + "%" if form else "_%" for form in forms]
    condition = " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in columns for _ in forms)
    return f"({condition})", [pattern for _ in columns for pattern in patterns]


def below(path: str, folder: str) -> Condition:
    """That a path lies in a folder, or in one below it."""
    begin = beginning(folder)
    return f"substr({path}, 1, length(?)) = ?", [begin, begin]


def directly_in(path: str, folder: str) -> Condition:
    """That a path lies in a folder itself."""
    return all_of([below(path, folder), (f"instr(substr({path}, length(?) + 1), '/') = 0", [beginning(folder)])])


def folders_below(path: str, folder: str, there: str, table: str = "images AS i") -> Condition:
    """The statement that gives the folders directly below one, by their names, and the number of rows in each.

    Args:
        path: of a row.
        folder: "" at the top.
        there: which rows count.
        table: whose rows they are.
    """
    where, values = below(path, folder)
    rest = f"SELECT substr({path}, length(?) + 1) AS rest FROM {table} WHERE {there} AND {where}"  # noqa: S608 - no text of anybody's
    count = f"SELECT substr(rest, 1, instr(rest, '/') - 1) AS name, count(*) FROM ({rest})"  # noqa: S608 - as above
    return f"{count} WHERE instr(rest, '/') > 0 GROUP BY name", [beginning(folder), *values]


def beginning(folder: str) -> str:
    """What paths in a folder begin with."""
    return f"{folder}/" if folder else ""
