"""Scenarios of processes that are killed while they pack, each with a look at what they leave.

Arguments: a scenario's name, a folder, a number. Not a test: processes are forked, and die, by the hundred.
"""

import hashlib
import os
import random
import shutil
import signal
import sqlite3
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from packs import HEAD, SPANS, check_whole, image_of, packable
from watched_vfs import Operation, WatchedVfs
from ziggurat.errors import PackLocked, SourceNotFound, SourceRefused
from ziggurat.pack import Pack
from ziggurat.pack.schema import Column
from ziggurat.pack.writer import Packable, PackWriter
from ziggurat.storage.pack_url import PackPlace
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.resolve import open_source
from ziggurat.testing.sources import BytesSource

type State = Mapping[str, bytes]

BESIDE = 4000
"""Bytes of an image that lies beside the pack."""


def steps() -> list[tuple[Callable[[PackWriter], object], State]]:
    """Everything that a writer does, step by step, with what the pack holds after each."""
    state: dict[str, bytes] = {}
    made: list[tuple[Callable[[PackWriter], object], State]] = []

    def put(key: str, seed: int, length: int = 1500, how: str = "") -> None:
        head = HEAD if how == "head" else b""
        data = head + image_of(seed, length)
        image = packable(key, data, head=head, spans=SPANS if how == "spans" else (), survey="SDSS")
        if how == "stream":
            image = Packable(key, image.kind, BytesSource(data), len(data), image.sha256, image.attributes)
        state[key] = data
        made.append((lambda writer: writer.put(image, replace=True), dict(state)))

    def do(action: Callable[[PackWriter], object]) -> None:
        made.append((action, dict(state)))

    for number in range(5):
        put(f"a/{number}", number, how="head" if number > 2 else "")
    do(PackWriter.commit)
    put("b/coarse", 20, how="spans")
    put("b/beside", 21, BESIDE + 1)
    do(PackWriter.commit)
    put("b/large", 22, BESIDE - 1, how="stream")
    do(lambda writer: writer.add_columns([Column("more", "REAL")]))
    put("a/1", 30)
    do(lambda writer: writer.index_columns(["survey"]))
    put("b/beside", 31, BESIDE + 5, how="stream")
    put("b/coarse", 32, how="spans")
    del state["a/0"]
    do(lambda writer: writer.remove("a/0"))
    do(PackWriter.commit)
    for number in range(40, 60):
        put(f"c/{number}", number, 3000)
    do(PackWriter.commit)
    for number in range(40, 55):
        del state[f"c/{number}"]
        do(lambda writer, key=f"c/{number}": writer.remove(key))
    do(PackWriter.compact)
    put("d/last", 70)
    do(PackWriter.commit)
    return made


STEPS = steps()
FINAL = STEPS[-1][1]


def work(path: Path, report: Callable[[int], None] = lambda _: None, *, first: int = 0) -> None:
    """Does all steps, and says after which of them everything is safe."""
    with PackWriter(path, columns=[Column("survey", "TEXT")], beside_over=BESIDE) as writer:
        for number, (step, _) in enumerate(STEPS[first:], first):
            step(writer)
            if not writer._db.in_transaction:
                report(number)


def finish(path: Path) -> None:
    """Packs again: what is there already stays."""
    with PackWriter(path, columns=[Column("survey", "TEXT"), Column("more", "REAL")], beside_over=BESIDE) as writer:
        with Pack(path) as pack:
            left = pack.keys() - FINAL.keys()
        for key in left:
            writer.remove(key)
        for key, data in FINAL.items():
            writer.put(packable(key, data), replace=True)
    check_whole(path, FINAL)


def forked(body: Callable[[], None]) -> int:
    """Runs something in a process of its own; how that ended."""
    child = os.fork()
    if not child:
        code = 1
        try:
            body()
            code = 0
        except BaseException:  # noqa: BLE001 - the process ends here
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def held(path: Path) -> State:
    """What a pack holds, if it is sound."""
    with Pack(path) as pack:
        for entry in pack.entries():
            assert hashlib.sha256(pack[entry.key]).digest() == entry.sha256, entry.key
        found = dict(pack)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return found


def check_killed(path: Path, safe: int) -> None:
    """Proves that a pack holds what it did after the last step that was safe, or after a later one."""
    if safe < 0:
        # It may not have come so far as to be a pack.
        try:
            Pack(path).close()
        except SourceNotFound:
            return
        except SourceRefused as error:
            assert "is empty" in str(error) or not path.stat().st_size, error  # noqa: PT017 - or there is none
            return
    found = held(path)
    states = [state for _, state in STEPS[max(safe, 0) :]] + ([{}] if safe < 0 else [])
    assert found in states, f"safe was {safe}; {sorted(found)} is none of what was there after it"


