import math
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagecodecs import cms_profile

from ziggurat.codec.icc import grey_profile, lab_profile, srgb_profile
from ziggurat.errors import CorruptImage, UnsupportedFeature, UsageError
from ziggurat.format.exif import Tag, build_exif, orientation
from ziggurat.geometry import Size, Window
from ziggurat.image import Image
from ziggurat.model import Alpha, ColourSpace, ImageInfo, Level, Metadata, Resolution, SampleKind, Samples
from ziggurat.pyramid import box, halve
from ziggurat.storage.memory import MemorySource
from ziggurat.write.picture import Held, PictureOptions, Prepared, hold, prepare
from ziggurat.write.protocol import Picture

ADOBE = cms_profile("adobergb")
KINDS: dict[str, SampleKind] = {"u": "unsigned", "i": "signed", "f": "float"}


class ArrayReader:
    """Levels of pixels that lie in memory; remembers what was read."""

    def __init__(self, info: ImageInfo, levels: list[Samples]) -> None:
        self.info = info
        self.levels = levels
        self.reads: list[tuple[int, Window]] = []

    def read(self, level: int, window: Window) -> Samples:
        self.reads.append((level, window))
        return self.levels[level][window.slices()].copy()

    def read_cost(self, level: int, window: Window) -> int:
        pixels = self.levels[level]
        return window.size.pixels * pixels.shape[2] * pixels.dtype.itemsize


def image_of(*levels: Samples, tile: Size | None = None, **traits: object) -> Image:
    pixels = levels[0]
    info = ImageInfo(
        format="array",
        levels=tuple(Level(Size(*level.shape[:2]), tile) for level in levels),
        bands=pixels.shape[2],
        dtype=pixels.dtype.name,
        bit_depth=pixels.dtype.itemsize * 8,
        kind=KINDS[pixels.dtype.kind],
    )
    reader = ArrayReader(replace(info, **traits), list(levels))  # type: ignore[arg-type] # any of the fields
    return Image(MemorySource("memory:a", b"x"), reader)


def noise(height: int, width: int, bands: int, dtype: str = "uint8") -> Samples:
    rng = np.random.default_rng(height * 1000 + width + bands)
    if np.dtype(dtype).kind == "f":
        return rng.random((height, width, bands)).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, (height, width, bands), endpoint=True).astype(dtype)


def display(image: Image, **options: object) -> Prepared:
    return prepare(image, PictureOptions(**options), form="display")  # type: ignore[arg-type] # any of the options


def native(image: Image, **options: object) -> Prepared:
    return prepare(image, PictureOptions(**options), form="native")  # type: ignore[arg-type] # any of the options


def whole(picture: Picture) -> Samples:
    pixels = picture.read(Window.full(picture.size))
    assert pixels.shape == (*picture.size, picture.bands)
    assert pixels.dtype == picture.dtype
    return pixels


UPRIGHT = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).swapaxes(0, 1),
    8: np.rot90,
}


class TestOrientation:
    @pytest.mark.parametrize("turned", UPRIGHT)
    @pytest.mark.parametrize("form", ["display", "native"])
    def test_pictures_are_upright(self, turned: int, form: str) -> None:
        pixels = noise(5, 7, 3)
        image = image_of(pixels, orientation=turned, resolution=Resolution(100, 200), tile=Size(2, 4))
        picture = prepare(image, PictureOptions(), form="native" if form == "native" else "display")
        assert np.array_equal(whole(picture), UPRIGHT[turned](pixels))
        assert picture.resolution == (Resolution(200, 100) if turned >= 5 else Resolution(100, 200))
        assert picture.grain == (Size(4, 2) if turned >= 5 else Size(2, 4))

    @given(st.sampled_from(sorted(UPRIGHT)), st.integers(1, 5), st.data())
    def test_windows_are_crops_of_the_whole(self, turned: int, shrink: int, data: st.DataObject) -> None:
        image = image_of(noise(13, 9, 4), orientation=turned, alpha="straight", colour_space=ColourSpace.RGB)
        picture = display(image, shrink=shrink)
        y0, y1 = sorted(data.draw(st.sets(st.integers(0, picture.size.height), min_size=2, max_size=2)))
        x0, x1 = sorted(data.draw(st.sets(st.integers(0, picture.size.width), min_size=2, max_size=2)))
        assert np.array_equal(picture.read(Window(y0, x0, y1, x1)), whole(picture)[y0:y1, x0:x1])

    def test_metadata_says_that_the_pixels_are_upright(self) -> None:
        exif = build_exif({Tag.ORIENTATION: 6, Tag.X_RESOLUTION: (300, 1)})
        xmp = b"<a tiff:Orientation='6'/><b><tiff:Orientation>8</tiff:Orientation></b><c tiff:Orientation=\"1\"/>"
        image = image_of(noise(2, 2, 3), orientation=6, metadata=Metadata(exif=exif, xmp=xmp, iptc=b"\x1c"))
        found = display(image).metadata
        assert found.exif is not None
        assert orientation(found.exif) == 1
        assert len(found.exif) == len(exif)
        assert found.xmp == xmp.replace(b"'6'", b"'1'").replace(b">8<", b">1<")
        assert found.iptc == b"\x1c"

    def test_a_window_outside_is_refused(self) -> None:
        picture = display(image_of(noise(4, 6, 3), orientation=6))
        with pytest.raises(UsageError, match="6 x 4"):
            picture.read(Window(0, 0, 1, 5))


