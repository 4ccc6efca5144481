"""The store as Zarr's own contract has it, and as those read it who build on Zarr."""

import pickle
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray
import zarr
from ome_zarr_models.v05 import Image as OmeImage
from zarr.core.buffer import Buffer, cpu, default_buffer_prototype
from zarr.core.sync import sync
from zarr.testing.store import StoreTests

import ziggurat
from tiled_pictures import PHOTOGRAPHS, as_array, write
from ziggurat.interop.multiscale import Grid
from ziggurat.interop.store import ImageStore


class Held:
    """A hierarchy of documents that tests put there."""

    def __init__(self, documents: dict[str, bytes]) -> None:
        self.documents: dict[str, bytes] = documents
        self.grids: Sequence[Grid] = ()

    def close(self) -> None:
        pass


class FilledStore(ImageStore):
    """The store under test, with a way to put documents into it."""

    supports_writes = True

    def __init__(self, documents: Mapping[str, bytes] | None = None, *, read_only: bool = False) -> None:
        self.held = Held(dict(documents or {}))
        super().__init__(self.held)
        self._is_open = False
        self._read_only = read_only

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FilledStore) and self.held.documents == other.held.documents

    __hash__ = None

    def __reduce__(self) -> tuple[Any, ...]:
        return FilledStore, (self.held.documents,)

    def with_read_only(self, read_only: bool = False) -> "FilledStore":  # noqa: FBT001, FBT002 - the contract's
        made = FilledStore(read_only=read_only)
        made.held.documents = self.held.documents
        return made

    async def set(self, key: str, value: Buffer) -> None:
        self._check_writable()
        self.held.documents[key] = value.to_bytes()


def _does_not_concern_reading(name: str) -> bool:
    return "delete" in name or "clear" in name or name.startswith(("test_set", "test_with_read_only"))


@pytest.mark.anyio
class TestContract(StoreTests[FilledStore, cpu.Buffer]):
    """Zarr's own tests of stores, but for those that write or delete."""

    anyio_backend = pytest.fixture(lambda _: "asyncio")
    store_cls = FilledStore
    buffer_cls = cpu.Buffer

    @pytest.fixture(autouse=True)
    def _reading(self, request: pytest.FixtureRequest) -> None:
        if _does_not_concern_reading(request.node.name):
            pytest.skip("the store is read-only")

    @pytest.fixture
    def store_kwargs(self) -> dict[str, Any]:
        return {}

    @pytest.fixture
    def store(self) -> FilledStore:
        made = FilledStore()
        made._is_open = True
        return made

    @pytest.fixture
    def store_not_open(self) -> FilledStore:
        return FilledStore()

    async def set(self, store: FilledStore, key: str, value: Buffer) -> None:
        store.held.documents[key] = value.to_bytes()

    async def get(self, store: FilledStore, key: str) -> Buffer:
        return self.buffer_cls.from_bytes(store.held.documents[key])

    def test_store_repr(self, store: FilledStore) -> None:
        assert "ImageStore" in repr(store)

    def test_store_supports_writes(self) -> None:
        assert not ImageStore.supports_writes

    def test_store_supports_listing(self, store: FilledStore) -> None:
        assert store.supports_listing


@pytest.fixture(params=[False, True], ids=["decoded", "virtual"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    return ziggurat.zarr_store(str(write(tmp_path, "jph")), virtual=request.param)


def listed(found: Any) -> list[str]:
    async def collect() -> list[str]:
        return [key async for key in found]

    return sync(collect())


def test_every_key_that_is_listed_is_there(store: ImageStore) -> None:
    keys = listed(store.list())
    assert len(keys) == len(set(keys))
    last = "/".join(str(count - 1) for count in store.hierarchy.grids[0].counts)
    assert {"zarr.json", "0/zarr.json", f"0/c/{last}"} <= set(keys)
    for key in keys:
        assert sync(store.exists(key))
        assert sync(store.get(key, default_buffer_prototype())) is not None
    walked, folders = [], [""]
    while folders:
        folder = folders.pop()
        for name in listed(store.list_dir(folder)):
            path = f"{folder}/{name}".lstrip("/")
            (walked if path in keys else folders).append(path)
    assert sorted(walked) == sorted(keys)
    for absent in (
        "0/c/0/3/0",
        "0/c/1/0/0",
        "9/zarr.json",
        "0/c/00/0/0",
        "0/c/0/0",
        "0/c/-1/0/0",
        "c/0",
        "0/c/0/0/0/0",
        "",
    ):
        assert not sync(store.exists(absent))
        assert sync(store.get(absent, default_buffer_prototype())) is None


def test_nothing_can_be_written(store: ImageStore) -> None:
    with pytest.raises(ValueError, match="read-only"):
        sync(store.set("0/c/0/0/0", cpu.Buffer.from_bytes(b"x")))
    with pytest.raises(ValueError, match="read-only"):
        sync(store.delete("zarr.json"))


def test_a_store_is_pickled_by_its_address(store: ImageStore, tmp_path: Path) -> None:
    again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
    assert again == store
    assert again != ziggurat.zarr_store(str(write(tmp_path, "j2k")))
    first = zarr.open_group(store, mode="r")["1"][...]
    assert np.array_equal(zarr.open_group(again, mode="r")["1"][...], first)


def test_images_in_memory_have_levels_too(tmp_path: Path) -> None:
    with ziggurat.open(str(write(tmp_path, "jph"))) as image:
        held = ziggurat.image.open_image(image.source)
        with held, ThreadPoolExecutor(4) as threads:
            array = held.to_zarr()["0"]
            rows = list(threads.map(lambda y: array[:, y : y + 50], range(0, 301, 50)))
            assert np.array_equal(np.concatenate(rows, axis=1), as_array(held.read()))
            with pytest.raises(TypeError, match="no address"):
                pickle.dumps(array.store)


def test_the_models_of_ome_zarr_accept_the_group(store: ImageStore) -> None:
    group = zarr.open_group(store, mode="r")
    image = OmeImage.from_zarr(group)
    [multiscale] = image.ome_attributes.multiscales
    assert [axis.name for axis in multiscale.axes] == ["c", "y", "x"]
    assert len(multiscale.datasets) == len(list(group.array_keys()))


def test_dask_and_xarray_read_levels(store: ImageStore, tmp_path: Path) -> None:
    group = zarr.open_group(store, mode="r")
    array = da.from_zarr(group["1"])
    with ziggurat.open(str(next(tmp_path.glob("jph*")))) as image:
        pixels = as_array(image.read(1))
    assert array.mean().compute() == pytest.approx(pixels.mean())
    # Levels have axes of the same names and of other lengths: a data set holds one of them.
    others = [name for name in group.array_keys() if name != "1"]
    data = xarray.open_dataset(store, engine="zarr", zarr_format=3, consolidated=True, drop_variables=others)
    assert data["1"].dims == ("c", "y", "x")
    assert np.array_equal(data["1"].values, pixels)


def test_any_format_is_a_store() -> None:
    url = str(PHOTOGRAPHS / "chelsea.png")
    group = zarr.open_group(ziggurat.zarr_store(url), mode="r")
    with ziggurat.open(url) as image:
        for name, array in group.arrays():
            assert np.array_equal(array[...], as_array(image.read(int(name))))
    window = group["0"][:, 100:200, 33:99]
    with ziggurat.open(url) as image:
        assert np.array_equal(window, as_array(image.read(0, (100, 33, 200, 99))))
