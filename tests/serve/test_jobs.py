"""A job, served while it runs and afterwards."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from jobs import FAST, convert, finish, manifest, picture, query, start, write_image, ziggurat
from ledger_builder import fail as fail_row
from ledger_builder import finish as finish_row
from ledger_builder import planned
from serving import Server, serving
from ziggurat.convert.ledger.reviews import Review, record
from ziggurat.convert.manifest import Row
from ziggurat.errors import SourceNotFound
from ziggurat.serve.catalogue import open_catalogue
from ziggurat.serve.desk import Desk
from ziggurat.serve.items import Wanted
from ziggurat.storage.network import NetworkOptions

REVIEW = "/api/job/review"
SLOWLY = Path(__file__).parents[1] / "convert" / "fault_driver.py"


def collection(folder: Path) -> Path:
    """Seven images of three items, one of them broken."""
    lines = ["path,object,title,material"]
    for number in range(6):
        write_image(folder / f"scan {number}.png", picture(200, 300, seed=number))
        lines.append(f"scan {number}.png,item {number // 3},page {number % 3 + 1},{'map' if number < 4 else 'coin'}")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"nothing" * 9)
    return manifest(folder / "list.csv", [*lines, "broken.png,item 2,page 1,coin"])


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    table = collection(folder / "in")
    convert(
        table, folder / "out", "--columns", "source=path,item=object,name=title,group=material",
        "--name", "{object}/{title}", "--job", folder / "library.zgj",
    )  # fmt: skip
    return folder / "library.zgj"


@pytest.fixture(scope="module")
def served(job: Path) -> Iterator[Server]:
    with serving(job, "--workers", 1) as server:
        yield server


def part(identifier: str) -> str:
    return quote(identifier, safe="")


def test_a_job_says_how_far_it_is(served: Server) -> None:
    answer = served.get("/api/job")
    assert answer.headers["Cache-Control"] == "no-store"
    said = answer.json
    assert (said["name"], said["state"], said["total"]) == ("library", "done", 7)
    assert said["counts"] == {"done": 6, "failed": 1, "pending": 0, "running": 0, "skipped": 0}
    assert said["bytes_in"] > said["bytes_out"] > 0
    assert (said["rate_per_second"], said["eta_seconds"]) == (0, None)
    [failure] = said["failures"]
    assert failure["item"] == "item 2/page 1.jpg"
    assert failure["source"].endswith("/in/broken.png")
    assert "broken.png" in failure["reason"]


def test_source_and_output_of_a_row_are_images(served: Server, job: Path) -> None:
    pairs = served.get(REVIEW).json["pairs"]
    assert len(pairs) == 6
    for pair in pairs:
        for name, same in (("source_id", True), ("output_id", False)):
            shown = served.get(f"/iiif/3/{part(pair[name])}/full/max/0/default.png")
            assert shown.size == (200, 300)
            number = 3 * int(pair["item"][5]) + int(pair["item"][12]) - 1
            difference = np.abs(shown.pixels.astype(int) - picture(200, 300, seed=number))
            assert bool(difference.max() == 0) is same
            assert difference.mean() < 3
        assert served.get(f"/download/{part(pair['output_id'])}").body[:3] == b"\xff\xd8\xff"
    assert pairs[0]["output_id"] == f"output/{pairs[0]['item']}"
    assert query(job, "SELECT count(*) FROM images WHERE state = 'done'") == [(6,)]


def test_nothing_but_the_rows_can_be_reached(served: Server, job: Path) -> None:
    for identifier in (
        "output/item 2/page 1.jpg", "output/../library.zgj", "output/", "output", "source/1", "source/1/other.png",
        "source/8/scan 0.png", "source/-1/x", "row/1/scan 0.png", str(job), "library.zgj", "in/scan 0.png", "",
        f"source/1/{job.parent}/in/scan 0.png", "output/item 0", "output/item 0/page 1.jpg/",
        "source/99999999999999999/x",
    ):  # fmt: skip
        answer = served.get(f"/iiif/3/{part(identifier)}/info.json")
        assert answer.status == 404, (identifier, answer.body)
        assert str(job.parent) not in answer.body.decode() or str(job.parent) in identifier


def test_a_job_is_a_collection_of_its_items(served: Server) -> None:
    document = served.get("/presentation/3/collection.json").json
    assert [item["label"]["none"] for item in document["items"]] == [["item 0"], ["item 1"], ["item 2"]]
    assert document["label"] == {"none": ["library"]}
    first = served.get("/presentation/3/item%200/manifest.json").json
    assert [canvas["label"]["none"] for canvas in first["items"]] == [["page 1"], ["page 2"], ["page 3"]]
    assert {"label": {"none": ["material"]}, "value": {"none": ["map"]}} in first["metadata"]
    assert all("output%2Fitem%200" in canvas["rendering"][0]["id"] for canvas in first["items"])
    single = part("output/item 0/page 2.jpg")
    assert len(served.get(f"/presentation/3/{single}/manifest.json").json["items"]) == 1


def test_a_judgement_is_written_shown_and_reported(served: Server, job: Path, tmp_path: Path) -> None:
    item = "item 1/page 2.jpg"
    answer = served.post(f"{REVIEW}/{part(item)}", {"verdict": "reject", "note": "moiré", "reviewer": "ada"})
    assert (answer.status, answer.body) == (204, b"")
    [pair] = [pair for pair in served.get(f"{REVIEW}?count=99").json["pairs"] if pair["item"] == item]
    assert (pair["verdict"], pair["note"], pair["reviewer"]) == ("reject", "moiré", "ada")
    assert abs(pair["reviewed_at"] - time.time()) < 60
    assert served.get("/api/job").json["reviews"] == {"accept": 0, "reject": 1}
    assert ziggurat("report", job, tmp_path / "page.html", "--samples", 0).code == 0
    assert "moiré" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert served.post(f"{REVIEW}/{part(item)}", {"verdict": None}).status == 204
    assert served.get("/api/job").json["reviews"] == {"accept": 0, "reject": 0}
    assert served.post(f"{REVIEW}/none.jpg", {"verdict": "accept"}).status == 404
    assert served.post(f"{REVIEW}/{part('item 2/page 1.jpg')}", {"verdict": "accept"}).status == 404


def test_the_sample_has_every_group_worst_first(served: Server) -> None:
    pairs = served.get(f"{REVIEW}?count=3").json["pairs"]
    assert [pair["group"] for pair in pairs].count("map") == 2
    scores = [pair["fidelity"]["ssimulacra2"] for pair in pairs]
    assert scores == sorted(scores)
    assert served.get(f"{REVIEW}?count=3").json["pairs"] == pairs
    for bad in ("0", "-1", "x", "100000", "1001"):
        assert served.get(f"{REVIEW}?count={bad}").status == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 204),
        ({"Origin": ""}, 204),
        ({"Sec_Fetch_Site": "same-origin"}, 204),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Content_Type": "text/plain"}, 403),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 403),
        ({"Host": "rebound.example:80", "Origin": "http://rebound.example:80"}, 403),
        ({"Host": "localhost:99", "Origin": "http://localhost:99"}, 204),
    ],
)
def test_only_the_servers_own_pages_may_write(served: Server, headers: dict[str, str], status: int) -> None:
    path = f"{REVIEW}/{part('item 0/page 1.jpg')}"
    assert served.post(path, {"verdict": None, "note": ""}, **headers).status == status


def test_no_other_site_is_told_that_it_may_write(served: Server) -> None:
    answer = served.get(f"{REVIEW}/x", "OPTIONS", Origin="https://evil.example", Access_Control_Request_Method="POST")
    assert "POST" not in answer.headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"no json", b"[]", b"[" * 50_000, {}, {"verdict": "perhaps"}, {"verdict": ["accept"]}, {"verdict": 1},
        {"verdict": "accept", "note": 5}, {"verdict": "accept", "note": "x" * 10_001},
        {"verdict": "accept", "reviewer": "x" * 201},
    ],
)  # fmt: skip
def test_what_is_no_judgement_is_refused(served: Server, body: object) -> None:
    assert served.post(f"{REVIEW}/{part('item 0/page 1.jpg')}", body).status == 400


def test_a_judgement_of_a_megabyte_is_hung_up_on(served: Server) -> None:
    path = f"{REVIEW}/{part('item 0/page 1.jpg')}"
    with pytest.raises((ConnectionError, HTTPException)):
        served.post(path, b" " * (1 << 20) + b'{"verdict": "accept"}')
    assert served.get("/api/job").json["reviews"]["accept"] == 0


def test_bytes_that_are_no_text_name_nothing(served: Server) -> None:
    for path in ("/iiif/3/%FF/info.json", "/presentation/3/%FF/manifest.json", "/zarr/output%2F%FF/zarr.json"):
        assert served.get(path).status == 404
    assert served.post(f"{REVIEW}/%FF", {"verdict": "accept"}).status == 404
    assert served.get("/presentation/3/%00/manifest.json").status == 404
    assert served.get("/iiif/3/output%2Fa%00b.jpg/info.json").status == 404


def test_other_methods_write_nothing(served: Server) -> None:
    assert served.get(f"{REVIEW}/x").status == 405
    for path in ("/api/job", "/iiif/3/x/info.json", "/api/other"):
        assert served.post(path, {"verdict": "accept"}).status in {404, 405}
    assert served.get("/api/job/other").status == served.get("/api/none").status == 404


def test_a_judgement_needs_the_secret_and_has_the_name(job: Path) -> None:
    with serving(job, "--workers", 1, "--auth", "basic", ZIGGURAT_SERVE_SECRET="ada:lovelace") as server:
        path = f"{REVIEW}/{part('item 0/page 2.jpg')}"
        assert server.post(path, {"verdict": "accept"}).status == 401
        assert server.get("/api/job").status == 401
        known = {"Authorization": "Basic YWRhOmxvdmVsYWNl"}
        assert server.post(path, {"verdict": "accept", "reviewer": "eve"}, **known).status == 204
        assert server.post(path, {"verdict": "accept"}, Origin="http://evil.example", **known).status == 403
    last = "SELECT reviewer, verdict FROM reviews ORDER BY id DESC LIMIT 1"
    assert query(job, last) == [("ada", "accept")]


def test_a_judgement_needs_the_token(job: Path) -> None:
    token = "a-token-of-enough-characters"  # noqa: S105 - of a test
    with serving(job, "--workers", 1, "--auth", "token", ZIGGURAT_SERVE_SECRET=token) as server:
        path, body = f"{REVIEW}/{part('item 0/page 3.jpg')}", {"verdict": "accept", "reviewer": "ada"}
        assert server.post(path, body).status == server.post(path, body, Cookie="ziggurat=wrong").status == 401
        for known in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"ziggurat={token}"}):
            assert server.post(path, body, **known).status == 204
            assert server.post(path, body, Origin="https://evil.example", **known).status == 403
            # Whoever has the token may call the server by any name.
            named = {"Host": "images.example", "Origin": "https://images.example"}
            assert server.post(path, body, **named, **known).status == 204
    last = "SELECT reviewer, verdict FROM reviews ORDER BY id DESC LIMIT 1"
    assert query(job, last) == [("ada", "accept")]


def planned_rows(ledger: Path) -> int:
    """How many images stand in a ledger that is being written."""
    try:
        [(number,)] = query(ledger, "SELECT count(*) FROM images") if ledger.exists() else [(0,)]
    except sqlite3.OperationalError:
        return 0
    return int(str(number))


def test_a_job_is_watched_and_reviewed_while_it_runs(tmp_path: Path) -> None:
    for number in range(20):
        write_image(tmp_path / "in" / f"a{number:02}.png", picture(300, 400, seed=number))
    ledger = tmp_path / "live.zgj"
    options = ("--to", "jpeg", *FAST, "--job", ledger)
    # Slow enough for a server to start meanwhile.
    process = start("convert", tmp_path / "in", tmp_path / "out", *options, driver=SLOWLY, SLOW="0.6")
    seen: list[tuple[str, int]] = []
    rates: list[float] = []
    judged = 0
    try:
        while not planned_rows(ledger):
            assert process.poll() is None
            time.sleep(0.05)
        with serving(ledger, "--workers", 1) as server:
            while not seen or seen[-1][0] == "running":
                said = server.get("/api/job").json
                assert sum(said["counts"].values()) == said["total"] == 20
                assert (said["eta_seconds"] is not None) <= (said["state"] == "running")
                seen.append((said["state"], said["counts"]["done"]))
                rates.append(said["rate_per_second"])
                pairs = server.get(f"{REVIEW}?count=5").json["pairs"]
                if pairs:
                    path = f"{REVIEW}/{part(pairs[0]['item'])}"
                    judged += server.post(path, {"verdict": "accept"}).status == 204
                time.sleep(0.2)
        result = finish(process)
    finally:
        process.kill()
    assert result.code == 0, result.said
    assert seen[-1] == ("done", 20)
    assert max(rates) > 0
    assert rates[-1] == 0
    done = [number for _, number in seen]
    assert done == sorted(done)
    assert judged
    assert query(ledger, "SELECT count(*) FROM reviews") == [(judged,)]


def test_a_long_ledger_is_cheap_to_watch(tmp_path: Path) -> None:
    path = tmp_path / "long.zgj"
    with planned(path, [Row(source=f"/in/{n}.jp2") for n in range(3)]) as ledger:
        finish_row(ledger, 1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP INDEX images_target")
        columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(images)") if name != "id"]
        own = ", ".join(columns)
        for _ in range(15):
            connection.execute(f"INSERT INTO images ({own}) SELECT {own} FROM images")  # noqa: S608 - own columns
        connection.commit()
    desk = Desk.of(open_catalogue([str(path)], NetworkOptions()))
    assert desk is not None
    assert desk.progress()["total"] == 3 << 15
    took = []
    for _ in range(3):
        time.sleep(0.6)
        began = time.process_time()
        desk.progress()
        took.append(time.process_time() - began)
    assert min(took) < 0.3
    record(path, Review(image=1, verdict="accept"))
    until = time.monotonic() + 60
    while desk.progress()["reviews"] != {"accept": 1, "reject": 0}:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_searching_a_job(job: Path) -> None:
    catalogue = open_catalogue([str(job)], NetworkOptions())
    everything = catalogue.search()
    assert everything.total == 7
    assert [entry.label for entry in everything.entries][:3] == ["page 1", "page 2", "page 3"]
    assert {entry.state for entry in everything.entries} == {"done", "refused"}
    assert catalogue.search(Wanted("COIN")).total == 3
    assert catalogue.search(Wanted("coin page", state="done")).total == 2
    assert catalogue.search(Wanted(state="failed")).total == catalogue.search(Wanted("broken")).total == 1
    assert catalogue.search(Wanted("100%")).total == catalogue.search(Wanted("nothing")).total == 0
    part_ = catalogue.search(Wanted(item="item 0"), offset=1, limit=1)
    assert (part_.total, [entry.id for entry in part_.entries]) == (3, ["output/item 0/page 2.jpg"])
    assert part_.entries[0].counterpart == "source/2/scan 1.png"
    assert ("material", "map") in part_.entries[0].metadata


def test_the_viewer_is_told_of_a_job(served: Server) -> None:
    assert served.get("/api/site").json["job"] is True
    items = served.get("/api/items").json
    assert (items["total"], len(items["items"])) == (7, 7)
    assert {item["state"] for item in items["items"]} == {"done", "refused"}
    assert [item["name"] for item in items["items"]][:2] == ["page 1", "page 2"]
    found = served.get("/api/items?q=coin&state=done&offset=1").json
    assert (found["total"], [item["ref"] for item in found["items"]]) == (2, [part("output/item 1/page 3.jpg")])
    assert served.get("/api/items?state=pending").json["total"] == 0
    # Images are where their outputs lie, or would.
    folders = [(folder["folder"], folder["count"]) for folder in served.get("/api/folders").json["folders"]]
    assert folders == [("item 0", 3), ("item 1", 3), ("item 2", 1)]
    below = served.get("/api/items?under=item%202&state=failed").json["items"]
    assert [(one["side"], one["state"], one["folder"]) for one in below] == [("source", "refused", "item 2")]
    said = served.get("/api/items?item=item%201&q=title:3%20material:coin").json
    assert [(one["name"], one["title"], one["side"]) for one in said["items"]] == [("page 3", "item 1", "output")]
    assert said["items"][0]["fidelity"]["psnr"] > 20
    assert served.get("/api/site").json["columns"] == ["object", "title", "material"]
    image = served.get(f"/api/image/{part('output/item 0/page 2.jpg')}").json
    assert (image["name"], image["state"]) == ("page 2", "done")
    place = served.get(f"/api/place/{part('output/item 0/page 2.jpg')}").json
    assert (place["beside"], place["index"], place["total"]) == (f"item={part('item 0')}", 1, 3)
    source = served.get(f"/api/place/{part('source/2/scan 1.png')}").json
    assert (source["beside"], source["index"], source["title"]) == (place["beside"], 1, "item 0")
    assert image["counterpart"] == part("source/2/scan 1.png")
    assert image["fidelity"]["psnr"] > 20
    assert {"label": "material", "value": "map"} in image["described"]
    for page in ("", "job", "review"):
        assert served.get(f"/{page}").status in {200, 501}


def test_a_job_that_nobody_works_on_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "j.zgj"
    rows = [Row(source=f"/in/{n}.jp2", item="it") for n in range(3)]
    with planned(path, rows) as ledger:
        finish_row(ledger, 1)
        desk = Desk.of(open_catalogue([str(path)], NetworkOptions()))
        assert desk is not None
        assert desk.progress()["state"] == "running"
    until = time.monotonic() + 60
    while (said := desk.progress())["state"] == "running":
        assert time.monotonic() < until
        time.sleep(0.1)
    assert (said["state"], said["eta_seconds"], said["rate_per_second"]) == ("stopped", None, 0)
    assert said["counts"] == {"done": 1, "failed": 0, "pending": 2, "running": 0, "skipped": 0}


def test_signatures_of_addresses_are_told_nobody(tmp_path: Path) -> None:
    path = tmp_path / "j.zgj"
    with planned(path, [Row(source=f"https://x.example/{n}.jp2?sig=SECRET") for n in range(2)]) as ledger:
        finish_row(ledger, 1)
        fail_row(ledger, 2, "it is gone")
    catalogue = open_catalogue([str(path)], NetworkOptions())
    desk = Desk.of(catalogue)
    assert desk is not None
    assert "SECRET" not in repr((desk.progress(), desk.sample(5), catalogue.search()))
    assert catalogue.find("source/2/1.jp2").url.endswith("SECRET")


def test_a_ledger_cannot_lead_out_of_its_destination(tmp_path: Path) -> None:
    path = tmp_path / "j.zgj"
    write_image(tmp_path / "secret.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "text.png").write_text("secret", encoding="utf-8")
    with planned(path, [Row(source=f"/in/{n}.jp2") for n in range(4)], destination=str(tmp_path / "out")) as ledger:
        for image in (1, 2, 3):
            finish_row(ledger, image)
    with closing(sqlite3.connect(path)) as connection:
        for image, target in ((1, "../secret.jpg"), (2, str(tmp_path / "secret.jpg")), (3, "a/../../secret.jpg")):
            connection.execute("UPDATE images SET target = ? WHERE id = ?", (target, image))
        for image, source in ((1, "memory:x"), (2, "nonsense://x/y"), (3, str(tmp_path / "out")), (4, "\x01")):
            connection.execute("UPDATE images SET source = ? WHERE id = ?", (source, image))
        connection.commit()
    catalogue = open_catalogue([str(path)], NetworkOptions())
    listed = catalogue.search().entries
    assert len(listed) == 4
    for identifier in [name for entry in listed for name in (entry.id, entry.counterpart) if name]:
        with pytest.raises(SourceNotFound):
            catalogue.find(identifier)


def test_an_image_of_a_job_knows_its_counterpart(job: Path) -> None:
    catalogue = open_catalogue([f"lib={job}"], NetworkOptions())
    output, source = "lib/output/item 0/page 1.jpg", "lib/source/1/scan 0.png"
    for one, other in ((output, source), (source, output)):
        entry = catalogue.entry(one)
        assert entry is not None
        assert (entry.id, entry.counterpart, entry.item, entry.state) == (one, other, "lib/item 0", "done")
        assert 20 < (entry.psnr or 0) < 99
        assert 20 < (entry.ssimulacra2 or 0) <= 100
        assert catalogue.find(one).id == one
    broken = catalogue.entry("lib/source/7/broken.png")
    assert broken is not None
    assert (broken.counterpart, broken.psnr, broken.state) == (None, None, "refused")
    assert catalogue.entry("lib/source/7/other.png") is catalogue.entry("output/item 0/page 1.jpg") is None


def test_two_jobs_are_not_served_at_once(job: Path) -> None:
    with pytest.raises(AssertionError, match="two jobs"), serving(f"a={job}", f"b={job}"):
        pass
