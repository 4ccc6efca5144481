import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from ziggurat.errors import CorruptImage
from ziggurat.format.tiff import TiffReader, open_reader
from ziggurat.format.tiff.jpeg2000 import decode_tile, decomposition_levels
from ziggurat.geometry import Size, Window
from ziggurat.testing.sources import BytesSource, CountingSource

type Pixels = np.ndarray[Any, np.dtype[Any]]

APERIO_YCBCR, APERIO_RGB, JPEG_2000 = 33003, 33005, 34712
SVS = "Aperio Image Library v12.0.5\r\n500x700 [0,0 500x700] (128x128) J2K/KDU Q=70|AppMag = 20|MPP = 0.5"
TILE = 128


def picture(height: int, width: int, bands: int = 3, *, dtype: Any = np.uint8) -> Pixels:
    """Smooth with some noise, as photographs are."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 80 * np.sin(x / (17 + band) + y / 31) + 30 * np.cos(y / (7 + band)) for band in range(bands)]
    array = np.stack(waves, axis=-1) + np.random.default_rng(0).normal(0, 3, (height, width, bands))
    return (np.clip(array, 0, 255) * (1 if np.dtype(dtype).itemsize == 1 else 16)).astype(dtype)


def encoded(array: Pixels, resolutions: int) -> list[bytes]:
    """All tiles of an array, padded by their edge, as codestreams with this many resolutions."""
    height, width = array.shape[:2]
    padded = np.pad(array, ((0, -height % TILE), (0, -width % TILE), (0, 0)), mode="edge")
    return [
        imagecodecs.jpeg2k_encode(
            np.ascontiguousarray(padded[y : y + TILE, x : x + TILE]),
            level=0,
            codecformat="j2k",
            reversible=True,
            mct=False,
            resolutions=resolutions,
        )
        for y in range(0, height, TILE)
        for x in range(0, width, TILE)
    ]


def slide(*arrays: Pixels, compression: int = APERIO_RGB, resolutions: int = 4, description: str = SVS) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file, kind="generic" if not description else None) as writer:
        for number, array in enumerate(arrays):
            writer.write(
                iter(encoded(array, resolutions)),
                shape=array.shape,
                dtype=array.dtype,
                tile=(TILE, TILE),
                compression=compression,
                photometric="rgb",
                metadata=None,
                description=description or None,
                subfiletype=int(number > 0 and not description),
            )
            if description and not number:
                # The second page of such a slide is its thumbnail.
                writer.write(picture(70, 50), photometric="rgb", metadata=None)
    return file.getvalue()


def opened(data: bytes, name: str = "memory:a.svs") -> tuple[CountingSource, TiffReader]:
    source = CountingSource(BytesSource(data, url=name))
    return source, open_reader(source)


def full(reader: TiffReader, level: int = 0) -> Pixels:
    return reader.read(level, Window.full(reader.info.levels[level].shape))


def expected(array: Pixels, reduce: int, resolutions: int = 4) -> Pixels:
    """What another binding of OpenJPEG makes of the tiles, joined and cut at the level's border."""
    columns, side = -(-array.shape[1] // TILE), TILE >> reduce
    tiles = [imagecodecs.jpeg2k_decode(tile, skipres=reduce) for tile in encoded(array, resolutions)]
    rows = [np.concatenate(tiles[at : at + columns], axis=1) for at in range(0, len(tiles), columns)]
    assert tiles[0].shape[:2] == (side, side)
    size = Size(*array.shape[:2]).halved(reduce)
    return np.concatenate(rows)[: size.height, : size.width]


@pytest.mark.parametrize("compression", [APERIO_RGB, JPEG_2000])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_wavelet_gives_the_levels_that_a_file_lacks(compression: int, dtype: Any) -> None:
    array = picture(700, 501, dtype=dtype)
    _, reader = opened(slide(array, compression=compression))
    assert [level.shape for level in reader.info.levels] == [(700, 501), (350, 251), (175, 126), (88, 63)]
    assert [level.tile for level in reader.info.levels] == [(128, 128), (64, 64), (32, 32), (16, 16)]
    assert np.array_equal(full(reader), array)
    for level in (1, 2, 3):
        wanted = expected(array, level)
        assert np.array_equal(full(reader, level), wanted)
        assert np.array_equal(reader.read(level, Window(30, 11, 71, 60)), wanted[30:71, 11:60])


def test_levels_of_the_wavelet_look_like_the_image() -> None:
    array = picture(512, 512)
    _, reader = opened(slide(array))
    halved = array.reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
    assert np.abs(full(reader, 1) - halved).mean() < 4


def test_stored_levels_stay_and_only_gaps_are_filled() -> None:
    arrays = [picture(1024, 768), picture(256, 192)]
    _, reader = opened(slide(*arrays))
    assert [level.shape for level in reader.info.levels] == [(1024, 768), (512, 384), (256, 192), (128, 96)]
    assert np.array_equal(full(reader, 1), expected(arrays[0], 1))
    assert np.array_equal(full(reader, 2), arrays[1])
    assert np.array_equal(full(reader, 3), expected(arrays[1], 1))


def test_a_complete_pyramid_gets_no_levels_but_behind_its_last_one() -> None:
    arrays = [picture(768, 768), picture(384, 384), picture(192, 192)]
    _, reader = opened(slide(*arrays, description="", compression=JPEG_2000), "memory:a.tif")
    assert [level.shape.height for level in reader.info.levels] == [768, 384, 192, 96]


@pytest.mark.parametrize(("resolutions", "levels"), [(1, 1), (2, 2), (3, 3)])
def test_there_are_no_more_levels_than_the_codestreams_have(resolutions: int, levels: int) -> None:
    _, reader = opened(slide(picture(600, 600), resolutions=resolutions))
    assert len(reader.info.levels) == levels


def test_a_tile_is_only_halved_while_its_sides_are_even() -> None:
    tile = imagecodecs.jpeg2k_encode(picture(100, 120), level=0, codecformat="j2k", resolutions=4)
    assert decomposition_levels(tile[:4096], Size(100, 120)) == 2
    assert decomposition_levels(tile[:4096], Size(128, 128)) == 0
    assert decomposition_levels(tile[:40], Size(100, 120)) == 0
    assert decomposition_levels(b"", Size(100, 120)) == 0


def test_a_tile_with_fewer_resolutions_than_the_first_is_named() -> None:
    array = picture(512, 512)
    data = slide(array)
    last = encoded(array, 4)[-1]
    fewer = imagecodecs.jpeg2k_encode(np.zeros((TILE, TILE, 3), np.uint8), level=0, codecformat="j2k", resolutions=2)
    at = data.rindex(last)
    data = data[:at] + fewer + data[at + len(fewer) :]
    _, reader = opened(data)
    assert full(reader, 1).shape == (256, 256, 3)
    with pytest.raises(CorruptImage, match=r"memory:a.svs: level 2: tile 15 at offset \d+: .* 1 decomposition levels"):
        full(reader, 2)


def test_a_window_of_a_wavelet_level_fetches_the_tiles_it_touches_in_one_batch() -> None:
    array = picture(768, 768)
    source, reader = opened(slide(array))
    assert source.requests <= 3
    source.reset()
    assert np.array_equal(reader.read(2, Window(0, 40, 20, 60)), expected(array, 2)[:20, 40:60])
    lengths = [len(tile) for tile in encoded(array, 4)]
    assert source.requests == 1
    assert [item.length for item in source.ranges] == [lengths[1]]


def test_components_that_are_ycbcr_become_rgb_at_every_level() -> None:
    ycbcr = np.zeros((256, 256, 3), np.uint8)
    ycbcr[:] = (76, 85, 255)  # BT.601's red
    _, reader = opened(slide(ycbcr, compression=APERIO_YCBCR))
    assert len(reader.info.levels) == 2
    for level in (0, 1):
        assert np.abs(full(reader, level).astype(int) - (255, 0, 0)).max() <= 2


def test_subsampled_components_are_repeated(shared_data: Path) -> None:
    data = (shared_data / "openjpeg-data" / "conformance" / "p0_05.j2k").read_bytes()
    for reduce in (0, 2):
        pixels = decode_tile(data, reduce)
        assert pixels.shape == (1024 >> reduce, 1024 >> reduce, 4)
        assert np.array_equal(pixels[0::2, 0::2, 2:], pixels[1::2, 1::2, 2:])
        assert not np.array_equal(pixels[0::2, 0::2, :2], pixels[1::2, 1::2, :2])


def test_a_truncated_tile_is_refused() -> None:
    tile = imagecodecs.jpeg2k_encode(picture(TILE, TILE), level=0, codecformat="j2k", resolutions=4)
    for cut in (10, 100, len(tile) // 2, len(tile) - 100):
        with pytest.raises(CorruptImage):
            decode_tile(tile[:cut], 0)
    # A coarser level of which all bytes are there is whole.
    assert np.array_equal(decode_tile(tile[:-100], 2), decode_tile(tile, 2))


def test_cost_counts_whole_codestreams_and_small_results() -> None:
    array = picture(512, 512)
    _, reader = opened(slide(array))
    assert reader.read_cost(2, Window(0, 0, 128, 128)) > sum(len(tile) for tile in encoded(array, 4))
    assert reader.read_cost(2, Window(0, 0, 128, 128)) < reader.read_cost(0, Window(0, 0, 512, 512))
