from random import Random

import numpy as np

from ziggurat.codestream.coding import ComponentCoding, TileCoding
from ziggurat.codestream.order import Shape
from ziggurat.codestream.partition import Partition, division, tile_rect
from ziggurat.codestream.segments import CodingStyle, Component, Progression, Quantization, Siz


def geometry(rng: Random) -> tuple[Siz, TileCoding]:
    components = tuple(Component(8, False, rng.choice((1, 1, 2)), rng.choice((1, 1, 2, 3))) for _ in range(2))
    x0, y0 = rng.randrange(40), rng.randrange(40)
    width, height = rng.choice((32, 48, 64)), rng.choice((32, 40, 64))
    siz = Siz(
        0,
        x0,
        y0,
        x0 + 4 * width,
        y0 + 4 * height,
        rng.randrange(x0 + 1),
        rng.randrange(y0 + 1),
        width,
        height,
        components,
    )
    coded = []
    for _ in components:
        levels = rng.randrange(4)
        precincts = tuple(rng.choice(((8, 16), (16, 8), (32768, 32768))) for _ in range(levels + 1))
        style = CodingStyle(levels, rng.choice((4, 8)), rng.choice((4, 16)), 0, 1, precincts)
        coded.append(ComponentCoding(style, Quantization(0, 2, ((8, 0),) * (3 * levels + 1)), 0))
    progression = rng.choice(list(Progression))
    return siz, TileCoding(False, False, progression, 2, 0, tuple(coded), ())


def test_tiles_that_are_divided_alike_have_the_same_packets_in_the_same_order() -> None:
    rng = Random(3)
    shared = 0
    for _ in range(60):
        siz, coding = geometry(rng)
        found: dict[object, Shape] = {}
        for number in range(siz.tiles):
            rect = tile_rect(siz, number)
            across = division(siz, coding, (rect.x0, rect.x1), across=True)
            down = division(siz, coding, (rect.y0, rect.y1), across=False)
            own = Shape(siz, coding, Partition(siz, coding, rect))
            other = found.setdefault((across, down), own)
            shared += other is not own
            assert (own.precincts, own.resolutions) == (other.precincts, other.resolutions)
            np.testing.assert_array_equal(own.order.precinct, other.order.precinct)
            np.testing.assert_array_equal(own.order.layer, other.order.layer)
            for name in ("band_first", "width", "height", "block_first", "component"):
                np.testing.assert_array_equal(getattr(own.tables, name), getattr(other.tables, name))
    assert shared > 100


def test_tiles_of_very_many_precincts_are_not_compared() -> None:
    style = CodingStyle(0, 4, 4, 0, 1, ((1, 1),))
    coding = TileCoding(
        False, False, Progression.LRCP, 1, 0, (ComponentCoding(style, Quantization(0, 2, ((8, 0),)), 0),), ()
    )  # fmt: skip
    siz = Siz(0, 0, 0, 1 << 30, 1 << 30, 0, 0, 1 << 29, 1 << 29, (Component(8, False, 1, 1),))
    assert division(siz, coding, (0, 1 << 29), across=True) is None
