"""Decoders that crash, hang or eat memory, and sources that change: they cost their own image and no other."""

import hashlib
import time
from pathlib import Path

import pytest

from jobs import as_recorded, collection, convert, finish, picture, rows, start, states, write_image

DRIVER = Path(__file__).with_name("fault_driver.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def run_with_faults(folder: Path, out: Path, *options: str) -> int:
    job = start(
        "convert", folder, out, "--to", "jpeg", "--workers", "2", "--memory", "2G", *options, driver=DRIVER
    )  # fmt: skip
    return finish(job).code


def test_decoders_that_crash_hang_or_eat_memory_cost_only_their_own_image(folder: Path, out: Path) -> None:
    collection(folder, 12)
    faults = {
        "segv": "WorkerCrashed",
        "exit": "WorkerCrashed",
        "hang": "TimedOut",
        "greedy": "OutOfMemory",
        "header-segv": "WorkerCrashed",
        "header-greedy": "OutOfMemory",
    }
    for name in faults:
        write_image(folder / f"{name}.png")
    assert run_with_faults(folder, out, "--timeout", "6", "--attempts", "2") == 3
    found = rows(out.with_name("out.zgj"))
    assert all(found[f"a{number:02}.png"]["state"] == "done" for number in range(12))
    assert as_recorded(out.with_name("out.zgj"), out)
    for name, error in faults.items():
        row = found[f"{name}.png"]
        assert (row["error_class"], row["source"] in str(row["error_message"])) == (error, True), row
        if name.startswith("header-"):
            assert row["state"] in {"quarantined", "deferred"}
        else:
            assert (row["state"], row["attempts"]) == ("quarantined", 2)
    assert "SIGSEGV" in str(found["segv.png"]["error_message"])
    assert int(str(found["greedy.png"]["peak_memory"])) < 2 << 30


def test_a_decoder_that_crashes_once_is_given_another_chance(folder: Path, out: Path) -> None:
    collection(folder, 3)
    write_image(folder / "once-segv.png")
    write_image(folder / "once-greedy.png")
    assert run_with_faults(folder, out) == 0
    found = rows(out.with_name("out.zgj"))
    assert (set(states(out.with_name("out.zgj")).values()), found["once-segv.png"]["attempts"]) == ({"done"}, 2)
    assert as_recorded(out.with_name("out.zgj"), out)


def test_a_source_that_changes_between_plan_and_conversion_fails(folder: Path, out: Path) -> None:
    for number in range(3):
        write_image(folder / f"slow-{number}.png", seed=number)
    job = start("convert", folder, out, "--to", "jpeg", "--workers", "1", "--memory", "1G", driver=DRIVER, SLOW="1")
    deadline = time.monotonic() + 120
    while not list(out.rglob(".*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    write_image(folder / "slow-2.png", picture(seed=99))
    assert finish(job).code == 3
    found = rows(out.with_name("out.zgj"))
    assert (found["slow-2.png"]["state"], found["slow-2.png"]["error_class"]) == ("failed", "SourceChanged")
    assert convert(folder, out, "--retry-failed").code == 0
    row = rows(out.with_name("out.zgj"))["slow-2.png"]
    assert row["source_sha256"] == hashlib.sha256((folder / "slow-2.png").read_bytes()).hexdigest()
