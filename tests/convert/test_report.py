import csv
import json
import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_builder import OPTIONS, fail, finish, planned, ten
from ziggurat.codec.jpeg import encode
from ziggurat.convert import text
from ziggurat.convert.ledger.ledger import Ledger
from ziggurat.convert.ledger.schema import State
from ziggurat.convert.ledger.view import View
from ziggurat.convert.manifest import Row, manifest_rows, open_manifest
from ziggurat.convert.plan import plan_rows
from ziggurat.convert.report import contact, svg
from ziggurat.convert.report.contact import choose, sheet
from ziggurat.convert.report.html import write_page
from ziggurat.convert.report.places import Places
from ziggurat.convert.report.summary import BINS, FINE, _bars, _median, status, summarise
from ziggurat.convert.report.tables import write_failed, write_json, write_rows
from ziggurat.convert.report.timeline import timeline

HOSTILE = '"><script>alert(1)</script><img src=x onerror="alert(2)">\u202egpj\x1b[31m\x00'


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "collection.zgj"
    ten(path)
    return path


class Page(HTMLParser):
    """Holds a page to what a browser needs: every element closed, every anchor there."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.elements: list[str] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, key, value in self.attributes if key == name]


def written(job: Path, samples: int = 0) -> Page:
    out = job.with_suffix(".html")
    with View(job) as view:
        write_page(view, summarise(view), out, samples=samples)
    return Page(out.read_text(encoding="utf-8"))


# -- figures ------------------------------------------------------------------------------------------------------


def test_figures_of_a_job(job: Path) -> None:
    with View(job) as view:
        found = summarise(view)
    assert found.unsuccessful == 3
    assert (found.psnr.measured, found.psnr.identical, found.psnr.minimum) == (6, 1, 41.0)
    assert found.psnr.median == pytest.approx(43.0, abs=1 / FINE)
    assert [row.id for row in found.ssimulacra2.lowest] == [1, 2, 3, 4, 5, 6]
    assert [(kind.name, kind.images) for kind in found.formats] == [("jp2 → jpeg", 6)]
    assert [(group.name, group.output_bytes) for group in found.groups] == [("map", 90_000)]
    assert found.warnings == (("odd", 2),)
    assert sorted((p.state, p.images) for p in found.problems) == [("deferred", 1), ("failed", 1), ("quarantined", 1)]
    assert (found.costs.cpu, found.costs.cpu_pixels, found.costs.attempts_lost) == (12.0, 120_000, 3)


@given(st.dictionaries(st.integers(-400, 2000), st.integers(1, 1000), max_size=60), st.integers(0, 50))
def test_bars_hold_every_image_once_and_the_median_divides_them(steps: dict[int, int], identical: int) -> None:
    bars = _bars(steps)
    assert sum(bar.images for bar in bars) == sum(steps.values())
    assert len(bars) <= BINS[1]
    assert all(a.high == pytest.approx(b.low) for a, b in pairwise(bars))
    median = _median(steps, identical)
    values = sorted([(step + 0.5) / FINE for step, n in steps.items() for _ in range(n)] + [math.inf] * identical)
    assert median == (values[(len(values) - 1) // 2] if values else None)


def test_time_between_two_runs_is_cut_out_of_the_axis(job: Path) -> None:
    with Ledger.open(job) as ledger, ledger.transaction():
        # Three images in a first run, three two days later, each taking ten seconds.
        ledger._db.execute(
            "UPDATE images SET started_at = 1000.0 + 10 * id + (id > 3) * 172800,"
            " finished_at = 1010.0 + 10 * id + (id > 3) * 172800 WHERE state = 'done'"
        )
        ledger._db.execute("UPDATE images SET started_at = NULL WHERE state <> 'done'")
    with View(job) as view:
        line = timeline(view)
    assert line.worked == pytest.approx(60.0)
    assert line.pauses == ((pytest.approx(30.0), pytest.approx(172_800.0)),)
    assert sum(step.images for step in line.steps) == 6
    assert sum(step.pixels for step in line.steps) == 120_000
    assert line.steps[-1].ended == pytest.approx(60.0)


def test_the_present_rate_is_measured_from_when_the_work_began(job: Path) -> None:
    with Ledger.open(job) as ledger, ledger.transaction():
        ledger._db.execute(
            "UPDATE images SET started_at = unixepoch('subsec') - 20, finished_at = unixepoch('subsec') - 5"
            " WHERE state = 'done'"
        )
    with View(job) as view:
        found = status(view, working=True, failures=1)
        assert found.recent_seconds == pytest.approx(20, abs=2)
        assert found.seconds_left == pytest.approx(20 / 6, rel=0.2)
        assert status(view, working=False, failures=1).seconds_left is None


# -- the page -----------------------------------------------------------------------------------------------------


def test_the_page_is_one_closed_document_that_fetches_nothing(job: Path) -> None:
    page = written(job)
    assert "script" not in page.elements
    assert "link" not in page.elements
    anchors = set(page.values("id"))
    for target in page.values("href"):
        assert target.startswith("./") or ".." in target or target[1:] in anchors
    style = job.with_suffix(".html").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|https?:", style)


def test_headings_follow_one_another_and_tables_name_their_cells(job: Path) -> None:
    page = written(job)
    levels = [int(element[1]) for element in page.elements if re.fullmatch("h[1-6]", element)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.elements.count("table") == page.elements.count("caption")
    assert page.elements.count("th") == len(page.values("scope"))
    drawings = [value for tag, name, value in page.attributes if tag == "svg" and name == "role"]
    assert drawings
    assert page.elements.count("desc") == len(drawings)


def test_foreign_text_stays_text(tmp_path: Path) -> None:
    path = tmp_path / 'a"><script>.zgj'
    rows = [Row(source=HOSTILE, item=HOSTILE, columns=(HOSTILE, HOSTILE)) for _ in range(3)]
    with planned(path, rows, (HOSTILE.replace("\0", ""), "material"), HOSTILE.replace("\0", "")) as ledger:
        finish(ledger, 1, warnings=(HOSTILE,))
        fail(ledger, 2, HOSTILE)
        with ledger.transaction():
            ledger._db.execute("UPDATE images SET target = ? || id, format = ?, error_class = ?", (HOSTILE,) * 3)
    page = written(path, samples=2)
    assert "script" not in page.elements
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    everything = path.with_suffix(".html").read_text(encoding="utf-8")
    assert "\x1b" not in everything
    assert "\u202e" not in everything
    assert "\\u202e" in everything


def test_links_lead_from_the_page_to_local_outputs_only(tmp_path: Path) -> None:
    page = tmp_path / "reports" / "a.html"
    here = Places({"destination": str(tmp_path / "out #1")}, page)
    assert here.link(here.output("a b/ü:1.jpg")) == "./../out%20%231/a%20b/%C3%BC%3A1.jpg"
    there = Places({"destination": "s3://bucket/out"}, page)
    assert there.output("a.jpg") == "s3://bucket/out/a.jpg"
    assert there.link("s3://bucket/out/a.jpg") is None


def test_a_job_with_nothing_done_has_a_page(tmp_path: Path) -> None:
    path = tmp_path / "j.zgj"
    planned(path, [Row(source="a.jp2")]).close()
    page = written(path, samples=3)
    assert "0 images of 1 are in place" in " ".join(page.words)
    assert "img" not in page.elements


def test_a_long_list_of_failures_is_cut_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "j.zgj"
    with planned(path, [Row(source=f"{n}" * 300) for n in range(600)]) as ledger, ledger.transaction():
        ledger._db.execute("UPDATE images SET state = 'failed', error_class = 'E', error_message = ?", ("m" * 9000,))
    page = written(path)
    assert "The first 500 of 600; " in page.words
    assert path.with_suffix(".html").stat().st_size < 2_000_000


# -- the contact sheet --------------------------------------------------------------------------------------------


def photograph(path: Path, quality: int) -> None:
    y, x = np.mgrid[0:600, 0:400]
    pixels = np.stack([y % 256, x % 256, (x + y) % 256], axis=2).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(pixels, quality=quality))


def test_the_sheet_shows_what_can_be_opened_and_says_why_the_rest_cannot(tmp_path: Path) -> None:
    out = tmp_path / "out"
    photograph(tmp_path / "a.jpg", 95)
    photograph(out / "1.jpg", 60)
    photograph(out / "2.jpg", 60)
    path = tmp_path / "j.zgj"
    rows = [Row(source=str(tmp_path / "a.jpg")), Row(source=str(tmp_path / "gone.jpg"))]
    with planned(path, rows, destination=str(out)) as ledger:
        finish(ledger, 1)
        finish(ledger, 2)
    with View(path) as view:
        first, second = sheet(view, 2, Places(view.facts(), tmp_path / "j.html"))
    assert first.before.problem is None
    assert first.before.thumbnail != first.after.thumbnail
    assert "SourceNotFound" in str(second.before.problem)
    assert second.after.piece is not None
    page = written(path, samples=2)
    assert len([value for value in page.values("src") if value.startswith("data:image/jpeg;base64,")]) == 6
    assert all(page.values("alt"))


def test_the_sheet_has_the_worst_the_most_reduced_and_a_spread(job: Path) -> None:
    with View(job) as view:
        chosen = choose(view, 5)
        assert [reason for _, reason in chosen][:2] == ["lowest fidelity", "largest reduction"]
        assert chosen[0][0].id == 1
        assert len({row.id for row, _ in chosen}) == 5
        assert choose(view, 0) == []


@pytest.mark.parametrize(("name", "limit", "told"), [("MEMORY", 1 << 10, "too large"), ("SECONDS", -1.0, "left out")])
def test_the_sheet_keeps_to_its_memory_and_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit: float, told: str
) -> None:
    photograph(tmp_path / "out" / "1.jpg", 60)
    with planned(tmp_path / "j.zgj", [Row(source="gone")], destination=str(tmp_path / "out")) as ledger:
        finish(ledger, 1)
    monkeypatch.setattr(contact, name, limit)
    with View(tmp_path / "j.zgj") as view:
        (sample,) = sheet(view, 1, Places(view.facts(), tmp_path / "j.html"))
    assert told in str(sample.after.problem)


# -- tables -------------------------------------------------------------------------------------------------------

HEADER = ("path", "Title", "material", "state")
VALUES = [
    ("a.jp2", 'with "quotes", a comma', "map", "Ohio"),
    ("sub/b.jp2", "line\nbreak", "=1+1", ""),
    ("/abs/c.jp2", "  spaces ", "-", "x"),
    ("s3://bucket/d e.jp2", "ü", "", "y"),
]


def test_failed_rows_of_a_manifest_are_the_same_rows_when_fed_in_again(tmp_path: Path) -> None:
    manifest = tmp_path / "in" / "all.csv"
    manifest.parent.mkdir()
    with manifest.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER, *VALUES])
    columns = {"source": "path", "name": "Title"}
    first = open_manifest(manifest, columns)
    rows = list(manifest_rows(first))
    job = tmp_path / "j.zgj"
    with planned(job, rows, first.header) as ledger:
        with ledger.transaction():
            ledger.set_fact("options", {**OPTIONS, "columns": columns})
        finish(ledger, 3)
        for image in (1, 2, 4):
            fail(ledger, image, f"message, {image}")
    again = tmp_path / "elsewhere" / "failed.csv"
    again.parent.mkdir()
    with View(job) as view:
        assert write_failed(view, view.facts(), again) == 3
    second = open_manifest(again, columns)
    assert second.header == (*HEADER, "error_class", "error_message", "state_")
    back = list(manifest_rows(second))
    wanted = [rows[0], rows[1], rows[3]]
    assert [row.source for row in back] == [row.source for row in wanted]
    assert [row.columns[1:4] for row in back] == [row.columns[1:4] for row in wanted]
    assert [row.columns[4:] for row in back] == [("CorruptImage", f"message, {n}", "failed") for n in (1, 2, 4)]
    template = "{material}x/{name}"
    targets = [[key for _, key, _, _ in plan_rows(r, template, ".jpg", [*HEADER, "name"])] for r in (wanted, back)]
    assert targets[0] == targets[1]


def test_failing_twice_does_not_add_the_columns_twice(tmp_path: Path) -> None:
    job = tmp_path / "j.zgj"
    header = ("source", "error_class", "error_message", "state")
    with planned(job, [Row(source="/a.jp2", columns=("/a.jp2", "Old", "old", "failed"))], header) as ledger:
        fail(ledger, 1, "new")
    with View(job) as view:
        write_failed(view, view.facts(), tmp_path / "f.csv")
    assert (tmp_path / "f.csv").read_text(encoding="utf-8").splitlines() == [
        "source,error_class,error_message,state",
        "/a.jp2,CorruptImage,new,failed",
    ]


def test_failed_rows_of_a_listing_keep_their_targets_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = tmp_path / "j.zgj"
    with planned(job, [Row(source="in/sub/a.jp2")]) as ledger:
        with ledger.transaction():
            ledger._db.execute("UPDATE images SET target = 'sub/a.b.jpg'")
        fail(ledger, 1, "m")
    with View(job) as view:
        write_failed(view, view.facts(), tmp_path / "f.csv")
    manifest = open_manifest(tmp_path / "f.csv", {})
    (row,) = manifest_rows(manifest)
    assert row.source == str(tmp_path / "in" / "sub" / "a.jp2")
    ((_, target, _, problem),) = plan_rows([row], "{name}", ".jpg", ["name"])
    assert (target, problem) == ("sub/a.b.jpg", None)


def test_csv_and_json_hold_every_image_and_say_what_is_identical(job: Path) -> None:
    with View(job) as view:
        assert write_rows(view, job.with_suffix(".csv")) == 10
        assert write_json(view, summarise(view), job.with_suffix(".json")) == 10

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads(job.with_suffix(".json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert [image["psnr"] for image in found["images"]] == [41, 42, 43, 44, 45, None, None, None, None, None]
    assert [image.get("identical") for image in found["images"]] == [None] * 5 + [True] + [None] * 4
    assert found["summary"]["progressed"]["done"] == 6
    assert found["summary"]["psnr"]["lowest"][-1]["identical"] is True
    with job.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["psnr"] for row in rows] == ["41.0", "42.0", "43.0", "44.0", "45.0", "inf", "", "", "", ""]


def test_identical_images_alone_have_a_page_without_a_chart(tmp_path: Path) -> None:
    path = tmp_path / "j.zgj"
    with planned(path, [Row(source="a")]) as ledger:
        finish(ledger, 1, math.inf, None)
    words = " ".join(written(path).words)
    assert "identical" in words
    assert "1 image has the very pixels of the source" in words


# -- words and shapes ---------------------------------------------------------------------------------------------


@given(st.text())
def test_escaped_text_has_no_markup_and_nothing_invisible(foreign: str) -> None:
    shown = text.escaped(foreign)
    assert not set(shown) & set("<>\"'\n\r\t\0\u202e\u2066\u200f")
    shown.encode("utf-8")


@given(st.floats(1e-3, 1e12))
def test_the_end_of_an_axis_is_round_and_not_far_above(value: float) -> None:
    assert value <= svg.nice(value) * (1 + 1e-9) <= value * 2


def test_a_share_is_not_called_all_before_it_is() -> None:
    assert text.percent(999_999, 1_000_000) == "99.9 %"
    assert text.percent(1, 1_000_000) == "0.1 %"
    assert (text.percent(5, 5), text.percent(0, 5), text.percent(0, 0)) == ("100 %", "0 %", text.NOTHING)


def test_states_of_the_bar_are_all_states() -> None:
    from ziggurat.convert.report.headline import ORDER  # noqa: PLC0415 - one test's

    assert set(ORDER) == set(State)
