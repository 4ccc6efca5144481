import json
from pathlib import Path

import numpy as np
import pytest

from ziggurat.cli import run
from ziggurat.codec.jpeg import encode
from ziggurat.convert.ledger.ledger import Ledger
from ziggurat.convert.ledger.schema import State
from ziggurat.convert.manifest import Row
from ziggurat.convert.records import Failure, Probe, Published, Verified


def photograph(path: Path, quality: int) -> int:
    y, x = np.mgrid[0:300, 0:200]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode(np.stack([y % 256, x, x], axis=2).astype(np.uint8), quality=quality))
    return path.stat().st_size


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """One image done, one failed, one to come; with real files."""
    path, out = tmp_path / "out.zgj", tmp_path / "out"
    before, after = photograph(tmp_path / "a.jpg", 95), photograph(out / "a.jpg", 60)
    sources = [str(tmp_path / name) for name in ("a.jpg", "b.jpg", "c.jpg")]
    with Ledger.create(path, {"version": "0", "sources": sources, "destination": str(out)}) as ledger:
        with ledger.transaction():
            ledger.add_rows((Row(source=source), Path(source).name, None, None) for source in sources)
            ledger.finish_planning()
            ledger.set_probes(
                Probe(
                    image=n, verdict=State.PLANNED, source_size=before, source_tag="t", format="jpeg", height=300,
                    width=200, bands=3, bit_depth=8, writer="jpeg", strategy="whole", predicted_memory=1,
                )
                for n in (1, 2, 3)
            )  # fmt: skip
        with ledger.transaction():
            ledger.start([1, 2])
            ledger.verified(
                [
                    Verified(
                        image=1, source_sha256="a", output_size=after, output_sha256="b", read_seconds=1,
                        write_seconds=1, verify_seconds=1, psnr=40, ssimulacra2=80, warnings=(),
                    )
                ]
            )  # fmt: skip
            done = Published(image=1, output_tag="t", publish_seconds=1, cpu_seconds=1, peak_memory=1)
            ledger.published([done])
            ledger.failed(Failure(image=2, error_class="CorruptImage", error_message="cut\x1b[2J off"), State.FAILED)
    return path


def test_status_tells_how_far_a_job_is(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", str(job)]) == 0
    shown = capsys.readouterr().out
    assert "no process works on it now" in shown
    assert "1 of 3 done, 33.3 % (1 planned, 1 done, 1 failed)" in shown
    assert "image 2 failed: CorruptImage: cut" in shown
    assert "\x1b" not in shown
    assert "left:" not in shown


def test_status_of_a_running_job_knows_that_it_runs(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Ledger.open(job) as ledger:
        assert run(["status", str(job), "--json"]) == 0
        with ledger.transaction():
            ledger.start([3])
    found = json.loads(capsys.readouterr().out)
    assert found["working"] is True
    assert found["states"] == {"planned": 1, "done": 1, "failed": 1}
    assert (found["pixels"], found["pixels_done"]) == (180_000, 60_000)
    assert found["seconds_left"] > 0
    assert [row["error_class"] for row in found["last_failures"]] == ["CorruptImage"]


def test_report_writes_the_page_beside_the_job_with_its_pictures(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(job)]) == 0
    page = job.with_suffix(".html")
    assert capsys.readouterr().out == f"report: {page}\n"
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == 4
    assert 'href="./out/a.jpg"' in text


def test_report_writes_the_tables_that_are_asked_for(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {option: job.with_name(f"t.{option}") for option in ("csv", "json", "failed")}
    options = [word for option, path in names.items() for word in (f"--{option}", str(path))]
    out = job.with_name("page.html")
    assert run(["report", str(job), str(out), "--samples", "0", *options]) == 0
    shown = capsys.readouterr().out
    assert all(str(path) in shown and path.stat().st_size for path in (*names.values(), out))
    assert names["failed"].read_text(encoding="utf-8").splitlines()[0] == "source,name,error_class,error_message,state"
    assert "data:image" not in out.read_text(encoding="utf-8")


def test_report_does_not_write_over_its_job(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = job.read_bytes()
    assert run(["report", str(job), str(job)]) == 2
    assert run(["report", str(job), "--csv", str(job)]) == 2
    assert run(["report", str(job), "x.html", "--csv", "x.html"]) == 2
    assert job.read_bytes() == before
    assert "different names" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["status", "report"])
def test_what_is_no_job_is_refused_with_its_name(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, str(tmp_path / "none.zgj")]) == 1
    (tmp_path / "x.zgj").write_text("nothing")
    assert run([command, str(tmp_path / "x.zgj")]) == 1
    shown = capsys.readouterr().err
    assert "none.zgj" in shown
    assert "x.zgj" in shown
    assert not (tmp_path / "x.html").exists()


def test_a_report_that_cannot_be_written_is_an_error(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(job), str(job.parent / "no" / "folder.html")]) == 1
    assert "cannot be written" in capsys.readouterr().err
