"""Real images of many kinds, good, odd and damaged: each ends verified or with an honest reason."""

import math
import shutil
from pathlib import Path

import pytest

from jobs import as_recorded, finish, query, rows, start
from ziggurat import errors
from ziggurat.convert.fidelity import GENERIC_FLOOR

ENOUGH = {"jpeg": 225, "ptiff": 180}
"""Images of the collection that are known to convert: fewer mean that something was lost."""

LARGE = 300_000
"""Bytes of a file of which no pyramid is made here."""

ERRORS = {name for name, value in vars(errors).items() if isinstance(value, type)}


@pytest.mark.slow
@pytest.mark.parametrize(("to", "more"), [("jpeg", ()), ("ptiff", ("--compression", "deflate"))])
def test_every_real_image_ends_verified_or_with_an_honest_reason(
    shared_data: Path, tmp_path: Path, to: str, more: tuple[str, ...]
) -> None:
    out, ledger = tmp_path / "out", tmp_path / "out.zgj"
    source = shared_data if to == "jpeg" else small(shared_data, tmp_path / "small")
    job = start("convert", source, out, "--to", to, *more, "--workers", "2", "--memory", "3G")
    result = finish(job, 1200)
    assert result.code == 3, result.said[-2000:]
    assert "\0" not in result.said
    assert "\x1b" not in result.said
    done = wrong = 0
    for row in query_rows(ledger):
        if row["state"] == "done":
            done += 1
            floor = math.inf if to == "ptiff" else GENERIC_FLOOR
            assert float(str(row["psnr"])) >= floor, row["source"]
            continue
        wrong += 1
        assert row["state"] in {"failed", "refused", "deferred"}, row
        assert row["error_class"] in ERRORS - {"WorkerCrashed", "TimedOut", "VerificationFailed", "WriteError"}, row
        message = str(row["error_message"])
        assert str(row["source"]) in message
        assert len(message) > len(str(row["source"])) + 8
        assert "Traceback" not in message
    assert done >= ENOUGH[to]
    assert query(ledger, "SELECT count(*) FROM attempts WHERE error_class = 'WorkerCrashed'") == [(0,)]
    assert as_recorded(ledger, out)


def small(folder: Path, copy: Path) -> Path:
    """A copy of a folder without large files: pyramids of a gigapixel take minutes."""
    shutil.copytree(folder, copy, ignore=lambda place, names: [name for name in names if is_large(Path(place, name))])
    return copy


def is_large(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > LARGE


def query_rows(ledger: Path) -> list[dict[str, object]]:
    """All rows; sources of one name in different folders too."""
    names = [name for (name,) in query(ledger, "SELECT name FROM pragma_table_info('images')")]
    found = [dict(zip(map(str, names), row, strict=True)) for row in query(ledger, "SELECT * FROM images")]
    assert len(found) >= len(rows(ledger))
    return found
