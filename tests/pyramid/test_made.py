import os
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

import ziggurat
from ziggurat.errors import CorruptImage, SourceChanged
from ziggurat.geometry import Size, Window
from ziggurat.image import Image, open_image
from ziggurat.model import Samples
from ziggurat.pyramid import blocks, halve, lacking, made, overview
from ziggurat.storage import file_cache
from ziggurat.storage.cached import BLOCK, CachedSource
from ziggurat.storage.file_cache import FileCache
from ziggurat.storage.local import LocalSource
from ziggurat.testing.sources import CountingSource

type Shape = tuple[int, int]


def noise(shape: tuple[int, ...], dtype: str = "uint8") -> Samples:
    rng = np.random.default_rng(sum(shape))
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 10, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def whole(pixels: Samples) -> list[Samples]:
    """All made levels, each from the whole of the one before."""
    levels = []
    while max(pixels.shape[:2]) > lacking.SMALLEST:
        pixels = halve(pixels)
        levels.append(pixels)
    return levels


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileCache:
    monkeypatch.setenv("ZIGGURAT_CACHE", str(tmp_path / "cache"))
    return FileCache(tmp_path / "cache", limit=10 << 30)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files of levels that are written meanwhile; every read of a finer level counts as slow."""
    written: list[Path] = []
    real = overview.write_overview

    def counted(reader: object, path: Path, *rest: object, **named: object) -> None:
        written.append(path)
        real(reader, path, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(overview, "write_overview", counted)
    monkeypatch.setattr(made, "MODEST", 0)
    return written


def write_strips(path: Path, pixels: Samples, rows: int = 7, **options: object) -> Path:
    photometric = "rgb" if pixels.shape[2] in {3, 4} else "minisblack"
    tifffile.imwrite(path, pixels, photometric=photometric, planarconfig="contig", rowsperstrip=rows, **options)  # type: ignore[arg-type]
    return path


def entries(cache: FileCache) -> list[Path]:
    return list(cache.folder.glob("??/*"))


def check(image: Image, pixels: Samples) -> None:
    stored, expected = len(image.info.levels), whole(pixels)
    assert [level.shape for level in image.levels[stored:]] == [level.shape[:2] for level in expected]
    for number, level in enumerate(expected, stored):
        np.testing.assert_array_equal(image.read(number), level)


def test_made_levels_follow_those_of_the_file(tmp_path: Path) -> None:
    path = write_strips(tmp_path / "a.tif", noise((2050, 900, 3)))
    with ziggurat.open(str(path)) as image:
        assert [level.made for level in image.levels] == [False, True, True, True]
        assert [level.shape for level in image.levels] == [(2050, 900), (1025, 450), (513, 225), (257, 113)]
        assert len(image.info.levels) == 1
    with ziggurat.open(str(write_strips(tmp_path / "b.tif", noise((512, 300, 1))))) as image:
        assert image.levels == image.info.levels


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    height=st.integers(1, 140),
    width=st.integers(1, 140),
    dtype=st.sampled_from(["uint8", "int16", "float32"]),
    tile=st.sampled_from([None, (16, 32)]),
)
def test_a_window_of_a_made_level_is_that_window_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    height: int,
    width: int,
    dtype: str,
    tile: Shape | None,
) -> None:
    pixels = noise((height, width, 2), dtype)
    path = tmp_path_factory.mktemp("image") / "a.tif"
    layout = {"rowsperstrip": data.draw(st.integers(1, 50))} if tile is None else {"tile": tile}
    tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="contig", **layout)  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lacking, "SMALLEST", 5)
        patch.setattr(blocks, "BLOCK_COST", data.draw(st.sampled_from([0, 1 << 26])))
        with open_image(LocalSource(path)) as image:
            expected = whole(pixels)
            for number, level in enumerate(expected, 1):
                y0 = data.draw(st.integers(0, level.shape[0] - 1))
                x0 = data.draw(st.integers(0, level.shape[1] - 1))
                y1 = data.draw(st.integers(y0 + 1, level.shape[0]))
                x1 = data.draw(st.integers(x0 + 1, level.shape[1]))
                found = image.read(number, (y0, x0, y1, x1))
                assert found.dtype == pixels.dtype
                np.testing.assert_array_equal(found, level[y0:y1, x0:x1])


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "uint64", "float32", "float64"])
def test_levels_made_once_are_those_of_the_whole(tmp_path: Path, builds: list[Path], bands: int, dtype: str) -> None:
    pixels = noise((701, 1301, bands), dtype)
    path = write_strips(tmp_path / "a.tif", pixels)
    with ziggurat.open(str(path)) as image:
        check(image, pixels)
        assert not image.warnings
    assert len(builds) == 1


@pytest.mark.parametrize("layout", [{"rows": 1}, {"rows": 5000}, {"rows": 333, "compression": "zlib"}, {"tile": 1}])
@pytest.mark.parametrize("cost", [0, 1 << 30])
def test_every_layout_is_passed_once(
    tmp_path: Path, builds: list[Path], layout: dict[str, int], cost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_COST", cost)
    pixels = noise((1100, 2051, 3))
    if "tile" in layout:
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, pixels, photometric="rgb", tile=(240, 176))
    else:
        path = write_strips(tmp_path / "a.tif", pixels, **layout)
    told: list[tuple[int, int]] = []
    with ziggurat.open(str(path)) as image:
        assert image.build_levels(progress=lambda done, total: told.append((done, total))) == entries_of(image, builds)
        check(image, pixels)
    assert told == sorted(told)
    assert told[-1] == (1100 * 2051, 1100 * 2051)
    assert len(builds) == 1


def entries_of(image: Image, builds: list[Path]) -> Path:
    assert image.url
    (entry,) = entries(FileCache(builds[0].parents[1], limit=1))
    return entry


def test_a_png_is_decoded_once(tmp_path: Path, builds: list[Path]) -> None:
    pixels = noise((900, 700, 3))
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    with ziggurat.open(str(tmp_path / "a.png")) as image:
        check(image, pixels)
    assert len(builds) == 1


def test_the_second_process_finds_what_the_first_made(tmp_path: Path, builds: list[Path], cache: FileCache) -> None:
    pixels = noise((1400, 600, 3))
    path = write_strips(tmp_path / "a.tif", pixels)
    for _ in range(2):
        with ziggurat.open(str(path)) as image:
            check(image, pixels)
    assert len(builds) == 1
    assert len(entries(cache)) == 1
    assert not list((cache.folder / "new").iterdir())


def test_a_changed_image_is_made_anew(tmp_path: Path, builds: list[Path]) -> None:
    path = write_strips(tmp_path / "a.tif", noise((1400, 600, 3)))
    with ziggurat.open(str(path)) as image:
        image.read(1)
    pixels = noise((1400, 600, 3))[::-1]
    write_strips(path, pixels)
    os.utime(path, ns=(1, 1))
    with ziggurat.open(str(path)) as image:
        check(image, pixels)
    assert len(builds) == 2


def test_small_windows_of_small_images_make_no_file(tmp_path: Path, cache: FileCache) -> None:
    path = write_strips(tmp_path / "a.tif", noise((1400, 600, 3)))
    with ziggurat.open(str(path)) as image:
        image.read(1)
        image.thumbnail(100)
    assert not cache.folder.exists()


def test_what_is_opened_from_a_source_keeps_nothing(tmp_path: Path, builds: list[Path], cache: FileCache) -> None:
    pixels = noise((1400, 600, 3))
    with open_image(LocalSource(write_strips(tmp_path / "a.tif", pixels))) as image:
        check(image, pixels)
        assert image.build_levels() is None
    assert not builds
    assert not cache.folder.exists()


def test_without_a_cache_levels_are_computed(
    tmp_path: Path, builds: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = noise((1400, 600, 3))
    path = write_strips(tmp_path / "a.tif", pixels)
    monkeypatch.setenv("ZIGGURAT_CACHE_SIZE", "0")
    with ziggurat.open(str(path)) as image:
        check(image, pixels)
    assert not builds


@pytest.mark.parametrize("size", ["1K", "300K"])
def test_levels_that_do_not_fit_into_the_cache_are_computed_and_it_is_said(
    tmp_path: Path, builds: list[Path], monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    pixels = noise((1400, 600, 3))
    path = write_strips(tmp_path / "a.tif", pixels)
    monkeypatch.setenv("ZIGGURAT_CACHE_SIZE", size)
    with ziggurat.open(str(path)) as image:
        check(image, pixels)
        assert "ZIGGURAT_CACHE_SIZE" in image.warnings[0]
    assert len(builds) == 1


def test_levels_are_not_made_once_where_that_takes_more_memory_than_reading(
    tmp_path: Path, builds: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "decoding_threads", lambda: 1)
    pixels = noise((1400, 600, 3))
    path = write_strips(tmp_path / "a.tif", pixels)
    with ziggurat.open(str(path)) as image:
        cost = image.read_cost(1)
    with ziggurat.open(str(path), memory=cost - 1) as image:
        assert image.read_cost(1) < cost
        check(image, pixels)
    assert not builds


@pytest.mark.parametrize("packed", [False, True])
def test_coarse_windows_of_a_local_file_are_computed_until_making_would_have_paid(
    tmp_path: Path, cache: FileCache, monkeypatch: pytest.MonkeyPatch, *, packed: bool
) -> None:
    pixels = noise((3000, 4100, 3))
    path = write_strips(tmp_path / "a.tif", pixels, rows=1, compression="zlib" if packed else None)
    monkeypatch.setattr(made, "MODEST", 36 << 20)
    level = halve(halve(pixels))
    part = Window(5, 7, 100, 200)
    with ziggurat.open(str(path)) as image:
        assert not image.makes_levels(2, Window.full(image.levels[2].shape))
        np.testing.assert_array_equal(image.read(2), level)
        assert image.overview is None
        assert image.makes_levels(2, part)
        assert not image.makes_levels(0, part)
        np.testing.assert_array_equal(image.read(2, part), level[part.slices()])
        assert image.overview is not None
        assert not image.makes_levels(2, part)
        np.testing.assert_array_equal(image.read(2), level)
    assert len(entries(cache)) == 1


def test_a_damaged_file_of_the_cache_is_made_again(tmp_path: Path, builds: list[Path], cache: FileCache) -> None:
    pixels = noise((1400, 600, 3))
    path = write_strips(tmp_path / "a.tif", pixels)
    with ziggurat.open(str(path)) as image:
        image.read(1)
    (kept,) = entries(cache)
    data = kept.read_bytes()
    for damaged in (data[:100], data[: len(data) // 2], data[:16] + bytes(50_000) + data[50_016:]):
        kept.write_bytes(damaged)
        with ziggurat.open(str(path)) as image:
            check(image, pixels)
    assert kept.read_bytes() == data
    assert len(builds) == 4


def test_files_that_come_out_damaged_each_time_are_given_up(
    tmp_path: Path, builds: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = noise((1400, 600, 3))
    path = write_strips(tmp_path / "a.tif", pixels)
    monkeypatch.setattr(overview.imagecodecs, "zstd_encode", lambda data, _level: data[:99])
    with ziggurat.open(str(path)) as image:
        check(image, pixels)
        assert "made from the image" in image.warnings[0]
    assert len(builds) == 2


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """An image with its levels beside it; they say 7 everywhere, to tell them from computed ones."""
    path = write_strips(tmp_path / "a.tif", noise((1400, 600, 3)))
    with ziggurat.open(str(path)) as image:
        version = image.source.version
    description = f"Ziggurat overview of {version.size} bytes, version {version.tag}"
    _sevens(tmp_path / "a.tif.ovr", [(700, 300, 3), (350, 150, 3)], description=description)
    return path


def _sevens(path: Path, shapes: list[tuple[int, ...]], **first: object) -> None:
    with tifffile.TiffWriter(path) as tiff:
        for number, shape in enumerate(shapes):
            options = {} if number else first
            level = np.full(shape, 7, np.uint8)
            tiff.write(level, photometric="rgb", subfiletype=1, metadata=None, **options)  # type: ignore[arg-type]


def test_levels_beside_an_image_are_used(beside: Path) -> None:
    with ziggurat.open(str(beside)) as image:
        assert (image.read(1) == 7).all()
        assert (image.read(2) == 7).all()
        assert image.thumbnail(100).shape == (100, 43, 3)
        assert image.build_levels() == beside.with_name("a.tif.ovr")
    with ziggurat.open(str(beside), cache=False) as image:
        assert not (image.read(1) == 7).all()


def test_levels_beside_a_changed_image_are_refused_with_a_note(beside: Path, tmp_path: Path) -> None:
    pixels = noise((1400, 600, 3))[::-1]
    write_strips(beside, pixels)
    os.utime(beside, ns=(5, 5))
    with ziggurat.open(str(beside)) as image:
        check(image, pixels)
        assert "overview --beside" in image.warnings[0]
    _sevens(tmp_path / "a.tif.ovr", [(700, 300, 3)])
    os.utime(tmp_path / "a.tif.ovr", ns=(4, 4))
    with ziggurat.open(str(beside)) as image:
        check(image, pixels)
        assert "overview --beside" in image.warnings[0]


@pytest.mark.parametrize("shapes", [[(699, 300, 3)], [(701, 301, 3), (351, 151, 3)], [(700, 300, 4), (350, 150, 4)]])
def test_levels_beside_an_image_that_do_not_fit_are_refused(
    beside: Path, tmp_path: Path, shapes: list[tuple[int, ...]]
) -> None:
    _sevens(tmp_path / "a.tif.ovr", shapes)
    with ziggurat.open(str(beside)) as image:
        check(image, noise((1400, 600, 3)))
        assert "not those of its image" in image.warnings[0]


def test_what_lies_beside_an_image_and_is_no_tiff_is_told(beside: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tif.ovr").write_bytes(b"nothing")
    with ziggurat.open(str(beside)) as image:
        check(image, noise((1400, 600, 3)))
        assert "a.tif.ovr" in image.warnings[0]


def test_missing_levels_of_another_program_are_made_from_its_own(beside: Path, tmp_path: Path) -> None:
    _sevens(tmp_path / "a.tif.ovr", [(700, 300, 3)])
    with ziggurat.open(str(beside)) as image:
        assert (image.read(2) == 7).all()


BUILD = """
import sys, ziggurat
from ziggurat.pyramid import made, overview
made.MODEST = 0
real = overview.write_overview
def counted(*a, **k):
    print("built", flush=True)
    real(*a, **k)
