"""Invariants of windows and slices, over codestreams that other people's encoders made with options of every kind.

ZIGGURAT_EXAMPLES says how many; each number is always the same example.
"""

import os
from collections.abc import Mapping

import numpy as np
import pytest

from drive import Drive
from peer_codestreams import Made, made
from ziggurat.codec.openjpeg import Plane
from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.markers import MainHeader, parse_main_header
from ziggurat.codestream.partition import Rect, shrunk, tile_rect
from ziggurat.codestream.reads import Span
from ziggurat.codestream.slice import PlanesLeftOut, slice_tile
from ziggurat.codestream.whole import Slice
from ziggurat.format.jpeg2000 import open_reader
from ziggurat.format.jpeg2000.decode import decode_slice
from ziggurat.format.jpeg2000.windows import component_rect
from ziggurat.geometry import Window
from ziggurat.testing.sources import BytesSource

EXAMPLES = int(os.environ.get("ZIGGURAT_EXAMPLES", "120"))
WINDOWS = 6

every_example = pytest.mark.parametrize("number", range(EXAMPLES))


def cut(plane: Plane, rect: Rect) -> np.ndarray:
    y, x = rect.y0 - plane.y0, rect.x0 - plane.x0
    assert min(y, x) >= 0
    found = plane.data[y : y + rect.y1 - rect.y0, x : x + rect.x1 - rect.x0]
    assert found.shape == (rect.y1 - rect.y0, rect.x1 - rect.x0)
    return found.astype(np.int64)


def assert_same(
    found: Mapping[int, Plane], expected: Mapping[int, Plane], wanted: Mapping[int, Rect], example: Made
) -> None:
    for component, rect in wanted.items():
        if not rect.empty:
            difference = np.abs(cut(found[component], rect) - cut(expected[component], rect)).max()
            assert difference <= example.tolerance, (component, rect, example.name)


def index_of(data: bytes) -> CodestreamIndex:
    main = parse_main_header(data)
    assert isinstance(main, MainHeader)
    return CodestreamIndex(main, data[: main.length], Span(0, len(data)), len(data))


def sliced(
    data: bytes, tile: int, level: int, wanted: Mapping[int, Rect], leave_out: PlanesLeftOut | None = None
) -> Slice:
    return Drive(data)(slice_tile(index_of(data), tile, level, wanted, leave_out=leave_out))


def decoded(cut_out: Slice, main: MainHeader) -> dict[int, Plane]:
    return dict(zip(cut_out.components, decode_slice(cut_out, main).planes, strict=True))


def tile_samples(main: MainHeader, tile: int, level: int) -> dict[int, Rect]:
    """All samples of a tile at a level, of the components that have any."""
    rect = tile_rect(main.siz, tile)
    found = {index: shrunk(rect, item.dx, item.dy, level) for index, item in enumerate(main.siz.components)}
    return {index: samples for index, samples in found.items() if not samples.empty}


def part_of(rect: Rect, rng: np.random.Generator) -> Rect:
    x0, y0 = int(rng.integers(rect.x0, rect.x1)), int(rng.integers(rect.y0, rect.y1))
    return Rect(x0, y0, int(rng.integers(x0 + 1, rect.x1 + 1)), int(rng.integers(y0 + 1, rect.y1 + 1)))


@every_example
def test_every_level_and_its_windows_are_those_of_the_decoders_full_decode(number: int) -> None:
    example = made(number)
    reader = open_reader(BytesSource(example.data))
    siz = example.main.siz
    rng = np.random.default_rng(number)
    components = range(len(siz.components))
    for level, step in enumerate(reader.info.levels):
        expected = dict(enumerate(example.levels[level]))
        height, width = step.shape
        windows = [Window.full(step.shape)]
        for _ in range(WINDOWS):
            x0, y0, x1, y1 = part_of(Rect(0, 0, width, height), rng)
            windows.append(Window(y0, x0, y1, x1))
        for window in windows:
            wanted = {index: component_rect(siz, index, level, window) for index in components}
            found, _ = reader._windows.planes(level, window, components)
            assert_same(found, expected, wanted, example)


@every_example
def test_a_window_of_a_slice_is_the_slice_of_the_window(number: int) -> None:
    example = made(number)
    rng = np.random.default_rng([number, 1])
    for level in range(len(example.levels)):
        tile = int(rng.integers(example.main.siz.tiles))
        whole = tile_samples(example.main, tile, level)
        if not whole:
            continue
        outer = {index: part_of(rect, rng) for index, rect in whole.items()}
        inner = {index: part_of(rect, rng) for index, rect in outer.items()}
        first = sliced(example.data, tile, level, outer)
        numbers = {component: position for position, component in enumerate(first.components)}
        again = sliced(first.data, 0, 0, {numbers[index]: rect for index, rect in inner.items()})
        found = {first.components[index]: plane for index, plane in decoded(again, example.main).items()}
        assert_same(found, decoded(sliced(example.data, tile, level, inner), example.main), inner, example)
        assert_same(found, dict(enumerate(example.levels[level])), inner, example)


