import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ziggurat.errors import CorruptImage
from ziggurat.format.exif import build_exif
from ziggurat.format.webp import open_reader
from ziggurat.geometry import Size, Window
from ziggurat.model import ColourSpace, Metadata
from ziggurat.testing.reader_contract import Case, ReaderContract
from ziggurat.testing.sources import BytesSource

NOISE = np.random.default_rng(5).integers(0, 256, (45, 61, 4), dtype=np.uint8)


def webp(bands: int = 3, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(NOISE[:, :, :bands])).save(file, "WEBP", **options)
    return file.getvalue()


def case(bands: int, **options: Any) -> Callable[[], Case]:
    def make() -> Case:
        data = webp(bands, **options)
        if options.get("lossless"):
            return Case(data, (NOISE[:, :, :bands],))
        with Image.open(io.BytesIO(data)) as image:
            return Case(data, (np.asarray(image.convert("RGB" if bands == 3 else "RGBA")),))

    return make


class TestWebpReader(ReaderContract):
    format = "webp"
    open_reader = staticmethod(open_reader)
    cases = {  # noqa: RUF012 - read only
        "lossy": case(3, quality=80),
        "lossy with alpha": case(4, quality=80),
        "lossless": case(3, lossless=True),
        "lossless with alpha": case(4, lossless=True, exact=True),
        "extended": case(3, lossless=True, exif=build_exif({274: 6})),
    }


def test_blocks_are_found() -> None:
    exif = build_exif({274: 6, 282: (72, 1), 283: (72, 1)})
    info = open_reader(BytesSource(webp(exif=exif, xmp=b"<x/>", icc_profile=b"profile!"))).info
    assert info.metadata == Metadata(exif=exif, xmp=b"<x/>")
    assert info.icc == b"profile!"
    assert info.orientation == 6
    assert info.resolution is not None
    assert info.colour_space == ColourSpace.RGB


def test_without_profile_it_is_srgb() -> None:
    assert open_reader(BytesSource(webp())).info.colour_space == ColourSpace.SRGB


def test_first_frame_of_an_animation_is_read() -> None:
    other = Image.fromarray(255 - NOISE[:, :, :3])
    reader = open_reader(BytesSource(webp(save_all=True, append_images=[other], lossless=True)))
    assert reader.info.details["webp"] == {"coding": "animation", "frames": 2}
    assert reader.info.size == Size(45, 61)
    assert np.array_equal(reader.read(0, Window(0, 0, 45, 61)), NOISE[:, :, :3])


def test_size_that_lies_is_found_when_decoding() -> None:
    data = bytearray(webp(exif=build_exif({274: 1}), quality=80))
    data[data.index(b"VP8X") + 12] += 3
    reader = open_reader(BytesSource(bytes(data)))
    with pytest.raises(CorruptImage):
        reader.read(0, Window.full(reader.info.size))


def test_container_without_image_is_refused() -> None:
    with pytest.raises(CorruptImage, match="no image"):
        open_reader(BytesSource(b"RIFF\x04\0\0\0WEBP"))
