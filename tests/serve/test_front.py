"""Originals, secrets, proxies, counters, logs."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import Server, serving

TOKEN = "a-token-that-nobody-guesses"  # noqa: S105 - of a test
TILE = "/iiif/3/ramp.png/0,0,50,50/max/0/default.jpg"


def test_originals_are_sent_as_they_are_whole_or_in_part(server: Server, collection: Path) -> None:
    data = (collection / "a b" / "c.png").read_bytes()
    path = "/download/a%20b%2Fc.png"
    whole = server.get(path)
    assert (whole.status, whole.body) == (200, data)
    assert whole.headers["Content-Type"] == "image/png"
    assert whole.headers["Content-Disposition"] == "attachment; filename*=UTF-8''c.png"
    for header, start, end in (
        ("bytes=0-9", 0, 10), ("bytes=10-", 10, len(data)), ("bytes=-5", len(data) - 5, len(data)),
        ("bytes=5-999999999", 5, len(data)), ("bytes=-999999", 0, len(data)),
    ):  # fmt: skip
        part = server.get(path, Range=header)
        assert (part.status, part.body) == (206, data[start:end])
        assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(data)}"
    assert server.get(path, Range=f"bytes={len(data)}-").status == 416
    for ignored in ("bytes=9-0", "lines=1-2", "bytes=" + ",".join(f"{n}-{n}" for n in range(1000)), "bytes=-"):
        assert server.get(path, Range=ignored).body == data
    tag = whole.headers["ETag"]
    assert server.get(path, Range="bytes=0-9", If_Range=tag).status == 206
    assert server.get(path, Range="bytes=0-9", If_Range='"other"').status == 200
    assert server.get(path, If_None_Match=tag).status == 304
    assert server.get(path, "HEAD").headers["Content-Length"] == str(len(data))


@pytest.fixture(scope="module")
def private(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    log = tmp_path_factory.mktemp("log") / "access.jsonl"
    options = (
        "--auth", "token", "--no-download", "--workers", 1, "--access-log", log, "--root-path", "/pictures",
        "--max-age", 60,
    )  # fmt: skip
    with serving(collection, *options, ZIGGURAT_SERVE_SECRET=TOKEN) as server:
        yield server, log


def test_a_token_is_asked_for_by_header_cookie_or_once_in_the_address(private: tuple[Server, Path]) -> None:
    server, _ = private
    for path in (TILE, "/iiif/3/ramp.png/info.json", "/metrics", "/nothing", "/"):
        refused = server.get(path)
        assert refused.status == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert server.get("/healthz").json["status"] == "ok"
    assert server.get(TILE, "OPTIONS").status == 204
    for wrong in ("Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer", "", "Bearer \xff"):
        assert server.get(TILE, Authorization=wrong).status == 401
    assert server.get(TILE, Authorization=f"Bearer {TOKEN}").status == 200
    entered = server.get(f"{TILE}?token={TOKEN}")
    assert entered.status == 200
    assert "private" in entered.headers["Cache-Control"]
    cookie = entered.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert server.get(TILE, Cookie=cookie.partition(";")[0]).status == 200
    assert server.get(TILE, Cookie="ziggurat=x").status == 401


def test_a_proxy_may_show_it_below_a_path(private: tuple[Server, Path]) -> None:
    server, _ = private
    for path in ("/iiif/3/ramp.png/info.json", "/pictures/iiif/3/ramp.png/info.json"):
        info = server.get(path, Authorization=f"Bearer {TOKEN}", Host="images.example.org")
        assert info.json["id"] == "http://images.example.org/pictures/iiif/3/ramp.png"
    behind = server.get(path, Authorization=f"Bearer {TOKEN}", Host="x.org", X_Forwarded_Proto="https")
    assert behind.json["id"] == "https://x.org/pictures/iiif/3/ramp.png"


def test_originals_may_be_kept_back(private: tuple[Server, Path]) -> None:
    assert private[0].get("/download/ramp.png", Authorization=f"Bearer {TOKEN}").status == 404


def test_the_log_has_a_line_of_json_for_each_request_and_no_secret(private: tuple[Server, Path]) -> None:
    server, log = private
    server.get(f"/iiif/3/a%20b%2Fc.png/info.json?token={TOKEN}", User_Agent='odd "agent"')
    deadline = time.monotonic() + 60  # a line is written once its request is answered
    while "odd" not in log.read_text(encoding="utf-8") and time.monotonic() < deadline:
        time.sleep(0.05)
    [last] = [
        line for line in map(json.loads, log.read_text(encoding="utf-8").splitlines()) if line["agent"] == 'odd "agent"'
    ]
    assert (last["status"], last["path"]) == (200, "/iiif/3/a b/c.png/info.json")
    assert last["bytes"] > 100
    assert 0 < last["seconds"] < 10
    assert TOKEN not in log.read_text(encoding="utf-8")


def test_name_and_password(collection: Path) -> None:
    with serving(collection, "--auth", "basic", "--workers", 1, ZIGGURAT_SERVE_SECRET="ada:löve:lace") as server:
        assert server.get(TILE).headers["WWW-Authenticate"].startswith("Basic")
        right = base64.b64encode("ada:löve:lace".encode()).decode()
        assert server.get(TILE, Authorization=f"Basic {right}").status == 200
        for wrong in (b"ada:", b"ada", b"", "ada:löve:lacex".encode()):
            assert server.get(TILE, Authorization=f"Basic {base64.b64encode(wrong).decode()}").status == 401
        assert server.get(TILE, Authorization="Basic !!!").status == 401


def test_a_public_address_is_what_documents_say(collection: Path) -> None:
    with serving(collection, "--public-url", "https://example.org/x", "--workers", 1) as server:
        assert server.get("/iiif/3/ramp.png/info.json").json["id"] == "https://example.org/x/iiif/3/ramp.png"
        assert server.get("/iiif/3/ramp.png").headers["Location"].startswith("https://example.org/x/iiif/3/")


def test_counters_are_in_the_format_of_prometheus(server: Server) -> None:
    before = server.metric('requests_total{route="iiif",status="200"}')
    server.get(TILE)
    assert server.metric('requests_total{route="iiif",status="200"}') == before + 1
    lines = server.get("/metrics").body.decode().splitlines()
    names = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert "ziggurat_request_seconds" in names
    assert all(line.startswith(("# HELP ziggurat_", "# TYPE ziggurat_", "ziggurat_")) for line in lines)


def test_the_description_names_what_is_there(server: Server) -> None:
    document = server.get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": server.url}]
    values = {
        "{id}": "ramp.png", "{item}": "a%20b", "{region}": "full", "{size}": "max", "{rotation}": "0", "{level}": "8",
        "{quality}": "default", "{format}": "jpg", "{column}": "0", "{row}": "0", "{z}": "0", "{x}": "0", "{y}": "0",
        "{resolution}": "0",
    }  # fmt: skip
    assert len(document["paths"]) >= 12
    for path, operation in document["paths"].items():
        for name, value in values.items():
            path = path.replace(name, value)  # noqa: PLW2901 - filled in step by step
        needed = [one["name"] for one in operation["get"]["parameters"] if one["in"] == "query" and one.get("required")]
        answer = server.get(path + "".join(f"{'&' if place else '?'}{name}=0" for place, name in enumerate(needed)))
        assert answer.status == 200, path
        [offered] = operation["get"]["responses"]["200"]["content"]
        kind = answer.headers["Content-Type"].partition(";")[0]
        assert kind == offered or offered in {"*/*", kind.partition("/")[0] + "/*"}
