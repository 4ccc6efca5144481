"""Packs in a store: few requests, from one image to many."""

import hashlib
from pathlib import Path
from random import Random

import pytest

from s3_server import NEEDS_S3, S3Server
from ziggurat.errors import SourceNotFound
from ziggurat.pack import Pack
from ziggurat.pack.entry import Kind
from ziggurat.pack.writer import Packable, PackWriter
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.pack_url import PackPlace
from ziggurat.storage.resolve import open_source
from ziggurat.testing.fault_proxy import FaultProxy

pytestmark = NEEDS_S3

COUNT = 40_000
KIND = Kind("jpeg", 64, 64, 3, "uint8", b"what all have in common" * 20)


def data_of(number: int) -> bytes:
    return KIND.head + Random(number).randbytes(600 + number % 300)


def key_of(number: int) -> str:
    return f"{number // 1000:03d}/{number:06d}.jpg"


@pytest.fixture(scope="module")
def store(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A bucket with a pack of 35 MB, and one with a large image."""
    folder = tmp_path_factory.mktemp("packs")
    with PackWriter(folder / "small.zpk") as writer:
        for number in range(COUNT):
            data = data_of(number)
            digest = hashlib.sha256(data).digest()
            writer.put(Packable(key_of(number), KIND, data[len(KIND.head) :], len(data), digest))
        writer.compact()
    with PackWriter(folder / "large.zpk") as writer:
        data = Random(0).randbytes(3_000_000)
        writer.put(Packable("a.bin", Kind(), data, len(data), hashlib.sha256(data).digest()))
    bucket = s3.make_bucket("packs")
    for path in folder.iterdir():
        s3.client.upload_file(str(path), bucket, path.name)
    return bucket


@pytest.fixture
def proxy(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> FaultProxy:
    with FaultProxy(s3.url, []) as proxy:
        for name, value in (s3.env | {"AWS_ENDPOINT_URL": proxy.url}).items():
            monkeypatch.setenv(name, value)
        yield proxy


def test_one_image_takes_five_requests_and_a_hundred_no_more_than_a_hundred_and_twenty(
    store: str, proxy: FaultProxy
) -> None:
    with Pack(f"s3://{store}/small.zpk") as pack:
        assert pack[key_of(12345)] == data_of(12345)
        first = len(proxy.seen)
        assert first <= 5
    proxy.seen.clear()
    with Pack(f"s3://{store}/small.zpk") as pack:
        keys = [key_of(Random(number).randrange(COUNT)) for number in range(100)]
        assert [pack[key] for key in keys] == [data_of(int(key[-10:-4])) for key in keys]
    assert len(proxy.seen) <= 120


def test_many_images_are_fetched_side_by_side(store: str, proxy: FaultProxy) -> None:
    with Pack(f"s3://{store}/small.zpk") as pack:
        keys = [key_of(Random(number).randrange(COUNT)) for number in range(300)]
        assert pack.batch(keys) == [data_of(int(key[-10:-4])) for key in keys]
        with pytest.raises(KeyError):
            pack.batch([*keys, "nothing"])
    assert len(proxy.seen) < 300


def test_all_keys_are_listed_in_few_requests(store: str, proxy: FaultProxy) -> None:
    with Pack(f"s3://{store}/small.zpk") as pack:
        assert list(pack.listing()) == [key_of(number) for number in range(COUNT)]
        assert len(pack) == COUNT
    assert len(proxy.seen) <= 10


def test_a_scan_reads_ahead(store: str, proxy: FaultProxy) -> None:
    with Pack(f"s3://{store}/small.zpk") as pack:
        for number, (key, data) in enumerate(pack.scan()):
            assert (key, data) == (key_of(number), data_of(number))
    assert len(proxy.seen) < 60


def test_a_large_image_is_fetched_in_few_requests_and_ranges_alone(store: str, proxy: FaultProxy) -> None:
    with Pack(f"s3://{store}/large.zpk") as pack:
        assert pack["a.bin"] == Random(0).randbytes(3_000_000)
    assert len(proxy.seen) <= 15


@pytest.mark.usefixtures("proxy")
def test_it_is_a_place_as_any_other(store: str, s3: S3Server) -> None:
    place = PackPlace(f"s3://{store}/small.zpk")
    source = open_source(place.key_url(key_of(7)))
    assert source.size == len(data_of(7))
    with pytest.raises(SourceNotFound):
        open_source(place.key_url("nothing"))
    with pytest.raises(SourceNotFound):
        Pack(f"s3://{store}/none.zpk", network=NetworkOptions(endpoint=s3.url))


def test_a_folder_of_packs_is_no_pack(tmp_path: Path) -> None:
    (tmp_path / "a.zpk").mkdir()
    with pytest.raises(Exception, match=r"a\.zpk"):
        Pack(tmp_path / "a.zpk")
