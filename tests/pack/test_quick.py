"""Images read one after another inside a snapshot are those that are there, whichever way they are read."""

from pathlib import Path
from random import Random

import pytest

from packs import HEAD, image_of, make_pack, packable
from ziggurat.pack import Pack, quick
from ziggurat.pack.writer import PackWriter

COUNT = 200


@pytest.fixture(scope="module")
def images() -> dict[str, bytes]:
    return {f"{number:03}": (HEAD if number % 2 else b"") + image_of(number, 1900) for number in range(COUNT)}


@pytest.fixture
def path(tmp_path: Path, images: dict[str, bytes]) -> Path:
    path = tmp_path / "a.zpk"
    with PackWriter(path) as writer:
        for key, data in images.items():
            writer.put(packable(key, data, head=HEAD if data.startswith(HEAD) else b""))
    return path


@pytest.mark.parametrize("seconds", [0.0, 6e-5, 1e9], ids=["disk", "as it comes", "memory"])
def test_images_are_the_same_from_memory_and_from_a_disk(
    path: Path, images: dict[str, bytes], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick, "SLOW", seconds)
    keys = Random(1).choices(list(images), k=3 * COUNT)
    with Pack(path) as pack:
        for _ in range(2):
            with pack.snapshot() as db:
                assert [pack[key] for key in keys] == [images[key] for key in keys]
                if seconds != 6e-5:
                    assert bool(db.pragma("mmap_size")) is bool(seconds)
                with pytest.raises(KeyError):
                    pack["none"]
            assert pack.batch(keys) == [images[key] for key in keys]


def test_a_disk_that_gets_fast_is_noticed(
    path: Path, images: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Pack(path) as pack, pack.snapshot() as db:
        for limit, mapped in [(0.0, False), (1e9, True), (0.0, False)]:
            monkeypatch.setattr(quick, "SLOW", limit)
            assert all(pack[key] == images[key] for key in list(images)[: 2 * quick.SURE])
            assert bool(db.pragma("mmap_size")) is mapped


def test_a_snapshot_ends_for_who_writes(path: Path, images: dict[str, bytes]) -> None:
    with Pack(path) as pack:
        with pack.snapshot():
            assert pack["001"] == images["001"]
        with PackWriter(path) as writer:
            writer.remove("001")
            writer.put(packable("001", b"another"))
            writer.compact()
        with pack.snapshot():
            assert pack["001"] == b"another"
            assert pack["002"] == images["002"]


def test_what_lies_in_other_ways_is_read_in_between(tmp_path: Path, path: Path, images: dict[str, bytes]) -> None:
    with Pack(path) as pack:
        with PackWriter(path, beside_over=5000) as writer:
            writer.put(packable("beside", image_of(1, 6000)))
            writer.put(packable("parts", image_of(2), spans=((40, 60),)))
            writer.put(packable("empty", b""))
        others = images | {"beside": image_of(1, 6000), "parts": image_of(2), "empty": b""}
        with pack.snapshot():
            for key in ["000", "beside", "001", "parts", "002", "empty", "003", "none", "004"]:
                assert pack.get(key) == others.get(key)
    whole = make_pack(tmp_path / "b.zpk")
    with Pack(tmp_path / "b.zpk") as pack, pack.snapshot():
        assert {key: pack[key] for key in whole} == whole
