"""Identifiers, and what they must never lead to."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from jobs import picture, write_image, ziggurat
from serving import Server, serving


def status(server: Server, identifier: str) -> int:
    return server.get(f"/iiif/3/{identifier}/info.json").status


def test_identifiers_are_paths_percent_encoded_once_or_twice_or_not_at_all(server: Server) -> None:
    for identifier in (
        "a%20b%2Fc.png", "a%2520b%252Fc.png", "a%20b/c.png", "gr%C3%B6%C3%9Fe%20%C3%BC.png", "50%252Foff.png",
        "50%25252Foff.png",
    ):  # fmt: skip
        assert status(server, identifier) == 200, identifier
    assert server.get("/iiif/3/50%252Foff.png/info.json").json["id"].endswith("/50%252Foff.png")


def test_new_files_are_noticed_and_changed_ones_are_read_again(server: Server, collection: Path) -> None:
    assert status(server, "later.png") == 404
    write_image(collection / "later.png", picture(10, 20))
    first = server.get("/iiif/3/later.png/full/max/0/default.png")
    assert first.size == (10, 20)
    write_image(collection / "later.png", picture(30, 40, seed=1))
    second = server.get("/iiif/3/later.png/full/max/0/default.png")
    assert second.size == (30, 40)
    assert first.headers["ETag"] != second.headers["ETag"]
    (collection / "later.png").unlink()
    assert status(server, "later.png") == 404


CLIMBS = (
    "..", "../outside.png", "a b/../../outside.png", "a b/../ramp.png", "./ramp.png", "/ramp.png", "a b//c.png", "a b/",
    "a b", "", ".hidden.png", ".git/x.png", "ramp.png/", "ramp.png/..", "ramp.png\0", "\0", "secret.txt", "link.png",
    "folder/outside.png", "~/x.png", "..\\outside.png", "%2e%2e/outside.png", "..;/outside.png", "....//outside.png",
    "nothing.png", "x" * 5000, "a/" * 1500 + "x.png", "file:///etc/passwd", "file:/etc/passwd", "/etc/passwd",
    "/proc/self/environ", "http://127.0.0.1:1/x.png", "https://example.org/x.png", "s3://bucket/x.png", "memory:x",
    "gs://bucket/x", "az://bucket/x", "http:/127.0.0.1:1/x.png", "//127.0.0.1/x.png", "ftp://x/y", "http://[::1]/x",
    "http://169.254.169.254/latest/meta-data/", "data:image/png;base64,AAAA", "\uff0e\uff0e/outside.png",
    "..%c0%afoutside.png",
)  # fmt: skip


@pytest.fixture
def tempted(collection: Path) -> Iterator[Path]:
    """The collection with what leads out of it, or is hidden."""
    outside = write_image(collection.parent / "outside.png")
    (collection / "link.png").symlink_to(outside)
    (collection / "folder").symlink_to(outside.parent, target_is_directory=True)
    write_image(collection / ".hidden.png")
    yield collection
    for name in ("link.png", "folder", ".hidden.png"):
        (collection / name).unlink()


def test_nothing_but_the_served_place_can_be_reached(server: Server, tempted: Path) -> None:
    assert status(server, "ramp.png") == 200
    for climb in CLIMBS:
        once = quote(climb, safe="")
        for identifier in {once, quote(once, safe=""), quote(quote(once, safe=""), safe=""), quote(climb, safe="/%")}:
            for path in (
                f"/iiif/3/{identifier}/info.json", f"/iiif/2/{identifier}/full/full/0/default.jpg",
                f"/download/{identifier}", f"/deepzoom/{identifier}.dzi", f"/xyz/{identifier}/0/0/0.png",
                f"/zarr/{identifier}/zarr.json",
            ):  # fmt: skip
                answer = server.get(path)
                assert answer.status in {400, 404}, path
                assert str(tempted) not in answer.body.decode(), path
                assert b"root:" not in answer.body


def test_names_that_are_no_text_are_names_nevertheless(tmp_path: Path) -> None:
    write_image(tmp_path / os.fsdecode(b"\xff\xfe.png"), picture(600, 900))
    with serving(tmp_path, "--workers", 1) as server:
        info = server.get("/iiif/3/%FF%FE.png/info.json")
        assert (info.status, info.json["width"]) == (200, 900)
        assert info.json["id"].endswith("/%FF%FE.png")
        assert server.get("/iiif/3/%FF%FE.png/0,0,9,9/max/0/default.jpg").size == (9, 9)
        assert server.get("/download/%FF%FE.png").status == 200
        assert server.get("/iiif/3/%FF%FD.png/info.json").status == 404
        assert server.get("/presentation/3/collection.json").status == 200
        assert server.get("/presentation/3/%FF%FE.png/manifest.json").status == 200


def test_folders_whose_names_are_no_text_are_browsed(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"served \xff")
    write_image(folder / "plain.png")
    for seed, name in enumerate(
        (b"\xff/\xfe 1.png", b"\xff/\xfe 2.png", b"\xff/\xfd/deep.png", b"\xed\xa0\x80/half.png")
    ):
        write_image(folder / os.fsdecode(name), picture(20, 30 + seed, seed=seed))
    with serving(folder, "--workers", 1) as server:
        assert server.get("/api/site").json["title"].startswith("served ")
        folders = server.get("/api/folders").json["folders"]
        assert [(one["ref"], one["count"]) for one in folders] == [("%ED%A0%80", 1), ("%FF", 3)]
        assert [one["ref"] for one in server.get("/api/folders?under=%FF").json["folders"]] == ["%FF%2F%FD"]
        refs = [item["ref"] for item in server.get("/api/items?under=%FF").json["items"]]
        assert refs == ["%FF%2F%FE%201.png", "%FF%2F%FE%202.png", "%FF%2F%FD%2Fdeep.png"]
        assert [item["ref"] for item in server.get("/api/items?folder=%FF").json["items"]] == refs[:2]
        assert server.get("/api/items?q=%FE").json["total"] == 2
        assert server.get("/api/items").json["total"] == 5
        for ref in (*refs, "%ED%A0%80%2Fhalf.png"):
            info = server.get(f"/iiif/3/{ref}/info.json")
            assert info.json["id"] == f"{server.url}/iiif/3/{ref}"
            assert server.get(f"/iiif/3/{ref}/max/max/0/default.jpg").status == 400
            assert server.get(f"/iiif/3/{ref}/full/max/0/default.jpg").size == (20, info.json["width"])
            for path in (
                f"/api/image/{ref}",
                f"/api/place/{ref}",
                f"/api/values/{ref}?x=1&y=1",
                f"/zarr/{ref}/zarr.json",
            ):
                assert server.get(path).status == 200, path
        place = server.get(f"/api/place/{refs[1]}").json
        assert (place["item"], place["index"], place["total"]) == ("%FF", 1, 2)
        beside = server.get(f"/api/items?{place['beside']}").json["items"]
        assert [item["ref"] for item in beside] == refs[:2]
        collection = server.get("/presentation/3/collection.json").json
        assert f"{server.url}/presentation/3/%FF/manifest.json" in [item["id"] for item in collection["items"]]
        assert len(server.get("/presentation/3/%FF/manifest.json").json["items"]) == 2
    write_image(tmp_path / "images" / "other.png")
    with serving(tmp_path / "images", f"named={folder}", "--workers", 1) as server:
        assert server.get("/iiif/3/named%2F%FF%2F%FE%201.png/info.json").json["width"] == 30
        assert [one["ref"] for one in server.get("/api/folders?under=named%2F%FF").json["folders"]] == [
            "named%2F%FF%2F%FD"
        ]


def test_links_inside_of_the_served_place_are_followed(server: Server, collection: Path) -> None:
    (collection / "inner.png").symlink_to(collection / "ramp.png")
    try:
        assert status(server, "inner.png") == 200
    finally:
        (collection / "inner.png").unlink()


def test_names_keep_several_places_apart(tmp_path: Path) -> None:
    write_image(tmp_path / "one" / "x.png", picture(10, 20))
    write_image(tmp_path / "two" / "x.png", picture(30, 40))
    shutil.copy(tmp_path / "two" / "x.png", tmp_path / "single.png")
    with serving(tmp_path / "one", f"second={tmp_path / 'two'}", tmp_path / "single.png", "--workers", 1) as server:
        assert server.get("/iiif/3/one%2Fx.png/info.json").json["width"] == 20
        assert server.get("/iiif/3/second%2Fx.png/info.json").json["width"] == 40
        assert server.get("/iiif/3/single.png/info.json").json["width"] == 40
        for identifier in ("x.png", "two%2Fx.png", "one", "one%2F", "second%2F..%2Fsingle.png", "single.png%2Fx.png"):
            assert status(server, identifier) == 404


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to serve"),
        (("nowhere",), "nowhere is not there"),
        (("a/x", "b/x"), "two places are called 'x'"),
        (("https://example.org/",), "cannot be listed"),
        (("memory:x",), "cannot be served"),
        (("a/x", "--root-path", "x"), "--root-path"),
        (("a/x", "--public-url", "ftp://x"), "--public-url"),
        (("a/x", "--auth", "basic"), "USER:PASSWORD"),
        (("a/x", "--port", "70000"), "--port"),
        (("a/x", "--workers", "0"), "--workers"),
    ],
)
def test_a_server_that_makes_no_sense_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    for folder in ("a/x", "b/x"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    result = ziggurat("serve", *arguments)
    assert result.code in {1, 2}
    assert said in result.err
