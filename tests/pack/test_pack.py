"""Packs as mappings: what goes in comes out, wherever it lies."""

import os
import pickle
import sqlite3
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

import ziggurat
from ziggurat.cli import run
from ziggurat.errors import SourceNotFound, SourceRefused, UsageError
from ziggurat.pack import Pack
from ziggurat.pack.gather import gather
from ziggurat.pack.packing import Choices, pack_images
from ziggurat.pack.writer import PackWriter
from ziggurat.storage.pack_url import PackPlace, Table, parse_pack
from ziggurat.storage.ranges import ByteRange

INLINE = Choices(processes=0)


def picture(number: int, size: int = 64) -> np.ndarray:
    rng = np.random.default_rng(number)
    return np.cumsum(rng.integers(0, 9, (size, size, 3)), axis=0).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty JPEGs with the same tables, and one image of every other kind."""
    place = tmp_path_factory.mktemp("images")
    (place / "a b").mkdir()
    for number in range(40):
        data = imagecodecs.jpeg8_encode(picture(number), level=85)
        (place / "a b" / f"{number:02d} ü!.jpg").write_bytes(data)
    (place / "scan.png").write_bytes(imagecodecs.png_encode(picture(50)))
    (place / "scan.jp2").write_bytes(imagecodecs.jpeg2k_encode(picture(51, 1100), level=0, codecformat="jp2"))
    (place / "note.txt").write_text("no image")
    return place


@pytest.fixture(scope="module")
def packed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packs") / "a!b.zpk"
    with PackWriter(path) as writer:
        outcome = pack_images(writer, gather(str(folder)).images, INLINE)
    assert (outcome.packed, len(outcome.left)) == (42, 1)
    assert "UnknownFormat" in outcome.left[0][1]
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".txt"
    }


def test_every_image_comes_out_as_it_went_in(folder: Path, packed: Path) -> None:
    expected = files(folder)
    with Pack(packed) as pack:
        assert len(pack) == len(expected)
        assert sorted(pack) == sorted(pack.listing()) == sorted(expected)
        assert dict(pack) == expected
        assert pack.batch(list(expected)) == list(expected.values())
        assert "scan.png" in pack
        assert "nothing" not in pack
        with pytest.raises(KeyError):
            pack["nothing"]
        with pytest.raises(SourceNotFound, match="has no image 'nothing'"):
            pack.entry("nothing")


def test_any_range_of_an_image_is_read(folder: Path, packed: Path) -> None:
    rng = np.random.default_rng(0)
    with Pack(packed) as pack:
        for key, data in files(folder).items():
            entry = pack.entry(key)
            ends = np.sort(rng.integers(0, len(data) + 1, (30, 2)), axis=1).tolist()
            ranges = [ByteRange(start, end) for start, end in ends]
            assert pack.read(entry, ranges) == [data[item.start : item.end] for item in ranges]


def test_what_images_begin_with_alike_is_kept_once(packed: Path) -> None:
    with Pack(packed) as pack:
        heads = {entry.kind.head for entry in pack.entries("format = 'jpeg'")}
        assert max(map(len, heads)) > 500
        small = [entry for entry in pack.entries("format = 'jpeg'") if entry.kind.head]
    assert len(small) == 39


def test_images_are_opened_from_a_pack_as_from_anywhere(folder: Path, packed: Path) -> None:
    url = PackPlace(str(packed)).key_url("scan.jp2")
    assert "a%21b.zpk!scan.jp2" in url
    with ziggurat.open(url) as image, ziggurat.open(str(folder / "scan.jp2")) as plain:
        assert np.array_equal(image.read(1), plain.read(1))
    with Pack(packed) as pack, pack.image("a b/03 ü!.jpg") as image:
        assert image.info.size == (64, 64)
    with pytest.raises(SourceNotFound):
        ziggurat.open(PackPlace(str(packed)).key_url("nothing"))


@pytest.mark.parametrize(
    "place", ["a.zpk", "a!b.zpk", "a%21.zpk", "%2521!%21", "s3://bucket/x y.zpk", "https://h/a%20b"]
)
@pytest.mark.parametrize("key", ["k", "a/b!c.jpg", "!", "%21", "?table=a&key=b&blob=c"])
def test_what_a_packed_image_is_called_leads_back_to_it(place: str, key: str) -> None:
    for where in (PackPlace(place), PackPlace(place, Table("a b", "k!y", "ü&="))):
        assert parse_pack(where.key_url(key)) == (where, key)


def test_conditions_choose_images(packed: Path) -> None:
    with Pack(packed) as pack:
        assert [entry.key for entry in pack.entries("width > 1000")] == ["scan.jp2"]
        assert [entry.key for entry in pack.entries("key LIKE 'scan%' AND bands = 3")] == ["scan.jp2", "scan.png"]
        with pytest.raises(SourceRefused, match="no such column"):
            list(pack.entries("colour = 1"))


def test_samples_are_the_same_for_the_same_seed(packed: Path) -> None:
    with Pack(packed) as pack:
        assert pack.sample(5, seed=1) == pack.sample(5, seed=1) != pack.sample(5, seed=2)
        assert len(set(pack.sample(1000))) == 42


def test_a_pack_goes_along_into_other_processes(packed: Path) -> None:
    with Pack(packed) as pack:
        with pickle.loads(pickle.dumps(pack)) as other:  # noqa: S301 - our own
            assert other["scan.png"] == pack["scan.png"]
        child = os.fork()
        if not child:
            os._exit(0 if len(pack["scan.png"]) and len(pack) == 42 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert len(pack["scan.png"])


def test_databases_that_are_there_already_are_read(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "images.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE Images(ObjId INT, img BLOB, size INT)")
        for number, data in enumerate(files(folder).values()):
            db.execute("INSERT INTO Images VALUES (?, ?, ?)", (number + 587722952230174996, data, len(data)))
        db.execute("INSERT INTO Images VALUES (NULL, x'00', 1), (5, NULL, 0)")
    db.close()
    expected = {str(number + 587722952230174996): data for number, data in enumerate(files(folder).values())}
    for index in (False, True):
        if index:
            with sqlite3.connect(path) as db:
                db.execute("CREATE INDEX own ON Images(ObjId)")
            db.close()
        with Pack(path, table=Table("images", "objid", "img")) as pack:
            assert dict(pack) == expected
            assert pack.read(pack.entry(next(iter(expected))), [ByteRange(3, 9)]) == [
                next(iter(expected.values()))[3:9]
            ]
            assert [entry.attributes["size"] for entry in pack.entries("size > 100000")] == [
                max(map(len, expected.values()))
            ]
            with pack.image("587722952230174996") as image:
                assert image.info.format == "jpeg"
    with pytest.raises(UsageError, match="has no table 'Img'; it has Images"):
        Pack(path, table=Table("Img", "a", "b"))
    with pytest.raises(UsageError, match="has no column 'a'"):
        Pack(path, table=Table("Images", "a", "b"))
    with pytest.raises(SourceRefused, match="--table"):
        Pack(path)


def test_another_image_of_the_same_key_needs_a_word(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.zpk"
    found = next(item for item in gather(str(folder)).images if item.key == "scan.png")
    other = gather(str(folder / "scan.jp2")).images
    with PackWriter(path) as writer:
        assert pack_images(writer, [found], INLINE).packed == 1
        assert pack_images(writer, [found], INLINE).there == 1
        changed = [type(found)("scan.png", item.url) for item in other]
        assert "has another image" in pack_images(writer, changed, INLINE).left[0][1]
        assert pack_images(writer, changed, Choices(processes=0, replace=True)).packed == 1
    with Pack(path) as pack:
        assert pack["scan.png"] == (folder / "scan.jp2").read_bytes()
        assert len(pack) == 1


def test_a_job_takes_images_out_of_a_pack_and_puts_them_into_another(packed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.zpk"
    command = ("convert", str(packed), str(out), "--to", "jpeg", "--workers", "2")
    assert run(command) == 0
    with Pack(packed) as pack, Pack(out) as outputs:
        assert len(outputs) == len(pack)
        with pack.image("scan.jp2") as source, outputs.image("scan.jp2.jpg") as output:
            assert source.info.size == output.info.size
    assert run(("verify", f"{out}.zgj")) == 0
    assert run(command) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.zpk", "out.zpk.zgj"]
