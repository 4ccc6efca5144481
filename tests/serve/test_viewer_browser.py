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
from browsing import Browser, Tab
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


def settle(tab: Tab, milliseconds: int = 700) -> None:
    """Waits until all requests are answered and nothing moves any more."""
    tab.page.wait_for_load_state("networkidle")
    tab.page.wait_for_timeout(milliseconds)


def opened(tab: Tab) -> None:
    """Waits until an image is there with all that is told of it."""
    tab.page.wait_for_selector("#facts dd", state="attached")
    settle(tab)


def test_a_collection_is_seen_searched_and_opened(browser: Browser, viewed: Server) -> None:
    with browser.tab(f"{viewed.url}/") as tab:
        page = tab.page
        page.wait_for_selector(".card img.there")
        settle(tab)
        tab.shot("collection")
        assert page.inner_text("#count") == "16 images"
        assert page.locator(".card img.there").count() == 16
        page.keyboard.press("/")
        page.keyboard.type("PAPER 2.png")
        tab.until("document.getElementById('count').textContent === '2 images'")
        tab.until("location.search.includes('q=PAPER')")
        page.keyboard.press("Enter")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.title") == "paper 1897/page 12.png"
        page.keyboard.press("Enter")
        page.wait_for_url("**/image?id=*")
        opened(tab)
        assert page.inner_text("#name") == "page 12"
        page.keyboard.press("Escape")
        page.wait_for_url("**/?q=PAPER*")


def test_folders_are_opened(browser: Browser, viewed: Server) -> None:
    with browser.tab(f"{viewed.url}/") as tab:
        tab.page.click("#below a")
        tab.until("document.getElementById('count').textContent === '12 images'")
        assert "under=paper" in tab.page.url
        tab.page.go_back()
        tab.until("document.getElementById('count').textContent === '16 images'")


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
            page.wait_for_timeout(600)
        page.select_option("#f-colormap", "viridis")
        settle(tab, 1500)
        before, address = tab.pixels(), page.url
        assert "r=90" in address
        assert "colormap=viridis" in address
        page.goto("about:blank")
        page.goto(address)
        opened(tab)
        settle(tab, 1500)
        tab.shot("image-restored")
        apart = np.abs(tab.pixels()[:, :, :3].astype(int) - before[:, :, :3])
        assert apart.mean() < 0.5
        assert page.input_value("#f-colormap") == "viridis"


def test_samples_under_the_cursor_are_the_files(browser: Browser, viewed: Server, folder: Path) -> None:
    with browser.tab(f"{viewed.url}/image?id=scene.jp2") as tab:
        opened(tab)
        tab.page.mouse.move(500, 400)
        tab.until("/y \\d+ +\\d/.test(document.getElementById('readout').textContent)")
        x, y, *values = map(int, re.findall(r"\d+", tab.page.inner_text("#readout")))
        with ziggurat.open(str(folder / "scene.jp2")) as image:
            assert image.read(0, (y, x, y + 1, x + 1))[0, 0].tolist() == values
        tab.page.mouse.move(500, 790)
        tab.page.wait_for_selector("#readout", state="hidden")
        tab.page.keyboard.press("v")
        tab.until("document.getElementById('spoken').textContent.startsWith('x ')")


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
        assert page.inner_text("#position") == "2 / 12"
        assert page.locator("#strip li a[aria-current]").count() == 1
        page.wait_for_selector("#next[href]")
        page.keyboard.press("ArrowRight")
        tab.until("document.getElementById('name').textContent === 'page 3'")
        page.keyboard.press("PageUp")
        tab.until("document.getElementById('name').textContent === 'page 2'")
        page.go_back()
        tab.until("document.getElementById('name').textContent === 'page 3'")
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
        tab.page.wait_for_selector("#note:not([hidden])")
        tab.shot("first-look")
        ready = True
        tab.page.wait_for_selector("#note", state="hidden")
        settle(tab, 1500)
        assert looks
        assert any("made=1" in url for url in tab.asked)
        shown = tab.pixels()
        assert np.ptp(shown[:, :, :3][shown[:, :, 3] == 255]) > 200


def test_images_are_compared(browser: Browser, viewed: Server) -> None:
    with browser.tab(f"{viewed.url}/compare?left=twin.png&right=same.png") as tab:
        page = tab.page
        settle(tab, 1500)
        left, right = (tab.pixels(f".side.{name} canvas") for name in ("left", "right"))
        assert np.array_equal(left, right)
        page.keyboard.press("+")
        page.mouse.move(200, 500)
        page.mouse.wheel(0, -300)
        settle(tab, 1500)
        further = [tab.pixels(f".side.{name} canvas") for name in ("left", "right")]
        assert np.array_equal(*further)
        assert not np.array_equal(left, further[0])
        assert "apart by 0.00 on average" in page.inner_text(".modes output")
        tab.shot("compare-side")
        # Another mode has other room: the images stay as large as they were, and at their place.
        seen = re.search(r"x=[^&]+&y=[^&]+", page.url)
        page.keyboard.press("w")
        settle(tab, 1000)
        assert seen is not None
        assert seen[0] in page.url
        page.focus(".divider")
        page.keyboard.press("PageDown")
        assert page.get_attribute(".divider", "aria-valuenow") == "40"
        tab.shot("compare-swipe")


