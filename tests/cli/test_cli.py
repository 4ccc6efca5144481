"""The command line: exit codes, help, looking at images, and the examination of the libraries."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from jobs import finish, picture, start, write_image, ziggurat
from ziggurat import __version__
from ziggurat import open as open_image
from ziggurat.cli import COMMANDS

SAMPLES = Path(__file__).parents[2] / "samples"

OLD_OPENJPEG = Path("/usr/lib/x86_64-linux-gnu/libopenjp2.so.7")
"""Debian 12's, which is older than what is needed."""

HELP_SECONDS = 0.4
"""In which the help must be there; a busy machine is given three times that."""


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.jp2"
    path.write_bytes(imagecodecs.jpeg2k_encode(picture(300, 400), level=0, codecformat="jp2", resolutions=4))
    return path


@pytest.fixture
def pyramid(tmp_path: Path) -> Path:
    path = tmp_path / "pyramid.tif"
    pixels = picture(300, 400)
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        tiff.write(pixels, photometric="rgb", tile=(128, 128), resolution=(600, 600), resolutionunit="INCH")
        tiff.write(pixels[::2, ::2].copy(), photometric="rgb", tile=(128, 128), subfiletype=1)
    return path


# -- the whole ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_says_what_there_is(arguments: list[str]) -> None:
    result = ziggurat(*arguments)
    assert result.code == 0
    assert result.out.startswith("Usage: ziggurat")
    if len(arguments) < 2:
        for name, text in COMMANDS.items():
            assert name in result.out
            assert text[:30] in result.out
    else:
        options = re.findall(r"--[a-z-]+", result.out)
        assert options or arguments[0] == "doctor"


def test_every_option_of_convert_is_explained() -> None:
    said = " ".join(re.sub(r"[│╭╰─╮╯]", " ", ziggurat("convert", "--help").out).split())
    for option in ("--quality", "--memory", "--on-item-complete", "--retry-failed", "--endpoint-url", "--columns"):
        at = said.index(option)
        assert len(said[at:].split("--")[1].split()) > 3, f"{option} has no explanation"


