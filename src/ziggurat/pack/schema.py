"""A pack's tables, and what a file must be to pass for one."""

import re
from dataclasses import dataclass
from typing import Final

import apsw

from ziggurat.errors import SourceRefused

APPLICATION_ID: Final = 0x5A_47_50_31
"""SQLite's application id of a pack: "ZGP1"."""

VERSION: Final = 1
"""``PRAGMA user_version``: raised when a table changes."""

PAGE: Final = 1 << 14
"""Bytes of a page while it is not known how large the images are."""

SMALL_IMAGE: Final = 6000
"""Mean bytes of images up to which several lie in a page: the largest pages then lose least at their ends."""

LARGEST_PAGE: Final = 1 << 16
LEAST_PAGE: Final = 1 << 12


def page_for(mean: int) -> int:
    """Bytes of a page for images of so many bytes on average.

    Longer images go on in pages of their own, half of the last of which is lost: a twentieth of an image loses 3 %.
    """
    if mean <= SMALL_IMAGE:
        return LARGEST_PAGE
    fitting = 1 << ((mean // 20).bit_length() - 1)
    return min(max(fitting, LEAST_PAGE), LARGEST_PAGE)


LARGEST: Final = 1_000_000_000
"""Bytes of an image that lies inside: SQLite's own limit."""

TABLES: Final = {
    "pack": "CREATE TABLE pack (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    # What many images have in common is said once: their form, and the bytes that all of them begin with.
    "kind": (
        "CREATE TABLE kind (id INTEGER PRIMARY KEY, format TEXT, height INTEGER, width INTEGER, bands INTEGER, "
        "dtype TEXT, head BLOB NOT NULL) STRICT"
    ),
    # Metadata apart from the bytes, in the order of the keys: a million images are listed by reading some 60 MB.
    "image": (
        "CREATE TABLE image (key TEXT PRIMARY KEY, id INTEGER NOT NULL, kind INTEGER NOT NULL, "
        "length INTEGER NOT NULL, sha256 BLOB NOT NULL) STRICT, WITHOUT ROWID"
    ),
    # The bytes for a small picture of each image, of all images together.
    "coarse": "CREATE TABLE coarse (id INTEGER PRIMARY KEY, spans BLOB, bytes BLOB NOT NULL) STRICT",
    "data": "CREATE TABLE data (id INTEGER PRIMARY KEY, bytes BLOB) STRICT",
}
"""All tables but ``attribute``, in the order in which they lie in a packed file: what is listed comes first."""

ATTRIBUTE: Final = "attribute"
"""The table of the columns that the owner of the images gave them."""

TYPES: Final = ("INTEGER", "REAL", "TEXT")
"""Of such columns."""

LONGEST_HEAD: Final = 1 << 12
"""Bytes that images may have in common at their beginning: a JPEG's tables take 600."""

TAKEN: Final = frozenset({
    "id", "key", "kind", "length", "sha256", "format", "height", "width", "bands", "dtype", "head", "rowid"
})  # fmt: skip
"""Names that such a column cannot have: those of what conditions can say of every image."""

_INDEX = re.compile(r'CREATE INDEX "attribute ([^"]|"")*" ON attribute\("([^"]|"")*"\)')


@dataclass(frozen=True, slots=True)
class Column:
    """A column of attributes: its name, and one of ``TYPES``."""

    name: str
    type: str


def attribute_table(columns: tuple[Column, ...]) -> str:
    """The statement that makes the table of attributes."""
    own = "".join(f", {quoted(column.name)} {column.type}" for column in columns)
    return f"CREATE TABLE {ATTRIBUTE} (id INTEGER PRIMARY KEY{own}) STRICT"


def attribute_index(name: str) -> str:
    """The statement that makes an index of a column of attributes."""
    return f"CREATE INDEX {quoted(f'attribute {name}')} ON {ATTRIBUTE}({quoted(name)})"


def indexed(db: apsw.Connection) -> list[str]:
    """The columns of attributes that have an index."""
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")]
    return [name.removeprefix(f"{ATTRIBUTE} ") for name in names]


def quoted(name: str) -> str:
    """A name as it stands in SQL."""
    return '"' + name.replace('"', '""') + '"'


def check_schema(db: apsw.Connection, place: str) -> tuple[Column, ...]:
    """Accepts a pack, which has exactly the tables of a pack: no trigger, no view, nothing that computes.

    Returns:
        The columns of attributes.

    Raises:
        SourceRefused: saying what is wrong.
    """
    application, version = db.pragma("application_id"), db.pragma("user_version")
    if not application and not db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall():
        raise SourceRefused(f"{place} is empty: making it was interrupted; run the same command again")
    if application != APPLICATION_ID:
        raise SourceRefused(
            f"{place} is an SQLite database and no pack; name its table to read images from it: --table, --key, --blob"
        )
    if version != VERSION:
        raise SourceRefused(f"{place} is a pack of version {version}, this Ziggurat knows {VERSION}; use a newer one")
    if db.pragma("encoding") != "UTF-8":
        raise SourceRefused(f"{place} is no pack as Ziggurat makes them: its text is not UTF-8")
    expected: dict[str, str | None] = {**TABLES, ATTRIBUTE: None}
    for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_schema"):
        known = expected.pop(name, "") if kind == "table" else ""
        own = (known is None and str(sql).startswith(f"CREATE TABLE {ATTRIBUTE} (")) or (known and known == sql)
        if own or (kind == "index" and (sql is None or _INDEX.fullmatch(sql))):
            continue
        raise SourceRefused(f"{place} is no pack as Ziggurat makes them: it holds the {kind} {str(name)[:80]!a}")
    if expected:
        raise SourceRefused(f"{place} is no whole pack: it has no table {', '.join(expected)}")
    # Only now: asking for the columns of what only looks like a table may run something.
    columns = tuple(
        Column(name, kind) for _, name, kind, *_ in db.execute(f"PRAGMA table_info({ATTRIBUTE})") if name != "id"
    )
    said = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (ATTRIBUTE,)).fetchall()
    if said != [(attribute_table(columns),)]:
        raise SourceRefused(f"{place} is no pack as Ziggurat makes them: its table {ATTRIBUTE} is another one")
    return columns
