import fnmatch
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.storage.pattern import is_pattern, parse_pattern


@pytest.mark.parametrize(
    ("path", "root", "yes", "no"),
    [
        ("a/b/*.jp2", "a/b", ["x.jp2", ".jp2"], ["x.JPG", "c/x.jp2"]),
        ("*/x", "", ["a/x"], ["x", "a/b/x"]),
        ("/*.jp2", "/", ["x.jp2"], ["a/x.jp2"]),
        ("/a/**/*.jp2", "/a", ["x.jp2", "b/c/x.jp2"], ["x.tif"]),
        ("a/**", "a", ["x", "b/c"], []),
        ("**/b/*", "", ["b/x", "a/b/x", "a/b/b/x"], ["b", "a/x"]),
        ("a/**/b/**/c", "a", ["b/c", "x/b/y/z/c"], ["c", "b/x"]),
        ("a/[0-9]?.tif", "a", ["1x.tif"], ["xx.tif", "1.tif"]),
        ("a/[!x]", "a", ["y"], ["x"]),
        ("a/b*/c", "a", ["b/c", "bb/c"], ["b/d", "c/c"]),
    ],
)
def test_wildcards(path: str, root: str, yes: list[str], no: list[str]) -> None:
    pattern = parse_pattern(path)
    assert pattern.root == root
    assert [key for key in yes if not pattern.matches(key)] == []
    assert [key for key in no if pattern.matches(key)] == []


def test_many_double_stars_take_no_more_than_linear_time() -> None:
    pattern = parse_pattern("/".join(["**", "a"] * 40) + "/x")
    assert not pattern.matches("/".join(["a"] * 400))


@pytest.mark.parametrize(("path", "expected"), [("a/b.jp2", False), ("a[1]", True), ("*", True), ("a?", True)])
def test_tells_patterns_from_paths(path: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of a test
    assert is_pattern(path) is expected


PARTS = st.lists(st.sampled_from(["**", "*", "a", "b", "a*", "?"]), min_size=1, max_size=4).map("/".join)
KEYS = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=5)


def by_definition(parts: list[str], names: list[str]) -> bool:
    if not parts:
        return not names
    if parts[0] == "**":
        return any(by_definition(parts[1:], names[start:]) for start in range(len(names) + 1))
    return bool(names) and fnmatch.fnmatchcase(names[0], parts[0]) and by_definition(parts[1:], names[1:])


@given(PARTS.filter(is_pattern), KEYS)
def test_matches_by_definition_and_never_passes_by_a_folder_that_holds_a_match(path: str, names: list[str]) -> None:
    pattern = parse_pattern(path)
    rest = path.split("/")[len(pattern.root.split("/")) if pattern.root else 0 :]
    expected = by_definition(rest + ["*"] * (rest[-1] == "**"), names)
    assert pattern.matches("/".join(names)) is expected
    if expected:
        folders = itertools.accumulate(names[:-1], "{}/{}".format)
        assert all(pattern.may_hold(folder) for folder in folders)
