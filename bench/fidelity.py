"""How faithful the outputs are: all are decoded by one decoder and compared with what went in."""

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

import ziggurat
from corpora import Group
from ziggurat.errors import ZigguratError
from ziggurat.model import Samples
from ziggurat.quality.psnr import psnr, squared_error
from ziggurat.quality.sampling import busiest
from ziggurat.quality.ssimulacra2 import ssimulacra2

TILES = 2
"""The busiest tiles of every image, on which SSIMULACRA2 is measured."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pipeline made of a group.

    Attributes:
        size: bytes of all outputs.
        psnr: decibels, the mean over the images.
        lowest: decibels, of the worst image.
        ssimulacra2: the mean over the tiles.
        failed: names of the sources without an output that decodes to their size.
    """

    size: int
    psnr: float
    lowest: float
    ssimulacra2: float
    failed: tuple[str, ...]


def outcomes(group: Group, folders: dict[str, Path]) -> dict[str, Outcome]:
    """Compares the outputs in each of the folders; every source is decoded once."""
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in folders}
    failed: dict[str, list[str]] = {name: [] for name in folders}
    for source in group.originals():
        reference = group.reference(source)
        for name, folder in folders.items():
            score = compare(reference, folder / f"{source.stem}.jpg")
            if score is None:
                failed[name].append(source.name)
            else:
                scores[name].append(score)
    return {
        name: Outcome(
            size=sum(path.stat().st_size for path in folder.iterdir()),
            psnr=fmean(score[0] for score in scores[name]) if scores[name] else math.nan,
            lowest=min((score[0] for score in scores[name]), default=math.nan),
            ssimulacra2=fmean(score[1] for score in scores[name]) if scores[name] else math.nan,
            failed=tuple(failed[name]),
        )
        for name, folder in folders.items()
    }


def compare(reference: Samples, output: Path) -> tuple[float, float] | None:
    """PSNR in decibels and SSIMULACRA2, or None where there is no output of this size."""
    try:
        with ziggurat.open(str(output)) as image:
            pixels = image.read()
    except ZigguratError:
        return None
    if pixels.shape[:2] != reference.shape[:2]:
        return None
    if pixels.shape[2] != reference.shape[2]:
        # Grey that was written as colour, or the other way round, is still the same picture.
        reference, pixels = (np.repeat(side, 3 // side.shape[2], axis=2) for side in (reference, pixels))
    windows = busiest(reference, TILES)
    tiles = [ssimulacra2(reference[window.slices()], pixels[window.slices()]) for window in windows]
    return psnr(squared_error(reference, pixels) / reference.size, 255.0), fmean(tiles)