class Killing:
    """Kills the process before the n-th change of a file.

    Args:
        folder: whose files are meant.
        nth: which change.
        power_too: what was written and not synced is lost in part, in each file from some write on.
    """

    def __init__(self, folder: Path, nth: int, *, power_too: bool) -> None:
        self._folder, self._nth, self._power_too = str(folder), nth, power_too
        self._calls = 0
        self._before: dict[str, list[bytes]] = {}

    def watch(self, operation: Operation, name: str) -> bool:
        """Called before each operation."""
        if operation in {"read", "open"} or not name.startswith(self._folder):
            return False
        self._calls += 1
        if self._calls == self._nth:
            self._lose()
            os.kill(os.getpid(), signal.SIGKILL)
        if self._power_too and Path(name).exists():
            states = self._before.setdefault(name, [])
            if operation in {"sync", "delete"}:
                states.clear()
            else:
                states.append(Path(name).read_bytes())
        return False

    def _lose(self) -> None:
        rng = random.Random(self._nth)
        for name, states in self._before.items():
            if states and Path(name).exists():
                Path(name).write_bytes(rng.choice([*states, Path(name).read_bytes()]))


def emptied(folder: Path) -> None:
    for left in folder.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def killed(folder: Path, number: int, *, power_too: bool) -> int:
    """Kills at every ``number``-th change of a file, looks, and packs again; how often that was."""
    path, log = folder / "a.zpk", folder / "log"
    for nth in range(1, 1 << 20, number):
        emptied(folder)

        def body(nth: int = nth) -> None:
            vfs = WatchedVfs(Killing(folder, nth, power_too=power_too).watch)
            with log.open("a") as file:
                work(path, lambda step: print(step, file=file, flush=True))
            vfs.unregister()

        ended = forked(body)
        if ended == 0:
            check_whole(path, FINAL)
            return nth // number
        assert ended == -signal.SIGKILL
        done = [int(line) for line in log.read_text().split()]
        # At times a writer is the first to come, at times a reader.
        if nth % 3 or power_too:
            check_killed(path, done[-1] if done else -1)
        finish(path)
    raise AssertionError("it never came to an end")


def kill_at_every_change(folder: Path, number: int) -> None:
    """As it says, in steps."""
    print(killed(folder, number, power_too=False))  # noqa: T201 - how it answers


def cut_power_at_every_change(folder: Path, number: int) -> None:
    """As it says, in steps."""
    print(killed(folder, number, power_too=True))  # noqa: T201 - how it answers


