"""Encoded pictures are kept on disk, for this server, the next and those beside it."""

from pathlib import Path

from jobs import picture, write_image
from serving import serving

TILE = "/iiif/3/a.png/0,0,50,50/max/0/default.jpg"


def test_pictures_outlive_the_server_and_a_changed_file_is_another_one(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.png")
    place = {"ZIGGURAT_CACHE": str(tmp_path / "cache")}
    with serving(tmp_path / "images", "--workers", 1, **place) as server:
        first = server.get(TILE)
        assert first.status == 200
        server.get("/iiif/3/a.png/0,0,40,40/max/0/default.jpg")
    with serving(tmp_path / "images", "--workers", 1, **place) as one, serving(tmp_path / "images", **place) as two:
        for server in (one, two):
            again = server.get(TILE)
            assert (again.body, again.headers["ETag"]) == (first.body, first.headers["ETag"])
            assert server.metric('pictures_total{from="disk"}') == 1
            assert server.metric('pictures_total{from="made"}') == 0
        write_image(tmp_path / "images" / "a.png", picture(80, 80, seed=3))
        for server in (one, two):
            changed = server.get(TILE, If_None_Match=first.headers["ETag"])
            assert changed.status == 200
            assert changed.body != first.body


def test_a_damaged_entry_is_made_again(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.png")
    place = {"ZIGGURAT_CACHE": str(tmp_path / "cache")}
    with serving(tmp_path / "images", "--workers", 1, **place) as server:
        first = server.get(TILE)
        server.get("/iiif/3/a.png/0,0,40,40/max/0/default.jpg")
    for entry in (tmp_path / "cache" / "tiles").glob("??/*"):
        data = entry.read_bytes()
        entry.write_bytes(data[: len(data) // 2])
    with serving(tmp_path / "images", "--workers", 1, **place) as server:
        assert server.get(TILE).body == first.body
        assert server.metric('pictures_total{from="made"}') == 1


def test_the_folder_keeps_its_limit(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.png", picture(600, 600))
    cache = tmp_path / "cache"
    arguments = ("--workers", 1, "--cache-size", "1M")
    with serving(tmp_path / "images", *arguments, ZIGGURAT_CACHE=str(cache)) as server:
        for number in range(40):
            assert server.get(f"/iiif/3/a.png/{number},0,300,300/max/0/default.png").status == 200
    kept = [path.stat().st_size for path in (cache / "tiles").glob("??/*") if path.parent.name != "locks"]
    assert 0 < sum(kept) <= 1 << 20
