from pathlib import Path

import imagecodecs
import numpy as np
import pytest

import ziggurat
from jobs import picture
from jobs import ziggurat as command
from ziggurat.testing.sources import CountingSource


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "scan.j2k"
    path.write_bytes(imagecodecs.jpeg2k_encode(picture(700, 900), level=0, codecformat="j2k", resolutions=5))
    return path


def requests(path: Path, **options: object) -> int:
    with ziggurat.open(str(path), **options) as opened:
        windows = opened._reader._windows
        windows._source = counting = CountingSource(windows._source)
        opened.read(1, (10, 10, 90, 120))
        return counting.requests


def test_an_index_is_kept_in_the_cache_and_used(image: Path) -> None:
    assert requests(image, cache=False) > 1
    result = command("index", image)
    assert result.code == 0, result.said
    assert "kept in the cache" in result.out
    assert requests(image) == 1


def test_an_index_beside_the_image_is_found_and_is_not_written_over(image: Path) -> None:
    beside = image.with_name("scan.j2k.zgi")
    assert command("index", image, "--beside").code == 0
    assert beside.read_bytes()[:3] == b"ZGI"
    assert requests(image) == 1
    again = command("index", image, "--beside")
    assert again.code == 1
    assert "TargetExists" in again.err
    assert command("index", image, "--beside", "--overwrite").code == 0


def test_an_index_of_a_changed_image_is_not_used_and_one_that_was_named_is_refused(image: Path, tmp_path: Path) -> None:
    index = tmp_path / "other" / "place.zgi"
    assert command("index", image, "--out", index).code == 0
    assert requests(image, index=str(index), cache=False) == 1
    image.write_bytes(imagecodecs.jpeg2k_encode(picture(700, 901), level=0, codecformat="j2k", resolutions=5))
    result = command("read", image, tmp_path / "a.npy", "--index", index)
    assert result.code == 1
    assert "make it anew" in result.err
    assert command("read", image, tmp_path / "a.npy", "--level", "2").code == 0
    assert np.load(tmp_path / "a.npy").shape == (175, 226, 3)


def test_several_images_are_done_although_one_of_them_cannot(image: Path, tmp_path: Path) -> None:
    png = tmp_path / "small.png"
    png.write_bytes(imagecodecs.png_encode(picture(40, 50)))
    result = command("index", png, image)
    assert result.code == 1
    assert "needs no index" in result.err
    assert "scan.j2k: kept" in result.out
    assert command("index").code == 2
    assert command("index", image, png, "--out", tmp_path / "x").code == 2
    assert command("index", "s3://bucket/scan.jp2", "--beside").code == 2
