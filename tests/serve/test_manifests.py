"""A manifest, served: its order, its columns, its images wherever they lie."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import text

from jobs import manifest, picture, write_image
from serving import Server, serving
from ziggurat.errors import UsageError
from ziggurat.serve.catalogue import Catalogue, open_catalogue
from ziggurat.serve.items import Wanted, section_parts
from ziggurat.serve.words import Term, terms
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
    assert [entry.id for entry in shown.search(Wanted("qa 18 act")).entries] == ["a/3.png", "a/1.png", "a/2.png"]
    assert [entry.id for entry in shown.search(Wanted("LOOSE, Ü")).entries] == ["loose, ü.png"]
    assert shown.search(Wanted(table.parent.name)).total == 0  # the folder that all have in common says nothing
    assert shown.search(Wanted("FAUST <1>")).entries[0].item == "b-2"
    assert shown.search(Wanted("%")).total == shown.search(Wanted("_")).total == 0
    assert shown.search(Wanted(state="done")).total == 0
    assert shown.search(Wanted(item="b-1"), limit=0).total == 3
    assert shown.search(Wanted(item="b-1"), offset=2, limit=5).entries[0].label == "recto"


def test_one_column_is_searched(table: Path) -> None:
    shown = catalogue(table)

    def found(q: str, **more: str) -> list[str]:
        return [entry.id for entry in shown.search(Wanted(q, **more)).entries]

    assert found("year:1787") == ["a/3.png", "a/1.png"]
    assert found("PART:i") == ["a/3.png", "a/1.png", "a/2.png"]
    assert found('part:"act ii"') == ["a/3.png"]
    assert found('"Shelf Mark":17') == ["z/last.png"]
    assert found('"shelf mark":"Qa 18" work:iph year:1788') == ["a/2.png"]
    assert found("year:1787 recto", item="b-1", under="a") == ["a/3.png"]
    assert found("year:") == ["z/last.png", "a/3.png", "a/1.png", "a/2.png", "none.png"]
    # What is no column is a part of the word, and the column of sources is nobody's business.
    assert found("urn:faust") == found("path:last") == found("year:%") == []
    assert "path" not in shown.columns()


def test_a_column_of_a_hundred_thousand_rows_is_searched_at_once(tmp_path: Path) -> None:
    rows = (
        f"box {number // 1000}/{number}.jp2,i-{number // 20},{number % 3},{number % 20}" for number in range(100_000)
    )
    shown = catalogue(manifest(tmp_path / "m.csv", ["source,item,kind,page", *rows]), "source=source")
    for wanted, total in (
        (Wanted("kind:1"), 33_333), (Wanted("kind:1 box", under="box 7"), 334), (Wanted(item="i-77"), 20),
    ):  # fmt: skip
        began = time.process_time()
        assert shown.search(wanted, 10, 10).total == total
        assert time.process_time() - began < 4
    assert len(shown.folders()) == 100
    assert shown.place("box 7/7777.jp2").index == 17


def test_words_are_taken_apart_as_they_were_typed() -> None:
    columns = ("material", "shelf mark")
    for q, expected in (
        ("", []),
        ('  two "old  maps" ', [Term("two"), Term("old  maps")]),
        ('Material:Map "shelf mark":17', [Term("Map", "material"), Term("17", "shelf mark")]),
        ("material: map", [Term("", "material"), Term("map")]),
        ('material:"old map"x', [Term("old map", "material"), Term("x")]),
        ('10:30 urn:nbn:de :a 5" "', [Term("10:30"), Term("urn:nbn:de"), Term(":a"), Term('5"'), Term('"')]),
        ('"" other:""', [Term("other:")]),
    ):
        assert terms(q, columns) == expected, q


@settings(deadline=None)
@given(text(alphabet='ab": \\%'))
def test_anything_can_be_typed(q: str) -> None:
    assert all(term.text or term.column for term in terms(q, ("a", "b b")))
    letters = "".join(q.split()).replace('"', "").replace(":", "")
    found = "".join((term.column or "") + term.text for term in terms(q, ()))
    assert "".join(found.split()).replace('"', "").replace(":", "") == letters


def test_folders_of_a_manifest_are_those_of_its_sources(tmp_path: Path) -> None:
    sources = (
        "b/1.png",
        "b/c/2.png",
        "a/3.png",
        "4.png",
        "https://x.example/d/5.png?sig=a/SECRET",
        "s3://maps/eu/6.png",
    )
    shown = catalogue(manifest(tmp_path / "m.csv", ["source", *sources]), "source=source")
    assert shown.folders() == [("a", 1), ("b", 2), ("maps", 1), ("row", 1)]
    assert [(entry.id, entry.folder) for entry in shown.search(Wanted(folder="maps/eu")).entries] == [
        ("s3://maps/eu/6.png", "maps/eu")
    ]
    assert shown.folders("b") == [("b/c", 1)]
    assert shown.folders("b/c") == shown.folders("SECRET") == []
    assert [entry.id for entry in shown.search(Wanted(under="b")).entries] == ["b/1.png", "b/c/2.png"]
    assert [entry.id for entry in shown.search(Wanted(folder="b")).entries] == ["b/1.png"]
    assert [entry.id for entry in shown.search(Wanted(folder="")).entries] == ["4.png"]
    assert shown.search(Wanted("SECRET")).total == 0
    named = open_catalogue([f"m={tmp_path / 'm.csv'}", str(tmp_path)], NetworkOptions())
    assert ("m", 6) in named.folders()
    assert named.folders("m/b") == [("m/b/c", 1)]
    assert [entry.folder for entry in named.search(Wanted(under="m/b/c")).entries] == ["m/b/c"]


def test_an_image_knows_the_pages_beside_it(served: Server) -> None:
    place = served.get("/api/place/a%2F1.png").json
    assert place == {
        "ref": "a%2F1.png", "item": "b-1", "title": "Iphigenie", "beside": "item=b-1", "index": 1, "total": 3,
    }  # fmt: skip
    beside = served.get(f"/api/items?{place['beside']}").json["items"]
    assert [(page["name"], page["title"]) for page in beside] == [
        ("title", "Iphigenie"), ("verso", "Iphigenie"), ("recto", "Iphigenie"),
    ]  # fmt: skip
    alone = served.get(f"/api/place/{quote('loose, ü.png')}").json
    assert (alone["title"], alone["beside"], alone["index"], alone["total"]) == (None, "folder=", 0, 2)


@pytest.mark.parametrize(
    ("section", "parts"),
    [(None, ()), ("", ()), ("Act I", ("Act I",)), ("Part 1 / Chapter 2", ("Part 1", "Chapter 2")), ("/", ("/",)),
     ("/a//b/", ("a", "b"))],
)  # fmt: skip
def test_slashes_divide_a_section(section: str | None, parts: tuple[str, ...]) -> None:
    assert section_parts(section) == parts


def test_parts_of_parts_are_ranges_in_ranges(tmp_path: Path) -> None:
    sections = ("", "Part 1", "Part 1/Chapter 1", "Part 1/Chapter 1", "Part 1/Chapter 2", "", "Part 2/Chapter 1/§ 1")
    lines = [f"{number}.png,book,{section}" for number, section in enumerate(sections)]
    for number in range(len(sections)):
        write_image(tmp_path / f"{number}.png", picture(20, 20, seed=number))
    with serving(manifest(tmp_path / "m.csv", ["source,item,section", *lines]), "--workers", 1) as server:
        document = server.get("/presentation/3/book/manifest.json").json

    def outline(ranges: list[dict[str, Any]]) -> list[Any]:
        return [
            one["id"].rpartition("/")[2]
            if one["type"] == "Canvas"
            else {one["label"]["none"][0]: outline(one["items"])}
            for one in ranges
        ]

    assert outline(document["structures"]) == [
        {"Part 1": ["2", {"Chapter 1": ["3", "4"]}, {"Chapter 2": ["5"]}]},
        {"Part 2": [{"Chapter 1": [{"§ 1": ["7"]}]}]},
    ]
    ids = re.findall(r'"id": "([^"]*/range/[^"]*)"', json.dumps(document["structures"]))
    assert len(set(ids)) == len(ids) == 6


def test_folders_and_tables_are_searched_together(table: Path, tmp_path: Path) -> None:
    for name in ("x/one.png", "x/y/two.png", "three.png"):
        write_image(tmp_path / "more" / name)
    both = open_catalogue([f"m={table}", str(tmp_path / "more")], NetworkOptions(), columns={"source": "path"})
    assert both.search().total == 9
    assert [entry.id for entry in both.search(Wanted("Two.png")).entries] == ["more/x/y/two.png"]
    assert [entry.id for entry in both.search(Wanted(under="more/x")).entries] == ["more/x/one.png", "more/x/y/two.png"]
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
