import errno
import os
import socket
import time
from pathlib import Path

import pytest

from ziggurat.errors import SourceChanged, SourceNotFound, SourceRefused, StoreUnavailable, UsageError
from ziggurat.storage.local import LocalSource
from ziggurat.storage.ranges import ByteRange
from ziggurat.testing.source_contract import BYTES, OpenBytes, SourceContract


class TestContract(SourceContract):
    @pytest.fixture
    def open_bytes(self, tmp_path: Path) -> OpenBytes:
        def opened(data: bytes) -> LocalSource:
            path = tmp_path / "image.jp2"
            path.write_bytes(data)
            return LocalSource(path)

        return opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "a.jp2").write_bytes(BYTES)
    return tmp_path / "a.jp2"


def test_its_version_is_size_and_modification_time(path: Path) -> None:
    os.utime(path, ns=(1, 123_456_789_123_456_789))
    source = LocalSource(path)
    assert source.version.tag == "mtime:123456789123456789"
    assert source.version.size == len(BYTES)


@pytest.mark.parametrize("kind", ["shorter", "longer", "touched"])
def test_a_file_changed_while_open_is_noticed(path: Path, kind: str) -> None:
    source = LocalSource(path)
    if kind == "touched":
        os.utime(path, ns=(1, 2))
    else:
        os.truncate(path, 1000 if kind == "shorter" else len(BYTES) + 1)
    with pytest.raises(SourceChanged, match=r"a\.jp2"):
        source.read_ranges([ByteRange(500, 200_000)])


def test_a_file_removed_while_open_is_still_read(path: Path) -> None:
    source = LocalSource(path)
    path.unlink()
    assert source.read_ranges([ByteRange(5, 9)]) == [BYTES[5:9]]


def test_reads_that_come_in_pieces_are_joined(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda file, size, at: real(file, min(size, 1000), at))
    assert LocalSource(path).read_ranges([ByteRange(3, 5555)]) == [BYTES[3:5555]]


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        began = time.monotonic()
        for odd in (tmp_path / "pipe", tmp_path / "socket", tmp_path, Path("/dev/zero"), Path("/dev/tty")):
            with pytest.raises(SourceRefused):
                LocalSource(odd)
        assert time.monotonic() - began < 30


@pytest.mark.parametrize("name", ["none.jp2", "a.jp2/inside", "no/such/folder/a.jp2"])
def test_what_is_not_there_is_told_with_its_path(path: Path, name: str) -> None:
    with pytest.raises(SourceNotFound, match=name):
        LocalSource(path.parent / name)


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "\ud800"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceRefused):
        LocalSource(tmp_path / name)


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SourceRefused, match="loop"):
        LocalSource(tmp_path / "loop")


@pytest.mark.parametrize(
    ("code", "error"),
    [(errno.EACCES, SourceRefused), (errno.EIO, StoreUnavailable), (errno.ESTALE, StoreUnavailable)],
)
def test_what_the_system_says_becomes_an_error_of_a_source(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[Exception]
) -> None:
    def fail(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    source = LocalSource(path)
    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(error, match=os.strerror(code)):
        source.read_ranges([ByteRange(0, 1)])
    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(error, match=os.strerror(code)):
        LocalSource(path)


def test_files_are_given_back_even_if_nobody_closes_them(path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        LocalSource(path)
        with pytest.raises(SourceRefused):
            LocalSource(path.parent)
    # What others left open may have been given back meanwhile.
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_ranges_are_copied_into_another_file(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    other = tmp_path / "other"
    source = LocalSource(path)
    with other.open("wb", buffering=0) as target:
        target.write(b"before ")
        assert source.copy(ByteRange(3, len(data)), target.fileno())
    source.close()
    assert other.read_bytes() == b"before " + data[3:]


def test_what_the_system_does_not_copy_is_told_and_nothing_is_written(path: Path) -> None:
    end, pipe = os.pipe()
    source = LocalSource(path)
    assert not source.copy(ByteRange(0, 4), pipe)
    os.close(pipe)
    assert os.read(end, 10) == b""
    os.close(end)
    source.close()


def test_a_file_that_was_cut_is_not_copied_as_if_it_were_whole(path: Path, tmp_path: Path) -> None:
    size = path.stat().st_size
    source = LocalSource(path)
    os.truncate(path, size - 2)
    with (tmp_path / "other").open("wb", buffering=0) as target, pytest.raises(SourceChanged):
        source.copy(ByteRange(0, size), target.fileno())
    source.close()


def test_bytes_are_put_where_they_are_wanted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(BYTES)
    source = LocalSource(tmp_path / "a")
    room = bytearray(5000)
    source.read_into(77, memoryview(room))
    assert room == BYTES[77:5077]
    with pytest.raises(SourceChanged, match="ends at"):
        source.read_into(len(BYTES) - 10, memoryview(room))
    (tmp_path / "a").write_bytes(b"other")
    with pytest.raises(SourceChanged, match="changed"):
        source.read_into(0, memoryview(room)[:3])
    source.close()
    with pytest.raises(UsageError, match="closed"):
        source.read_into(0, memoryview(room))
