"""Pictures by IIIF URLs: the right pixels, headers and errors."""

import re

import imagecodecs
import numpy as np
import pytest

from serving import Server

FULL = "/iiif/3/ramp.png/full/max/0/default.png"


def source(server: Server) -> np.ndarray:
    return imagecodecs.imread(server.get("/download/ramp.png").body)


def test_the_base_uri_leads_to_the_information(server: Server) -> None:
    for version in ("2", "3"):
        answer = server.get(f"/iiif/{version}/a%20b%2Fc.png")
        assert answer.status == 303
        assert answer.headers["Location"] == f"{server.url}/iiif/{version}/a%20b%2Fc.png/info.json"
        info = server.get(f"/iiif/{version}/a%20b%2Fc.png/info.json")
        assert info.json["id" if version == "3" else "@id"] == f"{server.url}/iiif/{version}/a%20b%2Fc.png"
        assert (info.json["height"], info.json["width"]) == (64, 96)
        assert info.headers["Access-Control-Allow-Origin"] == "*"


def test_the_information_is_linked_data_for_those_who_ask(server: Server) -> None:
    plain = server.get("/iiif/3/ramp.png/info.json", Accept="application/json")
    assert plain.headers["Content-Type"] == "application/json"
    linked = server.get("/iiif/3/ramp.png/info.json", Accept="application/ld+json")
    assert linked.headers["Content-Type"] == ('application/ld+json;profile="http://iiif.io/api/image/3/context.json"')
    assert linked.json == plain.json


def test_full_size_is_the_source_pixel_by_pixel(server: Server) -> None:
    answer = server.get(FULL)
    assert answer.headers["Content-Type"] == "image/png"
    assert np.array_equal(answer.pixels, source(server))


def test_a_region_is_a_window_of_the_source(server: Server) -> None:
    pixels = source(server)
    region = server.get("/iiif/3/ramp.png/100,50,300,200/max/0/default.png").pixels
    assert np.array_equal(region, pixels[50:250, 100:400])
    cut = server.get("/iiif/3/ramp.png/800,500,300,200/max/0/default.png").pixels
    assert np.array_equal(cut, pixels[500:600, 800:900])
    square = server.get("/iiif/3/ramp.png/square/max/0/default.png").pixels
    assert np.array_equal(square, pixels[:, 150:750])
    percent = server.get("/iiif/2/ramp.png/pct:50,50,25,50/full/0/default.png").pixels
    assert np.array_equal(percent, pixels[300:600, 450:675])


def test_mirroring_comes_before_turning(server: Server) -> None:
    pixels = source(server)
    for rotation, turned in (
        ("90", np.rot90(pixels, -1)),
        ("180", pixels[::-1, ::-1]),
        ("!0", pixels[:, ::-1]),
        ("!90", np.rot90(pixels[:, ::-1], -1)),
    ):
        answer = server.get(f"/iiif/3/ramp.png/full/max/{rotation}/default.png")
        assert np.array_equal(answer.pixels, turned), rotation


def test_other_angles_lie_on_a_transparent_sheet(server: Server) -> None:
    turned = server.get("/iiif/3/ramp.png/full/300,/30/default.png").pixels
    slope = np.cos(np.pi / 6)
    assert turned.shape == (np.ceil(200 * slope + 300 * 0.5), np.ceil(300 * slope + 200 * 0.5), 4)
    assert turned[0, 0, 3] == 0
    middle = turned[turned.shape[0] // 2, turned.shape[1] // 2].astype(int)
    assert middle[3] == 255
    assert np.abs(middle[:3] - [127, 127, 90]).max() <= 3
    white = server.get("/iiif/3/ramp.png/full/300,/30/default.jpg").pixels
    assert white[0, 0].min() > 250


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("450,", (300, 450)), (",100", (100, 150)), ("pct:50", (300, 450)), ("200,300", (300, 200)),
        ("!200,300", (133, 200)), ("max", (600, 900)), ("^1800,", (1200, 1800)), ("^pct:150", (900, 1350)),
        ("^!1000,1000", (667, 1000)), ("1,1", (1, 1)), ("pct:33.3", (200, 300)),
    ],
)  # fmt: skip
def test_sizes_of_version_3(server: Server, size: str, expected: tuple[int, int]) -> None:
    answer = server.get(f"/iiif/3/ramp.png/full/{size}/0/default.jpg")
    assert (answer.status, answer.size) == (200, expected)


def test_a_smaller_picture_is_the_mean_of_what_it_covers(server: Server) -> None:
    pixels = source(server).astype(float)
    half = server.get("/iiif/3/ramp.png/full/450,300/0/default.png").pixels
    means = pixels.reshape(300, 2, 450, 2, 3).mean((1, 3))
    assert np.abs(half - means).max() <= 1
    third = server.get("/iiif/3/ramp.png/full/300,200/0/default.png").pixels
    means = pixels.reshape(200, 3, 300, 3, 3).mean((1, 3))
    assert np.abs(third - means).max() <= 1.5


