"""Fidelity instead of quality: the search on real photographs, and jobs with it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

import ziggurat
from ziggurat.cli import run
from ziggurat.codec.jpeg import decode, encode, scan_structure
from ziggurat.codec.jpeg_syntax import quantisation_tables
from ziggurat.codec.jpeg_tables import SHAPES, standard
from ziggurat.codec.jpeg_tables import encode as encode_with
from ziggurat.convert.tuning import doubts, tune
from ziggurat.convert.wanted import Wanted, parse_wanted
from ziggurat.errors import UsageError
from ziggurat.image import open_image
from ziggurat.model import Samples
from ziggurat.quality.psnr import psnr, squared_error
from ziggurat.quality.ssimulacra2 import ssimulacra2
from ziggurat.storage.memory import MemorySource
from ziggurat.write.jpeg import JpegOptions, JpegWriter
from ziggurat.write.picture import Held, PictureOptions, hold, prepare

SAMPLES = Path(__file__).parents[2] / "samples" / "photographs"


def held(pixels: Samples) -> Held:
    data = imagecodecs.png_encode(pixels if pixels.shape[2] > 1 else np.ascontiguousarray(pixels[:, :, 0]))
    return hold(prepare(open_image(MemorySource("memory:a", data)), PictureOptions(), form="display"))


def photograph(name: str) -> Samples:
    return np.asarray(imagecodecs.imread(SAMPLES / f"{name}.png"))[..., :3]


def written(pixels: Samples, wanted: Wanted, *, whole: bool = True) -> tuple[bytes, Samples]:
    chosen = tune(held(pixels), wanted, whole=whole)
    jpeg = encode_with(pixels, chosen.tables, subsampling=chosen.subsampling, small=True)
    return jpeg, decode(jpeg, "YCBCR" if pixels.shape[2] > 1 else "GRAYSCALE", name="the output")


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_a_photograph_as_good_as_quality_92_takes_at_least_8_percent_less(name: str) -> None:
    pixels = photograph(name)
    usual = encode(pixels, quality=92, optimise=True)
    jpeg, decoded = written(pixels, Wanted("same-as", 92))
    assert ssimulacra2(pixels, decoded) >= ssimulacra2(pixels, decode(usual, "YCBCR", name="the usual"))
    assert len(jpeg) < 0.92 * len(usual)


@pytest.mark.parametrize("score", [70, 85, 93])
def test_a_score_is_reached_and_hardly_exceeded(score: float) -> None:
    pixels = photograph("astronaut")
    _, decoded = written(pixels, Wanted("ssimulacra2", score))
    assert score <= ssimulacra2(pixels, decoded) < score + 0.5


def test_decibels_are_reached_and_hardly_exceeded() -> None:
    pixels = photograph("coffee")
    _, decoded = written(pixels, Wanted("psnr", 40))
    assert 40 <= psnr(squared_error(pixels, decoded) / pixels.size, 255) < 40.3


def test_grey_is_tuned_too() -> None:
    grey = np.ascontiguousarray(photograph("coffee")[:, :, 1:2])
    _, decoded = written(grey, Wanted("ssimulacra2", 85))
    assert 85 <= ssimulacra2(grey, decoded) < 85.5


@pytest.mark.parametrize("whole", [True, False])
def test_the_samples_of_a_large_picture_stand_for_all_of_it(whole: bool) -> None:  # noqa: FBT001
    """Flat, busy and ordinary parts: a picture whose tiles differ as much as they can."""
    rng = np.random.default_rng(5)
    parts = [np.tile(photograph(name), (4, 4, 1))[:1000, :1000] for name in ("astronaut", "chelsea", "coffee")]
    noisy = np.clip(parts[2] + rng.normal(0, 6, parts[2].shape), 0, 255).astype(np.uint8)
    pixels = np.vstack([np.hstack(parts[:2]), np.hstack([noisy, np.full_like(parts[0], 235)])])
    _, decoded = written(pixels, Wanted("ssimulacra2", 85), whole=whole)
    assert ssimulacra2(pixels, decoded) == pytest.approx(85, abs=2.5)
    assert tune(held(pixels), Wanted("ssimulacra2", 85), whole=whole) == tune(
        held(pixels), Wanted("ssimulacra2", 85), whole=whole
    )


def test_same_as_never_takes_more_bytes_than_the_quality_itself() -> None:
    """Noise in the dark: the usual tables suit it best."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[0:300, 0:300]
    glow = 90 * np.exp(-np.hypot(y - 150, x - 150) / 60)
    pixels = np.clip(glow[:, :, None] * (1, 0.8, 0.3) + rng.normal(2, 1.5, (300, 300, 3)), 0, 255).astype(np.uint8)
    for quality in (50, 92):
        jpeg, decoded = written(pixels, Wanted("same-as", quality))
        usual = encode_with(pixels, standard(quality, 3), subsampling="444" if quality >= 90 else "420", small=True)
        assert len(jpeg) <= len(usual)
        assert ssimulacra2(pixels, decoded) >= ssimulacra2(pixels, decode(usual, "YCBCR", name="the usual"))


