"""Groups as zarr-python, imagecodecs-zarr, fsspec and the models of OME-Zarr see them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.dirfs import DirFileSystem
from numpy.typing import NDArray
from ome_zarr_models.v05 import Image as OmeImage
from zarr.storage import FsspecStore

import ziggurat
from ziggurat.errors import CorruptImage, UnsupportedFeature, UsageError
from ziggurat.geometry import Size, Window
from ziggurat.image import open_image
from ziggurat.model import ColourSpace, Metadata, Resolution
from ziggurat.pyramid import halve
from ziggurat.storage.local import LocalSource
from ziggurat.write.omezarr.options import OmeZarrOptions
from ziggurat.write.omezarr.readback import Group, check_references, open_group
from ziggurat.write.omezarr.shards import Sharding
from ziggurat.write.omezarr.writer import OmeZarrWriter
from ziggurat.write.picture import PictureOptions, hold, prepare

KINDS = {
    "grey": (601, 333, 1, "uint8"),
    "rgb": (700, 1501, 3, "uint8"),
    "rgba": (270, 280, 4, "uint8"),
    "five": (130, 541, 5, "uint16"),
    "deep": (515, 257, 1, "uint16"),
    "narrow": (900, 21, 3, "uint16"),
}
"""Height, width, bands and type, mostly odd."""

ENCODED = [("jpeg2k", "stored"), ("htj2k", "stored"), ("jpeg2k", "virtual"), ("htj2k", "virtual")]


def pixels(height: int, width: int, bands: int, dtype: str) -> NDArray[Any]:
    rng = np.random.default_rng(height)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([0.5 + 0.3 * np.sin(x / 40 + band) + 0.15 * np.cos(y / 30) for band in range(bands)], axis=-1)
    shares = np.clip(waves + rng.normal(0, 0.01, waves.shape), 0, 1)
    # Black beside white: what coarser levels of a wavelet overshoot.
    shares[: height // 3, : width // 3] = (rng.random((height // 3, width // 3, 1)) > 0.5).astype(float)
    top = np.iinfo(dtype).max if dtype.startswith("u") else 1
    return (shares * top).astype(dtype)


def write(folder: Path, image: NDArray[Any], options: OmeZarrOptions, memory: int = 1 << 28) -> Path:
    bands = image.shape[2]
    source, out = folder / "source.tif", folder / "out.ome.zarr"
    tifffile.imwrite(
        source,
        image if bands > 1 else image[..., 0],
        photometric="rgb" if bands in {3, 4} else "minisblack",
        planarconfig="contig" if bands > 1 else None,
        tile=(64, 64),
        resolution=(4000, 4000),
        resolutionunit="CENTIMETER",
    )
    with open_image(LocalSource(source)) as opened:
        OmeZarrWriter(options).write(prepare(opened, PictureOptions(), form="native"), out, memory=memory)
    return out


def level(group: zarr.Group, number: int) -> NDArray[Any]:
    array = group[str(number)]
    assert isinstance(array, zarr.Array)
    found = np.asarray(array[:])
    return np.moveaxis(found, 0, 2) if found.ndim == 3 else found[..., None]


def virtual(folder: Path) -> zarr.Group:
    """All levels, as the documentation says that they are opened."""
    files = AsyncFileSystemWrapper(DirFileSystem(str(folder), fs=fsspec.filesystem("file")), asynchronous=True)
    references = fsspec.filesystem("reference", fo=str(folder / "references.json"), fs=files, asynchronous=True)
    return zarr.open_group(FsspecStore(references, read_only=True), mode="r")


@pytest.mark.parametrize("kind", [*KINDS, "float"])
def test_stored_levels_are_the_means_of_the_source(tmp_path: Path, kind: str) -> None:
    image = pixels(*KINDS.get(kind, (333, 301, 2, "float32")))
    group = zarr.open_group(write(tmp_path, image, OmeZarrOptions(tile=64)), mode="r")
    expected, number = image, 0
    while True:
        assert np.array_equal(level(group, number), expected), number
        if max(expected.shape[:2]) <= 64:
            break
        expected, number = halve(expected), number + 1
    assert len(list(group.array_keys())) == number + 1


@pytest.mark.parametrize("orientation", [1, 6])
def test_levels_of_the_source_are_copied(tmp_path: Path, orientation: int) -> None:
    # Levels that no averaging makes: two are halves, and the one behind them is none.
    sides = [(701, 333), (351, 167), (176, 84), (59, 28)]
    levels = [np.roll(pixels(height, width, 3, "uint8"), 5, axis=2) for height, width in sides]
    source = tmp_path / "source.tif"
    with tifffile.TiffWriter(source) as tiff:
        for number, one in enumerate(levels):
            tag = [(274, "H", 1, orientation, True)]
            tiff.write(one, photometric="rgb", tile=(64, 64), subfiletype=min(number, 1), extratags=tag)
    with open_image(LocalSource(source)) as image:
        assert [tuple(level.shape) for level in image.info.levels] == sides
        picture = prepare(image, PictureOptions(), form="native")
        for name, given, memory in (("bands", picture, 1 << 20), ("held", hold(picture), 1 << 28)):
            out = tmp_path / f"{name}.ome.zarr"
            options = OmeZarrOptions(tile=64, levels="source")
            OmeZarrWriter(options).write(given, out, memory=memory)
            group = zarr.open_group(out, mode="r")
            for number in range(3):
                expected = image.read(number)
                upright = expected if orientation == 1 else np.rot90(expected, -1)
                assert np.array_equal(level(group, number), upright), number
            assert np.array_equal(level(group, 3), halve(level(group, 2)))
            assert max(level(group, 4).shape[:2]) <= 64


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("codec", "levels"), ENCODED)
def test_lossless_jpeg_2000_chunks_are_the_source(tmp_path: Path, kind: str, codec: Any, levels: Any) -> None:
    image = pixels(*KINDS[kind])
    out = write(tmp_path, image, OmeZarrOptions(codec=codec, levels=levels, tile=128))
    assert np.array_equal(level(zarr.open_group(out, mode="r"), 0), image)
    if levels == "stored":
        assert np.array_equal(level(zarr.open_group(out, mode="r"), 1), halve(image))
        return
    group = virtual(out)
    assert np.array_equal(level(group, 0), image)
    expected = image
    for number in range(1, len(list(group.array_keys()))):
        expected, found = halve(expected), level(group, number)
        assert found.shape == expected.shape
        # The noise is another one; what wraps instead of being clipped would be off by the whole range.
        quiet = (slice(expected.shape[0] // 2, None), slice(expected.shape[1] // 2, None))
        far = np.abs(found[quiet].astype(float) - expected[quiet]) / np.iinfo(image.dtype).max
        assert far.size == 0 or np.quantile(far, 0.9) < 0.1 * number
        edges = found[: found.shape[0] // 3, : found.shape[1] // 3]
        assert edges.size == 0 or edges.min() < edges.max()
    check_references(out)


def test_coarser_levels_that_overshoot_are_clipped(tmp_path: Path) -> None:
    image = np.zeros((256, 256, 1), np.uint8)
    image[:, 100:] = 255
    image[77:133] = 255 - image[77:133]
    out = write(tmp_path, image, OmeZarrOptions(codec="htj2k", levels="virtual", tile=128))
    found = level(virtual(out), 1)[..., 0].astype(int)
    assert np.abs(found - halve(image)[..., 0]).max() <= 160
    assert (np.abs(found - halve(image)[..., 0]) > 40).mean() < 0.05


@pytest.mark.parametrize(("codec", "levels"), ENCODED)
def test_decibels_are_about_what_decodes(tmp_path: Path, codec: Any, levels: Any) -> None:
    image = pixels(*KINDS["rgb"])
    out = write(tmp_path, image, OmeZarrOptions(codec=codec, levels=levels, psnr=42, tile=256))
    error = np.mean((level(zarr.open_group(out, mode="r"), 0).astype(float) - image) ** 2)
    assert 39 < 10 * np.log10(255**2 / error) < 48


@pytest.mark.parametrize("options", [OmeZarrOptions(tile=64), OmeZarrOptions(codec="htj2k", levels="virtual", tile=64)])
def test_the_models_of_ome_zarr_accept_it(tmp_path: Path, options: OmeZarrOptions) -> None:
    out = write(tmp_path, pixels(*KINDS["rgb"]), options)
    groups = [zarr.open_group(out, mode="r")] + ([virtual(out)] if options.levels == "virtual" else [])
    for group in groups:
        [multiscale] = OmeImage.from_zarr(group).ome_attributes.multiscales
        assert [axis.name for axis in multiscale.axes] == ["c", "y", "x"]
        assert multiscale.axes[1].unit == "micrometer"
    assert len(multiscale.datasets) == (6 if options.levels == "stored" else 3)
    scale = multiscale.datasets[1].coordinateTransformations[0]
    assert list(scale.scale) == pytest.approx([1, 5, 5])


def test_references_take_next_to_nothing(tmp_path: Path) -> None:
    image = pixels(2048, 2048, 3, "uint8")
    out = write(tmp_path, image, OmeZarrOptions(codec="htj2k", levels="virtual"))
    whole = sum(path.stat().st_size for path in (out / "0" / "c").rglob("*") if path.is_file())
    refs = json.loads((out / "references.json").read_text())["refs"]
    assert {key.partition("/")[0] for key in refs} == {"zarr.json", "0", "1"}
    assert (out / "references.json").stat().st_size < whole / 1000


def test_a_little_memory_gives_the_same_bytes(tmp_path: Path) -> None:
    image = pixels(1100, 1300, 3, "uint8")
    for name, memory in (("much", 1 << 30), ("little", 1 << 20)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, image, OmeZarrOptions(tile=64), memory)
    much, little = (tmp_path / name / "out.ome.zarr" for name in ("much", "little"))
    names = [path.relative_to(much) for path in much.rglob("*") if path.is_file()]
    assert len([name for name in names if name.parts[:2] == ("0", "c")]) == 3 * 3
    assert all((much / name).read_bytes() == (little / name).read_bytes() for name in names)


def test_colours_metadata_and_names_survive(tmp_path: Path) -> None:
    image = pixels(140, 150, 4, "uint16") >> 4
    profile = bytes(imagecodecs.cms_profile("adobergb"))
    exif = b"II*\0" + (8).to_bytes(4, "little") + bytes(6)
    with open_image(LocalSource(write(tmp_path, image, OmeZarrOptions(tile=64)).parent / "source.tif")) as opened:
        picture = hold(prepare(opened, PictureOptions(), form="native"))
    picture = replace(
        picture,
        bit_depth=12,
        colour_space=ColourSpace.RGB,
        alpha="straight",
        icc=profile,
        metadata=Metadata(exif=exif, xmp=b"<x:xmpmeta/>", iptc=b"\x1c\x02"),
        resolution=Resolution(11811.0, 11800.5),
    )
    for options in (OmeZarrOptions(tile=64), OmeZarrOptions(codec="htj2k", levels="virtual", tile=64)):
        out = tmp_path / f"{options.levels}.zarr"
        OmeZarrWriter(options).write(picture, out, memory=1 << 28)
        with ziggurat.open(str(out)) as read:
            info = read.info
            assert (info.icc, info.metadata, info.alpha) == (profile, picture.metadata, "straight")
            assert (info.colour_space, info.bit_depth) == (ColourSpace.RGB, 12)
            assert info.resolution == picture.resolution
            assert np.array_equal(read.read(0), image)
            assert not read.warnings
        group = zarr.open_group(out, mode="r")
        [multiscale] = OmeImage.from_zarr(group).ome_attributes.multiscales
        assert multiscale.name == "source"


@pytest.mark.parametrize(
    "said", [{"alpha": "half"}, {"bit_depth": 17}, {"icc": "§"}, {"colour_space": "CMYK"}, {"resolution": [0, 1]}, [1]]
)
def test_attributes_that_do_not_fit_are_left_out_and_told(tmp_path: Path, said: object) -> None:
    out = write(tmp_path, pixels(*KINDS["rgb"]), OmeZarrOptions(tile=512))
    document = json.loads((out / "zarr.json").read_text())
    document["attributes"]["ziggurat"]["picture"] = said
    (out / "zarr.json").write_text(json.dumps(document))
    with ziggurat.open(str(out)) as image:
        assert (image.info.bands, image.info.bit_depth, image.info.icc) == (3, 8, None)
        assert image.info.colour_space == ColourSpace.RGB
        assert "ziggurat.picture" in " ".join(image.warnings)


def test_memory_does_not_grow_with_the_height() -> None:
    class Tall:
        def __init__(self, height: int) -> None:
            self.size, self.bands, self.dtype = Size(height, 20_000), 3, np.dtype("u1")
            self.grain = Size(256, 256)

        def read_cost(self, window: Window) -> int:
            return window.size.pixels * 3

    costs = [OmeZarrWriter().write_cost(Tall(height), memory=400 << 20) for height in (20_000, 80_000)]  # type: ignore[arg-type]
    assert costs[1] - costs[0] < 8 << 20
    assert costs[1] < 400 << 20


def test_readback_reads_windows_of_all_levels(tmp_path: Path) -> None:
    image = pixels(*KINDS["rgb"])
    out = write(tmp_path, image, OmeZarrOptions(tile=128))
    with open_group(out) as group:
        assert isinstance(group, Group)
        assert group.info.size == Size(*image.shape[:2])
        assert np.array_equal(group.read(0, Window(100, 200, 333, 1501)), image[100:333, 200:1501])
        assert np.array_equal(group.read(1, Window(0, 7, 12, 9)), halve(image)[0:12, 7:9])


def test_a_damaged_chunk_or_reference_is_noticed(tmp_path: Path) -> None:
    out = write(tmp_path, pixels(*KINDS["grey"]), OmeZarrOptions(codec="htj2k", levels="virtual", tile=128))
    path = out / "references.json"
    document = json.loads(path.read_text())
    document["refs"]["1/c/1/1"][2] //= 2
    path.write_text(json.dumps(document))
    with pytest.raises(CorruptImage, match="1/c/1/1"):
        open_group(out)
    document["refs"]["1/c/1/1"] = document["refs"]["1/c/0/0"]
    path.write_text(json.dumps(document))
    with pytest.raises(CorruptImage, match="beginning"):
        open_group(out)


def test_an_index_of_a_shard_is_guarded(tmp_path: Path) -> None:
    out = write(tmp_path, pixels(*KINDS["grey"]), OmeZarrOptions(tile=128))
    shard = out / "0" / "c" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[-10] ^= 1
    shard.write_bytes(data)
    with open_group(out) as group, pytest.raises(CorruptImage):
        group.read(0, Window(0, 0, 128, 128))


def test_samples_that_a_codec_has_not_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFeature, match="zstd"):
        write(tmp_path, pixels(64, 64, 1, "float32"), OmeZarrOptions(codec="htj2k"))


@pytest.mark.parametrize(
    "options",
    [{"levels": "virtual"}, {"psnr": 50}, {"tile": 100}, {"codec": "htj2k", "levels": "virtual", "tile": 96},
     {"codec": "jpeg2k", "psnr": 0}, {"codec": "lzw"}],
)  # fmt: skip
def test_options_that_contradict_each_other_are_refused(options: Any) -> None:
    with pytest.raises(UsageError):
        OmeZarrOptions(**options)


def test_shards_have_at_most_eight_chunks_a_side() -> None:
    sharding = Sharding.of(Size(10_000, 700), 3, Size(512, 512))
    assert (sharding.down, sharding.across) == (8, 2)
    assert sharding.grid.counts == [1, 3, 1]
