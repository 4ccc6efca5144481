"""A real browser for tests: this machine's Chromium, which says what it complains of and what it asks for."""

import base64
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray

from ziggurat.serve.routes.viewer import DRAWING, FOLDER

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

LONG = 60_000
"""Milliseconds that a page may take for anything: test machines are busy."""

LATENCY = 20
"""Milliseconds that each request waits longer, for each time that the browser is to be slower."""

STILL = """async () => {
    await new Promise((done) => setTimeout(done, 250));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    let sum = 0;
    for (const canvas of document.querySelectorAll("canvas")) {
        if (!canvas.width || !canvas.height) continue;
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
        copy.drawImage(canvas, 0, 0);
        const data = new Uint32Array(copy.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
        for (let at = 0; at < data.length; at += 1) sum = (Math.imul(sum, 31) + data[at]) | 0;
    }
    return [location.href, sum];
}"""
"""Where a page is and what its canvases show, a quarter of a second later by its own clock."""


def slowness() -> float:
    """How many times slower pages are made than they are, by ZIGGURAT_SLOW_BROWSER: to find what waits too little."""
    return float(os.environ.get("ZIGGURAT_SLOW_BROWSER", "1"))


def chromium() -> str:
    """The browser; skips the test where there is none, or nothing to show in it."""
    pytest.importorskip("playwright", reason="Playwright's Python package drives the browser: pip install playwright")
    named = os.environ.get("ZIGGURAT_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is here: install it, or name it in ZIGGURAT_CHROMIUM")
    if not (FOLDER / DRAWING).is_file():
        pytest.skip("the package was built without OpenSeadragon: build it where npm's registry can be reached")
    return found


@dataclass
class Browser:
    """A browser, and the folder of its screenshots."""

    browser: Any
    shots: Path

    @contextmanager
    def tab(
        self, url: str, *, width: int = 1280, height: int = 800, dark: bool = False, excused: str = ""
    ) -> Iterator["Tab"]:
        """A page of its own at an address; at its end nothing may have been complained of or fetched elsewhere.

        Args:
            excused: what is in the complaints that the page may give cause for.
        """
        scheme = "dark" if dark else "light"
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=width < 600
        )
        page = context.new_page()
        page.set_default_timeout(LONG)
        tab = Tab(page, url, self.shots)
        page.on("console", lambda said: tab.said.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: tab.said.append(f"error: {error}"))
        page.on("request", tab.on_request)
        page.on("requestfinished", tab.on_end)
        page.on("requestfailed", tab.on_end)
        if slowness() > 1:
            slow_down(context.new_cdp_session(page))
        try:
            page.goto(url)
            yield tab
            complaints = [line for line in tab.said if not line.startswith(("log:", "info:", "debug:"))]
            complaints = [line for line in complaints if not (excused and excused in line)]
            assert not complaints, complaints
            assert tab.strangers == []
        finally:
            context.close()


