"""Images larger than the memory: converted in bands within it, or deferred with the reason.

The sides are a third of those of a large scan, and the memory is what a job needs at least; ZIGGURAT_LARGE=1 takes
20,000 and 30,000 pixels a side in 1 GiB.
"""

import os
import time
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from jobs import Result, as_recorded, finish, picture, rows, start
from jpeg2000_maker import write_single, write_tiled

FULL = bool(os.environ.get("ZIGGURAT_LARGE"))
MEMORY = (1 << 30) if FULL else (480 << 20)
JPEG_SIDE, PTIFF_SIDE = (20_000, 30_000) if FULL else (9_000, 10_000)
REPEATS = 10 if FULL else 4
"""Times that 2048 pixels make a JPEG 2000 image's side."""


def striped(path: Path, side: int, rows_per_strip: int = 256) -> Path:
    """An uncompressed BigTIFF of side x side RGB pixels in strips, made of one strip's photograph-like pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    strip = np.tile(picture(rows_per_strip, 1000), (1, -(-side // 1000), 1))[:, :side]
    shades = np.random.default_rng(3).integers(0, 60, 1 + side // rows_per_strip, np.uint8)

    def strips():  # noqa: ANN202 - a generator of arrays
        for number, top in enumerate(range(0, side, rows_per_strip)):
            yield strip[: side - top] + shades[number]

    tifffile.imwrite(
        path, strips(), shape=(side, side, 3), dtype=np.uint8, photometric="rgb", rowsperstrip=rows_per_strip,
        bigtiff=True, compression=None,
    )  # fmt: skip
    return path


def run_watched(*arguments: object) -> tuple[Result, int]:
    """Runs a job and samples what its worker has resident; returns the largest."""
    job = start("convert", *arguments)
    page, peak = os.sysconf("SC_PAGE_SIZE"), 0
    while job.poll() is None:
        time.sleep(0.02)
        try:
            children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text(encoding="ascii").split()
            sizes = [int(Path(f"/proc/{child}/statm").read_text(encoding="ascii").split()[1]) for child in children]
        except (OSError, IndexError, ValueError):
            continue
        peak = max([peak, *(size * page for size in sizes)])
    return finish(job), peak


def check_large(tmp_path: Path, result: Result, peak: int, writer: str) -> NDArray[np.uint8]:
    """Requires one image in bands, verified, within the memory; returns a window of the output's last rows."""
    assert result.code == 0, result.said
    ledger = tmp_path / "out.zgj"
    [row] = rows(ledger).values()
    assert (row["state"], row["strategy"], row["writer"]) == ("done", "bands", writer)
    assert float(str(row["psnr"])) > 30
    assert peak < MEMORY
    assert int(str(row["peak_memory"])) < MEMORY
    assert as_recorded(ledger, tmp_path / "out")
    import ziggurat  # noqa: PLC0415 - the name is the package's here alone

    side = int(str(row["height"]))
    with ziggurat.open(str(tmp_path / "out" / str(row["target"]))) as image:
        return image.read(0, (side - 64, side - 64, side, side))


@pytest.mark.slow
def test_a_large_striped_bigtiff_becomes_a_jpeg_within_the_memory(tmp_path: Path) -> None:
    path = striped(tmp_path / "in" / "scan.tif", JPEG_SIDE)
    options = ("--to", "jpeg", "--workers", "1", "--memory", MEMORY)
    corner = check_large(tmp_path, *run_watched(tmp_path / "in", tmp_path / "out", *options), "jpeg")
    expected = tifffile.memmap(path, mode="r")[-64:, -64:]
    assert float(np.mean((corner.astype(float) - expected) ** 2)) < 20


@pytest.mark.slow
def test_a_large_striped_bigtiff_becomes_a_pyramid_within_the_memory(tmp_path: Path) -> None:
    path = striped(tmp_path / "in" / "scan.tif", PTIFF_SIDE)
    options = ("--to", "ptiff", "--workers", "1", "--memory", MEMORY)
    corner = check_large(tmp_path, *run_watched(tmp_path / "in", tmp_path / "out", *options), "ptiff")
    expected = tifffile.memmap(path, mode="r")[-64:, -64:]
    assert float(np.mean((corner.astype(float) - expected) ** 2)) < 20


