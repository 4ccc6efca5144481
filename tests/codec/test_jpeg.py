import io
import struct
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ziggurat.codec.jpeg import Segments, Subsampling, decode, encode, quantisation_tables, with_segments
from ziggurat.codec.jpeg_bands import (
    MAX_INTERVAL,
    BandedEncoder,
    BandedOptions,
    Piece,
    RestartScanner,
    band_layout,
    band_rows,
    decode_rows,
    mcu_size,
    restart_index,
)
from ziggurat.errors import CorruptImage, UnsupportedFeature, UsageError
from ziggurat.format.exif import build_exif
from ziggurat.geometry import Size
from ziggurat.model import Metadata, Resolution, Samples

SUBSAMPLINGS: tuple[Subsampling, ...] = get_args(Subsampling.__value__)
BANDS_AND_SUBSAMPLINGS = [(1, "444"), *((3, name) for name in SUBSAMPLINGS)]


def picture(height: int = 150, width: int = 101, bands: int = 3) -> Samples:
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:height, :width]
    planes = [128 + 90 * np.sin(x / (9 + k)) * np.cos(y / (7 + k)) for k in range(bands)]
    noisy = np.stack(planes, axis=2) + rng.normal(0, 9, (height, width, bands))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def pillow(data: bytes) -> Samples:
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image)
    return pixels.reshape((*pixels.shape[:2], -1))


def in_bands(pixels: Samples, subsampling: Subsampling, rows: int, extra: Segments = Segments()) -> bytes:  # noqa: B008 - frozen
    file = io.BytesIO()
    encoder = BandedEncoder(file, Size(*pixels.shape[:2]), BandedOptions(92, subsampling, rows), extra)
    for y0 in range(0, len(pixels), rows):
        encoder.write(pixels[y0 : y0 + rows])
    encoder.finish()
    return file.getvalue()


def model(bands: int) -> Any:
    return "GRAYSCALE" if bands == 1 else "YCBCR"


@pytest.mark.parametrize("quality", [10, 75, 92, 100])
@pytest.mark.parametrize(("name", "number"), [("444", 0), ("422", 1), ("420", 2)])
def test_encoding_equals_that_of_another_program(quality: int, name: Any, number: int) -> None:
    pixels = picture()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=number)
    assert encode(pixels, quality=quality, subsampling=name) == file.getvalue()


def test_optimised_codes_hold_the_same_pixels_in_fewer_bytes() -> None:
    plain, optimised = (encode(picture(), quality=92, optimise=on) for on in (False, True))
    assert len(optimised) < len(plain)
    assert np.array_equal(pillow(plain), pillow(optimised))


@pytest.mark.parametrize("pixels", [np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4), np.uint8), picture() / 2])
def test_other_pixels_are_refused(pixels: Samples) -> None:
    with pytest.raises(UsageError):
        encode(pixels, quality=90)


@pytest.mark.parametrize(("bands", "subsampling"), BANDS_AND_SUBSAMPLINGS)
@pytest.mark.parametrize("rows", [16, 48, 144])
def test_joined_bands_equal_a_single_encoding(bands: int, subsampling: Subsampling, rows: int) -> None:
    pixels = picture(bands=bands)
    single = encode(pixels, quality=92, subsampling=subsampling)
    assert np.array_equal(pillow(in_bands(pixels, subsampling, rows)), pillow(single))


def test_many_bands_use_all_restart_markers() -> None:
    pixels = picture(height=200)
    joined = in_bands(pixels, "444", 8)
    assert np.array_equal(pillow(joined), pillow(encode(pixels, quality=92)))
    assert all(joined.count(bytes((0xFF, 0xD0 + k))) >= 3 for k in range(8))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(BANDS_AND_SUBSAMPLINGS), st.sampled_from([16, 32, 64]), st.data())
def test_rows_decoded_from_their_intervals_equal_the_full_decode(
    kind: tuple[int, Subsampling], rows: int, data: st.DataObject
) -> None:
    bands, subsampling = kind
    jpeg = in_bands(picture(bands=bands), subsampling, rows)
    layout = band_layout(jpeg, name="test")
    assert layout is not None
    y0 = data.draw(st.integers(0, 149))
    y1 = data.draw(st.integers(y0 + 1, 150))
    first, end = layout.intervals(y0, y1)
    spans = restart_index(jpeg, layout, name="test")[first:end]
    piece = Piece(first, spans, jpeg[spans[0, 0] : spans[-1, 1]])
    pixels = decode_rows(layout, piece, (y0, y1), model(bands), name="test")
    assert np.array_equal(pixels, pillow(jpeg)[y0:y1])


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=30))
@settings(deadline=None, max_examples=40)
def test_restart_markers_are_found_across_any_blocks(sizes: list[int]) -> None:
    jpeg = in_bands(picture(), "444", 8)
    layout = band_layout(jpeg, name="test")
    assert layout is not None
    scanner = RestartScanner(layout)
    at, turn = layout.start, 0
    while scanner.end is None:
        size = sizes[turn % len(sizes)]
        scanner.feed(jpeg[at : at + size])
        at, turn = at + size, turn + 1
    assert np.array_equal(scanner.finish(name="test"), restart_index(jpeg, layout, name="test"))


