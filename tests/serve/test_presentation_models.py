"""Presentation documents are what the IIIF community's own models say they are, down to the last property."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from iiif_prezi3 import Collection, Manifest

from jobs import manifest, picture, write_image
from serving import Server, serving

NAMES = (
    "plain.png", "größe ü/seite 1.png", "größe ü/seite 2.png", "100%/50%2Foff.png", "a+b&c=d?e#f.png", "書/頁 一.png",
    "e\u0301/\u00e9.png", "quote\"'<b>.png", "deep/er/and/deeper/x.jpg", os.fsdecode(b"\xff\xfe/\xfd.png"),
    "nothing here/broken.png", "nothing here/whole.png",
)  # fmt: skip

COLUMNS = "source=path,item=uuid,name=side,title=work,page=no,section=part"

LINES = [
    "path,uuid,side,no,part,work,shelf mark,<i>year</i>",
    'a/1.png,b/1 ü,recto,2,Act I,"Iphigenie, 1787",Qa 18,1787',
    'a/2.png,b/1 ü,verso,10,Act II,"Iphigenie, 1787",Qa 18,1788',
    'a/3.png,b/1 ü,title,1,Act I,"Iphigenie, 1787",Qa 18,',
    '"loose, ü.png",,,,,,Qa 19,',
    "gone.png,b-4,gone,1,,Lost,Qa 20,1900",
]


@pytest.fixture(scope="module", params=["folder", "folder without originals", "manifest"])
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("shown")
    if request.param == "manifest":
        for seed, name in enumerate(("a/1.png", "a/2.png", "a/3.png", "loose, ü.png")):
            write_image(folder / name, picture(700, 500 + seed, seed=seed))
        arguments: tuple[object, ...] = (manifest(folder / "works.csv", LINES), "--columns", COLUMNS)
    else:
        for seed, name in enumerate(NAMES):
            write_image(folder / name, picture(40 + seed, 300, seed=seed))
        (folder / "nothing here" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
        arguments = (folder, *(["--no-download"] if "without" in request.param else []))
    with serving(*arguments, "--workers", 1) as server:
        yield server


def checked(server: Server, url: str, model: type[Manifest] | type[Collection]) -> dict[str, Any]:
    """A document that its model takes, and of which it knows every property."""
    assert url.startswith(f"{server.url}/")
    answer = server.get(url.removeprefix(server.url))
    assert answer.status == 200, url
    document: dict[str, Any] = answer.json
    assert document["@context"] == "http://iiif.io/api/presentation/3/context.json"
    assert document["id"] == url
    understood = json.loads(model.model_validate_json(answer.body).json())
    assert holds(understood, document), url
    return document


def holds(whole: object, part: object) -> bool:
    """Whether everything of a document is in another, which may have defaults besides."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(name in whole and holds(whole[name], value) for name, value in part.items())
    if isinstance(whole, list) and isinstance(part, list):
        return len(whole) == len(part) and all(map(holds, whole, part))
    return bool(whole == part)


def test_the_models_take_the_collection_and_all_manifests(shown: Server) -> None:
    collection = checked(shown, f"{shown.url}/presentation/3/collection.json", Collection)
    items = collection["items"]
    assert len({item["id"] for item in items}) == len(items) >= 3
    for item in items:
        if item["label"] == {"none": ["Lost"]}:
            assert shown.get(item["id"].removeprefix(shown.url)).status == 404
            continue
        document = checked(shown, item["id"], Manifest)
        assert document["label"] == item["label"]
        named = [document, *document["items"], *document.get("structures", [])]
        assert len({one["id"] for one in named}) == len(named)
        assert all(one["thumbnail"] for one in (document, *document["items"]))
