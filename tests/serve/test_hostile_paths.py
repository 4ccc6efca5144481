"""Paths that mean to leave the served places: none does, whatever the bytes of the request are."""

import http.client
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from urllib.parse import quote

import pytest

from jobs import manifest, picture, write_image
from serving import Answer, Server, serving

SECRET = b"ZIGGURAT-SECRET-4f1d"

WIDTH = 1237
"""Of the secret image: no answer may know it."""

UPWARDS = (
    "..", "%2e%2e", ".%2E", "%252e%252e", "%25252e%25252e", "%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae", "%c0%2e%c0%2e",
    "%f0%80%80%ae%f0%80%80%ae", "%u002e%u002e", "%uff0e%uff0e", quote("\uff0e\uff0e"), quote("\u2025"),
    quote("\u2024\u2024"), quote("\u3002\u3002"), quote("\u200b.."), "..%00", "%00..", "..%20", "..%09", "..;",
    "..;a=b", "..%3Bx", "....", "...", "..%ff", "%ff..", ".%00.", "..%0d%0a", "%2e%2e%2e%2e",
)  # fmt: skip
"""The folder above, and what some programs take for it."""

BETWEEN = (
    "/", "%2f", "%252f", "%25252F", "%5c", "%255c", "\\", "%c0%af", "%e0%80%af", "%f0%80%80%af", "%c1%9c", "%u2215",
    quote("\uff0f"), quote("\u2215"), quote("\u2044"), quote("\uff3c"), "//", "%2f%2f", "/./", "/%2e/", "%2f%5c",
    "%00/",
)  # fmt: skip
"""The slash, and what some programs take for it."""

FAMILIAR = {*UPWARDS[:4], *BETWEEN[:6]}
"""One of these is in every climb: two rare tricks at once add nothing that neither has alone."""

CLIMBS = [f"{up}{slash}secret.png" for up, slash in product(UPWARDS, BETWEEN) if FAMILIAR & {up, slash}]

OTHERS = (
    "%2e%2e%2f" * 40 + "{below}", "../" * 40 + "{below}", "a%20b/../../secret.png", "a%20b%2f..%2f..%2fsecret.png",
    "ramp.png/../../secret.png", "ramp.png%2F..%2F..%2Fsecret.png", "ramp.png/..%2F..%2Fsecret.png", "{absolute}",
    "/{absolute}", "%2F{absolute}", "%252F{absolute}", "//{absolute}", "a%20b/{absolute}", "a%20b/%2F{absolute}",
    "file:{absolute}", "file://{absolute}", "file:///{absolute}", "file://localhost{absolute}", "FILE://{absolute}",
    "file:%2F%2F%2F{absolute}", "file%3A%2F%2F{absolute}", "C:{absolute}", "C:\\secret.png", "c%3A%5Csecret.png",
    "%5C%5Clocalhost%5Cc$%5Csecret.png", "\\\\?\\{absolute}", "%5C%5C.%5C{absolute}", "//localhost/{absolute}",
    "link.png", "link.png%00.png", "folder/secret.png", "folder%2Fsecret.png", "folder/", "chain.png",
    "loop/ramp.png", "around/secret.png", "linked%20away/secret.png", "hard/../link.png", "secret.png",
    "../served-too/secret.png", "%2e%2e%2fserved-too%2fsecret.png", "-too/secret.png",
    "%2F..%2Fserved-too%2Fsecret.png", "~/secret.png", "~root/x", "$HOME/secret.png", "%24%7BHOME%7D/x",
    "{{absolute}}", "proc/self/cwd/../secret.png", "/proc/self/root{absolute}", "/dev/fd/0", "%2Fdev%2Fstdin",
    "/proc/self/environ", ".git/config", ".%67it/config", "%2egit%2fconfig", ".hidden.png", "%2ehidden.png",
    "a%20b/.hidden.png", "secret.txt", "ramp.png ", "ramp.png.", "ramp.png%20", "ramp.png%2E", "ramp.png%2F",
    "ramp.png%5C", "ramp.png::$DATA", "RAMP.PNG", "ramp.png~", "ramp.png;x", "ramp.png%00", "ramp.png%0A",
    "ramp.png%00../secret.png", "ra%00mp.png", quote("\uff52amp.png"), "ramp%E2%80%8B.png", quote("r\u0430mp.png"),
    quote("cafe\u0301.png"), "x" * 5000, "x/" * 2500 + "y.png", "%2e/" * 1000 + "ramp.png", "%00" * 2000,
    "%25" * 3000, "%", "%2", "%zz", "%%32%65%%32%65%%32%66secret.png", "%2%65%2%65/secret.png",
    "&#46;&#46;/secret.png", "..&sol;secret.png", "*", "%3F", "*.png", "[r]amp.png", "{{ramp,x}}.png", "ra%3Fp.png",
    "pack:x", "::", "a%20b::ramp.png", "zip://x.zip::y.png", "|cat%20secret.png", "%60id%60", "$(id)",
    "'%20OR%201=1--", "%27%3B--", "<!--#include%20file=x-->", "{{{{7*7}}}}",
)  # fmt: skip