overview.write_overview = counted
with ziggurat.open(sys.argv[1]) as image:
    image.read(1)
"""


def test_many_processes_at_once_make_them_once(tmp_path: Path) -> None:
    path = write_strips(tmp_path / "a.tif", noise((3000, 2000, 3)))
    started = [subprocess.Popen([sys.executable, "-c", BUILD, str(path)], stdout=subprocess.PIPE) for _ in range(3)]
    told = [process.communicate(timeout=60)[0] for process in started]
    assert [process.returncode for process in started] == [0] * 3
    assert sorted(told) == [b"", b"", b"built\n"]


def test_the_pass_over_a_remote_image_keeps_none_of_its_blocks(
    tmp_path: Path, builds: list[Path], cache: FileCache
) -> None:
    pixels = noise((1400, 600, 3))
    counting = CountingSource(LocalSource(write_strips(tmp_path / "a.tif", pixels, compression="zlib")))
    source = CachedSource(counting, cache, identity="here")
    with open_image(source, home=made.Home("here", cache)) as image:
        header = len(entries(cache))
        image.read(1)
    assert len(builds) == 1
    assert len(entries(cache)) == header + 1
    assert counting.bytes_read < 1.2 * source.size + 4 * BLOCK


def test_a_large_thumbnail_is_made_in_bounded_memory(tmp_path: Path, cache: FileCache) -> None:
    path = tmp_path / "a.tif"
    row = noise((8, 12_000, 3))
    strips = (row for _ in range(1500))
    tifffile.imwrite(path, strips, shape=(12_000, 12_000, 3), dtype=np.uint8, photometric="rgb", rowsperstrip=8)  # type: ignore[arg-type]
    code = (
        "import re, sys, ziggurat\n"
        "with ziggurat.open(sys.argv[1]) as image: print(image.thumbnail(300).shape)\n"
        "print(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True, text=True)
    assert done.stdout == "(300, 300, 3)\n"
    assert int(done.stderr) < 200 << 10
    assert len(entries(cache)) == 1


HALF = """
import sys, time, ziggurat
def stop(done, total):
    if done > total // 2:
        print("half", flush=True)
        time.sleep(60)
