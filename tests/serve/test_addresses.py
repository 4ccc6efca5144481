"""Addresses in requests and in served files: the server goes to none of them."""

import contextlib
import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import imagecodecs
import pytest
import tifffile

from jobs import manifest, picture, write_image
from serving import serving

SECRET = "ZIGGURAT-SECRET-77aa"  # noqa: S105 - of a test

LOCAL = (
    "127.0.0.1", "localhost", "LOCALHOST.", "127.1", "127.0.1", "0.0.0.0", "0",  # noqa: S104 - nobody listens
    "2130706433", "0x7f000001", "0x7f.1",
    "0177.0.0.1", "017700000001", "127.000.000.001", "127.0.0.1.", "[::1]", "[::]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[::1%25lo]", "\u2460\u2461\u2466.0.0.1",
    "127\u30020\u30020\u30021", "user@127.0.0.1", "user:word@127.0.0.1", "example.org@127.0.0.1",
    "127.0.0.1.nip.io", "localtest.me", "7f000001.c0a80001.rbndr.us", "spoofed.burpcollaborator.net",
)  # fmt: skip
"""Names of this machine, and names that may come to lead to it."""

ADDRESSES = (
    *(f"http://{host}:{{port}}/x.png" for host in LOCAL), "https://127.0.0.1:{port}/x.png",
    "HTTP://127.0.0.1:{port}/x.png", "http:127.0.0.1:{port}/x.png", "http:/127.0.0.1:{port}/x.png",
    "http:///127.0.0.1:{port}/x.png", "http:\\\\127.0.0.1:{port}\\x.png", "//127.0.0.1:{port}/x.png",
    "\\\\127.0.0.1@{port}\\x.png", "http://127.0.0.1:{port}#@example.org/x.png",
    "http://127.0.0.1:{port}\\@example.org/x.png", "http://127.0.0.1:{port}?@example.org/x.png",
    "http://example.org@@127.0.0.1:{port}/x.png", "http://127.0.0.1:{port}%23.example.org/x.png",
    "http://127.0.0.1%00.example.org:{port}/x.png",
    "http://127.0.0.1:{port}/redirect?to=http://169.254.169.254/x.png", "h\tttp://127.0.0.1:{port}/x.png",
    "http://127.0.0.1\r\n:{port}/x.png", " http://127.0.0.1:{port}/x.png",
    "http://169.254.169.254/latest/meta-data/iam/", "http://[fd00:ec2::254]/latest/meta-data/",
    "http://169.254.170.2/v2/credentials/", "http://metadata.google.internal/computeMetadata/v1/",
    "http://100.100.100.200/latest/meta-data/", "http://2852039166/latest/", "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/", "s3://bucket/x.png", "s3://127.0.0.1:{port}/x.png", "s3://user@bucket/x.png",
    "gs://bucket/x.png", "az://bucket/x.png", "gcs://bucket/x.png", "abfs://bucket/x.png",
    "ftp://127.0.0.1:{port}/x.png", "sftp://127.0.0.1:{port}/x.png", "gopher://127.0.0.1:{port}/_GET%20/",
    "dict://127.0.0.1:{port}/d:x", "ldap://127.0.0.1:{port}/x", "tftp://127.0.0.1:{port}/x",
    "smb://127.0.0.1:{port}/x/y.png", "nfs://127.0.0.1/x", "jar:http://127.0.0.1:{port}/x.zip!/y.png",
    "ws://127.0.0.1:{port}/", "netdoc:///etc/passwd", "php://filter/resource=http://127.0.0.1:{port}/x",
    "phar://x.phar", "expect://id", "data:image/png;base64,iVBORw0KGgo=", "data:,x", "memory:x.png", "memory://x.png",
    "file:///etc/passwd", "file://127.0.0.1/x", "pack:x.png", "zip://x::http://127.0.0.1:{port}/x.zip",
    "simplecache::http://127.0.0.1:{port}/x.png", "filecache::s3://bucket/x.png",
    "reference::http://127.0.0.1:{port}/x.json", "blockcache::http://127.0.0.1:{port}/x", "github://a:b@main/x.png",
    "hdfs://127.0.0.1:{port}/x", "/vsicurl/http://127.0.0.1:{port}/x.tif", "/vsis3/bucket/x.tif",
    "/vsizip//vsicurl/http://127.0.0.1:{port}/x.zip/y.tif", "WMS:http://127.0.0.1:{port}/?", "DICOM:x",
    "<GDAL_WMS><Service><ServerUrl>http://127.0.0.1:{port}/</ServerUrl></Service></GDAL_WMS>",
    "zarr+http://127.0.0.1:{port}/x",
)  # fmt: skip

