"""Reads damaged packs and databases, in a process of limited memory; prints one JSON object.

Arguments: a folder to work in, what is damaged, the first number, how many. The damage is decided by the number alone.
Not a test: what takes the process down must not take pytest with it.
"""

import collections
import hashlib
import json
import random
import resource
import signal
import sys
import time
import traceback
from contextlib import closing
from pathlib import Path

import apsw

from packs import image_of, make_pack
from ziggurat.errors import ZigguratError
from ziggurat.pack import Pack
from ziggurat.storage.pack_url import Table
from ziggurat.storage.ranges import ByteRange

MEMORY = 1 << 29
"""Bytes of address space beyond what the interpreter has when it starts."""
LONGEST = 10.0
"""Seconds of processor time for one input."""
NUMBERS = (0, 1, 2, 3, 5, 10, 13, 127, 128, 255, 4096, 65535, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
TABLE = Table("Images", "ObjId", "img")


def database(path: Path) -> None:
    """A table of images as other programs write them."""
    with closing(apsw.Connection(str(path))) as db, db:
        db.pragma("page_size", 1024)
        db.execute("CREATE TABLE Images(ObjId INT, img BLOB, size INT, survey TEXT)")
        db.execute("CREATE INDEX own ON Images(ObjId)")
        for number in range(60):
            db.execute(
                "INSERT INTO Images VALUES (?, ?, 5, 'SDSS')", (number * 1000, image_of(number, 100 + 77 * number))
            )


def pack(path: Path) -> None:
    """A pack of small pages, so that damage often hits those that hold the tree together."""
    make_pack(path, 80)
    with closing(apsw.Connection(str(path))) as db:
        db.pragma("page_size", 1024)
        db.execute("VACUUM")


def damaged(base: bytes, rng: random.Random) -> bytes:
    """Bytes, numbers or whole pages, mostly where a page's structure is."""
    data, page = bytearray(base), 1024
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        start = rng.randrange(len(data) // page) * page
        kind = rng.random()
        if kind < 0.35:
            data[start + rng.randrange(16)] = rng.choice((0, 1, 2, 5, 10, 13, 255, rng.randrange(256)))
        elif kind < 0.5:
            at = rng.randrange(len(data))
            data[at] ^= 1 << rng.randrange(8)
        elif kind < 0.65:
            at, size = start + rng.choice((0, 2, 3, 5, 8, 12, 14, 100, rng.randrange(1000))), rng.choice((1, 2, 4))
            data[at : at + size] = (rng.choice(NUMBERS) % (1 << 8 * size)).to_bytes(size)
        elif kind < 0.75:
            at = start + rng.randrange(page)
            end = min(len(data), at + rng.choice((4, 100, page, 5 * page)))
            data[at:end] = bytes(end - at)
        elif kind < 0.85:
            other = rng.randrange(len(data) // page) * page
            data[start : start + page] = data[other : other + page]
        elif kind < 0.95:
            at = rng.randrange(100)
            data[at] = rng.randrange(256)
        else:
            del data[rng.randrange(len(data)) :]
            data += bytes(max(0, 2048 - len(data)))
    return bytes(data)


def read_all(path: Path, table: Table | None, found: collections.Counter[str], rng: random.Random) -> None:
    with Pack(path, table=table) as pack:
        found["opened"] += 1
        keys: list[str] = []
        for attempt in (
            lambda: len(pack),
            lambda: keys.extend(pack.listing()),
            lambda: list(pack),
            lambda: list(pack.scan()),
            lambda: list(pack.stored()),
            lambda: list(pack.entries("length > 500" if table is None else "size > 1")),
        ):
            try:
                attempt()
            except ZigguratError as error:
                found[type(error).__name__] += 1
        for key in rng.sample(keys, min(20, len(keys))):
            try:
                entry, data = pack.entry(key), pack[key]
                assert len(data) == entry.length, f"{key} has {len(data)} bytes, not {entry.length}"
                start = rng.randrange(len(data) + 1)
                end = rng.randrange(start, len(data) + 1)
                part = pack.read(entry, [ByteRange(start, end)])[0]
                assert len(part) == end - start, f"{key}: {len(part)} bytes, not {end - start}"
                # Damaged pages may lead elsewhere on the way to the middle of an image than to all of it.
                found["same part" if part == data[start:end] else "another part"] += 1
                found["whole" if hashlib.sha256(data).digest() == entry.sha256 else "damaged bytes"] += 1
            except KeyError:
                found["KeyError"] += 1
            except ZigguratError as error:
                found[type(error).__name__] += 1


def main() -> None:
    folder, what, first, count = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:5])
    table = TABLE if what == "database" else None
    path = folder / f"{what}-{first}.zpk"
    (pack if table is None else database)(path)
    base = path.read_bytes()
    before = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (before + MEMORY, before + MEMORY))
    found: collections.Counter[str] = collections.Counter()
    failures: list[tuple[int, str]] = []
    slowest = (0.0, -1)
    for number in range(first, first + count):
        rng = random.Random(f"{what} {number}")
        # A new file for each: one that is open is not to be written into.
        path.unlink()
        path.write_bytes(damaged(base, rng))
        print(json.dumps(number), flush=True)  # noqa: T201 - how it answers
        signal.alarm(60)
        start = time.process_time()
        try:
            read_all(path, table, found, rng)
        except ZigguratError as error:
            found[type(error).__name__] += 1
        except Exception:  # noqa: BLE001 - that is what is looked for
            failures.append((number, traceback.format_exc(limit=-4)))
        signal.alarm(0)
        slowest = max(slowest, (time.process_time() - start, number))
    print(json.dumps({"found": found, "failures": failures[:5], "failed": len(failures), "slowest": slowest}))  # noqa: T201 - as above


if __name__ == "__main__":
    main()
