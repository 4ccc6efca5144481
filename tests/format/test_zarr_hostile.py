"""Zarrs that lie, climb, or are made to take memory and time."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ziggurat
from zarr_files import multiscales, noise, write_json, write_ome, zipped
from ziggurat.errors import (
    CorruptImage,
    FormatError,
    LimitExceeded,
    OutOfMemory,
    SourceError,
    SourceRefused,
    TooManyBytes,
    UnsupportedFeature,
    ZigguratError,
)
from ziggurat.format.zarr import open_reader
from ziggurat.storage.allowance import allow
from ziggurat.testing.sources import BytesSource


def array_v3(**changes: Any) -> dict[str, Any]:
    return {
        "zarr_format": 3, "node_type": "array", "shape": [64, 64], "data_type": "uint8", "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [32, 32]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "bytes"}],
    } | changes  # fmt: skip


def array_v2(**changes: Any) -> dict[str, Any]:
    return {
        "zarr_format": 2, "shape": [64, 64], "chunks": [32, 32], "dtype": "|u1", "fill_value": 0, "order": "C",
        "compressor": None, "filters": None,
    } | changes  # fmt: skip


def grid(*sides: int) -> dict[str, Any]:
    return {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(sides)}}}


REFUSED = {
    "complex": array_v3(data_type="complex64"),
    "text": array_v3(data_type="string", codecs=[{"name": "vlen-utf8"}]),
    "one axis": array_v3(shape=[9], **grid(3)),
    "empty": array_v3(shape=[0, 9], **grid(3, 3)),
    "negative": array_v3(shape=[-4, 9], **grid(3, 3)),
    "shape of text": array_v3(shape="64"),
    "chunk of a terabyte": array_v3(shape=[1 << 21, 1 << 21], **grid(1 << 20, 1 << 20)),
    "unknown codec": array_v3(codecs=[{"name": "bytes"}, {"name": "https://example.org/codec"}]),
    "codec that runs code": array_v3(codecs=[{"name": "bytes"}, {"name": "numcodecs.pickle"}]),
    "codec within a shard": array_v3(
        codecs=[{"name": "sharding_indexed", "configuration": {"chunk_shape": [8, 8], "codecs": ["pickle"]}}]
    ),
    "codecs without end": array_v3(
        codecs=json.loads('[{"name":"bytes","configuration":{"codecs":' * 9 + "[]" + "}}]" * 9)
    ),
    "no codecs": array_v3(codecs={}),
    "other version": array_v3(zarr_format=4),
    "no node": array_v3(node_type="table"),
    "multiscales of nothing": {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"multiscales": 7}}},
}  # fmt: skip


@pytest.mark.parametrize("fields", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_image_or_would_do_harm_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    write_json(tmp_path / "a" / "zarr.json", fields)
    with pytest.raises(FormatError, match=str(tmp_path)):
        ziggurat.open(str(tmp_path / "a"))


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 100_000, '{"zarr_format": 3, "node_type": ' + "[" * 50_000, "\xff"]
)
def test_documents_that_are_no_json_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "zarr.json").write_text(text, "latin-1")
    with pytest.raises(CorruptImage, match=r"zarr\.json"):
        ziggurat.open(str(tmp_path))


def test_a_codec_of_version_2_that_runs_code_never_runs(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.0").write_bytes(pickle.dumps(np.zeros((32, 32), np.uint8)))
    for fields in (
        array_v2(compressor={"id": "pickle"}),
        array_v2(filters=[{"id": "pickle"}], dtype="|O"),
        array_v2(filters=[{"id": "vlen-utf8"}], dtype="|O"),
        array_v2(dtype="|O"),
    ):
        write_json(tmp_path / "a" / ".zarray", fields)
        with pytest.raises(FormatError):
            ziggurat.open(str(tmp_path / "a"))


@pytest.mark.parametrize(
    "path", ["../secret", "/etc", "..", "0/../../secret", "", "0//", "a\\..\\b", "\0", "https://example.org/0"]
)
def test_paths_of_levels_stay_inside(tmp_path: Path, path: str) -> None:
    zarr.create_array(tmp_path / "secret", data=noise((8, 8)), chunks=(8, 8))
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    attributes = multiscales("yx", 1)
    attributes["ome"]["multiscales"][0]["datasets"][0]["path"] = path
    group.attrs.update(attributes)
    with pytest.raises((SourceError, FormatError)):
        ziggurat.open(str(tmp_path / "a.zarr"))


def test_links_that_lead_out_are_not_followed(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "secret", data=noise((8, 8)), chunks=(8, 8))
    zarr.create_array(tmp_path / "a.zarr", shape=(8, 8), chunks=(8, 8), dtype="uint16", fill_value=0)
    (tmp_path / "a.zarr" / "c").symlink_to(tmp_path / "secret" / "c")
    with ziggurat.open(str(tmp_path / "a.zarr")) as image, pytest.raises(SourceRefused, match="leads out"):
        image.read()
    (tmp_path / "link.zarr").symlink_to(tmp_path / "secret")
    with ziggurat.open(str(tmp_path / "link.zarr")) as image:
        np.testing.assert_array_equal(image.read()[:, :, 0], noise((8, 8)))


def test_memory_and_time_are_limited_by_what_the_documents_say(tmp_path: Path) -> None:
    huge = [1 << 40, 1 << 40]
    write_json(tmp_path / "tiny" / "zarr.json", array_v3(shape=huge, **grid(1, 1)))
    with ziggurat.open(str(tmp_path / "tiny")) as image, pytest.raises(LimitExceeded, match="chunks"):
        image.read(0, (0, 0, 2000, 2000))
    write_json(tmp_path / "large" / "zarr.json", array_v3(shape=huge, **grid(1 << 15, 1 << 15)))
    with ziggurat.open(str(tmp_path / "large"), memory=1 << 30) as image, pytest.raises(OutOfMemory):
        image.read(0, (0, 0, 1, 1))
    index = {"chunk_shape": [1, 1], "codecs": [{"name": "bytes"}], "index_codecs": [{"name": "bytes"}]}
    shards = array_v3(
        shape=huge, codecs=[{"name": "sharding_indexed", "configuration": index}], **grid(1 << 15, 1 << 15)
    )
    write_json(tmp_path / "shards" / "zarr.json", shards)
    with ziggurat.open(str(tmp_path / "shards")) as image, pytest.raises(OutOfMemory):
        image.read(0, (0, 0, 1, 1))


def test_cost_bounds_what_reading_takes(tmp_path: Path) -> None:
    """A small window of a large shard takes what its chunks take, not what the shard does."""
    zarr.create_array(
        tmp_path / "a", shape=(8192, 8192), chunks=(256, 256), shards=(8192, 8192), dtype="uint16", fill_value=0
    )
    with ziggurat.open(str(tmp_path / "a")) as image:
        assert image.read_cost(0, ziggurat.Window(0, 0, 10, 10)) < 4 << 20
        assert image.read_cost() < 400 << 20


def test_chunks_that_do_not_decode_are_named(tmp_path: Path) -> None:
    pixels = noise((64, 64))
    zarr.create_array(tmp_path / "a", data=pixels, chunks=(16, 16))
    zarr.create_array(tmp_path / "b", data=pixels, chunks=(16, 16), shards=(32, 32))
    for name, key, chunk in (("a", "c/2/1", r"\(2, 1\)"), ("b", "c/1/0", r"\(2, 0\)")):
        path = tmp_path / name / key
        data = bytearray(path.read_bytes())
        for damaged in (data[:-9], bytes(len(data)), bytes(5), bytes(5 << 20)):
            path.write_bytes(damaged)
            with ziggurat.open(str(tmp_path / name)) as image:
                with pytest.raises(CorruptImage, match=f"{key}.*chunk {chunk}|{key} has|{key}: its index"):
                    image.read()
                np.testing.assert_array_equal(image.read(0, (0, 40, 16, 64))[:, :, 0], pixels[:16, 40:])


def test_what_a_process_may_read_holds_for_all_chunks_together(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a", data=noise((64, 64), "uint8"), chunks=(16, 16), compressors=None)
    with ziggurat.open(str(tmp_path / "a")) as image:
        try:
            allow(1000)
            image.read(0, (0, 0, 16, 40))
            with pytest.raises(TooManyBytes):
                image.read(0, (0, 0, 16, 40))
        finally:
            allow(None)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_damaged_documents_raise_no_foreign_error(tmp_path: Path, version: str) -> None:
    write_ome(tmp_path / "a.zarr", [noise((2, 40, 40), "uint8")], "cyx", version=version, chunks=(1, 20, 20))
    names = ["zarr.json", "0/zarr.json"] if version == "0.5" else [".zattrs", "0/.zarray"]
    documents = {name: json.loads((tmp_path / "a.zarr" / name).read_text()) for name in names}
    odd = st.sampled_from([None, -1, 0, 1, 1 << 70, 1e400, "", "x", [], [[]], {}, {"name": 1}, True])

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(names))
        changed = json.loads(json.dumps(documents[name]))
        places = list(_places(changed))
        holder, key = data.draw(st.sampled_from(places))
        holder[key] = data.draw(odd)
        write_json(tmp_path / "a.zarr" / name, changed)
        try:
            with ziggurat.open(str(tmp_path / "a.zarr"), memory=1 << 28) as image:
                image.read(0, (0, 0, 1, 1))
        except ZigguratError:
            pass
        finally:
            write_json(tmp_path / "a.zarr" / name, documents[name])

    check()


def _places(value: Any) -> Any:
    """Every place in a document, as what holds it and its key there."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


@pytest.mark.parametrize(
    "name", ["a\0b/zarr.json", "a\0b.zarr", "x" * 300 + "/zarr.json", "x" * 300 + ".zarr", "none/.zarray"]
)
def test_places_that_cannot_be_are_errors_of_ours(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError):
        ziggurat.open(f"{tmp_path}/{name}")


def test_other_zip_files_are_no_zarr(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "readme.txt").write_text("nothing")
    with pytest.raises(UnsupportedFeature, match="no Zarr"):
        open_reader(BytesSource(zipped(tmp_path / "a")))


def test_a_zarr_is_no_file_to_be_copied(tmp_path: Path) -> None:
    write_ome(tmp_path / "a.zarr", [noise((8, 8))], "yx", chunks=(8, 8))
    with ziggurat.open(str(tmp_path / "a.zarr")) as image, pytest.raises(SourceRefused, match="zip it"):
        image.source.read_ranges([])
    with pytest.raises(SourceRefused, match="no Zarr"):
        ziggurat.open(str(tmp_path))
