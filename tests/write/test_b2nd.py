import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import blosc2
import imagecodecs
import numpy as np
import pytest

from jobs import convert, rows
from ziggurat.errors import UnsupportedFeature, UsageError
from ziggurat.geometry import Size, Window
from ziggurat.image import open_image
from ziggurat.model import ColourSpace, Metadata, Resolution, Samples
from ziggurat.quality.psnr import psnr, squared_error
from ziggurat.storage.local import LocalSource
from ziggurat.write.b2nd import B2ndOptions
from ziggurat.write.b2nd.encode import block_encoder
from ziggurat.write.b2nd.options import Codec
from ziggurat.write.b2nd.writer import B2ndWriter
from ziggurat.write.picture import Held

PHOTOGRAPH = Path(__file__).parents[2] / "samples" / "photographs" / "chelsea.png"
MEMORY = 1 << 28


def held(pixels: Samples, **traits: Any) -> Held:
    bits = 8 * pixels.dtype.itemsize
    kind = {"u": "unsigned", "i": "signed", "f": "float"}[pixels.dtype.kind]
    usual: dict[str, Any] = {
        "name": "held",
        "size": Size(*pixels.shape[:2]),
        "bands": pixels.shape[2],
        "dtype": pixels.dtype,
        "bit_depth": bits,
        "kind": kind,
        "colour_space": {1: ColourSpace.GREY, 3: ColourSpace.RGB}.get(pixels.shape[2], ColourSpace.UNKNOWN),
        "alpha": None,
        "icc": None,
        "resolution": None,
        "metadata": Metadata(),
        "grain": Size(64, 64),
    }
    return Held(**(usual | traits), pixels=pixels)


def photograph() -> Samples:
    return np.asarray(imagecodecs.imread(PHOTOGRAPH))


def write(picture: Held, path: Path, **options: Any) -> Path:
    B2ndWriter(B2ndOptions(**options)).write(picture, path, memory=MEMORY)
    return path


def read(path: Path) -> Samples:
    with open_image(LocalSource(path)) as image:
        return image.read(0, Window.full(image.info.size))


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "f4", "f8"])
@pytest.mark.parametrize("bands", [1, 5])
def test_python_blosc2_reads_every_sample(dtype: str, bands: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).normal(100, 30, (150, 210, bands)).astype(dtype)
    path = write(held(pixels), tmp_path / "a.b2nd", tile=64)
    array = blosc2.open(path)
    assert array.shape == ((150, 210, 5) if bands > 1 else (150, 210))
    np.testing.assert_array_equal(array[:].reshape(pixels.shape), pixels)
    np.testing.assert_array_equal(array[70:90, 100:101].reshape(20, 1, bands), pixels[70:90, 100:101])
    np.testing.assert_array_equal(read(path), pixels)


@pytest.mark.parametrize("value", [0, 7])
def test_chunks_of_one_value_are_stored_as_such(value: int, tmp_path: Path) -> None:
    pixels = np.full((150, 210, 3), value, np.uint8)
    path = write(held(pixels), tmp_path / "a.b2nd", tile=32)
    assert path.stat().st_size < 4000
    np.testing.assert_array_equal(blosc2.open(path)[:], pixels)
    np.testing.assert_array_equal(read(path), pixels)
    pixels[140:, 100:] = 9
    path = write(held(pixels), tmp_path / "a.b2nd", tile=32)
    np.testing.assert_array_equal(blosc2.open(path)[:], pixels)
    np.testing.assert_array_equal(read(path), pixels)


def test_python_blosc2_resizes_and_overwrites_what_was_written(tmp_path: Path) -> None:
    pixels = photograph()
    array = blosc2.open(write(held(pixels), tmp_path / "a.b2nd", tile=128), mode="a")
    array[:10] = 9
    array.resize((400, *array.shape[1:]))
    changed = read(tmp_path / "a.b2nd")
    assert (changed[:10] == 9).all()
    np.testing.assert_array_equal(changed[10:300], pixels[10:])
    assert not changed[300:].any()


