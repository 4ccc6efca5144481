"""Jobs whose outputs are folders: published whole, verified, resumed, on disks and in a store."""

import os
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr

import ziggurat
from groups import digest, listed
from jobs import collection, convert, files, manifest, picture, rows, states, write_image
from jobs import ziggurat as command
from ziggurat.pyramid import halve

DRIVER = Path(__file__).with_name("kill_driver.py")


def whole(out: Path) -> None:
    """Every row is done, its folder is what the ledger says, and nothing else lies there."""
    found = rows(Path(f"{out}.zgj"))
    for row in found.values():
        assert row["state"] == "done"
        assert digest(out / str(row["target"])) == (row["output_sha256"], row["output_size"])
    assert {path.name for path in out.iterdir()} == {str(row["target"]) for row in found.values()} | {"zarr.json"}


def test_a_collection_becomes_groups_that_are_listed(tmp_path: Path) -> None:
    for number in range(3):
        write_image(tmp_path / f"{number}.png", seed=number)
    sheet = manifest(
        tmp_path / "list.csv", ["path,object,year", "0.png,vase,1900", "1.png,vase,1901", "2.png,bowl,1902"]
    )
    out = tmp_path / "out"
    result = convert(sheet, out, "--columns", "source=path,item=object", "--name", "{object}-{year}", to="ome-zarr")
    assert result.code == 0, result.said
    whole(out)
    assert {row["psnr"] for row in rows(Path(f"{out}.zgj")).values()} == {float("inf")}
    image = listed(out)["bowl-1902.ome.zarr"]
    assert image["item"] == "bowl"
    assert image["columns"] == {"path": "2.png", "object": "bowl", "year": "1902"}
    group = zarr.open_group(out, mode="r")["bowl-1902.ome.zarr"]
    assert isinstance(group, zarr.Group)
    finest = group["0"]
    assert isinstance(finest, zarr.Array)
    assert np.array_equal(np.moveaxis(np.asarray(finest[:]), 0, 2), picture(seed=2))


def test_a_second_job_adds_to_the_list_and_leaves_foreign_ones_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("a", "b"):
        write_image(tmp_path / name / f"{name}.png")
        assert convert(tmp_path / name, out, "--job", tmp_path / f"{name}.zgj", to="ome-zarr").code == 0
    assert set(listed(out)) == {"a.ome.zarr", "b.ome.zarr"}
    (out / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    write_image(tmp_path / "c" / "c.png")
    result = convert(tmp_path / "c", out, "--job", tmp_path / "c.zgj", to="ome-zarr")
    assert result.code != 0
    assert "not a list of images" in result.said
    assert "collection" not in (out / "zarr.json").read_text()


def test_a_profile_comes_back_in_a_jpeg(tmp_path: Path) -> None:
    profile = bytes(imagecodecs.cms_profile("adobergb"))
    (tmp_path / "in").mkdir()
    source = picture()
    tifffile.imwrite(tmp_path / "in" / "a.tif", source, photometric="rgb", iccprofile=profile, resolution=(300, 300))
    assert convert(tmp_path / "in", tmp_path / "groups", to="ome-zarr").code == 0
    result = convert(tmp_path / "groups" / "a.ome.zarr", tmp_path / "out", "--quality", 95)
    assert result.code == 0, result.said
    [made] = (tmp_path / "out").glob("*.jpg")
    with ziggurat.open(str(made)) as image:
        assert image.info.icc == profile
        assert image.info.resolution is not None
        assert round(image.info.resolution.x * 0.0254) == 300


def test_a_wavelet_s_levels_are_copied_and_verified(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png", picture(700, 900))
    assert convert(tmp_path / "in", tmp_path / "jp2", to="jp2").code == 0
    out = tmp_path / "out"
    result = convert(tmp_path / "jp2" / "a.jp2", out, "--levels", "source", "--tile", 128, to="ome-zarr")
    assert result.code == 0, result.said
    whole(out)
    with ziggurat.open(str(tmp_path / "jp2" / "a.jp2")) as one, ziggurat.open(str(out / "a.ome.zarr")) as other:
        for level in range(4):
            assert np.array_equal(one.read(level), other.read(level)), level
        assert not np.array_equal(halve(one.read(0)), one.read(1))


def test_virtual_levels_lossy_and_lossless(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png", picture(700, 900))
    for name, more in (("exact", ()), ("lossy", ("--psnr", 40))):
        out = tmp_path / name
        result = convert(
            tmp_path / "in", out, "--levels", "virtual", "--codec", "htj2k", "--tile", 256, *more, to="ome-zarr"
        )
        assert result.code == 0, result.said
        whole(out)
        assert "references.json" in files(out / "a.ome.zarr")
    assert rows(tmp_path / "exact.zgj")["a.png"]["psnr"] == float("inf")
    assert 35 < float(str(rows(tmp_path / "lossy.zgj")["a.png"]["psnr"])) < 50


def test_changed_and_missing_files_of_a_group_are_found(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert convert(collection(tmp_path / "in", 4), out, to="ome-zarr").code == 0
    assert command("verify", f"{out}.zgj").code == 0
    chunk = out / "a00.ome.zarr" / "0" / "c" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"\0")
    (out / "a01.ome.zarr" / "0" / "zarr.json").unlink()
    (out / "a02.ome.zarr" / "more").write_bytes(b"1")
    result = command("verify", f"{out}.zgj")
    assert result.code != 0
    assert [name in result.said for name in ("a00", "a01", "a02", "a03")] == [True, True, True, False]


def test_what_exists_is_replaced_only_on_request(tmp_path: Path) -> None:
    sources, out = collection(tmp_path / "in", 3), tmp_path / "out"
    assert convert(sources, out, to="ome-zarr").code == 0
    stale = out / "a00.ome.zarr" / "0" / "c" / "9"
    stale.write_bytes(b"of an earlier one")
    (out / "a01.ome.zarr" / "zarr.json").unlink()
    assert set(states_after(sources, out, tmp_path / "second.zgj")) == {"refused"}
    found = states_after(sources, out, tmp_path / "third.zgj", "--overwrite")
    assert found == ["done", "failed", "done"], "a folder that is no group is nobody's to remove"
    assert not stale.exists()
    assert not [path for path in out.iterdir() if path.name.startswith(".ziggurat")]


def states_after(sources: Path, out: Path, job: Path, *more: str) -> list[object]:
    convert(sources, out, "--job", job, *more, to="ome-zarr")
    return [state for _, state in sorted(states(job).items())]


@pytest.mark.parametrize("point", ["worker:verify:2", "worker:published:2"])
def test_a_killed_job_goes_on(tmp_path: Path, point: str) -> None:
    sources, out = collection(tmp_path / "in", 5), tmp_path / "out"
    command = [sys.executable, str(DRIVER), "convert", str(sources), str(out), "--to", "ome-zarr", "--workers", "2",
               "--memory", "2G"]  # fmt: skip
    log = tmp_path / "killed.log"
    for kill in (point, "nobody:nowhere:0"):
        job = subprocess.run(
            command,
            env=os.environ | {"KILL_AT": kill, "KILL_LOG": str(log)},
            capture_output=True,
            timeout=120,
            check=False,
        )
    assert job.returncode == 0, job.stderr.decode()
    assert log.exists()
    whole(out)


def test_packs_hold_no_folders(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png")
    result = convert(tmp_path / "in", tmp_path / "out.zpk", to="ome-zarr")
    assert result.code != 0
    assert "no pack holds" in result.said
