"""Zarr of both versions and all layouts, against the arrays that were written."""

import tempfile
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import imagecodecs
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ziggurat
from zarr_files import as_read, multiscales, noise, pyramid, write_json, write_ome, zipped
from ziggurat.errors import UnsupportedFeature
from ziggurat.format.zarr import open_reader
from ziggurat.format.zarr.axes import arrange
from ziggurat.format.zarr.ome import Axis
from ziggurat.geometry import Window
from ziggurat.model import ColourSpace, Resolution
from ziggurat.testing.reader_contract import Case, MakeCase, ReaderContract

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")


@cache
def sharded() -> Case:
    """OME-Zarr 0.5, channels, three levels, in shards."""
    levels = pyramid(noise((3, 90, 130)), "cyx", 2)
    with tempfile.TemporaryDirectory() as folder:
        write_ome(Path(folder) / "a", levels, "cyx", chunks=(1, 32, 32), shards=(3, 64, 64))
        data = zipped(Path(folder) / "a")
    return Case(data, tuple(as_read(level, "cyx") for level in levels))


@cache
def deflated() -> Case:
    """OME-Zarr 0.4 (Zarr 2), big-endian, in a folder of the ZIP file, which deflates it."""
    levels = pyramid(noise((70, 50), ">i2"), "yx", 2)
    with tempfile.TemporaryDirectory() as folder:
        write_ome(Path(folder) / "a", levels, "yx", version="0.4", chunks=(32, 20))
        data = zipped(Path(folder) / "a", top="cells.ome.zarr/", compression=zipfile.ZIP_DEFLATED)
    return Case(data, tuple(as_read(level.astype("=i2"), "yx") for level in levels))


class TestZippedContract(ReaderContract):
    format = "ozx"
    open_reader = staticmethod(open_reader)
    cases: ClassVar[dict[str, MakeCase]] = {"sharded": sharded, "deflated": deflated}


LAYOUTS: list[tuple[str, str, tuple[int, ...], dict[str, Any]]] = [
    ("0.5", "tczyx", (2, 3, 2, 75, 101), {"chunks": (1, 1, 1, 32, 24)}),
    ("0.5", "tczyx", (1, 2, 3, 75, 101), {"chunks": (1, 2, 2, 16, 16), "shards": (1, 2, 4, 64, 32)}),
    ("0.5", "zyx", (5, 64, 80), {"chunks": (2, 20, 30)}),
    ("0.5", "yx", (33, 47), {"chunks": (33, 47), "compressors": None}),
    ("0.4", "tczyx", (2, 4, 1, 50, 70), {"chunks": (1, 3, 1, 50, 16)}),
    ("0.4", "cyx", (2, 50, 70), {"chunks": (2, 7, 9), "order": "F"}),
]


@pytest.mark.parametrize(("version", "axes", "shape", "options"), LAYOUTS)
def test_any_window_of_any_layout_equals_the_array(
    tmp_path: Path, version: str, axes: str, shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    levels = pyramid(noise(shape), axes, 2)
    write_ome(tmp_path / "a.zarr", levels, axes, version=version, **options)
    with ziggurat.open(str(tmp_path / "a.zarr")) as image:
        expected = [as_read(level, axes) for level in levels]
        assert image.info.format == "zarr"
        assert [level.shape for level in image.info.levels] == [level.shape[:2] for level in expected]

        @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(st.data())
        def check(data: st.DataObject) -> None:
            level = data.draw(st.integers(0, 1))
            height, width = expected[level].shape[:2]
            y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
            window = Window(y0, x0, data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width)))
            np.testing.assert_array_equal(image.read(level, window), expected[level][window.slices()])

        check()


@pytest.mark.parametrize("room", [1, 7])
def test_windows_of_many_pieces_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    monkeypatch.setattr("ziggurat.format.zarr.level.MANY", room)
    pixels = noise((5, 60, 90))
    write_ome(tmp_path / "a.zarr", [pixels], "cyx", chunks=(2, 16, 16))
    with ziggurat.open(str(tmp_path / "a.zarr")) as image:
        np.testing.assert_array_equal(image.read(0, (3, 5, 55, 81)), as_read(pixels, "cyx")[3:55, 5:81])


