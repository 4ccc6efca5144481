import math
from dataclasses import replace

import numpy as np
import pytest

from ziggurat.codec import openjpeg_encode
from ziggurat.codec.jpeg import encode, natural_order, quantisation_tables
from ziggurat.codestream.coding import TileCoding, main_coding
from ziggurat.codestream.markers import MainHeader, parse_main_header
from ziggurat.codestream.partition import HH, HL, LH, LL
from ziggurat.codestream.passes import STRENGTHS, Shown, norm_of, planes_left_out

STRONG = STRENGTHS[0]
DETAILS = (HL, LH, HH)


def header(*, depth: int = 8, bands: int = 3, reversible: bool = True) -> MainHeader:
    coding = openjpeg_encode.Coding(levels=5, tile=64, reversible=reversible, component_transform=bands == 3)
    pixels = np.zeros((64, 64, bands), np.uint16 if depth > 8 else np.uint8)
    main = parse_main_header(openjpeg_encode.encode(pixels, coding, depth=depth))
    assert isinstance(main, MainHeader)
    return main


def shown(quality: int = 92, subsampling: str = "444", *, scale: float = 1.0, level: int = 0, bands: int = 3) -> Shown:
    sample = np.zeros((16, 16, bands), np.uint8)
    tables = quantisation_tables(encode(sample, quality=quality, subsampling=subsampling, optimise=False))
    steps = tuple(natural_order(table).astype(float) for table in tables[: min(bands, 2)])
    return Shown(steps, (subsampling == "420", subsampling != "444"), scale, level)


def planes(
    target: Shown, main: MainHeader | None = None, coding: TileCoding | None = None
) -> dict[tuple[int, ...], int]:
    """All that is left out, by component, level and orientation."""
    main = main or header()
    found = planes_left_out(coding or main_coding(main), main.siz.components, target, STRONG)
    assert found is not None
    return {
        (component, depth, orientation): count
        for component in range(len(main.siz.components))
        for depth in range(1, 6)
        for orientation in (LL, *DETAILS)
        if (count := found(component, depth, orientation))
    }


def test_a_table_in_natural_order_has_the_steps_of_annex_k_in_its_corners() -> None:
    luma = shown(50).tables[0]
    assert luma[0, :4].tolist() == [16, 11, 10, 16]
    assert luma[:4, 0].tolist() == [16, 12, 14, 14]
    assert luma[7].tolist() == [72, 92, 95, 98, 112, 100, 103, 99]


def test_norms_are_those_of_the_synthesis_filters() -> None:
    low, high = np.array([1, 2, 1]) / 2, np.array([-1, -2, 6, -2, -1]) / 8
    assert norm_of(1, 1, HL) == pytest.approx(math.sqrt(low @ low * (high @ high)))
    assert norm_of(1, 1, HH) == pytest.approx(high @ high)
    # The basis function of the next level: the low-pass one, stretched and filtered.
    stretched = np.zeros(2 * len(high) - 1)
    stretched[::2] = high
    deeper = np.convolve(stretched, low)
    assert norm_of(1, 2, HH) == pytest.approx(deeper @ deeper)
    # The 9-7 filters of F.3.8 by their published taps, scaled to gains of 2 (low) and 1 (high).
    low = np.array([-0.045635881557, -0.028771763114, 0.295635881557, 0.557543526229]) * 2
    taps = np.concatenate([low, low[2::-1]])
    assert norm_of(0, 1, LL) == pytest.approx(taps @ taps, rel=1e-6)


def test_chroma_goes_before_luma_and_the_finest_before_the_coarser() -> None:
    found = planes(shown())
    assert all(found[component, 1, orientation] >= 3 for component in (1, 2) for orientation in DETAILS)
    assert not any(component == 0 for component, _, _ in found)
    assert all(depth <= 3 for _, depth, _ in found)
    assert not any(orientation == LL for _, _, orientation in found)


def test_a_coarser_jpeg_allows_at_least_as_much() -> None:
    before: dict[tuple[int, ...], int] = {}
    for quality in (95, 92, 85, 75, 50, 25):
        found = planes(shown(quality))
        assert all(found.get(where, 0) >= count for where, count in before.items()), quality
        before = found
    assert any(component == 0 for component, _, _ in before)


def test_nothing_is_left_out_for_the_finest_jpegs() -> None:
    main = header()
    assert planes_left_out(main_coding(main), main.siz.components, shown(100), STRONG) is None


def test_subsampled_chroma_allows_more_along_the_axis_that_is_halved() -> None:
    full, half, across = planes(shown()), planes(shown(subsampling="420")), planes(shown(subsampling="422"))
    assert all(half[where] >= full[where] for where in full)
    assert sum(half.values()) > sum(across.values()) > sum(full.values())
    assert across[2, 1, HL] > across[2, 1, LH]


def test_bits_that_eight_do_not_hold_are_left_out_too() -> None:
    eight, sixteen = planes(shown()), planes(shown(scale=255 / 65535), header(depth=16))
    assert all(sixteen[where] == count + 8 for where, count in eight.items())
    assert sixteen[0, 1, HH] >= 6


def test_a_coarser_level_of_the_image_is_judged_by_its_own_frequencies() -> None:
    fine, coarse = planes(shown()), planes(shown(level=1))
    assert coarse == {
        (component, depth + 1, orientation): count for (component, depth, orientation), count in fine.items()
    }
    main = header()
    assert planes_left_out(main_coding(main), main.siz.components, shown(level=5), STRONG) is None


def test_quantised_coefficients_are_judged_by_their_size() -> None:
    exact, quantised = planes(shown(50)), planes(shown(50), header(reversible=False))
    # OpenJPEG's steps are about one over the norm: between a half and two for the finest subbands.
    assert all(abs(quantised[where] - count) <= 2 for where, count in exact.items() if where[1] == 1)


def test_without_a_component_transform_green_keeps_most_and_blue_least() -> None:
    main = header()
    coding = replace(main_coding(main), component_transform=0)
    finest = [sum(planes(shown(), main, coding).get((band, 1, kind), 0) for kind in DETAILS) for band in range(3)]
    assert finest[1] < finest[0] < finest[2]


def test_components_that_are_coded_differently_keep_everything() -> None:
    main = header()
    coding = main_coding(main)
    first, *others = coding.components
    fewer = replace(first, style=replace(first.style, levels=4))
    mixed = replace(coding, components=(fewer, *others))
    assert planes_left_out(mixed, main.siz.components, shown(), STRONG) is None


def test_of_grey_planes_go_where_the_quality_is_low() -> None:
    main = header(bands=1)
    coding = main_coding(main)
    assert planes_left_out(coding, main.siz.components, shown(92, bands=1), STRONG) is None
    found = planes(shown(50, bands=1), main, coding)
    assert found[0, 1, HH] > found[0, 1, HL] >= 1
