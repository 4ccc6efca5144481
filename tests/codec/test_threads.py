"""How many threads decode, and that their number changes no pixel."""

from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from jpeg2000_maker import write_tiled
from ziggurat.codec import threads
from ziggurat.errors import CorruptImage
from ziggurat.format.jpeg2000 import open_reader
from ziggurat.geometry import Window
from ziggurat.storage.memory import MemorySource


@pytest.fixture(autouse=True)
def unlimited() -> Iterator[None]:
    yield
    threads._limit = None


def tiled() -> bytes:
    """An image of tiles that all differ."""
    pixels = np.random.default_rng(7).integers(0, 256, (300, 340, 3), np.uint8)
    return imagecodecs.htj2k_encode(pixels, reversible=True, tile=(64, 64), resolutions=3)


def repeated(folder: Path) -> bytes:
    """An image of 4 x 4 equal tiles, without HT."""
    pixels = np.random.default_rng(7).integers(0, 256, (64, 64, 3), np.uint8)
    sample = imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", resolutions=3)
    write_tiled(folder / "tiled.j2k", sample, 4, tlm=True)
    return (folder / "tiled.j2k").read_bytes()


def test_a_limit_is_kept_and_is_at_least_one() -> None:
    assert 1 <= threads.decoding_threads() <= threads.MOST
    for given, expected in ((0, 1), (1, 1), (3, 3)):
        threads.limit_threads(given)
        assert threads.decoding_threads() == expected


@pytest.mark.parametrize("level", [0, 2])
@pytest.mark.parametrize("plain", [True, False])
def test_tiles_decoded_side_by_side_are_those_decoded_in_turn(tmp_path: Path, level: int, *, plain: bool) -> None:
    reader = open_reader(MemorySource("image", repeated(tmp_path) if plain else tiled()))
    size = reader.info.levels[level].shape
    found = []
    for count in (1, 3, 8):
        threads.limit_threads(count)
        found.append(reader.read(level, Window.full(size)))
    assert all(np.array_equal(found[0], item) for item in found[1:])


def test_a_damaged_tile_is_reported_from_its_thread(tmp_path: Path) -> None:
    data = bytearray(repeated(tmp_path))
    data[len(data) // 2 : len(data) // 2 + 4000] = b"\xff\x90" * 2000
    for count in (1, 4):
        threads.limit_threads(count)
        reader = open_reader(MemorySource("image", bytes(data)))
        with pytest.raises(CorruptImage):
            reader.read(0, Window.full(reader.info.size))


def test_memory_of_tiles_side_by_side_is_predicted(tmp_path: Path) -> None:
    reader = open_reader(MemorySource("image", repeated(tmp_path)))
    window = Window.full(reader.info.size)
    threads.limit_threads(1)
    alone = reader.read_cost(0, window)
    threads.limit_threads(4)
    assert alone + 3 * 64 * 64 * 3 * 4 <= reader.read_cost(0, window)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_work_side_by_side_is_done_for_all_and_its_first_failure_raised(count: int) -> None:
    done: list[int] = []
    threads.side_by_side(done.append, range(100), count)
    assert sorted(done) == list(range(100))

    def fail(number: int) -> None:
        if number >= 3:
            raise ValueError(number)

    with pytest.raises(ValueError, match=r"^3$"):
        threads.side_by_side(fail, range(100), count)
    threads.side_by_side(fail, [], count)


def test_work_side_by_side_may_have_work_of_its_own() -> None:
    done: list[tuple[int, int]] = []

    def some(number: int) -> None:
        threads.side_by_side(lambda inner: done.append((number, inner)), range(5), 8)

    threads.side_by_side(some, range(40), 8)
    assert len(set(done)) == 200
