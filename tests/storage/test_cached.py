import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

import ziggurat
from s3_server import NEEDS_S3, S3Server
from ziggurat.errors import SourceChanged
from ziggurat.pyramid import halve, made
from ziggurat.storage import cached
from ziggurat.storage.cached import BLOCK, CachedSource
from ziggurat.storage.file_cache import FileCache
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.protocol import ByteSource, SourceVersion
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.resolve import identity, open_source
from ziggurat.testing.fault_proxy import Fault, FaultProxy, Rule
from ziggurat.testing.source_contract import BYTES, OpenBytes, SourceContract
from ziggurat.testing.sources import BytesSource, CountingSource


class Versioned(BytesSource):
    """Bytes under a version that the test chooses."""

    def __init__(self, data: bytes, tag: str = '"1"') -> None:
        super().__init__(data)
        self.tag = tag

    @property
    def version(self) -> SourceVersion:
        return SourceVersion(self.size, self.tag)


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    return FileCache(tmp_path / "cache", limit=1 << 30)


def opened(cache: FileCache, data: bytes = BYTES, tag: str = '"1"') -> tuple[CountingSource, CachedSource]:
    counting = CountingSource(Versioned(data, tag))
    return counting, CachedSource(counting, cache, identity="here")


class TestColdContract(SourceContract):
    @pytest.fixture
    def open_bytes(self, cache: FileCache) -> OpenBytes:
        return lambda data: CachedSource(BytesSource(data), cache, identity="here")


class TestWarmContract(SourceContract):
    @pytest.fixture
    def open_bytes(self, cache: FileCache) -> OpenBytes:
        def warm(data: bytes) -> ByteSource:
            CachedSource(BytesSource(data), cache, identity="here").read_ranges([ByteRange(0, len(data))])
            return CachedSource(BytesSource(data), cache, identity="here")

        return warm


class TestContractWithoutACacheThatWorks(SourceContract):
    @pytest.fixture
    def open_bytes(self, tmp_path: Path) -> OpenBytes:
        (tmp_path / "file").write_bytes(b"")
        broken = FileCache(tmp_path / "file" / "cache", limit=1 << 30)
        return lambda data: CachedSource(BytesSource(data), broken, identity="here")


def test_the_second_reader_asks_for_nothing(cache: FileCache) -> None:
    wanted = [ByteRange(10, 20), ByteRange(70_000, 200_000)]
    first, source = opened(cache)
    assert source.read_ranges(wanted) == [BYTES[10:20], BYTES[70_000:200_000]]
    assert first.requests == 1
    second, source = opened(cache)
    assert source.read_ranges(wanted) == [BYTES[10:20], BYTES[70_000:200_000]]
    assert second.requests == 0


def test_what_is_missing_comes_in_one_batch_of_whole_blocks(cache: FileCache) -> None:
    _, source = opened(cache)
    source.read_ranges([ByteRange(BLOCK, BLOCK + 1)])
    counting, source = opened(cache)
    source.read_ranges([ByteRange(4 * BLOCK + 9, len(BYTES)), ByteRange(1, 3 * BLOCK - 1), ByteRange(5, 6)])
    assert counting.requests == 1
    assert counting.ranges == [
        ByteRange(0, BLOCK), ByteRange(2 * BLOCK, 3 * BLOCK), ByteRange(4 * BLOCK, len(BYTES))
    ]  # fmt: skip


def test_another_version_finds_nothing_of_the_old_one(cache: FileCache) -> None:
    opened(cache)[1].read_ranges([ByteRange(0, len(BYTES))])
    other = bytes(len(BYTES))
    counting, source = opened(cache, other, '"2"')
    assert source.read_ranges([ByteRange(5, 10)]) == [bytes(5)]
    assert counting.requests == 1
    counting, source = opened(cache, BYTES + b"more")
    source.read_ranges([ByteRange(5, 10)])
    assert counting.requests == 1


@pytest.mark.parametrize("tag", ['W/"1"', "modified:now"])
def test_what_has_no_certain_version_is_not_kept(cache: FileCache, tag: str) -> None:
    tag = tag.replace("now", str(int(time.time())))
    for _ in range(2):
        counting, source = opened(cache, tag=tag)
        assert source.read_ranges([ByteRange(5, 10)]) == [BYTES[5:10]]
        assert counting.ranges == [ByteRange(5, 10)]
    assert not cache.folder.exists()


def test_a_last_change_long_ago_is_a_version(cache: FileCache) -> None:
    opened(cache, tag="modified:1700000000")[1].read_ranges([ByteRange(5, 10)])
    counting, source = opened(cache, tag="modified:1700000000")
    source.read_ranges([ByteRange(5, 10)])
    assert not counting.requests


def _entries(cache: FileCache) -> list[Path]:
    return [path for path in cache.folder.glob("??/*") if path.is_file()]


TABLE = 4 * cached.REGION


