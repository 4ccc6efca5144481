import errno
import os
from pathlib import Path

import pytest

from ziggurat.errors import TargetExists, TargetRefused, WriteError
from ziggurat.storage.destination import digests_of, open_destination, writing
from ziggurat.storage.local_destination import LocalDestination


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def staged(destination: LocalDestination, key: str, data: bytes = b"new") -> Path:
    path = destination.temporary(key, "t")
    path.write_bytes(data)
    return path


def test_the_temporary_file_lies_beside_its_target_where_a_rename_is_atomic(root: Path) -> None:
    assert LocalDestination(root).temporary("a/b/c.jpg", "17") == root / "a/b/.ziggurat-17.part"


def test_nothing_is_made_before_the_first_result(tmp_path: Path) -> None:
    destination = open_destination(str(tmp_path / "out"))
    assert destination.exists("a/b.jpg") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["../outside", "/", "inside/../../outside"])
def test_a_link_that_leads_out_is_refused_before_anything_is_made(root: Path, target: str) -> None:
    (root.parent / "outside").mkdir()
    (root / "inside").mkdir()
    (root / "link").symlink_to(target)
    destination = LocalDestination(root)
    with pytest.raises(TargetRefused, match="through a link"):
        destination.temporary("link/new/a.jpg", "t")
    assert list((root.parent / "outside").iterdir()) == []


def test_a_link_to_a_neighbour_with_the_same_beginning_leads_out(root: Path) -> None:
    (root.parent / "out-side").mkdir()
    (root / "link").symlink_to("../out-side")
    with pytest.raises(TargetRefused, match="through a link"):
        LocalDestination(root).check_name("link/a.jpg")


def test_a_link_that_stays_inside_is_followed(root: Path) -> None:
    (root / "real").mkdir()
    (root / "link").symlink_to("real")
    destination = LocalDestination(root)
    path = staged(destination, "link/a.jpg")
    destination.publish(path, "link/a.jpg", digests_of(path), overwrite=False)
    assert (root / "real/a.jpg").read_bytes() == b"new"


def test_the_destination_itself_may_be_a_link(root: Path) -> None:
    (root.parent / "alias").symlink_to("out")
    destination = LocalDestination(root.parent / "alias")
    path = staged(destination, "a.jpg")
    destination.publish(path, "a.jpg", digests_of(path), overwrite=False)
    assert (root / "a.jpg").read_bytes() == b"new"


def test_a_link_in_the_target_s_place_is_neither_followed_nor_replaced_unasked(root: Path) -> None:
    outside = root.parent / "precious"
    outside.write_bytes(b"old")
    (root / "a.jpg").symlink_to(outside)
    (root / "broken.jpg").symlink_to("nowhere")
    destination = LocalDestination(root)
    for key in ("a.jpg", "broken.jpg"):
        assert destination.exists(key) is not None
        path = staged(destination, key)
        with pytest.raises(TargetExists):
            destination.publish(path, key, digests_of(path), overwrite=False)
        destination.publish(path, key, digests_of(path), overwrite=True)
        assert not (root / key).is_symlink()
    assert outside.read_bytes() == b"old"


@pytest.mark.parametrize("rename", ["renameat2", "checked"])
@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_without_hard_links_nothing_is_replaced_either(
    root: Path, monkeypatch: pytest.MonkeyPatch, rename: str, code: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    if rename == "checked":
        monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: object())
    destination = LocalDestination(root)
    path = staged(destination, "a.jpg", b"first")
    destination.publish(path, "a.jpg", digests_of(path), overwrite=False)
    assert not path.exists()
    path = staged(destination, "a.jpg", b"second")
    with pytest.raises(TargetExists):
        destination.publish(path, "a.jpg", digests_of(path), overwrite=False)
    assert (root / "a.jpg").read_bytes() == b"first"


def test_file_and_folder_are_on_the_disk_before_publish_returns(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def note(file: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{file}").readlink()))
        real(file)

    monkeypatch.setattr(os, "fsync", note)
    destination = LocalDestination(root)
    path = staged(destination, "a/b/c.jpg")
    assert synced == [str(root), str(root / "a")]
    synced.clear()
    destination.publish(path, "a/b/c.jpg", digests_of(path), overwrite=False)
    assert synced == [str(path), str(root / "a/b")]


def test_a_full_disk_is_told_with_what_to_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    destination = LocalDestination(root)
    path = staged(destination, "a.jpg")
    digests = digests_of(path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="free space"):
        destination.publish(path, "a.jpg", digests, overwrite=False)
    assert not (root / "a.jpg").exists()


def test_a_real_full_device_is_told_the_same_way() -> None:
    with pytest.raises(WriteError, match=r"/dev/full.*free space"), writing("/dev/full"):
        Path("/dev/full").write_bytes(b"x")


def test_a_file_where_a_folder_is_needed(root: Path) -> None:
    (root / "a").write_bytes(b"")
    with pytest.raises(WriteError, match="a folder is needed"):
        LocalDestination(root).temporary("a/b.jpg", "t")


def test_a_folder_in_the_target_s_place(root: Path) -> None:
    (root / "a.jpg").mkdir()
    destination = LocalDestination(root)
    path = staged(destination, "a.jpg")
    with pytest.raises(TargetExists):
        destination.publish(path, "a.jpg", digests_of(path), overwrite=False)
    with pytest.raises(WriteError):
        destination.publish(path, "a.jpg", digests_of(path), overwrite=True)
    with pytest.raises(WriteError):
        destination.remove("a.jpg")
    assert path.exists()
