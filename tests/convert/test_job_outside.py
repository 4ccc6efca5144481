"""What a job has to do with the outside: commands and notifications, signals, terminals, a full disk."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import imagecodecs
import pytest

from jobs import (
    FAST,
    as_recorded,
    collection,
    convert,
    finish,
    manifest,
    picture,
    query,
    rows,
    start,
    states,
    write_image,
    ziggurat,
)

DRIVER = Path(__file__).with_name("fault_driver.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return collection(tmp_path / "in", 4)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def ledger_of(out: Path) -> Path:
    return out.with_name("out.zgj")


# -- items and notifications ------------------------------------------------------------------------------------------


@pytest.fixture
def hook(tmp_path: Path) -> str:
    """A command that appends its item to a file, and fails for item two while ``tmp_path/broken`` exists."""
    script = tmp_path / "hook.py"
    script.write_text(
        "import os, sys, pathlib\n"
        "here = pathlib.Path(__file__).parent\n"
        "with (here / 'said').open('a') as said:\n"
        '    said.write(f\'{sys.argv[1]} {os.environ["ZIGGURAT_ITEM"]} {os.environ["ZIGGURAT_JOB"]}\\n\')\n'
        "sys.exit(sys.argv[1] == 'two' and (here / 'broken').exists())\n",
        encoding="utf-8",
    )
    return f"{sys.executable} {script} {{item}}"


@pytest.mark.usefixtures("folder")
def test_the_command_of_an_item_runs_once_when_all_its_images_are_done(out: Path, tmp_path: Path, hook: str) -> None:
    lines = ["source,item", "in/a00.png,one", "in/a01.png,one", "in/a02.png,two", "in/missing.png,three"]
    path = manifest(tmp_path / "m.csv", [*lines, "in/a03.png,three"])
    for _ in range(2):
        assert convert(path, out, "--on-item-complete", hook).code == 3
    said = sorted((tmp_path / "said").read_text(encoding="utf-8").splitlines())
    assert said == [f"{item} {item} {ledger_of(out)}" for item in ("one", "two")]


@pytest.mark.usefixtures("folder")
def test_a_command_that_failed_runs_again_when_the_job_is_resumed(out: Path, tmp_path: Path, hook: str) -> None:
    path = manifest(tmp_path / "m.csv", ["source,item", "in/a00.png,one", "in/a01.png,two"])
    (tmp_path / "broken").touch()
    convert(path, out, "--on-item-complete", hook)
    assert query(ledger_of(out), "SELECT item, hook_exit FROM items ORDER BY item") == [("one", 0), ("two", 1)]
    (tmp_path / "broken").unlink()
    assert convert(path, out, "--on-item-complete", hook).code == 0
    assert query(ledger_of(out), "SELECT item, hook_exit FROM items ORDER BY item") == [("one", 0), ("two", 0)]
    said = [line.split()[0] for line in (tmp_path / "said").read_text(encoding="utf-8").splitlines()]
    assert sorted(said) == ["one", "two", "two"]


@pytest.mark.usefixtures("folder")
def test_a_command_that_cannot_be_started_fails_no_image(out: Path, tmp_path: Path) -> None:
    path = manifest(tmp_path / "m.csv", ["source,item", "in/a00.png,one"])
    assert convert(path, out, "--on-item-complete", "/no/such/command {item}").code == 0
    assert convert(path, out, "--on-item-complete", "'unclosed").code == 2


@pytest.fixture
def listener() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """A web server that keeps what is posted to it."""
    posted: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/jobs", posted
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_end_of_a_job_is_posted(folder: Path, out: Path, listener: tuple[str, list[dict[str, object]]]) -> None:
    url, posted = listener
    assert convert(folder, out, "--notify", url).code == 0
    [end] = posted
    assert (end["event"], end["job"], end["done"], end["images"], end["interrupted"]) == (
        "end", str(ledger_of(out)), 4, 4, False,
    )  # fmt: skip


def test_a_stall_is_posted(tmp_path: Path, out: Path, listener: tuple[str, list[dict[str, object]]]) -> None:
    url, posted = listener
    write_image(tmp_path / "in" / "slow-1.5.png")
    job = start(
        "convert", tmp_path / "in", out, "--to", "jpeg", *FAST, "--notify", url, "--stall-minutes", "0.01",
        driver=DRIVER,
    )  # fmt: skip
    assert finish(job).code == 0
    assert [event["event"] for event in posted] == ["stall", "end"]


def test_many_failures_are_posted_once(
    tmp_path: Path, out: Path, listener: tuple[str, list[dict[str, object]]]
) -> None:
    url, posted = listener
    good = write_image(tmp_path / "in" / "good.png", picture(8, 8)).read_bytes()
    for number in range(120):
        (tmp_path / "in" / f"{number:03}.png").write_bytes(b"no image" if number % 2 else good)
    assert convert(tmp_path / "in", out, "--notify", url, "--failure-limit", "0.2").code == 3
    assert [event["event"] for event in posted] == ["failure-rate", "end"]
    assert posted[-1]["unsuccessful"] == 60


def test_a_notification_that_nobody_takes_fails_nothing(folder: Path, out: Path) -> None:
    assert convert(folder, out, "--notify", "http://127.0.0.1:9/").code == 0
    assert convert(folder, out, "--notify", "ftp://example.org/").code == 2


# -- signals and output -----------------------------------------------------------------------------------------------


def slow_job(folder: Path, out: Path, seconds: float) -> subprocess.Popen[str]:
    """A job of which every image takes a while, once its first image is in a worker's hands."""
    job = start(
        "convert", folder, out, "--to", "jpeg", "--workers", "1", "--memory", "1G", driver=DRIVER, SLOW=str(seconds)
    )
    deadline = time.monotonic() + 120
    while not list(out.rglob(".*")):
        assert time.monotonic() < deadline
        assert job.poll() is None
        time.sleep(0.02)
    return job


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_image_in_hand_finish_and_the_job_go_on_later(
    folder: Path, out: Path, number: signal.Signals
) -> None:
    job = slow_job(folder, out, 1.5)
    os.killpg(job.pid, number)
    result = finish(job)
    assert (result.code, "the same command goes on" in result.err) == (130, True)
    found = list(states(ledger_of(out)).values())
    assert (0 < found.count("done") < len(found), found.count("running")) == (True, 0)
    assert as_recorded(ledger_of(out), out)
    assert convert(folder, out).code == 0
    assert as_recorded(ledger_of(out), out)
    assert {row["attempts"] for row in rows(ledger_of(out)).values()} == {1}


