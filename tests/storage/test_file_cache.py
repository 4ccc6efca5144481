import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ziggurat.errors import SourceChanged, StoreFull, UsageError, WriteError
from ziggurat.storage import file_cache
from ziggurat.storage.file_cache import FileCache, cache_folder, cache_limit
from ziggurat.storage.local import LocalSource
from ziggurat.storage.ranges import ByteRange

KIB = 1 << 10


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    return FileCache(tmp_path / "cache", limit=20 * 64 * KIB)


def store(cache: FileCache, key: str, data: bytes) -> Path:
    return cache.put(key, lambda path: path.write_bytes(data) and None)


def held(cache: FileCache) -> int:
    return sum(path.stat().st_size for path in cache.folder.glob("??/*"))


def test_an_entry_is_found_again_by_its_key_alone(cache: FileCache) -> None:
    path = store(cache, "s3://b/ü?v=1\0\udcff", b"one")
    store(cache, "s3://b/ü?v=2", b"two")
    assert cache.get("s3://b/ü?v=1\0\udcff") == path
    assert path.read_bytes() == b"one"
    assert cache.get("s3://b/ü") is None


def test_looking_for_an_entry_makes_no_folder(cache: FileCache) -> None:
    assert cache.get("a") is None
    assert not cache.folder.exists()


def test_an_entry_put_again_replaces_the_older_one_and_its_readers_keep_theirs(cache: FileCache) -> None:
    with store(cache, "a", b"old").open("rb") as old:
        store(cache, "a", b"new")
        assert old.read() == b"old"
    assert cache.get("a").read_bytes() == b"new"  # type: ignore[union-attr]


def test_what_a_writer_raises_is_passed_on_and_nothing_is_kept(cache: FileCache) -> None:
    def write(path: Path) -> None:
        path.write_bytes(b"half")
        raise SourceChanged("the source changed")

    with pytest.raises(SourceChanged):
        cache.put("a", write)
    assert cache.get("a") is None
    assert not list((cache.folder / "new").iterdir())


def test_the_least_recently_used_go_first_and_the_limit_holds(cache: FileCache) -> None:
    for number in range(20):
        path = store(cache, str(number), bytes(64 * KIB))
        os.utime(path, (number, number))
        assert held(cache) <= cache.limit
    assert cache.get("0")
    store(cache, "more", bytes(64 * KIB))
    assert held(cache) <= cache.limit * file_cache.KEPT
    assert [cache.get(key) is not None for key in ("0", "1", "2", "3", "4", "19", "more")] == [
        True, False, False, False, True, True, True
    ]  # fmt: skip


def test_an_entry_open_while_it_is_evicted_stays_readable(cache: FileCache) -> None:
    path = store(cache, "old", b"o" * 64 * KIB)
    with path.open("rb") as file:
        for number in range(30):
            store(cache, str(number), bytes(64 * KIB))
        assert cache.get("old") is None
        assert file.read() == b"o" * 64 * KIB


def test_looking_for_an_entry_does_not_change_it_for_those_who_have_it_open(cache: FileCache) -> None:
    path = store(cache, "a", b"abc")
    source = LocalSource(path)
    assert cache.get("a")
    assert source.read_ranges([ByteRange(0, 3)]) == [b"abc"]


def test_small_entries_are_evicted_too(cache: FileCache) -> None:
    for number in range(60):
        store(cache, str(number), bytes(30 * KIB))
    assert cache.limit / 3 < held(cache) <= cache.limit


def test_a_cache_within_its_limit_is_not_walked(cache: FileCache, monkeypatch: pytest.MonkeyPatch) -> None:
    walks = []
    real = FileCache._entries
    monkeypatch.setattr(FileCache, "_entries", lambda self: walks.append(1) or real(self))
    for number in range(20):
        store(cache, str(number), bytes(64 * KIB))
    assert not walks
    for number in range(20, 120):
        store(FileCache(cache.folder, limit=cache.limit), str(number), bytes(64 * KIB))
    assert 20 <= len(walks) <= 50


def test_an_entry_that_can_never_fit_is_refused_and_evicts_nothing(cache: FileCache) -> None:
    store(cache, "a", b"a")
    with pytest.raises(StoreFull, match="ZIGGURAT_CACHE_SIZE"):
        store(cache, "b", bytes(cache.limit + 1))
    assert cache.get("a")
    store(cache, "c", bytes(cache.limit))
    assert cache.get("c")


def test_leftovers_of_killed_writers_go_after_a_while(cache: FileCache) -> None:
    store(cache, "a", b"a")
    old, young = cache.folder / "new" / "old", cache.folder / "new" / "young"
    for path in (old, young):
        path.write_bytes(b"half")
    past = time.time() - file_cache.ABANDONED - 10
    os.utime(old, (past, past))
    store(FileCache(cache.folder, limit=cache.limit), "b", b"b")
    assert not old.exists()
    assert young.exists()


