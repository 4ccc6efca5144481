import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagecodecs import cms_profile
from PIL import Image, ImageCms

from ziggurat.codec.colour import Encoding, cmyk_to_rgb, display, flatten, lab_ramps, unmultiplied
from ziggurat.codec.icc import (
    Transform,
    grey_profile,
    is_profile,
    is_srgb,
    lab_profile,
    profile_bands,
    profile_name,
    profile_space,
    srgb_profile,
)
from ziggurat.codec.samples import Ramp
from ziggurat.errors import CorruptImage, UsageError, ZigguratError
from ziggurat.model import ColourSpace, Samples

ADOBE = cms_profile("adobergb")
WHITE = (255, 255, 255)


def codes(dtype: str, bands: int = 3) -> Samples:
    info = np.iinfo(dtype)
    return np.random.default_rng(5).integers(info.min, info.max, (40, 50, bands), endpoint=True).astype(dtype)


class TestRamp:
    @pytest.mark.parametrize("depth", range(1, 17))
    @pytest.mark.parametrize("peak", [255, 65535])
    def test_full_range_is_rounded_to_nearest_for_every_code(self, depth: int, peak: int) -> None:
        top = (1 << depth) - 1
        pixels = np.arange(top + 1, dtype=np.uint8 if depth <= 8 else np.uint16).reshape(1, -1, 1)
        expected = [(2 * code * peak + top) // (2 * top) for code in range(top + 1)]
        assert Ramp.full(depth, "unsigned", peak).apply(pixels).ravel().tolist() == expected  # type: ignore[arg-type] # both peaks

    def test_signed_samples_are_offset_by_half_the_range(self) -> None:
        pixels = np.array([[[-2048], [-1], [0], [2047]]], np.int16)
        assert Ramp.full(12, "signed").apply(pixels).ravel().tolist() == [0, 127, 128, 255]

    def test_bytes_of_full_depth_are_not_copied(self) -> None:
        pixels = codes("uint8")
        assert Ramp.full(8, "unsigned").apply(pixels) is pixels

    def test_codes_beyond_the_depth_are_clipped(self) -> None:
        assert Ramp.full(12, "unsigned").apply(np.array([[[4096], [65535]]], np.uint16)).tolist() == [[[255], [255]]]

    def test_floats_are_clipped_and_not_a_number_is_black(self) -> None:
        pixels = np.array([[[-1.0], [0.5], [1.0], [9.0], [np.nan], [np.inf], [-np.inf]]], np.float32)
        assert Ramp(0, 1).apply(pixels).ravel().tolist() == [0, 128, 255, 255, 0, 255, 0]

    def test_wide_integers_are_scaled_without_a_table(self) -> None:
        pixels = np.array([[[0], [1 << 31], [(1 << 32) - 1]]], np.uint32)
        assert Ramp.full(32, "unsigned").apply(pixels).ravel().tolist() == [0, 128, 255]

    def test_inverted(self) -> None:
        pixels = codes("uint8", 1)
        assert np.array_equal(Ramp.full(8, "unsigned").inverted().apply(pixels), 255 - pixels)

    @pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
    def test_views_are_scaled_like_copies(self, dtype: str) -> None:
        pixels = codes(dtype)[::-1, ::2].swapaxes(0, 1)
        ramp = Ramp(-3, 77)
        assert np.array_equal(ramp.apply(pixels), ramp.apply(pixels.copy()))


class TestProfiles:
    def test_made_profiles_say_what_they_are_and_are_always_the_same_bytes(self) -> None:
        assert [profile_space(p) for p in (srgb_profile(), grey_profile(), lab_profile())] == ["RGB ", "GRAY", "Lab "]
        assert [profile_bands(p) for p in (srgb_profile(), grey_profile(), lab_profile())] == [3, 1, 3]
        assert srgb_profile()[24:36] == struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
        assert ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile())).profile.version == 4.4

    def test_names_of_both_versions_are_read(self) -> None:
        assert profile_name(srgb_profile()) == "sRGB built-in"
        assert profile_name(ADOBE) == "Adobe RGB (compatible)"

    def test_a_name_in_english_is_preferred_and_control_characters_are_left_out(self) -> None:
        def mluc(*names: tuple[bytes, str]) -> bytes:
            texts = [name.encode("utf-16-be") for _, name in names]
            at = 16 + 12 * len(names)
            records = b""
            for (language, _), text in zip(names, texts, strict=True):
                records += language + b"XX" + struct.pack(">II", len(text), at)
                at += len(text)
            return b"mluc\0\0\0\0" + struct.pack(">II", len(names), 12) + records + b"".join(texts)

        tag = mluc((b"de", "Grün"), (b"en", "Gr\x1b[2Jeen"))
        icc = bytearray(srgb_profile()[:128]) + struct.pack(">I4sII", 1, b"desc", 144, len(tag)) + tag
        icc[:4] = struct.pack(">I", len(icc))
        assert profile_name(bytes(icc)) == "Gr[2Jeen"

    def test_bytes_that_are_no_profile_are_told(self) -> None:
        for icc in (b"", b"x" * 200, srgb_profile()[:400], srgb_profile()[:36] + b"nope" + srgb_profile()[40:]):
            assert not is_profile(icc)
            assert (profile_name(icc), profile_space(icc), profile_bands(icc)) == ("", "", 0)
            with pytest.raises(CorruptImage, match="profile"):
                Transform(icc, srgb_profile())(codes("uint8"))

    @given(st.sampled_from([srgb_profile(), ADOBE, grey_profile()]), st.data())
    def test_mutated_profiles_raise_nothing_but_our_errors(self, icc: bytes, data: st.DataObject) -> None:
        mutated = bytearray(icc)
        for _ in range(data.draw(st.integers(1, 6))):
            # The header, the tag table and the small tags behind it are where sizes and offsets are.
            mutated[data.draw(st.integers(0, min(len(icc), 900) - 1))] = data.draw(st.integers(0, 255))
        assert isinstance(profile_name(bytes(mutated)), str)
        bands = profile_bands(bytes(mutated))
        space = {1: ColourSpace.GREY, 3: ColourSpace.RGB, 4: ColourSpace.CMYK}.get(bands)
        if space is None:
            return
        try:
            shown = display(Encoding(colour_space=space, depth=8, icc=bytes(mutated)), srgb=True)
            assert shown.apply(codes("uint8", bands)).dtype == np.uint8
        except ZigguratError:
            pass

    def test_profiles_that_are_srgb_in_effect_are_recognised(self) -> None:
        pillows = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        assert [is_srgb(p) for p in (srgb_profile(), pillows, grey_profile(), ADOBE)] == [True, True, True, False]