def decode(packed: Any, pixels: Any, _meta: int, _schunk: object) -> int:
    """What docs/convert.md tells readers to register."""
    pixels[:] = imagecodecs.jpeg2k_decode(bytes(packed)).view("u1").reshape(-1)
    return int(pixels.size)


@pytest.mark.parametrize("codec", ["jpeg2k", "htj2k"])
def test_python_blosc2_reads_jpeg_2000_with_a_registered_function(codec: Codec, tmp_path: Path) -> None:
    number = B2ndOptions(codec=codec).number
    blosc2.register_codec(codec, number, lambda *_: 0, decode)
    before = blosc2.set_nthreads(1)
    try:
        noise = np.random.default_rng(4).integers(0, 256, (120, 130, 3), dtype=np.uint8)
        words = photograph()[:, :, :1].astype(np.uint16) * 200
        for pixels in (photograph(), words, noise, noise[:1, :1], noise[:3, :, :1]):
            path = write(held(pixels), tmp_path / "a.b2nd", codec=codec, tile=100)
            np.testing.assert_array_equal(blosc2.open(path)[:].reshape(pixels.shape), pixels)
            np.testing.assert_array_equal(read(path), pixels)
    finally:
        blosc2.set_nthreads(before)


@pytest.mark.parametrize(
    ("codec", "plugin"), [("grok", "blosc2_grok"), ("blosc2_j2k", "blosc2_j2k"), ("blosc2_htj2k", "blosc2_htj2k")]
)
def test_the_plugins_read_what_bears_their_number(codec: Codec, plugin: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(plugin) is None:
        pytest.skip(f"{plugin} is not installed")
    pixels = photograph()
    path = write(held(pixels), tmp_path / "a.b2nd", codec=codec, tile=100)
    # Alone: a plugin brings libraries that take the place of imagecodecs' own.
    script = (
        f"import blosc2, {plugin}, numpy; blosc2.set_nthreads(1); "
        f"numpy.save({str(tmp_path / 'a.npy')!r}, blosc2.open({str(path)!r})[:])"
    )
    path_of_python = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, env=os.environ | {"PATH": path_of_python})
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), pixels)


@pytest.mark.parametrize("codec", ["jpeg2k", "htj2k", "grok"])
def test_a_rate_is_kept(codec: Codec, tmp_path: Path) -> None:
    pixels = photograph()
    path = write(held(pixels), tmp_path / "a.b2nd", codec=codec, rate=10)
    reached = 512 * 512 * 3 / (path.stat().st_size)
    assert reached >= 9.5
    assert psnr(squared_error(pixels, read(path)) / pixels.size, 255) > 36
    # What is over goes into quality: little less would have been too much.
    assert path.stat().st_size > 0.8 * pixels.nbytes / 10


@pytest.mark.parametrize("shape", [(300, 300, 3), (201, 77, 3), (300, 200, 1), (64, 64, 4)])
@pytest.mark.parametrize("ratio", [2.5, 10, 40])
def test_no_block_is_larger_than_its_rate_allows(shape: tuple[int, int, int], ratio: float) -> None:
    height, width, bands = shape
    pixels = np.ascontiguousarray(np.concatenate([photograph()] * 2, axis=2)[:height, :width, :bands])
    encode = block_encoder(held(pixels), B2ndOptions(codec="jpeg2k", rate=ratio))
    data = encode(pixels)
    headers = 250
    assert len(data) <= max(pixels.nbytes / ratio, headers)
    assert imagecodecs.jpeg2k_decode(data).size == pixels.size


@pytest.mark.parametrize(("codec", "slack"), [("jpeg2k", 1.5), ("htj2k", 0.0)])
def test_decibels_are_reached(codec: Codec, slack: float, tmp_path: Path) -> None:
    pixels = photograph()
    path = write(held(pixels), tmp_path / "a.b2nd", codec=codec, psnr=42)
    assert 42 - slack <= psnr(squared_error(pixels, read(path)) / pixels.size, 255) < 45