def test_an_enlarged_ramp_stays_a_ramp(server: Server) -> None:
    large = server.get("/iiif/3/ramp.png/full/^1800,1200/0/default.png").pixels.astype(int)
    across = large[600, 10:-10, 0]
    assert np.all(np.diff(across) >= 0)
    assert abs(across[len(across) // 2] - 127) <= 1


def test_qualities_and_formats(server: Server) -> None:
    grey = server.get("/iiif/3/ramp.png/full/max/0/gray.png").pixels
    luma = source(server) @ np.array([0.299, 0.587, 0.114])
    assert grey.ndim == 2
    assert np.abs(grey - luma).max() <= 1
    assert set(np.unique(server.get("/iiif/3/ramp.png/full/max/0/bitonal.png").pixels)) == {0, 255}
    for x, y, width, height in ((5, 5, 1, 1), (0, 5, 1, 90), (7, 0, 90, 1)):
        pixel = server.get(f"/iiif/3/ramp.png/{x},{y},{width},{height}/max/0/gray.jpg").pixels
        assert pixel.shape == (height, width)
        assert abs(pixel[0, 0] - luma[y, x]) <= 3
    for name, media_type in (("jpg", "jpeg"), ("webp", "webp"), ("avif", "avif")):
        answer = server.get(f"/iiif/3/ramp.png/full/max/0/color.{name}")
        assert answer.headers["Content-Type"] == f"image/{media_type}"
        assert np.abs(answer.pixels.astype(int) - source(server)).mean() < 3


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ("full/max/0/default.gif", 501), ("full/max/0/default.xyz", 400), ("full/max/0/nice.jpg", 400),
        ("full/max/361/default.jpg", 400), ("full/max/-1/default.jpg", 400), ("full/max/1e1/default.jpg", 400),
        ("full/0,/0/default.jpg", 400), ("full/,/0/default.jpg", 400), ("full/!5,/0/default.jpg", 400),
        ("full/1000,/0/default.jpg", 400), ("full/^20000,/0/default.jpg", 501), ("full/full/0/default.jpg", 400),
        ("900,0,10,10/max/0/default.jpg", 400), ("0,0,0,10/max/0/default.jpg", 400), ("x/max/0/default.jpg", 400),
        ("pct:0,0,0,10/max/0/default.jpg", 400), ("0,0,10/max/0/default.jpg", 400), ("full/nan,/0/default.jpg", 400),
        ("full/max/0/default", 400), ("full/pct:0/0/default.jpg", 400), ("full/%D9%A3,/0/default.jpg", 400),
    ],
)  # fmt: skip
def test_bad_requests_say_what_is_wrong(server: Server, parameters: str, status: int) -> None:
    answer = server.get(f"/iiif/3/ramp.png/{parameters}")
    assert answer.status == status
    assert answer.json["status"] == status
    assert len(answer.json["message"]) > 20
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_the_canonical_address_gives_the_same_picture(server: Server) -> None:
    for version in ("2", "3"):
        asked = server.get(f"/iiif/{version}/ramp.png/pct:0,0,50,50/225,/360/default.jpg")
        found = re.match(r'<([^>]*)>;rel="canonical"', asked.headers["Link"])
        assert found
        canonical = found[1].removeprefix(server.url)
        assert (
            canonical == f"/iiif/{version}/ramp.png/0,0,450,300/{'225,150' if version == '3' else '225,'}/0/default.jpg"
        )
        again = server.get(canonical)
        assert (again.body, again.headers["ETag"]) == (asked.body, asked.headers["ETag"])


def test_what_a_client_has_is_not_sent_again(server: Server) -> None:
    first = server.get(FULL)
    assert "max-age=3600" in first.headers["Cache-Control"]
    again = server.get(FULL, If_None_Match=f'"other", W/{first.headers["ETag"]}')
    assert (again.status, again.body) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]


def test_head_and_options_have_no_body_and_other_methods_are_refused(server: Server) -> None:
    head = server.get(FULL, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(server.get(FULL).body)
    options = server.get(FULL, "OPTIONS", Origin="https://mirador.example", Access_Control_Request_Method="GET")
    assert options.status == 204
    assert "GET" in options.headers["Access-Control-Allow-Methods"]
    assert server.get(FULL, "DELETE").status == 405


def test_the_advertised_tiles_cover_the_image(server: Server) -> None:
    info = server.get("/iiif/3/ramp.png/info.json").json
    side = info["tiles"][0]["width"]
    pixels = source(server).astype(float)
    for factor in info["tiles"][0]["scaleFactors"]:
        reach = side * factor
        for y in range(0, info["height"], reach):
            for x in range(0, info["width"], reach):
                width, height = min(reach, info["width"] - x), min(reach, info["height"] - y)
                size = f"{-(-width // factor)},{-(-height // factor)}"
                tile = server.get(f"/iiif/3/ramp.png/{x},{y},{width},{height}/{size}/0/default.png")
                assert tile.status == 200
                assert f"{tile.pixels.shape[1]},{tile.pixels.shape[0]}" == size
                part = pixels[y : y + height, x : x + width].mean((0, 1))
                assert np.abs(tile.pixels.mean((0, 1)) - part).max() < 2