@every_example
def test_a_slice_of_everything_is_everything_packets_kept_or_made_anew(number: int) -> None:
    example = made(number)
    rng = np.random.default_rng([number, 2])
    for level in range(len(example.levels)):
        tile = int(rng.integers(example.main.siz.tiles))
        whole = tile_samples(example.main, tile, level)
        if not whole:
            continue
        expected = dict(enumerate(example.levels[level]))
        for leave_out in (None, lambda *_: 0):
            made_slice = sliced(example.data, tile, level, whole, leave_out)
            assert_same(decoded(made_slice, example.main), expected, whole, example)
        made_slice = sliced(example.data, tile, level, whole, lambda *_: 0)
        again = sliced(made_slice.data, 0, 0, tile_samples(header(made_slice), 0, 0), lambda *_: 0)
        assert again.data == made_slice.data


@every_example
def test_a_decoder_that_spares_no_plane_decodes_the_same(number: int) -> None:
    example = made(number)
    windows = open_reader(BytesSource(example.data))._windows
    size = open_reader(BytesSource(example.data)).info.size
    components = range(len(example.main.siz.components))
    wanted = {index: component_rect(example.main.siz, index, 0, Window.full(size)) for index in components}
    expected = dict(enumerate(example.levels[0]))
    for sparing in (lambda _: None, lambda _: lambda *_: 0):
        found, _ = windows.spared(sparing).planes(0, Window.full(size), components)
        assert_same(found, expected, wanted, example)


def header(made_slice: Slice) -> MainHeader:
    main = parse_main_header(made_slice.data)
    assert isinstance(main, MainHeader)
    return main


def largest_step(main: MainHeader, component: int) -> float:
    """The largest quantisation step of a finest subband, in units of a sample (E-3)."""
    item, style = main.quantization(component), main.coding(component)
    if item.style == 0 or not style.levels:
        return 1.0
    depth = main.siz.components[component].depth
    if item.style == 1:
        exponent, mantissa = item.steps[0]
        finest = [(max(0, exponent - style.levels + 1), mantissa)] * 3
    else:
        finest = list(item.steps[3 * style.levels - 2 : 3 * style.levels + 1])
    gains = (1, 1, 2)
    return max(2.0 ** (depth + gain - e) * (1 + m / 2048) for gain, (e, m) in zip(gains, finest, strict=True))


@every_example
def test_leaving_out_the_finest_bit_planes_costs_little_and_saves_bytes(number: int) -> None:
    example = made(number)
    level, tile = 0, example.main.siz.tiles // 2
    whole = tile_samples(example.main, tile, level)
    if not whole:
        pytest.skip("the tile in the middle has no samples")
    everything = sliced(example.data, tile, level, whole, lambda *_: 0)
    full = decoded(everything, example.main)
    size = len(everything.data)
    for planes in (1, 2, 4):
        less = sliced(example.data, tile, level, whole, lambda _, depth, __, planes=planes: planes * (depth == 1))
        # Codeword segments stay whole unless all their passes go; lengths of fewer passes take more bits.
        assert len(less.data) <= size * 1.02 + 16
        found = decoded(less, example.main)
        for component, rect in whole.items():
            worst = np.abs(cut(found[component], rect) - cut(full[component], rect)).max()
            steps = max(largest_step(example.main, index) for index in range(len(example.main.siz.components)))
            # Three subbands, each magnified less than 2.5 times by synthesis, then mixed by the colour transform.
            assert worst <= 2 * 3 * 2.5 * steps * 2**planes + 1, (planes, component, example.name)


def test_left_out_planes_take_their_bytes_with_them_where_each_pass_is_a_segment() -> None:
    saved = []
    for number in range(0, 60, 2):
        example = made(number)
        style = example.main.coding(0)
        if style.block_style & 0x44 != 4 or not style.levels or example.main.siz.components[0].depth < 6:
            continue
        whole = tile_samples(example.main, 0, 0)
        full, less = (
            len(sliced(example.data, 0, 0, whole, lambda _, depth, __, planes=planes: planes * (depth == 1)).data)
            for planes in (0, 3)
        )
        saved.append(less / full)
    assert saved
    assert min(saved) < 0.9
