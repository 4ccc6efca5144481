"""Packing that is killed loses what was not committed, and nothing else; who reads meanwhile sees one whole state."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from jobs import others_gone
from packs import check_whole, image_of, make_pack, packable
from ziggurat.errors import SourceChanged, SourceRefused, UsageError
from ziggurat.pack import Pack
from ziggurat.pack.gather import gather
from ziggurat.pack.packing import Choices, pack_images
from ziggurat.pack.writer import PackWriter
from ziggurat.storage.ranges import ByteRange
from ziggurat.testing.sources import BytesSource

DRIVER = Path(__file__).with_name("crash_driver.py")
PACKER = Path(__file__).with_name("pack_driver.py")
THOROUGH = "ZIGGURAT_THOROUGH" in os.environ
ENVIRONMENT = os.environ | {"PYTHONPATH": str(DRIVER.parents[1])}


def scenario(name: str, folder: Path, number: int = 0) -> int:
    """Plays one; how many processes died in it."""
    command = [sys.executable, str(DRIVER), name, str(folder), str(number)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout or "0")


def test_a_kill_at_any_change_of_a_file_loses_only_the_open_transaction(tmp_path: Path) -> None:
    step = 1 if THOROUGH else 10
    assert scenario("kill_at_every_change", tmp_path, step) > 300 // step


def test_a_power_cut_at_any_change_of_a_file_loses_only_the_open_transaction(tmp_path: Path) -> None:
    step = 1 if THOROUGH else 12
    assert scenario("cut_power_at_every_change", tmp_path, step) > 300 // step


def test_kills_at_random_moments_leave_a_pack_that_is_whole(tmp_path: Path) -> None:
    assert scenario("kill_at_random", tmp_path, 200 if THOROUGH else 20)


def test_readers_see_one_state_while_it_is_written(tmp_path: Path) -> None:
    scenario("readers_while_writing", tmp_path, 1500 if THOROUGH else 120)


def test_a_second_writer_is_told_and_a_reader_is_not_in_the_way(tmp_path: Path) -> None:
    scenario("two_writers", tmp_path)


def test_what_a_killed_writer_left_is_undone_by_who_may_write() -> None:
    # Users without rights do not come to the folders of tests.
    with tempfile.TemporaryDirectory() as folder:
        scenario("readers_after_a_kill", Path(folder))


def test_a_pack_that_was_open_before_a_fork_is_read_by_many_threads_behind_it(tmp_path: Path) -> None:
    scenario("packs_across_a_fork", tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hundred JPEGs; some are large, and some lie beside the pack."""
    place = tmp_path_factory.mktemp("images")
    picture = imagecodecs.jpeg8_encode(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64), level=90)
    for number in range(300):
        size = 70_000 if number % 40 == 7 else 35_000 if number % 20 == 3 else 2000
        (place / f"{number:03}.jpg").write_bytes(picture + image_of(number, size))
    return place


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.zpk"


def start(folder: Path, path: Path, processes: int) -> "subprocess.Popen[str]":
    command = [sys.executable, str(PACKER), str(folder), str(path), str(processes)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, start_new_session=True)


def test_packing_that_is_killed_again_and_again_packs_every_image_once(folder: Path, path: Path) -> None:
    images = {item.name: item.read_bytes() for item in folder.iterdir()}
    choose = random.Random(os.environ.get("ZIGGURAT_SEED", time.time_ns()))
    held: set[str] = set()
    kills = 0
    for round_ in range(60 if THOROUGH else 8):
        job = start(folder, path, 2 if round_ % 2 else 0)
        deadline = time.monotonic() + 30
        while not path.exists() or not Path(f"{path}-lock").exists():
            assert job.poll() is None or time.monotonic() < deadline
            if job.poll() is not None:
                break
            time.sleep(0.005)
        time.sleep(choose.uniform(0, 0.25 if len(held) < 250 else 0.01))
        job.kill()
        job.communicate()
        kills += job.returncode == -signal.SIGKILL
        while not others_gone(job.pid):
            assert time.monotonic() < deadline, "a process outlived the one that wrote"
            time.sleep(0.02)
        if path.exists() and _is_pack(path):
            with Pack(path) as pack:
                now = set(pack)
                assert held <= now, "something is gone that was committed"
                assert all(pack[key] == images[key] for key in now)
                held = now
    assert kills > 2
    job = start(folder, path, 2)
    said, _ = job.communicate(timeout=100)
    assert job.returncode == 0
    packed, there, left = map(int, said.split())
    assert (packed + there, there >= len(held), left) == (len(images), True, 0)
    check_whole(path, images)
    assert not [item for item in path.parent.rglob("*") if item.name.endswith((".part", "-journal", "-lock"))]