@pytest.mark.parametrize(
    ("damage", "fetched"),
    [
        ("cut", [ByteRange(BLOCK, 2 * BLOCK)]),
        ("empty", [ByteRange(0, 2 * BLOCK)]),
        ("half a table", [ByteRange(0, 2 * BLOCK)]),
        ("bit", [ByteRange(0, BLOCK)]),
        ("checksum", [ByteRange(BLOCK, 2 * BLOCK)]),
        ("no checksum", [ByteRange(0, BLOCK)]),
        ("swapped", [ByteRange(0, 2 * BLOCK)]),
        ("folder", [ByteRange(0, 2 * BLOCK)]),
    ],
)
def test_a_damaged_block_is_noticed_and_fetched_again(  # noqa: C901 - one case for each damage
    cache: FileCache, damage: str, fetched: list[ByteRange]
) -> None:
    opened(cache)[1].read_ranges([ByteRange(0, 2 * BLOCK)])
    (path,) = _entries(cache)
    data = bytearray(path.read_bytes())
    assert len(data) == TABLE + 2 * BLOCK
    match damage:
        case "cut":
            del data[-1]
        case "empty":
            data.clear()
        case "half a table":
            del data[2:]
        case "bit":
            data[TABLE + 100] ^= 1
        case "checksum":
            data[5] ^= 1
        case "no checksum":
            data[:4] = bytes(4)
        case "swapped":
            data[:8] = data[4:8] + data[:4]
            data[TABLE:] = data[TABLE + BLOCK :] + data[TABLE : TABLE + BLOCK]
        case "folder":
            path.unlink()
            path.mkdir()
    if damage != "folder":
        path.write_bytes(data)
    counting, source = opened(cache)
    assert source.read_ranges([ByteRange(5, 2 * BLOCK - 5)]) == [BYTES[5 : 2 * BLOCK - 5]]
    assert counting.ranges == fetched
    if damage != "folder":
        counting, source = opened(cache)
        assert source.read_ranges([ByteRange(5, 2 * BLOCK - 5)]) == [BYTES[5 : 2 * BLOCK - 5]]
        assert not counting.requests


