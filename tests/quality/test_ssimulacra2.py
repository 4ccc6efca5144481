import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from ssimulacra2 import compute_ssimulacra2

from ziggurat.errors import UsageError
from ziggurat.model import Samples
from ziggurat.quality import ssimulacra2_arrays
from ziggurat.quality.ssimulacra2 import Original, ssimulacra2

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
@pytest.mark.parametrize("number", [3, 13])
def test_scores_of_photographs_of_six_scales_agree_with_the_reference(shared_data: Path, number: int, how: str) -> None:
    file = next((shared_data / "kodak").rglob(f"*{number:02d}.png"))
    original = np.asarray(Image.open(file).convert("RGB"))[100:356, 200:456]
    other = distorted(original, how)
    assert ssimulacra2(original, other) == pytest.approx(reference(original, other), abs=0.05)


@pytest.mark.parametrize(
    ("quality", "subsampling", "typical"),
    [(14, 2, 10), (20, 2, 30), (35, 2, 50), (70, 2, 70), (85, 1, 80), (90, 0, 85)],
)
def test_photographs_have_the_scores_that_the_authors_of_the_metric_publish(
    shared_data: Path, quality: int, subsampling: int, typical: float
) -> None:
    """What cloudinary/ssimulacra2's README calls the typical outputs of libjpeg-turbo."""
    scores = []
    for file in sorted((shared_data / "kodak").rglob("*.png"))[:8]:
        original = Image.open(file).convert("RGB")
        copy = io.BytesIO()
        original.save(copy, "jpeg", quality=quality, subsampling=subsampling)
        scores.append(ssimulacra2(np.asarray(original), np.asarray(Image.open(copy))))
    assert float(np.mean(scores)) == pytest.approx(typical, abs=3)


@pytest.mark.parametrize(
    ("size", "counts"),
    [((256, 300), (1, 2, 2, 3)), ((97, 131), (3, 3, 3)), ((9, 8), (3,)), ((8, 1100), (3,)), ((1030, 17), (2, 1))],
)
@pytest.mark.parametrize("bands", [1, 3])
def test_loops_and_arrays_find_the_same(size: tuple[int, int], counts: tuple[int, ...], bands: int) -> None:
    ssimulacra2_loops = pytest.importorskip(
        "ziggurat.quality.ssimulacra2_loops", reason="the loops are not compiled here"
    )
    pixels = [scene(*size)[:, :, :bands]]
    pixels.append(distorted(np.repeat(pixels[0], 3 // bands, axis=2), "q50")[:, :, :bands])
    scales = []
    for engine in (ssimulacra2_loops, ssimulacra2_arrays):
        pyramids = [engine.pyramid(one, counts) for one in pixels]
        scales.append([engine.sums(*planes) for planes in zip(*pyramids, strict=True)])
    for ours, theirs in zip(*scales, strict=True):
        assert ours.shape == theirs.shape
        assert np.allclose(ours, theirs, rtol=2e-3, atol=1e-3)


def test_an_original_serves_many_threads() -> None:
    original = Original(scene(256, 256))
    others = [distorted(scene(256, 256), how) for how in DISTORTIONS]
    alone = [original.score(other) for other in others]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(original.score, others)) == alone


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