class TestDisplay:
    def test_srgb_bytes_pass_untouched(self) -> None:
        image = image_of(noise(40, 50, 3), colour_space=ColourSpace.SRGB)
        picture = display(image, srgb=True)
        window = Window(3, 4, 30, 40)
        assert picture.read_cost(window) == image.read_cost(0, window)
        tracemalloc.start()
        held = picture.read(Window.full(picture.size))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < held.nbytes * 1.5
        assert (picture.bands, picture.dtype, picture.colour_space, picture.icc) == (
            3,
            np.uint8,
            ColourSpace.SRGB,
            None,
        )

    @pytest.mark.parametrize(
        ("bands", "space", "icc", "shown"),
        [
            (1, ColourSpace.UNKNOWN, None, (1, ColourSpace.GREY, None)),
            (3, ColourSpace.UNKNOWN, None, (3, ColourSpace.RGB, None)),
            (1, ColourSpace.GREY_INVERTED, None, (1, ColourSpace.GREY, None)),
            (3, ColourSpace.RGB, ADOBE, (3, ColourSpace.RGB, ADOBE)),
            (3, ColourSpace.UNKNOWN, ADOBE, (3, ColourSpace.RGB, ADOBE)),
            (1, ColourSpace.GREY, ADOBE, (1, ColourSpace.GREY, None)),
            (1, ColourSpace.GREY, grey_profile(), (1, ColourSpace.GREY, grey_profile())),
            (4, ColourSpace.CMYK, None, (3, ColourSpace.SRGB, None)),
            (4, ColourSpace.CMYK, ADOBE, (3, ColourSpace.SRGB, None)),
            (3, ColourSpace.LAB, None, (3, ColourSpace.SRGB, srgb_profile())),
            (3, ColourSpace.UNKNOWN, lab_profile(), (3, ColourSpace.SRGB, srgb_profile())),
            (3, ColourSpace.ESRGB, None, (3, ColourSpace.SRGB, None)),
        ],
    )
    def test_what_colours_become(
        self, bands: int, space: ColourSpace, icc: bytes | None, shown: tuple[int, ColourSpace, bytes | None]
    ) -> None:
        picture = display(image_of(noise(9, 8, bands), colour_space=space, icc=icc))
        assert (picture.bands, picture.colour_space, picture.icc) == shown
        assert (picture.alpha, picture.bit_depth, picture.kind) == (None, 8, "unsigned")
        whole(picture)

    @pytest.mark.parametrize(
        ("bands", "space"),
        [(2, ColourSpace.UNKNOWN), (4, ColourSpace.UNKNOWN), (4, ColourSpace.SRGB), (7, ColourSpace.UNKNOWN)],
    )
    def test_bands_without_a_meaning_are_refused_and_can_be_chosen(self, bands: int, space: ColourSpace) -> None:
        pixels = noise(9, 8, bands)
        with pytest.raises(UnsupportedFeature, match=r"memory:a.*--bands"):
            display(image_of(pixels, colour_space=space))
        chosen = display(image_of(pixels, colour_space=space), bands=(1, 0, 1))
        assert np.array_equal(whole(chosen), pixels[:, :, [1, 0, 1]])
        assert np.array_equal(whole(display(image_of(pixels, colour_space=space), bands=(1,))), pixels[:, :, 1:2])

    def test_a_band_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(UsageError, match="band 3, and the last one is 2"):
            display(image_of(noise(2, 2, 3)), bands=(3,))

    @pytest.mark.parametrize("relation", ["straight", "premultiplied"])
    @pytest.mark.parametrize("icc", [None, ADOBE])
    def test_alpha_is_flattened_on_the_background(self, relation: Alpha, icc: bytes | None) -> None:
        pixels = noise(6, 5, 4)
        pixels[0, :, 3], pixels[1, :, 3] = 0, 255
        if relation == "premultiplied":
            pixels[:, :, :3] = pixels[:, :, :3] * (pixels[:, :, 3:] / 255)
        traits = {"alpha": relation, "colour_space": ColourSpace.RGB, "icc": icc}
        flat = whole(display(image_of(pixels, **traits), background=(1, 2, 3), srgb=True))
        opaque = whole(display(image_of(pixels[:, :, :3].copy(), colour_space=ColourSpace.RGB, icc=icc), srgb=True))
        assert np.all(flat[0] == (1, 2, 3))
        assert np.array_equal(flat[1], opaque[1])

    def test_chosen_bands_without_alpha_leave_it_out(self) -> None:
        pixels = noise(3, 3, 4)
        traits = {"alpha": "straight", "colour_space": ColourSpace.SRGB, "icc": ADOBE}
        picture = display(image_of(pixels, **traits), bands=(0, 1, 2))
        assert np.array_equal(whole(picture), pixels[:, :, :3])
        assert picture.icc == ADOBE
        assert display(image_of(pixels, **traits), bands=(2, 1, 0)).icc is None
        assert native(image_of(pixels, **traits), bands=(2, 3)).alpha == "straight"

    @pytest.mark.parametrize("dtype", ["int8", "uint16", "int16", "uint32", "int32"])
    def test_deep_samples_keep_black_and_white(self, dtype: str) -> None:
        limits = np.iinfo(dtype)
        pixels = np.array([[[limits.min], [limits.max]]], dtype)
        assert whole(display(image_of(pixels))).ravel().tolist() == [0, 255]

    def test_floats_need_a_range_and_take_it(self) -> None:
        image = image_of(np.array([[[-1.0], [0.0], [3.0]]], np.float32))
        with pytest.raises(UsageError, match=r"memory:a.*--sample-range LO,HI"):
            display(image)
        assert whole(display(image, sample_range=(-1.0, 1.0))).ravel().tolist() == [0, 128, 255]

    def test_a_damaged_profile_is_refused_and_can_be_left_out(self) -> None:
        pixels = noise(3, 3, 3)
        with pytest.raises(CorruptImage, match=r"memory:a.*profile.*--bands"):
            display(image_of(pixels, colour_space=ColourSpace.RGB, icc=b"none"))
        picture = display(image_of(pixels, colour_space=ColourSpace.RGB, icc=b"none"), bands=(0, 1, 2))
        assert picture.icc is None
        assert np.array_equal(whole(picture), pixels)


