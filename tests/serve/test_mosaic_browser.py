"""A mosaic in a real browser: places under the cursor, the way to a place, the scale."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

import ziggurat
from browsing import Browser, Tab
from serving import Server, serving
from sky_files import SCALE, save, sky, stars, tan
from ziggurat.sky.footprints import Footprints

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SIZE = (600, 800)

PLACES = [(150 + SCALE * dx, 2 + SCALE * dy) for dx, dy in ((-300, 60), (120, 200), (400, -150), (-500, -220), (0, 0))]


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    folder = tmp_path_factory.mktemp("survey")
    for band, flux in (("g", 300.0), ("r", 600.0), ("i", 900.0)):
        for number in (0, 1):
            header = tan(150 + (number - 0.5) * 700 * SCALE, 2, SIZE, turn=2.0 * number, FILTER=band)
            pixels = sky(SIZE, seed=number) * 0.2 + stars(header, SIZE, PLACES, flux)
            save(folder / f"{band}{number}.fits", (pixels.astype(np.float32), header))
    path = folder / "survey.zgf"
    with Footprints(path) as footprints:
        footprints.update([str(folder)])
    with serving(path, "--workers", 1, ZIGGURAT_CACHE=str(folder / "cache")) as server:
        [item] = server.get("/api/items").json["items"]
        with ziggurat.open(f"sky:{path}") as image:
            assert image.info.bands == 3
        yield server, item["ref"]


def opened(tab: Tab) -> None:
    tab.page.wait_for_selector("#scale", state="visible")
    tab.page.wait_for_selector("#goto", state="visible")
    tab.page.wait_for_selector(".openseadragon-canvas canvas", state="attached")
    tab.page.wait_for_timeout(500)


def read_out(tab: Tab, x: float, y: float) -> tuple[SkyCoord, int, int]:
    tab.page.mouse.move(x - 3, y)
    tab.page.mouse.move(x, y)
    tab.until("/RA .* Dec/.test(document.getElementById('readout').textContent)")
    told = tab.page.inner_text("#readout")
    found = re.search(r"x (\d+)\s+y (\d+).*RA ([\d:.]+)\s+Dec ([-+][\d:.]+)", told)
    assert found is not None, told
    return SkyCoord(found[3], found[4], unit=("hourangle", "deg")), int(found[1]), int(found[2])


def test_a_place_is_gone_to_and_the_read_out_there_says_so(browser: Browser, survey: tuple[Server, str]) -> None:
    server, ref = survey
    with browser.tab(f"{server.url}/image?id={ref}", dark=True) as tab:
        opened(tab)
        assert tab.nameless == []
        tab.shot("mosaic")
        page = tab.page
        wanted = SkyCoord(*PLACES[1], unit="deg")
        for text in (f"{wanted.ra.deg:.6f} {wanted.dec.deg:.6f}", wanted.to_string("hmsdms", sep=":", precision=3)):
            page.keyboard.press("0")
            page.keyboard.press("g")
            page.fill("#sought", text)
            page.keyboard.press("Enter")
            page.wait_for_selector(".cross", state="attached")
            tab.until("location.hash.includes('w=')")
            page.wait_for_timeout(1000)
            box = page.locator("#canvas").bounding_box()
            shown, _, _ = read_out(tab, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            assert shown.separation(wanted).arcsec < 1
            # A star is there: the middle of what is drawn is brighter than all around.
            drawn = tab.pixels()[:, :, :3].sum(axis=2).astype(float)
            middle = drawn[drawn.shape[0] // 2 - 8 :, drawn.shape[1] // 2 - 8 :][:16, :16]
            assert middle.max() > 3 * max(30.0, float(np.median(drawn)))
        tab.shot("mosaic-place")
        link = page.url
    with browser.tab(link) as tab:
        opened(tab)
        box = tab.page.locator("#canvas").bounding_box()
        shown, _, _ = read_out(tab, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert shown.separation(wanted).arcsec < 2


def test_what_is_no_place_is_refused_with_a_word(browser: Browser, survey: tuple[Server, str]) -> None:
    server, ref = survey
    with browser.tab(f"{server.url}/image?id={ref}") as tab:
        opened(tab)
        for text, word in (("somewhere", "Right ascension"), ("10 91", "Right ascension"), ("10.68 41.27", "outside")):
            tab.page.fill("#sought", text)
            tab.page.keyboard.press("Enter")
            tab.until(f"document.getElementById('sought').validationMessage.includes('{word}')")


def test_the_read_out_is_astropys_and_the_scale_bar_is_true(browser: Browser, survey: tuple[Server, str]) -> None:
    server, ref = survey
    told = server.get(f"/api/image/{ref}").json["details"]["wcs"]
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cd = told["ctype"], told["crval"], told["crpix"], told["cd"]
    with browser.tab(f"{server.url}/image?id={ref}") as tab:
        opened(tab)
        places = []
        for x, y in ((400, 350), (700, 500)):
            shown, column, row = read_out(tab, x, y)
            assert shown.separation(SkyCoord(*wcs.all_pix2world(column, row, 0), unit="deg")).arcsec < 1
            places.append((x, y, shown))
        bar = tab.page.locator("#scalebar").bounding_box()["width"]
        text = tab.page.inner_text("#scaletext")
        units = {"\u2033": 1, "\u2032": 60, "\u00b0": 3600}
        (x0, y0, one), (x1, y1, other) = places
        arcsec = float(text[:-1]) * units[text[-1]]
        across = one.separation(other).arcsec / np.hypot(x1 - x0, y1 - y0)
        # Within a pixel of the image at either end.
        assert bar * across == pytest.approx(arcsec, rel=0.03)
        north = tab.page.get_attribute("#compass", "aria-label")
        assert north == "north is 0 degrees from up, east is 270 degrees from up"
        tab.page.keyboard.press("r")
        tab.until("document.getElementById('compass').getAttribute('aria-label').startsWith('north is 90')")


def test_bands_are_chosen_by_their_names(browser: Browser, survey: tuple[Server, str]) -> None:
    server, ref = survey
    with browser.tab(f"{server.url}/image?id={ref}", width=400, height=800) as tab:
        opened(tab)
        tab.shot("mosaic-phone")
        tab.page.click("#details")
        assert tab.page.locator("#f-bands option").all_inner_texts() == [
            "All, as colours", "Band g", "Band r", "Band i", "Red, green, blue…",
        ]  # fmt: skip
        tab.page.select_option("#f-bands", "2")
        tab.until("location.hash.includes('bands=2')")
