import gzip
import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest

from fits_files import Pixels, altered, full, noise, opened, packed, reference, unit
from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format.fits.codecs import Codec, decode
from ziggurat.format.fits.dither import random_sequence, randoms
from ziggurat.geometry import Size, Window

EVERY = ("GZIP_1", "GZIP_2", "RICE_1", "HCOMPRESS_1", "NOCOMPRESS")


def check(data: bytes) -> None:
    """The whole image and some windows are what astropy reads, to the bit."""
    expected = reference(data, 1)
    reader = opened(data)
    pixels = full(reader)
    assert pixels.dtype == expected.dtype == reader.info.dtype
    np.testing.assert_array_equal(pixels, expected)
    height, width = reader.info.size
    for y0, x0, y1, x1 in [(0, 0, 1, 1), (height // 3, width // 4, height // 2, width), (height - 1, 0, height, 2)]:
        window = Window(y0, x0, y1, x1)
        np.testing.assert_array_equal(reader.read(0, window), expected[window.slices()])


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("tile", [None, (16, 16), (37, 5), (7, 53), (61, 53)])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4"])
def test_every_compression_of_integers_with_every_tiling(kind: str, tile: tuple[int, int] | None, dtype: str) -> None:
    if kind == "HCOMPRESS_1" and tile in {None, (37, 5), (7, 53)}:
        tile = (19, 53)  # the format wants four samples a side
    data = packed(noise(61, 53, dtype=dtype), kind, tile)
    check(data)
    details = opened(data).info.details["fits"]
    assert details["compression"] == kind
    assert opened(data).info.levels[0].tile == Size(*(tile or (1, 53)))


@pytest.mark.parametrize("kind", ["GZIP_1", "GZIP_2", "NOCOMPRESS"])
@pytest.mark.parametrize("dtype", ["i8", "u8", "f4", "f8"])
def test_bytewise_compressions_keep_wide_integers_and_floats_exactly(kind: str, dtype: str) -> None:
    array = noise(40, 30, dtype=dtype)
    data = packed(array, kind, (16, 11), quantize_level=0.0)
    check(data)
    assert np.array_equal(full(opened(data))[..., 0], array)


def test_masks_in_pixel_lists() -> None:
    mask = (noise(90, 70, dtype="i4") > 150).astype("i4") * 70000
    mask[5, 3:30] = 2
    check(packed(mask, "PLIO_1", (30, 30)))
    check(packed(mask.astype("i2").clip(0), "PLIO_1"))


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1"])
@pytest.mark.parametrize("method", [-1, 1, 2])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_quantised_floats_with_every_dithering_are_exactly_the_standards(kind: str, method: int, dtype: str) -> None:
    array = noise(120, 130, dtype=dtype)
    array[10:14] = 0.0
    array[50, 60] = np.nan
    data = packed(array, kind, (40, 130), quantize_method=method, quantize_level=16.0, dither_seed=9990)
    check(data)
    pixels = full(opened(data))[..., 0]
    assert np.isnan(pixels[50, 60])
    assert np.isnan(pixels).sum() == 1
    assert np.nanmax(np.abs(pixels - array)) < 10
    assert opened(data).info.details["fits"]["quantised"] is True
    if method == 2:
        assert np.array_equal(pixels[10:14], array[10:14])


def test_dithering_goes_on_over_more_samples_than_there_are_random_numbers() -> None:
    check(packed(noise(300, 310, dtype="f4"), "RICE_1", (300, 310), dither_seed=9999))


def test_tiles_that_do_not_quantise_are_read_from_the_gzip_column() -> None:
    array = noise(40, 64, dtype="f4")
    array[:20] = 3.25
    data = packed(array, "RICE_1", (10, 64), quantize_level=16.0)
    check(data)
    assert np.array_equal(full(opened(data))[:20, :, 0], array[:20])


def test_random_numbers_are_the_standards() -> None:
    # Appendix I: the 10,000th seed is 1043618065.
    assert random_sequence()[-1] == np.float32(1043618065 / 2147483647)
    assert random_sequence()[0] == np.float32(16807 / 2147483647)
    assert randoms(0, 0, 5).size == 5  # a missing seed begins at the sequence's end
    first = int(random_sequence()[3] * np.float32(500))
    assert np.array_equal(randoms(2, 2, 9000), random_sequence()[first : first + 9000])


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_2"])
@pytest.mark.parametrize("tile", [(1, 8, 9), (3, 8, 9), (5, 20, 24), (2, 1, 24), (2, 7, 11)])
def test_cubes_with_tiles_of_three_dimensions(kind: str, tile: tuple[int, ...]) -> None:
    check(packed(noise(5, 20, 24), kind, tile))


def test_further_axes_of_compressed_cubes_are_read_at_their_first_plane() -> None:
    array = noise(2, 3, 20, 24)
    reader = opened(packed(array, "RICE_1", (1, 1, 10, 24)))
    assert np.array_equal(full(reader), np.moveaxis(array[0], 0, -1))


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_1"])
def test_scaled_integers_in_tiles_become_physical_values(kind: str) -> None:
    stored = noise(40, 30)
    stored[7, 8] = -99
    data = packed(stored, kind, (9, 30), cards={"BSCALE": 0.5, "BZERO": 10.0, "BLANK": -99})
    reader = opened(data)
    expected = (stored * 0.5 + 10.0).astype("f4")
    expected[7, 8] = np.nan
    np.testing.assert_array_equal(full(reader)[..., 0], expected)


@pytest.mark.parametrize(("scale", "smooth"), [(2.0, 0), (2.0, 1), (0.0, 0)])
def test_hcompress_with_loss_and_smoothing_is_what_astropy_decodes(scale: float, smooth: int) -> None:
    array = noise(96, 80, dtype="i4")
    check(packed(array, "HCOMPRESS_1", (32, 80), hcomp_scale=scale, hcomp_smooth=smooth))


def by_hand(tiles: list[bytes], **cards: Any) -> bytes:
    """A compressed image of rows with 64-bit descriptors, as no writer at hand makes it."""
    heap = b"".join(tiles)
    rows = b""
    at = 0
    for tile in tiles:
        rows += struct.pack(">qq", len(tile), at)
        at += len(tile)
    header = {
        "XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 16, "NAXIS2": len(tiles), "PCOUNT": len(heap) + 100,
        "GCOUNT": 1, "TFIELDS": 1, "TTYPE1": "COMPRESSED_DATA", "TFORM1": "1QB(99)", "THEAP": len(rows) + 100,
        "ZIMAGE": True, "ZCMPTYPE": "GZIP_1", "ZBITPIX": 16, "ZNAXIS": 2, "ZNAXIS1": 10, "ZNAXIS2": len(tiles),
    }  # fmt: skip
    primary = unit({"SIMPLE": True, "BITPIX": 8, "NAXIS": 0, "EXTEND": True})
    return primary + unit(header | cards, rows + b"?" * 100 + heap)


def test_wide_descriptors_a_gap_before_the_heap_and_default_tiles() -> None:
    array = noise(6, 10)
    data = by_hand([gzip.compress(row.astype(">i2").tobytes()) for row in array])
    assert np.array_equal(full(opened(data))[..., 0], array)


def test_scale_and_zero_as_keywords_serve_all_tiles() -> None:
    array = noise(6, 10, dtype="i4")
    tiles = [gzip.compress(row.astype(">i4").tobytes()) for row in array]
    data = by_hand(tiles, ZBITPIX=-32, ZSCALE=0.5, ZZERO=4.0, ZBLANK=int(array[2, 3]), ZQUANTIZ="NO_DITHER")
    expected = (array * 0.5 + 4.0).astype("f4")
    expected[array == array[2, 3]] = np.nan
    np.testing.assert_array_equal(full(opened(data))[..., 0], expected)


def test_unsigned_numbers_in_pixel_lists_are_shifted_as_cfitsio_does() -> None:
    array = np.array([[0, 0, 7, 7, 40_000, 65_535, 1, 0, 0, 2]], "i4").repeat(3, axis=0)
    lists = [np.frombuffer(imagecodecs.plio_encode(row), "i2").astype(">i2").tobytes() for row in array]
    data = by_hand(lists, ZCMPTYPE="PLIO_1", BZERO=32768.0)
    assert np.array_equal(full(opened(data))[..., 0], array.astype("u2"))


def test_lossy_values_beyond_the_range_stop_at_its_end() -> None:
    array = np.where(noise(64, 64) > 120, 32767, -32768).astype("i2")
    pixels = full(opened(packed(array, "HCOMPRESS_1", (32, 64), hcomp_scale=300.0)))[..., 0]
    assert np.abs(pixels.astype("i4") - array).max() < 10_000
    assert (pixels == 32767).any()


def test_blank_cards_are_no_parameters() -> None:
    array = noise(6, 10)
    data = by_hand([gzip.compress(row.astype(">i2").tobytes()) for row in array], **{"": ""})
    assert np.array_equal(full(opened(data))[..., 0], array)


def test_rice_parameters_that_make_no_sense_are_refused() -> None:
    data = packed(noise(20, 30), "RICE_1", (5, 30))
    for keyword, value in [("ZVAL1", 0), ("ZVAL1", 1 << 20), ("ZVAL2", 3), ("ZVAL2", 8)]:
        with pytest.raises(CorruptImage, match="Rice blocks"):
            opened(altered(data, keyword, value))


@pytest.mark.parametrize(("keyword", "value", "error", "words"), [
    ("ZCMPTYPE", "ZSTD_9", UnsupportedFeature, "ZSTD_9"),
    ("ZQUANTIZ", "SUBTRACTIVE_DITHER_3", UnsupportedFeature, "DITHER_3"),
    ("ZTILE1", 0, CorruptImage, "tiles"),
    ("ZNAXIS2", 10**6, CorruptImage, "tiles, its table only"),
    ("ZBITPIX", 24, CorruptImage, "ZBITPIX"),
    ("THEAP", 3, CorruptImage, "heap"),
    ("TFORM1", "1J", CorruptImage, "COMPRESSED_DATA"),
    ("TFORM1", "zebra", CorruptImage, "TFORM1"),
    ("TTYPE1", "DATA", CorruptImage, "COMPRESSED_DATA"),
    ("TFIELDS", 10**9, CorruptImage, "TFORM2"),
    ("ZNAME1", 5, None, ""),
])  # fmt: skip
def test_lying_headers_of_compressed_images(keyword: str, value: Any, error: Any, words: str) -> None:
    tiles = [gzip.compress(row.astype(">i2").tobytes()) for row in noise(6, 10)]
    data = by_hand(tiles, ZTILE1=10, ZQUANTIZ="NO_DITHER", ZNAME1="BLOCKSIZE", ZVAL1=32)
    if error is None:
        assert opened(altered(data, keyword, value)).info.size == (6, 10)
        return
    with pytest.raises(error, match=words):
        opened(altered(data, keyword, value))


def test_descriptors_that_leave_the_heap_or_ask_for_too_much_are_refused() -> None:
    tiles = [gzip.compress(row.astype(">i2").tobytes()) for row in noise(6, 10)]
    data = by_hand(tiles)
    table = data.index(b"END", 2880)
    table = -(-table // 2880) * 2880
    for descriptor in [(10, 10**12), (10, -5), (10**9, 0), (-1, 0), (0, 0)]:
        damaged = data[: table + 16] + struct.pack(">qq", *descriptor) + data[table + 32 :]
        reader = opened(damaged)
        assert reader.read(0, Window(0, 0, 1, 10)).shape == (1, 10, 1)
        with pytest.raises(CorruptImage, match="tile 1 "):
            reader.read(0, Window(1, 0, 2, 10))


def test_gzip_tile_that_expands_too_far_or_is_damaged_is_refused() -> None:
    array = noise(6, 10)
    good = [gzip.compress(row.astype(">i2").tobytes()) for row in array]
    bomb = gzip.compress(b"\0" * 10_000_000)
    flipped = bytearray(good[0])
    flipped[-6] ^= 1  # its checksum
    for tile in [bomb, bytes(flipped), good[0][:-4], gzip.compress(b"abc"), b"no gzip"]:
        with pytest.raises(CorruptImage, match="tile 2 "):
            full(opened(by_hand([*good[:2], tile, *good[3:]])))


def rice(data: bytes, pixels: int) -> Pixels:
    return decode(Codec("RICE_1"), data, (pixels,), "unit")


def test_rice_data_that_end_too_early_are_an_error_not_a_read_beyond() -> None:
    whole = packed(noise(1, 4000, dtype="i4"), "RICE_1", (1, 4000))
    assert full(opened(whole)).shape == (1, 4000, 1)
    with pytest.raises(RuntimeError, match="end of compressed byte stream"):
        rice(b"\0\0\0\1\x50" + b"\0" * 9, 100_000)
    for length in range(4):
        with pytest.raises(RuntimeError, match="end of compressed"):
            rice(b"\0" * length, 64)


def test_hcompress_data_of_another_size_than_the_tile_are_refused() -> None:
    data = packed(noise(32, 32), "HCOMPRESS_1", (32, 32))
    at = data.index(b"\xdd\x99")
    for offset, value in [(2, 1 << 20), (6, 33), (6, -1)]:
        lie = data[: at + offset] + struct.pack(">i", value) + data[at + offset + 4 :]
        with pytest.raises(CorruptImage, match="HCOMPRESS data declare"):
            full(opened(lie))
    with pytest.raises(CorruptImage, match="bit planes"):
        full(opened(data[: at + 22] + b"\xff" + data[at + 23 :]))


def test_truncated_heap_gives_the_tiles_that_are_there() -> None:
    array = noise(200, 100)
    data = packed(array, "RICE_1", (20, 100))
    reader = opened(data[: len(data) - 6000])
    assert np.array_equal(reader.read(0, Window(0, 0, 20, 100))[..., 0], array[:20])
    with pytest.raises(CorruptImage, match="truncated"):
        full(reader)
