"""Zarrs wherever they lie, and all that works on images works on them."""

import functools
import http.server
import re
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import imagecodecs
import numpy as np
import pytest

import ziggurat
from jobs import rows
from jobs import ziggurat as command
from s3_server import S3Server
from serving import serving
from zarr_files import as_read, noise, pyramid, write_ome, zipped
from ziggurat.errors import SourceNotFound
from ziggurat.storage.listing import list_sources
from ziggurat.storage.resolve import open_source

PIXELS = noise((3, 300, 200), "uint8")
RGB = np.ascontiguousarray(as_read(PIXELS, "cyx"))
SUFFIXES = (".zarr", ".ozx", ".png")


def keys(place: str | Path) -> list[str]:
    return [item.key for item in list_sources(str(place), SUFFIXES)]


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture, a Zarr of each version and a zipped one."""
    folder = tmp_path_factory.mktemp("places") / "scans"
    levels = pyramid(PIXELS, "cyx", 2)
    write_ome(folder / "a" / "new.ome.zarr", levels, "cyx", chunks=(1, 64, 64), shards=(3, 128, 128))
    write_ome(
        folder / "old.zarr",
        levels,
        "cyx",
        version="0.4",
        chunks=(1, 64, 64),
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )
    (folder / "zipped.ozx").write_bytes(zipped(folder / "a" / "new.ome.zarr"))
    (folder / "a" / "z.png").write_bytes(imagecodecs.png_encode(RGB))
    return folder


EXPECTED = ["a/new.ome.zarr", "a/z.png", "old.zarr", "zipped.ozx"]


def test_a_folder_lists_each_zarr_as_one_image(scans: Path) -> None:
    listing = list_sources(str(scans), SUFFIXES)
    found = list(listing)
    assert [item.key for item in found] == EXPECTED
    assert listing.skipped == []
    for item in found:
        version = open_source(item.url).version
        assert (version.size, version.tag) == (item.size, item.tag)
    assert keys(scans / "old.zarr") == ["old.zarr"]
    assert keys(scans / "*.zarr") == ["old.zarr"]
    assert keys(scans / "**" / "*.zarr") == ["a/new.ome.zarr", "old.zarr"]


def test_a_folder_that_is_only_called_zarr_is_walked_through(tmp_path: Path) -> None:
    (tmp_path / "photos.zarr").mkdir()
    (tmp_path / "photos.zarr" / "a.png").touch()
    assert keys(tmp_path) == ["photos.zarr/a.png"]


class Handler(http.server.SimpleHTTPRequestHandler):
    """A web server of files that answers byte ranges."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, end = (int(span[1]), min(int(span[2]) + 1, len(data))) if span else (0, len(data))
        self.send_response(206 if span else 200)
        self.send_header("Content-Length", str(end - start))
        self.send_header("ETag", f'"{len(data)}-{path.stat().st_mtime_ns}"')
        if span:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(data[start:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(scans: Path) -> Iterator[str]:
    handler = functools.partial(Handler, directory=str(scans))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Handler.asked.clear()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("path", ["old.zarr", "a/new.ome.zarr/", "a/new.ome.zarr/zarr.json", "zipped.ozx"])
def test_a_zarr_on_a_web_server_is_read_chunk_by_chunk(web: str, path: str) -> None:
    with ziggurat.open(f"{web}/{path}") as image:
        Handler.asked.clear()
        np.testing.assert_array_equal(image.read(0, (70, 10, 120, 60)), RGB[70:120, 10:60])
        chunks = {name for name in Handler.asked if re.search(r"\d$", name)}
        expected = {"old.zarr": {f"/old.zarr/0/{band}/1/0" for band in range(3)}, "zipped.ozx": set()}
        assert chunks == expected.get(path, {"/a/new.ome.zarr/0/c/0/0/0"})
        np.testing.assert_array_equal(image.read(1), RGB[::2, ::2])
    with pytest.raises(SourceNotFound):
        ziggurat.open(f"{web}/none.zarr")


def test_a_folder_with_zarrs_is_converted(scans: Path, tmp_path: Path) -> None:
    arguments = ("convert", scans, tmp_path / "out", "--to", "ptiff", "--compression", "zstd", "--workers", 1)
    assert command(*arguments).code == 0
    told = rows(tmp_path / "out.zgj")
    assert {name: row["state"] for name, row in told.items()} == {
        "new.ome.zarr": "done", "old.zarr": "done", "z.png": "done", "zipped.ozx": "done"
    }  # fmt: skip
    assert "have changed" not in command(*arguments).said
    for name in ("a/new.ome.tif", "old.tif", "zipped.tif"):
        with ziggurat.open(str(tmp_path / "out" / name)) as image:
            np.testing.assert_array_equal(image.read(), RGB)


def test_a_folder_with_zarrs_is_served(scans: Path, tmp_path: Path) -> None:
    with serving(scans, "--workers", 1, ZIGGURAT_CACHE=str(tmp_path)) as server:
        assert {entry["id"] for entry in server.get("/api/items").json["items"]} == set(EXPECTED)
        for name in ("a%2Fnew.ome.zarr", "old.zarr", "zipped.ozx"):
            told = server.get(f"/iiif/3/{name}/info.json").json
            assert (told["height"], told["width"]) == (300, 200)
            answer = server.get(f"/iiif/3/{name}/10,20,50,60/max/0/gray.png")
            assert answer.status == 200, answer.body
        assert server.get("/iiif/3/old.zarr%2F1/info.json").json["width"] == 100
        assert server.get("/iiif/3/a/info.json").status == 404
        assert server.get("/download/old.zarr").status == 404
        assert server.get("/download/zipped.ozx").body == (scans / "zipped.ozx").read_bytes()
    with serving(scans / "old.zarr", "--workers", 1, ZIGGURAT_CACHE=str(tmp_path)) as server:
        assert server.get("/iiif/3/old.zarr/full/100,/0/default.png").size == (150, 100)


def test_a_zarr_is_refused_by_a_pack_with_a_way_out(scans: Path, tmp_path: Path) -> None:
    result = command("pack", scans, tmp_path / "a.zpk")
    assert "zip it" in result.err + result.out
    assert "2 files were left out" in result.err
    assert "2 images" in result.out


@pytest.mark.parametrize("path", ["a/new.ome.zarr", "old.zarr/"])
@pytest.mark.s3
@pytest.mark.xdist_group("s3")
def test_a_zarr_in_a_store_is_listed_and_read(
    s3: S3Server, scans: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    bucket = s3.make_bucket(f"zarr-{uuid.uuid4().hex[:10]}")
    for file in scans.rglob("*"):
        if file.is_file():
            key = f"scans/{file.relative_to(scans).as_posix()}"
            s3.client.put_object(Bucket=bucket, Key=key, Body=file.read_bytes())
    assert sorted(keys(f"s3://{bucket}/scans/")) == EXPECTED
    assert keys(f"s3://{bucket}/scans/old.zarr") == ["old.zarr"]
    with ziggurat.open(f"s3://{bucket}/scans/{path}") as image:
        np.testing.assert_array_equal(image.read(0, (70, 10, 200, 160)), RGB[70:200, 10:160])
