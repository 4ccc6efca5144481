"""JPEG tiles as files of their own: the same pixels, the same scans."""

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as PilImage

import ziggurat
from jobs import picture
from ziggurat.errors import UsageError
from ziggurat.geometry import Window

TILE = 64


def write(path: Path, pixels: Any, **options: Any) -> Path:
    options = {"tile": (TILE, TILE), "compression": "jpeg", "compressionargs": {"level": 90}} | options
    tifffile.imwrite(path, pixels, **options)
    return path


def scans(data: bytes) -> bytes:
    """From the first start of scan to the end."""
    return data[data.index(b"\xff\xda") : data.rindex(b"\xff\xd9") + 2]


def segment(path: Path, index: int, page: int = 0) -> bytes:
    with tifffile.TiffFile(path) as file:
        one = file.pages[page]
        start, count = one.dataoffsets[index], one.databytecounts[index]
        file.filehandle.seek(start)
        return file.filehandle.read(count)


@pytest.mark.parametrize("photometric", ["ycbcr", "rgb", "minisblack"])
@pytest.mark.parametrize("subsampling", [(1, 1), (2, 2)])
def test_a_tile_is_a_file_of_the_same_pixels_and_scans(
    tmp_path: Path, photometric: str, subsampling: tuple[int, int]
) -> None:
    if photometric != "ycbcr" and subsampling != (1, 1):
        pytest.skip("only chroma is subsampled")
    pixels = picture(3 * TILE, 2 * TILE)
    options: dict[str, Any] = {"photometric": photometric}
    if photometric == "minisblack":
        pixels = pixels[:, :, 0]
    else:
        options["subsampling"] = subsampling
    if photometric == "rgb":
        options["compressionargs"] = {"level": 90, "outcolorspace": "rgb"}
    path = write(tmp_path / "a.tif", pixels, **options)
    with ziggurat.open(str(path)) as image:
        for index in range(6):
            row, column = divmod(index, 2)
            window = Window(row * TILE, column * TILE, (row + 1) * TILE, (column + 1) * TILE)
            data = image.stored_jpeg(0, window)
            assert data is not None
            expected = image.read(0, window)
            decoded = imagecodecs.jpeg8_decode(data)
            assert np.array_equal(decoded.reshape(expected.shape), expected)
            with PilImage.open(io.BytesIO(data)) as shown:
                assert np.array_equal(np.asarray(shown).reshape(expected.shape), expected)
            assert scans(data) == scans(segment(path, index))


def test_tables_that_tiles_share_are_put_in(tmp_path: Path) -> None:
    path = tmp_path / "shared.tif"
    pixels = picture(2 * TILE, 2 * TILE)
    with PilImage.fromarray(pixels) as image:
        # libtiff writes the tables apart, in tag 347.
        image.save(path, compression="jpeg", tiffinfo={322: TILE, 323: TILE}, quality=85)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        assert page.jpegtables
        height, width = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    with ziggurat.open(str(path)) as image:
        window = Window(0, 0, height, width)
        data = image.stored_jpeg(0, window)
        assert data is not None
        assert b"\xff\xdb" not in segment(path, 0)
        assert np.array_equal(imagecodecs.jpeg8_decode(data), image.read(0, window))
        assert scans(data) == scans(segment(path, 0))


def test_what_is_not_exactly_a_tile_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", picture(TILE + 40, 2 * TILE + 8), photometric="ycbcr")
    with ziggurat.open(str(path)) as image:
        assert image.stored_jpeg(0, Window(0, TILE, TILE, 2 * TILE)) is not None
        for window in (
            Window(0, 0, TILE, 2 * TILE), Window(0, 0, TILE - 1, TILE), Window(1, 0, TILE + 1, TILE),
            Window(0, 2 * TILE, TILE, 2 * TILE + 8), Window(TILE, 0, TILE + 40, TILE),
        ):  # fmt: skip
            assert image.stored_jpeg(0, window) is None
        with pytest.raises(UsageError):
            image.stored_jpeg(0, Window(0, 2 * TILE, TILE, 3 * TILE))
        with pytest.raises(UsageError):
            image.stored_jpeg(9, Window(0, 0, TILE, TILE))


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (picture(TILE, TILE), {"compression": "deflate", "compressionargs": {}}),
        (picture(TILE, TILE), {"photometric": "ycbcr", "iccprofile": b"\0" * 200}),
        (picture(TILE, TILE)[:, :, 0], {"photometric": "miniswhite"}),
        (picture(TILE, TILE, 4), {"photometric": "separated"}),
        (picture(TILE, TILE).transpose(2, 0, 1), {"photometric": "rgb", "planarconfig": "separate"}),
    ],
)
def test_what_is_not_plain_is_none(tmp_path: Path, pixels: Any, options: dict[str, Any]) -> None:
    path = write(tmp_path / "a.tif", pixels, **options)
    with ziggurat.open(str(path)) as image:
        assert image.stored_jpeg(0, Window(0, 0, TILE, TILE)) is None


def test_other_formats_hold_none(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(picture(TILE, TILE)))
    with ziggurat.open(str(tmp_path / "a.png")) as image:
        assert image.stored_jpeg(0, Window(0, 0, TILE, TILE)) is None


def test_no_damage_comes_through_as_another_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", picture(TILE, TILE), photometric="ycbcr")
    whole = bytearray(path.read_bytes())
    tile = segment(path, 0)
    at = whole.index(tile)
    rng = np.random.default_rng(5)
    window = Window(0, 0, TILE, TILE)
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(at, at + 700, 3):
            data[place] = rng.integers(256)
        path.write_bytes(data)
        with ziggurat.open(str(path)) as image:
            found = image.stored_jpeg(0, window)
        if found is not None:
            frame = found.index(b"\xff\xc0") if b"\xff\xc0" in found else found.index(b"\xff\xc2")
            assert found[frame + 5 : frame + 9] == bytes([0, TILE, 0, TILE])
            assert found.startswith(b"\xff\xd8\xff\xe0")
            assert found.endswith(b"\xff\xd9")
    cut = tile[: len(tile) // 2] + bytes(len(tile) - len(tile) // 2)
    path.write_bytes(whole.replace(tile, cut))
    with ziggurat.open(str(path)) as image:
        assert image.stored_jpeg(0, window) is None
