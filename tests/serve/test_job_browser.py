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
        tab.page.wait_for_selector("#failures tr")
        assert tab.page.get_attribute("#meter", "aria-valuenow") == "3"
        assert "1 failed" in tab.page.inner_text("#counts")
        assert "broken.png" in tab.page.inner_text("#failures")
        tab.shot("real-job")


def test_what_is_judged_in_the_browser_stands_in_the_ledger(browser: Browser, served: Server, job: Path) -> None:
    with browser.tab(f"{served.url}/review") as tab:
        page = tab.page
        page.wait_for_selector("#progress:text-is('0 of 3 judged')")
        first = page.inner_text("#name")
        assert "PSNR" in page.inner_text("#fidelity")
        page.wait_for_load_state("networkidle")
        tab.shot("real-review")
        page.keyboard.press("t")
        page.keyboard.type("weiß, zu weich")
        page.click("#reject")
        page.wait_for_selector("#progress:text-is('1 of 3 judged, 1 rejected')")
        page.keyboard.press("a")
        page.wait_for_selector("#progress:text-is('2 of 3 judged, 1 rejected')")
        page.reload()
        page.wait_for_selector("#progress:text-is('2 of 3 judged, 1 rejected')")
        page.wait_for_load_state("networkidle")

        def drawn_with_curve(side: str) -> Any:
            return page.expect_request_finished(lambda request: re.search(rf"/{side}%2F.*stretch=sqrt", request.url))

        # How samples are shown goes along from pair to pair.
        page.keyboard.press("c")
        page.wait_for_selector("#details:enabled")
        with drawn_with_curve("source"), drawn_with_curve("output"):
            page.select_option("#f-stretch", "sqrt")
        page.wait_for_timeout(500)
        number = int(page.url.partition("#pair=")[2].partition("&")[0])
        with drawn_with_curve("source"), drawn_with_curve("output"):
            page.keyboard.press("p" if number > 1 else "n")
            tab.until(f"location.hash === '#pair={number - 1 if number > 1 else 2}&stretch=sqrt'")
            page.wait_for_selector("#details:enabled")
        page.wait_for_timeout(500)
        tab.shot("real-review-display")
        assert page.input_value("#f-stretch") == "sqrt"
    said = query(job, "SELECT verdict, note, target FROM reviews JOIN images ON images.id = image ORDER BY reviews.id")
    assert said[0] == ("reject", "weiß, zu weich", first)
    assert [verdict for verdict, _, _ in said] == ["reject", "accept"]
