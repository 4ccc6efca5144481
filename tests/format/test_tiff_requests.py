import io
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import tifffile

from sparse_tiff import LONG, LONG8, SparseSource, directory, header, rgb, scanner_file, strips, tiles
from ziggurat.errors import CorruptImage
from ziggurat.format.tiff import open_reader
from ziggurat.format.tiff.ahead import Ahead
from ziggurat.format.tiff.reader import BATCH
from ziggurat.format.tiff.segments import GAP, RANGE, apart
from ziggurat.geometry import Window
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange, coalesce
from ziggurat.testing.sources import BytesSource, CountingSource

type Pixels = np.ndarray[Any, np.dtype[Any]]

HUGE = 100_000


def noise(*shape: int, dtype: Any = np.uint8) -> Pixels:
    return np.random.default_rng(0).integers(0, 250, shape, dtype)


def tiff(array: Pixels, **options: Any) -> bytes:
    file = io.BytesIO()
    options.setdefault("photometric", "rgb" if array.ndim == 3 and 3 in {array.shape[0], array.shape[-1]} else None)
    tifffile.imwrite(file, array, metadata=None, **options)
    return file.getvalue()


def pyramid(
    *, subifds: bool = False, svs: bool = False, sizes: tuple[int, ...] = (4096, 2048, 1024, 512, 256)
) -> bytes:
    """Levels that do not compress, each directory before or behind its pixels."""
    file = io.BytesIO()
    options = {"photometric": "rgb", "tile": (256, 256), "compression": "zlib", "compressionargs": {"level": 0}}
    with tifffile.TiffWriter(file, bigtiff=True, ome=subifds) as writer:
        for number, size in enumerate(sizes):
            extra: dict[str, Any] = {"metadata": {"axes": "YXS"} if subifds else None}
            if svs:
                extra["description"] = f"Aperio Image Library v12\r\n{size}x{size} |AppMag = 20|MPP = 0.5"
            elif subifds and not number:
                extra["subifds"] = len(sizes) - 1
            elif number:
                extra["subfiletype"] = 1
            writer.write(noise(size, size, 3), **options, **extra)
            if svs and not number:
                writer.write(noise(512, 512, 3), photometric="rgb", metadata=None)
    return file.getvalue()


def cloud_optimised(size: int = HUGE, levels: int = 9) -> SparseSource:
    """All directories at the start, each followed by its tables: half a megabyte of them; no tile is stored."""
    at, pieces = 16, {0: header(16)}
    for level in range(levels):
        side = -(-size >> level)
        tags = tiles(side, side, 512, 1, shared=True) | {254: (LONG, [int(level > 0)])}
        length = 8 + 20 * len(tags) + 8 + sum(np.asarray(v).nbytes + 16 for _, v in tags.values())
        following = at + length if level + 1 < levels else 0
        pieces |= directory(tags, at, following=following)
        at += length
    return SparseSource(at + 512 * 512 * 3, pieces)


def stack(pages: int = 200) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for _ in range(pages):
            writer.write(noise(300, 300), photometric="minisblack", metadata=None, contiguous=False)
    return file.getvalue()


def opened(source: ByteSource) -> tuple[CountingSource, Any]:
    counting = CountingSource(source)
    return counting, open_reader(counting)


@pytest.mark.parametrize(
    ("make", "levels", "trips", "most"),
    [
        (scanner_file, 1, 3, 1 << 20),
        (lambda: scanner_file(rows=1), 1, 3, 1 << 21),
        (cloud_optimised, 9, 4, 1 << 20),
        (lambda: BytesSource(pyramid()), 5, 4, 600_000),
        (lambda: BytesSource(pyramid(subifds=True)), 5, 3, 600_000),
        (lambda: BytesSource(pyramid(svs=True, sizes=(4096, 1024, 256)), url="memory:a.svs"), 3, 4, 600_000),
        (lambda: BytesSource(stack()), 1, 14, 1 << 24),
    ],
    ids=["scanner", "scanner, a strip a row", "COG", "pages", "SubIFDs", "SVS", "stack"],
)
def test_opening_takes_few_requests_wherever_the_directories_lie(make: Any, levels: int, trips: int, most: int) -> None:
    source, reader = opened(make())
    assert len(reader.info.levels) == levels
    assert source.requests <= trips
    assert source.bytes_read <= most


