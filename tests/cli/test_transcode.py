"""``ziggurat transcode``: what it prints, what it refuses, where it writes."""

import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from jobs import ziggurat
from s3_server import S3Server
from transcoding import coded, main_header, pixels
from ziggurat.format.jpeg2000.container import read_container
from ziggurat.storage.local import LocalSource

PIXELS = pixels()


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.jp2"
    path.write_bytes(coded("opj_compress", "-n 4 -t 128,128", "jp2"))
    return path


def test_the_defaults_suit_object_storage(scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jp2"
    result = ziggurat("transcode", scan, out)
    assert result.code == 0, result.err
    assert result.out.splitlines() == [
        f"{out}: {out.stat().st_size:,} bytes, made from {scan.stat().st_size:,}",
        "  4 tiles in 16 tile-parts (by resolution, coarse-first), 48 packets in RPCL, TLM, PLT",
    ]
    container = read_container(LocalSource(out))
    assert container.main.markers[-1] == "TLM"
    assert container.tile_markers == ("PLT",)
    assert np.array_equal(imagecodecs.jpeg2k_decode(out.read_bytes()), PIXELS)


def test_every_choice_is_made(scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jp2"
    options = ("--progression", "CPRL", "--tile-parts", "C", "--layout", "tile-first", "--no-tlm", "--no-plt")
    result = ziggurat("transcode", scan, out, *options, "--drop-levels", 1)
    assert result.code == 0, result.err
    assert "4 tiles in 12 tile-parts (by component, tile-first), 36 packets in CPRL\n" in result.out
    container = read_container(LocalSource(out))
    assert "TLM" not in container.main.markers
    assert container.tile_markers == ()
    assert np.array_equal(
        imagecodecs.jpeg2k_decode(out.read_bytes()), imagecodecs.jpeg2k_decode(scan.read_bytes(), skipres=1)
    )


def test_what_changed_besides_is_said(scan: Path, tmp_path: Path) -> None:
    scan.write_bytes(scan.read_bytes() + b"\0\0\0\x0ccidx\1\2\3\4")
    result = ziggurat("transcode", scan, tmp_path / "out.jp2")
    assert "  note: box 'cidx' at byte " in result.out


def test_nothing_is_overwritten_silently(scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jp2"
    out.write_bytes(b"precious")
    result = ziggurat("transcode", scan, out)
    assert result.code == 1
    assert "out.jp2 exists; choose another name, or ask for overwriting" in result.err
    assert out.read_bytes() == b"precious"
    assert ziggurat("transcode", scan, out, "--overwrite").code == 0
    assert out.read_bytes() != b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jp2", "scan.jp2"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tile-parts", "L"), "tile-parts L cannot be had in the progression RPCL"),
        (("--progression", "PCRL"), "choose RLCP or RPCL, or other tile-parts"),
        (("--drop-levels", "4"), "tile 0 has 3 decomposition levels; 4 cannot be left out"),
        (("--drop-layers", "1"), "tile 0 has 1 quality layers; 1 cannot be left out, one must stay"),
        (("--drop-levels", "-1"), "cannot be negative"),
        (("--progression", "XYZ"), "XYZ"),
    ],
)
def test_what_makes_no_sense_is_the_command_lines_fault(
    scan: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    result = ziggurat("transcode", scan, tmp_path / "out.jp2", *options)
    assert result.code == 2
    assert said in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["scan.jp2"]


@pytest.mark.parametrize("out", ["memory:out", "https://example.org/out.jp2", "s3://bucket/", "/"])
def test_places_that_take_no_results_are_refused(scan: Path, out: str) -> None:
    result = ziggurat("transcode", scan, out)
    assert result.code == 2
    assert out in result.err or "give" in result.err


def test_other_formats_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(imagecodecs.png_encode(PIXELS))
    result = ziggurat("transcode", path, tmp_path / "out.jp2")
    assert result.code == 1
    assert "picture.png" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_folders_are_made(scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "out.jp2"
    run = subprocess.run(
        [sys.executable, "-m", "ziggurat", "transcode", scan, out], check=True, capture_output=True, text=True
    )
    assert "48 packets" in run.stdout
    assert main_header(out.read_bytes()[read_container(LocalSource(out)).codestream.start :]).tlm


@pytest.mark.s3
@pytest.mark.xdist_group("s3")
def test_from_a_store_into_a_store(s3: S3Server, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    bucket = s3.make_bucket("transcode-it")
    s3.client.upload_file(str(scan), bucket, "in/scan.jp2")
    result = ziggurat("transcode", f"s3://{bucket}/in/scan.jp2", f"s3://{bucket}/out/scan.jp2")
    assert result.code == 0, result.err
    assert ziggurat("transcode", scan, tmp_path / "out.jp2").code == 0
    stored = s3.client.get_object(Bucket=bucket, Key="out/scan.jp2")["Body"].read()
    assert stored == (tmp_path / "out.jp2").read_bytes()
    assert ziggurat("transcode", scan, f"s3://{bucket}/out/scan.jp2").code == 1
