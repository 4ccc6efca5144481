import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.errors import TargetRefused
from ziggurat.storage.names import check_key

TRICKS = [
    "",
    "/",
    "/etc/passwd",
    "//server/share",
    "..",
    "../a.jpg",
    "a/../b.jpg",
    "a/..",
    "a/../../b.jpg",
    ".",
    "./a.jpg",
    "a/./b.jpg",
    "a//b.jpg",
    "a/",
    "a.jpg/",
    "a\\b.jpg",
    "..\\a.jpg",
    "\\\\server\\share\\a.jpg",
    "C:\\a.jpg",
    "C:/a.jpg",
    "c:a.jpg",
    "a\0.jpg",
    "a\n.jpg",
    "a\r\n.jpg",
    "a\t.jpg",
    "a\x1b[2J.jpg",
    "a\x7f.jpg",
    "a\x85.jpg",
    "a\u2028.jpg",
    "a\u2029.jpg",
    "a\ud800.jpg",
    "\udcff.jpg",
    "a.",
    "a.jpg.",
    "...",
    "folder./a.jpg",
    "a ",
    " a",
    "folder /a.jpg",
    "a/ /b.jpg",
    "CON",
    "con.jpg",
    "a/Aux.tar.gz",
    "nul/a.jpg",
    "COM1",
    "lpt9.txt",
    "com¹.jpg",
    "x" * 256,
    "ü" * 128,
    "a/" + "x" * 256 + "/b",
    "/".join(["x" * 200] * 6),
    ".ziggurat-1.part",
    "a/.ziggurat-job/b.jpg",
]

GOOD = [
    "a",
    "a.jpg",
    "box 1/folder/0001.jpg",
    "ä/Ω/漢字.tif",
    "a..b/c...d.jpg",
    "..a/b",
    ".hidden",
    "-rf",
    "~",
    "%2e%2e/a",
    "a+b=c&d;e,f!g@h#i?j*k",
    "urn:nbn:de:1.jpg",
    "contents/auxiliary/com10.jpg",
    "x" * 255,
    "ü" * 127,
    "/".join(["x" * 204] * 5),
]


@pytest.mark.parametrize("key", TRICKS, ids=ascii)
def test_a_name_that_leads_elsewhere_or_cannot_be_stored_everywhere_is_refused(key: str) -> None:
    with pytest.raises(TargetRefused, match="change the manifest") as caught:
        check_key(key)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("key", GOOD, ids=ascii)
def test_an_unusual_but_harmless_name_is_accepted(key: str) -> None:
    check_key(key)


PARTS = st.sampled_from(["..", ".", "", "/", "\\", "a", "b c", "ü", " ", ".a", "\0", "con"])


@given(st.text() | st.lists(PARTS | st.text(), max_size=6).map("/".join))
def test_what_is_accepted_is_one_file_below_the_root_by_that_very_name(key: str) -> None:
    try:
        check_key(key)
    except TargetRefused:
        return
    path = os.path.normpath(f"/root/of/all/{key}")
    assert path == f"/root/of/all/{key}"
    assert str(Path("/root/of/all") / key) == path
    assert len(key.encode()) <= 1024