class TestNative:
    @pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "uint32"])
    def test_samples_and_what_they_mean_stay(self, dtype: str) -> None:
        pixels = noise(7, 8, 5, dtype)
        picture = native(image_of(pixels, colour_space=ColourSpace.CMYK, icc=b"any", alpha="premultiplied"))
        assert np.array_equal(whole(picture), pixels)
        assert (picture.colour_space, picture.icc, picture.alpha) == (ColourSpace.CMYK, b"any", "premultiplied")
        assert picture.kind == KINDS[np.dtype(dtype).kind]

    @pytest.mark.parametrize(
        ("dtype", "depth", "black"), [("uint8", 8, 255), ("uint16", 12, 4095), ("int16", 16, -32768)]
    )
    def test_inverted_grey_becomes_grey(self, dtype: str, depth: int, black: int) -> None:
        white = 0 if black > 0 else 32767
        pixels = np.array([[[white, 7], [black, 9]]], dtype)
        picture = native(image_of(pixels, colour_space=ColourSpace.GREY_INVERTED, bit_depth=depth, alpha="straight"))
        assert whole(picture).tolist() == [[[black, 7], [white, 9]]]
        assert picture.colour_space is ColourSpace.GREY

    def test_inverted_floats_stay(self) -> None:
        picture = native(image_of(noise(2, 2, 1, "float32"), colour_space=ColourSpace.GREY_INVERTED))
        assert picture.colour_space is ColourSpace.GREY_INVERTED


