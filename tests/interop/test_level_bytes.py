"""What a store sends when a level is read, by its own log: the bytes of that level, and none of finer ones."""

from pathlib import Path

import icechunk
import imagecodecs
import numpy as np
import pytest
import zarr

import ziggurat
from s3_server import NEEDS_S3, S3Server
from ziggurat.cli import run
from ziggurat.interop.files import planes_at
from ziggurat.interop.references import references
from ziggurat.interop.virtual import VirtualLevels
from ziggurat.storage.object_store import PREFIX

pytestmark = NEEDS_S3

BALLOON = Path(__file__).parents[2] / "samples" / "balloon" / "balloon-kakadu.jp2"
TILE = 1024
HEADER = 4 << 10
"""Bytes that the header of a tile is fetched with."""


@pytest.fixture(scope="module", params=[True, False], ids=["lossless", "lossy"])
def photograph(
    request: pytest.FixtureRequest, s3: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The key of a photograph of 10 megapixels on the server, laid out in chunks; and its file."""
    folder = tmp_path_factory.mktemp("photograph")
    with ziggurat.open(str(BALLOON)) as image:
        pixels = image.read()
    path, laid = folder / "scan.j2c", folder / f"{'lossless' if request.param else 'lossy'}.j2c"
    options = {"reversible": True} if request.param else {"reversible": False, "level": 0.002}
    path.write_bytes(imagecodecs.htj2k_encode(pixels, tile=(TILE, TILE), resolutions=4, **options))
    assert run(["transcode", str(path), str(laid), "--layout", "chunks"]) == 0
    if "levels" not in [item["Name"] for item in s3.client.list_buckets()["Buckets"]]:
        s3.make_bucket("levels")
    s3.client.upload_file(str(laid), "levels", laid.name)
    return laid.name, laid


@pytest.fixture(autouse=True)
def _server(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    # What this machine keeps is not what the server sends.
    monkeypatch.setenv("ZIGGURAT_CACHE_SIZE", "0")


def test_a_store_sends_of_references_the_spans_of_a_level(
    photograph: tuple[str, Path], s3: S3Server, tmp_path: Path
) -> None:
    key, path = photograph
    assert run(["references", f"s3://levels/{key}", f"icechunk:{tmp_path / 'repository'}"]) == 0
    access = {"s3://levels/": icechunk.Credentials.S3(icechunk.s3_from_env_credentials())}
    repository = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(tmp_path / "repository")), authorize_virtual_chunk_access=access
    )
    group = zarr.open_group(repository.readonly_session("main").store, mode="r")
    planes = planes_at(str(path))
    counted = [int(level.length.sum()) for level in references(planes).levels]
    with ziggurat.open(str(path)) as image:
        for level in (0, 1, 3):
            before = len(s3.sent("levels", key))
            pixels = group[str(level)][...]
            sent = s3.sent("levels", key)[before:]
            assert sum(sent) == counted[level]
            expected = np.moveaxis(image.read(level), 2, 0)
            assert np.abs(pixels.astype(int) - expected).max() <= ("lossy" in key)
    planes.close()


def test_a_store_sends_little_more_than_a_level_to_virtual_levels(photograph: tuple[str, Path], s3: S3Server) -> None:
    key, _ = photograph
    for level in (0, 1, 3):
        before = len(s3.sent("levels", key))
        store = ziggurat.zarr_store(f"s3://levels/{key}", virtual=True, cache=0)
        array = zarr.open_group(store, mode="r")[str(level)]
        array[...]
        hierarchy = store.hierarchy
        assert isinstance(hierarchy, VirtualLevels)
        # However many threads read, the file is opened once; and of each tile the header comes first.
        tiles = hierarchy.grids[0].counts[-1] * hierarchy.grids[0].counts[-2]
        opening = PREFIX + tiles * HEADER
        sent = s3.sent("levels", key)[before:]
        assert hierarchy.read[level] <= sum(sent) <= hierarchy.read[level] + opening
        assert len(sent) <= 2 * tiles + 4
        store.close()