with ziggurat.open(sys.argv[1]) as image:
    image.build_levels(progress=stop)
"""


def test_a_build_that_was_killed_is_begun_again(
    tmp_path: Path, builds: list[Path], cache: FileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = noise((1400, 600, 3))
    path = write_strips(tmp_path / "a.tif", pixels)
    with subprocess.Popen([sys.executable, "-c", HALF, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"half\n"
        process.kill()
    assert not entries(cache)
    monkeypatch.setattr(file_cache, "ABANDONED", -1.0)
    with ziggurat.open(str(path)) as image:
        check(image, pixels)
    assert len(builds) == 1
    assert not list((cache.folder / "new").iterdir())


def test_errors_of_the_image_are_its_own(tmp_path: Path, builds: list[Path], cache: FileCache) -> None:
    path = write_strips(tmp_path / "a.tif", noise((1400, 600, 3)), compression="zlib", rows=100)
    data = bytearray(path.read_bytes())
    data[900_000:900_400] = bytes(400)
    path.write_bytes(data)
    with ziggurat.open(str(path)) as image, pytest.raises(CorruptImage, match=r"a\.tif"):
        image.read(1)
    assert not entries(cache)
    assert len(builds) == 1


def test_an_image_that_changes_while_it_is_read_leaves_nothing(
    tmp_path: Path, builds: list[Path], cache: FileCache
) -> None:
    path = write_strips(tmp_path / "a.tif", noise((1400, 600, 3)))
    with ziggurat.open(str(path)) as image:
        os.utime(path, ns=(1, 1))
        with pytest.raises(SourceChanged):
            image.read(1)
    assert not entries(cache)
    assert len(builds) == 1


def test_blocks_are_whole_strips_or_tiles_where_that_is_affordable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(cost: int, unit: int = 2, **layout: object) -> Size:
        monkeypatch.setattr(blocks, "BLOCK_COST", cost)
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((3000, 2000), np.uint8), metadata=None, **layout)  # type: ignore[arg-type]
        with open_image(LocalSource(tmp_path / "a.tif")) as image:
            return blocks.block_size(image._reader, 0, unit)

    assert chosen(1 << 40, rowsperstrip=7).height == 3000
    assert chosen(2_000_000, rowsperstrip=7, compression="zlib").height % 14 == 0
    assert chosen(1_000_000, tile=(256, 256)).height == 256
    assert 256 <= chosen(1_000_000, tile=(256, 256)).width < 2000
    assert chosen(0, rowsperstrip=3000).height == 2
    assert chosen(0, rowsperstrip=3000, compression="zlib") == (3000, 2000)
    assert chosen(0, tile=(240, 176), unit=64, compression="zlib") == (960, 704)


def test_a_window_at_the_far_corner_reads_no_more_than_it_is_made_from() -> None:
    assert blocks.finer_window(Window(2, 3, 4, 5), 3, Size(31, 39)) == Window(16, 24, 31, 39)


def test_opening_an_image_loads_no_tiff_library_for_levels_that_nobody_asks_for() -> None:
    code = "import sys, ziggurat.image; sys.exit('tifffile' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
