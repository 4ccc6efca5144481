import io
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from ziggurat import __version__
from ziggurat.errors import TooManyPixels, UnsupportedFeature, UsageError, WriteError
from ziggurat.format.exif import build_exif, read_exif
from ziggurat.format.tiff import open_reader
from ziggurat.geometry import Size, Window
from ziggurat.model import ColourSpace, Metadata, Resolution
from ziggurat.pyramid import halve
from ziggurat.storage.local import LocalSource
from ziggurat.write.bands import plan_bands, tile_rows
from ziggurat.write.ptiff import PtiffOptions
from ziggurat.write.ptiff.writer import PtiffWriter

type Pixels = np.ndarray[Any, np.dtype[Any]]

MEMORY = 1 << 28
LOSSLESS = ["none", "deflate", "zstd", "lzw"]
IPTC = b"\x1c\x02\x00\x00\x02\x00\x02\x1c\x02\x05\x00\x04barn"


@dataclass
class ArrayPicture:
    """A picture over an array that counts its reads."""

    array: Pixels
    colour_space: ColourSpace = ColourSpace.SRGB
    alpha: str | None = None
    icc: bytes | None = None
    resolution: Resolution | None = None
    metadata: Metadata = field(default_factory=Metadata)
    grain: Size | None = field(default_factory=lambda: Size(64, 64))
    kind: str = "unsigned"
    windows: list[Window] = field(default_factory=list)

    @property
    def size(self) -> Size:
        return Size(*self.array.shape[:2])

    @property
    def bands(self) -> int:
        return self.array.shape[2]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    @property
    def bit_depth(self) -> int:
        return self.array.dtype.itemsize * 8

    def read(self, window: Window) -> Pixels:
        self.windows.append(window)
        return self.array[window.slices()]

    def read_cost(self, window: Window) -> int:
        # As if decoding took five bytes for each sample of the result.
        return window.size.pixels * self.bands * (self.dtype.itemsize + 5)


