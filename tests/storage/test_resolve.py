import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from ziggurat.errors import SourceChanged, SourceRefused, StoreUnavailable, UsageError
from ziggurat.storage.network import DEFAULT, NetworkOptions
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.resolve import configure, open_source, path_url
from ziggurat.testing.source_contract import BYTES, OpenBytes, SourceContract

HASTY = NetworkOptions(timeout=2, stall_timeout=1, connect_timeout=1, retries=1, retry_timeout=1)


class WebServer(http.server.BaseHTTPRequestHandler):
    """A web server that knows byte ranges, and little else."""

    protocol_version = "HTTP/1.1"
    files: ClassVar[dict[str, bytes]] = {}
    etag: ClassVar[str | None] = None
    knows_ranges: ClassVar[bool] = True

    def do_GET(self) -> None:
        data = self.files.get(self.path)
        if data is None:
            self.answer(404, b"")
            return
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if span is None or not self.knows_ranges:
            self.answer(200, data)
        elif int(span[1]) >= len(data):
            self.answer(416, b"", f"bytes */{len(data)}")
        else:
            piece = data[int(span[1]) : int(span[2]) + 1]
            self.answer(206, piece, f"bytes {span[1]}-{int(span[1]) + len(piece) - 1}/{len(data)}")

    do_HEAD = do_GET  # noqa: N815 - as the base class calls it

    def answer(self, status: int, body: bytes, span: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if span:
            self.send_header("Content-Range", span)
        if self.etag:
            self.send_header("ETag", self.etag)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[tuple[str, type[WebServer]]]:
    """Address of a web server, and what it holds."""
    handler = type("Handler", (WebServer,), {"files": {}})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


class TestPlainWebContract(SourceContract):
    """A server that gives neither ETag nor date."""

    @pytest.fixture
    def open_bytes(self, web: tuple[str, type[WebServer]]) -> OpenBytes:
        url, server = web

        def opened(data: bytes) -> ByteSource:
            server.files["/a/b.jp2"] = data
            return open_source(f"{url}/a/b.jp2", network=HASTY)

        return opened


@pytest.mark.parametrize("path", ["/a%2Fb.jp2", "/a%252Fb", "/a//b", "/a/", "/%C3%BC", "/a?b=/c", "/a+b;c=1/~d"])
def test_a_web_address_is_asked_for_as_it_is_written(web: tuple[str, type[WebServer]], path: str) -> None:
    url, server = web
    server.files[path] = b"12345"
    assert open_source(url + path, network=HASTY).read_ranges([ByteRange(1, 3)]) == [b"23"]


@pytest.mark.parametrize(("etag", "same"), [('W/"x"', True), ('W/"x"', False), (None, True)])
def test_a_weak_etag_or_none_is_compared_without_a_condition(
    web: tuple[str, type[WebServer]], etag: str | None, *, same: bool
) -> None:
    url, server = web
    server.files["/a"], server.etag = BYTES, etag
    source = open_source(f"{url}/a", network=HASTY)
    if same:
        assert source.read_ranges([ByteRange(100_000, 100_009)]) == [BYTES[100_000:100_009]]
        server.files["/a"] = BYTES[:-1]
    else:
        server.etag = 'W/"y"'
    with pytest.raises(SourceChanged, match="replaced"):
        source.read_ranges([ByteRange(100_000, 100_009)])


def test_a_server_that_ignores_the_condition_is_found_out(web: tuple[str, type[WebServer]]) -> None:
    url, server = web
    server.files["/a"], server.etag = BYTES, '"x"'
    source = open_source(f"{url}/a", network=HASTY)
    server.etag = '"y"'
    with pytest.raises(SourceChanged, match="replaced"):
        source.read_ranges([ByteRange(100_000, 100_009)])


def test_a_server_without_byte_ranges_is_refused_with_what_to_do(web: tuple[str, type[WebServer]]) -> None:
    url, server = web
    server.files["/a"], server.knows_ranges = BYTES, False
    with pytest.raises(SourceRefused, match="copy the file first"):
        open_source(f"{url}/a", network=HASTY)


def test_a_server_that_is_not_there_is_told_without_the_query() -> None:
    with pytest.raises(StoreUnavailable, match="try again later") as caught:
        open_source("http://127.0.0.1:9/a?sig=secret", network=HASTY)
    assert "secret" not in str(caught.value)


def test_paths_and_file_urls_lead_to_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b%.jp2").write_bytes(b"12345")
    monkeypatch.chdir(tmp_path)
    for url in ("a b%.jp2", str(tmp_path / "a b%.jp2"), f"file://{tmp_path}/a%20b%25.jp2", path_url(Path("a b%.jp2"))):
        source = open_source(url)
        assert source.read_ranges([ByteRange(0, 5)]) == [b"12345"]
        source.close()


def test_a_scheme_that_is_not_known_is_told() -> None:
    with pytest.raises(UsageError, match="ftp"):
        open_source("ftp://host/a")


def test_what_is_configured_is_used_where_nothing_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    configure(NetworkOptions(endpoint="http://127.0.0.1:9", retries=0, retry_timeout=0.1))
    try:
        with pytest.raises(StoreUnavailable):
            open_source("s3://bucket/key")
    finally:
        configure(DEFAULT)


def test_importing_starts_no_threads_and_asks_nobody() -> None:
    program = (
        "import threading, os, ziggurat.storage.resolve, ziggurat.storage.destination\n"
        "print(threading.active_count(), len(os.listdir('/proc/self/task')))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).split() == ["1", "1"]
