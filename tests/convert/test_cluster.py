"""Jobs on Dask clusters: workers die, schedulers go, people press Ctrl-C, and everything is done once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs import as_recorded, collection, convert, files, finish, query, rows, start, states, write_image, ziggurat
from ziggurat.convert.engine.station import Witness, settle
from ziggurat.errors import SourceRefused, UsageError

FAULTS = Path(__file__).with_name("fault_driver.py")


def until(true: Callable[[], object], job: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def outputs(out: Path) -> set[str]:
    return {name for name in files(out) if name.endswith(".jpg")}


def dask_workers(job: int) -> list[int]:
    """Processes that a job has spawned from any of its threads."""
    threads = Path(f"/proc/{job}/task").glob("*/children")
    children = [int(pid) for thread in threads for pid in thread.read_text().split()]
    return [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_worker_that_dies_and_a_decoder_that_crashes_cost_no_other_image(tmp_path: Path) -> None:
    folder, out = collection(tmp_path / "in", 16), tmp_path / "out"
    write_image(folder / "segv.png")
    job = start(
        "convert", folder, out, "--to", "jpeg", "--engine", "dask", "--workers", "2", "--memory", "2G",
        "--attempts", "2", driver=FAULTS, SLOW="0.2",
    )  # fmt: skip
    until(lambda: outputs(out), job)
    workers = dask_workers(job.pid)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    result = finish(job)
    ledger = tmp_path / "out.zgj"
    assert result.code == 3, result.said
    found = rows(ledger)
    crashed = found.pop("segv.png")
    assert (crashed["state"], crashed["error_class"]) == ("quarantined", "WorkerCrashed")
    assert {row["state"] for row in found.values()} == {"done"}
    assert as_recorded(ledger, out)
    lost = {kind for (kind,) in query(ledger, "SELECT DISTINCT error_class FROM attempts")}
    assert lost == {"WorkerCrashed", "WorkerLost"}
    assert not list(tmp_path.glob("*.scratch"))


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler and a worker that were there before the job."""
    address = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    common = ["--scheduler-file", str(address), "--no-dashboard"]
    with (tmp_path / "cluster.log").open("wb") as log:
        made = [
            subprocess.Popen([*dask, *words, *common], stdout=log, stderr=log, cwd=tmp_path, start_new_session=True)
            for words in (
                ("scheduler", "--host", "127.0.0.1", "--port", "0"),
                ("worker", "--nthreads", "1", "--memory-limit", "1GiB", "--death-timeout", "60"),
            )
        ]
        deadline = time.monotonic() + 60
        while "tcp://" not in (text := address.read_text() if address.exists() else ""):
            assert time.monotonic() < deadline, (tmp_path / "cluster.log").read_text()
            time.sleep(0.05)
        yield "tcp://" + text.partition("tcp://")[2].partition('"')[0], made[0]
        for process in reversed(made):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_job_on_a_cluster_is_drained_loses_its_scheduler_and_ends_on_this_machine(
    tmp_path: Path, scheduler: tuple[str, subprocess.Popen[bytes]]
) -> None:
    address, process = scheduler
    folder, out, ledger = collection(tmp_path / "in", 240), tmp_path / "out", tmp_path / "out.zgj"
    words = ("convert", folder, out, "--to", "jpeg", "--engine", "dask", "--scheduler", address)

    job = start(*words)
    until(lambda: outputs(out), job)
    job.send_signal(signal.SIGINT)
    result = finish(job)
    assert (result.code, "interrupted" in result.err) == (130, True), result.said
    assert set(states(ledger).values()) == {"done", "planned"}
    assert as_recorded(ledger, out)

    before = len(outputs(out))
    job = start(*words)
    until(lambda: len(outputs(out)) > before, job)
    process.kill()
    result = finish(job)
    assert (result.code, "SchedulerLost" in result.err, "same command" in result.err) == (1, True, True), result.said

    assert convert(folder, out).code == 0
    assert set(states(ledger).values()) == {"done"}
    assert as_recorded(ledger, out)


def test_a_worker_that_sees_other_files_is_refused(tmp_path: Path) -> None:
    source = write_image(tmp_path / "in" / "a.png")
    Witness(str(source), None, source.stat().st_size).check()
    mark = tmp_path / "out" / "mark"
    mark.parent.mkdir()
    mark.write_text("ours")
    Witness(str(mark), "ours").check()
    for wrong in (
        Witness(str(source), None, 1),
        Witness(str(tmp_path / "nothing"), None, 1),
        Witness(str(mark), "others"),
        Witness(str(tmp_path / "elsewhere" / "mark"), "ours"),
    ):
        with pytest.raises(SourceRefused, match="object store or on a file system that they share"):
            wrong.check()


def test_a_dask_worker_has_one_process_more_than_threads_as_far_as_its_memory_goes() -> None:
    assert settle(4, 8 << 30).workers == 5
    assert settle(4, 1 << 30).workers == 3
    with pytest.raises(UsageError, match="--memory-limit"):
        settle(4, None)
    with pytest.raises(UsageError, match="too little"):
        settle(1, 256 << 20)


def test_what_a_cluster_cannot_do_is_said_before_it_is_asked(tmp_path: Path) -> None:
    folder = collection(tmp_path / "in", 1)
    nowhere = ("--engine", "dask", "--scheduler", "tcp://127.0.0.1:1")
    result = ziggurat("convert", folder, tmp_path / "out.zpk", "--to", "jpeg", *nowhere)
    assert (result.code, "which the workers of a cluster cannot write together" in result.err) == (2, True), result.said
    result = convert(folder, tmp_path / "out", *nowhere)
    assert (result.code, "those of the cluster" in result.err) == (2, True), result.said
    result = ziggurat("convert", folder, tmp_path / "out", "--to", "jpeg", "--scheduler", "tcp://127.0.0.1:1")
    assert (result.code, "--engine dask" in result.err) == (2, True), result.said
