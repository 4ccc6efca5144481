"""Low strips: read as one where they follow each other, decoded many at a time where they are compressed."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.codec import threads
from ziggurat.errors import CorruptImage
from ziggurat.format.tiff import open_reader
from ziggurat.geometry import Window
from ziggurat.storage.local import LocalSource
from ziggurat.testing.sources import BytesSource, CountingSource

type Pixels = np.ndarray[Any, np.dtype[Any]]

SIDES = st.integers(1, 300)
TYPES = st.sampled_from(["uint8", "int8", "uint16", ">u2", "int32", "float32", ">f4", "float64"])
CODECS = st.sampled_from([None, "zlib", "lzw", "zstd", "packbits", "deflate"])


def noise(*shape: int, dtype: Any = np.uint8) -> Pixels:
    return np.random.default_rng(sum(shape)).integers(0, 100, shape).astype(dtype)


def tiff(pixels: Pixels, **options: Any) -> bytes:
    file = io.BytesIO()
    options.setdefault("photometric", "minisblack")
    options.setdefault("planarconfig", "contig" if pixels.ndim > 2 else None)
    order = ">" if pixels.dtype.byteorder == ">" else "<"
    tifffile.imwrite(file, pixels, metadata=None, byteorder=order, **options)
    return file.getvalue()


@settings(max_examples=150, deadline=None)
@given(
    height=SIDES, width=SIDES, rows=st.integers(1, 70), dtype=TYPES, codec=CODECS, bands=st.integers(2, 4),
    corner=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)), differences=st.booleans(),
    local=st.booleans(),
)  # fmt: skip
def test_any_window_of_any_strips_is_that_of_the_whole(  # noqa: PLR0913, PLR0917 - drawn by hypothesis
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, rows: int, dtype: str, codec: str | None,
    bands: int, corner: tuple[float, float, float, float], *, differences: bool, local: bool,
) -> None:  # fmt: skip
    full = noise(height, width, bands, dtype=dtype)
    predictor = 2 if differences and codec and np.dtype(dtype).kind in "iu" else None
    data = tiff(full, rowsperstrip=rows, compression=codec, predictor=predictor)
    y0, y1 = int(corner[0] * (height - 1)), height - int(corner[1] * (height - 1))
    x0, x1 = int(corner[2] * (width - 1)), width - int(corner[3] * (width - 1))
    window = Window(min(y0, y1 - 1), min(x0, x1 - 1), max(y1, y0 + 1), max(x1, x0 + 1))
    path = tmp_path_factory.mktemp("t") / "a.tif"
    path.write_bytes(data)
    reader = open_reader(LocalSource(path) if local else BytesSource(data))
    expected = full[window.slices()]
    found = reader.read(0, window)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype.newbyteorder("=")
    assert found.flags.writeable


def test_uncompressed_strips_that_follow_each_other_are_one_range() -> None:
    full = noise(400, 300, 3)
    counting = CountingSource(BytesSource(tiff(full, rowsperstrip=1)))
    reader = open_reader(counting)
    counting.reset()
    np.testing.assert_array_equal(reader.read(0, Window(7, 11, 391, 222)), full[7:391, 11:222])
    assert [item.length for item in counting.ranges] == [384 * 900]


def test_strips_that_lie_in_another_order_are_read_apart() -> None:
    full = noise(40, 300, 3)
    data = bytearray(tiff(full, rowsperstrip=1))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        tag = file.pages[0].tags["StripOffsets"]
    table = np.frombuffer(data, "<u2" if tag.dtype == 3 else "<u4", 40, tag.valueoffset)
    table[:] = table[::-1].copy()
    counting = CountingSource(BytesSource(bytes(data)))
    reader = open_reader(counting)
    counting.reset()
    np.testing.assert_array_equal(reader.read(0, Window(0, 0, 40, 300)), full[::-1])
    assert len(counting.ranges) == 40


def damaged(full: Pixels, number: int) -> bytes:
    data = bytearray(tiff(full, rowsperstrip=1, compression="zlib", predictor=2))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        at = file.pages[0].dataoffsets[number]
    data[at + 10 : at + 14] = bytes(4)
    return bytes(data)


@pytest.mark.parametrize("count", [1, 4])
def test_a_strip_that_does_not_decode_is_named_however_many_are_decoded_at_once(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(threads, "_limit", count)
    full = noise(3000, 1000)
    reader = open_reader(BytesSource(damaged(full, 1777)))
    with pytest.raises(CorruptImage, match="strip 1777 at offset"):
        reader.read(0, Window(0, 0, 3000, 1000))
    np.testing.assert_array_equal(reader.read(0, Window(1778, 0, 3000, 1000))[:, :, 0], full[1778:])


def test_a_file_that_ends_too_early_is_refused_and_the_strip_named(tmp_path: Path) -> None:
    full = noise(300, 100)
    data = tiff(full, rowsperstrip=1)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        end = file.pages[0].dataoffsets[200] + 50
    path = tmp_path / "a.tif"
    path.write_bytes(data[:end])
    reader = open_reader(LocalSource(path))
    np.testing.assert_array_equal(reader.read(0, Window(0, 0, 200, 100))[:, :, 0], full[:200])
    with pytest.raises(CorruptImage, match="truncated"):
        reader.read(0, Window(0, 0, 201, 100))
