import io
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageOps

from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format.avif import _ORIENTATIONS, open_reader
from ziggurat.format.exif import build_exif
from ziggurat.geometry import Window
from ziggurat.model import ColourSpace, Samples
from ziggurat.testing.reader_contract import Case, ReaderContract
from ziggurat.testing.sources import BytesSource


def picture(bands: int, depth: int = 8) -> Samples:
    y, x = np.mgrid[:48, :70]
    planes = [(np.sin(x / (5 + k)) * np.cos(y / 6) + 1) / 2 for k in range(bands)]
    kind = np.uint8 if depth == 8 else np.uint16
    return (np.stack(planes, axis=2) * ((1 << depth) - 1)).astype(kind)


def coded(bands: int, depth: int = 8) -> Callable[[], Case]:
    def make() -> Case:
        pixels = picture(bands, depth)
        single = pixels if bands > 1 else pixels[:, :, 0]
        data = imagecodecs.avif_encode(single, level=95, bitspersample=depth, speed=8)
        return Case(data, (pixels,), tolerance=24 << (depth - 8))

    return make


def pillow(mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(4)).convert(mode).save(file, "AVIF", quality=95, speed=8, **options)
    return file.getvalue()


def grey_with_alpha() -> Case:
    data = pillow("LA")
    with Image.open(io.BytesIO(data)) as image:
        return Case(data, (np.asarray(image.convert("RGBA")),), tolerance=3)


class TestAvifReader(ReaderContract):
    format = "avif"
    open_reader = staticmethod(open_reader)
    cases = {  # noqa: RUF012 - read only
        "RGB": coded(3),
        "grey": coded(1),
        "10 bits": coded(3, 10),
        "12 bits": coded(3, 12),
        "RGBA": coded(4),
        "grey and alpha": grey_with_alpha,
    }


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_and_mirrors_become_the_orientation(orientation: int) -> None:
    # libavif turns EXIF's number into irot and imir when it writes.
    data = pillow(exif=build_exif({274: orientation}))
    reader = open_reader(BytesSource(data))
    assert reader.info.orientation == orientation
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(reader.read(0, Window.full(reader.info.size)), np.asarray(image))


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_orientation_equals_turning_and_then_mirroring(turns: int, axis: int | None) -> None:
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3)
    expected = np.rot90(stored, turns)
    if axis is not None:
        # 23008-12 6.5.12: 0 exchanges top and bottom, 1 left and right.
        expected = np.flip(expected, axis)
    tagged = Image.fromarray(stored)
    tags = Image.Exif()
    tags[274] = _ORIENTATIONS[turns, axis]
    tagged.info["exif"] = tags.tobytes()
    assert np.array_equal(np.asarray(ImageOps.exif_transpose(tagged)), expected)


def test_blocks_are_found() -> None:
    exif = build_exif({271: "x"})
    info = open_reader(BytesSource(pillow(exif=exif, xmp=b"<x/>"))).info
    assert info.metadata.exif == exif
    assert info.metadata.xmp == b"<x/>"
    assert info.colour_space == ColourSpace.SRGB


def test_profile_is_found() -> None:
    from PIL import ImageCms  # noqa: PLC0415 - not in every build of Pillow

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert open_reader(BytesSource(pillow(icc_profile=profile))).info.icc == profile


def test_first_frame_of_a_sequence_is_read() -> None:
    frames = np.stack((picture(3), 255 - picture(3)))
    reader = open_reader(BytesSource(imagecodecs.avif_encode(frames, level=95, speed=8)))
    pixels = reader.read(0, Window.full(reader.info.size))
    assert np.abs(pixels.astype(int) - picture(3)).max() <= 24
    assert reader.info.details["avif"]["sequence"] is True  # type: ignore[index, call-overload]  # JSON


def test_file_without_meta_box_is_refused() -> None:
    data = pillow()
    with pytest.raises(CorruptImage, match="no meta box"):
        open_reader(BytesSource(data.replace(b"meta", b"free", 1)))


def test_other_codec_in_the_same_container_is_named() -> None:
    with pytest.raises(UnsupportedFeature, match="hvc1"):
        open_reader(BytesSource(pillow().replace(b"av01", b"hvc1")))