def test_blocks_far_apart_take_the_room_of_blocks_and_few_files(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", limit=1 << 30)
    data = bytes(range(256)) * (5 * BLOCK)
    _, source = opened(cache, data)
    step = len(data) // 20
    for start in range(0, len(data), step):
        source.read_ranges([ByteRange(start, start + 10)])
    assert len(_entries(cache)) == -(-len(data) // (cached.REGION * BLOCK))
    assert sum(path.stat().st_blocks * 512 for path in _entries(cache)) < 22 * (BLOCK + 4 * 4096) + TABLE


def test_what_is_evicted_while_others_write_it_is_kept_anew(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", limit=64 * BLOCK)
    data = random.Random(1).randbytes(40 * BLOCK)
    other = random.Random(2).randbytes(40 * BLOCK)
    for number in range(0, 40, 4):
        for tag, held in (('"1"', data), ('"2"', other)):
            _, source = opened(cache, held, tag)
            wanted = ByteRange(number * BLOCK, (number + 4) * BLOCK)
            assert source.read_ranges([wanted]) == [held[wanted.start : wanted.end]]
        assert sum(path.stat().st_blocks * 512 for path in _entries(cache)) <= cache.limit


WRITER = """
import random, sys
from pathlib import Path
from ziggurat.storage.cached import BLOCK, CachedSource
from ziggurat.storage.file_cache import FileCache
from ziggurat.storage.ranges import ByteRange
from ziggurat.testing.sources import BytesSource
data = random.Random(5).randbytes(60 * BLOCK)
rng = random.Random(int(sys.argv[2]))
for turn in range(150):
    source = CachedSource(BytesSource(data), FileCache(Path(sys.argv[1]), limit=48 * BLOCK), identity="here")
    start = rng.randrange(len(data) - 6 * BLOCK)
    wanted = ByteRange(start, start + rng.randrange(6 * BLOCK))
    assert source.read_ranges([wanted]) == [data[wanted.start : wanted.end]]
"""


def test_processes_that_read_write_and_evict_at_once_get_the_bytes_of_the_source(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "cache")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen([*command, str(seed)], env=environment) for seed in range(4)]
    assert [process.wait() for process in processes] == [0] * 4


def test_a_large_read_is_passed_through_and_not_kept(cache: FileCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached, "LARGEST", 100_000)
    counting, source = opened(cache)
    wanted = [ByteRange(1, 60_001), ByteRange(100_000, 140_001)]
    assert source.read_ranges(wanted) == [BYTES[1:60_001], BYTES[100_000:140_001]]
    assert counting.ranges == wanted
    assert not cache.folder.exists()


def test_a_cache_that_cannot_be_written_to_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_bytes(b"")
    counting, source = opened(FileCache(tmp_path / "file" / "cache", limit=1 << 30))
    for _ in range(2):
        assert source.read_ranges([ByteRange(0, 3 * BLOCK)]) == [BYTES[: 3 * BLOCK]]
    assert counting.requests == 2
    assert len(caplog.messages) == 1
    assert "file" in caplog.messages[0]


RANGE = st.tuples(st.integers(0, 5 * BLOCK), st.integers(0, 2 * BLOCK))
MANY = random.Random(3).randbytes(5 * BLOCK + 77)


@settings(max_examples=60, deadline=None)
@given(calls=st.lists(st.lists(RANGE, max_size=4), max_size=6))
def test_any_reads_in_any_order_give_the_bytes_of_the_source(
    tmp_path_factory: pytest.TempPathFactory, calls: list[list[tuple[int, int]]]
) -> None:
    cache = FileCache(tmp_path_factory.mktemp("c"), limit=1 << 30)
    counting, source = opened(cache, MANY)
    for call in calls:
        ranges = [ByteRange(start, min(start + length, len(MANY))) for start, length in call]
        assert source.read_ranges(ranges) == [MANY[item.start : item.end] for item in ranges]
    assert counting.bytes_read <= len(MANY)


def test_a_place_is_known_by_all_that_tells_it_from_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.tif").symlink_to("a.tif")
    assert identity("a.tif") == identity("link.tif") == identity(f"file://{tmp_path}/a.tif") == str(tmp_path / "a.tif")
    assert identity("memory:a") is None
    assert identity("http://h/a?file=1") != identity("http://h/a?file=2")
    here, there = (NetworkOptions(endpoint=f"http://{host}") for host in ("here", "there"))
    assert identity("s3://b/k", network=here) != identity("s3://b/k", network=there)


class TestOfAStore:
    """Over a real store."""

    pytestmark = NEEDS_S3

    def test_only_the_first_reader_fetches_pixels(
        self, cache: FileCache, put: Callable[[str, bytes], str], s3_env: S3Server
    ) -> None:
        url = put("a.tif", BYTES)
        with FaultProxy(s3_env.url) as proxy:
            network = NetworkOptions(endpoint=proxy.url)
            wanted = [ByteRange(200_000, 250_000)]
            assert open_source(url, network=network, cache=cache).read_ranges(wanted) == [BYTES[200_000:250_000]]
            again = open_source(url, network=network, cache=cache)
            proxy.rules.append(Rule(Fault.UNAVAILABLE, times=100))
            assert again.read_ranges(wanted) == [BYTES[200_000:250_000]]
            assert not proxy.struck()

    def test_an_object_replaced_while_it_is_open_is_noticed(
        self, cache: FileCache, put: Callable[[str, bytes], str]
    ) -> None:
        url = put("a.tif", BYTES)
        source = open_source(url, cache=cache)
        source.read_ranges([ByteRange(100_000, 100_001)])
        put("a.tif", bytes(len(BYTES)))
        assert source.read_ranges([ByteRange(100_001, 100_002)]) == [BYTES[100_001:100_002]]
        with pytest.raises(SourceChanged):
            source.read_ranges([ByteRange(100_001, 100_002), ByteRange(200_001, 200_002)])
        anew = open_source(url, cache=cache)
        assert anew.read_ranges([ByteRange(100_000, 200_002)]) == [bytes(100_002)]

    def test_an_image_opened_by_url_is_kept_unless_told_otherwise(
        self, put: Callable[[str, bytes], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((300, 500), np.uint8))
        url = put("a.tif", (tmp_path / "a.tif").read_bytes())
        monkeypatch.setenv("ZIGGURAT_CACHE", str(tmp_path / "cache"))
        for size, cache in (("1G", False), ("0", True)):
            monkeypatch.setenv("ZIGGURAT_CACHE_SIZE", size)
            with ziggurat.open(url, cache=cache) as image:
                image.read()
        assert not (tmp_path / "cache").exists()
        monkeypatch.setenv("ZIGGURAT_CACHE_SIZE", "1G")
        with ziggurat.open(url) as image:
            image.read()
        assert list((tmp_path / "cache").glob("??/*"))

    def test_levels_of_a_remote_image_are_made_once_and_its_pixels_read_once(
        self, put: Callable[[str, bytes], str], s3_env: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pixels = np.random.default_rng(1).integers(0, 255, (1500, 1100), np.uint8)
        tifffile.imwrite(tmp_path / "a.tif", pixels, rowsperstrip=8)
        url = put("a.tif", (tmp_path / "a.tif").read_bytes())
        monkeypatch.setenv("ZIGGURAT_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(made, "MODEST", 0)
        with FaultProxy(s3_env.url) as proxy:
            monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
            for _ in range(2):
                with ziggurat.open(url) as image:
                    np.testing.assert_array_equal(image.read(1), halve(pixels[:, :, None]))
                proxy.rules.append(Rule(Fault.UNAVAILABLE, after=1, times=100))
            assert not proxy.struck()
