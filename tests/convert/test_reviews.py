import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from jobs import ziggurat
from ledger_builder import finish, planned, ten
from ziggurat.convert.ledger.ledger import Ledger
from ziggurat.convert.ledger.reviews import Review, record, review_counts, reviews
from ziggurat.convert.ledger.sample import pairs, shares
from ziggurat.convert.ledger.schema import State
from ziggurat.convert.ledger.view import View
from ziggurat.convert.manifest import Row
from ziggurat.errors import JobError, SourceNotFound, WriteError


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "collection.zgj"
    ten(path)
    return path


def current(job: Path) -> dict[int, tuple[str | None, str]]:
    with View(job) as view:
        return {image: (one.verdict, one.note) for image, one in reviews(view).items()}


def test_the_last_judgement_holds_and_all_are_kept(job: Path) -> None:
    record(job, Review(image=1, verdict="reject", note="blurred", reviewer="ada"))
    record(job, Review(image=2, verdict="reject"))
    record(job, Review(image=1, verdict="accept", note="on a better screen"))
    record(job, Review(image=2, verdict=None))
    assert current(job) == {1: ("accept", "on a better screen")}
    with View(job) as view:
        assert review_counts(view) == {"accept": 1, "reject": 0}
        assert view.query("SELECT count(*), min(reviewer) FILTER (WHERE id = 1) FROM reviews") == [(4, "ada")]


def test_an_output_that_is_made_anew_has_not_been_judged(job: Path) -> None:
    record(job, Review(image=1, verdict="accept"))
    with Ledger.open(job) as ledger:
        with ledger.transaction():
            ledger.reopen([1])
        finish(ledger, 1)
        assert current(job) == {1: ("accept", "")}  # the same bytes came out
        with ledger.transaction():
            ledger._db.execute("UPDATE images SET output_sha256 = 'other' WHERE id = 1")
    assert current(job) == {}


def test_what_has_no_output_cannot_be_judged(job: Path) -> None:
    for image in (7, 10, 99):
        with pytest.raises(SourceNotFound):
            record(job, Review(image=image, verdict="accept"))


def test_a_ledger_of_an_earlier_release_gets_the_table(job: Path) -> None:
    with closing(sqlite3.connect(job)) as ledger:
        ledger.execute("DROP TABLE reviews")
        ledger.commit()
    assert current(job) == {}
    record(job, Review(image=1, verdict="accept"))
    assert current(job) == {1: ("accept", "")}


def test_judging_beside_a_running_job_loses_nothing_of_either(tmp_path: Path) -> None:
    path = tmp_path / "j.zgj"
    with planned(path, [Row(source=f"{n}") for n in range(60)]) as ledger:
        finish(ledger, 1)
        begin = threading.Barrier(3)

        def judge(who: str) -> None:
            begin.wait()
            for number in range(20):
                record(path, Review(image=1, verdict="accept", note=f"{number}", reviewer=who))

        threads = [threading.Thread(target=judge, args=(who,)) for who in ("ada", "bob")]
        for thread in threads:
            thread.start()
        begin.wait()
        for image in range(2, 61):
            finish(ledger, image)
        for thread in threads:
            thread.join()
    with View(path) as view:
        assert view.counts() == {"done": 60}
        assert view.query("SELECT count(*) FROM reviews") == [(40,)]


def test_a_file_that_cannot_be_judged_in_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(JobError):
        record(tmp_path / "none.zgj", Review(image=1, verdict="accept"))
    (tmp_path / "other.zgj").write_bytes(b"no ledger at all" * 100)
    with pytest.raises((JobError, WriteError)):
        record(tmp_path / "other.zgj", Review(image=1, verdict="accept"))
    assert not list(tmp_path.glob("*-wal"))


def test_the_sample_has_every_group_and_its_worst(tmp_path: Path) -> None:
    path = tmp_path / "j.zgj"
    kinds = ["map"] * 60 + ["letter"] * 20 + ["coin"] * 2
    rows = [Row(source=f"/in/{n}", columns=(kind,)) for n, kind in enumerate(kinds)]
    with planned(path, rows, ("material",)) as ledger:
        for image in range(1, 83):
            finish(ledger, image, score=50.0 + (image * 37) % 82 / 2)
    with View(path) as view:
        found = pairs(view, 16)
        assert [pair.row.id for pair in found] == [pair.row.id for pair in pairs(view, 16)]
        by_group = {name: [pair for pair in found if pair.group == name] for name in ("map", "letter", "coin")}
        assert {name: len(of) for name, of in by_group.items()} == {"map": 11, "letter": 4, "coin": 1}
        for name, of in by_group.items():
            [(worst,)] = view.query(
                "SELECT min(ssimulacra2) FROM images JOIN manifest ON images_id = id WHERE material = ?", (name,)
            )
            assert of[0].reason == "lowest fidelity"
            assert of[0].row.ssimulacra2 == worst
        scores = [pair.row.ssimulacra2 or 0 for pair in found]
        assert scores == sorted(scores)
        assert len(pairs(view, 500)) == 82
        assert pairs(view, 0) == []


def test_shares_add_up() -> None:
    assert shares({"a": 100, "b": 1}, 10) == {"a": 9, "b": 1}
    assert shares({"a": 5, "b": 4, "c": 3}, 2) == {"a": 1, "b": 1}
    assert shares({"a": 2, "b": 2}, 99) == {"a": 2, "b": 2}
    assert sum(shares({str(n): n + 1 for n in range(30)}, 100).values()) == 100
    assert shares({}, 5) == {}


def test_the_report_shows_what_people_said(job: Path) -> None:
    record(job, Review(image=2, verdict="accept"))
    record(job, Review(image=3, verdict="reject", note="<b>moiré</b>", reviewer="ada"))
    assert ziggurat("report", job, "--samples", 0, "--json", job.with_suffix(".json")).code == 0
    page = job.with_suffix(".html").read_text(encoding="utf-8")
    assert "1 output was accepted by eye, 1 rejected." in page
    assert "&lt;b&gt;moiré&lt;/b&gt;" in page
    assert page.index("3.jpg") < page.index("&lt;b&gt;moiré") < page.index(">accepted<")
    assert '"rejected": 1' in job.with_suffix(".json").read_text(encoding="utf-8")


def test_states_of_the_sample_are_done(job: Path) -> None:
    with View(job) as view:
        assert {pair.row.state for pair in pairs(view, 99)} == {State.DONE}