def test_the_image_of_a_scanner_s_file_is_the_large_page() -> None:
    source = scanner_file()
    pixels = noise(2, 42_000, 3)
    # Rows 20,031 and 20,032 are the last and the first of two strips.
    source.pieces[4096 + 20_031 * 42_000 * 3] = pixels.tobytes()
    counting, reader = opened(source)
    assert [level.shape for level in reader.info.levels] == [(40_000, 42_000)]
    assert reader.info.levels[0].tile == (64, 42_000)
    assert reader.info.details["tiff"]["pages"] == 1
    counting.reset()
    assert np.array_equal(reader.read(0, Window(20_031, 500, 20_033, 600)), pixels[:, 500:600])
    assert (counting.requests, counting.bytes_read) == (1, 2 * 100 * 3)


@pytest.mark.parametrize("rows", [1, 16, HUGE])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_window_of_a_wide_uncompressed_image_costs_its_own_bytes(rows: int, order: str) -> None:
    at = 4096 + HUGE * HUGE * 3
    tags = strips(HUGE, HUGE, rows, 4096)
    pieces = {0: header(at, order=order)} | directory(tags, at, order=order)
    pixels = noise(512, 512, 3)
    first = 4096 + 70_000 * HUGE * 3 + 30_000 * 3
    pieces |= {first + row * HUGE * 3: pixels[row].tobytes() for row in range(512)}
    source, reader = opened(SparseSource(at + 3_000_000, pieces))
    source.reset()
    assert np.array_equal(reader.read(0, Window(70_000, 30_000, 70_512, 30_512)), pixels)
    assert (source.requests, source.bytes_read) == (1, 512 * 512 * 3)
    spans = [fetch.span.length for fetch in coalesce(source.ranges, gap=GAP, limit=1 << 24)]
    assert sum(spans) == 512 * 512 * 3


def test_rows_that_a_store_would_join_anyway_stay_within_the_memory_of_a_batch() -> None:
    width = (GAP - 6000) // 3
    at = 4096 + 10_000 * width * 3
    source, reader = opened(
        SparseSource(at + 9999, {0: header(at)} | directory(strips(10_000, width, 10_000, 4096), at))
    )
    fetched: list[int] = []
    read = source.read_ranges

    def noting(ranges: list[ByteRange]) -> list[bytes]:
        fetched.append(sum(fetch.span.length for fetch in coalesce(ranges, gap=GAP, limit=1 << 24)))
        return read(ranges)

    source.read_ranges = noting  # type: ignore[method-assign]
    source.reset()
    reader.read(0, Window(0, 0, 1000, 100))
    assert source.bytes_read == 1000 * 100 * 3
    assert len(fetched) == pytest.approx(1000 * width * 3 / BATCH, abs=1)
    assert max(fetched) <= BATCH


def test_the_cost_model_prefers_few_ranges_to_few_bytes() -> None:
    assert apart(300_000, 1536)
    assert not apart(RANGE + 1536, 1536)
    assert apart(RANGE + 1537, 1536)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<f4"])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize(
    "layout", [{"rowsperstrip": 7}, {"rowsperstrip": 64}, {"tile": (32, 8192)}, {"tile": (16, 16)}]
)
def test_columns_apart_are_the_same_pixels(dtype: str, layout: dict[str, Any], *, planar: bool) -> None:
    array = noise(70, 20_000, 3).astype(dtype)
    stored = np.ascontiguousarray(np.moveaxis(array, -1, 0)) if planar else array
    options = {"planarconfig": "separate" if planar else "contig", "byteorder": dtype[0] if dtype[0] in "<>" else "<"}
    source, reader = opened(BytesSource(tiff(stored, photometric="rgb", **options, **layout)))
    for window in (Window(3, 9990, 40, 10_010), Window(0, 0, 70, 100), Window(60, 19_000, 70, 20_000)):
        source.reset()
        pixels = reader.read(0, window)
        assert np.array_equal(pixels, array[window.slices()])
        assert pixels.dtype == np.dtype(dtype).newbyteorder("=")
        assert source.requests == 1
    assert np.array_equal(reader.read(0, Window(0, 0, 70, 20_000)), array)