class TestShrink:
    @pytest.mark.parametrize("turned", [1, 6])
    def test_each_pixel_is_the_mean_of_a_square(self, turned: int) -> None:
        pixels = noise(50, 31, 3)
        picture = display(
            image_of(pixels, orientation=turned, resolution=Resolution(90, 60), tile=Size(16, 8)), shrink=3
        )
        assert np.array_equal(whole(picture), box(UPRIGHT[turned](pixels), 3))
        assert picture.resolution == (Resolution(20, 30) if turned == 6 else Resolution(30, 20))
        assert picture.grain == (Size(3, 6) if turned == 6 else Size(6, 3))

    def test_stored_levels_save_reading_finer_ones(self) -> None:
        pixels = noise(50, 31, 3)
        half = halve(pixels)
        image = image_of(pixels, half, noise(12, 7, 3))
        assert np.array_equal(whole(display(image, shrink=2)), half)
        assert np.array_equal(whole(display(image, shrink=6)), box(half, 3))
        assert np.array_equal(whole(display(image, shrink=3)), box(pixels, 3))
        # The third level is not 50 x 31 halved twice, rounding up.
        assert np.array_equal(whole(display(image, shrink=4)), box(half, 2))


class TestHeld:
    def test_windows_of_memory_equal_those_of_the_picture_and_cost_nothing(self) -> None:
        image = image_of(noise(30, 20, 4), orientation=8, alpha="straight", colour_space=ColourSpace.RGB)
        picture = display(image)
        held: Held = hold(picture)
        window = Window(2, 3, 15, 29)
        assert np.array_equal(held.read(window), picture.read(window))
        assert np.shares_memory(held.read(window), held.pixels)
        assert held.read_cost(window) == 0
        assert (held.size, held.bands, held.icc) == (picture.size, picture.bands, picture.icc)
        assert held.grain is not None
        with pytest.raises(UsageError, match="leaves"):
            held.read(Window(0, 0, 21, 1))

    def test_holding_reads_once(self) -> None:
        image = image_of(noise(30, 20, 3))
        held = hold(display(image))
        for y0 in range(0, 30, 10):
            held.read(Window(y0, 0, y0 + 10, 20))
        assert len(image._reader.reads) == 1  # type: ignore[attr-defined] # our reader


CASES = [
    ("uint8", 3, {}, {"orientation": 6, "colour_space": ColourSpace.RGB}),
    ("uint16", 3, {"srgb": True}, {"colour_space": ColourSpace.RGB, "icc": ADOBE}),
    ("uint8", 4, {}, {"colour_space": ColourSpace.RGB, "alpha": "straight"}),
    ("uint16", 4, {"srgb": True}, {"colour_space": ColourSpace.RGB, "icc": ADOBE, "alpha": "premultiplied"}),
    ("uint8", 4, {}, {"colour_space": ColourSpace.CMYK}),
    ("uint16", 3, {}, {"colour_space": ColourSpace.LAB}),
    ("float32", 1, {"sample_range": (0.0, 1.0)}, {}),
    ("uint8", 3, {"shrink": 3}, {"colour_space": ColourSpace.RGB}),
]


@pytest.mark.parametrize(("dtype", "bands", "options", "traits"), CASES)
def test_reading_takes_no_more_than_its_cost(
    dtype: str, bands: int, options: dict[str, object], traits: dict[str, object]
) -> None:
    picture = display(image_of(noise(700, 800, bands, dtype), **traits), **options)
    window = Window(0, 0, *picture.size)
    picture.read(Window(0, 0, 2, 2))
    tracemalloc.start()
    picture.read(window)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # What Python itself allocates meanwhile is not pixels.
    assert peak <= picture.read_cost(window) + (1 << 16)
    assert picture.read_cost(window) <= 700 * 800 * bands * (np.dtype(dtype).itemsize + 1) + (8 << 20)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("background", (0, 0, 256)),
        ("sample_range", (1.0, 1.0)),
        ("sample_range", (math.nan, 1.0)),
        ("bands", ()),
        ("bands", (-1,)),
        ("shrink", 0),
    ],
)
def test_options_that_make_no_sense_are_refused(option: str, value: object) -> None:
    with pytest.raises(UsageError):
        PictureOptions(**{option: value})  # type: ignore[arg-type] # wrong on purpose


def test_a_real_image_becomes_a_picture(shared_data: Path) -> None:
    from PIL import Image as Pillow  # noqa: PLC0415 - only where the data is

    file = next((shared_data / "kodak").rglob("*.png"))
    pixels = np.asarray(Pillow.open(file).convert("RGBA"))
    flat = whole(display(image_of(pixels, alpha="straight", colour_space=ColourSpace.SRGB)))
    assert np.array_equal(flat, pixels[:, :, :3])
