"""Packs as places: their images are served out of the one file."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from jobs import write_image
from serving import serving
from ziggurat.errors import UsageError
from ziggurat.pack.gather import gather
from ziggurat.pack.packing import Choices, pack_images
from ziggurat.pack.writer import PackWriter
from ziggurat.serve.catalogue import open_catalogue
from ziggurat.serve.settings import SERVE_NETWORK


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "a b").mkdir(parents=True)
    ramp = np.zeros((300, 500, 3), np.uint8)
    ramp[:, :, 0] = np.linspace(0, 255, 500)
    write_image(folder / "a b" / "ü!1.png", ramp)
    write_image(folder / "b.png", np.ascontiguousarray(ramp[:, ::-1]))
    return folder


def test_images_of_a_pack_and_of_any_database_are_served(images: Path, tmp_path: Path) -> None:
    path = tmp_path / "all!.zpk"
    with PackWriter(path) as writer:
        assert pack_images(writer, gather(str(images)).images, Choices(processes=0)).packed == 2
    old = tmp_path / "old.db"
    with sqlite3.connect(old) as db:
        db.execute("CREATE TABLE Images(ObjId INT, img BLOB)")
        db.execute("INSERT INTO Images VALUES (7, ?)", ((images / "b.png").read_bytes(),))
    db.close()
    with serving(path, "--workers", 1) as server:
        assert server.get("/api/site").json["title"] == "all!"
        listed = server.get("/api/items").json
        assert [item["id"] for item in listed["items"]] == ["a b/ü!1.png", "b.png"]
        whole = server.get("/iiif/3/a%20b%2F%C3%BC%211.png/full/max/0/default.png")
        assert (whole.status, whole.size) == (200, (300, 500))
        assert np.array_equal(whole.pixels[:, :, 0][0], np.linspace(0, 255, 500).astype(np.uint8))
        assert server.get("/download/b.png").body == (images / "b.png").read_bytes()
        assert server.get("/iiif/3/c.png/info.json").status == 404
        assert server.get("/presentation/3/a%20b/manifest.json").status == 200
    with serving(f"pack:{old}?table=Images&key=ObjId&blob=img", path, "--workers", 1) as server:
        assert server.get("/iiif/3/old%2F7/full/max/0/default.png").size == (300, 500)
        assert server.get("/api/items").json["total"] == 3


def test_one_image_of_a_pack_is_no_place() -> None:
    with pytest.raises(UsageError, match="serve the pack: pack:a"):
        open_catalogue(("pack:a.zpk!key",), SERVE_NETWORK)
