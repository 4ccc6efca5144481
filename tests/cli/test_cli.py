"""The commands as a user meets them: what they print, and their exit codes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

import ziggurat
from ziggurat.cli import COMMANDS, run

OLD_OPENJPEG = Path("/usr/lib/x86_64-linux-gnu/libopenjp2.so.7")
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    y, x = np.mgrid[0:301, 0:402]
    pixels = np.stack([x % 256, y % 256, (x + y) % 256], axis=2).astype(np.uint8)
    path = tmp_path / "scan.jp2"
    path.write_bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="jp2", resolutions=4, reversible=True))
    return path


def test_help_is_quick_and_imports_no_numpy() -> None:
    best = 9.0
    for _ in range(3):
        clock = time.perf_counter()
        shown = subprocess.run([sys.executable, "-m", "ziggurat", "--help"], capture_output=True, text=True, check=True)
        best = min(best, time.perf_counter() - clock)
    assert all(command in shown.stdout for command in COMMANDS)
    assert best < 0.4
    code = "import sys; from ziggurat.cli import run; run(['--help']); sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    assert f"ziggurat {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["nothing"],
        ["convert"],
        ["convert", "a", "b"],
        ["convert", "a", "--to", "jpeg"],
        ["convert", "a", "b", "--to", "gif"],
        ["convert", "a", "b", "--to", "jpeg", "--quality", "101"],
        ["convert", "a", "b", "--to", "jpeg", "--memory", "much"],
        ["convert", "a", "b", "--to", "jpeg", "--workers", "0"],
        ["convert", "a", "b", "--to", "jpeg", "--notify", "file:///etc/passwd"],
        ["convert", "a", "b", "--to", "jpeg", "--background", "white"],
        ["convert", "a", "b", "--to", "jpeg", "--sample-range", "1"],
        ["verify", "job.zgj", "--subset", "6/5"],
        ["read", "x.jp2", "out.gif"],
        ["read", "x.jp2", "out.png", "--window", "1,2,3"],
    ],
)
def test_a_wrong_command_line_is_code_2_and_says_what(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    assert capsys.readouterr().err.startswith("ziggurat: ")
    assert not list(tmp_path.iterdir())


def test_info_prints_what_the_header_says(scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(scan)]) == 0
    shown = capsys.readouterr().out
    for text in ("format: jp2", "height: 301", "width: 402", "bands: 3", "dtype: uint8", "progression: LRCP",
                 "transform: 5-3", "3: 38 x 51"):  # fmt: skip
        assert text in shown


def test_info_as_json_is_one_object_a_line(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.jp2"
    bad.write_bytes(b"no image")
    assert run(["info", str(scan), str(bad), "--json"]) == 1
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert [level["shape"] for level in first["levels"]] == [[301, 402], [151, 201], [76, 101], [38, 51]]
    assert first["tile"] is None
    coding = first["jpeg2000"]
    assert (coding["progression"], coding["layers"], coding["decomposition_levels"]) == ("LRCP", 1, 3)
    assert coding["transform"] == "5-3"
    assert {"SIZ", "COD", "QCD"} <= set(coding["markers"])
    assert second["error_class"] == "UnknownFormat"


def test_every_sample_is_described_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    samples = [
        str(path) for path in sorted((REPOSITORY / "samples").rglob("*.*")) if path.suffix not in {".md", ".csv"}
    ]
    assert run(["info", *samples, "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(samples)
    assert all(json.loads(line)["levels"] for line in lines)


def test_text_from_a_file_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil\x1b[2J\n.jp2"
    path.write_bytes(b"\x1b]0;owned\x07")
    assert run(["info", str(path)]) == 1
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err


@pytest.mark.parametrize("suffix", ["npy", "tif", "png"])
def test_read_writes_the_window_that_python_reads(scan: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out.{suffix}"
    assert run(["read", str(scan), str(out), "--level", "1", "--window", "3,5,60,140"]) == 0
    with ziggurat.open(str(scan)) as image:
        expected = image.read(level=1, window=(3, 5, 60, 140))
    load = {"npy": np.load, "tif": tifffile.imread, "png": lambda path: imagecodecs.png_decode(path.read_bytes())}
    np.testing.assert_array_equal(load[suffix](out), expected)
    assert run(["read", str(scan), str(out)]) == 2, "an existing file was overwritten"
    assert run(["read", str(scan), str(out), "--overwrite"]) == 0


def test_read_refuses_what_is_not_there(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["read", str(scan), str(tmp_path / "a.png"), "--level", "9"]) == 2
    assert "levels 0 to 3, not 9" in capsys.readouterr().err
    assert run(["read", str(scan), str(tmp_path / "a.png"), "--window", "0,0,302,1"]) == 2
    assert "leaves level 0" in capsys.readouterr().err
    assert run(["read", str(scan), str(tmp_path / "a.png"), "--memory", "1k"]) == 1
    assert "OutOfMemory" in capsys.readouterr().err


def test_doctor_finds_everything_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "Everything needed is here." in shown
    assert "OpenJPEG: 2.5" in shown


@pytest.mark.skipif(not OLD_OPENJPEG.exists(), reason="Debian's OpenJPEG 2.5.0 is not installed")
def test_doctor_refuses_an_old_openjpeg() -> None:
    environment = os.environ | {"ZIGGURAT_OPENJPEG": str(OLD_OPENJPEG)}
    seen = subprocess.run(
        [sys.executable, "-m", "ziggurat", "doctor"], env=environment, capture_output=True, text=True, check=False
    )
    assert seen.returncode == 1
    assert "PROBLEM OpenJPEG" in seen.stdout
    assert "2.5.4" in seen.stdout
