"""Packs by the command line: from everywhere into one file, and out of it again, byte for byte."""

import csv
import functools
import hashlib
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from jobs import collection, encoded, files, finish, manifest, picture, start, write_image, ziggurat
from s3_server import NEEDS_S3, S3Server
from ziggurat import open as open_image
from ziggurat.pack import Pack
from ziggurat.pack.coarse import small_level
from ziggurat.pack.writer import PackWriter

INLINE = ("--workers", "0")
"""A few small images need no other process."""

DRIVER = Path(__file__).with_name("batch_driver.py")


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files(folder)}


def packed(pack: object, *, table: object = None) -> dict[str, bytes]:
    with Pack(str(pack), table=table) as opened:
        return dict(opened)


def attributes(pack: object) -> dict[str, dict[str, object]]:
    with Pack(str(pack)) as opened:
        return {entry.key: dict(entry.attributes) for entry in opened.entries()}


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Images of several formats in folders."""
    folder = collection(tmp_path / "scans", 5, ".jpg")
    for name in ("b/page one.png", "b/c/ü.webp", "map.tif", "scan.jp2"):
        write_image(folder / name, picture(seed=len(name)))
    return folder


@pytest.fixture
def pack(scans: Path, tmp_path: Path) -> Path:
    """Those images with attributes: a name, a number, a fraction, and an ID that only looks like a number."""
    lines = [f"{name},M {n},{n},{n / 4},00{n}" for n, name in enumerate(sorted(files(scans)))]
    table = manifest(tmp_path / "said.csv", ["key,object,plate,seeing,code", *lines])
    path = tmp_path / "scans.zpk"
    result = ziggurat("pack", scans, path, "--attributes", table, "--index", "plate", *INLINE)
    assert result.code == 0, result.said
    return path


# -- into a pack ----------------------------------------------------------------------------------------------------


def test_a_folder_becomes_a_pack_and_the_same_folder_again(scans: Path, pack: Path, tmp_path: Path) -> None:
    assert packed(pack) == content(scans)
    result = ziggurat("unpack", pack, tmp_path / "out")
    assert (result.code, "9 images" in result.out) == (0, True), result.said
    assert content(tmp_path / "out") == content(scans)


def test_what_it_came_to_is_said(scans: Path, tmp_path: Path) -> None:
    result = ziggurat("pack", scans, tmp_path / "a.zpk")
    assert result.code == 0, result.said
    assert "9 images, " in result.out
    assert "images/s" in result.out
    assert f"{tmp_path / 'a.zpk'}: 9 images, " in result.out
    assert " %)" in result.out


def test_a_pack_that_is_finished_is_not_made_again(scans: Path, pack: Path) -> None:
    before = pack.read_bytes()
    result = ziggurat("pack", scans, pack)
    assert (result.code, "`ziggurat add`" in result.err) == (1, True)
    assert pack.read_bytes() == before


def test_what_is_no_image_is_left_out_and_listed(scans: Path, tmp_path: Path) -> None:
    (scans / "notes.txt").write_text("no image")
    for number in range(12):
        (scans / f"x{number}.dat").write_bytes(b"no image either")
    result = ziggurat("pack", scans, tmp_path / "a.zpk", "--failed", tmp_path / "left.csv", *INLINE)
    assert result.code == 3
    assert "13 files were left out" in result.err
    assert "notes.txt: UnknownFormat" in result.err
    assert "and 3 more; all are in" in result.err
    with (tmp_path / "left.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 13
    assert {Path(row["source"]).suffix for row in rows} == {".txt", ".dat"}
    result = ziggurat("pack", scans, tmp_path / "b.zpk", "--keep-unreadable", *INLINE)
    assert result.code == 0, result.said
    assert packed(tmp_path / "b.zpk") == content(scans)


def test_of_different_images_with_one_key_the_first_is_packed_and_the_other_reported(tmp_path: Path) -> None:
    one, two = collection(tmp_path / "one", 3), tmp_path / "two"
    shutil.copytree(one, two)
    write_image(two / "a01.png", seed=77)
    result = ziggurat("pack", one, two, tmp_path / "a.zpk", *INLINE)
    assert result.code == 3
    assert "another image 'a01.png'" in result.err
    assert "2 were there already" in result.out
    assert packed(tmp_path / "a.zpk") == content(one)


def test_sources_of_all_kinds_go_into_one_pack(scans: Path, pack: Path, tmp_path: Path) -> None:
    single = write_image(tmp_path / "single.png", seed=9)
    more = collection(tmp_path / "more", 2)
    out = tmp_path / "all.zpk"
    result = ziggurat("pack", single, f"{more}/*.png", pack, out, *INLINE)
    assert result.code == 0, result.said
    assert packed(out) == content(scans) | content(more) | {"single.png": single.read_bytes()}
    assert attributes(out)["single.png"]["plate"] is None
    assert attributes(out)["map.tif"] == attributes(pack)["map.tif"]


def test_a_manifest_gives_keys_and_typed_attributes(scans: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((scans / "a01.jpg").read_bytes()).hexdigest()
    lines = [
        "path,key,object,ra,number,width,sum",
        f"scans/a01.jpg,one.jpg,NGC 1,10.5,7,wide,{digest}",
        f"scans/map.tif,maps/two.tif,,-3,8,narrow,{'0' * 64}",
        "scans/scan.jp2,three.jp2,NGC 3,,007,,",
    ]
    table = manifest(tmp_path / "list.csv", lines)
    out = tmp_path / "a.zpk"
    result = ziggurat("pack", table, out, "--columns", "source=path,name=key,checksum=sum", *INLINE)
    assert result.code == 3
    assert "map.tif: its SHA-256 is" in result.err
    assert packed(out) == {"one.jpg": (scans / "a01.jpg").read_bytes(), "three.jp2": (scans / "scan.jp2").read_bytes()}
    assert attributes(out) == {
        "one.jpg": {"object": "NGC 1", "ra": 10.5, "number": "7", "width_": "wide"},
        "three.jp2": {"object": "NGC 3", "ra": None, "number": "007", "width_": None},
    }


def test_attributes_have_the_types_of_what_is_said_and_no_digit_is_lost(pack: Path) -> None:
    with closing(sqlite3.connect(pack)) as db:
        columns = {name: kind for _, name, kind, *_ in db.execute("PRAGMA table_info(attribute)")}
        indexes = db.execute("SELECT name FROM sqlite_schema WHERE type = 'index'").fetchall()
    assert columns == {"id": "INTEGER", "object": "TEXT", "plate": "INTEGER", "seeing": "REAL", "code": "TEXT"}
    assert indexes == [("attribute plate",)]
    assert attributes(pack)["a01.jpg"] == {"object": "M 1", "plate": 1, "seeing": 0.25, "code": "001"}


def test_attributes_of_images_that_are_not_there_are_told_of(scans: Path, tmp_path: Path) -> None:
    table = manifest(tmp_path / "said.csv", ["name,tag", "map.tif,x", "nowhere.tif,y"])
    result = ziggurat("pack", scans, tmp_path / "a.zpk", "--attributes", table, *INLINE)
    assert (result.code, "1 image that the pack does not have, such as nowhere.tif" in result.err) == (0, True)
    assert attributes(tmp_path / "a.zpk")["map.tif"] == {"tag": "x"}


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
def test_a_tar_file_becomes_a_pack(scans: Path, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"scans{ending}"
    with tarfile.open(path, "w:gz" if ending.endswith("gz") else "w") as tar:
        tar.add(scans, ".")
    result = ziggurat("pack", path, tmp_path / "a.zpk", *INLINE)
    assert result.code == 0, result.said
    assert packed(tmp_path / "a.zpk") == content(scans)


def test_a_tar_file_of_samples_gives_attributes_and_one_that_leaves_its_folder_packs_nothing(tmp_path: Path) -> None:
    image = encoded(picture(), ".png")
    members = {"t/one.png": image, "t/one.cls": b"7", "t/one.json": b'{"ra": 1.5, "deep": [1]}', "../two.png": image}
    path = tmp_path / "samples.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    result = ziggurat("pack", path, tmp_path / "a.zpk", *INLINE)
    assert (result.code, "../two.png" in result.err) == (3, True)
    assert attributes(tmp_path / "a.zpk") == {"t/one.png": {"cls": 7, "ra": 1.5, "deep": "[1]"}}


def test_a_pack_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    scans = tmp_path / "in"
    for number in range(600):
        write_image(scans / f"{number:03}.png", picture(40, 50, seed=number))
    out = tmp_path / "a.zpk"
    process = start("pack", scans, out, "--workers", "1", driver=DRIVER)
    while process.poll() is None and not (out.exists() and out.stat().st_size > 1 << 20):
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert process.returncode == -9
    assert ziggurat("verify", out).code == 0
    before = len(packed(out))
    assert 0 < before < 600
    result = ziggurat("pack", scans, out, *INLINE)
    assert result.code == 0, result.said
    assert f"{600 - before} images, " in result.out
    assert f"{before} were there already" in result.out
    assert packed(out) == content(scans)
    assert ziggurat("pack", scans, out).code == 1


def test_one_that_was_stopped_goes_on_and_reads_what_it_has_only_once(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.zpk"
    assert ziggurat("pack", scans, out, *INLINE).code == 0
    with PackWriter(out) as writer:
        writer.say("state", "unfinished")
        writer.remove("map.tif")
    other = tmp_path / "other"
    other.mkdir()
    swapped = bytearray((scans / "scan.jp2").read_bytes())
    swapped[-100] ^= 1
    (other / "scan.jp2").write_bytes(swapped)
    result = ziggurat("pack", scans, other, out, *INLINE)
    assert "1 image, " in result.out
    assert "8 were there already" in result.out
    assert (result.code, "another image 'scan.jp2'" in result.err) == (3, True), result.said
    assert packed(out) == content(scans)


def test_ctrl_c_stops_after_the_images_in_hand(tmp_path: Path) -> None:
    scans = tmp_path / "in"
    image = encoded(picture(), ".png")
    scans.mkdir()
    for number in range(3000):
        (scans / f"{number:04}.png").write_bytes(image + bytes([number % 256]))
    out = tmp_path / "a.zpk"
    process = start("pack", scans, out, *INLINE, driver=DRIVER)
    while process.poll() is None and not (out.exists() and out.stat().st_size > 1 << 20):
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.code == 130, result.said
    assert result.err == "interrupted; the same command goes on\n"
    assert ziggurat("pack", scans, out, *INLINE).code == 0
    assert packed(out) == content(scans)


def test_large_images_lie_beside_the_pack(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.zpk"
    assert ziggurat("pack", scans, out, "--beside-over", "10k", *INLINE).code == 0
    beside = files(tmp_path / "a.zpk.files")
    assert {Path(name).name for name in beside} == {
        hashlib.sha256(data).hexdigest() for data in content(scans).values() if len(data) > 10240
    }
    assert packed(out) == content(scans)
    assert ziggurat("verify", out).code == 0
    assert ziggurat("rm", out, "map.tif").code == 0
    assert files(tmp_path / "a.zpk.files") == beside
    assert ziggurat("rm", out, "--compact").code == 0
    assert len(files(tmp_path / "a.zpk.files")) == len(beside) - 1


def test_images_are_laid_by_resolution_and_stay_what_they_are(tmp_path: Path) -> None:
    scan = write_image(tmp_path / "in" / "scan.jp2", picture(1100, 900))
    write_image(tmp_path / "in" / "a.png")
    out = tmp_path / "a.zpk"
    assert ziggurat("pack", tmp_path / "in", out, "--by-resolution", *INLINE).code == 0
    assert packed(out)["scan.jp2"] == scan.read_bytes()
    assert ziggurat("split", out, tmp_path / "part.zpk", "--max-size", "9M").code == 0
    for path in (out, tmp_path / "part-000.zpk"):
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("SELECT count(*) FROM coarse").fetchone() == (1,)
    # A small picture needs nothing of the rest, whatever stands there.
    with open_image(str(scan)) as image:
        level = small_level(image)
        expected = image.read(level)
    with closing(sqlite3.connect(out)) as db:
        db.execute("UPDATE data SET bytes = zeroblob(length(bytes)) WHERE id = (SELECT id FROM coarse)")
        db.commit()
    with Pack(out) as pack, pack.image("scan.jp2") as image:
        assert np.array_equal(image.read(level), expected)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["pack", "scans"], 2, "give at least one source"),
        (["pack", "scans", "out"], 2, ".zpk"),
        (["pack", "scans", "s3://bucket/out.zpk"], 2, "on a disk"),
        (["pack", "nowhere", "out.zpk"], 1, "nowhere"),
        (["pack", "scans", "nowhere", "out.zpk"], 1, "nowhere"),
        (["pack", "scans", "out.zpk", "--columns", "item=x"], 2, "ROLE=COLUMN"),
        (["pack", "scans", "out.zpk", "--table", "t"], 2, "all three"),
        (["pack", "scans", "out.zpk", "--beside-over", "much"], 2, "amount"),
        (["add", "scans", "out.zpk"], 1, "`ziggurat pack`"),
        (["rm", "out.zpk"], 2, "--where"),
        (["rm", "out.zpk", "a"], 1, "out.zpk is not there"),
        (["ls", "out.zpk"], 1, "out.zpk"),
        (["get", "out.zpk", "a", "b"], 1, "out.zpk"),
        (["unpack", "out.zpk", "b"], 1, "out.zpk"),
        (["merge", "scans", "out.zpk"], 2, "is no pack"),
        (["split", "scans.zpk", "out-{00}-{00}.zpk", "--max-size", "1M"], 2, "2 places"),
        (["split", "scans.zpk", "out.zpk", "--max-size", "x"], 2, "amount"),
        (["export", "scans.zpk", "out", "--to", "zip"], 2, "zip"),
        (["verify", "out.zpk"], 1, "out.zpk"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_changes_nothing_and_is_explained(
    pack: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, said: str
) -> None:
    monkeypatch.chdir(pack.parent)
    before = files(pack.parent)
    result = ziggurat(*arguments)
    assert (result.code, said in result.err) == (code, True), result.said
    assert "Traceback" not in result.err
    assert files(pack.parent) == before


# -- in a pack ------------------------------------------------------------------------------------------------------


def test_images_are_added_and_replaced(scans: Path, pack: Path, tmp_path: Path) -> None:
    more = collection(tmp_path / "more", 2)
    shutil.copy(scans / "map.tif", more)
    assert ziggurat("add", more, pack, *INLINE).code == 0
    assert packed(pack) == content(scans) | content(more)
    write_image(more / "map.tif", seed=5)
    result = ziggurat("add", more, pack, *INLINE)
    assert (result.code, "another image 'map.tif'" in result.err) == (3, True)
    assert packed(pack)["map.tif"] == (scans / "map.tif").read_bytes()
    assert ziggurat("add", more, pack, "--replace", "--compact", *INLINE).code == 0
    assert packed(pack) == content(scans) | content(more)


def test_images_are_removed_by_key_and_by_what_is_said_of_them(pack: Path) -> None:
    result = ziggurat("rm", pack, "map.tif", "scan.jp2", "nothing")
    assert result.code == 3
    assert "2 images removed" in result.out
    assert "has no image nothing" in result.err
    result = ziggurat("rm", pack, "--where", "plate >= 3", "--compact")
    assert (result.code, "4 images removed" in result.out) == (0, True), result.said
    assert list(packed(pack)) == ["a00.jpg", "a01.jpg", "a02.jpg"]
    assert ziggurat("verify", pack).code == 0


def test_images_are_listed_all_or_those_that_are_asked_for(scans: Path, pack: Path) -> None:
    assert ziggurat("ls", pack).out.splitlines() == sorted(files(scans))
    assert ziggurat("ls", pack, "--count").out == "9\n"
    assert ziggurat("ls", pack, "--count", "--where", "format = 'jpeg'").out == "5\n"
    assert ziggurat("ls", pack, "--where", "seeing > 1 AND object = 'M 5'").out == "b/c/ü.webp\n"
    long = ziggurat("ls", pack, "--long", "--where", "key = 'map.tif'").out
    assert "tiff" in long
    assert "64 x 96 x 3 uint8" in long
    assert "map.tif  object=M 7  plate=7  seeing=1.75  code=007" in long
    lines = [json.loads(line) for line in ziggurat("ls", pack, "--json").out.splitlines()]
    assert {line["key"]: line["sha256"] for line in lines} == {
        name: hashlib.sha256(data).hexdigest() for name, data in content(scans).items()
    }
    assert lines[1]["attributes"] == {"object": "M 1", "plate": 1, "seeing": 0.25, "code": "001"}
    wrong = ziggurat("ls", pack, "--where", "colour = 1")
    assert (wrong.code, "no such column: colour" in wrong.err) == (1, True)


def test_a_million_keys_are_listed_as_fast_as_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "many.zpk"
    PackWriter(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO kind VALUES (1, 'jpeg', 64, 64, 3, 'uint8', x'')")
        db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) "
            "INSERT INTO image SELECT printf('folder/image-%07d.jpg', i), i, 1, 3, zeroblob(32) FROM n"
        )
    began = time.process_time()
    assert ziggurat("ls", path).out.count("\n") == 100_000
    assert time.process_time() - began < 4


def test_one_image_is_taken_out(scans: Path, pack: Path, tmp_path: Path) -> None:
    expected = (scans / "b/c/ü.webp").read_bytes()
    assert ziggurat("get", pack, "b/c/ü.webp", tmp_path / "x.webp").code == 0
    assert (tmp_path / "x.webp").read_bytes() == expected
    again = ziggurat("get", pack, "map.tif", tmp_path / "x.webp")
    assert (again.code, "--overwrite" in again.err) == (1, True)
    assert ziggurat("get", pack, "map.tif", tmp_path / "x.webp", "--overwrite").code == 0
    for out in ([], ["-"]):
        command = [sys.executable, "-m", "ziggurat", "get", str(pack), "b/c/ü.webp", *out]
        assert subprocess.run(command, check=True, capture_output=True).stdout == expected
    missing = ziggurat("get", pack, "nothing", tmp_path / "y")
    assert (missing.code, "`ziggurat ls`" in missing.err) == (1, True)


def test_plain_sqlite_gives_the_bytes_as_the_documentation_says(scans: Path, pack: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "packs.md").read_text(encoding="utf-8")
    [query] = re.findall(r"```sql\n(.*?);\n```", text, re.DOTALL)
    [code] = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "import sqlite3" in block]
    with closing(sqlite3.connect(pack)) as db:
        for key, data in content(scans).items():
            assert db.execute(query.replace("'a.jpg'", "?"), (key,)).fetchone() == (data,)
    names: dict[str, object] = {}
    exec(code.replace("scans.zpk", str(pack)).replace("plates/0007.jp2", "scan.jp2"), names)  # noqa: S102 - our own page
    assert names["data"] == (scans / "scan.jp2").read_bytes()


# -- out of a pack --------------------------------------------------------------------------------------------------


def test_unpacking_goes_on_and_replaces_nothing_unless_told(scans: Path, pack: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert ziggurat("unpack", pack, out, "--where", "plate < 5").code == 0
    assert len(files(out)) == 5
    (out / "a01.jpg").write_bytes(b"somebody's own")
    result = ziggurat("unpack", pack, out)
    assert (result.code, "a01.jpg: TargetExists" in result.err) == (3, True)
    assert "4 were there already" in result.out
    assert content(out) == content(scans) | {"a01.jpg": b"somebody's own"}
    assert ziggurat("unpack", pack, out, "--overwrite").code == 0
    assert content(out) == content(scans)


def test_keys_that_leave_the_folder_are_not_unpacked(pack: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(pack)) as db, db:
        db.execute("UPDATE image SET key = '../evil.jpg' WHERE key = 'a00.jpg'")
    result = ziggurat("unpack", pack, tmp_path / "deep" / "out")
    assert (result.code, "TargetRefused" in result.err) == (3, True)
    assert not (tmp_path / "deep" / "evil.jpg").exists()


def test_damage_is_found_by_key_and_the_rest_is_still_read(scans: Path, pack: Path, tmp_path: Path) -> None:
    assert ziggurat("verify", pack).out == "9 images read, 9 as recorded, 0 not\n"
    data = bytearray(pack.read_bytes())
    at = data.index((scans / "map.tif").read_bytes()[2000:2040])
    data[at] ^= 1
    pack.write_bytes(data)
    result = ziggurat("verify", pack)
    assert result.code == 3
    assert "map.tif: " in result.err
    assert "9 images read, 8 as recorded, 1 not" in result.out
    told = [json.loads(line) for line in ziggurat("verify", pack, "--json").out.splitlines()]
    assert [line["key"] for line in told if line["problem"]] == ["map.tif"]
    parts = [ziggurat("verify", pack, "--subset", f"{part}/2") for part in (1, 2)]
    assert sorted(part.code for part in parts) == [0, 3]
    assert ziggurat("unpack", pack, tmp_path / "out").code == 3
    expected = content(scans)
    del expected["map.tif"]
    assert content(tmp_path / "out") == expected
    assert ziggurat("get", pack, "map.tif", tmp_path / "x").code == 1
    assert not (tmp_path / "x").exists()
    assert ziggurat("merge", pack, tmp_path / "m.zpk").code == 3
    assert packed(tmp_path / "m.zpk") == expected


def test_a_list_that_cannot_be_read_is_read_from_both_ends(tmp_path: Path) -> None:
    path = tmp_path / "many.zpk"
    PackWriter(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        page = db.execute("PRAGMA page_size").fetchone()[0]
        db.execute("INSERT INTO kind VALUES (1, 'jpeg', 64, 64, 3, 'uint8', x'')")
        db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) "
            "INSERT INTO image SELECT printf('%07d', i), i, 1, 1, zeroblob(32) FROM n"
        )
        db.execute("INSERT INTO data SELECT id, x'00' FROM image")
        db.execute("UPDATE image SET sha256 = x'6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d'")
    data = bytearray(path.read_bytes())
    at = data.index(b"0002500") // page * page
    data[at : at + 8] = b"\xff" * 8
    path.write_bytes(data)
    result = ziggurat("verify", path, "--json")
    told = [json.loads(line) for line in result.out.splitlines()]
    keys = [line["key"] for line in told if line["key"] is not None]
    assert result.code == 3
    assert keys[0] == "0000001"
    assert "0005000" in keys
    assert "0002500" not in keys
    assert any("cannot be read between" in line["problem"] for line in told if line["problem"])


def test_packs_are_merged_and_split_with_what_is_said_of_their_images(pack: Path, tmp_path: Path) -> None:
    more = collection(tmp_path / "more", 40)
    assert ziggurat("add", more, pack, *INLINE).code == 0
    expected, said = packed(pack), attributes(pack)
    most = sum(map(len, expected.values())) // 3 + (1 << 20)
    split = ziggurat("split", pack, tmp_path / "part-{00}.zpk", "--max-size", most)
    assert split.code == 0, split.said
    parts = sorted(tmp_path.glob("part-*.zpk"))
    assert len(parts) > 1 or most > pack.stat().st_size
    assert all(part.stat().st_size <= most for part in parts)
    with closing(sqlite3.connect(parts[0])) as db:
        assert db.execute("SELECT name FROM sqlite_schema WHERE type = 'index'").fetchall() == [("attribute plate",)]
    assert ziggurat("split", pack, tmp_path / "part-{00}.zpk", "--max-size", most).code == 1
    merged = ziggurat("merge", *parts, tmp_path / "merged.zpk")
    assert merged.code == 0, merged.said
    assert packed(tmp_path / "merged.zpk") == expected
    assert attributes(tmp_path / "merged.zpk") == said


def test_splitting_goes_on_where_it_stopped(pack: Path, tmp_path: Path) -> None:
    expected = packed(pack)
    assert ziggurat("split", pack, tmp_path / "part.zpk", "--max-size", "1k").code == 0
    parts = sorted(tmp_path.glob("part-*.zpk"))
    assert len(parts) == len(expected)
    for part in parts[:4]:
        with PackWriter(part) as writer:
            writer.say("state", "full")
    for part in parts[4:]:
        part.unlink()
    assert ziggurat("split", pack, tmp_path / "part.zpk", "--max-size", "1k").code == 0
    assert sorted(tmp_path.glob("part-*.zpk")) == parts
    assert {key: data for part in parts for key, data in packed(part).items()} == expected


def test_a_webdataset_has_one_sample_an_image_and_leads_back_to_the_pack(
    scans: Path, pack: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "odd"
    for name in ("b/x.1.png", "b/x.2.png", "same.png", "same.webp", "bare"):
        path = write_image(odd / f"{name.replace('bare', 'bare.png')}", seed=len(name))
    (odd / "bare.png").rename(odd / "bare")
    assert path.parent == odd
    assert ziggurat("add", odd, pack, *INLINE).code == 0
    result = ziggurat("export", pack, tmp_path / "train", "--to", "webdataset", "--max-size", "60k")
    assert result.code == 0, result.said
    shards = sorted(tmp_path.glob("train-*.tar"))
    assert [shard.name for shard in shards] == [f"train-{number:06}.tar" for number in range(len(shards))]
    assert len(shards) > 2
    assert all(shard.stat().st_size <= 60 << 10 for shard in shards)
    names = []
    for shard in shards:
        with tarfile.open(shard) as tar:
            names += tar.getnames()
    assert all(name.rpartition("/")[2].count(".") == 1 for name in names)
    assert len(set(names)) == len(names) == 2 * 14
    result = ziggurat("pack", *shards, tmp_path / "back.zpk", *INLINE)
    assert result.code == 0, result.said
    assert packed(tmp_path / "back.zpk") == packed(pack) == content(scans) | content(odd)
    assert attributes(tmp_path / "back.zpk") == attributes(pack)
    assert ziggurat("export", pack, tmp_path / "train", "--to", "webdataset").code == 1


def test_a_folder_is_exported_with_a_table_that_packs_it_again(scans: Path, pack: Path, tmp_path: Path) -> None:
    assert ziggurat("export", pack, tmp_path / "out", "--to", "folder").code == 0
    assert content(tmp_path / "out") == content(scans)
    back = tmp_path / "back.zpk"
    assert ziggurat("pack", tmp_path / "out", back, "--attributes", tmp_path / "out.csv", *INLINE).code == 0
    assert packed(back) == packed(pack)
    assert attributes(back) == attributes(pack)


def test_the_index_as_parquet_has_a_row_an_image(scans: Path, pack: Path, tmp_path: Path) -> None:
    out = tmp_path / "index.parquet"
    assert ziggurat("export", pack, out, "--to", "parquet-index", "--where", "format <> 'png'").code == 0
    table = pyarrow.parquet.read_table(out)
    assert table.schema.names == [
        "key", "format", "height", "width", "bands", "dtype", "length", "sha256", "object", "plate", "seeing", "code"
    ]  # fmt: skip
    assert [str(table.schema.field(name).type) for name in ("plate", "seeing", "code")] == ["int64", "double", "string"]
    rows = {row["key"]: row for row in table.to_pylist()}
    assert set(rows) == {name for name in files(scans) if not name.endswith(".png")}
    assert rows["map.tif"] | {"sha256": ""} == {
        "key": "map.tif", "format": "tiff", "height": 64, "width": 96, "bands": 3, "dtype": "uint8", "sha256": "",
        "length": (scans / "map.tif").stat().st_size, "object": "M 7", "plate": 7, "seeing": 1.75, "code": "007",
    }  # fmt: skip


# -- databases and stores -------------------------------------------------------------------------------------------


@pytest.fixture
def database(scans: Path, tmp_path: Path) -> Path:
    """What somebody has: images in a table, with numbers for keys."""
    path = tmp_path / "images.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE Images(ObjId INT, img BLOB, size INT)")
        for number, data in enumerate(content(scans).values(), 587722952230174996):
            db.execute("INSERT INTO Images VALUES (?, ?, ?)", (number, data, len(data)))
    return path


TABLE = ("--table", "Images", "--key", "ObjId", "--blob", "img")


def test_databases_that_are_there_are_read_in_place(scans: Path, database: Path, tmp_path: Path) -> None:
    before = database.read_bytes()
    expected = sorted(content(scans).values())
    assert ziggurat("ls", database, *TABLE, "--count").out == "9\n"
    largest = max(map(len, expected))
    [key] = ziggurat("ls", database, *TABLE, "--where", f"size = {largest}").out.split()
    assert ziggurat("get", database, key, tmp_path / "x", *TABLE).code == 0
    assert (tmp_path / "x").stat().st_size == largest
    assert ziggurat("unpack", database, tmp_path / "out", *TABLE).code == 0
    assert sorted(content(tmp_path / "out").values()) == expected
    assert ziggurat("pack", database, tmp_path / "a.zpk", *TABLE, *INLINE).code == 0
    assert sorted(packed(tmp_path / "a.zpk").values()) == expected
    assert attributes(tmp_path / "a.zpk")[key] == {"size": largest}
    assert ziggurat("export", database, tmp_path / "s", "--to", "webdataset", *TABLE).code == 0
    assert ziggurat("pack", tmp_path / "s-000000.tar", tmp_path / "b.zpk", *INLINE).code == 0
    assert packed(tmp_path / "b.zpk") == packed(tmp_path / "a.zpk")
    assert database.read_bytes() == before
    plain = ziggurat("ls", database)
    assert (plain.code, "--table" in plain.err) == (1, True)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server that knows no byte ranges is none for packs; this one does."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            data = (tmp_path / self.path.lstrip("/")).read_bytes()
            first, last = (int(part) for part in self.headers["Range"].removeprefix("bytes=").split("-"))
            part = data[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(part)))
            self.send_header("ETag", '"1"')
            self.end_headers()
            self.wfile.write(part)

        def log_message(self, *_arguments: object) -> None:
            """Nothing is said."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_pack_on_a_web_server_is_read_in_place(scans: Path, pack: Path, web: str, tmp_path: Path) -> None:
    url = f"{web}/{pack.name}"
    assert ziggurat("ls", url).out.splitlines() == sorted(files(scans))
    assert ziggurat("verify", url).out == "9 images read, 9 as recorded, 0 not\n"
    assert ziggurat("unpack", url, tmp_path / "out").code == 0
    assert content(tmp_path / "out") == content(scans)


