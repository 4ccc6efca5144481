"""A job and a manifest looked through in a real browser: by state, by item, by column; and the pages of an item."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from browsing import Browser, Tab
from jobs import convert, manifest, picture, write_image
from serving import Server, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LINES = [
    "path,object,name,title,material,page,section",
    "b.png,ms 1,verso,The Atlas,old map,2,Part 1/Chapter 2",
    "a.png,ms 1,recto,The Atlas,old map,1,Part 1/Chapter 1",
    "c.png,ms 1,spine,The Atlas,leather,3,",
    "d.png,ms 2,obverse,A coin,silver,1,",
    "broken.png,ms 2,reverse,A coin,silver,2,",
    "e.png,ms 3,map,,paper,,",
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filtered")
    for seed, name in enumerate("abcde"):
        write_image(folder / f"{name}.png", picture(300, 400, seed=seed))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"nothing" * 9)
    return manifest(folder / "list.csv", LINES)


@pytest.fixture(scope="module")
def job(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    ledger = tmp_path_factory.mktemp("job") / "library.zgj"
    columns = ("--columns", "source=path,item=object", "--name", "{object}/{name}")
    convert(table, ledger.parent / "out", *columns, "--job", ledger)
    with serving(ledger, "--workers", 1) as running:
        yield running


@pytest.fixture(scope="module")
def listed(table: Path) -> Iterator[Server]:
    with serving(table, "--workers", 1, "--columns", "source=path,item=object") as running:
        yield running


def shown(tab: Tab, count: int) -> list[str]:
    """The names of the images, once there are so many."""
    tab.until(f"document.getElementById('count').textContent === '{count} image{'' if count == 1 else 's'}'")
    tab.until(f"document.querySelectorAll('.grid .name').length === {count}")
    tab.page.wait_for_load_state("networkidle")
    names: list[str] = tab.page.locator(".grid .name").all_inner_texts()
    # The browser notes that the broken file has no picture.
    tab.said = [line for line in tab.said if "status of 500" not in line]
    return names


def test_the_images_of_a_job_are_chosen_by_their_state(browser: Browser, job: Server) -> None:
    with browser.tab(f"{job.url}/") as tab:
        page = tab.page
        assert shown(tab, 6) == ["verso", "recto", "spine", "obverse", "reverse", "map"]
        page.wait_for_selector("#states a")
        assert page.locator("#states a").all_inner_texts() == ["All images\n6", "Done\n5", "Failed\n1"]
        # Nobody must know where a job keeps what.
        assert page.locator("#below a").all_inner_texts() == ["ms 1\n3", "ms 2\n2", "ms 3\n1"]
        assert re.fullmatch(r"Only the item\s+The Atlas\s+\d\d\.\d dB", page.inner_text("li:first-child .where"))
        tab.shot("filters-job")
        page.click("#states a:has-text('Failed')")
        assert shown(tab, 1) == ["reverse"]
        assert page.url.endswith("/?state=failed")
        assert page.get_attribute("#states a:has-text('Failed')", "aria-current") == "true"
        page.reload()
        assert shown(tab, 1) == ["reverse"]
        assert tab.nameless == []
        tab.shot("filters-failed")
        page.click("[aria-label='Remove the filter State: failed']")
        assert len(shown(tab, 6)) == 6
        page.go_back()
        assert shown(tab, 1) == ["reverse"]


def test_an_output_is_one_step_from_its_source(browser: Browser, job: Server) -> None:
    with browser.tab(f"{job.url}/?state=done") as tab:
        page = tab.page
        shown(tab, 5)
        page.keyboard.press("/")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("s")
        page.wait_for_url("**/compare?left=source%2F1%2Fb.png&right=output%2Fms%201%2Fverso.jpg*")
        page.goto(f"{job.url}/image?id=output%2Fms%201%2Fverso.jpg")
        page.wait_for_selector("#against:text-is('Compare with source')")
        assert "PSNR" in page.inner_text("#said")
        page.wait_for_load_state("networkidle")
        tab.shot("item-of-a-job")
        page.keyboard.press("s")
        page.wait_for_url("**/compare?left=source%2F1%2Fb.png&right=output%2Fms%201%2Fverso.jpg*")
        page.wait_for_load_state("networkidle")


def test_the_numbers_of_a_job_lead_to_its_images(browser: Browser, job: Server) -> None:
    with browser.tab(f"{job.url}/job") as tab:
        tab.page.click("#counts a:text-is('1 failed')")
        assert shown(tab, 1) == ["reverse"]


def test_the_pages_of_an_item_are_chosen_on_a_thumbnail(browser: Browser, listed: Server) -> None:
    with browser.tab(f"{listed.url}/") as tab:
        page = tab.page
        shown(tab, 6)
        page.click("li:first-child .item")
        assert shown(tab, 3) == ["recto", "verso", "spine"]
        assert page.url.endswith("/?item=ms%201")
        page.reload()
        assert shown(tab, 3) == ["recto", "verso", "spine"]
        tab.shot("filters-item")
        page.click("[aria-label='Remove the filter Item: The Atlas']")
        shown(tab, 6)
        page.focus(".card[title='d.png']")
        page.keyboard.press("i")
        assert shown(tab, 2) == ["obverse", "reverse"]
        tab.until("sessionStorage.getItem('collection') === location.href")
        page.click(".card[title='d.png']")
        page.wait_for_selector("#next[href]")
        page.keyboard.press("Escape")
        page.wait_for_url("**/?item=ms%202")
        shown(tab, 2)


def test_one_column_is_searched(browser: Browser, listed: Server) -> None:
    with browser.tab(f"{listed.url}/?q=map") as tab:
        page = tab.page
        assert shown(tab, 3) == ["verso", "recto", "map"]
        page.fill("#q", "")
        page.select_option("#column", label="material")
        assert page.input_value("#q") == "material:"
        page.keyboard.type("map")
        assert shown(tab, 2) == ["verso", "recto"]
        tab.until("location.search === '?q=material%3Amap'")
        page.goto(f"{listed.url}/?q=material%3A%22old+map%22+page%3A2&item=ms%201")
        assert shown(tab, 1) == ["verso"]
        assert page.input_value("#q") == 'material:"old map" page:2'
        page.fill("#q", "material:gold")
        page.wait_for_selector("#notice:has-text('“material:gold” in the item “The Atlas”')")
        tab.shot("filters-nothing")


def test_filters_fit_on_a_phone(browser: Browser, job: Server) -> None:
    with browser.tab(f"{job.url}/?state=done&item=ms%201&under=ms%201", width=390, height=844, dark=True) as tab:
        page = tab.page
        assert shown(tab, 3) == ["recto", "verso", "spine"]
        assert page.locator("#filters button").count() == 4
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        assert page.evaluate("document.querySelector('.grid').scrollWidth <= innerWidth")
        assert tab.nameless == []
        tab.shot("phone-filters")
        page.click("text=Remove all")
        shown(tab, 6)


def test_the_pages_of_an_item_are_turned_in_their_order(browser: Browser, listed: Server) -> None:
    with browser.tab(f"{listed.url}/image?id=a.png") as tab:
        page = tab.page
        page.wait_for_selector("#next[href]")
        assert page.inner_text("#position") == "1 / 3"
        assert page.inner_text("#name") == "recto"
        assert page.inner_text("#where").startswith("The Atlas")
        assert page.locator("#strip .label").all_inner_texts() == ["recto", "verso", "spine"]
        page.keyboard.press("ArrowRight")
        tab.until("document.getElementById('name').textContent === 'verso'")
        tab.until("document.getElementById('said').textContent.includes('Part 1/Chapter 2')")
        page.wait_for_load_state("networkidle")
        tab.shot("item")
        document = page.evaluate(
            """async () => {
                const link = [...document.querySelectorAll("#links a")].find((one) => one.text.includes("of the item"));
                return (await fetch(link.href)).json();
            }"""
        )
        assert document["label"] == {"none": ["The Atlas"]}
        assert len(document["items"]) == 3
        # What is said of it leads to all images of which the same is said.
        page.click("#said a:text-is('old map')")
        assert shown(tab, 2) == ["verso", "recto"]
        assert page.input_value("#q") == 'material:"old map"'
