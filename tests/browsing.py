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

LONG = 20_000
"""Milliseconds that a page may take for anything: test machines are busy."""


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
    def tab(self, url: str, *, width: int = 1280, height: int = 800, dark: bool = False) -> Iterator["Tab"]:
        """A page of its own at an address; at its end nothing may have been complained of or fetched elsewhere."""
        scheme = "dark" if dark else "light"
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=width < 600
        )
        page = context.new_page()
        page.set_default_timeout(LONG)
        tab = Tab(page, url, self.shots)
        page.on("console", lambda said: tab.said.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: tab.said.append(f"error: {error}"))
        page.on("request", lambda request: tab.asked.append(request.url))
        try:
            page.goto(url)
            yield tab
            complaints = [line for line in tab.said if not line.startswith(("log:", "info:", "debug:"))]
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
        while not self.page.evaluate(f"() => Boolean({condition})"):
            assert time.monotonic() < end, f"{condition} did not come true; the page says {self.said}"
            self.page.wait_for_timeout(50)

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


@contextmanager
def browsing(shots: Path) -> Iterator[Browser]:
    """A headless browser; screenshots go into a folder, or where ZIGGURAT_SCREENSHOTS says."""
    path = chromium()
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - the package may be missing

    folder = Path(os.environ.get("ZIGGURAT_SCREENSHOTS") or shots)
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # Containers have no user namespaces for Chromium's own sandbox; the pages come from this test alone.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield Browser(browser, folder)
        finally:
            browser.close()
