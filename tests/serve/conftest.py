"""One server for the tests of a module that need no other, and the browser of those that need one."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from browsing import Browser, browsing
from jobs import write_image
from serving import Server, serving


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small images that need nothing from outside the repository."""
    folder = tmp_path_factory.mktemp("collection")
    (folder / "a b").mkdir()
    ramp = np.zeros((600, 900, 3), np.uint8)
    ramp[:, :, 0] = np.linspace(0, 255, 900)[None, :]
    ramp[:, :, 1] = np.linspace(0, 255, 600)[:, None]
    ramp[:, :, 2] = 90
    write_image(folder / "ramp.png", ramp)
    write_image(folder / "a b" / "c.png", ramp[:64, :96])
    shutil.copy(folder / "a b" / "c.png", folder / "größe ü.png")
    shutil.copy(folder / "a b" / "c.png", folder / "50%2Foff.png")
    (folder / "secret.txt").write_text("not an image", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def server(collection: Path) -> Iterator[Server]:
    with serving(collection, "--workers", "2") as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("screenshots")) as running:
        yield running