def shown(pixels: Samples, space: ColourSpace, *, srgb: bool = False, icc: bytes | None = None) -> Samples:
    depth = pixels.dtype.itemsize * 8
    return display(Encoding(colour_space=space, depth=depth, icc=icc), srgb=srgb).apply(pixels)


class TestDisplay:
    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    def test_conversion_to_srgb_agrees_with_pillows(self, dtype: str) -> None:
        eight = codes("uint8")
        pixels = eight * np.array(1 if dtype == "uint8" else 257, dtype)
        target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        expected = ImageCms.profileToProfile(
            Image.fromarray(eight),
            ImageCms.ImageCmsProfile(io.BytesIO(ADOBE)),
            target,
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        result = shown(pixels, ColourSpace.RGB, srgb=True, icc=ADOBE)
        assert np.abs(result.astype(int) - np.asarray(expected)).max() <= 1

    def test_profiles_are_kept_unless_srgb_is_asked_for(self) -> None:
        encoding = Encoding(colour_space=ColourSpace.RGB, depth=8, icc=ADOBE)
        pixels = codes("uint8")
        assert display(encoding).icc == ADOBE
        assert display(encoding).apply(pixels) is pixels
        assert display(encoding, srgb=True).icc == srgb_profile()
        assert display(encoding, srgb=True).colour_space is ColourSpace.SRGB
        same = Encoding(colour_space=ColourSpace.RGB, depth=8, icc=srgb_profile())
        assert display(same, srgb=True).apply(pixels) is pixels

    def test_grey_stays_one_band_of_srgbs_tone_curve(self) -> None:
        gamma = cms_profile("gray", whitepoint=(0.345703, 0.358538, 1.0), gamma=1.8)
        result = shown(np.array([[[0], [128], [255]]], np.uint8), ColourSpace.GREY, srgb=True, icc=gamma)
        light = (128 / 255) ** 1.8
        assert result.ravel().tolist() == [0, round(255 * (1.055 * light ** (1 / 2.4) - 0.055)), 255]

    def test_cmyk_without_a_profile(self) -> None:
        inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 128], [10, 20, 30, 255]]], np.uint8)
        assert cmyk_to_rgb(inks).tolist() == [[[255, 255, 255], [0, 255, 255], [127, 0, 127], [0, 0, 0]]]
        assert np.array_equal(shown(inks, ColourSpace.CMYK), cmyk_to_rgb(inks))

    def test_esrgb_inside_of_srgb_is_srgb(self) -> None:
        # IEC 61966-2-1 Amendment 1: 10-bit codes are 510 * R' + 384.
        codes10 = np.array([[[384], [384 + 255], [384 + 510], [0], [1023]]], np.uint16).repeat(3, axis=2)
        result = display(Encoding(colour_space=ColourSpace.ESRGB, depth=10)).apply(codes10)
        assert result[0, :, 0].tolist() == [0, 128, 255, 0, 255]

    def test_floats_need_a_range(self) -> None:
        with pytest.raises(UsageError, match="--sample-range LO,HI"):
            display(Encoding(colour_space=ColourSpace.GREY, depth=32, kind="float"))
        ranged = display(Encoding(colour_space=ColourSpace.GREY, depth=32, kind="float", limits=(-1, 1)))
        assert ranged.apply(np.array([[[-1.0], [0.0], [2.0]]], np.float32)).ravel().tolist() == [0, 128, 255]


