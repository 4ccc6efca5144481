"""Jobs into Icechunk repositories, read back by icechunk and zarr alone."""

import hashlib
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import tifffile
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from jobs import collection, convert, manifest, picture, rows, states, write_image, ziggurat
from s3_server import NEEDS_S3, S3Server
from ziggurat.convert.records import Failure, Published, Task
from ziggurat.convert.settling import Settling
from ziggurat.errors import TargetExists, TargetRefused
from ziggurat.interop.icechunk_destination import IcechunkDestination
from ziggurat.storage.destination import digests_of, open_destination

DRIVER = Path(__file__).with_name("kill_driver.py")


def repository(place: Path | icechunk.Storage) -> icechunk.Repository:
    storage = icechunk.local_filesystem_storage(str(place)) if isinstance(place, Path) else place
    return icechunk.Repository.open(storage)


def root(place: Path | icechunk.Storage) -> zarr.Group:
    return zarr.open_group(repository(place).readonly_session("main").store, mode="r")


def digest(place: Path | icechunk.Storage, key: str) -> tuple[str, int]:
    """What identifies a group, made anew from what icechunk gives."""
    store = repository(place).readonly_session("main").store

    async def contents() -> dict[str, bytes]:
        names = sorted([name async for name in store.list_prefix(f"{key}/")])
        got = {name: await store.get(name, default_buffer_prototype()) for name in names}
        return {name.removeprefix(f"{key}/"): data.to_bytes() for name, data in got.items() if data is not None}

    found = sync(contents())
    text = "".join(f"{hashlib.sha256(data).hexdigest()} {len(data)} {name}\n" for name, data in found.items())
    return hashlib.sha256(text.encode()).hexdigest(), sum(map(len, found.values()))


def images(place: Path | icechunk.Storage) -> list[dict[str, Any]]:
    attributes: Any = root(place).attrs.asdict()
    listed: list[dict[str, Any]] = attributes["ziggurat"]["collection"]["images"]
    return listed


def whole(ledger: Path, place: Path | icechunk.Storage) -> None:
    """Every row is done, its group is what the ledger says, and all are listed."""
    found = rows(ledger).values()
    for row in found:
        assert row["state"] == "done", row
        assert digest(place, str(row["target"])) == (row["output_sha256"], row["output_size"])
    assert {image["path"] for image in images(place)} == {str(row["target"]) for row in found}
    assert ziggurat("verify", ledger).code == 0


def commits(place: Path) -> int:
    return sum(1 for _ in repository(place).ancestry(branch="main"))


def test_a_collection_becomes_groups_in_few_commits(tmp_path: Path) -> None:
    for number in range(4):
        write_image(tmp_path / f"{number}.png", seed=number)
    lines = ["path,object,year", *(f"{number}.png,vase,{1900 + number}" for number in range(4))]
    sheet = manifest(tmp_path / "list.csv", lines)
    place = tmp_path / "out.icechunk"
    options = ("--columns", "source=path,item=object", "--name", "{object}/{year}")
    result = convert(sheet, f"icechunk:{place}", *options, to="ome-zarr")
    assert result.code == 0, result.said
    whole(tmp_path / "out.icechunk.zgj", place)
    assert commits(place) == 3, "the repository, its images, their list"
    assert images(place)[2] == {"path": "vase/1902.ome.zarr", "item": "vase", "columns": {
        "path": "2.png", "object": "vase", "year": "1902"}}  # fmt: skip
    finest = root(place)["vase/1902.ome.zarr/0"]
    assert isinstance(finest, zarr.Array)
    assert np.array_equal(np.moveaxis(np.asarray(finest[:]), 0, 2), picture(seed=2))
    assert not list(tmp_path.glob("*.scratch"))