KINDS = (
    "/iiif/3/{}/info.json", "/iiif/2/{}/full/full/0/default.jpg", "/download/{}", "/zarr/{}/zarr.json", "/api/image/{}",
    "/presentation/3/{}/manifest.json",
)  # fmt: skip


@dataclass
class Canary:
    """A listener that notes who comes."""

    port: int
    came: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Whatever a client library of the server asked for would come here, too, wherever it lies."""
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"), self.url)
        keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_ENDPOINT_URL": self.url, "no_proxy": ""}
        return proxies | keys


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True))
        found = Canary(listener.getsockname()[1])

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client, contextlib.suppress(OSError):
                        client.settimeout(2)
                        found.came.append(client.recv(200))
                        client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        threading.Thread(target=listen, daemon=True).start()
        yield found
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("kind", ["folder", "manifest"])
def test_an_address_as_an_identifier_leads_nowhere(tmp_path: Path, canary: Canary, kind: str) -> None:
    write_image(tmp_path / "x.png")
    table = manifest(tmp_path / "list.csv", ["source,item", "x.png,one"])
    before = len(canary.came)
    with serving(table if kind == "manifest" else tmp_path, "--workers", 1, **canary.environment) as server:
        for address in ADDRESSES:
            text = address.replace("{port}", str(canary.port))
            once = quote(text, safe="")
            for identifier in {once, quote(once, safe=""), quote(text, safe="/:@?%"), quote(text, safe="/:@;=")}:
                for path in KINDS:
                    answer = server.get(path.replace("{}", identifier))
                    assert 400 <= answer.status < 500, (address, path)
                    assert b"root:" not in answer.body
        asked = f"/?url={canary.url}", f"/compare?left={quote(canary.url)}", f"/api/items?under={canary.url}"
        assert all(server.get(path).status == 200 for path in asked)
        named = {"Host": f"127.0.0.1:{canary.port}", "X_Forwarded_Host": "127.0.0.1", "Referer": canary.url}
        assert server.get("/iiif/3/x.png/info.json", **named).status == 200
        assert server.get("/api/image/x.png").status == 200
    assert canary.came[before:] == []


def test_an_address_that_the_operator_names_is_asked(canary: Canary) -> None:
    """The canary would have seen the others."""
    before = len(canary.came)
    for place in ("http://images.example/x.png", "s3://bucket/x.png"):
        with serving(f"named={place}", "--workers", 1, "--timeout", 5, **canary.environment) as server:
            assert server.get("/iiif/3/named/info.json").status >= 400
    assert any(b"images.example" in said for said in canary.came[before:])
    assert any(b"/bucket/x.png" in said for said in canary.came[before:])


def referring(folder: Path, outside: Path, url: str) -> list[str]:
    """Files that name others, in all the ways that formats know; the names of those that are images."""
    secret = f"../{outside.name}/secret.tif"
    mosaic = '<VRTDataset rasterXSize="9" rasterYSize="9"><SourceFilename>{}</SourceFilename></VRTDataset>'
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><image href="{}/x.png"/><use href="{}"/></svg>'
    text = {
        "picture.svg": svg.format(url, secret),
        "mosaic.vrt": mosaic.format(secret),
        "web.vrt": mosaic.format(f"/vsicurl/{url}/x.tif"),
        "DICOMDIR": "\0" * 128 + f"DICM{secret}",
        "wms.xml": f"<GDAL_WMS><Service><ServerUrl>{url}</ServerUrl></Service></GDAL_WMS>",
        "list.m3u8": f"#EXTM3U\n{url}/x.png\n{secret}\n",
        "linked.json": json.dumps({"templates": {}, "refs": {"0": [f"{url}/x.png"]}}),
        "page.html": f'<img src="{url}/x.png">',
        "script.mvg": f"push graphic-context\nfill 'url({url}/x.png)'\nimage over 0,0 9,9 '{secret}'",
    }  # fmt: skip
    for name, content in text.items():
        (folder / name).write_text(content, encoding="utf-8")
        write_as = {"picture.svg": "picture.png", "mosaic.vrt": "mosaic.tif", "script.mvg": "script.jpg"}.get(name)
        if write_as:
            (folder / write_as).write_text(content, encoding="utf-8")
    (folder / "links.zarr").mkdir()
    told = {"zarr_format": 2, "shape": [9, 9], "chunks": [9, 9], "dtype": "|u1", "order": "C", "path": secret}
    (folder / "links.zarr" / ".zarray").write_text(json.dumps(told), encoding="utf-8")
    (folder / "links.zarr" / "0.0").symlink_to(outside / "secret.tif")
    pixels = picture(40, 60)

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + kind + content

    address = box(b"url ", b"\0\0\0\0" + f"{url}/x.jp2".encode() + b"\0")
    local = box(b"url ", b"\0\0\0\0" + f"file://{outside}/secret.tif".encode() + b"\0")
    parts = box(b"ftbl", box(b"flst", struct.pack(">HQIH", 1, 0, 100, 1)))
    references = box(b"dtbl", struct.pack(">H", 2) + address + local)
    jp2 = imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="jp2")
    (folder / "references.jp2").write_bytes(jp2 + references + parts + box(b"uinf", box(b"ulst", bytes(18)) + address))
    head = jp2.index(b"jp2c") - 4
    (folder / "elsewhere.jpx").write_bytes(jp2[:head] + references + parts)
    ome = (
        f'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY e SYSTEM "file://{outside}/secret.txt">'
        f'<!ENTITY u SYSTEM "{url}/e">]>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0" Name="&e;&u;">'
        '<Pixels DimensionOrder="XYCZT" ID="Pixels:0" SizeC="2" SizeT="1" SizeX="60" SizeY="40" SizeZ="1" Type="uint8">'
        '<TiffData FirstC="0" IFD="0" PlaneCount="1"/><TiffData FirstC="1" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{secret}">urn:uuid:1</UUID></TiffData></Pixels></Image></OME>'
    )  # fmt: skip
    inner = ome.replace(ome[ome.index("<!DOCTYPE") : ome.index("]>") + 2], "").replace("&e;&u;", "x")
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    companion = f'<OME xmlns="{schema}"><BinaryOnly MetadataFile="{secret}"/></OME>'
    for name, told_by in (("entities.ome.tif", ome), ("files.ome.tif", inner), ("binary.ome.tif", companion)):
        tifffile.imwrite(folder / name, pixels[:, :, 0], description=told_by, metadata=None)
    packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a href="{url}"/></x:xmpmeta>'.encode()
    tifffile.imwrite(folder / "linked.tif", pixels, extratags=[(700, 1, len(packet), packet, True)], metadata=None)
    return ["references.jp2", "files.ome.tif", "binary.ome.tif", "linked.tif"]


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """Secrets beside the folder that is served."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text(SECRET, encoding="utf-8")
    tifffile.imwrite(outside / "secret.tif", picture(40, 60)[:, :, 0], description=SECRET)
    return outside


