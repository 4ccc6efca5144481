"""How coarsely HTJ2K may quantise: there is no cutting to a target afterwards, so the step is searched for."""

import math

import numpy as np

from ziggurat.codec import openjph
from ziggurat.geometry import Window
from ziggurat.image import open_image
from ziggurat.model import Samples
from ziggurat.storage.memory import MemorySource
from ziggurat.write.protocol import Picture

_SIDE, _ACROSS = 256, 3
"""Squares that are tried out: so large, and so many a side of the picture."""

_ROUNDS = 7
_LEVELS = 5

_FINEST, _COARSEST = 1e-5, 0.5
"""Steps that OpenJPH takes, relative to the range of the samples."""

_BEYOND = 8.0
"""How much coarser the step may be than what the worst picture allows: most coefficients are near zero."""


def quantisation_step(picture: Picture, wanted: float, *, component_transform: bool) -> float:
    """The coarsest step that reaches a PSNR on squares spread over the picture.

    Args:
        picture: what is to be encoded.
        wanted: decibels.
        component_transform: whether the first three bands are red, green and blue.

    Returns:
        The step; at most eight times the one at which even noise would reach so much.
    """
    # Noise errs by a twelfth of the squared step.
    safe = math.sqrt(12.0) * 10 ** (-wanted / 20)
    low, high = (math.log(min(_COARSEST, max(_FINEST, step))) for step in (safe / _BEYOND, safe * _BEYOND))
    squares = _squares(picture)
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        coding = openjph.Coding(
            depth=picture.bit_depth,
            levels=_LEVELS,
            tile=_SIDE,
            step=math.exp(middle),
            component_transform=component_transform,
        )
        if _decibels(squares, coding) >= wanted:
            low = middle
        else:
            high = middle
    return math.exp(low)


def _squares(picture: Picture) -> Samples:
    """Squares of the picture side by side, each to be a tile; those of a small picture are filled up at their edges."""
    height, width = picture.size
    rows = []
    for y in (_start(height, number) for number in range(_ACROSS)):
        row = []
        for x in (_start(width, number) for number in range(_ACROSS)):
            window = Window(y, x, min(y + _SIDE, height), min(x + _SIDE, width))
            room = ((0, _SIDE - window.height), (0, _SIDE - window.width), (0, 0))
            row.append(np.pad(picture.read(window), room, mode="edge"))
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows, axis=0)


def _start(side: int, number: int) -> int:
    return max(0, (side - _SIDE) * number // (_ACROSS - 1))


def _decibels(squares: Samples, coding: openjph.Coding) -> float:
    """PSNR as our reader decodes them."""
    data, _ = openjph.encode(squares, coding)
    with open_image(MemorySource("memory:squares", data)) as image:
        decoded = image.read(0, Window.full(image.info.size))
    error = float(np.square(decoded.astype(np.float64) - squares).mean())
    peak = float((1 << coding.depth) - 1)
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)