@dataclass
class Tab:
    """One page of a browser."""

    page: Any
    url: str
    shots: Path
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    open: set[Any] = field(default_factory=set)
    """Requests that are not answered yet."""
    stumbled: str = ""
    """Why the page could not be looked at, the last time that it could not."""

    def on_request(self, request: Any) -> None:
        """Notes a request. What a page asked for ends with the page, not always with a word."""
        if request.is_navigation_request():
            self.open.clear()
        self.asked.append(request.url)
        self.open.add(request)

    def on_end(self, request: Any) -> None:
        """Notes that a request is answered, or never will be."""
        self.open.discard(request)

    @property
    def strangers(self) -> list[str]:
        """Addresses outside of the server that were asked for."""
        home = urlsplit(self.url).netloc
        outside = (url for url in self.asked if urlsplit(url).scheme not in {"data", "blob"})
        return [url for url in outside if urlsplit(url).netloc != home]

    @property
    def nameless(self) -> list[str]:
        """What can be used and has no name for those who do not see it."""
        found: list[str] = self.page.evaluate(
            """() => {
                const used = "button, a[href], input, select, textarea, [role=slider], [tabindex='0']";
                const named = (one) => one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length
                    || one.getAttribute("aria-labelledby") || one.querySelector("img[alt]:not([alt=''])");
                return [...document.querySelectorAll(used)]
                    .filter((one) => one.checkVisibility() && !named(one))
                    .map((one) => one.outerHTML.slice(0, 120));
            }"""
        )
        return found

    def until(self, condition: str) -> None:
        """Waits for a condition in JavaScript. Playwright's own way needs eval, which the pages forbid."""
        end = time.monotonic() + LONG / 1000
        while not self.look(f"() => Boolean({condition})"):
            assert time.monotonic() < end, f"{condition} did not come true: {self.stumbled} {self.said}"
            self.page.wait_for_timeout(50)

    def expect(self, selector: str) -> Any:
        """Playwright's assertions of what a selector finds: they wait until they hold.

        What a page fills in by and by is asked for in no other way: it may not be there yet.
        """
        from playwright.sync_api import expect  # noqa: PLC0415 - the package may be missing

        return expect(self.page.locator(selector))

    def quiet(self) -> None:
        """Waits until nothing is asked for, the address stays and what is drawn moves no more, for half a second."""
        end = time.monotonic() + LONG / 1000
        seen: list[object] = []
        while len(seen) < 3 or seen[-1] != seen[-2] or seen[-2] != seen[-3] or self.open:
            assert time.monotonic() < end, f"{self.page.url} does not come to rest: {[one.url for one in self.open]}"
            seen.append((self.look(STILL), len(self.asked), len(self.open)))

    def look(self, script: str) -> Any:
        """The value of a function in JavaScript; None where the page was left meanwhile or lacks an element yet."""
        from playwright.sync_api import Error  # noqa: PLC0415 - the package may be missing

        try:
            return self.page.evaluate(script)
        except Error as error:
            self.stumbled = str(error)
            return None

    def shot(self, name: str) -> None:
        """Keeps a picture of the page."""
        self.page.screenshot(path=self.shots / f"{name}.png")

    def pixels(self, selector: str = "#canvas canvas") -> NDArray[np.uint8]:
        """What a canvas holds: (y, x, red green blue alpha)."""
        said = self.page.evaluate(
            """(selector) => {
                const canvas = document.querySelector(selector);
                const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
                copy.drawImage(canvas, 0, 0);
                const data = copy.getImageData(0, 0, canvas.width, canvas.height).data;
                let text = "";
                for (let at = 0; at < data.length; at += 32768)
                    text += String.fromCharCode(...data.subarray(at, at + 32768));
                return [canvas.height, canvas.width, btoa(text)];
            }""",
            selector,
        )
        flat = np.frombuffer(base64.b64decode(said[2]), np.uint8)
        return flat.reshape(said[0], said[1], 4)


def slow_down(session: Any) -> None:
    """Slows a page down as ZIGGURAT_SLOW_BROWSER says, through the browser's own tools."""
    session.send("Emulation.setCPUThrottlingRate", {"rate": slowness()})
    session.send("Network.enable")
    network = {"offline": False, "downloadThroughput": -1, "uploadThroughput": -1}
    session.send("Network.emulateNetworkConditions", network | {"latency": LATENCY * slowness()})


@contextmanager
def browsing(shots: Path) -> Iterator[Browser]:
    """A headless browser; screenshots go into a folder, or where ZIGGURAT_SCREENSHOTS says."""
    path = chromium()
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415 - the package may be missing

    expect.set_options(timeout=LONG)
    folder = Path(os.environ.get("ZIGGURAT_SCREENSHOTS") or shots)
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # Containers have no user namespaces for Chromium's own sandbox; the pages come from this test alone.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield Browser(browser, folder)
        finally:
            browser.close()