def _is_pack(path: Path) -> bool:
    """Whether the writer came so far; before that nothing was committed."""
    try:
        Pack(path).close()
    except SourceRefused as error:
        return "is empty" not in str(error) and path.stat().st_size > 0
    return True


def test_many_threads_read_one_pack_at_once(path: Path) -> None:
    images = make_pack(path, 60)
    rng = random.Random(1)
    with Pack(path) as pack, ThreadPoolExecutor(8) as threads:
        source = pack.source("folder 2/00002.jpg")
        wanted = rng.choices(list(images), k=800)
        assert list(threads.map(pack.__getitem__, wanted)) == [images[key] for key in wanted]
        assert set(threads.map(lambda _: source.read_ranges([ByteRange(30, 90)])[0], range(200))) == {
            images["folder 2/00002.jpg"][30:90]
        }
        assert set(threads.map(lambda _: len(list(pack.entries())), range(20))) == {60}


def test_a_pack_that_is_closed_while_threads_read_it_gives_whole_images_or_says_so(path: Path) -> None:
    images = make_pack(path, 60)

    def reads(pack: Pack, gate: threading.Barrier) -> int:
        gate.wait()
        for count in range(100_000):
            key = list(images)[count % 60]
            try:
                found = [pack[key], *pack.batch([key, key])]
            except UsageError as error:
                return count if "is closed" in str(error) else -1
            assert found == [images[key]] * 3
        raise AssertionError("it was never closed")

    for _ in range(10):
        pack = Pack(path)
        gate = threading.Barrier(5)
        with ThreadPoolExecutor(4) as threads:
            counts = [threads.submit(reads, pack, gate) for _ in range(4)]
            gate.wait()
            time.sleep(0.01)
            pack.close()
        assert all(count.result() >= 0 for count in counts)
        pack.close()


@pytest.mark.parametrize("beside_over", [500, 5000])
def test_an_image_that_cannot_be_read_does_not_cost_the_one_that_it_was_to_replace(
    path: Path, beside_over: int
) -> None:
    with PackWriter(path, beside_over=beside_over) as writer:
        writer.put(packable("k", image_of(1)))
        changed = packable("k", image_of(2))._replace(rest=BytesSource(image_of(3)))
        with pytest.raises(SourceChanged, match="changed while it was packed"):
            writer.put(changed, replace=True)
        gone = changed._replace(rest=BytesSource(image_of(3, 100)))
        with pytest.raises(SourceChanged):
            writer.put(gone, replace=True)
        writer.put(packable("l", image_of(4)))
    check_whole(path, {"k": image_of(1), "l": image_of(4)})
    assert not list(path.parent.rglob("*.part"))


def test_numbers_of_removed_images_are_not_given_to_others(path: Path) -> None:
    with PackWriter(path) as writer:
        writer.put(packable("a", image_of(1)))
        writer.put(packable("b", image_of(2)))
    with Pack(path) as pack:
        source = pack.source("b")
        for _ in range(2):
            with PackWriter(path) as writer:
                writer.remove("b")
            with PackWriter(path) as writer:
                writer.put(packable("b", image_of(3)))
        with pytest.raises(SourceChanged, match="removed or replaced while it was open"):
            source.read_ranges([ByteRange(0, 5)])
        assert pack["b"] == image_of(3)


def test_images_that_come_in_parts_later_are_read_by_who_opened_the_pack_before(path: Path) -> None:
    with PackWriter(path) as writer:
        writer.put(packable("a", image_of(1)))
    with Pack(path) as pack:
        with PackWriter(path) as writer:
            writer.put(packable("b", image_of(2), spans=((40, 60), (100, 130))))
        assert pack["b"] == image_of(2)
        assert pack.read(pack.entry("b"), [ByteRange(50, 120)]) == [image_of(2)[50:120]]


def test_a_pack_in_the_folder_that_it_packs_is_left_out(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "in"
    place.mkdir()
    (place / "a.jpg").write_bytes((folder / "000.jpg").read_bytes())
    path = place / "all.zpk"
    for packed in (1, 0):
        with PackWriter(path) as writer:
            outcome = pack_images(writer, gather(str(place)).images, Choices(processes=0))
            said = dict(outcome.left)
            assert (outcome.packed, said[str(path)]) == (packed, "it is the pack itself")