@pytest.mark.parametrize("dtype", ["uint8", "int8", ">u2", "int32", ">u4", "int64", "uint64", "float32", ">f8"])
@pytest.mark.parametrize("version", [2, 3])
def test_all_kinds_of_numbers_are_read_as_they_are(tmp_path: Path, dtype: str, version: Any) -> None:
    pixels = noise((20, 30), dtype)
    zarr.create_array(tmp_path / "a", data=pixels, chunks=(16, 16), zarr_format=version)
    with ziggurat.open(str(tmp_path / "a")) as image:
        assert image.info.dtype == np.dtype(dtype).newbyteorder("=").name
        np.testing.assert_array_equal(image.read()[:, :, 0], pixels)


def test_truth_values_are_bytes_and_halves_are_singles(tmp_path: Path) -> None:
    for dtype, read, depth in (("bool", "uint8", 1), ("float16", "float32", 32)):
        pixels = noise((20, 30), dtype)
        zarr.create_array(tmp_path / dtype, data=pixels, chunks=(16, 16))
        with ziggurat.open(str(tmp_path / dtype)) as image:
            assert (image.info.dtype, image.info.bit_depth) == (read, depth)
            assert image.read().dtype == read
            np.testing.assert_array_equal(image.read()[:, :, 0], pixels.astype(read))


def test_chunks_that_are_not_stored_are_the_fill_value(tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "a", shape=(64, 64), chunks=(8, 8), shards=(32, 32), dtype="uint8", fill_value=7
    )
    array[:5, :5] = 1
    with ziggurat.open(str(tmp_path / "a")) as image:
        pixels = image.read()
    assert (pixels[:5, :5] == 1).all()
    assert (pixels[8:] == 7).all()


def test_only_the_chunks_of_a_window_are_read(tmp_path: Path, read_bytes: dict[str, int]) -> None:
    zarr.create_array(tmp_path / "a", data=noise((512, 512)), chunks=(64, 64), compressors=None)
    zarr.create_array(tmp_path / "b", data=noise((512, 512)), chunks=(64, 64), shards=(512, 512), compressors=None)
    chunk, index = 64 * 64 * 2, 64 * 16 + 4
    for name, expected in (
        ("a", {f"c/{y}/{x}": chunk for y in (1, 2) for x in (1, 2)}),
        ("b", {"c/0/0": 4 * chunk + index}),
    ):
        with ziggurat.open(str(tmp_path / name)) as image:
            read_bytes.clear()
            image.read(0, (100, 100, 140, 140))
        assert read_bytes == {str(tmp_path / name / key): count for key, count in expected.items()}


