import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ziggurat.errors import CorruptImage
from ziggurat.format import png as module
from ziggurat.format.exif import build_exif
from ziggurat.format.png import open_reader
from ziggurat.geometry import Window
from ziggurat.model import ColourSpace, Metadata, Resolution, Samples
from ziggurat.testing.reader_contract import Case, ReaderContract
from ziggurat.testing.sources import BytesSource, CountingSource

SIGNATURE = b"\x89PNG\r\n\x1a\n"
RNG = np.random.default_rng(3)
NOISE = RNG.integers(0, 256, (37, 53, 4), dtype=np.uint8)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    pixels: Samples, depth: int, kind: int, before: bytes = b"", after: bytes = b"", *, idat: bytes | None = None
) -> bytes:
    """A file of packed samples, made by hand."""
    height, width = pixels.shape[:2]
    rows = []
    for row in pixels:
        if depth < 8:
            bits = np.unpackbits(row.reshape(-1, 1).astype(np.uint8), axis=1)[:, 8 - depth :]
            rows.append(b"\0" + np.packbits(bits.reshape(-1)).tobytes())
        else:
            rows.append(b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes())
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    data = zlib.compress(b"".join(rows)) if idat is None else idat
    return SIGNATURE + header + before + chunk(b"IDAT", data) + after + chunk(b"IEND", b"")


def grey(depth: int) -> Callable[[], Case]:
    def make() -> Case:
        stored = RNG.integers(0, 1 << depth, (37, 53, 1), dtype=np.uint16)
        scaled = stored * (255 // ((1 << depth) - 1)) if depth < 8 else stored
        return Case(png(stored, depth, 0), (scaled.astype(np.uint16 if depth == 16 else np.uint8),))

    return make


def colours(kind: int, depth: int, bands: int) -> Callable[[], Case]:
    def make() -> Case:
        pixels = NOISE[:, :, :bands].astype(np.uint16) * 257 if depth == 16 else NOISE[:, :, :bands]
        return Case(png(pixels, depth, kind), (pixels,))

    return make


def palette(*, alpha: bool) -> Callable[[], Case]:
    def make() -> Case:
        table = RNG.integers(0, 256, (4, 3), dtype=np.uint8)
        index = RNG.integers(0, 4, (37, 53, 1), dtype=np.uint8)
        expected = table[index[:, :, 0]]
        before = chunk(b"PLTE", table.tobytes())
        if alpha:
            before += chunk(b"tRNS", b"\x00\x80")
            opacity = np.array([0, 128, 255, 255], np.uint8)[index]
            expected = np.concatenate((expected, opacity), axis=2)
        return Case(png(index, 2, 3, before), (expected,))

    return make


def key() -> Case:
    pixels = NOISE[:, :, :3].copy()
    pixels[5:9] = (1, 2, 3)
    opacity = np.where((pixels == (1, 2, 3)).all(axis=2, keepdims=True), 0, 255).astype(np.uint8)
    data = png(pixels, 8, 2, chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3)))
    return Case(data, (np.concatenate((pixels, opacity), axis=2),))


def interlaced() -> Case:
    # Adam7, PNG 8.1: seven reduced images one after another.
    pixels = NOISE[:, :, 0]
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = b"".join(b"\0" + row.tobytes() for y, x, dy, dx in passes for row in pixels[y::dy, x::dx] if row.size)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 53, 37, 8, 0, 0, 0, 1))
    data = SIGNATURE + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return Case(data, (pixels[:, :, np.newaxis],))


class TestPngReader(ReaderContract):
    format = "png"
    open_reader = staticmethod(open_reader)
    cases = {  # noqa: RUF012 - read only
        **{f"grey {depth}": grey(depth) for depth in (1, 2, 4, 8, 16)},
        "grey and alpha": colours(4, 8, 2),
        "RGB": colours(2, 8, 3),
        "RGB 16": colours(2, 16, 3),
        "RGBA": colours(6, 8, 4),
        "RGBA 16": colours(6, 16, 4),
        "palette": palette(alpha=False),
        "palette with alpha": palette(alpha=True),
        "transparent colour": key,
        "interlaced": interlaced,
    }


def info(data: bytes) -> Any:
    return open_reader(BytesSource(data)).info


PIXELS = NOISE[:, :, :3]


