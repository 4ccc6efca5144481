"""Workers under guard: what they have in hand is never lost without a word."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs import write_image
from ziggurat.convert.engine.local import Pool
from ziggurat.convert.guard import WORKER_BASE, Lost
from ziggurat.convert.options import OutputOptions
from ziggurat.convert.probe import Question
from ziggurat.convert.records import Budget, Failure, Published, Task, Verified
from ziggurat.convert.worker import Answer, Probed, WorkerConfig
from ziggurat.storage.local import LocalSource
from ziggurat.storage.network import NetworkOptions


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    config = WorkerConfig(
        options=OutputOptions(target="jpeg"),
        destination=str(tmp_path / "out"),
        scratch=str(tmp_path / "scratch"),
        overwrite=False,
        network=NetworkOptions(),
        budget=Budget(total=1 << 30, bands=1 << 29),
        share=1 << 29,
    )
    made = Pool(2, config)
    yield made
    made.close()
    assert not made.workers


def question(path: Path, image: int = 1) -> Question:
    return Question(image, str(path), f"{image}.jpg", None)


def task(path: Path, image: int = 1) -> Task:
    version = LocalSource(path).version
    return Task(
        image=image, source=str(path), target=f"{image}.jpg", token=f"t-{image}", source_size=version.size,
        source_tag=version.tag, expected_sha256=None, replaces=None, writer="jpeg", strategy="whole",
        memory=128 << 20, cap=256 << 20, pixels=6144, samples=18432, attempt=1,
    )  # fmt: skip


def hear(pool: Pool, kind: type, seconds: float = 120) -> list[Answer | Lost]:
    """Everything that is said until something of a kind is."""
    heard: list[Answer | Lost] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        heard += pool.events(0.1)
        if heard and isinstance(heard[-1], kind):
            return heard
    pytest.fail(f"no {kind.__name__} within {seconds} s, but {heard}")


def test_workers_start_when_there_is_work_and_are_kept(pool: Pool, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png")
    assert (pool.idle(), pool.workers) == (2, [])
    pool.submit([question(path)], seconds=120, cap=1 << 30)
    assert (pool.idle(), len(pool.busy())) == (1, 1)
    [probed] = hear(pool, Probed)
    assert isinstance(probed, Probed)
    assert [(probe.verdict, probe.height, probe.width) for probe in probed.probes] == [("planned", 64, 96)]
    first = pool.workers[0].process.pid
    pool.submit([question(path)], seconds=120, cap=1 << 30)
    hear(pool, Probed)
    assert [worker.process.pid for worker in pool.workers] == [first]


def test_an_image_is_published_only_once_its_result_is_committed(pool: Pool, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png")
    pool.submit(task(path), seconds=120, cap=1 << 28)
    heard = hear(pool, Verified)
    assert not (tmp_path / "out" / "1.jpg").exists()
    assert [one.name for one in heard if hasattr(one, "name")] == ["read", "write", "verify", "record"]
    assert list(pool.events(0.5)) == []
    assert not (tmp_path / "out" / "1.jpg").exists()
    pool.committed(1)
    hear(pool, Published)
    assert (tmp_path / "out" / "1.jpg").exists()
    assert pool.idle() == 2


def test_an_image_that_fails_is_told_and_its_worker_lives(pool: Pool, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:500])
    pool.submit(task(path), seconds=120, cap=1 << 28)
    failure = hear(pool, Failure)[-1]
    assert isinstance(failure, Failure)
    assert failure.error_class == "CorruptImage"
    assert str(path) in failure.error_message
    assert pool.workers[0].process.is_alive()
    assert not list((tmp_path / "out").iterdir())


def test_work_whose_worker_dies_is_lost_with_the_signal(pool: Pool, tmp_path: Path) -> None:
    work = task(write_image(tmp_path / "a.png"))
    pool.submit(work, seconds=120, cap=1 << 28)
    hear(pool, Verified)
    os.kill(pool.workers[0].process.pid or 0, signal.SIGBUS)
    lost = hear(pool, Lost)[-1]
    assert isinstance(lost, Lost)
    assert (lost.work, lost.error_class, "SIGBUS in record" in lost.message) == (work, "WorkerCrashed", True)
    assert (pool.workers, pool.idle()) == ([], 2)


def test_work_that_takes_too_long_is_ended(pool: Pool, tmp_path: Path) -> None:
    work = task(write_image(tmp_path / "a.png"))
    # Nobody commits it: the worker waits for ever.
    pool.submit(work, seconds=1.5, cap=1 << 28)
    lost = hear(pool, Lost)[-1]
    assert isinstance(lost, Lost)
    assert (lost.work, lost.error_class) == (work, "TimedOut")
    assert pool.workers == []


def test_the_start_of_a_worker_is_not_counted_as_its_works_time(pool: Pool, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png")
    pool.submit([question(path)], seconds=0.01, cap=1 << 30)
    hear(pool, Probed)


def test_work_that_grows_over_its_cap_is_ended(pool: Pool, tmp_path: Path) -> None:
    work = task(write_image(tmp_path / "a.png"))
    pool.submit(work, seconds=120, cap=40 - WORKER_BASE)
    lost = hear(pool, Lost)[-1]
    assert isinstance(lost, Lost)
    assert (lost.work, lost.error_class) == (work, "OutOfMemory")
    assert lost.peak is not None
    assert lost.peak > 1 << 20


def test_an_idle_worker_that_dies_is_replaced_without_a_word(pool: Pool, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png")
    pool.submit([question(path)], seconds=120, cap=1 << 30)
    hear(pool, Probed)
    worker = pool.workers[0].process
    os.kill(worker.pid or 0, signal.SIGKILL)
    worker.join()
    # Handed out before the death is noticed: it must come back as lost, or done by another.
    pool.submit([question(path)], seconds=120, cap=1 << 30)
    told = []
    deadline = time.monotonic() + 120
    while not told and time.monotonic() < deadline:
        told += pool.events(0.1)
    assert isinstance(told[0], Lost)
    pool.submit([question(path)], seconds=120, cap=1 << 30)
    hear(pool, Probed)


def test_closing_ends_workers_whatever_they_do(pool: Pool, tmp_path: Path) -> None:
    pool.submit(task(write_image(tmp_path / "a.png")), seconds=120, cap=1 << 28)
    hear(pool, Verified)
    pool.submit([question(tmp_path / "a.png", 2)], seconds=120, cap=1 << 30)
    hear(pool, Probed)
    processes = [worker.process.pid or 0 for worker in pool.workers]
    assert len(processes) == 2
    pool.close()
    for pid in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
