import math
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from ziggurat.codec.jpeg_tables import standard
from ziggurat.convert.fidelity import jpeg_floor, verify
from ziggurat.convert.options import OutputOptions
from ziggurat.convert.pipeline import UNLIMITED, Conversion, set_up
from ziggurat.errors import FormatError, VerificationFailed
from ziggurat.image import open_image
from ziggurat.storage.memory import MemorySource
from ziggurat.write.jpeg import JpegOptions
from ziggurat.write.ptiff import PtiffOptions


def scene(height: int = 200, width: int = 264, bands: int = 3) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 120 * np.sin((x * (band + 1) + y) / 23) for band in range(bands)]
    return np.stack(waves, axis=2).astype(np.uint8)


def conversion(pixels: np.ndarray, options: OutputOptions) -> Conversion:
    data = imagecodecs.png_encode(pixels if pixels.shape[2] > 1 else pixels[:, :, 0])
    return set_up(open_image(MemorySource("memory:source", data)), options)


JPEG = OutputOptions(target="jpeg")


def jpeg(pixels: np.ndarray, path: Path, **options: object) -> Path:
    path.write_bytes(imagecodecs.jpeg8_encode(pixels, **{"level": 92, "subsampling": "444"} | options))
    return path


def test_a_faithful_output_passes_with_its_figures(tmp_path: Path) -> None:
    pixels = scene()
    found = verify(conversion(pixels, JPEG), jpeg(pixels, tmp_path / "a.jpg"), JPEG, memory=UNLIMITED)
    decoded = imagecodecs.jpeg8_decode((tmp_path / "a.jpg").read_bytes())
    error = np.mean((decoded.astype(float) - pixels) ** 2)
    assert found.psnr == pytest.approx(10 * math.log10(255**2 / error))
    assert found.ssimulacra2 is not None
    assert found.ssimulacra2 > 80


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pixels: pixels[:, :, ::-1],  # red and blue exchanged
        lambda pixels: np.roll(pixels, 3, axis=1),  # shifted
        lambda pixels: np.concatenate([pixels[:150], np.full_like(pixels[150:], 128)]),  # greyed out below
        lambda pixels: 255 - pixels,
        lambda pixels: np.clip(pixels.astype(int) + 20, 0, 255).astype(np.uint8),  # another brightness
    ],
)
@pytest.mark.parametrize("subsampling", ["444", "420"])
def test_wrong_pixels_fail_though_the_file_is_sound(tmp_path: Path, spoil, subsampling: str) -> None:  # noqa: ANN001
    options = OutputOptions(target="jpeg", jpeg=JpegOptions(subsampling=subsampling))
    pixels = scene()
    path = jpeg(np.ascontiguousarray(spoil(pixels)), tmp_path / "a.jpg", subsampling=subsampling)
    with pytest.raises(VerificationFailed, match="decodes to other pixels"):
        verify(conversion(pixels, options), path, options, memory=UNLIMITED)


def test_coloured_noise_survives_subsampling_as_far_as_it_can(tmp_path: Path) -> None:
    """Its chroma is lost legitimately: far below any floor, and still the right picture."""
    options = OutputOptions(target="jpeg", jpeg=JpegOptions(subsampling="420"))
    pixels = np.random.default_rng(1).integers(60, 200, (200, 200, 3), np.uint8)
    found = verify(
        conversion(pixels, options), jpeg(pixels, tmp_path / "a.jpg", subsampling="420"), options, memory=UNLIMITED
    )
    assert found.psnr < 20


@pytest.mark.parametrize("pixels", [scene(199), scene(200, 263), scene(bands=1)])
def test_another_size_or_number_of_bands_fails(tmp_path: Path, pixels: np.ndarray) -> None:
    path = jpeg(pixels if pixels.shape[2] > 1 else pixels[:, :, 0], tmp_path / "a.jpg")
    with pytest.raises(VerificationFailed, match="the output is"):
        verify(conversion(scene(), JPEG), path, JPEG, memory=UNLIMITED)


def test_a_truncated_output_fails(tmp_path: Path) -> None:
    path = jpeg(scene(), tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(FormatError):
        verify(conversion(scene(), JPEG), path, JPEG, memory=UNLIMITED)


@pytest.mark.parametrize("level", [0, 1])
def test_one_wrong_sample_of_a_lossless_pyramid_fails(tmp_path: Path, level: int) -> None:
    options = OutputOptions(target="ptiff", ptiff=PtiffOptions(compression="none", tile=64))
    made = conversion(scene(), options)
    path = tmp_path / "a.tif"
    made.writer.write(made.picture, path, memory=UNLIMITED)
    assert verify(made, path, options, memory=UNLIMITED).psnr == math.inf
    data = bytearray(path.read_bytes())
    sample = scene()
    tile = np.ascontiguousarray(sample[:64, :64]).tobytes()
    if level:
        coarse = sample.reshape(100, 2, 132, 2, 3).astype(int).sum(axis=(1, 3)) + 2 >> 2
        tile = np.ascontiguousarray(coarse[:64, :64].astype(np.uint8)).tobytes()
    place = data.index(tile)
    data[place + 5000] ^= 1
    path.write_bytes(data)
    with pytest.raises(VerificationFailed, match="must be equal"):
        verify(made, path, options, memory=UNLIMITED)


def test_the_floor_is_what_quantisation_can_cause_at_worst() -> None:
    """Random pictures, the worst there are, stay above it; a lower quality has a lower floor."""
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    floors = []
    for quality in (20, 50, 75, 92, 98):
        decoded = imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(noise, level=quality, subsampling="444"))
        measured = 10 * math.log10(255**2 / np.mean((decoded.astype(float) - noise) ** 2))
        floors.append(jpeg_floor(standard(quality, 3)))
        assert floors[-1] < measured
    assert floors == sorted(floors)
