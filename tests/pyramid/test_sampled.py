"""Single pixels where a level neither is in the file nor was made."""

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

import ziggurat
from sparse_tiff import SparseSource, directory, header, strips
from ziggurat.errors import CorruptImage, OutOfMemory
from ziggurat.format.protocol import Picking
from ziggurat.format.tiff import open_reader
from ziggurat.image import open_image
from ziggurat.pyramid import fit
from ziggurat.storage.file_cache import FileCache
from ziggurat.storage.local import LocalSource
from ziggurat.testing.sources import BytesSource, CountingSource

type Pixels = np.ndarray[Any, np.dtype[Any]]

LAYOUTS: dict[str, dict[str, Any]] = {
    "rows": {"rowsperstrip": 1},
    "strips": {"rowsperstrip": 7},
    "one strip": {"rowsperstrip": 1 << 20},
    "deflate rows": {"rowsperstrip": 1, "compression": "zlib"},
    "deflate": {"rowsperstrip": 5, "compression": "zlib", "predictor": 2},
    "lzw": {"rowsperstrip": 3, "compression": "lzw"},
    "zstd": {"rowsperstrip": 64, "compression": "zstd"},
    "packbits": {"rowsperstrip": 3, "compression": "packbits"},
    "tiles": {"tile": (16, 48)},
    "deflate tiles": {"tile": (32, 16), "compression": "zlib"},
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileCache:
    monkeypatch.setenv("ZIGGURAT_CACHE", str(tmp_path / "cache"))
    return FileCache(tmp_path / "cache", limit=1 << 30)


def noise(*shape: int, dtype: Any = np.uint8) -> Pixels:
    return np.random.default_rng(sum(shape)).integers(0, 200, shape).astype(dtype)


def tiff(pixels: Pixels, **options: Any) -> bytes:
    file = io.BytesIO()
    options.setdefault("photometric", "rgb" if 3 in {pixels.shape[-1], pixels.shape[0]} else "minisblack")
    tifffile.imwrite(file, pixels, metadata=None, **options)
    return file.getvalue()


def middle(full: Pixels, times: int) -> Pixels:
    """Every so manieth row and column, from behind the middle of the first on; at the far edges the last."""
    step = 1 << times
    rows, columns = (np.minimum(np.arange(0, n, step) + step // 2, n - 1) for n in full.shape[:2])
    return full[np.ix_(rows, columns)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", ">u2", "float32"])
def test_every_layout_gives_the_pixels_at_every_step(layout: str, dtype: str) -> None:
    if dtype == "float32" and "predictor" in LAYOUTS[layout]:
        pytest.skip("there are no differences of floating-point numbers")
    full = noise(1100, 2100, 3, dtype=dtype)
    options = LAYOUTS[layout] | ({"byteorder": ">"} if dtype == ">u2" else {})
    with open_image(BytesSource(tiff(full, **options))) as image:
        for level in (1, 2):
            step = 1 << level
            found = image.read(level, sampled=True)
            assert found.dtype == image.info.dtype
            np.testing.assert_array_equal(found, middle(full, level))
            inner = found[: 1100 // step, : 2100 // step]
            np.testing.assert_array_equal(inner, full[step // 2 :: step, step // 2 :: step][: len(inner)])
            window = (3, 5, 250, 400)
            np.testing.assert_array_equal(image.read(level, window, sampled=True), found[3:250, 5:400])


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("rows", [1, 9])
def test_planes_that_lie_apart_do_too(compression: str | None, rows: int) -> None:
    full = noise(3, 600, 1300)
    data = tiff(full, planarconfig="separate", rowsperstrip=rows, compression=compression)
    with open_image(BytesSource(data)) as image:
        np.testing.assert_array_equal(image.read(1, sampled=True), middle(np.moveaxis(full, 0, -1), 1))


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 700), width=st.integers(513, 1200), rows=st.integers(1, 40), packed=st.booleans())
def test_any_size_does(height: int, width: int, rows: int, packed: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    full = noise(height, width, 3)
    data = tiff(full, rowsperstrip=rows, compression="zlib" if packed else None)
    with open_image(BytesSource(data)) as image:
        for level in range(1, len(image.levels)):
            np.testing.assert_array_equal(image.read(level, sampled=True), middle(full, level))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_palettes_are_applied_to_the_pixels_taken(compression: str | None) -> None:
    table = noise(3, 256, dtype=np.uint16) * 257
    full = noise(900, 700)
    data = tiff(full, photometric="palette", colormap=table, rowsperstrip=1, compression=compression)
    with open_image(BytesSource(data)) as image:
        np.testing.assert_array_equal(image.read(1, sampled=True), middle(image.read(), 1))


def test_formats_without_rows_of_their_own_give_them_from_all_pixels() -> None:
    full = noise(700, 900, 3)
    with open_image(BytesSource(imagecodecs.png_encode(full))) as image:
        assert not isinstance(image._reader, Picking)
        np.testing.assert_array_equal(image.read(1, sampled=True), middle(full, 1))


def test_a_thumbnail_takes_the_pixels_in_the_middle_of_what_each_stands_for() -> None:
    full = noise(1500, 2600, 3)
    with open_image(BytesSource(tiff(full, rowsperstrip=1))) as image:
        target = fit(image.info.size, 300)
        rows, columns = ((2 * np.arange(n) + 1) * m // (2 * n) for n, m in zip(target, (1500, 2600), strict=True))
        np.testing.assert_array_equal(image.thumbnail(300, sampled=True), full[np.ix_(rows, columns)])
        np.testing.assert_array_equal(image.thumbnail(3000, sampled=True), full)


def test_only_the_rows_wanted_are_fetched_and_all_at_once() -> None:
    width = 6400
    full = noise(2048, width, 3)
    counting = CountingSource(BytesSource(tiff(full, rowsperstrip=1)))
    with open_image(counting) as image:
        counting.ranges.clear()
        before = counting.requests
        image.read(4, sampled=True)
        assert counting.requests == before + 1
        assert counting.bytes_read == 128 * 3 * (width - 16 + 1)


def test_only_the_strips_and_tiles_that_hold_them_are_fetched() -> None:
    full = noise(2048, 1024)
    layouts: list[tuple[dict[str, Any], int, int]] = [
        ({"rowsperstrip": 2}, 4, 8), ({"tile": (16, 16)}, 2, 1), ({"tile": (16, 16)}, 5, 4)
    ]  # fmt: skip
    for options, level, share in layouts:
        data = tiff(full, compression="zlib", **options)
        counting = CountingSource(BytesSource(data))
        reader = open_reader(counting)
        counting.ranges.clear()
        step = 1 << level
        places = [np.arange(step // 2, n, step) for n in full.shape]
        np.testing.assert_array_equal(reader.read_picked(0, *places)[:, :, 0], full[np.ix_(*places)])
        assert counting.bytes_read == pytest.approx(len(data) / share, rel=0.05)


def test_where_the_level_lies_ready_it_changes_nothing(tmp_path: Path) -> None:
    full = noise(1200, 1400, 3)
    (tmp_path / "a.tif").write_bytes(tiff(full, rowsperstrip=1))
    with ziggurat.open(str(tmp_path / "a.tif")) as image:
        means = image.read(1)
        assert not np.array_equal(image.read(1, sampled=True), means)
        image.build_levels()
        np.testing.assert_array_equal(image.read(1, sampled=True), means)
        np.testing.assert_array_equal(image.thumbnail(600, sampled=True), image.thumbnail(600))


def test_a_level_of_the_file_is_read_as_it_is() -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(noise(1200, 1400), subifds=1, tile=(128, 128))
        writer.write(coarse := noise(600, 700), subfiletype=1, tile=(128, 128))
    with open_image(BytesSource(file.getvalue())) as image:
        np.testing.assert_array_equal(image.read(1, sampled=True)[:, :, 0], coarse)
        np.testing.assert_array_equal(image.read(2, sampled=True)[:, :, 0], middle(coarse, 1))


def test_it_makes_no_levels(tmp_path: Path, cache: FileCache) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(noise(4000, 9000, 3), rowsperstrip=1))
    with ziggurat.open(str(tmp_path / "a.tif")) as image:
        for _ in range(3):
            image.read(1, sampled=True)
            image.thumbnail(500, sampled=True)
    assert not cache.folder.exists()


@pytest.mark.parametrize("damage", ["outside", "short", "garbled"])
def test_what_does_not_decode_is_refused_and_named(damage: str) -> None:
    full = noise(1024, 600)
    data = bytearray(tiff(full, rowsperstrip=1, compression=None if damage == "short" else "zlib"))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        offsets, counts = file.pages[0].dataoffsets, file.pages[0].tags
        at, table = offsets[513], counts["StripByteCounts"].valueoffset
        kind = counts["StripByteCounts"].dtype
    size = 2 if kind == tifffile.DATATYPE.SHORT else 4
    if damage == "garbled":
        data[at : at + 8] = bytes(8)
    else:
        number = {"outside": 60_000, "short": 10}[damage]
        data[table + 513 * size : table + 514 * size] = number.to_bytes(size, "little")
    if damage == "outside":
        data = data[: offsets[513] + 50_000]
    with open_image(BytesSource(bytes(data))) as image, pytest.raises(CorruptImage, match="strip 513"):
        image.read(1, sampled=True)


def test_a_strip_that_is_not_stored_is_empty() -> None:
    full = noise(1024, 600)
    data = bytearray(tiff(full, rowsperstrip=1))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        tag = file.pages[0].tags["StripByteCounts"]
        size = 2 if tag.dtype == tifffile.DATATYPE.SHORT else 4
        data[tag.valueoffset + 5 * size : tag.valueoffset + 6 * size] = bytes(size)
    expected = full.copy()
    expected[5] = 0
    with open_image(BytesSource(bytes(data))) as image:
        np.testing.assert_array_equal(image.read(1, sampled=True)[:, :, 0], middle(expected, 1))


def test_a_rough_picture_of_an_image_of_many_gigabytes_needs_a_thousandth_of_it() -> None:
    side, start = 100_000, 4096
    at = start + side * side * 3
    pieces = {0: header(at)} | directory(strips(side, side, 1, start), at)
    counting = CountingSource(SparseSource(at + 8_000_000, pieces))
    with open_image(counting) as image:
        level = len(image.levels) - 1
        counting.ranges.clear()
        before = counting.requests
        image.read(level, sampled=True)
        assert counting.bytes_read < 450 * 3 * side
        assert counting.requests <= before + 5


def test_memory_is_predicted_before_anything_is_read() -> None:
    full = noise(2000, 3000)
    for options in LAYOUTS.values():
        counting = CountingSource(BytesSource(tiff(full, **options)))
        with open_image(counting, memory=1 << 17) as image:
            cost = image.read_cost(2, None, sampled=True)
            counting.requests = 0
            assert cost > 1 << 17
            with pytest.raises(OutOfMemory):
                image.read(2, sampled=True)
            assert not counting.requests


def test_local_files_are_read_so(tmp_path: Path) -> None:
    full = noise(1300, 800, 3)
    (tmp_path / "a.tif").write_bytes(tiff(full, rowsperstrip=1))
    with open_image(LocalSource(tmp_path / "a.tif")) as image:
        np.testing.assert_array_equal(image.read(1, sampled=True), middle(full, 1))
