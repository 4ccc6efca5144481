import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest

from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format.exif import build_exif
from ziggurat.format.jpegxl import open_reader
from ziggurat.format.jpegxl_bits import parse_header
from ziggurat.geometry import Window
from ziggurat.model import ColourSpace, Metadata, Samples
from ziggurat.testing.reader_contract import Case, ReaderContract
from ziggurat.testing.sources import BytesSource

NOISE = np.random.default_rng(5).integers(0, 256, (45, 61, 4), dtype=np.uint8)


def lossless(pixels: Samples, **options: Any) -> Callable[[], Case]:
    def make() -> Case:
        single = pixels if pixels.shape[2] > 1 else pixels[:, :, 0]
        data = imagecodecs.jpegxl_encode(np.ascontiguousarray(single), lossless=True, effort=3, **options)
        return Case(data, (pixels,))

    return make


class TestJpegXlReader(ReaderContract):
    format = "jxl"
    open_reader = staticmethod(open_reader)
    cases = {  # noqa: RUF012 - read only
        "RGB": lossless(NOISE[:, :, :3]),
        "bare codestream": lossless(NOISE[:, :, :3], usecontainer=False),
        "container": lossless(NOISE[:, :, :3], usecontainer=True),
        "grey": lossless(NOISE[:, :, :1]),
        "grey and alpha": lossless(NOISE[:, :, :2]),
        "RGBA": lossless(NOISE),
        "10 bits": lossless(NOISE[:, :, :3].astype(np.uint16) * 4, bitspersample=10),
        "16 bits": lossless(NOISE[:, :, :3].astype(np.uint16) * 257),
        "float": lossless(NOISE[:, :, :3].astype(np.float32) / 255),
    }


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + kind + body


@pytest.mark.parametrize(
    "shape", [(8, 8), (64, 96), (256, 256), (1, 1), (513, 1), (7, 9000), (1080, 1920), (300, 400), (100, 120)]
)
def test_every_form_of_the_size_is_read(shape: tuple[int, int]) -> None:
    data = imagecodecs.jpegxl_encode(np.zeros(shape, np.uint8), lossless=True, effort=1, usecontainer=False)
    header = parse_header(data, "test")
    assert (header.height, header.width, header.grey) == (*shape, True)


def test_blocks_of_the_container_are_found_and_compressed_ones_named() -> None:
    stream = imagecodecs.jpegxl_encode(NOISE[:, :, :3], lossless=True, usecontainer=True)
    exif = build_exif({271: "x"})
    extra = box(b"Exif", bytes(4) + exif) + box(b"xml ", b"<x/>") + box(b"brob", b"jumb" + b"\x0b")
    info = open_reader(BytesSource(stream + extra)).info
    assert info.metadata == Metadata(exif=exif, xmp=b"<x/>")
    assert info.details["jxl"]["compressed_boxes_left_out"] == ["jumb"]  # type: ignore[index, call-overload]  # JSON


def test_codestream_in_parts_is_put_together() -> None:
    stream = imagecodecs.jpegxl_encode(NOISE[:, :, :3], lossless=True, usecontainer=False)
    start = imagecodecs.jpegxl_encode(NOISE[:, :, :3], lossless=True, usecontainer=True)[:32]
    parts = box(b"jxlp", bytes(4) + stream[:3]) + box(b"jxlp", b"\x80\0\0\1" + stream[3:])
    reader = open_reader(BytesSource(start + parts))
    assert np.array_equal(reader.read(0, Window(0, 0, 45, 61)), NOISE[:, :, :3])


def test_lossy_default_is_srgb_stored_as_xyb() -> None:
    info = open_reader(BytesSource(imagecodecs.jpegxl_encode(NOISE[:, :, :3], distance=1.0))).info
    assert info.colour_space == ColourSpace.SRGB
    assert info.details["jxl"]["xyb"] is True  # type: ignore[index, call-overload]  # JSON


def test_recompressed_jpeg_is_read() -> None:
    jpeg = imagecodecs.jpeg8_encode(np.ascontiguousarray(NOISE[:, :, :3]), 90)
    reader = open_reader(BytesSource(imagecodecs.jpegxl_encode_jpeg(jpeg)))
    pixels = reader.read(0, Window(0, 0, 45, 61))
    assert np.abs(pixels.astype(int) - imagecodecs.jpeg8_decode(jpeg)).mean() < 3
    assert reader.info.details["jxl"]["reconstructs_jpeg"] is True  # type: ignore[index, call-overload]  # JSON


def test_more_extra_channels_than_alpha_are_refused_by_name() -> None:
    planes = np.ascontiguousarray(np.moveaxis(NOISE, 2, 0))
    data = imagecodecs.jpegxl_encode(planes, lossless=True, planar=True, photometric="GRAY")
    with pytest.raises(UnsupportedFeature, match="extra channels"):
        open_reader(BytesSource(data))


def test_header_cut_short_is_refused() -> None:
    with pytest.raises(CorruptImage, match="truncated"):
        open_reader(BytesSource(b"\xff\x0a\x18"))
