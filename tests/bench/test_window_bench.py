"""The parts of the bench of windows that decide nothing by measuring: tasks, boxes, ratios, the relay's counts."""

import json
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import imagecodecs
import numpy as np
import pytest

from ziggurat.format.jpeg2000 import open_reader
from ziggurat.storage.memory import MemorySource

BENCH = Path(__file__).parents[2] / "bench"


def figure(seconds: float | None, *, imports: float = 0.5, failure: str = "") -> dict[str, object]:
    return {
        "seconds": seconds,
        "imports": imports,
        "requests": 2,
        "bytes": 3_000_000,
        "peak": 1,
        "failure": failure,
        "difference": 0.25,
    }


@pytest.mark.parametrize("size", [(3072, 5632), (10240, 10240), (32768, 32768)])
def test_windows_lie_inside_and_on_the_grid_of_their_level(bench: dict[str, ModuleType], size: tuple[int, int]) -> None:
    task = bench["window_task"]
    for aim in task.AIMS:
        y0, x0, y1, x1 = task.box_for(size, aim)
        assert 0 <= y0 < y1 <= size[0]
        assert 0 <= x0 < x1 <= size[1]
        assert not any(edge % 8 for edge in (y0, x0, y1, x1))


def test_a_task_survives_the_way_to_its_process(bench: dict[str, ModuleType]) -> None:
    task = bench["window_task"]
    sent = task.Task("GDAL", "strips", "level", None, "http://s3", "b/k", (800, 900), (0, 8, 512, 520), None, "o")
    assert task.Task.loads(sent.dumps()) == sent
    assert sent.coarse == (0, 1, 64, 65)
    assert sent.shape == (64, 64)


def test_a_codestream_behind_the_boxes_is_a_jp2_file(bench: dict[str, ModuleType]) -> None:
    pixels = np.zeros((32, 48, 3), np.uint8)
    data = imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k")
    info = open_reader(MemorySource("image", bench["window_files"].boxes(32, 48) + data)).info
    assert (info.size.height, info.size.width, info.bands) == (32, 48, 3)


def test_ratios_are_to_the_fastest_peer_and_a_lag_is_bold(bench: dict[str, ModuleType]) -> None:
    report = bench["window_report"]
    key = ("17 MP", "strips", "disk", "window")
    figures = {"|".join((*key, "Ziggurat")): figure(0.5)}
    assert report.ratio(figures, key, "Ziggurat") == ""
    figures["|".join((*key, "libvips"))] = figure(None, failure="> 120")
    assert report.ratio(figures, key, "Ziggurat") == "> 80"
    figures["|".join((*key, "GDAL"))] = figure(2.0)
    figures["|".join((*key, "tifffile"))] = figure(0.25, imports=9.0)
    assert report.ratio(figures, key, "Ziggurat") == "**0.50**"
    assert report.ratio(figures, key, "Ziggurat", imports=True) == "2.5"


def test_means_are_compared_with_means_and_single_pixels_with_single_pixels(bench: dict[str, ModuleType]) -> None:
    report = bench["window_report"]
    key = ("17 MP", "strips", "disk", "overview")
    names = {
        "Ziggurat": 0.2,
        "Ziggurat sampled": 0.02,
        "GDAL": 0.04,
        "tifffile": 0.03,
        "GDAL average": 0.6,
        "libvips": 0.4,
    }
    figures = {"|".join((*key, name)): figure(seconds) for name, seconds in names.items()}
    assert report.ratio(figures, key, "Ziggurat") == "2.0"
    assert report.ratio(figures, key, "Ziggurat sampled") == "1.50"
    text = report.report(figures, {"size|17 MP|strips": "1000000"})
    assert all(f"{seconds:.3f}" in text for seconds in names.values())


def test_the_section_names_what_was_measured(bench: dict[str, ModuleType]) -> None:
    readers = ("Ziggurat", "GDAL")
    figures = {f"17 MP|strips|{place}|window|{name}": figure(1.0) for place in ("disk", "S3") for name in readers}
    text = bench["window_report"].report(figures, {"version|GDAL": "GDAL 3", "size|17 MP|strips": "1000000"})
    assert "strips, window" in text
    assert "GDAL 3" in text
    assert "1.00 (1.0)" in text


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(bytes(1000))

    def log_message(self, *_: object) -> None:
        pass


def test_the_relay_counts_and_hands_on() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    command = [sys.executable, str(BENCH / "window_proxy.py"), "127.0.0.1", str(server.server_port), "0.01"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as relay:
        assert relay.stdout is not None
        url = f"http://127.0.0.1:{int(relay.stdout.readline())}"
        for _ in range(2):
            with urllib.request.urlopen(f"{url}/thing") as answer:  # noqa: S310 - our own
                assert answer.read() == bytes(1000)
        for expected in ({"requests": 2, "bytes": 2000}, {"requests": 0, "bytes": 0}):
            with urllib.request.urlopen(f"{url}/-/counts") as answer:  # noqa: S310 - our own
                assert json.loads(answer.read()) == expected
        relay.terminate()
    server.shutdown()
    server.server_close()
