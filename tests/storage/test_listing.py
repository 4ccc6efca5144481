import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from s3_server import NEEDS_S3, S3Server
from ziggurat.errors import SourceNotFound, SourceRefused, UsageError
from ziggurat.storage.listing import list_sources
from ziggurat.storage.resolve import open_source

JP2 = (".jp2", ".j2k")


def keys(place: str | Path, suffixes: tuple[str, ...] | None = None) -> list[str]:
    return [item.key for item in list_sources(str(place), suffixes)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in ("b/2.jp2", "b/10.JP2", "a/x.tif", "a/deep/er/y.j2k", "top.jp2", "Z.jp2", "é.jp2"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def test_a_folder_is_listed_with_all_below_it_in_a_fixed_order(tree: Path) -> None:
    listing = list_sources(str(tree), JP2)
    found = list(listing)
    assert [item.key for item in found] == ["Z.jp2", "a/deep/er/y.j2k", "b/10.JP2", "b/2.jp2", "top.jp2", "é.jp2"]
    assert listing.skipped == [str(tree / "a/x.tif")]
    for item in found:
        source = open_source(item.url)
        assert (source.version.size, source.version.tag) == (item.size, item.tag)
        source.close()
    assert keys(f"{tree}/") == keys(tree)


def test_without_suffixes_all_is_kept_but_our_temporary_files(tree: Path) -> None:
    (tree / "a/.ziggurat-1.part").touch()
    (tree / "a/.hidden").touch()
    assert keys(tree / "a") == [".hidden", "deep/er/y.j2k", "x.tif"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jp2", ["Z.jp2", "top.jp2", "é.jp2"]),
        ("**/*.[jJ]*", ["Z.jp2", "a/deep/er/y.j2k", "b/10.JP2", "b/2.jp2", "top.jp2", "é.jp2"]),
        ("?/*", ["a/x.tif", "b/10.JP2", "b/2.jp2"]),
        ("a/**", ["deep/er/y.j2k", "x.tif"]),
    ],
)
def test_a_pattern(tree: Path, pattern: str, expected: list[str]) -> None:
    assert keys(tree / pattern) == expected


def test_a_pattern_in_the_current_folder(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert [(item.url, item.key) for item in list_sources("b/*.jp2")] == [("b/2.jp2", "2.jp2")]
    assert [item.url for item in list_sources("*.jp2")] == ["Z.jp2", "top.jp2", "é.jp2"]


def test_a_pattern_does_not_look_where_nothing_can_match(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    real = os.scandir

    def note(folder: str) -> "os._ScandirIterator[str]":
        looked.append(os.path.relpath(folder, tree))
        return real(folder)

    monkeypatch.setattr(os, "scandir", note)
    assert keys(tree / "b*/*.jp2") == ["b/2.jp2"]
    assert looked == [".", "b"]


def test_a_name_with_wildcards_that_exists_is_that_file(tree: Path) -> None:
    (tree / "scan[1].jp2").touch()
    (tree / "scan1.jp2").touch()
    assert keys(tree / "scan[1].jp2") == ["scan[1].jp2"]
    assert keys(tree / "scan[12].jp2") == ["scan1.jp2"]


def test_one_file(tree: Path) -> None:
    (item,) = list_sources(str(tree / "b/2.jp2"), JP2)
    assert (item.url, item.key, item.size) == (str(tree / "b/2.jp2"), "2.jp2", 7)


def test_links_are_followed_and_every_folder_listed_once(tree: Path) -> None:
    (tree / "a/up").symlink_to("..")
    (tree / "a/self").symlink_to("self")
    (tree / "c").symlink_to("b")
    (tree / "gone.jp2").symlink_to("nowhere")
    (tree / "link.jp2").symlink_to("b/2.jp2")
    listing = list_sources(str(tree), JP2)
    found = [item.key for item in listing]
    assert found == ["Z.jp2", "a/deep/er/y.j2k", "b/10.JP2", "b/2.jp2", "link.jp2", "top.jp2", "é.jp2"]
    assert sorted(listing.skipped) == sorted(map(str, [tree / "a/self", tree / "a/x.tif", tree / "gone.jp2"]))


def test_links_that_lead_out_of_given_folders_are_left_out(tree: Path) -> None:
    (tree / "a/away").symlink_to(tree / "b")
    (tree / "a/away.jp2").symlink_to(tree / "b/2.jp2")
    (tree / "a/near.jp2").symlink_to("deep/er/y.j2k")
    a, b = str(tree / "a"), str(tree / "b")
    assert [item.key for item in list_sources(a, JP2, within=[a])] == ["deep/er/y.j2k", "near.jp2"]
    both = [item.key for item in list_sources(a, JP2, within=[a, b])]
    assert both == ["away/10.JP2", "away/2.jp2", "away.jp2", "deep/er/y.j2k", "near.jp2"]
    assert [item.key for item in list_sources(a, JP2, within=["/"])] == both


def test_pipes_and_devices_are_left_out(tree: Path) -> None:
    os.mkfifo(tree / "pipe.jp2")
    (tree / "null.jp2").symlink_to("/dev/null")
    listing = list_sources(str(tree), JP2)
    assert not {"pipe.jp2", "null.jp2"} & {item.key for item in listing}
    assert {str(tree / "pipe.jp2"), str(tree / "null.jp2")} <= set(listing.skipped)
    with pytest.raises(SourceRefused, match="neither"):
        keys("/dev/null")


def test_names_that_are_no_text_can_be_opened_by_what_is_listed(tree: Path) -> None:
    Path(os.fsdecode(os.fsencode(tree) + b"/\xff.jp2")).write_bytes(b"123")
    (item,) = (item for item in list_sources(str(tree), JP2) if item.size == 3)
    assert item.url.startswith("file:///")
    assert item.url.encode().endswith(b"/%FF.jp2")
    open_source(item.url).close()


def test_folders_deeper_than_the_call_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [Path("/".join(["d"] * depth)) for depth in range(1, 1501)]
    for folder in folders:
        folder.mkdir()
    (folders[-1] / "a.jp2").touch()
    try:
        (item,) = list_sources("d")
        assert item.key.count("/") == 1499
    finally:  # pytest's own clean-up is recursive
        (folders[-1] / "a.jp2").unlink()
        for folder in reversed(folders):
            folder.rmdir()


@pytest.mark.parametrize("place", ["none", "none/*.jp2", "b/*.none", "none/"])
def test_nothing_there_is_an_error(tree: Path, place: str) -> None:
    with pytest.raises(SourceNotFound, match="check the"):
        keys(f"{tree}/{place}")


def test_an_empty_folder_is_none(tmp_path: Path) -> None:
    assert keys(tmp_path) == []


def test_memory_cannot_be_listed() -> None:
    with pytest.raises(UsageError):
        list_sources("memory:x")


class TestStore:
    pytestmark = NEEDS_S3

    @pytest.fixture
    def store(self, put: Callable[[str, bytes], str], bucket: str) -> str:
        for key in ("p/a/1.jp2", "p/a/2.JP2", "p/b c/ü+%41.jp2", "p/x.tif", "pq/no.jp2", "p/a", "p/folder/"):
            put(key, key.encode() if not key.endswith("/") else b"")
        return f"s3://{bucket}"

    def test_a_prefix_is_a_folder(self, store: str) -> None:
        listing = list_sources(f"{store}/p/", JP2)
        found = list(listing)
        assert [item.key for item in found] == ["a/1.jp2", "a/2.JP2", "b c/ü+%41.jp2"]
        assert f"{store}/p/x.tif" in listing.skipped
        for item in found:
            version = open_source(item.url).version
            assert (version.size, version.tag) == (item.size, item.tag)

    def test_with_or_without_slash_and_the_whole_bucket(self, store: str) -> None:
        assert keys(f"{store}/p", JP2) == keys(f"{store}/p/", JP2)
        assert keys(store, JP2) == keys(f"{store}/", JP2)
        assert keys(store, JP2) == ["p/a/1.jp2", "p/a/2.JP2", "p/b c/ü+%41.jp2", "pq/no.jp2"]

    def test_one_object_before_a_prefix_of_the_same_name(self, store: str) -> None:
        assert keys(f"{store}/p/a") == ["a"]
        assert keys(f"{store}/p/a/") == ["1.jp2", "2.JP2"]

    def test_a_pattern(self, store: str) -> None:
        assert keys(f"{store}/p/*/*.jp2") == ["a/1.jp2", "b c/ü+%41.jp2"]
        assert keys(f"{store}/p/**/*.tif") == ["x.tif"]

    def test_nothing_there_is_an_error(self, store: str) -> None:
        for place in ("none/", "none", "p/*.none"):
            with pytest.raises(SourceNotFound, match="check the"):
                keys(f"{store}/{place}")
        with pytest.raises(SourceNotFound, match="NoSuchBucket"):
            keys("s3://no-such-bucket/")

    def test_more_objects_than_one_page_holds(self, put: Callable[[str, bytes], str], bucket: str) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: put(f"many/{number:04}.jp2", b"x"), range(1005)))
        assert keys(f"s3://{bucket}/many") == [f"{number:04}.jp2" for number in range(1005)]

    def test_a_key_that_cannot_be_asked_for_is_not_passed_by_in_silence(
        self, put: Callable[[str, bytes], str], bucket: str
    ) -> None:
        put("odd//a.jp2", b"x")
        with pytest.raises(SourceRefused, match=r"odd//a\.jp2.*plain key"):
            keys(f"s3://{bucket}/odd")

    def test_a_public_web_address_is_one_file(self, store: str, s3_env: S3Server) -> None:
        bucket = store.removeprefix("s3://")
        s3_env.client.put_object_acl(Bucket=bucket, Key="p/a/1.jp2", ACL="public-read")
        (item,) = list_sources(f"{s3_env.url}/{bucket}/p/a/1.jp2", JP2)
        assert (item.key, item.size) == ("1.jp2", 9)
