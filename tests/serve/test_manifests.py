"""A manifest, served: its order, its columns, its images wherever they lie."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from jobs import manifest, picture, write_image
from serving import Server, serving
from ziggurat.errors import UsageError
from ziggurat.serve.catalogue import Catalogue, open_catalogue
from ziggurat.storage.network import NetworkOptions

COLUMNS = "source=path,item=uuid,name=side,title=work,page=no,section=part"

LINES = [
    "path,uuid,side,no,part,work,shelf mark,year",
    "z/last.png,b-2,cover,1,,Faust <1>,Qa 17,1808",
    "a/3.png,b-1,recto,10,Act II,Iphigenie,Qa 18,1787",
    "a/1.png,b-1,verso,9,Act I,Iphigenie,Qa 18,1787",
    "a/2.png,b-1,title,1,Act I,Iphigenie,Qa 18,1788",
    '"loose, ü.png",,,,,,Qa 19,',
    ",b-3,nothing here,1,,,,",
    "none.png,b-4,gone,1,,Lost,Qa 20,1900",
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manifest")
    for seed, name in enumerate(("z/last.png", "a/3.png", "a/1.png", "a/2.png", "loose, ü.png", "unlisted.png")):
        write_image(folder / name, picture(40, 50 + seed, seed=seed))
    return manifest(folder / "works.csv", LINES)


@pytest.fixture(scope="module")
def served(table: Path) -> Iterator[Server]:
    with serving(table, "--workers", 1, "--columns", COLUMNS) as server:
        yield server


def catalogue(table: Path, columns: str = COLUMNS) -> Catalogue:
    said = dict(part.split("=") for part in columns.split(","))
    return open_catalogue([str(table)], NetworkOptions(), columns=said)


def texts(values: list[dict[str, Any]]) -> dict[str, str]:
    return {pair["label"]["none"][0]: pair["value"]["none"][0] for pair in values}


def test_images_are_called_by_their_sources(served: Server) -> None:
    assert np.array_equal(served.get("/iiif/3/a%2F1.png/full/max/0/default.png").pixels, picture(40, 52, seed=2))
    assert served.get(f"/iiif/3/{quote('loose, ü.png')}/info.json").json["width"] == 54
    assert served.get("/iiif/3/none.png/info.json").status == 404


def test_only_what_the_manifest_names_is_served(served: Server, table: Path) -> None:
    for identifier in (
        "unlisted.png", "works.csv", "a", "a/", "../works.csv", "./a/1.png", "a/../a/1.png", "", "row/1/last.png",
        str(table.parent / "unlisted.png"), "/etc/passwd", "file:///etc/passwd", "%", "a/1.png/x", "a/%",
    ):  # fmt: skip
        assert served.get(f"/iiif/3/{quote(identifier, safe='')}/info.json").status == 404, identifier


def test_items_come_in_the_manifests_order_with_their_titles(served: Server) -> None:
    items = served.get("/presentation/3/collection.json").json["items"]
    assert [item["label"]["none"][0] for item in items] == ["Faust <1>", "Iphigenie", "loose, ü", "Lost"]


def test_a_presentation_says_what_the_columns_say(served: Server) -> None:
    document = served.get("/presentation/3/b-1/manifest.json").json
    assert document["label"] == {"none": ["Iphigenie"]}
    assert texts(document["metadata"]) == {"uuid": "b-1", "work": "Iphigenie", "shelf mark": "Qa 18"}
    canvases = document["items"]
    assert [canvas["label"]["none"][0] for canvas in canvases] == ["title", "verso", "recto"]
    assert [canvas["width"] for canvas in canvases] == [53, 52, 51]
    assert texts(canvases[0]["metadata"]) == {"side": "title", "no": "1", "part": "Act I", "year": "1788"}
    assert "a/2.png" not in str(document["metadata"])
    ranges = [(one["label"]["none"][0], [item["id"] for item in one["items"]]) for one in document["structures"]]
    ids = [canvas["id"] for canvas in canvases]
    assert ranges == [("Act I", ids[:2]), ("Act II", ids[2:])]
    assert "structures" not in served.get("/presentation/3/b-2/manifest.json").json


def test_a_row_without_an_item_is_one_alone(served: Server) -> None:
    document = served.get(f"/presentation/3/{quote('loose, ü.png')}/manifest.json").json
    assert len(document["items"]) == 1
    assert texts(document["metadata"]) == {"shelf mark": "Qa 19"}
    single = served.get("/presentation/3/a%2F3.png/manifest.json").json
    assert [canvas["label"]["none"][0] for canvas in single["items"]] == ["recto"]
    assert served.get("/presentation/3/b-3/manifest.json").status == 404


def test_columns_are_searched(table: Path) -> None:
    shown = catalogue(table)
    assert shown.search().total == 6
    assert [entry.id for entry in shown.search("qa 18 act").entries] == ["a/3.png", "a/1.png", "a/2.png"]
    assert [entry.id for entry in shown.search("LOOSE, Ü").entries] == ["loose, ü.png"]
    assert shown.search(table.parent.name).total == 0  # the folder that all have in common says nothing
    assert shown.search("FAUST <1>").entries[0].item == "b-2"
    assert shown.search("%").total == shown.search("_").total == 0
    assert shown.search(state="done").total == 0
    assert shown.search(folder="b-1", limit=0).total == 3
    assert shown.search(folder="b-1", offset=2, limit=5).entries[0].label == "title"


def test_folders_and_tables_are_searched_together(table: Path, tmp_path: Path) -> None:
    for name in ("x/one.png", "x/y/two.png", "three.png"):
        write_image(tmp_path / "more" / name)
    both = open_catalogue([f"m={table}", str(tmp_path / "more")], NetworkOptions(), columns={"source": "path"})
    assert both.search().total == 9
    assert [entry.id for entry in both.search("Two.png").entries] == ["more/x/y/two.png"]
    assert [entry.id for entry in both.search(folder="more/x").entries] == ["more/x/one.png", "more/x/y/two.png"]
    assert [entry.id for entry in both.search(offset=2, limit=2).entries] == ["more/x/y/two.png", "m/z/last.png"]
    assert both.find("m/z/last.png").url.endswith("/z/last.png")


def test_a_changed_manifest_is_noticed(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png")
    path = manifest(tmp_path / "m.csv", ["source,item", "a.png,one"])
    shown = catalogue(path, "source=source")
    assert list(shown.contents().items) == ["one"]
    manifest(path, ["source,item", "a.png,one", "b.png,two"])
    assert list(shown.contents(0).items) == ["one", "two"]
    assert shown.find("b.png").version is not None
    manifest(path, ["nothing that is known", "b.png"])
    assert list(shown.contents(0).items) == ["one", "two"]


def test_addresses_with_signatures_are_not_shown(tmp_path: Path) -> None:
    path = manifest(tmp_path / "m.csv", ["source,item", "https://x.example/a.jp2?sig=SECRET,one"])
    shown = catalogue(path, "source=source")
    [entry] = shown.search().entries
    assert entry.id == "row/1/a.jp2"
    assert "SECRET" not in repr(entry)
    assert shown.find("row/1/a.jp2").url == "https://x.example/a.jp2?sig=SECRET"


def test_what_is_no_manifest_is_said_at_once(tmp_path: Path) -> None:
    path = manifest(tmp_path / "m.csv", ["path", "a.png"])
    with pytest.raises(UsageError, match="--columns source=NAME"):
        catalogue(path, "item=path")