def scene(height: int, width: int, bands: int, dtype: str = "u1") -> Pixels:
    """Smooth shapes with some noise, in the middle of the type's range."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(y / 30 + band) * np.cos(x / 40) for band in range(bands)], axis=-1)
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return waves.astype(dtype)
    top = np.iinfo(dtype).max
    noise = np.random.default_rng(0).normal(0, top / 100, waves.shape)
    return np.clip(top * (0.5 + 0.4 * waves) + noise, 0, top).astype(dtype)


def picture(height: int, width: int, bands: int, dtype: str = "u1", **more: Any) -> ArrayPicture:
    more.setdefault("colour_space", ColourSpace.GREY if bands < 3 else ColourSpace.SRGB)
    more.setdefault("alpha", "straight" if bands in {2, 4} and more["colour_space"] != ColourSpace.CMYK else None)
    return ArrayPicture(scene(height, width, bands, dtype), **more)


def written(path: Path, source: ArrayPicture, *, memory: int = MEMORY, **options: Any) -> Path:
    PtiffWriter(PtiffOptions(**options)).write(source, path, memory=memory)
    return path


def reference(array: Pixels, tile: int) -> list[Pixels]:
    """All levels as halve() makes them from whole arrays."""
    levels = [array]
    while max(levels[-1].shape[:2]) > tile:
        levels.append(halve(levels[-1]))
    return levels


def stored(path: Path, pyramid: str) -> list[Pixels]:
    """All levels as tifffile decodes them, by their place in the file."""
    with tifffile.TiffFile(path) as tif:
        first = tif.pages[0]
        coarser = tif.pages[1:] if pyramid == "pages" else list(first.pages or [])
        return [page.asarray() for page in (first, *coarser)]


def check(path: Path, source: ArrayPicture, pyramid: str, tile: int, *, off: float = 0.0) -> None:
    expected = reference(source.array, tile)
    found = stored(path, pyramid)
    assert [level.shape[:2] for level in found] == [level.shape[:2] for level in expected]
    for level, original in zip(found, expected, strict=True):
        pixels = level.reshape(original.shape)
        if off:
            assert np.abs(pixels.astype(float) - original).mean() < off
        else:
            assert pixels.dtype == original.dtype
            assert np.array_equal(pixels, original)


@pytest.mark.parametrize("compression", LOSSLESS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (513, 1, 1), (1, 200, 3), (300, 277, 4), (130, 260, 1)])
def test_every_level_is_half_of_the_finer_one_exactly(
    tmp_path: Path, compression: str, dtype: str, shape: tuple[int, ...]
) -> None:
    source = picture(*shape, dtype)
    path = written(tmp_path / "a.tif", source, compression=compression, tile=64)
    check(path, source, "pages", 64)


@pytest.mark.parametrize("pyramid", ["pages", "subifd", "ome"])
def test_every_layout_holds_all_levels(tmp_path: Path, pyramid: str) -> None:
    source = picture(1000, 777, 3)
    path = written(tmp_path / "a.tif", source, compression="zstd", tile=128, pyramid=pyramid)
    check(path, source, pyramid, 128)
    info = open_reader(LocalSource(path)).info
    assert [level.shape for level in info.levels] == [level.shape[:2] for level in reference(source.array, 128)]
    with tifffile.TiffFile(path) as tif:
        assert len(tif.pages) == (4 if pyramid == "pages" else 1)


@pytest.mark.parametrize(("dtype", "bands"), [("i2", 1), ("u4", 3), ("f8", 1), ("i1", 2), ("u8", 1), ("f2", 3)])
def test_unusual_sample_types_stay_exact(tmp_path: Path, dtype: str, bands: int) -> None:
    source = picture(90, 70, bands, dtype)
    source.array = source.array if dtype != "u8" else source.array // 8
    path = written(tmp_path / "a.tif", source, compression="deflate", tile=32)
    check(path, source, "pages", 32)


@given(
    shape=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    bands=st.sampled_from([1, 3, 4]),
    tile=st.sampled_from([16, 32, 48]),
    memory=st.sampled_from([0, 200_000, 1 << 28]),
    grain=st.one_of(st.none(), st.tuples(st.integers(1, 100), st.integers(1, 100))),
)
@settings(max_examples=60, deadline=None)
def test_size_grain_and_memory_never_change_the_pixels(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, ...],
    bands: int,
    tile: int,
    memory: int,
    grain: tuple[int, int] | None,
) -> None:
    source = picture(*shape, bands, grain=None if grain is None else Size(*grain))
    path = written(tmp_path_factory.mktemp("p") / "a.tif", source, memory=memory, compression="none", tile=tile)
    check(path, source, "pages", tile)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1000, 777, 3), (513, 1, 1), (400, 500, 1)])
@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_jpeg_levels_are_close(tmp_path: Path, shape: tuple[int, ...], subsampling: str) -> None:
    source = picture(*shape)
    path = written(tmp_path / "a.tif", source, quality=95, subsampling=subsampling, tile=128)
    check(path, source, "pages", 128, off=3)
    with tifffile.TiffFile(path) as tif:
        tags = tif.pages[0].tags
        if shape[2] == 3:
            assert tags[262].value == 6
            assert tags[530].value == {"444": (1, 1), "422": (2, 1), "420": (2, 2)}[subsampling]
        else:
            assert tags[262].value == 1


def test_webp_keeps_alpha_and_closeness(tmp_path: Path) -> None:
    for bands in (3, 4):
        source = picture(200, 300, bands)
        source.array[..., 3:] |= 128
        check(written(tmp_path / "a.tif", source, compression="webp", tile=128), source, "pages", 128, off=6)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_jpeg2000_is_lossless_unless_decibels_are_given(tmp_path: Path, dtype: str, bands: int) -> None:
    source = picture(200, 150, bands, dtype)
    check(written(tmp_path / "a.tif", source, compression="jpeg2000", tile=64), source, "pages", 64)
    lossless = (tmp_path / "a.tif").stat().st_size
    path = written(tmp_path / "b.tif", source, compression="jpeg2000", tile=64, psnr=35)
    assert path.stat().st_size < lossless / 2


def test_colour_spaces_return_as_they_were(tmp_path: Path) -> None:
    cases = [
        picture(40, 50, 4, colour_space=ColourSpace.CMYK),
        picture(40, 50, 3, colour_space=ColourSpace.LAB),
        picture(40, 50, 3, "u2", colour_space=ColourSpace.LAB),
        picture(40, 50, 1, colour_space=ColourSpace.GREY_INVERTED),
        picture(40, 50, 5, colour_space=ColourSpace.CMYK, alpha="straight"),
        picture(40, 50, 4, alpha="premultiplied"),
    ]
    for source in cases:
        path = written(tmp_path / "a.tif", source, compression="deflate", tile=32)
        reader = open_reader(LocalSource(path))
        expected = ColourSpace.RGB if source.colour_space is ColourSpace.SRGB else source.colour_space
        assert (reader.info.colour_space, reader.info.alpha) == (expected, source.alpha)
        assert np.array_equal(reader.read(0, Window(0, 0, 40, 50)), source.array)


def test_profile_resolution_and_metadata_are_carried(tmp_path: Path) -> None:
    source = picture(
        300,
        200,
        3,
        icc=b"i" * 500,
        resolution=Resolution(y=23622.0, x=11811.0),
        metadata=Metadata(
            exif=build_exif({270: "A barn", 271: "Maker", 306: "2020:01:02 03:04:05", 315: "Ann"}),
            xmp=b"<x:xmpmeta/>",
            iptc=IPTC,
        ),
    )
    path = written(tmp_path / "a.tif", source, tile=128)
    info = open_reader(LocalSource(path)).info
    assert info.icc == source.icc
    assert info.resolution == Resolution(y=pytest.approx(23622), x=pytest.approx(11811))
    assert (info.metadata.xmp, info.metadata.iptc) == (b"<x:xmpmeta/>", IPTC)
    exif = read_exif(info.metadata.exif)
    assert [exif[code] for code in (270, 271, 306, 315)] == ["A barn", "Maker", "2020:01:02 03:04:05", "Ann"]
    with tifffile.TiffFile(path) as tif:
        assert tif.pages[0].software == f"Ziggurat {__version__}"
        assert [page.subfiletype for page in tif.pages] == [0, 1, 1]


@pytest.mark.parametrize("text", ["Aperio Image Library v1", "<OME></OME>", '{"shape": [9, 9]}'])
def test_a_description_that_marks_another_dialect_is_left_behind(tmp_path: Path, text: str) -> None:
    source = picture(20, 20, 3, metadata=Metadata(exif=build_exif({270: text})))
    with tifffile.TiffFile(written(tmp_path / "a.tif", source)) as tif:
        assert 270 not in tif.pages[0].tags


def test_ome_xml_describes_the_pixels(tmp_path: Path) -> None:
    source = picture(300, 200, 3, resolution=Resolution(y=4e6, x=2e6))
    path = written(tmp_path / "a.ome.tif", source, tile=128, pyramid="ome")
    with tifffile.TiffFile(path) as tif:
        assert tif.is_ome
        assert tif.series[0].kind == "ome"
        assert [level.shape for level in tif.series[0].levels] == [(300, 200, 3), (150, 100, 3), (75, 50, 3)][:3]
        root = ET.fromstring(tif.pages[0].description)  # noqa: S314 - made above
    space = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
    pixels = root.find(f"{space}Image/{space}Pixels")
    assert (pixels.get("SizeX"), pixels.get("SizeY"), pixels.get("SizeC")) == ("200", "300", "3")
    assert (pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit")) == ("0.5", "µm")
    assert [child.tag.removeprefix(space) for child in pixels] == ["Channel", "TiffData"]


@pytest.mark.parametrize("compression", ["jpeg", "deflate", "lzw", "none"])
def test_libtiff_reads_every_page(tmp_path: Path, compression: str) -> None:
    source = picture(300, 277, 3)
    path = written(tmp_path / "a.tif", source, compression=compression, tile=128)
    with PillowImage.open(path) as image:
        for number, expected in enumerate(reference(source.array, 128)):
            image.seek(number)
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - expected).mean() < 3


@pytest.mark.skipif(shutil.which("vips") is None, reason="libvips' command line is not installed")
@pytest.mark.parametrize("compression", ["jpeg", "deflate", "zstd", "webp"])
@pytest.mark.parametrize("pyramid", ["pages", "subifd"])
def test_libvips_reads_every_level(tmp_path: Path, compression: str, pyramid: str) -> None:
    source = picture(300, 277, 3)
    path = written(tmp_path / "a.tif", source, compression=compression, tile=128, pyramid=pyramid)
    for number, expected in enumerate(reference(source.array, 128)):
        place = f"page={number}" if pyramid == "pages" else f"subifd={number - 1}"
        subprocess.run(["vips", "copy", f"{path}[{place}]", str(tmp_path / "o.ppm")], check=True)
        with PillowImage.open(tmp_path / "o.ppm") as image:
            assert np.abs(np.asarray(image).astype(int) - expected).mean() < 6


def test_every_file_is_a_big_tiff(tmp_path: Path) -> None:
    with tifffile.TiffFile(written(tmp_path / "a.tif", picture(50, 50, 3), tile=32)) as tif:
        assert tif.is_bigtiff


@pytest.mark.parametrize(
    ("source", "compression"),
    [
        (picture(8, 8, 4), "jpeg"),
        (picture(8, 8, 3, "u2"), "jpeg"),
        (picture(8, 8, 4, colour_space=ColourSpace.CMYK), "jpeg"),
        (picture(8, 8, 3, colour_space=ColourSpace.LAB), "jpeg"),
        (picture(8, 8, 1), "webp"),
        (picture(8, 8, 3, "f4"), "jpeg2000"),
        (picture(8, 8, 4, alpha=None), "webp"),
    ],
)
def test_a_picture_that_does_not_fit_is_refused_with_an_alternative(
    tmp_path: Path, source: ArrayPicture, compression: str
) -> None:
    with pytest.raises(UnsupportedFeature, match="deflate"):
        written(tmp_path / "a.tif", source, compression=compression)
    assert not list(tmp_path.iterdir())


def test_refusals(tmp_path: Path) -> None:
    for wrong in ({"tile": 100}, {"tile": 0}, {"quality": 101}, {"compression": "gif"}, {"pyramid": "zoom"}):
        with pytest.raises(UsageError):
            PtiffOptions(**wrong)
    with pytest.raises(UnsupportedFeature, match="sRGB"):
        written(tmp_path / "a.tif", picture(8, 8, 3, colour_space=ColourSpace.ESRGB))
    with pytest.raises(WriteError, match=r"nowhere"):
        written(tmp_path / "nowhere" / "a.tif", picture(8, 8, 3))

    class Endless(ArrayPicture):
        size = Size(10, 1 << 31)

    with pytest.raises(TooManyPixels):
        written(tmp_path / "a.tif", Endless(scene(2, 2, 3)))


def test_less_memory_means_smaller_reads_and_a_lower_cost() -> None:
    source = picture(600, 900, 3, grain=Size(256, 256))
    writer = PtiffWriter(PtiffOptions(tile=64))
    costs = [writer.write_cost(source, memory=memory) for memory in (1 << 30, 3_000_000, 0)]
    assert costs[0] > costs[1] > costs[2]
    assert costs[1] <= 3_000_000
    generous, scarce = (plan_bands(source, 64, memory=memory) for memory in (1 << 30, 0))
    assert (generous.rows, generous.columns) == (256, 900)
    assert (scarce.rows, scarce.columns) == (64, 256)


def test_a_picture_that_is_only_read_whole_is_read_once() -> None:
    source = picture(300, 200, 3, grain=None)
    rows = list(tile_rows(source, plan_bands(source, 64, memory=0), 64))
    assert source.windows == [Window(0, 0, 300, 200)]
    assert np.array_equal(np.concatenate(rows), source.array)


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    paths = [written(tmp_path / name, picture(200, 200, 3), tile=64) for name in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from ziggurat.geometry import Size
from ziggurat.model import ColourSpace, Metadata
from ziggurat.write.ptiff import PtiffOptions
from ziggurat.write.ptiff.writer import PtiffWriter

class Generated:
    size, bands, dtype, bit_depth = Size(12000, 12000), 3, np.dtype("u1"), 8
    kind, colour_space, alpha, icc, resolution = "unsigned", ColourSpace.SRGB, None, None, None
    metadata, grain = Metadata(), Size(512, 512)

    def read(self, window):
        y = np.arange(window.y0, window.y1, dtype="u4")[:, None]
        x = np.arange(window.x0, window.x1, dtype="u4")[None]
        result = np.empty((*window.size, 3), "u1")
        for band in range(3):
            result[..., band] = (y * (3 + band) + x * 5) >> 5
        return result

    def read_cost(self, window):
        return window.size.pixels * (3 + 5)

writer, picture, memory = PtiffWriter(PtiffOptions()), Generated(), 200 << 20
assert writer.write_cost(picture, memory=memory) <= memory
writer.write(picture, Path(sys.argv[1]), memory=memory)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_a_large_picture_is_written_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.tif"
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(path)], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 300 * 1024  # kB, with the interpreter and its libraries
    info = open_reader(LocalSource(path)).info
    assert info.levels[0].shape == (12000, 12000)
    assert len(info.levels) == 6


def test_a_failing_read_is_not_disguised(tmp_path: Path) -> None:
    class Broken(ArrayPicture):
        def read(self, window: Window) -> Pixels:
            raise UnsupportedFeature(f"no pixels in {window}")

    with pytest.raises(UnsupportedFeature, match="no pixels"):
        written(tmp_path / "a.tif", Broken(scene(100, 100, 3)))


def test_the_file_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"x" * 1_000_000)
    source = picture(64, 64, 3)
    check(written(path, source, compression="none", tile=64), source, "pages", 64)
    assert path.stat().st_size < 20_000
    assert io.BytesIO(path.read_bytes()).read(4) == b"II+\0"