def test_what_exists_is_replaced_only_on_request(tmp_path: Path) -> None:
    sources, place = collection(tmp_path / "in", 3), tmp_path / "out"
    assert convert(sources, f"icechunk:{place}", to="ome-zarr").code == 0
    before = digest(place, "a00.ome.zarr")
    convert(sources, f"icechunk:{place}", "--job", tmp_path / "b.zgj", to="ome-zarr")
    assert set(states(tmp_path / "b.zgj").values()) == {"refused"}
    options = ("--job", tmp_path / "c.zgj", "--overwrite", "--tile", 64)
    assert convert(sources, f"icechunk:{place}", *options, to="ome-zarr").code == 0
    whole(tmp_path / "c.zgj", place)
    assert digest(place, "a00.ome.zarr") != before
    assert ziggurat("verify", tmp_path / "out.zgj").code != 0, "the first job's outputs are others now"
    tifffile.imwrite(tmp_path / "a.tif", picture(), photometric="rgb", tile=(64, 64))
    refused = ziggurat("references", tmp_path / "a.tif", f"icechunk:{place}")
    assert refused.code != 0
    assert "holds something other" in refused.said


@pytest.mark.parametrize(
    "point",
    ["worker:published:2", "coordinator:before-settling:1", "coordinator:after-settling:1"],
)
def test_a_killed_job_goes_on_and_shows_no_half_image(tmp_path: Path, point: str) -> None:
    sources, place = collection(tmp_path / "in", 5), tmp_path / "out"
    command = [sys.executable, str(DRIVER), "convert", str(sources), f"icechunk:{place}", "--to", "ome-zarr",
               "--workers", "2", "--memory", "2G"]  # fmt: skip
    log = tmp_path / "killed.log"
    first = subprocess.run(
        command,
        env=os.environ | {"KILL_AT": point, "KILL_LOG": str(log)},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert log.exists(), first.stderr.decode()
    ledger = tmp_path / "out.zgj"
    # A coordinator that died after its commit has told nobody: what it committed is there, all of it.
    there = [row for row in rows(ledger).values() if _is_there(place, str(row["target"]))]
    for row in there:
        assert digest(place, str(row["target"])) == (row["output_sha256"], row["output_size"])
    if point == "coordinator:after-settling:1":
        assert len(there) == 5
        assert set(states(ledger).values()) == {"committing"}
    second = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert second.returncode == 0, second.stderr.decode()
    whole(ledger, place)
    if point.startswith("coordinator"):
        assert {row["attempts"] for row in rows(ledger).values()} == {1}, "what waited for its commit is not done again"


def _is_there(place: Path, key: str) -> bool:
    if not (place / "repo").exists():
        return False
    return sync(repository(place).readonly_session("main").store.exists(f"{key}/zarr.json"))


def test_another_writer_s_group_is_never_merged_with_ours(tmp_path: Path) -> None:
    sources, place = collection(tmp_path / "in", 1), tmp_path / "out"
    assert convert(sources, tmp_path / "folder", to="ome-zarr").code == 0
    mine, theirs = (open_destination(f"icechunk:{place}", scratch=tmp_path / name) for name in ("a", "b"))
    assert isinstance(mine, IcechunkDestination)
    assert mine.exists("x.ome.zarr") is None
    assert not place.exists(), "asking makes nothing"
    for destination in (mine, theirs):
        path = destination.temporary("x.ome.zarr", "1")
        subprocess.run(["cp", "-r", str(tmp_path / "folder" / "a00.ome.zarr"), str(path)], check=True)
        destination.publish(path, "x.ome.zarr", digests_of(path), overwrite=False)
        assert destination.exists("x.ome.zarr") is None, "nobody sees it yet"
    assert theirs.settle(["1", "2"]) == []
    assert mine.settle(["1"]) == ["1"]
    assert mine.settle(["1"]) == []
    assert digest(place, "x.ome.zarr")[1] == digests_of(tmp_path / "folder" / "a00.ome.zarr").size
    path = mine.temporary("x.ome.zarr", "3")
    subprocess.run(["cp", "-r", str(tmp_path / "folder" / "a00.ome.zarr"), str(path)], check=True)
    with pytest.raises(TargetExists):
        mine.publish(path, "x.ome.zarr", digests_of(path), overwrite=False)
    (path / "notes.txt").write_text("no chunk")
    with pytest.raises(TargetRefused, match=r"notes\.txt"):
        mine.publish(path, "x.ome.zarr", digests_of(path), overwrite=True)
    mine.cleanup("x.ome.zarr", "3")
    assert not list((tmp_path / "a").iterdir())
    mine.remove("x.ome.zarr")
    assert mine.exists("x.ome.zarr") is None


def test_reports_wait_for_their_commit(tmp_path: Path) -> None:
    assert convert(collection(tmp_path / "in", 1), tmp_path / "folder", to="ome-zarr").code == 0
    destination = open_destination(f"icechunk:{tmp_path / 'out'}", scratch=tmp_path / "scratch")
    settling = Settling(destination)
    tasks = {image: task(image) for image in (1, 2, 3)}
    for one in tasks.values():
        path = destination.temporary(one.target, one.token)
        subprocess.run(["cp", "-r", str(tmp_path / "folder" / "a00.ome.zarr"), str(path)], check=True)
        destination.publish(path, one.target, digests_of(path), overwrite=False)
    reports = [
        Published(image=image, output_tag="", publish_seconds=0, cpu_seconds=0, peak_memory=0) for image in (1, 2, 3)
    ]
    other = open_destination(f"icechunk:{tmp_path / 'out'}", scratch=tmp_path / "other")
    path = other.temporary(tasks[2].target, "t")
    subprocess.run(["cp", "-r", str(tmp_path / "folder" / "a00.ome.zarr"), str(path)], check=True)
    other.publish(path, tasks[2].target, digests_of(path), overwrite=False)
    other.settle(["t"])
    assert list(settling.passed(reports[:2], tasks.__getitem__)) == []
    assert destination.exists(tasks[1].target) is None
    settling.hurry()
    first, second, third = settling.passed(reports[2:], tasks.__getitem__)
    assert (first, third) == (reports[0], reports[2])
    assert isinstance(second, Failure)
    assert (second.image, second.error_class) == (2, "TargetExists")
    assert second.error_message.startswith("source 2: another writer")
    assert not settling.waiting
    assert not list((tmp_path / "scratch").iterdir())
    assert destination.exists(tasks[3].target) is not None


def task(image: int) -> Task:
    return Task(
        image=image, source=f"source {image}", target=f"{image}.ome.zarr", token=f"t-{image}", source_size=1,
        source_tag="", expected_sha256=None, replaces=None, writer="ome-zarr", strategy="whole", memory=1, cap=1,
        pixels=1, samples=1, attempt=1,
    )  # fmt: skip


@pytest.mark.parametrize("more", [("--to", "jpeg"), ("--to", "ome-zarr", "--levels", "virtual")])
def test_what_no_repository_holds_is_refused_at_once(tmp_path: Path, more: tuple[str, ...]) -> None:
    write_image(tmp_path / "in" / "a.png")
    result = ziggurat("convert", tmp_path / "in", f"icechunk:{tmp_path / 'out'}", *more)
    assert result.code == 2
    assert "an Icechunk repository holds" in result.said
    assert not (tmp_path / "out").exists()


@pytest.mark.s3
@NEEDS_S3[1]
def test_a_repository_in_a_store(tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    bucket = s3.make_bucket(f"icechunk-{uuid.uuid4().hex[:10]}")
    job = tmp_path / "job.zgj"
    place = f"icechunk:s3://{bucket}/scans"
    result = convert(collection(tmp_path / "in", 3), place, "--job", job, to="ome-zarr")
    assert result.code == 0, result.said
    storage = icechunk.s3_storage(
        bucket=bucket, prefix="scans", endpoint_url=s3.url, allow_http=True, force_path_style=True, from_env=True
    )
    whole(job, storage)
