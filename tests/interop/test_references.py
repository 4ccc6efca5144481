"""References into TIFF and FITS, read by fsspec, zarr and imagecodecs-zarr, or icechunk, alone."""

import io
import shutil
from pathlib import Path
from typing import Any

import fsspec
import icechunk
import imagecodecs.numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from astropy.io import fits
from fsspec.implementations.reference import LazyReferenceMapper, ReferenceFileSystem
from zarr.storage import FsspecStore

import ziggurat
from tiled_pictures import as_array, picture, write
from ziggurat.cli import run

TIFFS: dict[str, dict[str, Any]] = {
    "tiles": {"tile": (64, 48)},
    "deflate": {"tile": (64, 64), "compression": "deflate", "predictor": True},
    "lzw": {"tile": (64, 64), "compression": "lzw"},
    "zstd": {"tile": (32, 64), "compression": "zstd"},
    "jpeg": {"tile": (64, 64), "compression": "jpeg", "photometric": "rgb"},
    "ycbcr": {"tile": (64, 64), "compression": "jpeg", "photometric": "ycbcr"},
    "strips": {"rowsperstrip": 7},
    "one strip": {},
    "planes": {"tile": (64, 64), "planarconfig": "separate"},
    "planes of strips": {"planarconfig": "separate", "rowsperstrip": 50},
    "big-endian": {"tile": (64, 64), "byteorder": ">"},
    "packed strips": {"rowsperstrip": 43, "compression": "deflate"},
}


def referred(path: Path, tmp_path: Path, *options: str) -> zarr.Group:
    out = tmp_path / "references.json"
    assert run(["references", str(path), *options, str(out), "--overwrite"]) == 0
    files = fsspec.filesystem("reference", fo=str(out), asynchronous=True, skip_instance_cache=True)
    return zarr.open_group(FsspecStore(files, read_only=True, path=""), mode="r")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("options", TIFFS.values(), ids=TIFFS)
def test_levels_of_tiff(options: dict[str, Any], dtype: str, tmp_path: Path) -> None:
    if dtype == "uint16" and "jpeg" in str(options):
        pytest.skip("JPEG has 8 bits")
    pixels = picture(3, dtype)
    path = tmp_path / "scan.tif"
    options = {"photometric": "rgb", **options}
    if options.get("planarconfig") == "separate":
        pixels = np.moveaxis(pixels, 2, 0)
    tifffile.imwrite(path, pixels, resolution=(4000, 4000), resolutionunit="CENTIMETER", **options)
    group = referred(path, tmp_path)
    with ziggurat.open(str(path)) as image:
        assert np.array_equal(group["0"][...], as_array(image.read()))


def test_pyramids_of_tiff(tmp_path: Path) -> None:
    pixels = picture(1, "uint16")
    path = tmp_path / "pyramid.tif"
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        for level in range(3):
            step = 1 << level
            tif.write(pixels[::step, ::step], tile=(64, 64), compression="zstd", subfiletype=int(level > 0))
    group = referred(path, tmp_path)
    assert sorted(group.array_keys()) == ["0", "1", "2"]
    with ziggurat.open(str(path)) as image:
        for level in range(3):
            assert np.array_equal(group[str(level)][...], image.read(level)[:, :, 0])


def test_large_strips_are_cut_into_rows(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 65535, (3001, 2100), np.uint16)
    path = tmp_path / "strips.tif"
    tifffile.imwrite(path, pixels, rowsperstrip=1)
    group = referred(path, tmp_path)
    height, width = group["0"].chunks
    assert width == 2100
    assert 1 << 21 < height * width * 2 <= 4 << 20 or height == 3001
    assert np.array_equal(group["0"][2990:], pixels[2990:])
    assert np.array_equal(group["0"][1500:1600, 5:9], pixels[1500:1600, 5:9])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_fits(dtype: str, tmp_path: Path) -> None:
    cube = (np.random.default_rng(2).random((3, 333, 1021)) * 100).astype(dtype)
    for data in (cube, cube[0]):
        path = tmp_path / "field.fits"
        fits.writeto(path, data, overwrite=True)
        group = referred(path, tmp_path)
        with ziggurat.open(str(path)) as image:
            assert np.array_equal(group["0"][...], as_array(image.read()))


SCALED: dict[str, tuple[str, dict[str, float]]] = {
    "uint16": ("uint16", {}),
    "uint32": ("uint32", {}),
    "int8": ("int8", {}),
    "halves of int16": ("int16", {"BSCALE": 0.5, "BZERO": 1000.1}),
    "quarters of int32": ("int32", {"BSCALE": -0.25, "BZERO": 3.0}),
    "bytes": ("uint8", {"BSCALE": 2.0, "BZERO": 0.1}),
}


