import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.geometry import Size
from ziggurat.model import Level
from ziggurat.pyramid import box, coarsest_above, fit, halve, shrink

SIDES = st.integers(1, 40)
TYPES = st.sampled_from(["uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"])


def noise(height: int, width: int, dtype: str, bands: int = 3) -> np.ndarray:
    rng = np.random.default_rng(height * 100 + width)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 10, (height, width, bands)).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, (height, width, bands), endpoint=True).astype(dtype)


@given(SIDES, SIDES, TYPES)
def test_halving_is_the_rounded_mean_of_four(height: int, width: int, dtype: str) -> None:
    pixels = noise(height, width, dtype)
    exact = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge").astype(np.float64)
    means = exact.reshape(exact.shape[0] // 2, 2, exact.shape[1] // 2, 2, 3).mean(axis=(1, 3))
    half = halve(pixels)
    assert half.dtype == pixels.dtype
    if half.dtype.kind == "f":
        assert np.allclose(
            half, means, rtol=1e-2 if dtype == "float16" else 1e-5, atol=1e-2 if dtype == "float16" else 1e-5
        )
    else:
        assert np.array_equal(half, np.floor(means + 0.5))


@given(SIDES, SIDES, st.integers(1, 9), TYPES)
def test_box_is_the_mean_of_what_each_square_covers(height: int, width: int, side: int, dtype: str) -> None:
    pixels = noise(height, width, dtype, 1)
    small = box(pixels, side)
    assert small.shape == (-(-height // side), -(-width // side), 1)
    assert small.dtype == pixels.dtype
    y, x = small.shape[0] - 1, small.shape[1] // 2
    mean = pixels[y * side : (y + 1) * side, x * side : (x + 1) * side].astype(np.float64).mean()
    assert abs(float(small[y, x, 0]) - mean) <= (0.5 if small.dtype.kind in "iu" else 1e-2 * max(1, abs(mean)))


@given(SIDES, SIDES, st.integers(1, 50), TYPES)
def test_shrinking_keeps_flat_pictures_and_gives_the_size_asked_for(
    height: int, width: int, side: int, dtype: str
) -> None:
    value = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 7.5
    target = fit(Size(height, width), side)
    small = shrink(np.full((height, width, 2), value, dtype), target)
    assert small.shape == (*target, 2)
    assert small.dtype == dtype
    assert np.allclose(small, value, rtol=0 if small.dtype.kind in "iu" else 1e-3, atol=0)


def test_shrinking_a_line_takes_memory_like_the_line() -> None:
    small = shrink(np.arange(1 << 20, dtype=np.uint32).reshape(-1, 1, 1), Size(300, 1))
    assert small.shape == (300, 1, 1)
    assert np.all(np.diff(small[:, 0, 0].astype(np.int64)) > 3000)


def test_a_picture_fits_into_a_square_and_is_never_enlarged() -> None:
    assert fit(Size(4000, 2000), 256) == (256, 128)
    assert fit(Size(100, 50), 256) == (100, 50)
    assert fit(Size(100_000, 10), 256) == (256, 1)


@pytest.mark.parametrize(("side", "level"), [(1000, 0), (500, 1), (251, 1), (250, 2), (1, 2), (2000, 0)])
def test_the_coarsest_level_that_is_large_enough_is_chosen(side: int, level: int) -> None:
    levels = [Level(Size(1000, 1000)), Level(Size(500, 500)), Level(Size(250, 250))]
    assert coarsest_above(levels, Size(side, side)) == level
