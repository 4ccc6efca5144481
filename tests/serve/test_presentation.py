"""Manifests and the collection, as viewers read them."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs import picture, write_image
from serving import Server, serving

CONTEXT = "http://iiif.io/api/presentation/3/context.json"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path_factory.mktemp("shelf")
    for number in (10, 9, 1):
        write_image(folder / "books" / "Faust 1" / f"page {number}.png", picture(30 + number, 40))
    write_image(folder / "statue.jpg", picture(300, 400))
    (folder / "books" / "Faust 1" / "broken.png").write_bytes(b"nothing")
    (folder / "books" / "notes.txt").write_text("no image", encoding="utf-8")
    with serving(folder, "--workers", 1, "--max-pixels", 100_000) as server:
        yield server, folder


def path(server: Server, url: str) -> str:
    assert url.startswith(server.url)
    return url.removeprefix(server.url)


def manifest(server: Server, label: str) -> dict[str, Any]:
    collection = server.get("/presentation/3/collection.json").json
    [uri] = [item["id"] for item in collection["items"] if item["label"] == {"none": [label]}]
    answer = server.get(path(server, uri))
    assert answer.headers["Content-Type"] == f'application/ld+json;profile="{CONTEXT}"'
    assert answer.json["id"] == uri
    document: dict[str, Any] = answer.json
    return document


def test_the_collection_names_folders_and_what_lies_at_the_top(shelf: tuple[Server, Path]) -> None:
    document = shelf[0].get("/presentation/3/collection.json").json
    assert (document["@context"], document["type"]) == (CONTEXT, "Collection")
    assert [item["label"]["none"] for item in document["items"]] == [["Faust 1"], ["statue"]]
    assert {item["type"] for item in document["items"]} == {"Manifest"}


def test_pages_come_in_the_order_of_their_numbers_and_broken_ones_are_told(shelf: tuple[Server, Path]) -> None:
    document = manifest(shelf[0], "Faust 1")
    labels = [canvas["label"]["none"][0] for canvas in document["items"]]
    assert labels == ["page 1", "page 9", "page 10"]
    assert "1 of 4" in document["summary"]["none"][0]


def test_all_that_a_manifest_leads_to_is_there(shelf: tuple[Server, Path]) -> None:
    server, _ = shelf
    for name in ("Faust 1", "statue"):
        document = manifest(server, name)
        assert len({canvas["id"] for canvas in document["items"]}) == len(document["items"])
        for canvas in document["items"]:
            [page] = canvas["items"]
            [painting] = page["items"]
            assert (painting["motivation"], painting["target"]) == ("painting", canvas["id"])
            body = painting["body"]
            sent = server.get(path(server, body["id"]))
            assert sent.size == (body["height"], body["width"])
            [image] = body["service"]
            info = server.get(path(server, image["id"]) + "/info.json").json
            assert (info["height"], info["width"]) == (canvas["height"], canvas["width"])
            for thumbnail in (*canvas["thumbnail"], *document["thumbnail"]):
                small = server.get(path(server, thumbnail["id"]))
                assert small.size == (thumbnail["height"], thumbnail["width"])
                assert max(small.size) <= 240
            [original] = canvas["rendering"]
            assert server.get(path(server, original["id"])).status == 200


def test_documents_are_sent_packed_and_once(shelf: tuple[Server, Path]) -> None:
    server, _ = shelf
    uri = "/presentation/3/books%2FFaust%201/manifest.json"
    plain, packed = server.get(uri), server.get(uri, Accept_Encoding="gzip, br")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert server.get(uri, If_None_Match=plain.headers["ETag"]).status == 304


def test_new_items_are_noticed(shelf: tuple[Server, Path]) -> None:
    server, folder = shelf
    server.get("/presentation/3/collection.json")
    write_image(folder / "new" / "a.png")
    assert server.get("/presentation/3/new%2Fa.png/manifest.json").status == 200
    for item in ("books", "nothing", "..", "new%2F..%2Fbooks"):
        assert server.get(f"/presentation/3/{item}/manifest.json").status == 404
