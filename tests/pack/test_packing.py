"""Images that are put in together are put in as each by itself would be."""

import os
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from packs import COLUMNS, HEAD, check_whole, image_of, packable
from ziggurat.errors import WriteError
from ziggurat.pack import Pack
from ziggurat.pack.gather import gather
from ziggurat.pack.packing import SMALL, Choices, _small_files, pack_images
from ziggurat.pack.writer import PackWriter
from ziggurat.testing.sources import BytesSource

IMAGES = {f"a/{number:02}": HEAD + image_of(number) for number in range(40)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.zpk"


def test_they_are_there_with_what_is_said_of_them(path: Path) -> None:
    with PackWriter(path, columns=COLUMNS) as writer:
        some = [packable(key, data, head=HEAD, survey=key) for key, data in IMAGES.items()]
        assert writer.put_new(some[:20])
        assert writer.put_new([image._replace(attributes={}) for image in some[20:]])
        assert writer.put_new([])
    check_whole(path, IMAGES)
    with Pack(path) as pack:
        assert [entry.key for entry in pack.entries("survey = key")] == list(IMAGES)[:20]
        assert list(pack) == list(IMAGES)


@pytest.mark.parametrize("what", ["taken", "twice", "no key", "large", "source", "parts"])
def test_one_that_needs_more_keeps_all_out_and_nothing_of_them_stays(path: Path, what: str) -> None:
    some = [packable(key, data, head=HEAD) for key, data in IMAGES.items()]
    odd = {
        "taken": packable("b", image_of(99)),
        "twice": some[3],
        "no key": packable("a/../b", image_of(98)),
        "large": packable("c", image_of(97, 9000)),
        "source": packable("c", image_of(97))._replace(rest=BytesSource(image_of(97))),
        "parts": packable("c", image_of(97), spans=((30, 50),)),
    }[what]
    with PackWriter(path, beside_over=8000) as writer:
        writer.put(packable("b", image_of(96)))
        assert not writer.put_new([*some, odd])
        assert writer.totals() == (1, 2000)
        assert writer.put_new(some)
    check_whole(path, {"b": image_of(96), **IMAGES})


def test_of_values_that_no_column_holds_the_image_is_told(path: Path) -> None:
    with PackWriter(path, columns=COLUMNS) as writer:
        wrong = packable("k", image_of(1), **{'magnitude "r"': "bright"})
        assert not writer.put_new([packable("j", image_of(2)), wrong])
        with pytest.raises(WriteError):
            writer.put(wrong)


def test_small_files_are_read_whole_from_memory_and_from_the_disk(tmp_path: Path) -> None:
    images = {f"{number}": image_of(number, length) for number, length in enumerate([0, 1, 4095, 4097, 90_000, SMALL])}
    for name, data in images.items():
        (tmp_path / name).write_bytes(data)
        with (tmp_path / name).open("rb+") as file:
            os.fsync(file.fileno())
            if int(name) % 2:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    (tmp_path / "large").write_bytes(bytes(SMALL + 1))
    os.mkfifo(tmp_path / "pipe")
    for _ in range(2):
        assert list(_small_files([str(tmp_path / name) for name in images])) == list(images.values())
    odd = [str(tmp_path / name) for name in ("large", "pipe", "none", "")]
    assert list(_small_files(odd)) == [None] * 4


def test_images_that_cannot_be_packed_do_not_keep_others_out(tmp_path: Path, path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    picture = imagecodecs.jpeg8_encode(np.zeros((8, 8), np.uint8))
    files = {f"{number:03}.jpg": picture + image_of(number, 50) for number in range(300)}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "100.txt").write_text("no image")
    (folder / "101.").write_bytes(picture)
    with PackWriter(path) as writer:
        writer.put(packable("200.jpg", b"another image"))
        writer.put(packable("201.jpg", files["201.jpg"]))
        outcome = pack_images(writer, gather(str(folder)).images, Choices(processes=1))
    assert sorted(Path(place).name for place, _ in outcome.left) == ["100.txt", "101.", "200.jpg"]
    assert (outcome.packed, outcome.there) == (298, 1)
    check_whole(path, files | {"200.jpg": b"another image"})