def kill_at_random(folder: Path, number: int) -> None:
    """Kills at moments that nobody chose."""
    path, log = folder / "a.zpk", folder / "log"
    choose = random.Random(os.environ.get("ZIGGURAT_SEED", time.time_ns()))
    kills = 0
    while kills < number:
        emptied(folder)
        child = os.fork()
        if not child:
            with log.open("a") as file:
                while True:
                    path.unlink(missing_ok=True)
                    file.truncate(0)
                    work(path, lambda number: print(number, file=file, flush=True))
        time.sleep(choose.uniform(0.002, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
        # The log may be that of the round before.
        check_killed(path, -1)
        finish(path)
    print(kills)  # noqa: T201 - how it answers


def hot_journal(path: Path) -> None:
    """A writer is killed in the middle of a commit."""
    writes = 0

    def watch(operation: Operation, name: str) -> bool:
        nonlocal writes
        writes += operation == "write" and name == str(path)
        if writes == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    def body() -> None:
        vfs = WatchedVfs(watch)
        with PackWriter(path) as writer:
            for key in list("xyz"):
                writer.put(packable(key, image_of(ord(key), 100_000)))
        vfs.unregister()

    assert forked(body) == -signal.SIGKILL
    assert Path(f"{path}-journal").read_bytes()[:1] != b"\0"


def readers_after_a_kill(folder: Path, _number: int) -> None:
    """Who may write undoes what a killed writer began, whenever he opened the pack; who may not is told."""
    folder.chmod(0o755)
    path = folder / "a.zpk"
    work(path)
    before = Pack(path)
    assert dict(before) == FINAL
    hot_journal(path)

    def may_not_write() -> None:
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        for _ in range(2):
            with pytest.raises(SourceRefused, match="as somebody who may write"):
                Pack(path)

    if os.geteuid():
        path.chmod(0o444)
        folder.chmod(0o555)
    assert forked(may_not_write) == 0
    path.chmod(0o644)
    folder.chmod(0o755)
    assert dict(before) == FINAL
    hot_journal(path)
    assert held(path) == FINAL

    def reads() -> None:
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        with Pack(path) as pack:
            assert dict(pack) == FINAL

    assert forked(reads) == 0
    before.close()
    finish(path)


GROUP = 8


def readers_while_writing(folder: Path, number: int) -> None:
    """A group of images is always replaced together; readers must never see a part of it replaced."""
    path = folder / "a.zpk"

    def write(writer: PackWriter, round_: int) -> None:
        for index in range(GROUP):
            data = round_.to_bytes(4) + image_of(round_ * GROUP + index, 3000 + 500 * (index % 3))
            writer.put(packable(f"k/{index}", data, spans=SPANS if index == 1 else ()), replace=True)
        writer.commit()

    with PackWriter(path, beside_over=3900) as writer:
        write(writer, 0)

    def read() -> None:
        seen = set()
        with Pack(path) as pack:
            while not (folder / "stop").exists():
                with pack.snapshot():
                    entries = list(pack.entries())
                    data = [pack[entry.key] for entry in entries]
                    time.sleep(0.001)
                    again = pack.batch([entry.key for entry in entries])
                assert data == again
                assert len(entries) == GROUP
                assert all(
                    hashlib.sha256(one).digest() == entry.sha256 for one, entry in zip(data, entries, strict=True)
                )
                rounds = {int.from_bytes(one[:4]) for one in data}
                assert len(rounds) == 1, rounds
                seen |= rounds
                assert len(pack[f"k/{GROUP - 1}"]) >= 3000
        assert len(seen) > 2, seen

    readers = [os.fork() for _ in range(2)]
    if not all(readers):
        code = 1
        try:
            read()
            code = 0
        finally:
            os._exit(code)
    with PackWriter(path, beside_over=3900) as writer:
        for round_ in range(1, number):
            write(writer, round_)
            if round_ % 20 == 0:
                writer.compact()
            time.sleep(0.002)
    (folder / "stop").touch()
    assert [os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1]) for reader in readers] == [0, 0]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def two_writers(folder: Path, _number: int) -> None:
    """The second one is told, whoever it is; and the first goes on unharmed."""
    path = folder / "a.zpk"
    with PackWriter(path) as writer:
        writer.put(packable("a", image_of(1)))

        def second() -> None:
            with pytest.raises(PackLocked, match="wait for it, or stop it and run this again"):
                PackWriter(path)

        second()
        assert forked(second) == 0
        with Pack(path) as pack:
            assert len(pack) == 0

        def foreign() -> None:
            locked = pytest.raises(sqlite3.OperationalError, match="locked")
            with closing(sqlite3.connect(path, timeout=0)) as db, locked:
                db.execute("BEGIN IMMEDIATE")

        # Nothing that this process did with the file since may have dropped the lock on it.
        assert forked(foreign) == 0
    check_whole(path, {"a": image_of(1)})
    with PackWriter(path) as writer:
        writer.put(packable("b", image_of(2)))
    check_whole(path, {"a": image_of(1), "b": image_of(2)})


def packs_across_a_fork(folder: Path, _number: int) -> None:
    """Threads of a forked process that all begin at once with a pack that was opened before."""
    path = folder / "a.zpk"
    work(path)
    with Pack(path) as pack:
        url = PackPlace(str(path)).key_url("a/1")
        with closing(open_source(url)) as source:
            assert len(pack) == len(FINAL)

            def child() -> None:
                gate = threading.Barrier(8)

                def read(key: str) -> bytes:
                    gate.wait()
                    with closing(open_source(url)) as again:
                        assert again.read_ranges([ByteRange(0, again.size)]) == [FINAL["a/1"]]
                    assert source.read_ranges([ByteRange(0, source.size)]) == [FINAL["a/1"]]
                    return pack[key]

                keys = list(FINAL)[:8]
                with ThreadPoolExecutor(8) as threads:
                    assert list(threads.map(read, keys)) == [FINAL[key] for key in keys]

            assert [forked(child) for _ in range(20)] == [0] * 20
            with pack.snapshot():
                assert forked(child) == 0
                assert dict(pack) == FINAL
        assert dict(pack) == FINAL


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
