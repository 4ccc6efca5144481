"""Packs that somebody made to hurt: refused or read, nothing in them runs, nothing outside of them is read."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import apsw
import pytest

from packs import COLUMNS, image_of, make_pack, packable
from ziggurat.errors import SourceChanged, SourceError, SourceRefused, TimedOut, UsageError, WriteError, ZigguratError
from ziggurat.pack import Pack
from ziggurat.pack.schema import TABLES, Column, attribute_table
from ziggurat.pack.writer import PackWriter
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.resolve import open_source


@pytest.fixture(autouse=True)
def _nothing_takes_long() -> Iterator[None]:
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.zpk"


@pytest.fixture
def noticed() -> Iterator[list[object]]:
    """Notes every call of an SQL function that connections know, and that even a schema without trust may call."""
    calls: list[object] = []

    def add(db: apsw.Connection) -> None:
        def note(value: object) -> object:
            calls.append(value)
            return value

        flags = apsw.SQLITE_INNOCUOUS | apsw.SQLITE_DETERMINISTIC
        db.create_scalar_function("noticed", note, 1, flags=flags)

    apsw.connection_hooks.append(add)
    yield calls
    apsw.connection_hooks.remove(add)


def forge(path: Path, *statements: str) -> None:
    """Changes a pack in ways that its tables do not allow."""

    def types(old: str, new: str) -> None:
        with closing(apsw.Connection(str(path))) as db:
            db.pragma("writable_schema", "ON")
            db.execute("UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE type = 'table'", (old, new))

    types(") STRICT", ") /*st*/")
    types("/*st*/, WITHOUT", " WITHOUT")
    with closing(apsw.Connection(str(path))) as db:
        for statement in statements:
            db.execute(statement)
    types(") /*st*/", ") STRICT")
    types(")  WITHOUT", ") STRICT, WITHOUT")


def read_all(pack: Pack) -> None:
    """Reads in all ways."""
    assert len(pack) >= 0
    list(pack)
    keys = list(pack.listing())
    for attempt in (*map(reader, keys), *map(ranges, keys)):
        with suppress(ZigguratError):
            attempt(pack)
    list(pack.entries("length > 0"))
    list(pack.stored())
    for key, data in pack.scan():
        assert data == pack[key]


def reader(key: str) -> Callable[[Pack], object]:
    return lambda pack: pack[key]


def ranges(key: str) -> Callable[[Pack], object]:
    return lambda pack: pack.read(pack.entry(key), [ByteRange(5, 200), ByteRange(0, 1)])


MORE = [
    "CREATE TRIGGER t AFTER INSERT ON image BEGIN SELECT noticed(1); END",
    "CREATE TRIGGER t AFTER INSERT ON data BEGIN DELETE FROM image; END",
    "CREATE VIEW v AS SELECT noticed(key) FROM image",
    "CREATE TABLE other (x CHECK (noticed(x)))",
    "CREATE VIRTUAL TABLE other USING fts5(x)",
    'CREATE INDEX "attribute survey" ON attribute(noticed(survey))',
    'CREATE INDEX "attribute survey" ON attribute("survey") WHERE noticed(survey)',
    "CREATE INDEX i ON kind(format)",
    "ALTER TABLE attribute ADD COLUMN g TEXT AS (noticed(survey))",
    "ALTER TABLE attribute ADD COLUMN g TEXT DEFAULT 'x'",
    "ALTER TABLE image ADD COLUMN more TEXT",
    "DROP TABLE coarse; CREATE VIEW coarse AS SELECT id, NULL AS spans, noticed(bytes) AS bytes FROM data",
    "DROP TABLE attribute; CREATE VIEW attribute AS SELECT noticed(id) AS id FROM data",
    "DROP TABLE attribute; CREATE VIRTUAL TABLE attribute USING fts5(survey)",
    "DROP TABLE attribute; CREATE TABLE attribute (id INTEGER PRIMARY KEY, a TEXT CHECK (noticed(a))) STRICT",
    "DROP TABLE data",
    "DROP TABLE image; " + TABLES["image"].replace(" NOT NULL", ""),
    "PRAGMA user_version = 2",
    "PRAGMA application_id = 7",
]  # fmt: skip


@pytest.mark.parametrize("sql", MORE)
def test_what_is_not_exactly_a_pack_is_refused_and_nothing_of_it_runs(
    path: Path, noticed: list[object], sql: str
) -> None:
    make_pack(path, 5)
    with closing(apsw.Connection(str(path))) as db:
        db.execute(sql)
    noticed.clear()
    before = path.read_bytes()
    with pytest.raises(SourceRefused, match=r"no pack|no whole pack|of version 2"):
        Pack(path)
    with pytest.raises(SourceRefused, match=r"no pack|no whole pack|of version 2"):
        PackWriter(path)
    assert not noticed
    assert path.read_bytes() == before
    assert sorted(item.name for item in path.parent.iterdir()) == ["a.zpk", "a.zpk.files"]


KEY = "folder 0/00000.jpg"
ROWS = [
    "UPDATE image SET length = -1",
    "UPDATE image SET length = 'many'",
    "UPDATE image SET length = 1.5",
    "UPDATE image SET length = x'00'",
    "UPDATE image SET length = 1 << 62",
    "UPDATE image SET length = length + 1",
    "UPDATE image SET length = length - 1",
    "UPDATE image SET length = 0",
    "UPDATE image SET kind = 999",
    "UPDATE image SET kind = 'x'",
    "UPDATE image SET id = 'x'",
    "UPDATE image SET id = 4000",
    "UPDATE image SET sha256 = '../../../../../../../etc/passwd'",
    "UPDATE image SET sha256 = '../../../../../../../etc/passwd'; UPDATE data SET bytes = NULL",
    "UPDATE image SET sha256 = x'2e2e'; UPDATE data SET bytes = NULL",
    "UPDATE image SET sha256 = zeroblob(9000000)",
    "UPDATE kind SET head = zeroblob(50000000)",
    "UPDATE kind SET head = 'text'",
    "UPDATE kind SET format = hex(zeroblob(9000000))",
    "UPDATE kind SET height = 'x', width = x'00', bands = 1.5",
    "UPDATE data SET bytes = CAST(bytes AS TEXT)",
    "UPDATE data SET bytes = 5",
    "UPDATE data SET bytes = zeroblob(50000000)",
    "UPDATE data SET bytes = x''",
    "UPDATE coarse SET bytes = x''",
    "UPDATE coarse SET bytes = 'text', spans = 'text'",
    "DELETE FROM data; DELETE FROM coarse",
    "UPDATE image SET key = CAST(x'fffe' || key AS TEXT)",
    "UPDATE image SET key = key || hex(zeroblob(5000000))",
    "UPDATE image SET key = CAST(key AS BLOB)",
]  # fmt: skip


@pytest.mark.parametrize("sql", ROWS)
def test_rows_that_make_no_sense_are_an_error_with_a_name(path: Path, sql: str) -> None:
    images = make_pack(path, 9)
    forge(path, sql)
    refused = 0
    with Pack(path) as pack:
        with suppress(ZigguratError):
            read_all(pack)
        for key, data in images.items():
            parts = [data[5:200], data[:1]]
            for attempt, right in ((reader(key), data), (ranges(key), parts)):
                try:
                    found = attempt(pack)
                except (ZigguratError, KeyError):
                    refused += 1
                else:
                    assert found == right
    # A word that is too long is none, and no image is the worse for it.
    assert refused or "SET format" in sql


def u64(*numbers: int) -> str:
    return "x'" + b"".join(number.to_bytes(8, "little") for number in numbers).hex() + "'"


@pytest.mark.parametrize("spans", [
    u64(40, 70, 60, 80), u64(100, 130, 40, 60), u64(40, 60, 90000, 90030), u64(60, 40, 100, 170),
    u64(40, 40, 100, 150), u64(40, 60, 100, 129), u64(0, 1 << 63, 100, 130), u64((1 << 64) - 10, 40, 0, 0), "x'00'",
    "'text'", "zeroblob(16000000)", "NULL", "x''", u64(*[40, 41] * 50),
])  # fmt: skip
def test_coarse_pieces_that_are_not_in_order_inside_the_image_are_refused(path: Path, spans: str) -> None:
    images = make_pack(path, 3)
    key = "folder 2/00002.jpg"
    path.unlink()
    data = image_of(2)
    with PackWriter(path) as writer:
        writer.put(packable(key, data, spans=((40, 60), (100, 130))))
    with Pack(path) as pack:
        assert pack[key] == data
    forge(path, f"UPDATE coarse SET spans = {spans}")  # noqa: S608 - hostile on purpose
    with Pack(path) as pack:
        if spans == "NULL":
            # It means what lies right behind the head: all bytes are there, in another order.
            assert len(pack[key]) == len(images[key]) or len(pack[key]) == len(data)
            return
        with pytest.raises(SourceRefused, match="has not exactly its 2000 bytes"):
            pack[key]
        with pytest.raises(SourceRefused, match="has not exactly its 2000 bytes"):
            pack.read(pack.entry(key), [ByteRange(0, 10)])


@pytest.mark.parametrize("key", ["../../up.jpg", "/absolute.jpg", "C:\\x.jpg", "line\nbreak", "nul\0.jpg", ".", "!"])
def test_keys_that_lead_elsewhere_are_only_names(path: Path, key: str) -> None:
    with PackWriter(path) as writer:
        writer.put(packable("a", image_of(1)))
    with closing(apsw.Connection(str(path))) as db:
        db.execute("UPDATE image SET key = ?", (key,))
    with Pack(path) as pack:
        assert list(pack) == [key]
        assert pack[key] == image_of(1)
    with PackWriter(path) as writer:
        assert writer.remove(key)


def test_columns_of_any_name_are_columns(path: Path) -> None:
    names = ['"; DROP TABLE image; --', "'", "select", "ä ö", "\u202e", "a" * 900, "x)", "bytes"]
    columns = tuple(Column(name, "TEXT") for name in names)
    image = packable("k", image_of(1), **dict.fromkeys(names, "said"))
    with PackWriter(path, columns=columns[:3]) as writer:
        writer.add_columns(columns)
        writer.index_columns(names)
        writer.put(image)
    with Pack(path) as pack:
        assert [column.name for column in pack.columns] == names
        assert [entry.attributes for entry in pack.entries()] == [dict.fromkeys(names, "said")]
    with PackWriter(path) as writer, pytest.raises(WriteError, match="too many columns"):
        writer.add_columns([Column(f"c{number}", "TEXT") for number in range(2000)])
    with PackWriter(path) as writer:
        assert [column.name for column in writer.columns] == names or len(writer.columns) < 2000


@pytest.mark.parametrize("page", [512, 1024, 4096, 32768])
def test_a_pack_of_any_page_size_is_read(path: Path, page: int) -> None:
    images = make_pack(path)
    with closing(apsw.Connection(str(path))) as db:
        db.pragma("page_size", page)
        db.execute("VACUUM")
    with Pack(path) as pack:
        assert dict(pack) == images


def test_bytes_reserved_in_pages_do_not_matter(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as db:
        db.pragma("page_size", 4096)
        assert db.reserve_bytes(reserve=32) == 32
        for sql in (*TABLES.values(), attribute_table(COLUMNS)):
            db.execute(sql)
        db.pragma("application_id", 0x5A475031)
        db.pragma("user_version", 1)
    images = make_pack(path)
    assert path.read_bytes()[20] == 32
    with Pack(path) as pack:
        assert dict(pack) == images


def test_text_in_another_encoding_is_refused(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as db:
        db.pragma("encoding", "UTF-16le")
        for sql in (*TABLES.values(), attribute_table(())):
            db.execute(sql)
        db.pragma("application_id", 0x5A475031)
        db.pragma("user_version", 1)
    with pytest.raises(SourceRefused, match="not UTF-8"):
        Pack(path)


def endless(path: Path, table: str) -> None:
    """Makes the pages of a table's tree point to each other: billions of rows on a few pages."""
    with closing(apsw.Connection(str(path))) as db:
        page = db.pragma("page_size")
        root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()[0]
    data = bytearray(path.read_bytes())
    first = bytes(data[(root - 1) * page : root * page])
    assert first[0] in {2, 5}, "its root is a leaf"
    cells = [int.from_bytes(first[12 + 2 * cell :][:2]) for cell in range(int.from_bytes(first[3:5]))]
    child = int.from_bytes(first[cells[0] :][:4])
    for depth in range(8):
        changed = bytearray(first)
        for at in (8, *cells):
            changed[at : at + 4] = child.to_bytes(4)
        if depth == 7:
            data[(root - 1) * page : root * page] = changed
        else:
            data += changed
            child = len(data) // page
    data[28:32] = (len(data) // page).to_bytes(4)
    path.write_bytes(data)


def test_pages_that_make_endless_rows_end_in_an_error(path: Path) -> None:
    make_pack(path, 400)
    with closing(apsw.Connection(str(path))) as db:
        db.pragma("page_size", 512)
        db.execute("VACUUM")
    endless(path, "image")
    start = time.process_time()
    with Pack(path) as pack:
        with pytest.raises(TimedOut, match="takes far too long"):
            len(pack)
        with pytest.raises((TimedOut, SourceRefused)):
            list(pack.listing())
        with pytest.raises((TimedOut, SourceRefused)):
            list(pack.entries("length < 0"))
        with pytest.raises(TimedOut):
            list(pack)
    assert time.process_time() - start < 30


def test_attributes_that_fill_memory_come_a_few_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ziggurat.pack.entry.MOST_TEXT", 100)
    make_pack(path, 20)
    with closing(apsw.Connection(str(path))) as db:
        db.execute("UPDATE attribute SET survey = hex(zeroblob(100))")
    with Pack(path) as pack:
        with pack.snapshot() as db:
            assert len(pack._tables.entries(db, None, None)) == 1
        assert len(list(pack.entries())) == 20


@pytest.mark.parametrize("listed", ["-5", "x", "9" * 5000, "9" * 17, "0x10", "", " 5"])
def test_what_a_pack_says_of_its_order_does_not_have_to_be_true(path: Path, listed: str) -> None:
    images = make_pack(path, 5)
    with PackWriter(path) as writer:
        writer.say("listed", listed)
    with web_server(lambda _: path.read_bytes()) as url, Pack(f"{url}/a.zpk") as pack:
        assert pack[KEY] == images[KEY]
        assert 0 <= pack._tables.listed <= 1 << 29  # type: ignore[attr-defined]


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [
    make_fifo, make_device, make_folder, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"SQLite"),
    lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(84)), lambda path: path.write_bytes(b"x" * 70000),
    lambda path: path.write_bytes(bytes(70000)), lambda path: path.symlink_to(path),
])  # fmt: skip
def test_what_is_no_database_is_refused_at_once(path: Path, make: Callable[[Path], object]) -> None:
    make(path)
    with pytest.raises(SourceRefused):
        Pack(path)
    with pytest.raises(SourceError):
        open_source(f"pack:{path}!key")
    empty = path.is_file() and not path.stat().st_size
    if not empty:
        with pytest.raises((WriteError, SourceRefused)):
            PackWriter(path)


