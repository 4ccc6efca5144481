"""Disks that fail and disks that are full: an error that says what to do, a pack that is whole, and packing goes on."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw
import pytest

from packs import SPANS, check_whole, image_of, packable
from watched_vfs import Operation, WatchedVfs, failure
from ziggurat.errors import SourceError, StoreFull, WriteError, ZigguratError
from ziggurat.pack import Pack
from ziggurat.pack.schema import Column
from ziggurat.pack.writer import Packable, PackWriter
from ziggurat.storage.local_destination import LocalDestination
from ziggurat.testing.sources import BytesSource

STEP = 1 if "ZIGGURAT_THOROUGH" in os.environ else 8
"""Every n-th call fails."""

FULL = apsw.SQLITE_FULL
FAULTS: dict[str, tuple[Operation, int]] = {
    "no room to write": ("write", FULL),
    "no write": ("write", apsw.SQLITE_IOERR_WRITE),
    "half a write": ("write", 0),
    "no read": ("read", apsw.SQLITE_IOERR_READ),
    "half a read": ("read", apsw.SQLITE_IOERR_SHORT_READ),
    "no sync": ("sync", apsw.SQLITE_IOERR_FSYNC),
    "no truncating": ("truncate", apsw.SQLITE_IOERR_TRUNCATE),
    "no removal": ("delete", apsw.SQLITE_IOERR_DELETE),
    "no opening": ("open", apsw.SQLITE_CANTOPEN),
}


class Faults:
    """Makes the n-th operation of a kind fail, once or from then on."""

    def __init__(self) -> None:
        self.lift()

    def lift(self) -> None:
        """Everything works again."""
        self.operation, self.code, self.nth, self.lasts = "", 0, -1, False
        self.seen = self.struck = 0

    def arm(self, operation: Operation, code: int, nth: int, *, lasts: bool) -> None:
        self.lift()
        self.operation, self.code, self.nth, self.lasts = operation, code, nth, lasts

    def watch(self, operation: Operation, _path: str) -> bool:
        if operation != self.operation:
            return False
        self.seen += 1
        if self.seen != self.nth and not (self.lasts and self.seen > self.nth):
            return False
        self.struck += 1
        if self.code:
            raise failure(self.code)
        return True


@pytest.fixture
def vfs() -> Iterator[Faults]:
    faults = Faults()
    registered = WatchedVfs(faults.watch)
    yield faults
    registered.unregister()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.zpk"


def stream(key: str, data: bytes) -> Packable:
    image = packable(key, data)
    return Packable(key, image.kind, BytesSource(data), len(data), image.sha256)


BASE = {f"a/{number}": image_of(number, 9000) for number in range(20)}
ADDED = {f"b/{number}": image_of(100 + number, 70_000) for number in range(6)}


def base(path: Path) -> None:
    """A pack with holes in it."""
    with PackWriter(path, columns=[Column("survey", "TEXT")]) as writer:
        for number in range(20):
            writer.put(packable(f"z/{number}", image_of(200 + number, 9000)))
        for key, data in BASE.items():
            writer.put(packable(key, data, spans=SPANS if key == "a/7" else (), survey="SDSS"))
        writer.commit()
        for number in range(20):
            writer.remove(f"z/{number}")


def add(writer: PackWriter) -> dict[str, bytes]:
    """Adds images in every way, commits in between, compacts; what is in the pack after each commit."""
    for key, data in list(ADDED.items())[:3]:
        writer.put(packable(key, data))
    writer.commit()
    writer.remove("a/3")
    writer.put(packable("a/4", image_of(4, 9000)), replace=True)
    writer.commit()
    for key, data in list(ADDED.items())[3:]:
        writer.put(stream(key, data))
    writer.put(packable("a/3", BASE["a/3"]))
    writer.commit()
    writer.compact()
    return BASE | ADDED


def present(path: Path) -> dict[str, bytes]:
    with Pack(path) as pack:
        return dict(pack)


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_fails_at_any_call_is_an_error_and_never_a_broken_pack(
    path: Path,
    vfs: Faults,
    fault: str,
    lasts: bool,  # noqa: FBT001 - a parameter
) -> None:
    base(path)
    before = path.read_bytes()
    failures = 0
    nth = 1
    while True:
        path.write_bytes(before)
        operation, code = FAULTS[fault]
        vfs.arm(operation, code, nth, lasts=lasts)
        try:
            with PackWriter(path) as writer:
                add(writer)
        except (WriteError, SourceError) as error:
            failures += 1
            check_message(error, path, full=code in {0, FULL})
        struck = vfs.struck
        vfs.lift()
        found = present(path)
        assert found.items() <= (BASE | ADDED).items()
        assert BASE.keys() - {"a/3"} <= found.keys()
        with PackWriter(path) as writer:
            add(writer)
        check_whole(path, BASE | ADDED)
        if not struck:
            break
        nth += STEP
    assert nth > STEP, "it never struck"
    assert failures or fault in {"no truncating", "no removal", "half a read", "no opening"}


def check_message(error: ZigguratError, path: Path, *, full: bool) -> None:
    text = str(error)
    assert str(path) in text
    assert any(advice in text for advice in ("run the same again", "try again", "check the disk", "check the name",
                                             "free space", "verify", "as somebody")), text  # fmt: skip
    if full:
        assert isinstance(error, StoreFull), text


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "half a read"])
def test_the_same_process_goes_on_when_the_disk_works_again(path: Path, vfs: Faults, fault: str) -> None:
    base(path)
    operation, code = FAULTS[fault]
    # What is shared with images that were undone must not be referred to by those that come behind.
    head = b"a head that many share"
    images = {f"h/{number}": head + image_of(number, 5000) for number in range(12)}
    with PackWriter(path) as writer:
        for nth in (1, 2, 3):
            vfs.arm(operation, code, nth, lasts=True)
            with suppress(WriteError, SourceError):
                for key, data in images.items():
                    writer.put(packable(key, data, head=head), replace=True)
                writer.commit()
            vfs.lift()
        for key, data in images.items():
            writer.put(packable(key, data, head=head), replace=True)
        writer.commit()
    check_whole(path, BASE | images)


def test_a_reader_whose_disk_fails_says_so_and_goes_on(path: Path, vfs: Faults) -> None:
    base(path)
    said = set()
    for nth in range(1, 30):
        vfs.arm("read", apsw.SQLITE_IOERR_READ, nth, lasts=True)
        with suppress(SourceError), Pack(path) as pack:
            for key, data in BASE.items():
                try:
                    assert pack[key] == data
                except SourceError as error:
                    said.add((type(error).__name__, str(error).rpartition("; ")[2]))
            vfs.lift()
            assert dict(pack) == BASE
        vfs.lift()
    assert said == {("StoreUnavailable", "check the disk")}


@contextmanager
def failing(name: str, code: int, nth: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The n-th call of a function of ``os`` fails."""
    real: Callable[..., object] = getattr(os, name)
    calls = 0

    def call(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, name, call)
        yield


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_folder_beside_the_pack_that_fails_is_an_error_and_leaves_nothing_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    images = {f"k/{number}": image_of(number, 3000) for number in range(3)}
    kind = StoreFull if code == errno.ENOSPC else WriteError
    with PackWriter(path, beside_over=2000) as writer:
        writer.put(packable("k/0", images["k/0"]))
        for nth in (1, 2, 3):
            with failing("fsync", code, nth, monkeypatch), suppress(kind):
                writer.put(packable("k/1", images["k/1"]))
                writer.remove("k/1")
        with monkeypatch.context() as patch:
            patch.setattr(LocalDestination, "temporary", lambda *_: Path("/dev/full"))
            patch.setattr(Path, "unlink", lambda *_, **__: None)
            if code == errno.ENOSPC:
                with pytest.raises(StoreFull, match="free space"):
                    writer.put(packable("k/1", images["k/1"]))
        assert not list(path.parent.rglob("*.part"))
        for key, data in images.items():
            writer.put(packable(key, data))
    check_whole(path, images)


