"""What the viewer's pages are made of and what they ask for, without a browser."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

import ziggurat
from serving import Server, serving
from sky_files import SCALE, save, sky, tan
from ziggurat.format.exif import build_exif
from ziggurat.serve.call import Call
from ziggurat.serve.details import exif_fields, iptc_fields
from ziggurat.serve.items import grouped
from ziggurat.serve.register import Register
from ziggurat.serve.routes import viewer
from ziggurat.serve.service import Service
from ziggurat.serve.settings import Settings

MANY = 100_000


@pytest.mark.parametrize("path", ["/", "/compare", "/image", "/job", "/review", "/?q=x"])
def test_pages_may_use_nothing_from_elsewhere(server: Server, path: str) -> None:
    answer = server.get(path)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert b"http:" not in answer.body
    assert b"https:" not in answer.body


def test_files_are_sent_packed_and_not_twice(server: Server) -> None:
    plain = server.get("/static/page.js")
    assert plain.headers["Content-Type"] == "text/javascript; charset=utf-8"
    packed = server.get("/static/page.js", Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.body) < len(plain.body)
    assert server.get("/static/page.js", If_None_Match=plain.headers["ETag"]).status == 304


@pytest.mark.parametrize(
    "name", ["", "none.js", "../app.py", "..%2Fapp.py", "%2e%2e/app.py", "/etc/passwd", "vendor", "vendor/"]
)
def test_only_files_of_the_viewer_are_sent(server: Server, name: str) -> None:
    assert server.get(f"/static/{name}").status == 404


def test_no_file_of_the_viewer_names_another_server() -> None:
    for path in viewer.FOLDER.glob("*.*"):
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, path
        assert "https://" not in text, path


def asked(path: str) -> Call:
    """A request for a page, without a server."""

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "headers": [], "path": path, "query_string": b""}
    return Call(scope, receive, [path.rpartition("/")[2]], "http://here/images")  # type: ignore[arg-type]  # poorer


def test_what_the_build_could_not_fetch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "DRAWING", "vendor/none.js")
    response = asyncio.run(viewer.page(None, asked("/image")))  # type: ignore[arg-type]  # no page needs the service
    assert response.status_code == 501
    assert b"OpenSeadragon is missing" in response.body


def test_relative_addresses_begin_behind_a_slash() -> None:
    call = asked("/images")
    call.segments = [""]
    response = asyncio.run(viewer.page(None, call))  # type: ignore[arg-type]  # as above
    assert (response.status_code, response.headers["Location"]) == (307, "http://here/images/")


def test_nobody_waits_for_a_long_listing_twice(collection: Path) -> None:
    async def look() -> None:
        service = Service(Settings(places=(str(collection),), workers=1))
        first = await service.seen()
        old = service.catalogue._contents = replace(first, when=first.when - 60)
        service._listing_takes = 1.0
        assert await service.seen() is old
        assert service._renewing is not None
        await service._renewing
        assert (await service.seen()).when > first.when

    asyncio.run(look())


def test_images_are_listed_a_page_at_a_time(server: Server) -> None:
    everything = server.get("/api/items").json
    assert everything["total"] == 4
    assert everything["complete"]
    names = [item["id"] for item in everything["items"]]
    assert set(names) == {"ramp.png", "a b/c.png", "größe ü.png", "50%2Foff.png"}
    assert [item["id"] for item in server.get("/api/items?offset=1&limit=2").json["items"]] == names[1:3]
    assert server.get("/api/items?offset=9").json["items"] == []
    found = next(item for item in everything["items"] if item["id"] == "a b/c.png")
    assert (found["ref"], found["name"], found["folder"], found["state"]) == ("a%20b%2Fc.png", "c", "a b", None)


def test_search_takes_words_in_any_order_and_case(server: Server) -> None:
    def found(query: str) -> list[str]:
        return [item["id"] for item in server.get(f"/api/items?{query}").json["items"]]

    assert found("q=C%20A") == ["a b/c.png"]
    assert found("q=GR%C3%96SSE") == ["größe ü.png"]
    assert found("q=nothing") == []
    assert found("under=a%20b") == found("item=a%20b") == ["a b/c.png"]
    assert found("item=ramp.png") == ["ramp.png"]
    assert found("item=a%20b&q=ramp") == found("item=none") == []
    assert found("folder=") == [name for name in found("") if "/" not in name]
    assert server.get("/api/folders").json == {
        "under": "",
        "total": 1,
        "folders": [{"folder": "a b", "ref": "a%20b", "name": "a b", "count": 1}],
    }


@pytest.mark.parametrize("query", ["offset=-1", "limit=x", "offset=1e3", "&".join("q=1" for _ in range(30))])
def test_nonsense_is_refused(server: Server, query: str) -> None:
    assert server.get(f"/api/items?{query}").status == 400


def test_sizes_are_told_once_they_are_known(server: Server) -> None:
    server.get("/iiif/3/ramp.png/info.json")
    item = server.get("/api/items?q=ramp").json["items"][0]
    assert (item["width"], item["height"]) == (900, 600)


def test_an_image_is_told_with_its_place_among_others(server: Server) -> None:
    said = server.get("/api/image/ramp.png").json
    assert (said["width"], said["height"], said["bands"], said["dtype"]) == (900, 600, 3, "uint8")
    place = server.get("/api/place/ramp.png").json
    assert (place["item"], place["title"], place["beside"], place["total"]) == ("ramp.png", None, "folder=", 3)
    below = {
        "ref": "a%20b%2Fc.png", "item": "a%20b", "title": "a b", "beside": "folder=a%20b", "index": 0, "total": 1,
    }  # fmt: skip
    assert server.get("/api/place/a%20b%2Fc.png").json == below
    assert server.get("/api/image/none.png").status == 404
    assert server.get("/api/none").status == 404


def test_values_are_those_of_the_file(server: Server, collection: Path) -> None:
    with ziggurat.open(str(collection / "ramp.png")) as image:
        pixels = image.read(0)
    for y, x in ((0, 0), (599, 899), (123, 456)):
        assert server.get(f"/api/values/ramp.png?x={x}&y={y}").json["values"] == pixels[y, x].tolist()
    assert server.get("/api/values/ramp.png?x=900&y=0").status == 400
    assert server.get("/api/values/ramp.png?x=1").status == 400


def test_values_are_upright_and_in_the_units_of_the_file(tmp_path: Path) -> None:
    samples = np.arange(6 * 8, dtype=np.float32).reshape(6, 8) / 4
    samples[5, 0] = np.nan
    # Orientation 6: the stored left column is the top row, from right to left.
    tifffile.imwrite(tmp_path / "turned.tif", samples, photometric="minisblack", extratags=[(274, "H", 1, 6, True)])
    with serving(tmp_path, "--workers", 1) as server:
        assert server.get("/api/values/turned.tif?x=0&y=0").json["values"] == ["nan"]
        assert server.get("/api/values/turned.tif?x=5&y=3").json["values"] == [samples[0, 3].item()]
        said = server.get("/api/image/turned.tif").json
        assert (said["own_range"], said["width"], said["height"]) == (False, 6, 8)
        low, high = said["shown_range"]
        assert 0 <= low < 1
        assert 11 < high <= 11.75


def test_values_of_fits_have_their_place_on_the_sky(tmp_path: Path) -> None:
    save(tmp_path / "sky.fits", (sky((30, 40)), tan(150, 2, (30, 40))))
    with serving(tmp_path, "--workers", 1) as server:
        found = server.get("/api/values/sky.fits?x=19&y=14").json
    assert found["sky"] == pytest.approx([150 + SCALE / 2, 2 - SCALE / 2], abs=1e-6)


def test_a_hundred_thousand_images_are_found_at_once() -> None:
    names = (f"box {number // 1000:03}/scan {number:06}.jp2" for number in range(MANY))
    register = Register.of(grouped(names, [""], MANY, 0.0))
    assert len(register.identifiers) == MANY
    began = time.process_time()
    assert register.search(["SCAN", "099/", "box"]) == [
        f"box 099/scan {number:06}.jp2" for number in range(99_000, MANY)
    ]
    assert time.process_time() - began < 2
    assert register.folders()[99] == ("box 099", 1000)
    assert register.place("box 007/scan 007003.jp2") == (3, 1000)


def test_metadata_is_told_as_far_as_people_can_read_it() -> None:
    block = build_exif({271: "Maker", 33434: (1, 250), 37500: b"\0" * 4000})
    assert exif_fields(block) == {"Make": "Maker", "ExposureTime": 0.004}
    assert exif_fields(b"II*\0" + b"\xff" * 40) == {}
    iptc = b"".join(
        b"\x1c\x02" + bytes([kind]) + len(text).to_bytes(2) + text
        for kind, text in ((25, b"moon"), (25, b"sun"), (120, b"A"))
    )
    assert iptc_fields(iptc) == {"Keywords": "moon; sun", "Caption": "A"}
    assert iptc_fields(iptc[:7]) == {"Keywords": "mo"}
