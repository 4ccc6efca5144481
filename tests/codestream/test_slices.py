import imagecodecs
import numpy as np
import pytest

from damaged_codestreams import header_of, index_of, patched, repacked, segment
from drive import Drive
from ziggurat.codec.openjpeg import Plane
from ziggurat.codestream.partition import Rect
from ziggurat.codestream.slice import slice_tile
from ziggurat.format.jpeg2000.decode import decode_slice

PIXELS = np.random.default_rng(5).integers(0, 256, (150, 170), np.uint8)
PLAIN = imagecodecs.jpeg2k_encode(PIXELS, level=0, codecformat="j2k", resolutions=4)
WINDOWS = [Rect(0, 0, 170, 150), Rect(3, 5, 40, 60), Rect(100, 90, 170, 150), Rect(80, 1, 81, 2)]


def window(data: bytes, rect: Rect, level: int = 0) -> np.ndarray:
    made = Drive(data)(slice_tile(index_of(data), 0, level, {0: rect}))
    plane: Plane = decode_slice(made, header_of(data)).planes[0]
    y, x = rect.y0 - plane.y0, rect.x0 - plane.x0
    return plane.data[y : y + rect.y1 - rect.y0, x : x + rect.x1 - rect.x0]


def assert_reads(data: bytes) -> None:
    for rect in WINDOWS:
        assert np.array_equal(window(data, rect), PIXELS[rect.y0 : rect.y1, rect.x0 : rect.x1])


@pytest.mark.parametrize("kind", ["PPT", "PPM"])
@pytest.mark.parametrize("sop", [False, True])
def test_bodies_are_found_where_packet_headers_lie_apart_behind_sop_or_not(kind: str, *, sop: bool) -> None:
    # Far longer than what is read together with the tile-part's header.
    assert len(PLAIN) > 20_000
    assert_reads(repacked(PLAIN, kind, sop=sop))


def test_packets_are_found_by_plt() -> None:
    assert_reads(repacked(PLAIN, "PLT"))


def test_a_component_transform_of_a_single_component_changes_nothing() -> None:
    assert_reads(patched(PLAIN, "COD", 4, 1))


def test_precincts_that_no_progression_change_mentions_are_empty() -> None:
    # Resolutions 0 and 1 of 4 alone: one component, one layer, LRCP.
    change = segment(0xFF5F, bytes([0, 0, 0, 1, 2, 1, 0]))
    length = header_of(PLAIN).length
    partial = PLAIN[:length] + change + PLAIN[length:]
    coarse = Rect(2, 3, 30, 31)
    assert np.array_equal(window(partial, coarse, level=2), window(PLAIN, coarse, level=2))
    # Without any detail: smooth, where the image itself is noise.
    smooth = window(partial, Rect(0, 0, 170, 150)).astype(int)
    assert np.abs(np.diff(smooth, axis=1)).mean() < 0.3 * np.abs(np.diff(PIXELS.astype(int), axis=1)).mean()
    assert np.array_equal(window(partial, WINDOWS[1]), smooth[5:60, 3:40])
