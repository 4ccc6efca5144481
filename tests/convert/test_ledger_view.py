import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ledger_builder import fail, finish, planned, ten
from ziggurat.convert.ledger.ledger import Ledger
from ziggurat.convert.ledger.schema import State
from ziggurat.convert.ledger.view import View, is_worked_on
from ziggurat.convert.manifest import Row
from ziggurat.errors import JobError, JobLocked

DOCUMENT = Path(__file__).parents[2] / "docs" / "ledger.md"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "collection.zgj"
    ten(path)
    return path


def test_sums_follow_the_states_of_the_rows(job: Path) -> None:
    with View(job) as view:
        progressed, recent = view.progressed(0.0)
        assert view.counts() == {"planned": 1, "done": 6, "failed": 1, "quarantined": 1, "deferred": 1}
        assert (view.items().total, view.items().complete) == (5, 3)
        assert view.incomplete_items(9) == [("item 3", 2, 0), ("item 4", 2, 0)]
    assert (progressed.images, progressed.done, progressed.open) == (10, 6, 1)
    assert (progressed.pixels, progressed.pixels_done, progressed.pixels_open) == (200_000, 120_000, 20_000)
    assert (progressed.source_bytes_done, progressed.output_bytes) == (360_000, 90_000)
    assert (recent.images, recent.pixels) == (6, 120_000)


def test_images_left_out_on_request_are_not_counted_as_asked_for(tmp_path: Path) -> None:
    with planned(tmp_path / "j.zgj", [Row(source="a"), Row(source="b")]) as ledger, ledger.transaction():
        ledger.withdraw([("b", "2.jpg")])
    with View(tmp_path / "j.zgj") as view:
        assert view.progressed(0.0)[0].images == 1
        assert view.counts() == {"planned": 1, "skipped": 1}


def test_the_probe_sees_the_lock_and_leaves_it_alone(job: Path) -> None:
    assert not is_worked_on(job)
    with Ledger.open(job) as ledger:
        assert is_worked_on(job)
        with pytest.raises(JobLocked):
            Ledger.open(job)
        finish(ledger, 10)
    assert not is_worked_on(job)


def test_a_view_is_one_moment_while_the_job_goes_on(job: Path) -> None:
    with Ledger.open(job) as ledger, View(job) as view:
        before = view.counts()
        finish(ledger, 10)
        assert view.counts() == before
        with View(job) as later:
            assert later.counts() == {"done": 7, "failed": 1, "quarantined": 1, "deferred": 1}


def test_the_last_failure_comes_first(job: Path) -> None:
    with Ledger.open(job) as ledger:
        fail(ledger, 10, "the very last")
    with View(job) as view:
        assert [row.id for row in view.last_failures(2)] == [10, 9]
        assert view.last_failures(1)[0].error_message == "the very last"


def test_samples_are_spread_over_the_rows_and_always_the_same(job: Path) -> None:
    with View(job) as view:
        assert [row.id for row in view.spread(3)] == [2, 4, 6]
        assert [row.id for row in view.spread(3)] == [2, 4, 6]
        assert [row.id for row in view.spread(99)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("content", [b"", b"no ledger at all " * 100, None])
def test_what_is_no_ledger_is_an_error_of_ours(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "j.zgj"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(JobError, match=r"j\.zgj"):
        View(path)


def test_a_damaged_ledger_is_an_error_of_ours(job: Path) -> None:
    whole = bytearray(job.read_bytes())
    whole[4096:] = b"\xa5" * (len(whole) - 4096)
    job.write_bytes(whole)
    with pytest.raises(JobError, match="damaged"), View(job) as view:
        view.progressed(0.0)


# -- the document -------------------------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("sql", blocks("sql"))
def test_every_query_of_the_document_answers(job: Path, sql: str) -> None:
    with closing(sqlite3.connect(f"file:{job}?mode=ro", uri=True)) as ledger:
        assert ledger.execute(sql).fetchall()


def test_the_document_has_its_three_questions() -> None:
    assert len(blocks("sql")) == 3


def test_the_program_of_the_document_prints_checksums(
    job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(job.parent)
    (program,) = blocks("python")
    exec(program, {})  # noqa: S102 - the document's own example
    assert capsys.readouterr().out.splitlines()[0] == f"{1:064x}  1.jpg"


def test_the_document_names_every_column_with_its_type(job: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(\w+)` \| ([A-Z]+) \|", text, re.MULTILINE)
    with View(job) as view:
        actual = [
            (str(name), str(kind))
            for table in ("images", "job", "items", "attempts", "reviews", "decodings")
            for name, kind in view.query("SELECT name, type FROM pragma_table_info(?) ORDER BY cid", (table,))
        ]
    assert documented == actual


def test_the_document_draws_every_state() -> None:
    drawing = re.findall(r"^```\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)[0]
    assert all(re.search(rf"\b{state}\b", drawing) for state in State)
