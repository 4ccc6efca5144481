"""Images of the sky that tests and benches make: stars on noise, with world coordinates of any kind."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

type Pixels = np.ndarray[Any, np.dtype[Any]]

SDSS = (1489, 2048)
"""Height and width of an SDSS field."""

SCALE = 0.396 / 3600
"""Degrees of its pixels."""


def tan(
    ra: float, dec: float, size: tuple[int, int], scale: float = SCALE, turn: float = 0.0, **cards: Any
) -> fits.Header:
    """A header around a place, turned by some degrees; further cards replace those made here."""
    height, width = size
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    header = fits.Header()
    header.update({
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec, "CUNIT1": "deg", "CUNIT2": "deg",
        "CRPIX1": (width + 1) / 2, "CRPIX2": (height + 1) / 2, "CD1_1": -scale * cos, "CD1_2": scale * sin,
        "CD2_1": scale * sin, "CD2_2": scale * cos, "RADESYS": "ICRS",
    })  # fmt: skip
    for keyword, value in cards.items():
        if value is None:
            header.remove(keyword, ignore_missing=True)
        else:
            header[keyword] = value
    return header


def wcs_of(header: fits.Header) -> WCS:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return WCS(header).celestial


def stars(header: fits.Header, size: tuple[int, int], places: Sequence[tuple[float, float]], flux: float) -> Pixels:
    """Stars of one flux, each a normal profile of 1.8 pixels, at places (ra, dec)."""
    image = np.zeros(size)
    wcs = wcs_of(header)
    for x, y in wcs.all_world2pix(np.array(places), 0):
        if not (-15 < y < size[0] + 15 and -15 < x < size[1] + 15):
            continue
        y0, x0 = int(max(0, y - 15)), int(max(0, x - 15))
        rows, columns = np.mgrid[y0 : min(size[0], y0 + 31), x0 : min(size[1], x0 + 31)]
        spread = 2 * 1.8**2
        image[rows, columns] += flux / (np.pi * spread) * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / spread)
    return image


def sky(size: tuple[int, int], seed: int = 0, level: float = 0.0) -> Pixels:
    """Noise with a few bright spots."""
    rng = np.random.default_rng(seed)
    image = rng.normal(level, 0.02, size).astype(np.float32)
    image[rng.integers(0, size[0], 60), rng.integers(0, size[1], 60)] += rng.exponential(5.0, 60).astype(np.float32)
    return image


def save(path: Path, *images: tuple[Pixels, fits.Header], kind: str | None = None) -> Path:
    """Writes a file: one image as the primary HDU, several as extensions, or compressed ones of a kind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind is not None:
            made = [fits.PrimaryHDU(), *(fits.CompImageHDU(a, h, compression_type=kind) for a, h in images)]
        elif len(images) == 1:
            made = [fits.PrimaryHDU(*images[0])]
        else:
            made = [fits.PrimaryHDU(), *(fits.ImageHDU(a, h) for a, h in images)]
        fits.HDUList(made).writeto(path, overwrite=True)
    return path
