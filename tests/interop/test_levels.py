"""Every level of an image through every way that arrays are made of it: the pixels that ``Image.read`` gives."""

import os
import shutil
import subprocess
from itertools import product
from pathlib import Path

import dask.array as da
import fsspec
import imagecodecs
import numpy as np
import pytest
import zarr
from zarr.storage import FsspecStore

import ziggurat
from jpeg2000_maker import write_tiled
from tiled_pictures import PHOTOGRAPHS, as_array, picture, write
from ziggurat.cli import run
from ziggurat.errors import CorruptImage, UnsupportedFeature, UsageError
from ziggurat.interop.virtual import VirtualLevels

KINDS = list(product(("j2k", "jph"), ((1, "uint8"), (3, "uint8"), (4, "uint16"), (6, "uint8")), (False, True)))


def levels_of(group: zarr.Group) -> dict[int, np.ndarray]:
    return {int(name): np.asarray(array[...]) for name, array in group.arrays()}


def check(group: zarr.Group, path: Path, count: int, tolerance: int = 0) -> None:
    found = levels_of(group)
    assert sorted(found) == list(range(count))
    with ziggurat.open(str(path)) as image:
        for level, pixels in found.items():
            expected = as_array(image.read(level)).astype(np.int64)
            assert pixels.shape == expected.shape
            assert np.abs(pixels - expected).max() <= tolerance, f"level {level}"


def referred(path: str) -> zarr.Group:
    """The group that references describe, read by fsspec, zarr and imagecodecs-zarr."""
    files = fsspec.filesystem("reference", fo=path, asynchronous=True)
    return zarr.open_group(FsspecStore(files, read_only=True, path=""), mode="r")