def processor_seconds() -> float:
    """What processes that have ended took of a processor, whatever else kept the machine busy."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_help_is_there_at_once() -> None:
    times = []
    for _ in range(3):
        began = processor_seconds()
        subprocess.run([sys.executable, "-m", "ziggurat", "--help"], check=True, capture_output=True)
        times.append(processor_seconds() - began)
    assert min(times) < 3 * HELP_SECONDS


def test_the_help_loads_no_library_for_pixels() -> None:
    code = (
        "import sys; from ziggurat.cli import run; run(['--help']); run(['--version']); run([]);"
        "print([name for name in ('numpy', 'imagecodecs', 'tifffile', 'obstore', 'apsw') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.splitlines()[-1] == "[]"


def test_the_version_is_told() -> None:
    result = ziggurat("--version")
    assert (result.code, result.out.strip()) == (0, __version__)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["convert"],
        ["convert", "in", "out"],
        ["convert", "in", "--to", "jpeg"],
        ["convert", "in", "out", "--to", "gif"],
        ["convert", "in", "out", "--to", "jpeg", "--nonsense"],
        ["convert", "in", "out", "--to", "jpeg", "--quality", "101"],
        ["convert", "in", "out", "--to", "jpeg", "--quality", "x"],
        ["convert", "in", "out", "--to", "jpeg", "--workers", "0"],
        ["convert", "in", "out", "--to", "jpeg", "--attempts", "0"],
        ["convert", "in", "out", "--to", "jpeg", "--memory", "much"],
        ["convert", "in", "out", "--to", "jpeg", "--memory", "1M"],
        ["convert", "in", "out", "--to", "jpeg", "--columns", "what=x"],
        ["convert", "in", "out", "--to", "jpeg", "--name", "{nonsense}"],
        ["convert", "in", "out", "--to", "jpeg", "--name", "same.jpg"],
        ["convert", "in", "out", "--to", "jpeg", "--name", "{stem"],
        ["convert", "in", "out", "--to", "jpeg", "--notify", "file:///etc/passwd"],
        ["convert", "in", "out", "--to", "jpeg", "--background", "white"],
        ["convert", "in", "out", "--to", "jpeg", "--bands", "x"],
        ["convert", "in", "out", "--to", "jpeg", "--sample-range", "1"],
        ["convert", "in", "out", "--to", "jpeg", "--timeout", "-1"],
        ["convert", "in", "out", "--to", "jpeg", "--headers", "-1"],
        ["convert", "in", "out", "--to", "jpeg", "--failure-limit", "5"],
        ["convert", "in", "out", "--to", "jpeg", "--stall-minutes", "0"],
        ["convert", "in", "out", "--to", "ptiff", "--tile", "100"],
        ["convert", "in", "http://example.org/out", "--to", "jpeg"],
        ["convert", "a.csv", "b.csv", "out", "--to", "jpeg"],
        ["verify"],
        ["verify", "job.zgj", "--subset", "0/3"],
        ["report", "job.zgj", "--samples", "-1"],
        ["read", "x.jp2"],
        ["read", "x.jp2", "out.gif"],
        ["info", "--nonsense", "x"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_makes_no_sense_ends_with_2_and_changes_nothing(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "in" / "a.png")
    result = ziggurat(*arguments)
    assert result.code == 2, result.said
    assert result.err.startswith("ziggurat: ")
    assert "Traceback" not in result.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.png", "in"]


@pytest.mark.parametrize(
    "arguments",
    [["status", "no.zgj"], ["verify", "no.zgj"], ["report", "no.zgj"], ["convert", "nowhere", "out", "--to", "jpeg"],
     ["info", "no.jp2"], ["read", "no.jp2", "out.npy"], ["status", "text.zgj"], ["verify", "text.zgj"],
     ["report", "text.zgj"], ["convert", "in", "out", "--to", "jpeg", "--job", "text.zgj"],
     ["convert", "in", "text.zgj", "--to", "jpeg"], ["read", "text.zgj", "out.npy"]],
    ids=" ".join,
)  # fmt: skip
def test_what_cannot_be_done_ends_with_1_and_says_why(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "in" / "a.png")
    Path("text.zgj").write_text("not a ledger, but somebody's file of more than a few bytes", encoding="utf-8")
    result = ziggurat(*arguments)
    assert result.code == 1, result.said
    assert any(name in result.err for name in ("no.zgj", "nowhere", "no.jp2", "text.zgj"))
    assert Path("text.zgj").read_text(encoding="utf-8").startswith("not a ledger")
    assert not Path("out").exists()


def test_a_reader_that_goes_away_ends_the_command_quietly(tmp_path: Path) -> None:
    paths = [write_image(tmp_path / f"{number}.png", picture(8, 8)) for number in range(300)]
    command = [sys.executable, "-m", "ziggurat", "info", *map(str, paths)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in {0, 1}


def test_names_that_the_terminal_cannot_show_are_escaped(tmp_path: Path) -> None:
    names = ["5 €.png", os.fsdecode(b"caf\xe9.png")]
    result = finish(start("info", *(write_image(tmp_path / name) for name in names), PYTHONIOENCODING="ascii"))
    assert (result.code, result.err) == (0, "")
    assert "5 \\u20ac.png" in result.out
    assert "caf%E9.png" in result.out


# -- info -----------------------------------------------------------------------------------------------------------


def test_info_tells_levels_and_coding_parameters_of_jpeg_2000(scan: Path) -> None:
    [facts] = [json.loads(line) for line in ziggurat("info", scan, "--json").out.splitlines()]
    assert (facts["format"], facts["height"], facts["width"], facts["bands"]) == ("jp2", 300, 400, 3)
    assert (facts["dtype"], facts["bit_depth"], facts["colour_space"]) == ("uint8", 8, "sRGB")
    assert [level["shape"] for level in facts["levels"]] == [[300, 400], [150, 200], [75, 100], [38, 50]]
    coding = {
        "progression": "LRCP", "layers": 1, "decomposition_levels": 3, "transform": "5-3", "code_block": [64, 64],
        "tile": [300, 400], "tiles": 1, "mct": True, "ht": False, "components": 3, "depths": [8, 8, 8],
    }  # fmt: skip
    assert {name: facts["jpeg2000"][name] for name in coding} == coding
    text = ziggurat("info", scan).out
    assert text.startswith(str(scan))
    assert "0: 300 x 400" in text
    assert "3: 38 x 50" in text


def test_info_tells_the_pyramid_and_the_resolution_of_a_tiff(pyramid: Path) -> None:
    facts = json.loads(ziggurat("info", pyramid, "--json").out)
    assert [level["shape"] for level in facts["levels"]] == [[300, 400], [150, 200]]
    assert facts["resolution"]["unit"] == "px/m"
    assert facts["resolution"]["y"] == pytest.approx(600 / 0.0254, rel=1e-4)
    assert facts["bytes"] == pyramid.stat().st_size


def test_info_goes_on_after_an_image_that_cannot_be_read(scan: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = ziggurat("info", tmp_path / "bad.png", tmp_path / "none.png", scan)
    assert (result.code, str(scan) in result.out) == (1, True)
    assert [line.split(": ")[1] for line in result.err.splitlines()] == ["CorruptImage", "SourceNotFound"]
    result = ziggurat("info", tmp_path / "bad.png", scan, "--json")
    bad, good = map(json.loads, result.out.splitlines())
    assert (result.code, bad["error_class"], good["format"]) == (1, "CorruptImage", "jp2")


def test_info_describes_every_sample() -> None:
    samples = [path for path in sorted(SAMPLES.rglob("*.*")) if path.suffix not in {".md", ".csv"}]
    result = ziggurat("info", *samples, "--json")
    described = [json.loads(line) for line in result.out.splitlines()]
    assert (result.code, [facts["url"] for facts in described]) == (0, [str(path) for path in samples])
    assert all(facts["levels"] for facts in described)


def test_text_from_a_file_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "evil\x1b[2J\n.jp2"
    path.write_bytes(b"\x1b]0;owned\x07")
    result = ziggurat("info", path)
    assert (result.code, "\x1b" in result.said, "\x07" in result.said) == (1, False, False)


# -- read -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npy", ".tif", ".png"])
@pytest.mark.parametrize("name", ["scan", "pyramid"])
def test_read_writes_what_the_image_holds(scan: Path, pyramid: Path, tmp_path: Path, suffix: str, name: str) -> None:
    path = {"scan": scan, "pyramid": pyramid}[name]
    out = tmp_path / f"out{suffix}"
    assert ziggurat("read", path, out, "--level", 1, "--window", "10,20,110,180").code == 0
    match suffix:
        case ".npy":
            found = np.load(out)
        case ".tif":
            found = tifffile.imread(out)
        case _:
            found = imagecodecs.png_decode(out.read_bytes())
    with open_image(str(path)) as image:
        expected = image.read(1, (10, 20, 110, 180))
    assert expected.shape == (100, 160, 3)
    assert np.array_equal(found, expected)


def test_read_takes_single_pixels_of_a_level_that_is_not_there_if_told(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (700, 900, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", rowsperstrip=1)
    assert ziggurat("read", tmp_path / "a.tif", tmp_path / "a.npy", "--level", 1, "--sampled").code == 0
    assert np.array_equal(np.load(tmp_path / "a.npy"), pixels[1::2, 1::2])


def test_read_takes_all_of_a_level_unless_told_a_window(scan: Path, tmp_path: Path) -> None:
    result = ziggurat("read", scan, tmp_path / "all.npy")
    assert (result.code, "300 x 400 x 3 uint8" in result.out) == (0, True)
    assert np.array_equal(np.load(tmp_path / "all.npy"), picture(300, 400))


def test_read_replaces_nothing_unless_told(scan: Path, tmp_path: Path) -> None:
    (tmp_path / "out.npy").write_bytes(b"precious")
    assert ziggurat("read", scan, tmp_path / "out.npy").code == 2
    assert (tmp_path / "out.npy").read_bytes() == b"precious"
    assert ziggurat("read", scan, tmp_path / "out.npy", "--overwrite").code == 0


@pytest.mark.parametrize(
    ("options", "code"),
    [(["--level", "9"], 2), (["--level", "-1"], 2), (["--window", "0,0,1"], 2), (["--window", "0,0,999,999"], 2),
     (["--window", "9,9,9,9"], 2), (["--memory", "1"], 1)],
    ids=str,
)  # fmt: skip
def test_read_refuses_what_is_not_there(scan: Path, tmp_path: Path, options: list[str], code: int) -> None:
    result = ziggurat("read", scan, tmp_path / "out.npy", *options)
    assert (result.code, (tmp_path / "out.npy").exists()) == (code, False), result.said


def test_read_says_what_png_cannot_hold(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "float.tif", np.ones((20, 30), np.float32))
    result = ziggurat("read", tmp_path / "float.tif", tmp_path / "out.png")
    assert (result.code, "UnsupportedFeature" in result.err, ".npy" in result.err) == (1, True, True)
    assert ziggurat("read", tmp_path / "float.tif", tmp_path / "out.tif").code == 0


# -- doctor ---------------------------------------------------------------------------------------------------------


def test_doctor_finds_everything_here() -> None:
    result = ziggurat("doctor")
    assert (result.code, "PROBLEM" in result.out) == (0, False)
    assert re.search(r"OpenJPEG: 2\.(5\.[4-9]|[6-9])", result.out)
    assert re.search(r"SQLite: 3\.(5[1-9]|[6-9]\d)", result.out)


def test_doctor_names_the_licence_of_what_it_does_not_load() -> None:
    out = ziggurat("doctor").out
    assert re.search(r"blosc2: 4\.\S+, BSD-3-Clause; Ziggurat does not load it", out)
    assert re.search(r"blosc2-grok: (not installed|.*Affero)", out)


def test_doctor_refuses_an_old_openjpeg_with_the_reason() -> None:
    if not OLD_OPENJPEG.exists():
        pytest.skip(f"there is no {OLD_OPENJPEG}")
    result = finish(start("doctor", ZIGGURAT_OPENJPEG=str(OLD_OPENJPEG)))
    assert (result.code, "PROBLEM OpenJPEG" in result.out, "2.5.4 or newer" in result.out) == (1, True, True)


def test_doctor_says_when_the_library_named_is_none() -> None:
    result = finish(start("doctor", ZIGGURAT_OPENJPEG="/nowhere/libopenjp2.so"))
    assert (result.code, "PROBLEM OpenJPEG" in result.out, "/nowhere" in result.out) == (1, True, True)