def test_what_a_served_file_names_is_not_opened(tmp_path: Path, secrets: Path, canary: Canary) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    images = referring(folder, secrets, canary.url)
    before = len(canary.came)
    with serving(folder, "--workers", 1, **canary.environment) as server:
        for path in sorted(folder.rglob("*")):
            identifier = quote(str(path.relative_to(folder)), safe="")
            for kind in (*KINDS, "/api/values/{}?x=0&y=0", "/zarr/{}/0/c/0/0", "/zarr/{}/0/c/0/0/0"):
                answer = server.get(kind.replace("{}", identifier))
                assert SECRET.encode() not in answer.body, (path.name, kind)
            if path.name in images:
                assert server.get(f"/iiif/3/{identifier}/full/max/0/default.png").size == (40, 60), path.name
        assert server.get("/iiif/3/elsewhere.jpx/full/max/0/default.png").status == 501
    assert canary.came[before:] == []


WATCHED = """
import sys
opened = []
sys.addaudithook(lambda event, said: opened.append(f"{event} {said}") if event in {"open", "socket.connect"} else None)
import ziggurat
from ziggurat.errors import ZigguratError
from ziggurat.serve.details import details
from ziggurat.serve.render import Opened
for path in sys.argv[1:]:
    try:
        with ziggurat.open(path, cache=False) as image:
            details(Opened.of(image))
            image.read()
    except ZigguratError:
        pass
print("\\n".join(opened))
"""


def test_nothing_beside_the_file_itself_is_touched(tmp_path: Path, secrets: Path, canary: Canary) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    referring(folder, secrets, canary.url)
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    watching = [sys.executable, "-c", WATCHED, *map(str, files)]
    said = subprocess.run(watching, capture_output=True, text=True, check=True).stdout
    assert all(str(path) in said for path in files)
    assert str(secrets) not in said
    assert "secret.t" not in said
    assert "socket.connect" not in said
