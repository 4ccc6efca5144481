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


EVERY = ("verso", "recto", "spine", "obverse", "reverse", "map")

NO_PICTURE = "status of 500"
"""What the browser notes of the broken file, as often as it is asked for."""


def shows(tab: Tab, *names: str) -> None:
    """Waits until the images are those of these names, in their order."""
    tab.expect("#count").to_have_text(f"{len(names)} image{'' if len(names) == 1 else 's'}")
    tab.expect(".grid .name").to_have_text(list(names))


def test_the_images_of_a_job_are_chosen_by_their_state(browser: Browser, job: Server) -> None:
    with browser.tab(f"{job.url}/", excused=NO_PICTURE) as tab:
        page = tab.page
        shows(tab, *EVERY)
        tab.expect("#states a").to_have_text(["All images 6", "Done 5", "Failed 1"], use_inner_text=True)
        # Nobody must know where a job keeps what.
        tab.expect("#below a").to_have_text(["ms 1 3", "ms 2 2", "ms 3 1"], use_inner_text=True)
        first = re.compile(r"^Only the item\s+The Atlas\s+\d\d\.\d dB$")
        tab.expect("#grid li:first-child .where").to_have_text(first, use_inner_text=True)
        tab.quiet()
        tab.shot("filters-job")
        page.click("#states a:has-text('Failed')")
        shows(tab, "reverse")
        page.wait_for_url("**/?state=failed")
        tab.expect("#states a:has-text('Failed')").to_have_attribute("aria-current", "true")
        page.reload()
        shows(tab, "reverse")
        tab.quiet()
        assert tab.nameless == []
        tab.shot("filters-failed")
        page.click("[aria-label='Remove the filter State: failed']")
        shows(tab, *EVERY)
        page.go_back()
        shows(tab, "reverse")


def test_an_output_is_one_step_from_its_source(browser: Browser, job: Server) -> None:
    with browser.tab(f"{job.url}/?state=done") as tab:
        page = tab.page
        shows(tab, "verso", "recto", "spine", "obverse", "map")
        page.keyboard.press("/")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("s")
        page.wait_for_url("**/compare?left=source%2F1%2Fb.png&right=output%2Fms%201%2Fverso.jpg*")
        page.goto(f"{job.url}/image?id=output%2Fms%201%2Fverso.jpg")
        tab.expect("#against").to_have_text("Compare with source")
        tab.expect("#said").to_contain_text("PSNR")
        tab.quiet()
        tab.shot("item-of-a-job")
        page.keyboard.press("s")
        page.wait_for_url("**/compare?left=source%2F1%2Fb.png&right=output%2Fms%201%2Fverso.jpg*")
        tab.quiet()


def test_the_numbers_of_a_job_lead_to_its_images(browser: Browser, job: Server) -> None:
    with browser.tab(f"{job.url}/job", excused=NO_PICTURE) as tab:
        tab.page.click("#counts a:text-is('1 failed')")
        shows(tab, "reverse")


def test_the_pages_of_an_item_are_chosen_on_a_thumbnail(browser: Browser, listed: Server) -> None:
    with browser.tab(f"{listed.url}/", excused=NO_PICTURE) as tab:
        page = tab.page
        shows(tab, *EVERY)
        page.click("li:first-child .item")
        shows(tab, "recto", "verso", "spine")
        page.wait_for_url("**/?item=ms%201")
        page.reload()
        shows(tab, "recto", "verso", "spine")
        tab.quiet()
        tab.shot("filters-item")
        page.click("[aria-label='Remove the filter Item: The Atlas']")
        shows(tab, *EVERY)
        page.focus(".card[title='d.png']")
        page.keyboard.press("i")
        shows(tab, "obverse", "reverse")
        page.click(".card[title='d.png']")
        tab.expect("#name").to_have_text("obverse")
        page.keyboard.press("Escape")
        page.wait_for_url("**/?item=ms%202")
        shows(tab, "obverse", "reverse")


def test_one_column_is_searched(browser: Browser, listed: Server) -> None:
    with browser.tab(f"{listed.url}/?q=map", excused=NO_PICTURE) as tab:
        page = tab.page
        shows(tab, "verso", "recto", "map")
        page.fill("#q", "")
        page.select_option("#column", label="material")
        tab.expect("#q").to_have_value("material:")
        page.keyboard.type("map")
        shows(tab, "verso", "recto")
        page.wait_for_url("**/?q=material%3Amap")
        page.goto(f"{listed.url}/?q=material%3A%22old+map%22+page%3A2&item=ms%201")
        shows(tab, "verso")
        tab.expect("#q").to_have_value('material:"old map" page:2')
        page.fill("#q", "material:gold")
        tab.expect("#notice").to_contain_text("“material:gold” in the item “The Atlas”")
        tab.shot("filters-nothing")


def test_filters_fit_on_a_phone(browser: Browser, job: Server) -> None:
    address = f"{job.url}/?state=done&item=ms%201&under=ms%201"
    with browser.tab(address, width=390, height=844, dark=True, excused=NO_PICTURE) as tab:
        shows(tab, "recto", "verso", "spine")
        tab.expect("#filters button").to_have_count(4)
        tab.quiet()
        tab.until("document.scrollingElement.scrollWidth <= innerWidth")
        tab.until("document.querySelector('.grid').scrollWidth <= innerWidth")
        assert tab.nameless == []
        tab.shot("phone-filters")
        tab.page.click("text=Remove all")
        shows(tab, *EVERY)


def test_the_pages_of_an_item_are_turned_in_their_order(browser: Browser, listed: Server) -> None:
    with browser.tab(f"{listed.url}/image?id=a.png") as tab:
        page = tab.page
        tab.expect("#position").to_have_text("1 / 3")
        tab.expect("#name").to_have_text("recto")
        tab.expect("#where").to_have_text(re.compile("^The Atlas"))
        tab.expect("#strip .label").to_have_text(["recto", "verso", "spine"])
        tab.expect("#next[href]").to_be_visible()
        page.keyboard.press("ArrowRight")
        tab.expect("#name").to_have_text("verso")
        tab.expect("#said").to_contain_text("Part 1/Chapter 2")
        tab.quiet()
        tab.shot("item")
        tab.expect("#links a:has-text('of the item')").to_have_count(1)
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
        shows(tab, "verso", "recto")
        tab.expect("#q").to_have_value('material:"old map"')