@pytest.fixture(
    params=KINDS, ids=lambda kind: f"{kind[0]}-{kind[1][0]}-{kind[1][1]}-{'lossy' if kind[2] else 'lossless'}"
)
def tiled(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    kind, (bands, dtype), lossy = request.param
    return write(tmp_path, kind, bands, dtype, lossy=lossy)


def test_levels_are_equal_in_all_ways(tiled: Path, tmp_path: Path) -> None:
    # OpenJPH and OpenJPEG round the results of the 9-7 transform differently, by the precision of their floats.
    tolerance = 0 if "lossless" in tiled.name or tiled.name.startswith("j2k") else 4 if "uint16" in tiled.name else 1
    with ziggurat.open(str(tiled)) as image:
        count, stored = len(image.levels), len(image.info.levels)
        check(image.to_zarr(), tiled, count)
    check(zarr.open_group(ziggurat.zarr_store(str(tiled)), mode="r"), tiled, count)
    check(zarr.open_group(ziggurat.zarr_store(str(tiled), virtual=True), mode="r"), tiled, stored, tolerance)
    laid = tmp_path / f"laid-{tiled.name}"
    assert run(["transcode", str(tiled), str(laid), "--layout", "chunks"]) == 0
    assert laid.stat().st_size < tiled.stat().st_size + 400 * 12 + 1000
    check(zarr.open_group(ziggurat.zarr_store(str(laid), virtual=True), mode="r"), tiled, stored, tolerance)
    out = tmp_path / "references.json"
    assert run(["references", str(laid), str(out)]) == 0
    check(referred(str(out)), tiled, stored, tolerance)
    with ziggurat.open(str(laid)) as image, ziggurat.open(str(tiled)) as before:
        assert np.array_equal(image.read(), before.read())


ENCODINGS = {
    "layers and precincts": "-n 4 -t 128,128 -r 30,10,3 -I -c [64,64],[32,32] -p LRCP",
    "delimiters": "-n 3 -t 128,128 -SOP -EPH -p PCRL",
    "parts by resolution": "-n 4 -t 96,160 -TP R -p RPCL",
    "one tile": "-n 5 -c [128,128] -p CPRL",
    "strips": "-n 3 -t 512,64",
    "lengths told": "-n 4 -t 128,128 -p RPCL -PLT -TLM",
}


@pytest.mark.parametrize("options", ENCODINGS.values(), ids=ENCODINGS)
def test_levels_of_any_layout_are_virtual(options: str, tmp_path: Path) -> None:
    if shutil.which("opj_compress") is None:
        pytest.skip("opj_compress is not installed: Debian has it in libopenjp2-tools")
    pixels = picture(3, "uint8")
    (tmp_path / "in.ppm").write_bytes(b"P6\n%d %d\n255\n" % pixels.shape[1::-1] + pixels.tobytes())
    path = tmp_path / "out.jp2"
    command = ["opj_compress", "-i", "in.ppm", "-o", path.name, *options.split()]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    laid, out = tmp_path / "laid.jp2", tmp_path / "references.json"
    assert run(["transcode", str(path), str(laid), "--layout", "chunks"]) == 0
    assert run(["references", str(laid), str(out)]) == 0
    with ziggurat.open(str(path)) as image:
        stored = len(image.info.levels)
    for group in (zarr.open_group(ziggurat.zarr_store(str(path), virtual=True), mode="r"), referred(str(out))):
        check(group, path, stored)


def test_laying_out_anew_again_leaves_no_old_heads(tmp_path: Path) -> None:
    path = write(tmp_path, "jph")
    once, twice, back = (tmp_path / name for name in ("once.j2c", "twice.j2c", "back.j2c"))
    assert run(["transcode", str(path), str(once), "--layout", "chunks"]) == 0
    assert run(["transcode", str(once), str(twice), "--layout", "chunks"]) == 0
    assert run(["transcode", str(once), str(back), "--layout", "coarse-first"]) == 0
    assert once.read_bytes() == twice.read_bytes()
    assert b"\xff\x4f\xff\x51" not in back.read_bytes()[4:]
    assert run(["transcode", str(once), str(tmp_path / "half.j2c"), "--layout", "chunks", "--drop-levels", "1"]) == 0
    with ziggurat.open(str(path)) as image, ziggurat.open(str(tmp_path / "half.j2c")) as half:
        assert np.array_equal(half.read(), image.read(1))
    check(
        zarr.open_group(ziggurat.zarr_store(str(tmp_path / "half.j2c"), virtual=True), mode="r"),
        tmp_path / "half.j2c",
        4,
    )


def test_coarse_levels_read_no_fine_bytes(tmp_path: Path) -> None:
    path = write(tmp_path, "jph")
    laid = tmp_path / "laid.j2c"
    assert run(["transcode", str(path), str(laid), "--layout", "chunks"]) == 0
    store = ziggurat.zarr_store(str(laid), virtual=True)
    group = zarr.open_group(store, mode="r")
    hierarchy = store.hierarchy
    assert isinstance(hierarchy, VirtualLevels)
    for name in group.array_keys():
        group[name][...]
    whole, *coarse = hierarchy.read
    for level, count in enumerate(coarse, 1):
        # Heads of the chunks weigh in these small tiles.
        assert count < whole * 1.3 / 4**level + 0.01 * whole + 400 * 12


def test_planes_become_an_axis(tmp_path: Path) -> None:
    paths = []
    for plane, shift in enumerate((0, 40, 80)):
        pixels = np.roll(picture(1, "uint16"), shift, axis=1)
        path = tmp_path / f"plane-{plane}.j2c"
        path.write_bytes(imagecodecs.htj2k_encode(pixels, tile=(128, 128), resolutions=4, reversible=True))
        paths.append(str(path))
    laid = [str(tmp_path / f"laid-{number}.j2c") for number in range(3)]
    for path, out in zip(paths, laid, strict=True):
        assert run(["transcode", path, out, "--layout", "chunks"]) == 0
    out = tmp_path / "stack.json"
    assert run(["references", *laid, str(out)]) == 0
    stores = [ziggurat.zarr_store(paths), ziggurat.zarr_store(paths, virtual=True)]
    for group in (*(zarr.open_group(store, mode="r") for store in stores), referred(str(out))):
        for level in range(4):
            planes = []
            for path in paths:
                with ziggurat.open(path) as image:
                    planes.append(image.read(level)[:, :, 0])
            array = group[str(level)]
            assert isinstance(array, zarr.Array)
            assert array.chunks[0] == 1
            assert array.metadata.dimension_names == ("z", "y", "x")
            assert np.array_equal(array[...], np.stack(planes))
    (tmp_path / "other.j2c").write_bytes(imagecodecs.htj2k_encode(picture(1, "uint16")[:200], reversible=True))
    odd = zarr.open_group(ziggurat.zarr_store([paths[0], str(tmp_path / "other.j2c")]), mode="r")
    with pytest.raises(UsageError, match=r"other\.j2c differs in size"):
        odd["0"][1]


def test_what_has_no_virtual_levels_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph = str(PHOTOGRAPHS / "astronaut.png")
    with pytest.raises(UnsupportedFeature, match="only JPEG 2000 has virtual levels"):
        ziggurat.zarr_store(photograph, virtual=True)
    path = write(tmp_path, "j2k")
    assert run(["references", str(path), str(tmp_path / "out.json")]) == 2
    assert "ziggurat transcode IN OUT --layout chunks" in capsys.readouterr().err
    assert run(["references", str(path)]) == 2
    assert run(["references", photograph, str(tmp_path / "out.json")]) == 1
    assert run(["transcode", str(path), str(tmp_path / "out.j2k"), "--layout", "chunks", "--tile-parts", "R"]) == 2
    assert not (tmp_path / "out.json").exists()


def test_a_damaged_tile_is_an_error_and_no_pixels(tmp_path: Path) -> None:
    path = write(tmp_path, "jph")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    group = zarr.open_group(ziggurat.zarr_store(str(path), virtual=True), mode="r")
    with pytest.raises(CorruptImage):
        group["0"][...]


REPEATS = 98 if "ZIGGURAT_LARGE" in os.environ else 20
"""Tiles of 1024 along each side: ten gigapixels, or not half of one."""


def test_a_mean_of_a_coarse_level_reads_that_level_alone(tmp_path: Path) -> None:
    side = 1024
    pixels = np.tile(picture(1, "uint8"), (4, 3))[:side, :side]
    sample = imagecodecs.htj2k_encode(pixels, level=0.02, resolutions=5, reversible=False, prog_order="RPCL")
    path = tmp_path / "large.j2c"
    write_tiled(path, sample, REPEATS, tlm=True)
    store = ziggurat.zarr_store(str(path), virtual=True, cache=0)
    array = da.from_zarr(zarr.open_group(store, mode="r")["3"])
    assert array.shape == (side * REPEATS // 8,) * 2
    with ziggurat.open(str(path)) as image:
        tile = image.read(3, (0, 0, side // 8, side // 8))
    # OpenJPH, which read the one tile, rounds the 9-7 transform otherwise than OpenJPEG.
    assert array.mean().compute() == pytest.approx(tile.mean(), abs=0.01)
    assert isinstance(store.hierarchy, VirtualLevels)
    assert [count > 0 for count in store.hierarchy.read] == [False, False, False, True, False, False]
    # All tiles are alike: this is what the packets of level 3 of one are, and a header of 200 bytes.
    assert store.hierarchy.read[3] < 0.1 * path.stat().st_size + 300 * REPEATS**2
