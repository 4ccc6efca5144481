"""Leaving out what a JPEG does not show: whole jobs over noisy scans, and where it must not happen."""

from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from jobs import convert, query, ziggurat
from ziggurat.codec import openjpeg_encode
from ziggurat.codec.jpeg import encode
from ziggurat.convert.decoding import GROWTH, LEAST_PIXELS, PSNR_LOST, SSIMULACRA2_LOST, lightened
from ziggurat.convert.options import OutputOptions
from ziggurat.convert.pipeline import set_up
from ziggurat.convert.records import Decoding
from ziggurat.geometry import Window
from ziggurat.image import open_image
from ziggurat.storage.memory import MemorySource
from ziggurat.write.jpeg import JpegOptions

HEIGHT, WIDTH = 1408, 1536
FAST = OutputOptions(target="jpeg", decode="fast")


@cache
def scan(kind: str) -> np.ndarray:
    """A page with soft colours and lines, and a scanner's noise.

    ``fringed`` has faint colours that change at every pixel: the DCT adds them up to coefficients that it keeps, while
    those of the wavelet are as small as its noise.
    """
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    pixels = np.stack([150 + 60 * np.sin((x * (band + 2) + y) / 90) for band in range(3)], axis=2)
    pixels -= (80 * ((x + 3 * y) % 50 < 4) * (np.sin(x / 200) > 0))[:, :, np.newaxis]
    if kind == "fringed":
        pixels[:, :, 0] += 7 * (x % 2 - 0.5)
        pixels[:, :, 2] -= 7 * (y % 2 - 0.5)
    pixels += np.random.default_rng(5).normal(0, 1.5, pixels.shape)
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


@cache
def encoded(kind: str, *, grey: bool = False, deep: bool = False) -> bytes:
    pixels = scan(kind)[:, :, :1] if grey else scan(kind)
    if deep:
        pixels = pixels.astype(np.uint16) * 257
    coding = openjpeg_encode.Coding(levels=5, tile=WIDTH, component_transform=not grey)
    return openjpeg_encode.encode(pixels, coding, depth=16 if deep else 8)


def light(data: bytes, options: OutputOptions = FAST):  # noqa: ANN201 - what is tested
    image = open_image(MemorySource("memory:scan.j2k", data))
    return lightened(image, set_up(image, options), options)


def distance(jpeg: bytes, truth: np.ndarray) -> float:
    decoded = imagecodecs.jpeg8_decode(jpeg).astype(np.float64)
    return 10 * np.log10(255**2 / np.mean((decoded - truth) ** 2))


def test_a_job_decodes_fast_what_stays_within_the_tolerance_and_the_rest_in_full(tmp_path: Path) -> None:
    folder, out, ledger = tmp_path / "in", tmp_path / "out", tmp_path / "out.zgj"
    folder.mkdir()
    for kind in ("fringed", "plain"):
        (folder / f"{kind}.j2k").write_bytes(encoded(kind))
    result = convert(folder, out, "--decode", "fast")
    assert result.code == 0, result.said
    full = {kind: encode(scan(kind), quality=92, subsampling="444", optimise=False) for kind in ("fringed", "plain")}
    fast = (out / "plain.jpg").read_bytes()
    assert fast != full["plain"]
    assert distance(fast, scan("plain")) >= distance(full["plain"], scan("plain")) - PSNR_LOST
    assert len(fast) <= len(full["plain"]) * (1 + GROWTH)
    assert distance((out / "fringed.jpg").read_bytes(), scan("fringed")) == distance(full["fringed"], scan("fringed"))
    in_full, faster = query(
        ledger,
        "SELECT decode, psnr_lost, ssimulacra2_lost, growth FROM decodings AS d JOIN images AS i ON i.id = d.image"
        " ORDER BY i.source",
    )
    assert in_full[0] == "full"
    assert in_full[1] > PSNR_LOST or in_full[3] > GROWTH or in_full[2] > SSIMULACRA2_LOST
    assert faster[0] == "fast"
    assert 0 < faster[1] <= PSNR_LOST
    assert faster[2] <= SSIMULACRA2_LOST
    assert faster[3] <= GROWTH
    # What the ledger says of the output is against the source, not against what was decoded of it.
    [(psnr, score)] = query(ledger, "SELECT psnr, ssimulacra2 FROM images WHERE source LIKE '%plain.j2k'")
    assert abs(psnr - distance(fast, scan("plain"))) < 1.5
    assert score > 70
    report = ziggurat("report", ledger, tmp_path / "report.html", "--samples", 0)
    assert report.code == 0, report.said
    page = (tmp_path / "report.html").read_text()
    assert "Of 1 image what JPEG does not show was not decoded" in page
    assert "1 image would have lost too much" in page


@pytest.mark.parametrize("subsampling", ["444", "420"])
def test_no_pixel_is_far_off(subsampling: str) -> None:
    options = OutputOptions(target="jpeg", decode="fast", jpeg=JpegOptions(subsampling=subsampling))
    found = light(encoded("plain"), options)
    assert found.decoding is not None
    assert found.decoding.fast
    pixels = found.conversion.picture.read(Window(0, 0, HEIGHT, WIDTH))
    difference = np.abs(pixels.astype(int) - scan("plain"))
    assert difference.any()
    # Three to five planes of the finest chroma: a mean far below what JPEG does, and no pixel in another colour.
    assert difference.mean() < 2
    assert difference.max() < 32


def test_sixteen_bits_are_decoded_as_far_as_eight_need_them() -> None:
    found = light(encoded("plain", grey=True, deep=True))
    assert found.decoding is not None
    assert found.decoding.fast


@pytest.mark.parametrize(
    ("data", "options"),
    [
        pytest.param(lambda: encoded("plain"), OutputOptions(target="jpeg"), id="not asked for"),
        pytest.param(
            lambda: encoded("plain"),
            OutputOptions(target="jpeg", decode="fast", jpeg=JpegOptions(quality=100)),
            id="a JPEG that keeps everything",
        ),
        pytest.param(lambda: encoded("plain", grey=True), FAST, id="grey, of which little can go"),
        pytest.param(lambda: imagecodecs.png_encode(scan("plain")), FAST, id="another format"),
        pytest.param(
            lambda: imagecodecs.jpeg2k_encode(
                scan("plain")[: LEAST_PIXELS // WIDTH - 1], codecformat="j2k", reversible=True
            ),
            FAST,
            id="a small image",
        ),
        pytest.param(
            lambda: imagecodecs.jpeg2k_encode(scan("plain"), level=38, codecformat="j2k"), FAST, id="few bits a sample"
        ),
        pytest.param(lambda: imagecodecs.htj2k_encode(scan("plain"), reversible=True), FAST, id="HT code-blocks"),
    ],
)
def test_nothing_is_left_out_and_nothing_is_measured(data, options: OutputOptions) -> None:  # noqa: ANN001
    found = light(data(), options)
    assert found.decoding == (Decoding(fast=False) if options.decode == "fast" else None)
    assert found.fidelity is None


def test_targets_that_keep_everything_refuse_it(tmp_path: Path) -> None:
    result = convert(tmp_path, tmp_path / "out", "--decode", "fast", to="jp2")
    assert result.code == 2
    assert "only JPEG loses" in result.err


def test_a_job_without_the_choice_is_recorded_as_before() -> None:
    assert "decode" not in OutputOptions(target="jpeg").record()
    assert FAST.record()["decode"] == "fast"
