"""Colours for one band: evenly spaced stops, linear in between.

viridis, magma, inferno and plasma are by N. Smith, S. van der Walt and E. Firing (CC0); cubehelix by D. Green (2011).
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import numpy as np

from ziggurat.model import Samples

_STOPS: Final = {
    "viridis": "440154 482475 414487 355f8d 2a788e 21918c 22a884 44bf70 7ad151 bddf26 fde725",
    "magma": "000004 140e36 3b0f70 641a80 8c2981 b73779 de4968 f7705c fe9f6d fecf92 fcfdbf",
    "inferno": "000004 160b39 420a68 6a176e 932667 bc3754 dd513a f37819 fca50a f6d746 fcffa4",
    "plasma": "0d0887 41049d 6a00a8 8f0da4 b12a90 cc4778 e16462 f2844b fca636 fcce25 f0f921",
    "heat": "000000 550000 aa0000 ff0000 ff5500 ffaa00 ffff00 ffff80 ffffff",
    "cool": "00ffff ff00ff",
    "diverging": "3b4cc0 688aef 99baff c9d8ef edd1c2 f7a789 e26952 b40426",
    "grey": "000000 ffffff",
}

COLOUR_MAPS: Final[Mapping[str, str]] = MappingProxyType(_STOPS | {"cubehelix": ""})
"""Names that a request may give."""


@lru_cache(maxsize=len(COLOUR_MAPS))
def colours(name: str) -> Samples:
    """The colours of a map: uint8 (256, 3)."""
    place = np.linspace(0, 1, 256)
    if name == "cubehelix":
        return _cubehelix(place)
    stops = np.array([list(bytes.fromhex(stop)) for stop in COLOUR_MAPS[name].split()], float)
    at = np.linspace(0, 1, len(stops))
    mixed = np.stack([np.interp(place, at, stops[:, band]) for band in range(3)], axis=1)
    table: Samples = np.rint(mixed).astype(np.uint8)
    return table


def _cubehelix(place: Samples) -> Samples:
    """D. Green, Bull. Astr. Soc. India 39 (2011) 289, with its defaults: start 0.5, rotations -1.5, hue 1, gamma 1."""
    angle = 2 * np.pi * (0.5 / 3 - 1.5 * place)
    swing = place * (1 - place) / 2
    factors = np.array([[-0.14861, 1.78277], [-0.29227, -0.90649], [1.97294, 0.0]])
    mixed = place[:, None] + swing[:, None] * (np.stack([np.cos(angle), np.sin(angle)], axis=1) @ factors.T)
    table: Samples = np.rint(np.clip(mixed, 0, 1) * 255).astype(np.uint8)
    return table
