"""What is said of the images of a pack is searched and shown as a manifest's columns are."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import pytest

from jobs import write_image
from packs import packable
from serving import Server, serving
from ziggurat.cli import run
from ziggurat.pack.writer import PackWriter
from ziggurat.serve import pack_table
from ziggurat.serve.catalogue import open_catalogue
from ziggurat.serve.items import Wanted
from ziggurat.serve.settings import SERVE_NETWORK

SAID: Mapping[str, Sequence[object]] = {
    "plates/1.png": ("gold", 7, "Ärmel"),
    "plates/2.png": ("silver", 12.5, ""),
    "plates/10.png": ("gold", 3, "it's 100%"),
    "plates/inner/a.png": ("iron", "", ""),
    "coin.png": ("Gold leaf", 40, ""),
    "bare.png": ("", "", ""),
}


def attributes(path: Path, said: Mapping[str, Sequence[object]], header: Sequence[str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *([key, *values] for key, values in said.items())])
    return path


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    for number, key in enumerate(SAID):
        (folder / "in" / key).parent.mkdir(parents=True, exist_ok=True)
        write_image(folder / "in" / key, seed=number)
    said = attributes(folder / "said.csv", SAID, ("key", "material", "weight g", "note"))
    assert run(["pack", str(folder / "in"), str(folder / "find's.zpk"), "--attributes", str(said)]) == 0
    with PackWriter(folder / "find's.zpk") as writer:
        writer.put(packable(".hidden/x.png", b"never served", material="gold"))
    return folder / "find's.zpk"


@pytest.fixture(scope="module")
def server(pack: Path) -> Iterator[Server]:
    with serving(pack, "--workers", 1) as server:
        yield server


def found(server: Server, **asked: object) -> list[str]:
    query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in asked.items())
    answer = server.get(f"/api/items?{query}").json
    assert answer["complete"] is True
    ids = [item["id"] for item in answer["items"]]
    if "limit" not in asked:
        assert answer["total"] == len(ids)
    return ids


@pytest.mark.parametrize(
    ("q", "keys"),
    [
        ("", ["bare.png", "coin.png", "plates/1.png", "plates/2.png", "plates/10.png", "plates/inner/a.png"]),
        ("material:gold", ["coin.png", "plates/1.png", "plates/10.png"]),
        ("MATERIAL:GOLD plates", ["plates/1.png", "plates/10.png"]),
        ("gold", ["coin.png", "plates/1.png", "plates/10.png"]),
        ("ärmel", ["plates/1.png"]),
        ('note:"s 100%"', ["plates/10.png"]),
        ('"weight g":12.5', ["plates/2.png"]),
        ('"weight g":', ["coin.png", "plates/1.png", "plates/2.png", "plates/10.png"]),
        ("colour:gold", []),
        ("material:' OR 1", []),
        ("inner", ["plates/inner/a.png"]),
    ],
)
def test_words_and_columns_find_images(server: Server, q: str, keys: list[str]) -> None:
    assert found(server, q=q) == keys


def test_the_page_is_told_which_columns_there_are(server: Server) -> None:
    assert server.get("/api/site").json["columns"] == ["material", "weight g", "note"]


def test_parts_of_a_pack_are_shown_as_folders_and_items(server: Server) -> None:
    plates = ["plates/1.png", "plates/2.png", "plates/10.png"]
    assert found(server, item="plates") == plates
    assert found(server, folder="plates") == plates
    assert found(server, under="plates") == [*plates, "plates/inner/a.png"]
    assert found(server, folder="") == ["bare.png", "coin.png"]
    assert found(server, item="coin.png") == ["coin.png"]
    assert found(server, item="plates/1.png") == []
    assert found(server, state="done") == []
    assert found(server, offset=1, limit=2) == ["coin.png", "plates/1.png"]
    folders = server.get("/api/folders").json["folders"]
    assert [(folder["folder"], folder["count"]) for folder in folders] == [("plates", 4)]
    place = server.get("/api/place/plates%2F10.png").json
    assert (place["index"], place["total"], place["title"]) == (2, 3, "plates")


def test_an_image_has_what_is_said_of_it_among_its_facts(server: Server) -> None:
    told = server.get("/api/image/plates%2F2.png").json
    assert told["described"] == [
        {"label": "material", "value": "silver"},
        {"label": "weight g", "value": "12.5"},
    ]
    assert server.get("/api/image/bare.png").json["described"] == []
    assert server.get("/api/image/.hidden%2Fx.png").status == 404


def test_manifests_have_labels_and_metadata(server: Server) -> None:
    def pairs(described: Mapping[str, object]) -> dict[str, str]:
        metadata = json.loads(json.dumps(described.get("metadata", [])))
        return {pair["label"]["none"][0]: pair["value"]["none"][0] for pair in metadata}

    one = server.get("/presentation/3/coin.png/manifest.json").json
    assert pairs(one) == {"material": "Gold leaf", "weight g": "40.0"}
    several = server.get("/presentation/3/plates/manifest.json").json
    assert several["label"] == {"none": ["plates"]}
    assert [pairs(canvas)["material"] for canvas in several["items"]] == ["gold", "silver", "gold"]
    collection = server.get("/presentation/3/collection.json").json
    assert [item["label"]["none"][0] for item in collection["items"]] == ["bare", "coin", "plates", "inner"]


def test_several_places_are_searched_together_and_what_is_new_is_found(pack: Path, tmp_path: Path) -> None:
    copy = tmp_path / "it's.zpk"
    copy.write_bytes(pack.read_bytes())
    folder = tmp_path / "folder"
    folder.mkdir()
    write_image(folder / "gold.png")
    with serving(copy, folder, "--workers", 1) as server:
        assert found(server, q="gold", limit=2) == ["folder/gold.png", "it's/coin.png"]
        assert found(server, q="it's coin") == ["it's/coin.png"]
        assert found(server, item="it's/coin.png") == ["it's/coin.png"]
        assert found(server, folder="it's") == ["it's/bare.png", "it's/coin.png"]
        assert found(server, folder="") == []
        assert found(server, q="age:") == []
        write_image(tmp_path / "more" / "new.png")
        said = attributes(tmp_path / "more.csv", {"new.png": ("bronze",)}, ("key", "age"))
        assert run(["add", str(tmp_path / "more"), str(copy), "--attributes", str(said)]) == 0
        assert found(server, q="age:bronze") == ["it's/new.png"]
        assert server.get("/api/folders").json["folders"][-1]["count"] == 7
        copy.unlink()
        assert found(server, q="folder/gold") == ["folder/gold.png"]


def test_more_images_than_are_put_in_order_are_paged_by_key(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_table, "NATURAL", 2)
    catalogue = open_catalogue((str(pack),), SERVE_NETWORK)
    seen = [entry.id for start in range(0, 6, 2) for entry in catalogue.search(Wanted(), start, 2).entries]
    assert seen == sorted(SAID)
    assert [catalogue.place(f"plates/{name}.png").index for name in (1, 10, 2)] == [0, 1, 2]
    assert catalogue.search(Wanted("gold"), 0, 2).total == 3
