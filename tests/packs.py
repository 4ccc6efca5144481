"""What tests of packs share: small packs, and a look at whether one is whole."""

import hashlib
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import apsw

from ziggurat.pack import Pack
from ziggurat.pack.entry import Kind
from ziggurat.pack.packed import Spans
from ziggurat.pack.schema import Column
from ziggurat.pack.writer import Packable, PackWriter

HEAD = b"what all of them begin with"
SPANS = ((40, 60), (100, 130))
COLUMNS = (Column("survey", "TEXT"), Column('magnitude "r"', "REAL"))


def image_of(number: int, length: int = 2000) -> bytes:
    """The bytes of an image, no two alike."""
    return random.Random(number).randbytes(length)


def packable(key: str, data: bytes, *, head: bytes = b"", spans: Spans = (), **attributes: str | float) -> Packable:
    """An image on its way into a pack."""
    assert data.startswith(head)
    kind = Kind("jpeg", 64, 64, 3, "uint8", head)
    digest = hashlib.sha256(data).digest()
    return Packable(key, kind, data[len(head) :], len(data), digest, attributes, spans)


def make_pack(path: Path, count: int = 30, *, page: int | None = None) -> dict[str, bytes]:
    """Writes a pack with images of every way to lie in one, and returns them by key."""
    if page is not None:
        with closing(apsw.Connection(str(path))) as db:
            db.pragma("page_size", page)
            db.pragma("user_version", 0)
    images: dict[str, bytes] = {}
    with PackWriter(path, columns=COLUMNS, beside_over=100_000) as writer:
        for number in range(count):
            key = f"folder {number % 3}/{number:05}.jpg"
            form = number % 4
            head = HEAD if form == 1 else b""
            data = head + image_of(number, 150_000 if number == count - 1 else 1000 + 37 * number)
            spans = SPANS if form == 2 else ((0, 300),) if form == 3 else ()
            image = packable(key, data, head=head, spans=spans, survey="SDSS", **{'magnitude "r"': number / 7})
            writer.put(image)
            images[key] = data
    return images


def check_whole(path: Path, images: dict[str, bytes]) -> None:
    """Proves that a pack is sound and holds exactly these images."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with Pack(path) as pack:
        assert list(pack.listing()) == sorted(images)
        assert len(pack) == len(images)
        for entry in pack.entries():
            data = pack[entry.key]
            assert hashlib.sha256(data).digest() == entry.sha256, entry.key
            assert data == images[entry.key]
    assert not os.path.lexists(f"{path}-lock")
