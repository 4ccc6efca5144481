import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.errors import UsageError
from ziggurat.quality.psnr import psnr, squared_error


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 300, 3), (300, 301, 4)])
def test_integer_error_is_exact(dtype: str, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(7)
    info = np.iinfo(dtype)
    a, b = (rng.integers(info.min, info.max + 1, shape).astype(dtype) for _ in range(2))
    error = squared_error(a, b)
    assert isinstance(error, int)
    assert error == int(((a.astype(np.int64) - b.astype(np.int64)) ** 2).sum())


def test_the_largest_possible_byte_error_is_exact() -> None:
    black, white = np.zeros((512, 513, 3), np.uint8), np.full((512, 513, 3), 255, np.uint8)
    assert squared_error(black, white) == 255**2 * 512 * 513 * 3


@given(st.integers(0, 39), st.integers(0, 39), st.integers(1, 3))
def test_errors_of_parts_add_up_whatever_their_memory_layout(y: int, x: int, bands: int) -> None:
    rng = np.random.default_rng(y * 40 + x)
    a, b = (rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)[:, :, :bands] for _ in range(2))
    parts = [np.s_[:y, :x], np.s_[:y, x:], np.s_[y:, :x], np.s_[y:, x:]]
    assert sum(squared_error(a[part], b[part]) for part in parts) == squared_error(a.copy(), b.copy())
    assert squared_error(a[::-1, ::-1], b[::-1, ::-1]) == squared_error(a, b)


def test_floats_count_equal_infinities_and_nans_as_no_difference() -> None:
    a = np.array([[[1.5], [np.nan], [np.inf]]], np.float32)
    b = np.array([[[1.0], [np.nan], [np.inf]]], np.float32)
    assert squared_error(a, b) == 0.25
    assert math.isnan(squared_error(a, np.zeros_like(a)))


def test_other_shapes_and_types_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot be compared"):
        squared_error(np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(UsageError, match="uint16"):
        squared_error(np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2, 1), np.uint16))


def test_psnr() -> None:
    assert psnr(0, 255) == math.inf
    assert psnr(1, 255) == pytest.approx(48.1308, abs=1e-4)
    assert math.isnan(psnr(math.nan, 255))
