"""Packs as training data, without PyTorch: what its DataLoader calls."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ziggurat.errors import UsageError
from ziggurat.pack.dataset import PackDataset, ShuffledOrder
from ziggurat.pack.entry import Kind
from ziggurat.pack.schema import Column
from ziggurat.pack.writer import Packable, PackWriter


def sample(key: str, data: bytes) -> tuple[str, int]:
    return key, len(data)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    path = tmp_path / "a.zpk"
    with PackWriter(path, columns=(Column("redshift", "REAL"),)) as writer:
        for number in range(100):
            data = b"x" * (number + 1)
            digest = hashlib.sha256(data).digest()
            # Keys in another order than the images lie.
            key = f"{(number * 37) % 100:02d}"
            writer.put(Packable(key, Kind(), data, len(data), digest, {"redshift": number / 100}))
    return path


def fetch(dataset: PackDataset[tuple[str, int]], places: list[int]) -> list[tuple[str, int]]:
    return dataset.__getitems__(places)


def test_samples_come_by_place_in_the_order_in_which_they_lie(pack: Path) -> None:
    images = PackDataset(pack, sample)
    assert len(images) == 100
    assert [images[place][1] for place in range(100)] == list(range(1, 101))
    assert images.__getitems__([5, 99, 5, 0]) == [images[5], images[99], images[5], images[0]]
    with pytest.raises(IndexError):
        images[100]


def test_a_condition_chooses_them(pack: Path) -> None:
    images = PackDataset(pack, sample, where="redshift >= 0.9")
    assert [size for _, size in images.__getitems__(range(len(images)))] == list(range(91, 101))


WORKERS = """
import multiprocessing, sys
from test_dataset import fetch, sample
from ziggurat.pack.dataset import PackDataset

if __name__ == "__main__":
    images = PackDataset(sys.argv[1], sample)
    shares = [(images, list(range(start, start + 10))) for start in range(0, 100, 10)]
    expected = [fetch(*share) for share in shares]
    with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
        assert pool.starmap(fetch, shares) == expected
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_workers_open_it_anew(pack: Path, method: str, tmp_path: Path) -> None:
    # Of its own, so that no thread of another test is forked along.
    script = tmp_path / "workers.py"
    script.write_text(WORKERS)
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    subprocess.run(
        [sys.executable, str(script), str(pack), method],
        check=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": paths},
    )


def test_orders_are_the_same_for_a_seed_and_another_for_every_epoch() -> None:
    order = ShuffledOrder(1000, seed=3)
    first = list(order)
    assert first == list(ShuffledOrder(1000, seed=3))
    assert sorted(first) == list(range(1000))
    order.set_epoch(1)
    assert sorted(order) == sorted(first) != list(order) != first


@pytest.mark.parametrize("length", [0, 1, 10, 1003])
def test_machines_share_all_places_equally(length: int) -> None:
    orders = [ShuffledOrder(length, rank=rank, ranks=4) for rank in range(4)]
    shares = [list(order) for order in orders]
    assert {len(share) for share in shares} == {len(order) for order in orders} == {-(-length // 4)}
    assert set().union(*shares) == set(range(length))
    with pytest.raises(UsageError):
        ShuffledOrder(length, rank=4, ranks=4)
