import subprocess
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from drive import Drive
from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.index_file import Identity, dump, dump_tile, identity, load
from ziggurat.codestream.markers import MainHeader, parse_main_header
from ziggurat.codestream.partition import Rect
from ziggurat.codestream.reads import Span
from ziggurat.codestream.slice import slice_tile
from ziggurat.errors import CorruptImage

PIXELS = np.random.default_rng(1).integers(0, 256, (300, 400, 3), np.uint8)
SINGLE = imagecodecs.jpeg2k_encode(PIXELS, level=0, codecformat="j2k", resolutions=5)
TILED = imagecodecs.htj2k_encode(PIXELS, reversible=True, resolutions=4, tile=(128, 128))


def header(data: bytes) -> MainHeader:
    main = parse_main_header(data)
    assert isinstance(main, MainHeader)
    return main


def index_of(data: bytes, stored: dict[int, bytes] | None = None) -> CodestreamIndex:
    main = header(data)
    return CodestreamIndex(main, data[: main.length], Span(0, len(data)), len(data), stored or {})


def identity_of(data: bytes) -> Identity:
    return identity(len(data), "tag", data[: header(data).length], (0, len(data)))


def stored(data: bytes) -> bytes:
    drive, index = Drive(data), index_of(data)
    tiles = drive(index.parts())
    return dump(identity_of(data), {number: dump_tile(drive(index.complete(number))) for number in tiles})


@pytest.mark.parametrize("data", [SINGLE, TILED], ids=["single", "tiled"])
def test_slices_by_a_stored_index_are_the_same_and_take_one_round_trip(data: bytes) -> None:
    tiles = dict(load(stored(data), identity_of(data)))
    wanted = dict.fromkeys(range(3), Rect(10, 20, 90, 110))
    for level in range(3):
        reduced = {c: Rect(*(side >> level for side in rect)) for c, rect in wanted.items()}
        fresh, warm = Drive(data), Drive(data)
        one = fresh(slice_tile(index_of(data), 0, level, reduced))
        other = warm(slice_tile(index_of(data, tiles), 0, level, reduced))
        assert one.data == other.data
        assert warm.trips == 1
        assert fresh.trips > 1


def test_an_index_is_small() -> None:
    blocks = 3 * 300 * 400 // 4096 * 4 // 3
    assert len(stored(SINGLE)) < 800 + 8 * blocks


def test_an_index_of_other_bytes_is_refused() -> None:
    data = stored(SINGLE)
    of = identity_of(SINGLE)
    others = [
        Identity(of.size + 1, of.tag, of.digest, of.span),
        Identity(of.size, "changed", of.digest, of.span),
        Identity(of.size, of.tag, "0" * 64, of.span),
        Identity(of.size, of.tag, of.digest, (1, of.size)),
    ]
    for other in others:
        with pytest.raises(CorruptImage, match="not of this file; make it anew"):
            load(data, other)
    with pytest.raises(CorruptImage, match="version 9"):
        load(data[:3] + b"\x09" + data[4:], of)
    with pytest.raises(CorruptImage, match="no index"):
        load(b"PK\x03\x04" + data[4:], of)


def test_a_damaged_index_is_noticed_or_made_anew_and_never_changes_a_pixel() -> None:
    data = stored(TILED)
    rng = np.random.default_rng(5)
    wanted = dict.fromkeys(range(3), Rect(0, 0, 100, 100))
    expected = Drive(TILED)(slice_tile(index_of(TILED), 0, 0, wanted)).data
    used = 0
    for _ in range(300):
        damaged = bytearray(data)
        damaged[int(rng.integers(0, len(data)))] ^= int(rng.integers(1, 256))
        try:
            tiles = dict(load(bytes(damaged), identity_of(TILED)))
        except CorruptImage:
            continue
        used += 1
        assert Drive(TILED)(slice_tile(index_of(TILED, tiles), 0, 0, wanted)).data == expected
    assert used > 50


def test_an_index_knows_the_inside_of_large_packets_although_plt_lists_them(tmp_path: Path) -> None:
    pgm = tmp_path / "noise.pgm"
    pixels = np.random.default_rng(2).integers(0, 256, (700, 700), np.uint8)
    pgm.write_bytes(b"P5\n700 700\n255\n" + pixels.tobytes())
    try:
        command = ["opj_compress", "-i", pgm, "-o", tmp_path / "out.j2k", "-PLT", "-n", "3"]
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("opj_compress (Debian's libopenjp2-tools) is not here")
    data = (tmp_path / "out.j2k").read_bytes()
    tiles = dict(load(stored(data), identity_of(data)))
    cold, warm = Drive(data), Drive(data)
    wanted = {0: Rect(10, 10, 50, 50)}
    one = cold(slice_tile(index_of(data), 0, 0, wanted))
    other = warm(slice_tile(index_of(data, tiles), 0, 0, wanted))
    assert one.data == other.data
    assert (cold.trips, warm.trips) == (3, 1)
    assert warm.bytes_read < 1.2 * len(other.data)
