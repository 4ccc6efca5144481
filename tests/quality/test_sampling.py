import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.geometry import Size, Window
from ziggurat.quality.sampling import busiest, sample_windows

SIZES = st.builds(Size, st.integers(1, 3000), st.integers(1, 3000))


@given(SIZES, st.integers(1, 8), st.integers(1, 300))
def test_windows_are_inside_of_full_size_apart_and_reproducible(size: Size, count: int, side: int) -> None:
    windows = sample_windows(size, count, side=side)
    assert 1 <= len(windows) <= count
    assert windows == sample_windows(size, count, side=side)
    for index, window in enumerate(windows):
        assert window.within(size)
        assert window.size == (min(side, size.height), min(side, size.width))
        assert not any(window.intersect(other) for other in windows[:index])


def test_a_usual_picture_has_two_windows_in_different_quarters() -> None:
    upper, lower = sample_windows(Size(3000, 2000))
    assert upper.y1 < 1500 <= lower.y0
    assert upper.x1 < 1000 <= lower.x0


def test_a_small_picture_is_measured_whole() -> None:
    assert sample_windows(Size(100, 200)) == (Window(0, 0, 100, 200),)
    assert busiest(np.zeros((100, 200, 3), np.uint8)) == (Window(0, 0, 100, 200),)


def test_busy_parts_are_found() -> None:
    pixels = np.full((1000, 1300, 3), 90, np.uint8)
    pixels[500:700, 900:1100] = np.random.default_rng(0).integers(0, 256, (200, 200, 3))
    pixels[300:340, 300:340] = 200
    first, second = busiest(pixels)
    assert first.intersect(Window(500, 900, 700, 1100)) is not None
    assert first.intersect(second) is None


@given(SIZES)
def test_busy_windows_are_inside(size: Size) -> None:
    pixels = np.broadcast_to(np.zeros((1, 1, 1), np.uint8), (*size, 1))
    assert all(window.within(size) for window in busiest(pixels, 3))
