"""What a job does when it is run, run again, told something else, interrupted or out of room."""

import hashlib
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
    files,
    finish,
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


def manifest(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# -- a job and its resumption ---------------------------------------------------------------------------------------


def test_a_collection_is_converted_and_recorded(folder: Path, out: Path) -> None:
    result = convert(folder, out)
    assert (result.code, set(states(ledger_of(out)).values())) == (0, {"done"})
    assert files(out) == {"a00.jpg", "a01.jpg", "a02.jpg", "a03.jpg"}
    assert as_recorded(ledger_of(out), out)
    for name, row in rows(ledger_of(out)).items():
        assert row["source_sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
        assert float(str(row["psnr"])) > 30
        assert imagecodecs.jpeg8_decode((out / str(row["target"])).read_bytes()).shape == (64, 96, 3)


def test_the_same_command_again_does_nothing_to_what_is_done(folder: Path, out: Path) -> None:
    assert convert(folder, out).code == 0
    before = {name: (out / name).stat().st_mtime_ns for name in files(out)}
    result = convert(folder, out)
    assert (result.code, "resumed" in result.out) == (0, True)
    assert {name: (out / name).stat().st_mtime_ns for name in files(out)} == before
    assert {row["attempts"] for row in rows(ledger_of(out)).values()} == {1}


def test_other_options_are_refused(folder: Path, out: Path) -> None:
    assert convert(folder, out).code == 0
    result = convert(folder, out, "--quality", 80)
    assert (result.code, "JobChanged" in result.err, "quality was 92, is 80" in result.err) == (1, True, True)
    result = convert(folder, out, to="ptiff")
    assert (result.code, "JobChanged" in result.err) == (1, True)
    assert as_recorded(ledger_of(out), out)


def test_sources_mean_the_same_from_every_folder(
    folder: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert convert("in", "out").code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = convert(folder, out)
    assert (result.code, "resumed" in result.out) == (0, True)
    assert {row["attempts"] for row in rows(ledger_of(out)).values()} == {1}


def test_new_files_of_a_folder_are_picked_up(folder: Path, out: Path) -> None:
    assert convert(folder, out).code == 0
    write_image(folder / "deeper" / "new.png", seed=9)
    result = convert(folder, out)
    assert (result.code, "1 images are new" in result.out) == (0, True)
    assert files(out) == {"a00.jpg", "a01.jpg", "a02.jpg", "a03.jpg", "deeper/new.jpg"}
    assert as_recorded(ledger_of(out), out)


def test_a_source_that_changed_is_converted_again(folder: Path, out: Path) -> None:
    assert convert(folder, out).code == 0
    before = rows(ledger_of(out))
    write_image(folder / "a01.png", picture(50, 60, seed=77))
    result = convert(folder, out)
    assert (result.code, "1 sources have changed" in result.out) == (0, True)
    after = rows(ledger_of(out))
    assert [name for name in after if after[name]["output_sha256"] != before[name]["output_sha256"]] == ["a01.png"]
    assert (after["a01.png"]["height"], after["a01.png"]["width"]) == (50, 60)
    assert as_recorded(ledger_of(out), out)


def test_an_output_that_was_replaced_by_hand_is_not_overwritten_when_its_source_changes(
    folder: Path, out: Path
) -> None:
    assert convert(folder, out).code == 0
    (out / "a01.jpg").write_bytes(b"retouched by hand")
    write_image(folder / "a01.png", picture(50, 60, seed=77))
    result = convert(folder, out)
    assert (result.code, rows(ledger_of(out))["a01.png"]["error_class"]) == (3, "TargetExists")
    assert (out / "a01.jpg").read_bytes() == b"retouched by hand"


def test_failures_stay_until_they_are_retried(folder: Path, out: Path) -> None:
    good = (folder / "a02.png").read_bytes()
    (folder / "a02.png").write_bytes(good[: len(good) // 2])
    assert convert(folder, out).code == 3
    row = rows(ledger_of(out))["a02.png"]
    assert (row["state"], row["error_class"]) == ("failed", "CorruptImage")
    assert str(folder / "a02.png") in str(row["error_message"])
    (folder / "a02.png").write_bytes(good)
    assert convert(folder, out).code == 3
    assert states(ledger_of(out))["a02.png"] == "failed"
    result = convert(folder, out, "--retry-failed")
    assert (result.code, "1 images that were not done are planned again" in result.out) == (0, True)
    assert as_recorded(ledger_of(out), out)


def test_a_deferred_image_runs_when_there_is_more_memory(folder: Path, out: Path) -> None:
    pixels = picture(3000, 4000, seed=3)
    (folder / "big.jp2").write_bytes(imagecodecs.jpeg2k_encode(pixels, level=30, codecformat="jp2"))
    little = ("--to", "jpeg", "--workers", "1", "--memory", "400M")
    result = ziggurat("convert", folder, out, *little)
    row = rows(ledger_of(out))["big.jp2"]
    assert (result.code, row["state"], row["error_class"]) == (3, "deferred", "OutOfMemory")
    assert "--memory" in str(row["error_message"])
    assert str(folder / "big.jp2") in str(row["error_message"])
    assert list(states(ledger_of(out)).values()).count("done") == 4
    assert convert(folder, out).code == 0
    assert as_recorded(ledger_of(out), out)


def test_foreign_files_are_not_overwritten_unless_that_is_asked_for(folder: Path, out: Path) -> None:
    out.mkdir()
    (out / "a01.jpg").write_bytes(b"somebody's")
    result = convert(folder, out)
    assert (result.code, rows(ledger_of(out))["a01.png"]["error_class"]) == (3, "TargetExists")
    assert (out / "a01.jpg").read_bytes() == b"somebody's"
    assert files(out) == {"a00.jpg", "a01.jpg", "a02.jpg", "a03.jpg"}
    assert convert(folder, out, "--overwrite", "--retry-failed").code == 0
    assert as_recorded(ledger_of(out), out)


def test_a_dry_run_changes_nothing_and_says_what_would_fail(folder: Path, out: Path, tmp_path: Path) -> None:
    (folder / "bad.png").write_bytes(b"no image")
    before = files(tmp_path)
    result = convert(folder, out, "--dry-run")
    assert (result.code, "5 images" in result.out, "bad.png" in result.out) == (3, True, True)
    assert (files(tmp_path), out.exists()) == (before, False)
    (folder / "bad.png").unlink()
    assert convert(folder, out, "--dry-run").code == 0
    assert not out.exists()


def test_an_empty_folder_is_an_error_and_leaves_no_job(tmp_path: Path, out: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("nothing", encoding="utf-8")
    result = convert(tmp_path / "in", out)
    assert (result.code, "SourceNotFound" in result.err) == (1, True)
    assert files(tmp_path) == {"in/notes.txt"}


def test_a_second_coordinator_is_kept_out(folder: Path, out: Path) -> None:
    from ziggurat.convert.ledger.ledger import Ledger  # noqa: PLC0415 - the lock is taken here alone

    assert convert(folder, out).code == 0
    with Ledger.open(ledger_of(out)):
        result = convert(folder, out)
        assert ziggurat("status", ledger_of(out)).code == 0
    assert (result.code, "JobLocked" in result.err) == (1, True)


# -- names ----------------------------------------------------------------------------------------------------------


def test_sources_of_one_name_keep_their_suffixes(tmp_path: Path, out: Path) -> None:
    for suffix in (".jp2", ".tif", ".png"):
        write_image(tmp_path / "in" / f"a{suffix}")
    write_image(tmp_path / "in" / "b.png", seed=1)
    assert convert(tmp_path / "in", out).code == 0
    assert files(out) == {"a.jp2.jpg", "a.tif.jpg", "a.png.jpg", "b.jpg"}


def test_a_newcomer_of_a_name_that_is_done_renames_nothing(folder: Path, out: Path) -> None:
    assert convert(folder, out).code == 0
    write_image(folder / "a00.jp2", seed=5)
    assert convert(folder, out).code == 0
    assert {"a00.jpg", "a00.jp2.jpg"} <= files(out)
    assert as_recorded(ledger_of(out), out)


def test_rows_of_the_same_target_are_refused_before_anything_is_converted(tmp_path: Path, out: Path) -> None:
    for name in ("x/a", "y/a", "y/b"):
        write_image(tmp_path / "in" / f"{name}.png", seed=len(name))
    result = convert(tmp_path / "in", out, "--name", "{stem}.jpg")
    assert result.code == 3
    found = query(ledger_of(out), "SELECT state, error_class, attempts FROM images ORDER BY id")
    assert found == [("refused", "NameCollision", 0)] * 2 + [("done", None, 1)]
    assert files(out) == {"b.jpg"}


# -- manifests ------------------------------------------------------------------------------------------------------


def test_a_manifest_names_targets_items_and_checksums(folder: Path, out: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((folder / "a00.png").read_bytes()).hexdigest()
    wrong = hashlib.sha256(b"another").hexdigest()
    path = manifest(
        tmp_path / "m.csv",
        ["file,uuid,no,sum,colour"]
        + [f"in/a00.png,u1,p1,{digest},red", f"in/a01.png,u1,p2,{wrong},blue", "in/a02.png,u2,p1,,"],
    )
    columns = "source=file,item=uuid,name=no,checksum=sum"
    result = convert(path, out, "--columns", columns, "--name", "{colour}/{item}/{name}.jpg")
    assert result.code == 3
    found = rows(ledger_of(out))
    assert {name: row["error_class"] for name, row in found.items()} == {
        "a00.png": None, "a01.png": "SourceChanged", "a02.png": "TargetRefused",
    }  # fmt: skip
    assert files(out) == {"red/u1/p1.jpg"}
    assert query(ledger_of(out), "SELECT item, images, done FROM items ORDER BY item") == [("u1", 2, 1), ("u2", 1, 0)]
    assert query(ledger_of(out), "SELECT colour FROM manifest ORDER BY images_id") == [("red",), ("blue",), ("",)]


def test_a_manifest_that_changed_is_refused_until_replanned(folder: Path, out: Path, tmp_path: Path) -> None:
    lines = ["source,item", "in/a00.png,one", "in/missing.png,one", "in/a01.png,two"]
    path = manifest(tmp_path / "m.csv", lines)
    assert convert(path, out).code == 3
    manifest(path, [*lines[:2], lines[3], "in/a02.png,two", "in/a03.png,three"])
    result = convert(path, out)
    assert (result.code, "JobChanged" in result.err, "--replan" in result.err) == (1, True, True)
    result = convert(path, out, "--replan")
    assert (result.code, "2 images are new, 1 withdrawn" in result.out) == (0, True)
    found = states(ledger_of(out))
    assert found.pop("missing.png") == "skipped"
    assert set(found.values()) == {"done"}
    expected = [("one", 1, 1), ("three", 1, 1), ("two", 2, 2)]
    assert query(ledger_of(out), "SELECT item, images, done FROM items ORDER BY item") == expected
    assert as_recorded(ledger_of(out), out)


# -- items and notifications ----------------------------------------------------------------------------------------


@pytest.fixture
def hook(tmp_path: Path) -> str:
    """A command that appends its item to a file, and fails for item two while ``tmp_path/broken`` exists."""
    script = tmp_path / "hook.py"
    script.write_text(
        "import os, sys, pathlib\n"
        "here = pathlib.Path(__file__).parent\n"
        "with (here / 'said').open('a') as said:\n"
        "    said.write(f'{sys.argv[1]} {os.environ[\"ZIGGURAT_ITEM\"]} {os.environ[\"ZIGGURAT_JOB\"]}\\n')\n"
        "sys.exit(sys.argv[1] == 'two' and (here / 'broken').exists())\n",
        encoding="utf-8",
    )
    return f"{sys.executable} {script} {{item}}"


def test_the_command_of_an_item_runs_once_when_all_its_images_are_done(
    folder: Path, out: Path, tmp_path: Path, hook: str
) -> None:
    lines = ["source,item", "in/a00.png,one", "in/a01.png,one", "in/a02.png,two", "in/missing.png,three"]
    path = manifest(tmp_path / "m.csv", [*lines, "in/a03.png,three"])
    for _ in range(2):
        assert convert(path, out, "--on-item-complete", hook).code == 3
    said = sorted((tmp_path / "said").read_text(encoding="utf-8").splitlines())
    assert said == [f"{item} {item} {ledger_of(out)}" for item in ("one", "two")]


def test_a_command_that_failed_runs_again_when_the_job_is_resumed(
    folder: Path, out: Path, tmp_path: Path, hook: str
) -> None:
    path = manifest(tmp_path / "m.csv", ["source,item", "in/a00.png,one", "in/a01.png,two"])
    (tmp_path / "broken").touch()
    convert(path, out, "--on-item-complete", hook)
    assert query(ledger_of(out), "SELECT item, hook_exit FROM items ORDER BY item") == [("one", 0), ("two", 1)]
    (tmp_path / "broken").unlink()
    assert convert(path, out, "--on-item-complete", hook).code == 0
    assert query(ledger_of(out), "SELECT item, hook_exit FROM items ORDER BY item") == [("one", 0), ("two", 0)]
    said = [line.split()[0] for line in (tmp_path / "said").read_text(encoding="utf-8").splitlines()]
    assert sorted(said) == ["one", "two", "two"]


def test_a_command_that_cannot_be_started_fails_no_image(folder: Path, out: Path, tmp_path: Path) -> None:
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


def test_many_failures_are_posted_once(tmp_path: Path, out: Path, listener: tuple[str, list[dict[str, object]]]) -> None:
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


# -- signals and output ---------------------------------------------------------------------------------------------


def slow_job(folder: Path, out: Path, seconds: float) -> subprocess.Popen[str]:
    """A job of which every image takes a while, once its first image is in a worker's hands."""
    job = start(
        "convert", folder, out, "--to", "jpeg", "--workers", "1", "--memory", "1G", driver=DRIVER, SLOW=str(seconds)
    )
    deadline = time.monotonic() + 30
    while not list(out.rglob(".*")):
        assert time.monotonic() < deadline
        assert job.poll() is None
        time.sleep(0.02)
    return job


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_image_in_hand_finish_and_the_job_go_on_later(
    folder: Path, out: Path, number: signal.Signals
) -> None:
    job = slow_job(folder, out, 0.7)
    os.killpg(job.pid, number)
    result = finish(job)
    assert (result.code, "the same command goes on" in result.err) == (130, True)
    found = list(states(ledger_of(out)).values())
    assert (found.count("done") in {1, 2}, found.count("running")) == (True, 0)
    assert as_recorded(ledger_of(out), out)
    assert convert(folder, out).code == 0
    assert as_recorded(ledger_of(out), out)
    assert {row["attempts"] for row in rows(ledger_of(out)).values()} == {1}


def test_a_second_signal_stops_at_once(folder: Path, out: Path) -> None:
    job = slow_job(folder, out, 60)
    os.killpg(job.pid, signal.SIGINT)
    time.sleep(0.3)
    assert job.poll() is None
    began = time.monotonic()
    os.killpg(job.pid, signal.SIGINT)
    assert finish(job).code == 130
    assert time.monotonic() - began < 10
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


# -- a full disk ----------------------------------------------------------------------------------------------------


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


# -- verify ---------------------------------------------------------------------------------------------------------


def test_verify_finds_a_flipped_byte_and_a_missing_file(folder: Path, out: Path) -> None:
    assert convert(folder, out).code == 0
    assert ziggurat("verify", ledger_of(out)).code == 0
    data = bytearray((out / "a01.jpg").read_bytes())
    data[len(data) // 2] ^= 1
    (out / "a01.jpg").write_bytes(data)
    (out / "a03.jpg").unlink()
    result = ziggurat("verify", ledger_of(out))
    assert (result.code, "4 outputs read, 2 as recorded, 2 not" in result.out) == (3, True)
    assert [line.split(":")[0] for line in result.err.splitlines()] == ["image 2 a01.jpg", "image 4 a03.jpg"]
    assert "SHA-256" in result.err
    assert "it is gone" in result.err


def test_subsets_cover_every_output_once(folder: Path, out: Path) -> None:
    collection(folder / "more", 7)
    assert convert(folder, out).code == 0
    seen = []
    for part in (1, 2, 3):
        result = ziggurat("verify", ledger_of(out), "--subset", f"{part}/3", "--json")
        assert result.code == 0
        seen += [json.loads(line)["target"] for line in result.out.splitlines()]
    assert (len(seen), set(seen)) == (11, files(out))
    assert ziggurat("verify", ledger_of(out), "--subset", "4/3").code == 2