@pytest.mark.parametrize("url", [
    "pack:pack:a.zpk!k", "pack:" * 3000 + "a!k", "pack:pack:a.zpk%21b!k", "pack:!k", "pack:a.zpk\0!k",
    "pack:/dev/zero!k",
    "pack:pack:!k", "pack:nothing.zpk!k", "pack:memory:x!k", "pack:ftp://h/x!k", "pack:.!k", "pack:\udcff!k",
    "pack:" + "x" * 5000 + "!k", "pack:/dev/stdin!k", "pack:file:///etc/passwd!root",
])  # fmt: skip
def test_urls_that_lead_nowhere_are_refused_at_once(url: str) -> None:
    with pytest.raises((SourceError, UsageError)):
        open_source(url)


def test_truncated_packs_are_refused_or_read_as_far_as_they_go(path: Path) -> None:
    images = make_pack(path, 20)
    with closing(apsw.Connection(str(path))) as db:
        db.pragma("page_size", 1024)
        db.execute("VACUUM")
    whole = path.read_bytes()
    for size in (*range(0, 4000, 333), *range(0, len(whole), len(whole) // 40)):
        path.write_bytes(whole[:size])
        with suppress(ZigguratError), Pack(path) as pack:
            for key in pack.listing():
                with suppress(ZigguratError):
                    assert pack[key] == images[key]


CHILD = """
import os, sys
from ziggurat.errors import SourceChanged
from ziggurat.pack import Pack
path, key = sys.argv[1:]
pack = Pack(path)
data = pack[key]
before = open(path, "rb").read()
os.truncate(path, 0)
try:
    pack[key]
except SourceChanged as error:
    print("emptied" in str(error))
open(path, "wb").write(before)
print(pack[key] == data)
"""


def test_a_pack_that_is_emptied_while_it_is_open_is_an_error_and_no_crash(path: Path) -> None:
    make_pack(path, 5)
    done = subprocess.run([sys.executable, "-c", CHILD, path, KEY], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


class web_server:  # noqa: N801 - used like a function
    """A web server whose bytes are made anew for every request."""

    def __init__(
        self, data: Callable[[int], bytes], *, claims: int = 0, tag: Callable[[int], str] = lambda _: "1"
    ) -> None:
        requests = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                nonlocal requests
                requests += 1
                held = data(requests)
                first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
                piece = held[int(first) : int(last) + 1]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{int(first) + len(piece) - 1}/{claims or len(held)}")
                self.send_header("ETag", f'"{tag(requests)}"')
                self.send_header("Content-Length", str(len(piece)))
                self.end_headers()
                self.wfile.write(piece)

            def do_HEAD(self) -> None:
                self.send_response(200)
                self.send_header("ETag", f'"{tag(requests)}"')
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Content-Length", str(claims or len(data(requests))))
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.parametrize("factor", [0.5, 0.99, 1.5, 1000])
def test_a_server_that_lies_about_the_size_gives_an_error(path: Path, factor: float) -> None:
    make_pack(path, 200)
    data = path.read_bytes()
    claims = int(len(data) * factor)
    with web_server(lambda _: data, claims=claims) as url, suppress(ZigguratError), Pack(f"{url}/a.zpk") as pack:
        read_all(pack)


def test_a_pack_that_changes_between_two_reads_gives_an_error(path: Path) -> None:
    images = make_pack(path, 1000)
    data = path.read_bytes()
    changed = bytearray(data)
    for at in range(70_000, len(data), 1000):
        changed[at] ^= 255
    tags = {"now": "1"}
    server = web_server(lambda _: data if tags["now"] == "1" else bytes(changed), tag=lambda _: tags["now"])
    with server as url, Pack(f"{url}/a.zpk") as pack:
        assert pack[KEY] == images[KEY]
        tags["now"] = "2"
        found = {}
        with pytest.raises(SourceChanged):
            found |= {key: pack[key] for key in images}
        assert not found
