import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from ssimulacra2 import compute_ssimulacra2

from ziggurat.errors import UsageError
from ziggurat.model import Samples
from ziggurat.quality.ssimulacra2 import ssimulacra2

DISTORTIONS = ("q10", "q30", "q50", "q75", "q90", "q98", "blur", "noise", "grain")


def distorted(pixels: Samples, how: str) -> Samples:
    rng = np.random.default_rng(3)
    if how.startswith("q"):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "jpeg", quality=int(how[1:]), subsampling=0 if int(how[1:]) > 80 else 2)
        return np.asarray(Image.open(file))
    if how == "blur":
        return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1)))
    if how == "noise":
        return np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)
    return np.where(rng.random(pixels.shape) < 0.001, pixels ^ 1, pixels).astype(np.uint8)


def reference(original: Samples, other: Samples) -> float:
    files = io.BytesIO(), io.BytesIO()
    for file, pixels in zip(files, (original, other), strict=True):
        Image.fromarray(pixels).save(file, "png", compress_level=0)
    return float(compute_ssimulacra2(*files))


def scene(height: int, width: int) -> Samples:
    """Slopes, edges and noise of several sizes."""
    rng = np.random.default_rng(height + width)
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        128
        + 60 * np.sin(x / (9 + 7 * band)) * np.cos(y / 13)
        + 50 * ((x // 24 + y // 17) % 2)
        + rng.normal(0, 4, y.shape)
        for band in range(3)
    ]
    return np.clip(np.stack(planes, axis=2), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("how", DISTORTIONS)
@pytest.mark.parametrize("size", [(160, 200), (97, 131), (48, 49), (9, 8)])
def test_scores_of_made_scenes_agree_with_the_reference(size: tuple[int, int], how: str) -> None:
    original = scene(*size)
    other = distorted(original, how)
    assert ssimulacra2(original, other) == pytest.approx(reference(original, other), abs=0.05)


@pytest.mark.parametrize("how", DISTORTIONS)
@pytest.mark.parametrize("number", [3, 13, 19])
def test_scores_of_photographs_agree_with_the_reference(shared_data: Path, number: int, how: str) -> None:
    file = next((shared_data / "kodak").rglob(f"*{number:02d}.png"))
    original = np.asarray(Image.open(file).convert("RGB"))[100:260, 200:360]
    other = distorted(original, how)
    assert ssimulacra2(original, other) == pytest.approx(reference(original, other), abs=0.05)


def test_equal_pictures_score_100() -> None:
    # Sums in single precision may be split differently from one call to the next.
    assert ssimulacra2(scene(70, 90), scene(70, 90)) == pytest.approx(100, abs=0.01)


def test_grey_counts_as_three_equal_bands() -> None:
    grey = scene(64, 64)[:, :, :1]
    worse = distorted(np.repeat(grey, 3, axis=2), "blur")[:, :, :1]
    score = ssimulacra2(np.repeat(grey, 3, axis=2), np.repeat(worse, 3, axis=2))
    assert score < 95
    assert ssimulacra2(grey, worse) == pytest.approx(score, abs=1e-3)


def test_what_the_metric_cannot_judge_is_refused() -> None:
    small, right = np.zeros((7, 100, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(UsageError, match="8 x 8"):
        ssimulacra2(small, small)
    with pytest.raises(UsageError, match="uint16"):
        ssimulacra2(right.astype(np.uint16), right)
    with pytest.raises(UsageError, match="compared"):
        ssimulacra2(right, np.zeros((8, 9, 3), np.uint8))