KINDS = (
    "/iiif/3/{}/info.json", "/iiif/2/{}/full/full/0/default.jpg", "/iiif/3/{}", "/download/{}", "/deepzoom/{}.dzi",
    "/deepzoom/{}_files/0/0_0.jpg", "/xyz/{}/0/0/0.png", "/zarr/{}/zarr.json", "/api/image/{}", "/api/place/{}",
    "/api/values/{}?x=0&y=0", "/presentation/3/{}/manifest.json", "/static/{}", "/{}",
)  # fmt: skip

RAW = (
    b"/download/../secret.png", b"/download/\xff\xfe/../secret.png", b"/download/..\xc0\xafsecret.png",
    b"/download/\xc0\xae\xc0\xae/secret.png", b"/download/..\\secret.png", b"/download/\x00../secret.png",
    b"/download/a b/../../secret.png", b"/download/..\tsecret.png", b"/download/.\x7f./secret.png",
    b"http://other.example/download/..%2Fsecret.png", b"http://other.example/download/%2E%2E%2Fsecret.png",
    b"file:///secret.png", b"file:///etc/passwd", b"ftp://x/secret.png", b"//download/..%2Fsecret.png",
    b"///secret.png", b"../secret.png", b"..", b"*", b"download/..%2Fsecret.png", b"\\download\\..\\secret.png",
    b"/..%2Fsecret.png", b"/download/..%2Fsecret.png?x", b"/download/..%2Fsecret.png#x",
    b"/download/x#/../secret.png", b"?/../secret.png", b"/download?/../secret.png", b"/download;/..%2Fsecret.png",
    b"/.//download/..%2Fsecret.png", b"/static/../app.py", b"/static/..%2Fapp.py", b"/static/%2e%2e/app.py",
    b"/static//etc/passwd", b"/static/%2Fetc%2Fpasswd", b"/%2e%2e/x", b"http:///download/..%2Fsecret.png",
    b"http://[::1/download/..%2Fsecret.png", b"http://a@b:c/..%2Fsecret.png",
    b"\xef\xbc\x8fdownload\xef\xbc\x8f..%2Fsecret.png", b"/download/" + b"\xff" * 3000,
)  # fmt: skip
"""What no well-behaved client can send: request targets as bytes."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to be served, what leads out of it, and secrets beside it."""
    top = tmp_path_factory.mktemp("hostile")
    served = top / "served"
    secret = write_image(top / "secret.png", picture(30, WIDTH))
    secret.write_bytes(secret.read_bytes() + SECRET)
    (top / "served-too").mkdir()
    (top / "served-too" / "secret.png").write_bytes(secret.read_bytes())
    write_image(served / "ramp.png", picture(40, 60))
    write_image(served / "a b" / "c.png", picture(40, 60, seed=1))
    write_image(served / "caf\u00e9.png", picture(40, 60, seed=2))
    for hidden in (
        served / ".hidden.png",
        served / "a b" / ".hidden.png",
        served / ".git" / "config",
        served / "note.txt",
    ):
        hidden.parent.mkdir(exist_ok=True)
        hidden.write_bytes(SECRET)
    (served / "link.png").symlink_to("../secret.png")
    (served / "chain.png").symlink_to("link.png")
    (served / "folder").symlink_to(top, target_is_directory=True)
    (served / "around").symlink_to("folder/served-too", target_is_directory=True)
    (served / "linked away").symlink_to(top / "served-too", target_is_directory=True)
    (served / "loop").symlink_to("loop")
    manifest(top / "list.csv", ["source,item", "served/ramp.png,one", "served/a b/c.png,two"])
    return top


