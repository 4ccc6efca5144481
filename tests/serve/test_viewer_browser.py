"""The viewer in a real browser: what is drawn is compared with what the files hold."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

import ziggurat
from browsing import Browser, Tab, slowness
from jobs import write_image
from serving import Server, serving
from sky_files import save, sky, tan

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HEIGHT, WIDTH = 1500, 2000

MANY = 100_000

JPEG_MEAN, JPEG_MOST = 1.5, 12
"""How far pixels that went through JPEG at quality 85 may be apart from the file's: on average, and 99 of 100."""

TOKEN = "a-token-of-enough-characters"  # noqa: S105 - of a test


def scene(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """A smooth picture in which no two places are alike, with something sharp in it."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, 128 + 80 * np.sin(x / 90) * np.cos(y / 70)], axis=2)
    pixels[600:700, 900:1100] = (20, 60, 200)
    return pixels.astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("viewed")
    write_image(path / "scene.jp2", scene())
    write_image(path / "other.png", np.roll(scene(), 8, axis=1))
    write_image(path / "same.png", scene())
    shutil.copy(path / "same.png", path / "twin.png")
    for number in range(12):
        write_image(path / "paper 1897" / f"page {number + 1}.png", seed=number)
    return path


@pytest.fixture(scope="module")
def viewed(folder: Path) -> Iterator[Server]:
    with serving(folder, "--workers", 2) as running:
        yield running


def opened(tab: Tab) -> None:
    """Waits until an image is there with all that is told of it."""
    tab.page.wait_for_selector("#facts dd", state="attached")
    tab.quiet()


def test_a_collection_is_seen_searched_and_opened(browser: Browser, viewed: Server) -> None:
    with browser.tab(f"{viewed.url}/") as tab:
        page = tab.page
        tab.expect(".card img.there").to_have_count(16)
        tab.expect("#count").to_have_text("16 images")
        tab.quiet()
        tab.shot("collection")
        page.keyboard.press("/")
        page.keyboard.type("PAPER 2.png")
        page.wait_for_url("**/?q=PAPER+2.png")
        # The list of fewer letters is the same one: it must not come in between.
        tab.quiet()
        tab.expect("#count").to_have_text("2 images")
        page.keyboard.press("Enter")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.title") == "paper 1897/page 12.png"
        page.keyboard.press("Enter")
        page.wait_for_url("**/image?id=*")
        opened(tab)
        tab.expect("#name").to_have_text("page 12")
        page.keyboard.press("Escape")
        page.wait_for_url("**/?q=PAPER*")


def test_folders_are_opened(browser: Browser, viewed: Server) -> None:
    with browser.tab(f"{viewed.url}/") as tab:
        tab.page.click("#below a")
        tab.expect("#count").to_have_text("12 images")
        tab.page.wait_for_url("**/?under=paper*")
        tab.page.go_back()
        tab.expect("#count").to_have_text("16 images")


def test_what_is_drawn_at_full_resolution_is_what_the_file_holds(
    browser: Browser, viewed: Server, folder: Path
) -> None:
    with browser.tab(f"{viewed.url}/image?id=scene.jp2") as tab:
        opened(tab)
        tab.shot("image")
        height, width = tab.pixels().shape[:2]
        tab.page.goto(f"{viewed.url}/#")
        # A width of as many pixels as the canvas has shows each as one of the screen.
        tab.page.goto(f"{viewed.url}/image?id=scene.jp2#x={1000 + width / 2}&y={650 + height / 2}&w={width}")
        opened(tab)
        tab.shot("image-full-resolution")
        window = (650, 1000, 650 + height, min(WIDTH, 1000 + width))
        with ziggurat.open(str(folder / "scene.jp2")) as image:
            held = image.read(0, window)
        shown = tab.pixels()[:, : held.shape[1], :3]
        apart = np.abs(shown.astype(int) - held)
        assert apart.mean() < JPEG_MEAN
        assert np.quantile(apart, 0.99) < JPEG_MOST
        # Not a pixel beside its place.
        assert all(apart.mean() < np.abs(np.roll(shown.astype(int), 1, axis) - held).mean() for axis in (0, 1))
        # Tiles of the finest level were asked for, and no others of that size.
        assert any(re.search(r"scene\.jp2/\d+,\d+,(\d+),(\d+)/\1,\2/", url) for url in tab.asked)


def test_a_link_restores_the_view(browser: Browser, viewed: Server) -> None:
    with browser.tab(f"{viewed.url}/image?id=scene.jp2") as tab:
        opened(tab)
        page = tab.page
        for key in ("+", "+", "r"):
            page.keyboard.press(key)
            tab.quiet()
        page.select_option("#f-colormap", "viridis")
        tab.until("location.hash.includes('colormap')")
        tab.quiet()
        before, address = tab.pixels(), page.url
        assert re.search(r"colormap=viridis.*r=90", address)
        page.goto("about:blank")
        page.goto(address)
        opened(tab)
        tab.shot("image-restored")
        apart = np.abs(tab.pixels()[:, :, :3].astype(int) - before[:, :, :3])
        assert apart.mean() < 0.5
        tab.expect("#f-colormap").to_have_value("viridis")


def test_samples_under_the_cursor_are_the_files(browser: Browser, viewed: Server, folder: Path) -> None:
    with browser.tab(f"{viewed.url}/image?id=scene.jp2") as tab:
        opened(tab)
        tab.page.mouse.move(500, 400)
        tab.until("/y \\d+ +\\d/.test(document.getElementById('readout').textContent)")
        x, y, *values = map(int, re.findall(r"\d+", tab.page.inner_text("#readout")))
        with ziggurat.open(str(folder / "scene.jp2")) as image:
            assert image.read(0, (y, x, y + 1, x + 1))[0, 0].tolist() == values
        tab.page.mouse.move(500, 790)
        tab.expect("#readout").to_be_hidden()
        tab.page.keyboard.press("v")
        tab.expect("#spoken").to_have_text(re.compile("^x "))


def test_the_place_on_the_sky_under_the_cursor_is_the_files(browser: Browser, tmp_path: Path) -> None:
    save(tmp_path / "sky.fits", (sky((600, 800)), tan(359.99, -0.02, (600, 800))))
    with serving(tmp_path, "--workers", 1) as server, browser.tab(f"{server.url}/image?id=sky.fits") as tab:
        opened(tab)
        tab.page.mouse.move(500, 400)
        tab.until("/RA .* Dec/.test(document.getElementById('readout').textContent)")
        told = tab.page.inner_text("#readout")
    found = re.search(r"x (\d+)\s+y (\d+).*RA ([\d:.]+)\s+Dec ([-+][\d:.]+)", told)
    assert found is not None, told
    with ziggurat.open(str(tmp_path / "sky.fits")) as image:
        place = image.place(int(found[2]), int(found[1]))
    shown = SkyCoord(found[3], found[4], unit=("hourangle", "deg"))
    assert place is not None
    assert shown.separation(SkyCoord(*place, unit="deg")).arcsec < 0.1


def test_pages_of_a_folder_are_turned_with_the_keyboard(browser: Browser, viewed: Server) -> None:
    with browser.tab(f"{viewed.url}/image?id=paper%201897%2Fpage%202.png") as tab:
        opened(tab)
        page = tab.page
        tab.expect("#position").to_have_text("2 / 12")
        tab.expect("#strip li a[aria-current]").to_have_count(1)
        tab.expect("#next[href]").to_be_visible()
        page.keyboard.press("ArrowRight")
        tab.expect("#name").to_have_text("page 3")
        page.keyboard.press("PageUp")
        tab.expect("#name").to_have_text("page 2")
        page.go_back()
        tab.expect("#name").to_have_text("page 3")
        opened(tab)
        tab.shot("pages")


def test_a_first_look_becomes_the_picture_by_itself(browser: Browser, viewed: Server) -> None:
    with browser.tab("about:blank") as tab:
        tab.url = viewed.url
        tab.asked.clear()
        looks, ready = 0, False

        def look(route: Any) -> None:
            nonlocal looks
            if ready:
                route.fallback()
                return
            looks += 1
            grey = imagecodecs.png_encode(np.full((375, 500, 3), 90, np.uint8))
            route.fulfill(
                body=grey, content_type="image/png", headers={"Ziggurat-Sketch": "1", "Cache-Control": "no-store"}
            )

        tab.page.route(re.compile(r"other\.png/full/.*jpg"), look)
        tab.page.route(re.compile(r"other\.png/[0-9,]*/.*jpg"), look)
        tab.page.goto(f"{viewed.url}/image?id=other.png")
        tab.expect("#note").to_be_visible()
        tab.shot("first-look")
        ready = True
        tab.expect("#note").to_be_hidden()
        tab.quiet()
        assert looks
        assert any("made=1" in url for url in tab.asked)
        shown = tab.pixels()
        assert np.ptp(shown[:, :, :3][shown[:, :, 3] == 255]) > 200


def both_drawn(tab: Tab) -> None:
    """Waits until two images that are compared are there and measured."""
    tab.expect(".modes output").to_contain_text("apart")
    tab.quiet()


def test_images_are_compared(browser: Browser, viewed: Server) -> None:
    with browser.tab(f"{viewed.url}/compare?left=twin.png&right=same.png") as tab:
        page = tab.page
        both_drawn(tab)
        left, right = (tab.pixels(f".side.{name} canvas") for name in ("left", "right"))
        assert np.array_equal(left, right)
        address = page.url
        page.keyboard.press("+")
        page.mouse.move(200, 500)
        page.mouse.wheel(0, -300)
        tab.until(f"location.href !== {address!r}")
        tab.quiet()
        further = [tab.pixels(f".side.{name} canvas") for name in ("left", "right")]
        assert np.array_equal(*further)
        assert not np.array_equal(left, further[0])
        tab.expect(".modes output").to_contain_text("apart by 0.00 on average")
        tab.shot("compare-side")
        # Another mode has other room: the images stay as large as they were, and at their place.
        seen = re.search(r"x=[^&]+&y=[^&]+", page.url)
        page.keyboard.press("w")
        tab.until("location.hash.includes('mode=swipe')")
        tab.quiet()
        assert seen is not None
        assert seen[0] in page.url
        page.focus(".divider")
        page.keyboard.press("PageDown")
        tab.expect(".divider").to_have_attribute("aria-valuenow", "40")
        tab.shot("compare-swipe")


def test_both_images_of_a_comparison_are_shown_otherwise(browser: Browser, viewed: Server) -> None:
    def sides(tab: Tab) -> list[NDArray[np.uint8]]:
        both_drawn(tab)
        return [tab.pixels(f".side.{name} canvas") for name in ("left", "right")]

    with browser.tab(f"{viewed.url}/compare?left=twin.png&right=same.png") as tab:
        page = tab.page
        tab.expect("#details").to_be_enabled()
        before = sides(tab)
        tab.expect("#panel").to_be_hidden()
        page.keyboard.press("c")
        page.check("[name=invert]")
        page.wait_for_url("**#invert=1&*")
        after = sides(tab)
        tab.shot("compare-display")
        assert np.array_equal(*after)
        seen = after[0][:, :, 3] == 255
        # The panel takes room: what was at the left edge is there still, in a smaller picture.
        assert abs(int(after[0][seen][:, 0].max()) + int(before[0][before[0][:, :, 3] == 255][:, 0].min()) - 255) < 2
        address = page.url
        page.goto("about:blank")
        page.goto(address)
        tab.expect("#details").to_be_enabled()
        tab.expect("#panel").to_be_visible()
        tab.expect("[name=invert]").to_be_checked()
        assert np.array_equal(sides(tab)[0], after[0])
        page.click("#display [type=reset]")
        tab.until("!location.hash.includes('invert')")
        assert sides(tab)[0].mean() != after[0].mean()


@pytest.mark.parametrize(("other", "black"), [("same.png", True), ("other.png", False)])
def test_the_difference_of_equal_images_is_black(browser: Browser, viewed: Server, other: str, black: bool) -> None:  # noqa: FBT001
    with browser.tab(f"{viewed.url}/compare?left=twin.png&right={other}#mode=difference") as tab:
        both_drawn(tab)
        tab.shot(f"compare-difference-{other[:-4]}")
        box = tab.page.locator(".pair").bounding_box()
        # Beside the buttons and names.
        clip = {"x": box["x"] + 200, "y": box["y"] + 80, "width": box["width"] - 400, "height": box["height"] - 200}
        seen = imagecodecs.png_decode(tab.page.screenshot(clip=clip))[:, :, :3]
        assert bool(seen.max() == 0) is black


def test_marked_images_are_compared(browser: Browser, viewed: Server) -> None:
    with browser.tab(f"{viewed.url}/") as tab:
        tab.page.wait_for_selector(".card img.there")
        for name in ("other", "same"):
            tab.page.hover(f"li:has(a[title='{name}.png'])")
            tab.page.click(f"[aria-label='Mark {name} for comparison']")
        tab.page.click("#marked a")
        tab.page.wait_for_url("**/compare?left=other.png&right=same.png*")
        both_drawn(tab)


def busy(session: Any) -> float:
    """Seconds of a processor that the page's own thread has used since its performance was asked for."""
    told = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(told["TaskDuration"])


def test_a_hundred_thousand_images_scroll_smoothly(browser: Browser, viewed: Server) -> None:
    picture = imagecodecs.png_encode(np.full((48, 64, 3), 120, np.uint8))

    def listing(route: Any) -> None:
        asked = dict(part.split("=") for part in route.request.url.partition("?")[2].split("&"))
        start = int(asked["offset"])
        unknown = {"folder": "", "width": None, "height": None, "state": None}
        items = [
            {"id": f"scan {number}.jp2", "ref": f"scan%20{number}.jp2", "name": f"scan {number}", **unknown}
            for number in range(start, min(MANY, start + int(asked["limit"])))
        ]
        route.fulfill(json={"total": MANY, "complete": True, "items": items})

    with browser.tab("about:blank") as tab:
        tab.url = viewed.url
        tab.asked.clear()
        page = tab.page
        page.route("**/api/items?*", listing)
        page.route("**/iiif/3/scan**", lambda route: route.fulfill(body=picture, content_type="image/png"))
        page.goto(f"{viewed.url}/")
        page.wait_for_selector(".card img.there")
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = busy(session)
        made, cells = page.evaluate(
            """async () => {
                const grid = document.getElementById("grid");
                let made = 0;
                let most = 0;
                const watch = (changes) => changes.forEach((change) => { made += change.addedNodes.length; });
                const observer = new MutationObserver(watch);
                observer.observe(grid.firstElementChild, { childList: true });
                for (let step = 0; step < 150; step += 1) {
                    grid.scrollTop += step < 75 ? 160 : 30000;
                    await new Promise(requestAnimationFrame);
                    most = Math.max(most, grid.querySelectorAll("li").length);
                }
                watch(observer.takeRecords());
                return [made, most];
            }"""
        )
        # What a frame costs the page itself, whatever else the machine does: the screen takes one in 17 ms.
        assert 0 < (busy(session) - before) / 150 < 0.04 * slowness()
        assert made < 75 * 200
        assert cells < 200
        page.evaluate("document.getElementById('grid').scrollTop = 1e9")
        page.wait_for_selector(f"a[title='scan {MANY - 1}.jp2'] img.there")
        tab.shot("collection-many")
        # What flew past was not fetched.
        assert sum("/iiif/3/scan" in url for url in tab.asked) < 600


PAIRS = [
    {"item": f"1897-05-{day}", "source_id": "scene.jp2", "output_id": "same.png", "verdict": None, "note": "",
     "fidelity": {"psnr": 41.2, "ssimulacra2": 88.1}}
    for day in (12, 13)
]  # fmt: skip

JOB = {
    "name": "newspapers", "state": "running", "counts": {"done": 612, "failed": 1, "pending": 387}, "total": 1000,
    "bytes_in": 8_120_000_000, "bytes_out": 1_315_000_000, "rate_per_second": 14.2, "eta_seconds": 27,
    "failures": [{"item": "1897-05-12", "source": "s3://archive/7.jp2", "reason": "CorruptImage: tile 14 is cut"}],
}  # fmt: skip


def with_job(tab: Tab, posted: list[tuple[str, Any]]) -> None:
    """Answers as a server of a job does."""
    site = {"title": "x", "version": "1", "download": True, "job": True, "colormaps": [], "stretches": []}

    def post(route: Any) -> None:
        posted.append((route.request.url.rpartition("/")[2], json.loads(route.request.post_data)))
        route.fulfill(status=204)

    tab.page.route("**/api/site", lambda route: route.fulfill(json=site))
    tab.page.route("**/api/job", lambda route: route.fulfill(json=JOB))
    tab.page.route("**/api/job/review", lambda route: route.fulfill(json={"pairs": PAIRS}))
    tab.page.route("**/api/job/review/*", post)


def test_a_job_is_watched(browser: Browser, viewed: Server) -> None:
    with browser.tab("about:blank") as tab:
        tab.url = viewed.url
        tab.asked.clear()
        with_job(tab, [])
        tab.page.goto(f"{viewed.url}/job")
        tab.expect("#failures tr").to_have_count(1)
        tab.expect("#meter").to_have_attribute("aria-valuenow", "612")
        tab.expect("#counts").to_contain_text("1 failed")
        tab.shot("job")


def test_samples_of_a_job_are_judged_with_the_keyboard(browser: Browser, viewed: Server) -> None:
    posted: list[tuple[str, Any]] = []
    with browser.tab("about:blank") as tab:
        tab.url = viewed.url
        tab.asked.clear()
        with_job(tab, posted)
        page = tab.page
        page.goto(f"{viewed.url}/review")
        tab.expect("#name").to_have_text("1897-05-12")
        tab.quiet()
        tab.shot("review")
        page.keyboard.press("t")
        page.keyboard.type("edges are soft")
        page.click("#reject")
        tab.expect("#name").to_have_text("1897-05-13")
        page.keyboard.press("a")
        tab.expect("#progress").to_have_text("2 of 2 judged, 1 rejected")
        tab.quiet()
    assert posted == [
        ("1897-05-12", {"verdict": "reject", "note": "edges are soft"}),
        ("1897-05-13", {"verdict": "accept", "note": ""}),
    ]


PAGES = ("", "image?id=scene.jp2", "compare?left=scene.jp2&right=other.png", "job", "review")


@pytest.mark.parametrize("path", PAGES)
def test_pages_fit_on_a_phone(browser: Browser, viewed: Server, path: str) -> None:
    with browser.tab(f"{viewed.url}/{path}", width=390, height=780, dark=True) as tab:
        tab.quiet()
        tab.shot(f"phone-{path.partition('?')[0] or 'collection'}")
        assert tab.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 21)"