class TestInAStore:
    pytestmark = NEEDS_S3

    def test_images_come_from_a_store_and_go_to_it(
        self, s3: S3Server, scans: Path, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in s3.env.items():
            monkeypatch.setenv(name, value)
        bucket = s3.make_bucket(f"pack-{uuid.uuid4().hex[:10]}")
        place = f"s3://{bucket}"
        assert ziggurat("unpack", pack, f"{place}/out").code == 0
        listed = s3.client.list_objects_v2(Bucket=bucket, Prefix="out/")["Contents"]
        assert {entry["Key"].removeprefix("out/") for entry in listed} == files(scans)
        again = ziggurat("unpack", pack, f"{place}/out")
        assert (again.code, "9 were there already" in again.out) == (0, True), again.said
        assert ziggurat("pack", f"{place}/out", tmp_path / "back.zpk", "--workers", "1").code == 0
        assert packed(tmp_path / "back.zpk") == content(scans)
        s3.client.upload_file(str(pack), bucket, "scans.zpk")
        url = f"{place}/scans.zpk"
        assert ziggurat("ls", url, "--where", "plate = 7").out == "map.tif\n"
        assert ziggurat("verify", url).code == 0
        assert ziggurat("merge", url, tmp_path / "merged.zpk").code == 0
        assert attributes(tmp_path / "merged.zpk") == attributes(pack)
        assert ziggurat("export", url, f"{place}/train", "--to", "webdataset").code == 0
        assert ziggurat("pack", f"{place}/train-000000.tar", tmp_path / "tar.zpk", *INLINE).code == 0
        assert packed(tmp_path / "tar.zpk") == content(scans)
        assert ziggurat("get", url, "map.tif", f"{place}/one.tif").code == 0
        body = s3.client.get_object(Bucket=bucket, Key="one.tif")["Body"].read()
        assert body == (scans / "map.tif").read_bytes()


def test_as_user_without_a_terminal_progress_is_json_lines_if_asked(scans: Path, tmp_path: Path) -> None:
    (scans / "notes.txt").write_text("no image")
    result = finish(start("pack", scans, tmp_path / "a.zpk", *INLINE, "--log-format", "json"))
    events = [json.loads(line) for line in result.err.splitlines()]
    assert [event["event"] for event in events] == ["left out", "end"]
    assert events[-1]["images"] == 9
    assert events[-1]["left_out"] == 1
    assert os.fspath(scans / "notes.txt") == events[0]["source"]