FILL = """
import sys, resource, signal
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from packs import image_of, packable
from ziggurat.errors import StoreFull, WriteError
from ziggurat.pack.writer import PackWriter
path, beside = Path(sys.argv[1]), int(sys.argv[3])
safe = 0
if len(sys.argv) > 4:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))
try:
    with PackWriter(path, beside_over=beside) as writer:
        for number in range(1000):
            writer.put(packable(f"k/{number:04}", image_of(number, 60_000)))
            if number % 5 == 4:
                writer.commit()
                safe = number + 1
        raise SystemExit("the disk never was full")
except WriteError as error:
    print(safe, type(error).__name__, error)
if beside > 100_000 and len(sys.argv) == 4:
    try:
        with PackWriter(path) as writer:
            writer.compact()
        print("compacted")
    except StoreFull as error:
        print("full", error)
"""


@pytest.mark.parametrize("beside", [1_000_000, 50_000], ids=["inside", "beside"])
def test_a_really_full_disk_loses_only_what_was_not_committed(tmp_path: Path, beside: int) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    path = disk / "a.zpk"
    inner = f'mount -t tmpfs -o size=4m tmpfs {disk} && "$@"; code=$?; cp -a {disk} {kept}; exit $code'
    command = [sys.executable, "-c", FILL, str(path), str(Path(__file__).parents[1]), str(beside)]
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small disk")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", inner, "sh", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    safe, name, text = said[0].split(" ", 2)
    assert (name, "free space" in text) == ("StoreFull", True)
    assert int(safe) > 10
    if beside > 100_000:
        assert said[1].startswith("full"), "there is no room for another copy"
    check_safe(kept / "a.zpk", int(safe))


def test_a_limit_of_a_file_s_size_is_an_error_as_well(tmp_path: Path) -> None:
    path = tmp_path / "a.zpk"
    command = [sys.executable, "-c", FILL, str(path), str(Path(__file__).parents[1]), "1000000", str(3 << 20)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    safe, name, _ = done.stdout.split(" ", 2)
    assert name in {"WriteError", "StoreFull"}
    check_safe(path, int(safe))


def check_safe(path: Path, safe: int) -> None:
    """Proves that what was committed is there, and that the rest can be packed when there is room."""
    found = present(path)
    assert len(found) >= safe
    assert all(data == image_of(int(key[2:]), 60_000) for key, data in found.items())
    images = {f"k/{number:04}": image_of(number, 60_000) for number in range(70)}
    with PackWriter(path, beside_over=50_000) as writer:
        for key, data in images.items():
            writer.put(packable(key, data))
    check_whole(path, found | images)
    assert not list(path.parent.rglob("*.part"))
