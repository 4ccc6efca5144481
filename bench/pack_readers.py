"""Readers of a million small images in every form that ``bench/pack.py`` compares: one measurement a process.

Called as ``pack_readers.py FORM PLACE HOW COUNT SEED``: prints JSON with the seconds that it took, images and bytes.
"""

import json
import os
import sqlite3
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import lmdb
import webdataset

from ziggurat.pack import Pack

HELD = ExitStack()
"""What stays open until the process ends."""

type Opened = tuple[Callable[[str], bytes], Callable[[], Iterator[bytes]], Callable[[], int]]
"""What gets one image by its key, all of them in order, and counts the keys by listing them."""


def key_of(number: int) -> str:
    """The key of an image: its path below the folder."""
    return f"{number // 1000:04d}/{number:07d}.jpg"


def files(place: Path) -> Opened:
    """A folder with folders of a thousand files."""
    root = str(place)

    def get(key: str) -> bytes:
        with open(f"{root}/{key}", "rb", buffering=0) as file:  # noqa: PTH123 - as fast as it gets
            return file.read()

    def paths() -> Iterator[str]:
        for folder in sorted(os.listdir(root)):  # noqa: PTH208 - as above
            for name in sorted(os.listdir(f"{root}/{folder}")):  # noqa: PTH208 - as above
                yield f"{folder}/{name}"

    return get, lambda: map(get, paths()), lambda: sum(1 for _ in paths())


def pack(place: Path) -> Opened:
    """A pack. Reads share one snapshot, as LMDB's share one transaction."""
    opened = Pack(place)
    HELD.enter_context(opened.snapshot())
    return opened.__getitem__, lambda: (data for _, data in opened.scan()), lambda: sum(1 for _ in opened.listing())


def lightning(place: Path) -> Opened:
    """LMDB."""
    transaction = lmdb.open(str(place), readonly=True, subdir=False, lock=False, readahead=False).begin()

    def get(key: str) -> bytes:
        return bytes(transaction.get(key.encode()))

    def scan() -> Iterator[bytes]:
        return (value for _, value in transaction.cursor())

    return get, scan, lambda: sum(1 for _ in transaction.cursor().iternext(keys=True, values=False))


def tar(place: Path) -> Opened:
    """WebDataset: a tar file. It has no random reads: here by an index of offsets that the bench made."""
    index = {member["name"]: (member["at"], member["size"]) for member in json.loads(Path(f"{place}.json").read_text())}
    file = os.open(place, os.O_RDONLY)

    def get(key: str) -> bytes:
        at, size = index[key]
        return os.pread(file, size, at)

    def scan() -> Iterator[bytes]:
        for sample in webdataset.WebDataset(str(place), shardshuffle=False):
            yield sample["jpg"]

    def count() -> int:
        with tarfile.open(place) as members:
            return sum(1 for _ in members)

    return get, scan, count


def script(place: Path) -> Opened:
    """The script's table, which has no index of keys: looking for one reads all rows in front of it."""
    db = sqlite3.connect(f"file:{place}?mode=ro", uri=True)

    def get(key: str) -> bytes:
        number = int(key[-11:-4])
        return bytes(db.execute("SELECT img FROM Images WHERE ObjId = ?", (number,)).fetchone()[0])

    def scan() -> Iterator[bytes]:
        return (row[0] for row in db.execute("SELECT img FROM Images"))

    return get, scan, lambda: sum(1 for _ in db.execute("SELECT ObjId FROM Images"))


FORMS: dict[str, Callable[[Path], Opened]] = {
    "files": files,
    "pack": pack,
    "lmdb": lightning,
    "tar": tar,
    "script": script,
}


def main() -> int:
    """One measurement."""
    form, place, how, total, count, seed = sys.argv[1], Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:7])
    keys = [key_of(Random(seed + number).randrange(total)) for number in range(count)]
    began = time.perf_counter()
    get, scan, listing = FORMS[form](place)
    opened = time.perf_counter() - began
    rounds = 2 if how == "warm" else 1
    for _ in range(rounds):
        began = time.perf_counter()
        images = size = 0
        if how == "list":
            images = listing()
        else:
            for data in map(get, keys) if how in {"warm", "cold"} else scan():
                images += 1
                size += len(data)
        seconds = time.perf_counter() - began
    print(json.dumps({"opened": opened, "seconds": seconds, "images": images, "bytes": size}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