def from_lab(lab: tuple[float, float, float]) -> np.ndarray:
    """CIELab D50 to sRGB codes by the defining formulas (CIE 15, Bradford-adapted IEC 61966-2-1)."""
    fy = (lab[0] + 16) / 116
    f = np.array([fy + lab[1] / 500, fy, fy - lab[2] / 200])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * (0.9642, 1, 0.8249)
    matrix = np.array(
        [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
    )
    light = np.clip(matrix @ xyz, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


class TestLab:
    COLOURS = ((50.0, 0.0, 0.0), (70.0, 20.0, -30.0), (40.0, 45.0, 25.0), (100.0, 0.0, 0.0), (0.0, 0.0, 0.0))

    @pytest.mark.parametrize("depth", [8, 16])
    def test_jp2_defaults(self, depth: int) -> None:
        top = (1 << depth) - 1
        spans, offsets = (100, 170, 200), (0, 1 << depth - 1, 3 << depth - 3)
        for lab in self.COLOURS:
            stored = [round(v * top / s + o) for v, s, o in zip(lab, spans, offsets, strict=True)]
            self.check(lab, stored, {}, depth)

    def test_jp2_parameters(self) -> None:
        details = {"lab": {"range": [100, 256, 256], "offset": [0, 100, 140]}}
        for lab in self.COLOURS:
            stored = [round(v * 255 / s + o) for v, s, o in zip(lab, (100, 256, 256), (0, 100, 140), strict=True)]
            self.check(lab, stored, details, 8)

    @pytest.mark.parametrize(
        "lab", [{"range": [0, 0, 0], "offset": [1]}, {"range": "x"}, [], 3, {"offset": [None] * 3}]
    )
    def test_damaged_parameters_count_as_the_defaults(self, lab: object) -> None:
        assert lab_ramps({"lab": lab}, 8, "unsigned") == lab_ramps({}, 8, "unsigned")  # type: ignore[dict-item] # any JSON

    @pytest.mark.parametrize(("photometric", "white"), [("CIELAB", 65535), ("ICCLAB", 65280)])
    def test_tiff_in_16_bits(self, photometric: str, white: int) -> None:
        details = {"lab": "offset", "photometric": photometric}
        for lab in self.COLOURS:
            stored = [round(lab[0] * white / 100), round((lab[1] + 128) * 256), round((lab[2] + 128) * 256)]
            self.check(lab, stored, details, 16)

    def check(self, lab: tuple[float, float, float], stored: list[int], details: dict[str, object], depth: int) -> None:
        ramps = lab_ramps(details, depth, "unsigned")  # type: ignore[arg-type] # any JSON
        pixels = np.array([[stored]], np.uint8 if depth == 8 else np.uint16)
        result = display(Encoding(colour_space=ColourSpace.LAB, depth=depth, lab=ramps)).apply(pixels)
        assert result[0, 0] == pytest.approx(from_lab(lab), abs=3 if depth == 8 else 1)


class TestAlpha:
    @given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
    def test_straight_alpha_is_rounded_to_nearest(self, colour: int, opacity: int, behind: int) -> None:
        pixel, alpha = (np.array([[[value]]], np.uint8) for value in (colour, opacity))
        expected = (2 * (colour * opacity + behind * (255 - opacity)) + 255) // 510
        assert flatten(pixel, alpha, (behind,) * 3, "straight")[0, 0, 0] == expected

    def test_premultiplied_is_flattened_as_its_straight_colours_are(self) -> None:
        straight, alpha = codes("uint8"), codes("uint8", 1)
        multiplied = ((straight.astype(int) * alpha + 127) // 255).astype(np.uint8)
        ours = flatten(multiplied, alpha, (10, 200, 90), "premultiplied").astype(int)
        assert np.abs(ours - flatten(straight, alpha, (10, 200, 90), "straight")).max() <= 1

    def test_unmultiplying_undoes_multiplying(self) -> None:
        straight, alpha = codes("uint16"), np.maximum(codes("uint8", 1), 1)
        multiplied = (straight.astype(np.float64) * alpha / 255 + 0.5).astype(np.uint16)
        assert np.all(np.abs(unmultiplied(multiplied, alpha).astype(int) - straight) <= 1 + 255 // alpha.astype(int))
        assert np.all(unmultiplied(np.zeros_like(straight), np.zeros_like(alpha)) == 0)

    def test_a_colour_behind_grey_shows_its_luma(self) -> None:
        clear = np.zeros((1, 1, 1), np.uint8)
        assert flatten(clear, clear, (255, 0, 0), "straight")[0, 0, 0] == 54
        assert flatten(clear, clear, WHITE, "straight")[0, 0, 0] == 255


def test_the_profile_of_a_real_scan_is_named_and_used(shared_data: Path) -> None:
    data = (shared_data / "format-corpus/jp2k-test/icc/balloon_eciRGBv2_aware.jp2").read_bytes()
    at = data.index(b"acsp") - 36
    icc = data[at : at + int.from_bytes(data[at : at + 4], "big")]
    assert profile_name(icc) == "eciRGB v2"
    assert not is_srgb(icc)
    grey = np.full((1, 1, 3), 128, np.uint8)
    result = shown(grey, ColourSpace.RGB, srgb=True, icc=icc)[0, 0]
    # eciRGB v2's tone curve is that of L*: code 128 is L* 50.2.
    assert result == pytest.approx(from_lab((50.2, 0, 0)), abs=1)
