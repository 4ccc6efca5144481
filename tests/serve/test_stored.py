"""Tiles that a file holds as JPEG go out as they are."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

import ziggurat
from jobs import picture
from serving import Server, serving
from ziggurat.geometry import Window

TILE = 256
PIXELS = picture(3 * TILE + 20, 4 * TILE)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path_factory.mktemp("stored")
    options = {"tile": (TILE, TILE), "compression": "jpeg", "photometric": "ycbcr", "compressionargs": {"level": 97}}
    with tifffile.TiffWriter(folder / "slide.tif") as file:
        file.write(PIXELS, subifds=1, **options)
        file.write(PIXELS[::2, ::2], subfiletype=1, **options)
    tifffile.imwrite(folder / "turned.tif", PIXELS[: 2 * TILE], **options, extratags=[(274, "H", 1, 6, True)])
    with serving(folder, "--workers", 1) as server:
        yield server, folder / "slide.tif"


@pytest.mark.parametrize(
    ("url", "level", "place"),
    [
        ("/iiif/3/slide.tif/256,512,256,256/256,256/0/default.jpg", 0, (2, 1)),
        ("/iiif/2/slide.tif/0,0,256,256/256,/0/color.jpg", 0, (0, 0)),
        ("/iiif/3/slide.tif/512,0,512,512/256,256/0/default.jpg", 1, (0, 1)),
        ("/xyz/slide.tif/2/3/1.jpg", 0, (1, 3)),
        ("/xyz/slide.tif/1/1/0.jpg", 1, (0, 1)),
    ],
)
def test_a_request_for_a_tile_gets_the_files_own(
    stored: tuple[Server, Path], url: str, level: int, place: tuple[int, int]
) -> None:
    server, path = stored
    answer = server.get(url)
    y, x = place[0] * TILE, place[1] * TILE
    window = Window(y, x, y + TILE, x + TILE)
    with ziggurat.open(str(path)) as image:
        assert answer.body == image.stored_jpeg(level, window)
        assert np.array_equal(answer.pixels, image.read(level, window))
    assert server.get(url).body == answer.body
    assert server.get(url, If_None_Match=answer.headers["ETag"]).status == 304


@pytest.mark.parametrize(
    "url",
    [
        "/iiif/3/slide.tif/0,0,256,256/256,256/0/gray.jpg",
        "/iiif/3/slide.tif/0,0,256,256/256,256/!0/default.jpg",
        "/iiif/3/slide.tif/0,0,256,256/256,256/90/default.jpg",
        "/iiif/3/slide.tif/0,0,256,256/255,255/0/default.jpg",
        "/iiif/3/slide.tif/1,0,256,256/256,256/0/default.jpg",
        "/iiif/3/slide.tif/0,0,256,256/256,256/0/default.jpg?invert=1",
        "/iiif/3/slide.tif/0,0,256,256/256,256/0/default.jpg?bands=2,1,0",
        "/xyz/slide.tif/2/0/3.jpg",
        "/xyz/turned.tif/2/0/0.jpg",
        "/deepzoom/slide.tif_files/10/0_0.jpg",
    ],
)
def test_anything_else_is_made(stored: tuple[Server, Path], url: str) -> None:
    server, path = stored
    answer = server.get(url)
    assert answer.status == 200, answer.body
    with ziggurat.open(str(path)) as image:
        assert answer.body != image.stored_jpeg(0, Window(0, 0, TILE, TILE))