def test_what_no_jpeg_reaches_gets_the_finest_tables_and_is_marked() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 300, 3), np.uint8)
    wanted = Wanted("psnr", 60)
    chosen = tune(held(noise), wanted, whole=True)
    assert {step for table in chosen.tables for step in table} == {1}
    assert len(doubts(chosen, wanted, 40.0, 50.0)) == 3
    assert doubts(chosen, Wanted("psnr", 30, floor=40), 40.0, 50.0) == doubts(chosen, wanted, 60.0, None)


def test_a_picture_too_small_for_the_metric_is_written_all_the_same() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 900, 3), np.uint8)
    chosen = tune(held(pixels), Wanted("ssimulacra2", 85), whole=True)
    assert chosen.tables == standard(95, 3)
    assert doubts(chosen, Wanted("ssimulacra2", 85), 35.0, None) == ()
    assert json.loads(json.dumps(chosen.record()))["reached"] is None


def test_the_standard_tables_are_libjpegs() -> None:
    pixels = photograph("chelsea")
    for quality in (1, 30, 50, 75, 92, 100):
        for subsampling in ("444", "422", "420"):
            ours = encode_with(pixels, standard(quality, 3), subsampling=subsampling, small=False)
            theirs = encode(pixels, quality=quality, subsampling=subsampling)
            assert np.array_equal(decode(ours, "YCBCR", name="a"), decode(theirs, "YCBCR", name="b"))
            assert np.array_equal(quantisation_tables(ours)[0], quantisation_tables(theirs)[0])


def test_noise_at_the_finest_step_is_encoded_whole() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    jpeg = encode_with(noise, SHAPES[0].tables(1e-9, 3), subsampling="444", small=True)
    assert decode(jpeg, "YCBCR", name="noise").shape == noise.shape


@pytest.mark.parametrize(
    "text", ["85", "ssimulacra=85", "same-as=92", "psnr=", "ssimulacra2=101", "same-as=q0", "psnr=5"]
)
def test_other_spellings_and_impossible_figures_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--fidelity"):
        parse_wanted(text, None)


def test_a_job_reaches_its_fidelity_and_records_how(tmp_path: Path) -> None:
    command = ["convert", str(SAMPLES), str(tmp_path / "out"), "--to", "jpeg", "--workers", "1"]
    assert run([*command, "--fidelity", "ssimulacra2=85", "--floor", "99"]) == 0
    with closing(sqlite3.connect(tmp_path / "out.zgj")) as ledger:
        rows = ledger.execute("SELECT target, settings, warnings, ssimulacra2, psnr FROM images").fetchall()
    assert len(rows) == 3
    for name, settings, warnings, worst, decibels in rows:
        chosen = json.loads(settings)
        assert chosen["wanted"] == 85 <= chosen["reached"] < 85.5
        assert chosen["subsampling"] in {"444", "420"}
        assert 0.01 < chosen["step"] < 1
        assert "to be reviewed" in warnings
        assert decibels > 30
        assert 70 < worst < 95
        original, output = photograph(Path(name).stem), imagecodecs.imread(tmp_path / "out" / name)
        assert ssimulacra2(original, output) >= 85


def test_bands_of_a_picture_too_large_for_the_memory_have_the_tables_too(tmp_path: Path) -> None:
    """Written in bands it is baseline, and its pixels are those of the whole."""
    pixels = np.tile(photograph("coffee"), (9, 6, 1))
    imagecodecs.imwrite(tmp_path / "a.tif", pixels)
    with ziggurat.open(str(tmp_path / "a.tif")) as image:
        picture = prepare(image, PictureOptions(), form="display")
        chosen = tune(picture, Wanted("same-as", 92), whole=False)
        writer = JpegWriter(chosen.applied(JpegOptions()))
        made = []
        for name, memory in (("bands", 30 << 20), ("whole", 300 << 20)):
            assert writer.write_cost(picture, memory=memory) <= memory
            writer.write(picture, tmp_path / f"{name}.jpg", memory=memory)
            made.append((tmp_path / f"{name}.jpg").read_bytes())
    bands, whole = made
    assert [scan_structure(jpeg, name="a").frame.progressive for jpeg in made] == [False, True]
    assert len(whole) < 0.97 * len(bands)
    assert np.array_equal(decode(bands, "YCBCR", name="bands"), decode(whole, "YCBCR", name="whole"))


@pytest.mark.parametrize(
    "options",
    [
        ("--to", "ptiff", "--fidelity", "psnr=45"),
        ("--to", "jpeg", "--fidelity", "psnr=45", "--quality", "90"),
        ("--to", "jpeg", "--fidelity", "psnr=45", "--subsampling", "420"),
        ("--to", "jpeg", "--floor", "60"),
    ],
)
def test_options_that_contradict_are_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    assert run(["convert", str(SAMPLES), str(tmp_path / "out"), *options]) == 2