def test_a_folder_that_cannot_be_made_is_a_clear_error_and_reading_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = FileCache(tmp_path / "file" / "cache", limit=1 << 20)
    assert cache.get("a") is None
    with pytest.raises(WriteError, match="file"):
        store(cache, "a", b"a")


def test_a_full_disk_is_a_clear_error(cache: FileCache) -> None:
    def write(path: Path) -> None:
        path.symlink_to("/dev/full")
        with path.open("wb", buffering=0) as file:
            file.write(b"a")

    with pytest.raises(StoreFull):
        cache.put("a", write)
    assert not list((cache.folder / "new").iterdir())


def test_a_cache_removed_by_its_user_is_made_again(cache: FileCache) -> None:
    path = store(cache, "a", b"a")
    subprocess.run(["rm", "-r", cache.folder], check=True)
    assert cache.get("a") is None
    assert store(cache, "a", b"b") == path


HAMMER = """
import random, sys
from pathlib import Path
from ziggurat.storage.file_cache import FileCache
cache = FileCache(Path(sys.argv[1]), limit=40 * 65536)
picks = random.Random(int(sys.argv[2]))
for turn in range(400):
    key = str(picks.randrange(100))
    found = cache.get(key)
    try:
        data = found.read_bytes() if found else None
    except FileNotFoundError:
        data = None
    if data is None:
        cache.put(key, lambda path: path.write_bytes(key.encode() * 30_000) and None)
    elif data != key.encode() * 30_000:
        sys.exit(f"{key} holds something else")
"""


def test_many_processes_at_once_see_whole_entries_only(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    processes = [subprocess.Popen([sys.executable, "-c", HAMMER, str(folder), str(seed)]) for seed in range(4)]
    assert [process.wait(timeout=60) for process in processes] == [0] * 4
    cache = FileCache(folder, limit=40 * 65536)
    assert cache.limit / 2 < held(cache) <= cache.limit * 1.1
    assert not list((folder / "new").iterdir())


KILLED = """
import sys, time
from pathlib import Path
from ziggurat.storage.file_cache import FileCache
def write(path):
    path.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
FileCache(Path(sys.argv[1]), limit=1 << 20).put("a", write)
"""


def test_a_writer_killed_at_its_work_leaves_no_entry(cache: FileCache) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, cache.folder], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
    assert cache.get("a") is None
    assert [path.read_bytes() for path in (cache.folder / "new").iterdir()] == [b"half"]
    assert store(cache, "a", b"whole").read_bytes() == b"whole"


def test_nobody_else_may_look_into_it(cache: FileCache) -> None:
    path = store(cache, "a", b"a")
    assert {folder.stat().st_mode & 0o777 for folder in (cache.folder, path.parent, cache.folder / "new")} == {0o700}


WAITING = """
import sys
from pathlib import Path
from ziggurat.storage.file_cache import FileCache
with FileCache(Path(sys.argv[1]), limit=1 << 20).alone("a"):
    print("alone", flush=True)
    sys.stdin.read(1)
"""


def test_one_process_at_a_time_is_alone_and_a_killed_one_no_longer(cache: FileCache) -> None:
    command = [sys.executable, "-c", WAITING, cache.folder]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as second,
    ):
        assert first.stdout
        assert second.stdout
        ready, _, _ = select.select([first.stdout, second.stdout], [], [], 30)
        assert len(ready) == 1
        other = second.stdout if first.stdout in ready else first.stdout
        assert not select.select([other], [], [], 0.5)[0]
        (first if first.stdout in ready else second).kill()
        assert other.readline() == b"alone\n"
        for process in (first, second):
            process.kill()


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder({}) == Path("/home/me/.cache/ziggurat")
    assert cache_folder({"XDG_CACHE_HOME": "relative"}) == Path("/home/me/.cache/ziggurat")
    assert cache_folder({"XDG_CACHE_HOME": "/x"}) == Path("/x/ziggurat")
    assert cache_folder({"XDG_CACHE_HOME": "/x", "ZIGGURAT_CACHE": "here"}) == Path("here")


def test_how_large_the_cache_may_be() -> None:
    assert cache_limit({}) == cache_limit({"ZIGGURAT_CACHE_SIZE": ""}) == 10 << 30
    assert cache_limit({"ZIGGURAT_CACHE_SIZE": "1.5G"}) == 3 << 29
    assert cache_limit({"ZIGGURAT_CACHE_SIZE": "0"}) == 0
    with pytest.raises(UsageError, match=r"ZIGGURAT_CACHE_SIZE.*lots"):
        cache_limit({"ZIGGURAT_CACHE_SIZE": "lots"})
