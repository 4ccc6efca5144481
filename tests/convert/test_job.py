"""What a job does when it is run, run again, and told something else."""

import hashlib
import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from jobs import as_recorded, collection, convert, files, manifest, picture, query, rows, states, write_image, ziggurat


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return collection(tmp_path / "in", 4)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def ledger_of(out: Path) -> Path:
    return out.with_name("out.zgj")


# -- a job and its resumption -----------------------------------------------------------------------------------------


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


def test_outputs_below_a_source_folder_are_not_sources(folder: Path) -> None:
    before = len(files(folder))
    for _ in range(2):
        result = convert(folder, folder / "jpeg")
        assert result.code == 0, result.said
        assert len(rows(folder / "jpeg.zgj")) == before


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
    # A PNG is decoded whole or not at all.
    (folder / "big.png").write_bytes(imagecodecs.png_encode(np.full((9000, 9000, 3), 99, np.uint8), level=1))
    little = ("--to", "jpeg", "--workers", "1", "--memory", "400M")
    result = ziggurat("convert", folder, out, *little)
    row = rows(ledger_of(out))["big.png"]
    assert (result.code, row["state"], row["error_class"]) == (3, "deferred", "OutOfMemory")
    assert "--memory" in str(row["error_message"])
    assert str(folder / "big.png") in str(row["error_message"])
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


# -- names ------------------------------------------------------------------------------------------------------------


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


# -- manifests --------------------------------------------------------------------------------------------------------


def test_a_manifest_names_targets_items_and_checksums(folder: Path, out: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((folder / "a00.png").read_bytes()).hexdigest()
    wrong = hashlib.sha256(b"another").hexdigest()
    path = manifest(
        tmp_path / "m.csv",
        [
            "file,uuid,no,sum,colour",
            f"in/a00.png,u1,p1,{digest},red",
            f"in/a01.png,u1,p2,{wrong},blue",
            "in/a02.png,u2,p1,,",
        ],
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


@pytest.mark.usefixtures("folder")
def test_a_manifest_that_changed_is_refused_until_replanned(out: Path, tmp_path: Path) -> None:
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


# -- verify -----------------------------------------------------------------------------------------------------------


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
