"""Tables of other programs, with all that SQLite lets a table be: what is listed can be read."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from packs import image_of
from ziggurat.errors import SourceChanged, SourceError, SourceRefused, UsageError
from ziggurat.pack import Pack
from ziggurat.pack.entry import CHUNK
from ziggurat.storage.pack_url import Table
from ziggurat.storage.ranges import ByteRange

TABLE = Table("t", "k", "b")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "images.db"


@pytest.fixture
def run(path: Path) -> Iterator[Callable[..., None]]:
    # The same SQLite as ours: two of them in one process do not see each other's locks.
    with closing(apsw.Connection(str(path))) as db:

        def run(sql: str, *bindings: object) -> None:
            db.execute(sql, bindings)

        yield run


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("kind", ["", "INT", "TEXT", "REAL", "NUMERIC", "BLOB"])
def test_keys_of_every_type_are_found_by_what_is_listed(
    path: Path,
    run: Callable[..., None],
    kind: str,
    index: bool,  # noqa: FBT001 - a parameter
) -> None:
    run(f"CREATE TABLE t (k {kind}, b BLOB)")
    keys = [5, "6", 8.0, 7.5, "007", "1e3", 1e300, -3, (1 << 63) - 1, -(1 << 63), "nul\0l", "ü", "", "9" * 30, "x'00'",
            "'; DROP TABLE t", None, b"bytes", "nan", 0.1 + 0.2]  # fmt: skip
    for number, key in enumerate(keys):
        run("INSERT INTO t VALUES (?, ?)", key, image_of(number, 50))
    if index:
        run("CREATE INDEX i ON t(k)")
    with Pack(path, table=TABLE) as pack:
        listed = list(pack)
        assert len(listed) == len(set(listed)) == len(pack) == len(keys) - 2
        assert [pack[key] for key in listed] == [image_of(number, 50) for number in range(20) if number not in {16, 17}]
        assert [entry.key for entry in pack.entries()] == list(pack.listing()) == listed
        assert all(pack.read(pack.entry(key), [ByteRange(7, 9)])[0] == pack[key][7:9] for key in listed)
        for other in ("05", "5 ", " 5", "5.00", "\u0665", "9" * 5000, "-0", "1_0", "b'bytes'", "None", "0x5", "inf"):
            assert other not in pack


@pytest.mark.parametrize("index", [False, True])
def test_of_images_with_the_same_key_the_first_is_read_and_listing_ends(
    path: Path,
    run: Callable[..., None],
    index: bool,  # noqa: FBT001 - a parameter
) -> None:
    run("CREATE TABLE t (k, b)")
    run("INSERT INTO t VALUES ('a', x'00'), (5, x'01'), ('5', x'02')")
    run("CREATE TABLE n AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10005) SELECT i FROM n")
    run("INSERT INTO t SELECT 'a', x'05' FROM n")
    assert CHUNK == 5000
    if index:
        run("CREATE INDEX i ON t(k)")
    with Pack(path, table=TABLE) as pack:
        assert (pack["a"], pack["5"]) == (b"\0", b"\1")
        assert len(list(pack.listing())) == len(pack) == 2 * CHUNK + 8
        assert len(list(pack.entries())) == 2 * CHUNK + 8


ODD = [
    ("CREATE TABLE t (k TEXT PRIMARY KEY, b BLOB) WITHOUT ROWID", "WITHOUT ROWID"),
    ("CREATE TABLE u (k, b); CREATE VIEW t AS SELECT * FROM u", "has no table 't'; it has u"),
    ("CREATE VIRTUAL TABLE t USING fts5(k, b)", "has no table 't'"),
    ("CREATE TABLE t (k, c, b BLOB AS (c))", "no column 'b' that is stored; it has k, c"),
    ("CREATE TABLE t (c, k AS (c), b BLOB)", "no column 'k' that is stored"),
    ("CREATE TABLE t (k, g AS (upper(k)), b)", "has computed columns"),
    ("CREATE TABLE t (k, b, rowid, _rowid_, oid)", "has no row numbers"),
    ("CREATE TABLE t (x)", "no column 'k'"),
    ("CREATE TABLE x (k, b)", "has no table 't'; it has x"),
    ("SELECT 1", "no SQLite database"),
]


@pytest.mark.parametrize(("sql", "message"), ODD)
def test_tables_that_cannot_be_read_in_parts_are_refused(path: Path, sql: str, message: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(sql)
    path.touch()
    with pytest.raises((UsageError, SourceRefused), match=message):
        Pack(path, table=TABLE)


@pytest.mark.parametrize("sql", [
    "CREATE TABLE t (k TEXT, rowid TEXT, b BLOB)", "CREATE TABLE t (k TEXT, rowid TEXT, oid TEXT, b BLOB)",
    "CREATE TABLE t (k TEXT, own INTEGER PRIMARY KEY, b BLOB)", "CREATE TABLE t (k TEXT, rowid INTEGER PRIMARY KEY, b)",
    'CREATE TABLE T (K, "a""b" TEXT, B)', "CREATE TABLE t (k, s, b) STRICT",
    "CREATE TABLE t (k TEXT UNIQUE COLLATE NOCASE, b BLOB)", "CREATE TABLE t (k CHECK (length(k)), b)",
])  # fmt: skip
def test_tables_with_columns_of_odd_names_are_read(path: Path, sql: str) -> None:
    if "STRICT" in sql:
        sql = "CREATE TABLE t (k TEXT, s ANY, b BLOB) STRICT"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(sql)
        for number in range(9):
            db.execute("INSERT INTO t (k, b) VALUES (?, ?)", (f"k{number}", image_of(number)))
    with Pack(path, table=TABLE) as pack:
        assert dict(pack) == {f"k{number}": image_of(number) for number in range(9)}
        assert pack.read(pack.entry("k3"), [ByteRange(5, 9)]) == [image_of(3)[5:9]]
        assert len(list(pack.entries("k > 'k5'"))) == 3
        assert "K3" not in pack


def test_other_values_than_bytes_are_no_images_and_bytes_are_no_attributes(
    path: Path, run: Callable[..., None]
) -> None:
    run("CREATE TABLE t (k INTEGER PRIMARY KEY, b, thumb BLOB, said TEXT)")
    for value in ("text", 5, 1.5, None, b""):
        run("INSERT INTO t (b, thumb, said) VALUES (?, ?, 'x')", value, b"thumb")
    run("INSERT INTO t (b, thumb, said) VALUES (x'aa', 7, ?)", "ü")
    with Pack(path, table=TABLE) as pack:
        assert dict(pack) == {"5": b"", "6": b"\xaa"}
        assert [dict(entry.attributes) for entry in pack.entries()] == [
            {"thumb": None, "said": "x"},
            {"thumb": 7, "said": "ü"},
        ]


def test_text_that_is_no_text_is_an_error_with_a_name(path: Path, run: Callable[..., None]) -> None:
    run("CREATE TABLE t (k TEXT, b BLOB, said TEXT)")
    run("INSERT INTO t VALUES ('a', x'00', 'x'), (CAST(x'ff' AS TEXT), x'01', 'y')")
    with Pack(path, table=TABLE) as pack, pytest.raises(SourceRefused, match=r"damaged.*utf-8"):
        list(pack)


def test_a_database_in_another_encoding_is_read(path: Path, run: Callable[..., None]) -> None:
    run("PRAGMA encoding = 'UTF-16be'")
    run("CREATE TABLE t (k TEXT PRIMARY KEY, b BLOB)")
    run("INSERT INTO t VALUES ('ü😀', x'00')")
    with Pack(path, table=TABLE) as pack:
        assert dict(pack) == {"ü😀": b"\0"}


def test_a_database_that_is_being_written_ahead_is_read_and_left_as_it_is(path: Path, run: Callable[..., None]) -> None:
    run("PRAGMA journal_mode = WAL")
    run("CREATE TABLE t (k TEXT PRIMARY KEY, b BLOB)")
    run("INSERT INTO t VALUES ('a', x'00')")
    before = path.read_bytes()
    with Pack(path, table=TABLE) as pack:
        assert dict(pack) == {"a": b"\0"}
        run("INSERT INTO t VALUES ('b', x'01')")
        assert dict(pack) == {"a": b"\0", "b": b"\1"}
    assert path.read_bytes() == before
    assert Path(f"{path}-wal").stat().st_size


def test_an_image_that_shrinks_while_it_is_open_is_noticed(path: Path, run: Callable[..., None]) -> None:
    run("CREATE TABLE t (k TEXT PRIMARY KEY, b BLOB)")
    run("INSERT INTO t VALUES ('a', ?)", image_of(1))
    with Pack(path, table=TABLE) as pack:
        source = pack.source("a")
        run("UPDATE t SET b = x'00'")
        with pytest.raises(SourceChanged):
            source.read_ranges([ByteRange(0, 100)])
        run("DELETE FROM t")
        with pytest.raises(SourceError):
            source.read_ranges([ByteRange(0, 1)])