def test_of_an_uncompressed_tile_only_the_wanted_rows_are_fetched() -> None:
    array = noise(1024, 1024, 3)
    source, reader = opened(BytesSource(tiff(array, tile=(512, 512))))
    source.reset()
    assert np.array_equal(reader.read(0, Window(500, 500, 516, 520)), array[500:516, 500:520])
    assert (source.requests, len(source.ranges), source.bytes_read) == (1, 4, 2 * 16 * 512 * 3)


def test_of_a_wide_uncompressed_tile_only_the_wanted_columns_are_fetched() -> None:
    array = noise(64, 16_384, 3)
    source, reader = opened(BytesSource(tiff(array, tile=(64, 16_384))))
    source.reset()
    assert np.array_equal(reader.read(0, Window(10, 5000, 20, 5100)), array[10:20, 5000:5100])
    assert (source.requests, source.bytes_read) == (1, 10 * 100 * 3)


@pytest.mark.parametrize("layout", [{"tile": (64, 64)}, {"rowsperstrip": 16}])
def test_compressed_segments_come_in_one_batch_and_no_others(layout: dict[str, Any]) -> None:
    array = noise(256, 256, 3)
    data = tiff(array, compression="zlib", **layout)
    source, reader = opened(BytesSource(data))
    source.reset()
    assert np.array_equal(reader.read(0, Window(60, 60, 70, 100)), array[60:70, 60:100])
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        page = tif.pages.first
        wanted = (0, 1, 4, 5) if "tile" in layout else (3, 4)
        starts = [page.dataoffsets[index] for index in wanted]
        places = [
            ByteRange(start, start + page.databytecounts[index]) for start, index in zip(starts, wanted, strict=True)
        ]
    assert source.requests == 1
    spans = [[item.span for item in coalesce(ranges, gap=0, limit=1 << 30)] for ranges in (source.ranges, places)]
    assert spans[0] == spans[1]
    assert source.bytes_read == sum(place.length for place in places)