@pytest.mark.slow
@pytest.mark.parametrize("to", ["jpeg", "ptiff"])
@pytest.mark.parametrize("layout", ["one tile", "tiles of 1024"])
def test_a_large_jpeg_2000_is_converted_within_the_memory(tmp_path: Path, layout: str, to: str) -> None:
    if FULL and (layout, to) not in {("one tile", "jpeg"), ("tiles of 1024", "ptiff")}:
        pytest.skip("two of the four take minutes enough at full size; the others are as in small")
    pixels = picture(2048, 2048)
    options = {"level": 38, "reversible": False, "codecformat": "j2k", "resolutions": 6}
    path = tmp_path / "in" / "scan.j2k"
    path.parent.mkdir()
    if layout == "one tile":
        write_single(path, imagecodecs.jpeg2k_encode(pixels, **options), REPEATS)
    else:
        write_tiled(path, imagecodecs.jpeg2k_encode(pixels[:1024, :1024], **options), 2 * REPEATS, tlm=True)
    job = (tmp_path / "in", tmp_path / "out", "--to", to, "--workers", "1", "--memory", MEMORY)
    corner = check_large(tmp_path, *run_watched(*job), to)
    side = 2048 if layout == "one tile" else 1024
    assert float(np.mean((corner.astype(float) - pixels[side - 64 : side, side - 64 : side]) ** 2)) < 60


def test_a_turned_image_is_put_upright_in_bands(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pixels = picture(3000, 4000)
    tifffile.imwrite(
        tmp_path / "in" / "turned.tif", pixels, photometric="rgb", rowsperstrip=64, extratags=[(274, 3, 1, 6, True)]
    )
    job = start(
        "convert", tmp_path / "in", tmp_path / "out", "--to", "ptiff", "--compression", "deflate", "--workers", "1",
        "--memory", "420M",
    )  # fmt: skip
    result = finish(job)
    assert result.code == 0, result.said
    [row] = rows(tmp_path / "out.zgj").values()
    assert (row["strategy"], row["psnr"]) == ("bands", float("inf"))
    written = tifffile.imread(tmp_path / "out" / "turned.tif")
    # Orientation 6: the first row is the right side, the first column the top.
    assert np.array_equal(written, np.rot90(pixels, -1))


@pytest.mark.parametrize("oversize", ["refuse", "ptiff", "downscale", "skip"])
def test_an_image_wider_than_jpeg_goes_where_it_is_told_to(tmp_path: Path, oversize: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "wide.png").write_bytes(imagecodecs.png_encode(picture(64, 66_000), level=1))
    arguments = [tmp_path / "in", tmp_path / "out", "--to", "jpeg", "--workers", "1", "--memory", "1G"]
    result = finish(start("convert", *arguments, "--oversize", oversize))
    row = rows(tmp_path / "out.zgj")["wide.png"]
    assert as_recorded(tmp_path / "out.zgj", tmp_path / "out")
    told = (result.code, row["state"], row["error_class"], row["target"], row["writer"])
    match oversize:
        case "refuse":
            assert told == (3, "refused", "TooManyPixels", "wide.jpg", None)
            assert "--oversize" in str(row["error_message"])
        case "ptiff":
            assert told == (0, "done", None, "wide.tif", "ptiff")
            assert tifffile.imread(tmp_path / "out" / "wide.tif").shape == (64, 66_000, 3)
        case "downscale":
            assert told == (0, "done", None, "wide.jpg", "jpeg")
            shape = imagecodecs.jpeg8_decode((tmp_path / "out" / "wide.jpg").read_bytes()).shape
            assert shape == (32, 33_000, 3)
        case _:
            assert told == (0, "skipped", "TooManyPixels", "wide.jpg", None)