@given(st.integers(1, 65_500), st.sampled_from(BANDS_AND_SUBSAMPLINGS), st.integers(1, 70_000))
def test_bands_are_whole_units_within_both_limits(width: int, kind: tuple[int, Subsampling], limit: int) -> None:
    bands, subsampling = kind
    rows = band_rows(width, bands, subsampling, limit)
    mcu = mcu_size(bands, subsampling)
    assert rows >= mcu.height
    assert rows % mcu.height == 0
    assert rows <= max(limit, mcu.height)
    assert rows // mcu.height * -(-width // mcu.width) <= MAX_INTERVAL


def test_file_without_whole_row_intervals_has_no_bands() -> None:
    file = io.BytesIO()
    Image.fromarray(picture()).save(file, "JPEG", restart_marker_blocks=3)
    assert band_layout(file.getvalue(), name="test") is None
    assert band_layout(encode(picture(), quality=80), name="test") is None


def test_band_of_the_wrong_size_is_refused() -> None:
    encoder = BandedEncoder(io.BytesIO(), Size(64, 101), BandedOptions(92, "444", 16), Segments())
    with pytest.raises(UsageError, match="due"):
        encoder.write(picture(17))
    encoder.write(picture(16))
    with pytest.raises(UsageError, match="16 of 64 rows"):
        encoder.finish()


def test_bands_that_are_no_whole_units_are_refused() -> None:
    encoder = BandedEncoder(io.BytesIO(), Size(64, 101), BandedOptions(92, "420", 24), Segments())
    with pytest.raises(UsageError, match="whole MCU rows"):
        encoder.write(picture(24))


def test_other_programs_read_what_is_put_in() -> None:
    exif = build_exif({271: "Phase One", 274: 1})
    icc = bytes(range(256)) * 1000
    meta = Metadata(exif, b"<x:xmpmeta/>", b"\x1c\x02\x05\x00\x03abc")
    extra = Segments(Resolution(11_811.0, 11_811.0), icc, meta)
    for data in (with_segments(encode(picture(), quality=80), extra), in_bands(picture(), "444", 16, extra)):
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert image.info["icc_profile"] == icc
            assert image.info["exif"] == b"Exif\0\0" + exif
            assert image.info["xmp"] == meta.xmp
            assert image.info["dpi"] == (300, 300)
            assert image.info["photoshop"][0x0404] == meta.iptc


@pytest.mark.parametrize(
    ("y", "x", "unit", "density"),
    [(3_000, 3_000, 2, (30, 30)), (11_811, 5_905.5, 1, (150, 300)), (1e9, 1, 1, (1, 65_535))],
)
def test_resolution_takes_the_closer_unit(y: float, x: float, unit: int, density: tuple[int, int]) -> None:
    data = with_segments(encode(picture(), quality=80), Segments(Resolution(y, x)))
    assert struct.unpack_from(">BHH", data, 13) == (unit, *density)


@pytest.mark.parametrize("name", ["exif", "xmp", "iptc"])
def test_block_too_large_for_a_segment_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedFeature, match=name.upper()):
        with_segments(encode(picture(), quality=80), Segments(metadata=Metadata(**{name: bytes(65_534)})))


def test_profile_too_large_for_jpeg_is_refused() -> None:
    with pytest.raises(UnsupportedFeature, match="ICC"):
        with_segments(encode(picture(), quality=80), Segments(icc=bytes(65_519 * 255 + 1)))


def test_quantisation_tables_equal_pillows() -> None:
    data = encode(picture(), quality=92, subsampling="420")
    with Image.open(io.BytesIO(data)) as image:
        expected = image.quantization  # type: ignore[attr-defined]  # of JPEG images only
    tables = quantisation_tables(data)
    zigzag = sorted(range(64), key=lambda k: (k // 8 + k % 8, k // 8 if (k // 8 + k % 8) % 2 else k % 8))
    assert len(tables) == 2
    for number, table in enumerate(tables):
        assert sorted(table.tolist()) == sorted(expected[number])
        assert table.tolist() == [expected[number][k] for k in zigzag] or table.tolist() == list(expected[number])


def test_quantisation_table_cut_short_is_refused() -> None:
    with pytest.raises(CorruptImage, match="cut short"):
        quantisation_tables(b"\xff\xd8\xff\xdb\0\x05\0\1\2\xff\xd9")


@pytest.mark.parametrize("tail", [b"", b"\xff\xd9"])
@settings(deadline=None, max_examples=40)
@given(cut=st.floats(0.05, 0.98))
def test_lost_pixel_data_never_passes_for_grey(tail: bytes, cut: float) -> None:
    jpeg = encode(picture(), quality=92, subsampling="420")
    start = jpeg.index(b"\xff\xda") + 14
    part = jpeg[: start + round((len(jpeg) - start) * cut)].rstrip(b"\xff")
    with pytest.raises(CorruptImage):
        decode(part + tail, "YCBCR", name="test")


def test_scans_beyond_count_are_refused() -> None:
    file = io.BytesIO()
    Image.fromarray(picture(16, 16)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(CorruptImage, match="scans"):
        decode(data[:-2] + scan * 1200 + b"\xff\xd9", "YCBCR", name="test")