def test_a_batch_that_is_too_large_is_divided() -> None:
    array = noise(3000, 8000, 3)
    source, reader = opened(BytesSource(tiff(array, tile=(512, 512), compression="zlib", compressionargs={"level": 0})))
    source.reset()
    assert np.array_equal(reader.read(0, Window(0, 0, 3000, 8000)), array)
    assert source.requests == -(-source.bytes_read // BATCH)


def test_nothing_is_asked_for_where_nothing_is_stored() -> None:
    at = 4096
    pieces = {0: header(at)} | directory(tiles(5000, 5000, 256, 0, shared=False), at)
    source, reader = opened(SparseSource(100_000, pieces))
    source.reset()
    assert not reader.read(0, Window(0, 0, 1000, 1000)).any()
    assert source.requests == 0


def test_long_tables_are_arrays_and_are_right() -> None:
    """A parser sees the first entries only; the pixels come from all of them."""
    array = noise(640, 640)
    source, reader = opened(BytesSource(tiff(array, tile=(16, 16), compression="zlib", byteorder=">")))
    assert np.array_equal(reader.read(0, Window(0, 0, 640, 640))[..., 0], array)
    places = reader._levels[0][0].places
    assert len(places) == 1600
    assert isinstance(places.offsets, np.ndarray)
    assert source.requests == 2


@pytest.mark.parametrize("kind", [3, LONG, LONG8])
def test_tables_of_every_type_are_read(kind: int) -> None:
    rows = noise(40, 30, 3)
    offsets, counts = 2000 + 90 * np.arange(40), np.full(40, 90)
    tags = rgb(40, 30, t273=(kind, offsets), t278=(3, [1]), t279=(kind, counts))
    source = SparseSource(9000, {0: header(16), 2000: rows.tobytes()} | directory(tags, 16))
    assert np.array_equal(open_reader(source).read(0, Window(0, 0, 40, 30)), rows)


def test_shortened_tables_are_no_news(caplog: pytest.LogCaptureFixture) -> None:
    """What the parser says of the tables that it is shown is kept from the log; what it says elsewhere is not."""
    data = tiff(noise(100, 30), rowsperstrip=1)
    opened(BytesSource(data))
    assert not caplog.records
    data = data.replace(struct.pack("<HHI", 279, 3, 100), struct.pack("<HHI", 279, 3, 99))
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        assert tif.pages.first.imagelength == 100
    assert "incorrect StripByteCounts count (99 != 100)" in caplog.text


def test_a_table_that_is_too_short_is_found_out_where_it_matters() -> None:
    tags = rgb(40, 30, t273=(LONG8, 2000 + 90 * np.arange(30)), t278=(3, [1]), t279=(LONG8, np.full(40, 90)))
    reader = open_reader(SparseSource(9000, {0: header(16)} | directory(tags, 16)))
    assert reader.read(0, Window(0, 0, 30, 30)).shape == (30, 30, 3)
    with pytest.raises(CorruptImage, match="strip 30 has no offset"):
        reader.read(0, Window(29, 0, 31, 30))


def test_tables_before_their_directory_cost_one_request_more() -> None:
    at = 50_000_000
    pieces = {0: header(at)} | directory(strips(40_000, 30_000, 1, 4096), at, values_at=10_000_000)
    source, reader = opened(SparseSource(3_700_000_000, pieces))
    assert source.requests == 3
    assert reader.info.size == (40_000, 30_000)


def chain(starts: list[int], size: int) -> Iterator[int]:
    """How many requests a chain of directories takes by these guesses."""
    ahead, held = Ahead(size), set(range(1))
    for start in starts:
        ranges = [item for item in ahead.ranges([(start, True)]) if item.start < size]
        blocks = {n for item in ranges for n in range(item.start >> 16, -(-min(item.end, size) >> 16))}
        yield int(not blocks <= held)
        held |= blocks


def test_directories_of_a_stack_are_guessed_and_others_are_not() -> None:
    size = 1 << 32
    even = [100_000 + 1_000_000 * n for n in range(500)]
    assert sum(chain(even, size)) < 25
    rng = np.random.default_rng(0)
    uneven = np.cumsum(rng.integers(900_000, 1_100_000, 100)).tolist()
    ahead = Ahead(size)
    asked = sum(item.length for start in uneven for item in ahead.ranges([(start, True)]))
    assert asked < 100 * 70_000
    assert all(b > a for a, b in pairwise(uneven))


def test_directories_of_a_long_stack_are_counted_no_longer_than_that_is_cheap() -> None:
    """Ten thousand pages, far and unevenly apart: the first one is read, and the count is said to be incomplete."""
    rng = np.random.default_rng(0)
    starts = (np.cumsum(rng.integers(70_000, 140_000, 3000)) + 4096).tolist()
    pieces = {0: header(starts[0])}
    for start, following in pairwise(starts):
        pieces |= directory(rgb(20, 30, t273=(LONG, [4096]), t279=(LONG, [1800])), start, following=following)
    pieces |= directory(rgb(20, 30, t273=(LONG, [4096]), t279=(LONG, [1800])), starts[-1])

    class Indexed(SparseSource):
        def _read(self, item: ByteRange) -> bytes:
            near = {at: self.pieces[at] for at in (0, *starts) if item.start - 1000 < at < item.end}
            return SparseSource(self.size, near)._read(item) if near else bytes(item.length)

    source, reader = opened(Indexed(starts[-1] + 100_000, pieces))
    details = reader.info.details["tiff"]
    assert details["directories_complete"] is False
    assert 1024 < details["directories"] < 3000
    assert source.requests < 1024 + 256 + 10


def test_many_directories_close_together_are_all_counted() -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(np.zeros((3000, 4, 4), np.uint8), photometric="minisblack", metadata=None)
    source, reader = opened(BytesSource(file.getvalue()))
    details = reader.info.details["tiff"]
    assert (details["directories"], details["directories_complete"]) == (3000, True)
    assert source.requests < 20


def test_tables_too_long_to_be_read_on_opening_are_read_where_a_window_needs_them() -> None:
    """Two and a half million tiles, of which one is stored."""
    at, start, across = 1 << 20, 4096, -(-HUGE // 64)
    tags = dict(tiles(HUGE, HUGE, 64, start, shared=False))
    index = 700 * across + 900
    for code in (324, 325):
        tags[code][1][index] = start if code == 324 else 64 * 64 * 3
    pixels = noise(64, 64, 3)
    source, reader = opened(SparseSource(64 << 20, {0: header(at), start: pixels.tobytes()} | directory(tags, at)))
    assert source.requests <= 3
    assert source.bytes_read < 1 << 19
    source.reset()
    window = reader.read(0, Window(700 * 64 - 10, 900 * 64 - 20, 701 * 64 + 10, 901 * 64 + 20))
    assert np.array_equal(window[10:-10, 20:-20], pixels)
    assert not window[:10].any()
    assert not window[:, :20].any()
    assert source.requests == 2
    assert source.bytes_read < 1 << 18
    source.reset()
    reader.read(0, Window(700 * 64, 900 * 64, 701 * 64, 901 * 64))
    assert (source.requests, source.bytes_read) == (1, 64 * 64 * 3)


def test_threads_may_share_tables_that_stay_in_the_file() -> None:
    at, across = 1 << 20, -(-HUGE // 64)
    tags = dict(tiles(HUGE, HUGE, 64, 4096, shared=True))
    tags[324][1][:] = 4096 + np.arange(across * across, dtype=np.uint64) % 1000
    data = np.random.default_rng(1).bytes(64 * 64 * 3 + 1000)
    reader = open_reader(SparseSource(64 << 20, {0: header(at), 4096: data} | directory(tags, at)))
    corners = [(row, row * 7 % across) for row in range(0, across - 1, 90)]

    def right(corner: tuple[int, int]) -> bool:
        row, column = corner
        start = (row * across + column) % 1000
        wanted = np.frombuffer(data, np.uint8, 64 * 64 * 3, start).reshape(64, 64, 3)
        y, x = row * 64, column * 64
        return np.array_equal(reader.read(0, Window(y, x, y + 64, x + 64)), wanted)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(right, corners * 5))


def test_byte_counts_of_unread_tables_are_not_believed_beyond_reason() -> None:
    at = 1 << 20
    tags = dict(tiles(HUGE, HUGE, 64, 4096, shared=True)) | {259: (3, [8])}
    tags[325][1][5] = 1 << 25
    reader = open_reader(SparseSource(64 << 20, {0: header(at)} | directory(tags, at)))
    with pytest.raises(CorruptImage, match="tile 5 claims 33554432 bytes"):
        reader.read(0, Window(0, 0, 64, 500))


@pytest.mark.parametrize("long_first", [True, False])
def test_the_first_of_two_tables_of_one_kind_counts(*, long_first: bool) -> None:
    """As the parser has it."""
    rows = noise(40, 30, 3)
    tags = rgb(40, 30, t273=(LONG8, 2000 + 90 * np.arange(40)), t278=(3, [1]), t279=(LONG8, np.full(40, 90)))
    (ifd, values), at = directory(tags, 16, values_at=1000).values(), 8 + 20 * sorted(tags).index(273)
    short = struct.pack("<HHQQ", 273, LONG8, 1, 2000)
    at += 20 * long_first
    ifd = struct.pack("<Q", len(tags) + 1) + ifd[8:at] + short + ifd[at:]
    reader = open_reader(SparseSource(9000, {0: header(16), 16: ifd, 1000: values, 2000: rows.tobytes()}))
    if long_first:
        assert np.array_equal(reader.read(0, Window(0, 0, 40, 30)), rows)
    else:
        assert np.array_equal(reader.read(0, Window(0, 0, 1, 30)), rows[:1])
        with pytest.raises(CorruptImage, match="strip 1 has no offset"):
            reader.read(0, Window(0, 0, 2, 30))