def test_both_images_of_a_comparison_are_shown_otherwise(browser: Browser, viewed: Server) -> None:
    def sides(tab: Tab) -> list[NDArray[np.uint8]]:
        settle(tab, 1200)
        return [tab.pixels(f".side.{name} canvas") for name in ("left", "right")]

    with browser.tab(f"{viewed.url}/compare?left=twin.png&right=same.png") as tab:
        page = tab.page
        page.wait_for_selector("#details:enabled")
        before = sides(tab)
        assert not page.is_visible("#panel")
        page.keyboard.press("c")
        page.check("[name=invert]")
        page.wait_for_url("**#invert=1&*")
        tab.until("document.querySelector('.modes output').textContent.includes('apart')")
        after = sides(tab)
        tab.shot("compare-display")
        assert np.array_equal(*after)
        seen = after[0][:, :, 3] == 255
        # The panel takes room: what was at the left edge is there still, in a smaller picture.
        assert abs(int(after[0][seen][:, 0].max()) + int(before[0][before[0][:, :, 3] == 255][:, 0].min()) - 255) < 2
        address = page.url
        page.goto("about:blank")
        page.goto(address)
        page.wait_for_selector("#details:enabled")
        assert page.is_visible("#panel")
        assert page.is_checked("[name=invert]")
        assert np.array_equal(sides(tab)[0], after[0])
        page.click("#display [type=reset]")
        tab.until("!location.hash.includes('invert')")
        assert sides(tab)[0].mean() != after[0].mean()


@pytest.mark.parametrize(("other", "black"), [("same.png", True), ("other.png", False)])
def test_the_difference_of_equal_images_is_black(browser: Browser, viewed: Server, other: str, black: bool) -> None:  # noqa: FBT001
    with browser.tab(f"{viewed.url}/compare?left=twin.png&right={other}#mode=difference") as tab:
        settle(tab, 1500)
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
        settle(tab, 1500)


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
        frames, cells = page.evaluate(
            """async () => {
                const grid = document.getElementById("grid");
                const times = [];
                let most = 0;
                for (let step = 0, last = performance.now(); step < 150; step += 1) {
                    grid.scrollTop += step < 75 ? 160 : 30000;
                    await new Promise(requestAnimationFrame);
                    times.push(performance.now() - last);
                    last = performance.now();
                    most = Math.max(most, grid.querySelectorAll("li").length);
                }
                return [times.sort((a, b) => a - b), most];
            }"""
        )
        # Half of the frames come as fast as the screen takes them, also on a busy machine.
        assert frames[len(frames) // 2] < 40
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
        tab.page.wait_for_selector("#failures tr")
        assert tab.page.get_attribute("#meter", "aria-valuenow") == "612"
        assert "1 failed" in tab.page.inner_text("#counts")
        tab.shot("job")


def test_samples_of_a_job_are_judged_with_the_keyboard(browser: Browser, viewed: Server) -> None:
    posted: list[tuple[str, Any]] = []
    with browser.tab("about:blank") as tab:
        tab.url = viewed.url
        tab.asked.clear()
        with_job(tab, posted)
        page = tab.page
        page.goto(f"{viewed.url}/review")
        tab.until("document.getElementById('name').textContent === '1897-05-12'")
        settle(tab, 1000)
        tab.shot("review")
        page.keyboard.press("t")
        page.keyboard.type("edges are soft")
        page.click("#reject")
        tab.until("document.getElementById('name').textContent === '1897-05-13'")
        page.keyboard.press("a")
        tab.until("document.getElementById('progress').textContent === '2 of 2 judged, 1 rejected'")
        settle(tab)
    assert posted == [
        ("1897-05-12", {"verdict": "reject", "note": "edges are soft"}),
        ("1897-05-13", {"verdict": "accept", "note": ""}),
    ]


PAGES = ("", "image?id=scene.jp2", "compare?left=scene.jp2&right=other.png", "job", "review")


@pytest.mark.parametrize("path", PAGES)
def test_pages_fit_on_a_phone(browser: Browser, viewed: Server, path: str) -> None:
    with browser.tab(f"{viewed.url}/{path}", width=390, height=780, dark=True) as tab:
        settle(tab)
        tab.shot(f"phone-{path.partition('?')[0] or 'collection'}")
        assert tab.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 21)"


@pytest.mark.parametrize("path", PAGES)
def test_everything_that_can_be_used_has_a_name(browser: Browser, viewed: Server, path: str) -> None:
    with browser.tab(f"{viewed.url}/{path}") as tab:
        settle(tab)
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
        settle(tab)


def test_an_image_that_is_not_there_is_said_so(browser: Browser, viewed: Server) -> None:
    with browser.tab(f"{viewed.url}/image?id=none.png") as tab:
        tab.page.wait_for_selector("#notice:not([hidden])")
        assert "no image 'none.png'" in tab.page.inner_text("#notice")
        assert not tab.page.is_visible("#panel")
        tab.shot("image-missing")
        # The browser itself notes each answer of 404.
        tab.said.clear()