@pytest.mark.parametrize("codec", ["jpeg2k", "htj2k"])
def test_decibels_count_from_the_significant_bits(codec: Codec, tmp_path: Path) -> None:
    pixels = photograph().astype(np.uint16) * 16
    path = write(held(pixels, bit_depth=12), tmp_path / "a.b2nd", codec=codec, psnr=50)
    assert 48 <= psnr(squared_error(pixels, read(path)) / pixels.size, 4095) < 54


def test_what_the_pixels_mean_travels_along(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 4096, (40, 50, 4), dtype=np.uint16)
    traits: dict[str, Any] = {
        "bit_depth": 12,
        "colour_space": ColourSpace.SRGB,
        "alpha": "premultiplied",
        "icc": b"a profile" * 20_000,
        "resolution": Resolution(11811.0, 5905.5),
        "metadata": Metadata(exif=b"II*\0", xmp=b"<x/>", iptc=b"\x1c\2"),
    }
    path = write(held(pixels, **traits), tmp_path / "a.b2nd")
    with open_image(LocalSource(path)) as image:
        assert {name: getattr(image.info, name) for name in traits} == traits
    array = blosc2.open(path)  # its metalayers do not outlive it
    notes = json.loads(array.schunk.meta["ziggurat"])
    assert (notes["axes"], notes["bit_depth"]) == (["y", "x", "band"], 12)
    np.testing.assert_array_equal(array[:], pixels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codec": "lz4"}, "none of zstd"),
        ({"tile": 8}, "not between 16"),
        ({"rate": 10}, "zstd is lossless"),
        ({"codec": "jpeg2k", "rate": 10, "psnr": 40}, "give one of them"),
        ({"codec": "jpeg2k", "rate": 1}, "above 1"),
        ({"codec": "jpeg2k", "psnr": -3}, "up to 100"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        B2ndOptions(**options)


@pytest.mark.parametrize(("codec", "shape", "dtype"), [("jpeg2k", (40, 40, 5), "u1"), ("htj2k", (40, 40, 3), "f4")])
def test_samples_that_a_codec_cannot_hold_are_refused(
    codec: Codec, shape: tuple[int, ...], dtype: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedFeature, match="--codec zstd"):
        write(held(np.zeros(shape, dtype)), tmp_path / "a.b2nd", codec=codec)


@pytest.mark.parametrize("more", [(), ("--codec", "jpeg2k"), ("--codec", "htj2k", "--psnr", "40", "--tile", "128")])
def test_a_job_converts_and_verifies(more: tuple[str, ...], tmp_path: Path) -> None:
    result = convert(PHOTOGRAPH, tmp_path / "out", *more, to="b2nd")
    assert result.code == 0, result.said
    [row] = rows(tmp_path / "out.zgj").values()
    exact = "--psnr" not in more
    assert row["state"] == "done"
    assert (row["psnr"] == math.inf) == exact
    [made] = (tmp_path / "out").rglob("*.b2nd")
    assert (squared_error(read(made), photograph()) == 0) == exact


def test_other_targets_refuse_a_rate(tmp_path: Path) -> None:
    result = convert(PHOTOGRAPH, tmp_path / "out", "--rate", "10")
    assert result.code == 2
    assert "only --to jp2, htj2k and b2nd know that" in result.said


def test_memory_bounds_a_tall_picture() -> None:
    writer = B2ndWriter(B2ndOptions(tile=256))
    picture = held(np.zeros((1, 1, 1), np.uint8), size=Size(200_000, 3000), grain=Size(512, 3000))
    assert writer.write_cost(picture, memory=1 << 26) <= 1 << 26
    assert not math.isinf(writer.write_cost(picture, memory=1 << 26))
