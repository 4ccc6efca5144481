"""What a reader of a viewer like Mirador asks for: the whole page, then closer and closer looks, and steps aside."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

SCREEN = (900, 1200)
"""Height and width of the viewer in pixels."""

STEPS_ASIDE = 3
"""At the two finest scales, of half a screen each."""


@dataclass(frozen=True, slots=True)
class View:
    """Part of an image on the screen.

    Attributes:
        scale: pixels of the image that make one of the screen, a power of two.
        y0, x0, y1, x1: the part, at full resolution.
    """

    scale: int
    y0: int
    x0: int
    y1: int
    x1: int


def views(size: tuple[int, int], rng: Random) -> Iterator[View]:
    """The views of one session.

    Args:
        size: height and width of the image.
        rng: decides where the reader looks.
    """
    height, width = size
    scale = 1
    while height > SCREEN[0] * scale or width > SCREEN[1] * scale:
        scale *= 2
    y, x = rng.uniform(0.2, 0.8) * height, rng.uniform(0.2, 0.8) * width
    while scale >= 1:
        yield _at(size, scale, y, x)
        for _ in range(STEPS_ASIDE if scale <= 2 else 0):
            y += rng.choice((-0.5, 0, 0.5)) * SCREEN[0] * scale
            x += rng.choice((-0.5, 0.5)) * SCREEN[1] * scale
            y, x = min(max(y, 0), height), min(max(x, 0), width)
            yield _at(size, scale, y, x)
        scale //= 2


def _at(size: tuple[int, int], scale: int, y: float, x: float) -> View:
    high, wide = SCREEN[0] * scale, SCREEN[1] * scale
    y0, x0 = max(0, min(int(y - high / 2), size[0] - high)), max(0, min(int(x - wide / 2), size[1] - wide))
    return View(scale, y0, x0, min(y0 + high, size[0]), min(x0 + wide, size[1]))


def tiles(size: tuple[int, int], view: View, side: int) -> Iterator[tuple[int, int]]:
    """Row and column of the tiles that cover a view, on the grid of its scale.

    Args:
        size: height and width of the image.
        view: what is seen.
        side: of the tiles, in pixels of the scale.
    """
    step = side * view.scale
    for row in range(view.y0 // step, -(-min(view.y1, size[0]) // step)):
        for column in range(view.x0 // step, -(-min(view.x1, size[1]) // step)):
            yield row, column


def iiif(size: tuple[int, int], scale: int, side: int, place: tuple[int, int]) -> str:
    """The IIIF 2.1 parameters of a tile: region, size, rotation, quality, format."""
    step = side * scale
    y, x = place[0] * step, place[1] * step
    high, wide = min(step, size[0] - y), min(step, size[1] - x)
    return f"{x},{y},{wide},{high}/{-(-wide // scale)},/0/default.jpg"
