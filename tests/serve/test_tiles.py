"""Deep Zoom and map tiles: together they are the image."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from numpy.typing import NDArray

from serving import Server


def levels(server: Server) -> list[NDArray[np.uint8]]:
    """The source and its halvings, by means."""
    pixels = [server.get("/iiif/3/ramp.png/full/max/0/default.png").pixels]
    while max(pixels[-1].shape[:2]) > 1:
        last = pixels[-1].astype(float)
        last = np.pad(last, ((0, last.shape[0] % 2), (0, last.shape[1] % 2), (0, 0)), mode="edge")
        means = last.reshape(last.shape[0] // 2, 2, last.shape[1] // 2, 2, 3).mean((1, 3))
        pixels.append(np.rint(means).astype(np.uint8))
    return pixels


def test_deep_zoom_describes_the_image(server: Server) -> None:
    answer = server.get("/deepzoom/a%20b%2Fc.png.dzi")
    assert answer.headers["Content-Type"].startswith("application/xml")
    root = ET.fromstring(answer.body)  # noqa: S314 - from our own server
    space = "{http://schemas.microsoft.com/deepzoom/2008}"
    assert (root.tag, root.attrib) == (f"{space}Image", {"Format": "jpg", "Overlap": "1", "TileSize": "254"})
    assert root.find(f"{space}Size").attrib == {"Width": "96", "Height": "64"}  # type: ignore[union-attr]


@pytest.mark.parametrize("level", range(11))
def test_deep_zoom_tiles_are_windows_of_their_level_and_overlap_by_one(server: Server, level: int) -> None:
    expected = levels(server)[10 - level].astype(int)
    height, width = expected.shape[:2]
    for row in range(-(-height // 254)):
        for column in range(-(-width // 254)):
            tile = server.get(f"/deepzoom/ramp.png_files/{level}/{column}_{row}.png")
            assert tile.status == 200
            y0, x0 = max(0, row * 254 - 1), max(0, column * 254 - 1)
            window = expected[y0 : min(height, row * 254 + 255), x0 : min(width, column * 254 + 255)]
            assert tile.pixels.shape == window.shape
            # Below the image's own levels a pixel at the edge may stand for a little more or less.
            assert np.abs(tile.pixels - window).max() <= (2 if level > 8 else 30 if level > 3 else 255)
    assert server.get(f"/deepzoom/ramp.png_files/{level}/{-(-width // 254)}_0.png").status == 404


def test_map_tiles_are_of_one_size_with_nothing_beyond_the_edge(server: Server) -> None:
    whole = server.get("/xyz/ramp.png/0/0/0.png").pixels
    assert whole.shape == (256, 256, 4)
    assert (whole[:150, :225, 3] == 255).all()
    assert not whole[150:, :, 3].any()
    assert not whole[:, 225:, 3].any()
    source = server.get("/iiif/3/ramp.png/full/max/0/default.png").pixels
    corner = server.get("/xyz/ramp.png/2/1/1.png").pixels
    assert np.array_equal(corner[:, :, :3], source[256:512, 256:512])
    assert server.get("/xyz/ramp.png/0/0/0.jpg").pixels[255, 255].min() > 250


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/deepzoom/ramp.png_files/11/0_0.png", 404), ("/deepzoom/ramp.png_files/99999999999/0_0.png", 400),
        ("/deepzoom/ramp.png_files/10/0_9.png", 404), ("/deepzoom/ramp.png_files/10/0.png", 400),
        ("/deepzoom/ramp.png_files/10/0_0.exe", 400), ("/deepzoom/ramp.png_files/-1/0_0.png", 400),
        ("/deepzoom/none.dzi", 404), ("/deepzoom/ramp.png", 404), ("/deepzoom", 404), ("/deepzoom/.dzi", 404),
        ("/xyz/ramp.png/3/0/0.png", 404), ("/xyz/ramp.png/0/1/0.png", 404), ("/xyz/ramp.png/x/0/0.png", 400),
        ("/xyz/ramp.png/0/0/0", 400), ("/xyz/ramp.png", 404), ("/xyz", 404), ("/iiif", 404),
        ("/iiif/4/ramp.png/info.json", 404), ("/iiif/3/", 404), ("/nothing", 404),
    ],
)  # fmt: skip
def test_what_is_not_there_is_said_to_be_not_there(server: Server, path: str, status: int) -> None:
    answer = server.get(path)
    assert (answer.status, answer.json["status"]) == (status, status)
    assert answer.json["message"]
