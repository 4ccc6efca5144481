"""Which chunks suit which file, as values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.geometry import Size, Window
from ziggurat.interop.multiscale import MOST, Pyramid, grids
from ziggurat.model import SINGLE, Stack


def pyramid(size: Size, tile: Size | None, bands: int = 3, dtype: str = "uint8", stack: Stack = SINGLE) -> Pyramid:
    levels = tuple(size.halved(times) for times in range(4))
    return Pyramid(levels=levels, tile=tile, bands=bands, dtype=dtype, depth=8, stack=stack)


@pytest.mark.parametrize(
    ("size", "tile", "bands", "dtype", "chunk"),
    [
        (Size(9000, 7000), Size(256, 256), 3, "uint8", [3, 256, 256]),
        (Size(9000, 7000), Size(240, 240), 3, "uint8", [3, 480, 480]),
        (Size(9000, 7000), Size(127, 127), 3, "uint8", [3, 254 * 2, 254 * 2]),
        (Size(9000, 7000), Size(1024, 1024), 3, "uint8", [3, 1024, 1024]),
        (Size(9000, 7000), Size(4096, 4096), 3, "uint16", [3, 1024, 1024]),
        (Size(9000, 7000), Size(64, 4096), 3, "uint8", [3, 512, 512]),
        (Size(9000, 3000), Size(1, 3000), 3, "uint8", [3, 256, 3000]),
        (Size(9000, 3000), Size(5000, 3000), 3, "uint8", [3, MOST // 9000, 3000]),
        (Size(9000, 70_000), Size(8, 70_000), 1, "uint16", [512, 512]),
        (Size(9000, 7000), None, 1, "float32", [1024, 1024]),
        (Size(9000, 7000), None, 200, "float32", [2, 1024, 1024]),
        (Size(100, 90), None, 3, "uint8", [3, 100, 90]),
    ],
)
def test_chunks_suit_the_file(size: Size, tile: Size | None, bands: int, dtype: str, chunk: list[int]) -> None:
    assert grids(pyramid(size, tile, bands, dtype))[0].chunk_shape == chunk


def test_planes_are_an_axis_of_their_own() -> None:
    image = pyramid(Size(700, 300), Size(64, 128), stack=Stack(depth=5))
    assert image.axes == ("c", "z", "y", "x")
    [first, *_] = grids(image)
    assert first.shape == [3, 5, 700, 300]
    assert first.chunk_shape == [3, 1, 256, 300]
    last = first.part([0, 4, 2, 0])
    assert last is not None
    assert (last.plane, last.window) == (4, Window(512, 0, 700, 300))
    assert first.part([0, 5, 0, 0]) is None


@given(
    st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 300), st.integers(1, 3000), st.integers(1, 3000),
    st.sampled_from(["uint8", "int16", "float64"]),
)  # fmt: skip
def test_chunks_cover_every_level_once(height: int, width: int, bands: int, tall: int, wide: int, dtype: str) -> None:
    for grid in grids(pyramid(Size(height, width), Size(min(tall, height), min(wide, width)), bands, dtype)):
        corner = [count - 1 for count in grid.counts]
        last = grid.part(corner)
        assert last is not None
        assert (last.bands[1], last.window.y1, last.window.x1) == (bands, *grid.size)
        assert grid.part([0] * len(corner)) is not None
        for axis in range(len(corner)):
            beyond = list(corner)
            beyond[axis] += 1
            assert grid.part(beyond) is None
        assert last.window.within(grid.size)