@pytest.mark.parametrize("path", PAGES)
def test_everything_that_can_be_used_has_a_name(browser: Browser, viewed: Server, path: str) -> None:
    with browser.tab(f"{viewed.url}/{path}") as tab:
        tab.quiet()
        assert tab.nameless == []
        assert tab.page.locator("main").count() == 1
        assert tab.page.locator("header").count() == 1
        assert tab.page.title()


def test_pages_work_below_a_path_and_behind_a_token(browser: Browser, folder: Path) -> None:
    options = ("--workers", 1, "--root-path", "/images", "--auth", "token")
    with (
        serving(folder, *options, ZIGGURAT_SERVE_SECRET=TOKEN) as server,
        browser.tab(f"{server.url}/images/?token={TOKEN}") as tab,
    ):
        tab.page.wait_for_selector(".card img.there")
        assert TOKEN not in tab.page.url
        tab.page.goto(f"{server.url}/images/image?id=other.png")
        opened(tab)
        assert tab.pixels()[:, :, 3].max() == 255
        tab.quiet()


def test_an_image_that_is_not_there_is_said_so(browser: Browser, viewed: Server) -> None:
    # The browser itself notes each answer of 404.
    with browser.tab(f"{viewed.url}/image?id=none.png", excused="status of 404") as tab:
        tab.expect("#notice").to_contain_text("no image 'none.png'")
        tab.expect("#panel").to_be_hidden()
        tab.shot("image-missing")