@pytest.fixture(scope="module", params=["folder", "two folders", "one file", "manifest"])
def served(request: pytest.FixtureRequest) -> str:
    """What kind of thing is served."""
    kind: str = request.param
    return kind


@pytest.fixture(scope="module")
def hostile(places: Path, served: str) -> Iterator[Server]:
    arguments = {
        "folder": [places / "served"],
        "two folders": [f"a={places / 'served'}", f"b={places / 'served' / 'a b'}"],
        "one file": [places / "served" / "ramp.png"],
        "manifest": [places / "list.csv"],
    }[served]
    with serving(*arguments, "--workers", 1) as server:
        yield server


def ask(server: Server, target: bytes) -> Answer | None:
    """The answer to a request target as it is; None where the server hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        response = http.client.HTTPResponse(client)
        try:
            response.begin()
            return Answer(response.status, response.headers, response.read())
        except (http.client.HTTPException, ConnectionError):
            return None


def check(server: Server, target: bytes) -> None:
    answer = ask(server, target)
    if answer is None:
        return
    assert 400 <= answer.status < 500, (target, answer.status, answer.body[:300])
    assert SECRET not in answer.body, target
    assert str(WIDTH).encode() not in answer.body, target
    assert b"root:" not in answer.body, target


def test_there_are_many_tricks() -> None:
    assert len({*CLIMBS, *OTHERS}) >= 300


def test_no_path_leads_out_of_what_is_served(hostile: Server, served: str, places: Path) -> None:
    absolute = quote(str(places / "secret.png"))
    told = {"{absolute}": absolute, "{below}": absolute[1:]}
    tricks = [
        re.sub(r"\{(absolute|below)\}", lambda found: told[found[0]], trick).replace("{{", "{").replace("}}", "}")
        for trick in (*CLIMBS, *OTHERS)
    ]
    named = [f"{name}{trick}" for name in ("a/", "a%2F", "b%2F", "ramp.png%2F") for trick in tricks[::7]]
    # All tricks on all kinds of URL against a folder; what is served otherwise has the same front.
    step = 1 if served == "folder" else 6
    targets = [
        kind.replace("{}", trick).encode()
        for number, kind in enumerate(KINDS)
        for trick in tricks[number % step :: step]
    ]
    targets += [kind.replace("{}", trick).encode() for kind in KINDS[:4] for trick in named]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda target: check(hostile, target.replace(b" ", b"%20")), targets))
    assert ask(hostile, b"/healthz").status == 200  # type: ignore[union-attr]  # it answers


def test_no_bytes_lead_out_of_what_is_served(hostile: Server) -> None:
    for target in RAW:
        check(hostile, target)


def test_what_is_meant_to_be_there_is_there(places: Path) -> None:
    with serving(places / "served", "--workers", 1) as server:
        for target in (b"/download/ramp.png", b"/download/a%20b%2Fc.png", b"/download/caf%C3%A9.png"):
            answer = ask(server, target)
            assert answer is not None
            assert answer.status == 200
        listed = server.get("/api/items").json
        assert sorted(item["id"] for item in listed["items"]) == ["a b/c.png", "caf\u00e9.png", "ramp.png"]
        assert [one["folder"] for one in server.get("/api/folders").json["folders"]] == ["a b"]