@pytest.fixture
def read_bytes(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Bytes read of each local file from here on."""
    from ziggurat.storage.local import LocalSource  # noqa: PLC0415 - what is watched

    counted: dict[str, int] = {}
    read = LocalSource.read_ranges

    def counting(self: LocalSource, ranges: Sequence[Any]) -> list[bytes]:
        counted[self.url] = counted.get(self.url, 0) + sum(item.length for item in ranges)
        return read(self, ranges)

    monkeypatch.setattr(LocalSource, "read_ranges", counting)
    return counted


def test_a_zarr_opens_by_its_folder_its_document_and_a_path_in_it(tmp_path: Path) -> None:
    levels = pyramid(noise((2, 64, 64)), "cyx", 2)
    for version, document in (("0.5", "zarr.json"), ("0.4", ".zattrs"), ("0.4", ".zgroup")):
        place = tmp_path / f"{version}.zarr"
        write_ome(place, levels, "cyx", version=version, chunks=(1, 32, 32))
        for url in (str(place), f"{place}/", str(place / document), place.as_uri()):
            with ziggurat.open(url) as image:
                assert image.info.size == (64, 64)
        with ziggurat.open(str(place / "1")) as image:
            np.testing.assert_array_equal(image.read(), as_read(levels[1], "cyx"))


def test_the_metadata_of_ome_zarr_are_told(tmp_path: Path) -> None:
    write_ome(tmp_path / "a.zarr", pyramid(noise((2, 3, 40, 50), "uint8"), "tcyx", 2), "tcyx", chunks=(1, 1, 16, 16))
    attributes = multiscales("tcyx", 2)
    window = {"start": 0, "end": 200, "min": 0, "max": 255}
    attributes["ome"]["omero"] = {
        "channels": [
            {"label": "DAPI", "color": colour, "window": window, "active": True}
            for colour in ("FF0000", "00FF00", "0000FF")
        ]
    }
    zarr.open_group(tmp_path / "a.zarr").attrs.update(attributes)
    with ziggurat.open(str(tmp_path / "a.zarr")) as image:
        info = image.info
    assert info.resolution == Resolution(2e6, 2e6)
    assert info.colour_space is ColourSpace.RGB
    assert info.details["channels"][0] == {"label": "DAPI", "color": "FF0000", "active": True, "window": window}  # type: ignore[index, call-overload]
    assert info.details["zarr"]["first_plane_of"] == [{"axis": 0, "length": 2, "name": "t"}]  # type: ignore[index, call-overload]
    assert info.details["zarr"]["ome"] == "0.5"  # type: ignore[index, call-overload]
    assert info.levels[0].tile == (16, 16)


def test_coordinate_systems_of_version_0_6_give_axes_and_resolution(tmp_path: Path) -> None:
    pixels = noise((3, 40, 50))
    write_ome(tmp_path / "a.zarr", [pixels], "cyx", chunks=(1, 16, 16))
    axes = multiscales("cyx", 1, unit="millimeter")["ome"]["multiscales"][0]["axes"]
    steps = [{"type": "scale", "scale": [1, 2, 4]}, {"type": "translation", "translation": [0, 1, 1]}]
    sequence = {"type": "sequence", "input": {"path": "0"}, "output": {"name": "physical"}, "transformations": steps}
    image_06 = {
        "coordinateSystems": [{"name": "other", "axes": []}, {"name": "physical", "axes": axes}],
        "datasets": [{"path": "0", "coordinateTransformations": [sequence]}],
    }
    zarr.open_group(tmp_path / "a.zarr").attrs["ome"] = {"version": "0.6", "multiscales": [image_06]}
    with ziggurat.open(str(tmp_path / "a.zarr")) as image:
        assert image.info.resolution == Resolution(500, 250)
        np.testing.assert_array_equal(image.read(), as_read(pixels, "cyx"))


def test_what_is_no_coarser_level_is_left_out_with_a_note(tmp_path: Path) -> None:
    full = noise((64, 64))
    for odd in (noise((64, 64)), noise((3, 3), "uint8"), noise((65, 10))):
        write_ome(tmp_path / "a.zarr", [full, odd, full[:20, :30]], "yx", chunks=(16, 16))
        with ziggurat.open(str(tmp_path / "a.zarr")) as image:
            assert [level.shape for level in image.info.levels] == [(64, 64), (20, 30)]
            assert "left out" in image.warnings[0]


def test_series_open_at_the_first_and_say_how_to_open_the_others(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    group.create_group("OME").attrs["ome"] = {"version": "0.5", "series": ["b", "0"]}
    for name in ("0", "b"):
        write_ome(tmp_path / "a.zarr" / name, [noise((30, 40), seed=len(name) + ord(name))], "yx", chunks=(16, 16))
    with ziggurat.open(str(tmp_path / "a.zarr")) as image:
        np.testing.assert_array_equal(image.read()[:, :, 0], noise((30, 40), seed=1 + ord("b")))
        assert image.warnings[0].endswith("a.zarr/0")


@pytest.mark.parametrize(
    ("attributes", "advice"),
    [
        ({"plate": {"wells": [{"path": "B/2"}], "rows": [], "columns": []}}, "a.zarr/B/2/0"),
        ({"well": {"images": [{"path": "1"}, {"path": "2"}]}}, "a.zarr/1"),
        ({"labels": ["nuclei", "cells"]}, "a.zarr/nuclei"),
        ({}, "without an image"),
    ],
)
def test_collections_say_how_to_open_one_of_their_images(
    tmp_path: Path, attributes: dict[str, Any], advice: str
) -> None:
    for version in (2, 3):
        group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)  # type: ignore[arg-type]
        group.attrs.update({"ome": attributes} if version == 3 else attributes)
        with pytest.raises(UnsupportedFeature, match=advice):
            ziggurat.open(str(tmp_path / "a.zarr"))
        if version == 2:
            (tmp_path / "a.zarr" / ".zattrs").unlink()
            (tmp_path / "a.zarr" / ".zgroup").unlink()


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("consolidated", [False, True])
def test_groups_of_plain_arrays_are_levels_or_their_first_image(
    tmp_path: Path, version: Any, *, consolidated: bool
) -> None:
    full = noise((40, 50))
    for folder, names in (("levels", ["0", "1", "2"]), ("named", ["a line", "first", "second"])):
        group = zarr.open_group(tmp_path / folder, mode="w", zarr_format=version)
        for number, name in enumerate(names):
            data = noise((9,)) if name == "a line" else full[:: 2**number, :: 2**number]
            group.create_array(name, data=data, chunks=tuple(min(8, n) for n in data.shape))
        if consolidated:
            zarr.consolidate_metadata(tmp_path / folder)
    with ziggurat.open(str(tmp_path / "levels")) as image:
        assert [level.shape for level in image.info.levels] == [(40, 50), (20, 25), (10, 13)]
    with ziggurat.open(str(tmp_path / "named")) as image:
        np.testing.assert_array_equal(image.read()[:, :, 0], full[::2, ::2])
        assert image.warnings[0].endswith("named/second")


def test_jpeg_2000_chunks_of_version_2_are_decoded(tmp_path: Path) -> None:
    pixels = noise((64, 96), "uint8")
    fields = {
        "zarr_format": 2, "shape": [64, 96], "chunks": [64, 48], "dtype": "|u1", "fill_value": 0, "order": "C",
        "filters": None, "compressor": {"id": "imagecodecs_jpeg2k"},
    }  # fmt: skip
    write_json(tmp_path / "a" / ".zarray", fields)
    for column in (0, 1):
        data = imagecodecs.jpeg2k_encode(pixels[:, 48 * column : 48 * (column + 1)], level=0)
        (tmp_path / "a" / f"0.{column}").write_bytes(data)
    with ziggurat.open(str(tmp_path / "a")) as image:
        np.testing.assert_array_equal(image.read()[:, :, 0], pixels)


def test_jpeg_2000_chunks_are_decoded(tmp_path: Path) -> None:
    pixels = noise((64, 96), "uint8")
    from imagecodecs.zarr import Jpeg2k  # noqa: PLC0415 - slow

    zarr.create_array(
        tmp_path / "a", data=pixels, chunks=(32, 32), serializer=Jpeg2k(reversible=True), compressors=None
    )
    with ziggurat.open(str(tmp_path / "a")) as image:
        np.testing.assert_array_equal(image.read()[:, :, 0], pixels)


@pytest.mark.parametrize(
    ("lengths", "names", "expected"),
    [
        ((5, 6), "", (0, 1, None, ())),
        ((50, 60, 3), "", (0, 1, 2, ())),
        ((7, 50, 60), "", (1, 2, 0, ())),
        ((9, 7, 50, 60), "", (2, 3, 1, (0,))),
        ((5000, 50, 60), "", (1, 2, None, (0,))),
        ((50, 60, 7), "yxc", (0, 1, 2, ())),
        ((60, 50), "xy", (1, 0, None, ())),
        ((2, 50, 60), "zyx", (1, 2, None, (0,))),
        ((2, 3, 4, 50, 60), "tczyx", (3, 4, 1, (0, 2))),
        ((1, 1, 50, 60), "tcyx", (2, 3, None, ())),
    ],
)
def test_axes_are_taken_by_their_names_or_places(
    lengths: tuple[int, ...], names: str, expected: tuple[int, int, int | None, tuple[int, ...]]
) -> None:
    found = arrange(lengths, [Axis(name) for name in names], "a")
    assert (found.y, found.x, found.band, found.first_of) == expected


def test_old_versions_have_the_usual_axes(tmp_path: Path) -> None:
    pixels = noise((1, 3, 2, 20, 30))
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.attrs["multiscales"] = [{"version": "0.1", "datasets": [{"path": "0"}]}]
    group.create_array("0", data=pixels, chunks=(1, 1, 1, 16, 16))
    with ziggurat.open(str(tmp_path / "a.zarr")) as image:
        np.testing.assert_array_equal(image.read(), as_read(pixels, "tczyx"))
    write_json(tmp_path / "a.zarr" / ".zattrs", {"multiscales": [{"axes": list("tzcyx"), "datasets": [{"path": "0"}]}]})
    with ziggurat.open(str(tmp_path / "a.zarr")) as image:
        assert image.info.bands == 2