@pytest.mark.parametrize(("dtype", "cards"), SCALED.values(), ids=SCALED)
@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3 specification")
def test_scaled_samples_of_fits(dtype: str, cards: dict[str, float], tmp_path: Path) -> None:
    imagecodecs.numcodecs.register_codecs(verbose=False)
    limits, path = np.iinfo(dtype), tmp_path / "field.fits"
    pixels = np.random.default_rng(3).integers(limits.min, limits.max, (333, 257), dtype, endpoint=True)
    pixels[0, :2] = limits.min, limits.max
    unit = fits.PrimaryHDU(pixels)
    if cards:
        # As numbers that the header scales, not as samples that astropy would scale back.
        unit.header.update(cards)
    path.write_bytes(_written(unit, pixels, cards))
    out = tmp_path / "references.parquet"
    assert run(["references", str(path), str(out)]) == 0
    mapper = LazyReferenceMapper(str(out), engine="pyarrow")
    files = ReferenceFileSystem(fo=mapper, remote_protocol="file", asynchronous=True)
    with ziggurat.open(str(path)) as image:
        expected = image.read()[..., 0]
    assert expected.dtype == (dtype if not cards else "float64" if dtype == "int32" else "float32")
    for group in (
        referred(path, tmp_path), zarr.open_group(FsspecStore(files, read_only=True, path=""), mode="r"),
    ):  # fmt: skip
        assert group["0"].dtype == expected.dtype
        assert np.array_equal(group["0"][...], expected)


def _written(unit: fits.PrimaryHDU, stored: np.ndarray, cards: dict[str, float]) -> bytes:
    """A file of these samples; where cards scale them, of these numbers as they are."""
    header = unit.header.tostring(padding=True).encode()
    if cards:
        return header + stored.astype(stored.dtype.newbyteorder(">")).tobytes().ljust(2880 * 100, b"\0")
    held = io.BytesIO()
    unit.writeto(held)
    return held.getvalue()


def test_what_cannot_be_referred_to_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(path: Path) -> str:
        assert run(["references", str(path), str(tmp_path / "out.json")]) == 1
        return capsys.readouterr().err

    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture(1, "uint8"), colormap=np.zeros((3, 256), np.uint16), photometric="palette")
    assert "its colours are converted" in refused(path)
    tifffile.imwrite(path, picture(1, "uint8"), rowsperstrip=50, compression="deflate")
    assert "its last strip is lower than the others" in refused(path)
    tifffile.imwrite(path, picture(1, "uint8").astype("f4"), tile=(64, 64), compression="zstd", predictor=True)
    assert "predictor 3" in refused(path)
    for number, cards in enumerate(({"BSCALE": 0.1}, {"BSCALE": 0.5, "BLANK": -1})):
        scaled = fits.PrimaryHDU(picture(1, "uint8").astype("int16"))
        scaled.header.update(cards)
        place = tmp_path / f"b{number}.fits"
        place.write_bytes(_written(scaled, scaled.data, cards))
        assert "BSCALE" in refused(place)
    fits.writeto(tmp_path / "b.fits", picture(1, "uint8").astype("uint64"))
    assert "BZERO 9.22337e+18" in refused(tmp_path / "b.fits")
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(picture(1, "uint8"))]).writeto(tmp_path / "c.fits")
    assert "compressed" in refused(tmp_path / "c.fits")
    tifffile.imwrite(path, picture(3, "uint8"), tile=(64, 64), photometric="rgb")
    path.write_bytes(path.read_bytes()[:100_000])
    assert "beyond the end" in refused(path)
    assert not (tmp_path / "out.json").exists()


def test_stacks_of_tiff(tmp_path: Path) -> None:
    paths = []
    for plane in range(3):
        paths.append(tmp_path / f"{plane}.tif")
        tifffile.imwrite(paths[-1], np.roll(picture(3, "uint8"), 9 * plane, 1), tile=(64, 64), photometric="rgb")
    out = tmp_path / "stack.json"
    assert run(["references", *map(str, paths), str(out)]) == 0
    files = fsspec.filesystem("reference", fo=str(out), asynchronous=True, skip_instance_cache=True)
    array = zarr.open_group(FsspecStore(files, read_only=True, path=""), mode="r")["0"]
    assert array.shape == (3, 3, 301, 411)
    for plane, path in enumerate(paths):
        with ziggurat.open(str(path)) as image:
            assert np.array_equal(array[:, plane], as_array(image.read()))


@pytest.fixture
def laid(tmp_path: Path) -> Path:
    """A file laid out in chunks."""
    path = tmp_path / "laid.j2c"
    assert run(["transcode", str(write(tmp_path, "jph")), str(path), "--layout", "chunks"]) == 0
    return path


def test_icechunk_reads_references(laid: Path, tmp_path: Path) -> None:
    place = tmp_path / "repository"
    for _ in range(2):
        # The second time it is a new snapshot of the same repository.
        assert run(["references", str(laid), f"icechunk:{place}"]) == 0
    repository = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(place)),
        authorize_virtual_chunk_access={f"file://{tmp_path}/": icechunk.Credentials.LocalFileSystemAccess()},
    )
    group = zarr.open_group(repository.readonly_session("main").store, mode="r")
    with ziggurat.open(str(laid)) as image:
        for level in range(len(image.info.levels)):
            assert np.array_equal(group[str(level)][...], as_array(image.read(level)))


def test_parquet_is_read_by_fsspec(laid: Path, tmp_path: Path) -> None:
    imagecodecs.numcodecs.register_codecs(verbose=False)
    out = tmp_path / "references.parquet"
    assert run(["references", str(laid), str(out)]) == 0
    assert run(["references", str(laid), str(out)]) == 1
    mapper = LazyReferenceMapper(str(out), engine="pyarrow")
    files = ReferenceFileSystem(fo=mapper, remote_protocol="file", asynchronous=True)
    group = zarr.open_group(FsspecStore(files, read_only=True, path=""), mode="r")
    with ziggurat.open(str(laid)) as image:
        for level in range(len(image.info.levels)):
            assert np.array_equal(group[str(level)][...], as_array(image.read(level)))
    shutil.rmtree(out)
