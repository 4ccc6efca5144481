"""A real job watched and reviewed in a real browser: what is clicked there stands in the ledger."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browsing import Browser
from jobs import convert, picture, query, write_image
from serving import Server, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    for number in range(3):
        write_image(folder / "in" / f"page {number}.png", picture(300, 400, seed=number))
    (folder / "in" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"nothing" * 9)
    convert(folder / "in", folder / "out", "--job", folder / "library.zgj")
    return folder / "library.zgj"


@pytest.fixture(scope="module")
def served(job: Path) -> Iterator[Server]:
    with serving(job, "--workers", 2) as running:
        yield running


def test_a_job_is_watched(browser: Browser, served: Server) -> None:
    with browser.tab(f"{served.url}/job") as tab:
        tab.expect("#failures tr").to_contain_text(["broken.png"])
        tab.expect("#meter").to_have_attribute("aria-valuenow", "3")
        tab.expect("#counts").to_contain_text("1 failed")
        tab.shot("real-job")


def test_what_is_judged_in_the_browser_stands_in_the_ledger(browser: Browser, served: Server, job: Path) -> None:
    with browser.tab(f"{served.url}/review") as tab:
        page = tab.page
        tab.expect("#progress").to_have_text("0 of 3 judged")
        tab.expect("#fidelity").to_contain_text("PSNR")
        first = page.inner_text("#name")
        tab.quiet()
        tab.shot("real-review")
        page.keyboard.press("t")
        page.keyboard.type("weiß, zu weich")
        page.click("#reject")
        tab.expect("#progress").to_have_text("1 of 3 judged, 1 rejected")
        page.keyboard.press("a")
        tab.expect("#progress").to_have_text("2 of 3 judged, 1 rejected")
        page.reload()
        tab.expect("#progress").to_have_text("2 of 3 judged, 1 rejected")
        tab.quiet()

        def drawn_with_curve(side: str) -> Any:
            return page.expect_request_finished(lambda request: re.search(rf"/{side}%2F.*stretch=sqrt", request.url))

        # How samples are shown goes along from pair to pair.
        page.keyboard.press("c")
        tab.expect("#details").to_be_enabled()
        with drawn_with_curve("source"), drawn_with_curve("output"):
            page.select_option("#f-stretch", "sqrt")
        tab.quiet()
        number = int(page.url.partition("#pair=")[2].partition("&")[0])
        with drawn_with_curve("source"), drawn_with_curve("output"):
            page.keyboard.press("p" if number > 1 else "n")
            tab.until(f"location.hash === '#pair={number - 1 if number > 1 else 2}&stretch=sqrt'")
            tab.expect("#details").to_be_enabled()
        tab.quiet()
        tab.shot("real-review-display")
        tab.expect("#f-stretch").to_have_value("sqrt")
    said = query(job, "SELECT verdict, note, target FROM reviews JOIN images ON images.id = image ORDER BY reviews.id")
    assert said[0] == ("reject", "weiß, zu weich", first)
    assert [verdict for verdict, _, _ in said] == ["reject", "accept"]
