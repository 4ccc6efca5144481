import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

import ziggurat as package
from jobs import ziggurat
from ziggurat.cli import passing
from ziggurat.pyramid import halve

PIXELS = np.random.default_rng(5).integers(0, 255, (1400, 700, 3), np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZIGGURAT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def strips(tmp_path: Path) -> Path:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", rowsperstrip=8)
    return path


def test_levels_are_kept_in_the_cache_and_found_by_info(strips: Path, cache: Path) -> None:
    result = ziggurat("overview", str(strips))
    assert result.code == 0, result.err
    (kept,) = cache.glob("??/*")
    assert result.out.startswith(f"{kept}: 2 levels of {strips}")
    facts = json.loads(ziggurat("info", "--json", str(strips)).out)
    assert facts["overview"] == str(kept)
    assert [level["made"] for level in facts["levels"]] == [False, True, True]
    assert "1: 700 x 350, made" in ziggurat("info", str(strips)).out
    assert ziggurat("overview", str(strips)).out == result.out


def test_levels_beside_an_image_are_used_and_replaced_only_when_asked(strips: Path, cache: Path) -> None:
    assert ziggurat("overview", "--beside", str(strips)).code == 0
    beside = strips.with_name("a.tif.ovr")
    assert sorted(path.name for path in strips.parent.iterdir()) == ["a.tif", "a.tif.ovr"]
    assert not cache.exists()
    before = beside.stat().st_mtime_ns
    assert "is there already" in ziggurat("overview", "--beside", str(strips)).out
    assert beside.stat().st_mtime_ns == before
    os.utime(strips, ns=(5, 5))
    refused = ziggurat("overview", "--beside", str(strips))
    assert refused.code == 1
    assert "--overwrite" in refused.err
    assert ziggurat("overview", "--beside", "--overwrite", str(strips)).code == 0
    with package.open(str(strips)) as image:
        assert image.overview == beside
        np.testing.assert_array_equal(image.read(1), halve(PIXELS))


def test_out_names_the_file(strips: Path, tmp_path: Path) -> None:
    assert ziggurat("overview", str(strips), "--out", str(tmp_path / "levels.tif")).code == 0
    with package.open(str(tmp_path / "levels.tif")) as image:
        np.testing.assert_array_equal(image.read(0), halve(PIXELS))
    assert ziggurat("overview", str(strips), "--out", str(tmp_path / "levels.tif")).code == 1


def test_an_image_that_has_all_levels_is_left_alone(tmp_path: Path, cache: Path) -> None:
    tifffile.imwrite(tmp_path / "small.tif", PIXELS[:100, :100], photometric="rgb")
    result = ziggurat("overview", str(tmp_path / "small.tif"))
    assert result.code == 0
    assert "has all its levels" in result.out
    assert not cache.exists()


def test_one_image_that_cannot_be_read_does_not_stop_the_others(strips: Path, tmp_path: Path) -> None:
    result = ziggurat("overview", str(tmp_path / "missing.tif"), str(strips))
    assert result.code == 1
    assert "missing.tif" in result.err
    assert "2 levels" in result.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "at least one"),
        (["a.tif", "b.tif", "--out", "c.ovr"], "single"),
        (["a.tif", "--beside", "--out", "c.ovr"], "--beside"),
        (["s3://bucket/a.tif", "--beside"], "not local"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], said: str) -> None:
    result = ziggurat("overview", *arguments)
    assert result.code == 2
    assert said in result.err


def test_without_a_cache_it_says_what_to_do(strips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZIGGURAT_CACHE_SIZE", "0")
    result = ziggurat("overview", str(strips))
    assert result.code == 2
    assert "--beside" in result.err


def test_read_writes_a_made_level(strips: Path, tmp_path: Path) -> None:
    out = tmp_path / "level.npy"
    assert ziggurat("read", str(strips), str(out), "--level", "2", "--window", "10,20,30,40").code == 0
    np.testing.assert_array_equal(np.load(out), halve(halve(PIXELS))[10:30, 20:40])


def test_read_says_that_levels_beside_the_image_are_not_used(strips: Path, tmp_path: Path) -> None:
    assert ziggurat("overview", "--beside", str(strips)).code == 0
    os.utime(strips, ns=(5, 5))
    result = ziggurat("read", str(strips), str(tmp_path / "level.npy"), "--level", "1")
    assert result.code == 0
    assert "a.tif.ovr was made before its image was last changed" in result.err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_on_a_terminal_and_a_line_a_minute_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 100.0, 100.1, 200.0])
    monkeypatch.setattr(passing.time, "monotonic", lambda: next(clock))
    for stream in (plain := io.StringIO(), terminal := Terminal()):
        clock = iter([0.0, 100.0, 100.1, 200.0])
        with passing.shown("a.tif", stream) as progress:
            for done in (10_000_000, 11_000_000, 20_000_000):
                progress(done, 40_000_000)
    assert plain.getvalue() == (
        "a.tif: 25% read, 0.100 MP/s, about 5 min 00 s left\na.tif: 50% read, 0.100 MP/s, about 3 min 20 s left\n"
    )
    assert "\n" not in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_doctor_says_where_the_cache_is_and_how_large(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZIGGURAT_CACHE_SIZE", "3G")
    assert f"at most 3.0 GiB in {cache}" in ziggurat("doctor").out
    monkeypatch.setenv("ZIGGURAT_CACHE_SIZE", "0")
    assert "cache: none" in ziggurat("doctor").out
    monkeypatch.setenv("ZIGGURAT_CACHE_SIZE", "much")
    result = ziggurat("doctor")
    assert result.code == 1
    assert "ZIGGURAT_CACHE_SIZE" in result.out