SLOWEST = 120
"""Seconds for an image that nobody waits for."""


def test_a_second_signal_stops_at_once(folder: Path, out: Path) -> None:
    job = slow_job(folder, out, SLOWEST)
    os.killpg(job.pid, signal.SIGINT)
    time.sleep(1)
    assert job.poll() is None
    began = time.monotonic()
    os.killpg(job.pid, signal.SIGINT)
    assert finish(job).code == 130
    assert time.monotonic() - began < SLOWEST / 2
    assert set(states(ledger_of(out)).values()) == {"planned"}
    assert convert(folder, out).code == 0
    assert as_recorded(ledger_of(out), out)


def test_json_lines_tell_every_image(folder: Path, out: Path) -> None:
    (folder / "bad.png").write_bytes(b"no image")
    result = convert(folder, out, "--log-format", "json")
    events = [json.loads(line) for line in result.err.splitlines()]
    images = {event["id"]: event for event in events if event["event"] == "image"}
    assert sorted(event["state"] for event in images.values()) == ["done"] * 4 + ["refused"]
    assert {event["error_class"] for event in images.values() if event["state"] == "refused"} == {"UnknownFormat"}


def test_control_characters_of_names_and_files_never_reach_the_terminal(folder: Path, out: Path) -> None:
    (folder / "bad\x1b[2J\nx.png").write_bytes(b"no image")
    (folder / "box.jp2").write_bytes(
        imagecodecs.jpeg2k_encode(picture(), codecformat="jp2")[:12] + b"\x00\x00\x00\x07\x1b[2J" + bytes(40)
    )
    result = convert(folder, out)
    assert (result.code, len(rows(ledger_of(out)))) == (3, 6)
    assert "\x1b" not in result.said
    assert "\0" not in result.said
    for command in ("status", "verify"):
        assert "\x1b" not in ziggurat(command, ledger_of(out)).said
    assert "\x1b" not in ziggurat("info", folder / "bad\x1b[2J\nx.png", folder / "box.jp2").said


# -- a full disk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("to", ["jpeg", "ptiff"])
def test_a_full_disk_stops_the_job_and_loses_nothing(tmp_path: Path, small_disk: Path, to: str) -> None:
    folder = tmp_path / "in"
    for number in range(6):
        write_image(folder / f"a{number}.png", picture(300, 300, seed=number))
    room = 1.5 if to == "jpeg" else 0.5
    filler = small_disk / "filler"
    filler.write_bytes(bytes(int((256 - 60 * room) * 1000)))
    out, job = small_disk / "out", tmp_path / "job.zgj"
    result = convert(folder, out, "--job", job, to=to)
    assert (result.code, "nothing is lost" in result.err, "free space" in result.err) == (1, True, True)
    found = list(states(job).values())
    assert 0 < found.count("planned") <= 6
    assert found.count("planned") + found.count("done") == 6
    assert as_recorded(job, out)
    filler.unlink()
    # The larger outputs need more room than the file system has in all.
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert convert(folder, out, "--job", job, to=to).code == 0
    assert as_recorded(job, out)


def test_a_full_disk_under_the_ledger_stops_the_job_and_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    folder, out, job = collection(tmp_path / "in", 30), tmp_path / "out", small_disk / "job.zgj"
    filler = small_disk / "filler"
    result = convert(folder, out, "--dry-run")
    assert result.code == 0
    filler.write_bytes(bytes(90_000))
    result = convert(folder, out, "--job", job)
    if result.code == 0:
        pytest.fail("the ledger of 30 images fitted in 170 kB")
    assert (result.code, "WriteError" in result.err or "JobError" in result.err) == (1, True)
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert convert(folder, out, "--job", job).code == 0
    assert as_recorded(job, out)
