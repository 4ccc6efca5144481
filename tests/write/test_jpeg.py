import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ziggurat.codec.jpeg import encode
from ziggurat.errors import TooManyPixels, UnsupportedFeature, UsageError, WriteError
from ziggurat.format.exif import build_exif
from ziggurat.geometry import Size, Window
from ziggurat.model import Alpha, ColourSpace, Metadata, Resolution, SampleKind, Samples
from ziggurat.write.jpeg import JpegOptions, JpegWriter

PLENTY = 1 << 40


@dataclass
class MemoryPicture:
    """A picture over an array that can be read in bands and remembers what was asked of it."""

    pixels: Samples
    grain: Size | None = None
    bit_depth: int = 8
    kind: SampleKind = "unsigned"
    colour_space: ColourSpace = ColourSpace.RGB
    alpha: Alpha | None = None
    icc: bytes | None = None
    resolution: Resolution | None = None
    metadata: Metadata = Metadata()  # noqa: RUF009 - frozen
    asked: list[Window] = field(default_factory=list)

    @property
    def size(self) -> Size:
        return Size(*self.pixels.shape[:2])

    @property
    def bands(self) -> int:
        return self.pixels.shape[2]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self.pixels.dtype

    def read(self, window: Window) -> Samples:
        self.asked.append(window)
        return self.pixels[window.slices()]

    def read_cost(self, window: Window) -> int:
        return 3 * window.size.pixels * self.bands


def noise(height: int = 700, width: int = 900, bands: int = 3) -> Samples:
    return np.random.default_rng(1).integers(0, 256, (height, width, bands), dtype=np.uint8)


def pillow(path: Path) -> Samples:
    with Image.open(path) as image:
        pixels = np.asarray(image)
    return pixels.reshape((*pixels.shape[:2], -1))


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("optimise", [False, True])
def test_whole_picture_is_one_plain_encoding(tmp_path: Path, bands: int, optimise: bool) -> None:  # noqa: FBT001 - parametrised
    pixels = noise(60, 80, bands)
    options = JpegOptions(quality=85, subsampling="420", optimise=optimise)
    JpegWriter(options).write(MemoryPicture(pixels), tmp_path / "x.jpg", memory=PLENTY)
    expected = encode(pixels, quality=85, subsampling="420", optimise=optimise)
    assert (tmp_path / "x.jpg").read_bytes() == expected


@pytest.mark.parametrize("subsampling", ["444", "420"])
@pytest.mark.parametrize("grain", [Size(1, 900), Size(16, 900), Size(127, 127), Size(256, 256), Size(600, 600)])
def test_bands_within_memory_hold_the_same_pixels(tmp_path: Path, subsampling: str, grain: Size) -> None:
    picture = MemoryPicture(noise(), grain)
    writer = JpegWriter(JpegOptions(subsampling=subsampling))  # type: ignore[arg-type]  # parametrised
    memory = 4 << 20
    assert writer.write_cost(picture, memory=memory) <= memory
    writer.write(picture, tmp_path / "x.jpg", memory=memory)
    assert len(picture.asked) > 1
    assert max(picture.read_cost(window) for window in picture.asked) <= memory
    expected = encode(picture.pixels, quality=92, subsampling=subsampling)  # type: ignore[arg-type]  # parametrised
    with Image.open(io.BytesIO(expected)) as image:
        assert np.array_equal(pillow(tmp_path / "x.jpg"), np.asarray(image))


def test_bands_follow_the_grain_where_it_fits() -> None:
    picture = MemoryPicture(noise(2000, 300), Size(100, 300))
    plan = JpegWriter(JpegOptions())._plan(picture, 3 << 20)
    assert plan.chunk % 200 == 0
    assert plan.chunk % plan.band == 0


def test_picture_that_is_only_whole_costs_what_it_costs(tmp_path: Path) -> None:
    picture = MemoryPicture(noise())
    writer = JpegWriter(JpegOptions())
    assert writer.write_cost(picture, memory=1 << 20) > 3 * picture.pixels.nbytes
    writer.write(picture, tmp_path / "x.jpg", memory=1 << 20)
    assert picture.asked == [Window(0, 0, 700, 900)]


def test_widest_picture_is_written_in_bands(tmp_path: Path) -> None:
    pixels = np.zeros((400, 65_500, 1), np.uint8)
    pixels[::3, ::7] = 200
    picture = MemoryPicture(pixels, Size(128, 65_500))
    JpegWriter(JpegOptions()).write(picture, tmp_path / "x.jpg", memory=40 << 20)
    with Image.open(io.BytesIO(encode(pixels, quality=92))) as image:
        assert np.array_equal(pillow(tmp_path / "x.jpg")[:, :, 0], np.asarray(image))


@pytest.mark.parametrize("memory", [PLENTY, 4 << 20])
def test_everything_beside_the_pixels_is_carried_over(tmp_path: Path, memory: int) -> None:
    meta = Metadata(build_exif({271: "x"}), b"<x/>", b"\x1c\x02\x05\x00\x01a")
    picture = MemoryPicture(
        noise(), Size(64, 900), icc=bytes(70_000), resolution=Resolution(23_622.0, 23_622.0), metadata=meta
    )
    JpegWriter(JpegOptions()).write(picture, tmp_path / "x.jpg", memory=memory)
    with Image.open(tmp_path / "x.jpg") as image:
        assert image.info["icc_profile"] == picture.icc
        assert image.info["exif"] == b"Exif\0\0" + (meta.exif or b"")
        assert image.info["xmp"] == meta.xmp
        assert image.info["photoshop"][0x0404] == meta.iptc
        assert image.info["dpi"] == (600, 600)


def test_picture_that_jpeg_cannot_hold_is_refused(tmp_path: Path) -> None:
    writer = JpegWriter(JpegOptions())
    for picture in (
        MemoryPicture(noise().astype(np.uint16)),
        MemoryPicture(noise(bands=4)),
        MemoryPicture(noise(bands=3), alpha="straight"),
    ):
        with pytest.raises(UnsupportedFeature, match="ptiff"):
            writer.write(picture, tmp_path / "x.jpg", memory=PLENTY)


@pytest.mark.parametrize("shape", [(65_501, 1, 1), (1, 65_501, 1)])
def test_side_too_long_for_jpeg_names_the_choices(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    with pytest.raises(TooManyPixels, match=r"--oversize ptiff\|downscale\|skip"):
        JpegWriter(JpegOptions()).write(MemoryPicture(np.zeros(shape, np.uint8)), tmp_path / "x.jpg", memory=PLENTY)


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="nowhere"):
        JpegWriter(JpegOptions()).write(MemoryPicture(noise()), tmp_path / "nowhere" / "x.jpg", memory=PLENTY)


@pytest.mark.parametrize("options", [{"quality": 0}, {"quality": 101}, {"subsampling": "999"}])
def test_options_that_do_not_exist_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        JpegOptions(**options)  # type: ignore[arg-type]  # wrong on purpose