def test_blocks_are_found_before_and_behind_the_pixels() -> None:
    exif = build_exif({274: 3})
    icc = bytes(range(256)) * 20
    before = chunk(b"iCCP", b"name\0\0" + zlib.compress(icc)) + chunk(b"pHYs", struct.pack(">IIB", 1000, 2000, 1))
    xmp = chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<x/>"))
    found = info(png(PIXELS, 8, 2, before, chunk(b"eXIf", exif) + xmp))
    assert found.icc == icc
    assert found.resolution == Resolution(2000, 1000)
    assert found.metadata == Metadata(exif=exif, xmp=b"<x/>")
    assert found.orientation == 3


def test_srgb_chunk_gives_srgb() -> None:
    assert info(png(PIXELS, 8, 2)).colour_space == ColourSpace.RGB
    assert info(png(PIXELS, 8, 2, chunk(b"sRGB", b"\0"))).colour_space == ColourSpace.SRGB


def test_stored_depth_is_kept_in_the_details() -> None:
    found = info(grey(2)().data)
    assert found.bit_depth == 8
    assert found.details["png"] == {"bit_depth": 2, "colour_type": "grey", "interlaced": False}


@pytest.mark.parametrize("kind", [b"iCCP", b"iTXt"])
def test_decompression_bomb_is_refused(kind: bytes) -> None:
    bomb = zlib.compress(bytes(module.MAX_INFLATED + 1), 9)
    head = b"x\0\0" if kind == b"iCCP" else b"XML:com.adobe.xmp\0\1\0\0\0"
    with pytest.raises(CorruptImage, match="inflates to more"):
        info(png(PIXELS, 8, 2, chunk(kind, head + bomb)))


def test_bombs_that_nobody_asked_for_do_not_reach_the_decoder() -> None:
    bomb = chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(1 << 26), 9))
    reader = open_reader(BytesSource(png(PIXELS, 8, 2, bomb)))
    assert np.array_equal(reader.read(0, Window(0, 0, 37, 53)), PIXELS)


@pytest.mark.parametrize("kind", [b"IHDR", b"pHYs"])
def test_failed_crc_is_refused(kind: bytes) -> None:
    data = bytearray(png(PIXELS, 8, 2, chunk(b"pHYs", struct.pack(">IIB", 1000, 2000, 1))))
    data[data.index(kind) + 6] ^= 1
    with pytest.raises(CorruptImage, match="CRC"):
        info(bytes(data))


@pytest.mark.parametrize("flip", [20, 900])
def test_damaged_pixel_data_is_refused(flip: int) -> None:
    data = bytearray(png(PIXELS, 8, 2))
    data[data.index(b"IDAT") + flip] ^= 1
    with pytest.raises(CorruptImage, match="decode"):
        open_reader(BytesSource(bytes(data))).read(0, Window(0, 0, 37, 53))


def test_too_few_rows_are_refused() -> None:
    data = png(PIXELS, 8, 2, idat=zlib.compress(bytes(100)))
    with pytest.raises(CorruptImage, match="decode"):
        open_reader(BytesSource(data)).read(0, Window(0, 0, 37, 53))


@pytest.mark.parametrize(
    ("depth", "kind", "width"), [(3, 0, 5), (4, 2, 5), (8, 1, 5), (16, 3, 5), (8, 2, 0), (8, 2, 1 << 31)]
)
def test_illegal_header_is_refused(depth: int, kind: int, width: int) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 5, depth, kind, 0, 0, 0))
    with pytest.raises(CorruptImage, match="IHDR"):
        info(SIGNATURE + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def test_pixel_bomb_declares_its_cost() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1 << 20, 1 << 20, 8, 2, 0, 0, 0))
    reader = open_reader(BytesSource(SIGNATURE + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")))
    assert reader.read_cost(0, Window(0, 0, 1, 1)) > 3 << 40


def test_header_of_a_large_file_is_two_small_reads() -> None:
    pixels = RNG.integers(0, 256, (600, 800, 3), dtype=np.uint8)
    source = CountingSource(BytesSource(png(pixels, 8, 2)))
    open_reader(source)
    assert source.requests == 2
    assert source.bytes_read < 100_000


@pytest.mark.parametrize("name", ["chelsea.png", "horse.png", "phantom.png", "chessboard_GRAY.png", "text.png"])
def test_real_files_equal_another_decoder(shared_data: Path, name: str) -> None:
    data = (shared_data / "scikit-image/skimage/data" / name).read_bytes()
    reader = open_reader(BytesSource(data))
    with Image.open(io.BytesIO(data)) as image:
        modes = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
        expected = np.asarray(image.convert(modes[reader.info.bands]))
    pixels = reader.read(0, Window.full(reader.info.size))
    assert np.array_equal(pixels, expected.reshape(pixels.shape))
