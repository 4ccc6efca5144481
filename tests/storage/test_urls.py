import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.errors import UsageError
from ziggurat.storage.urls import Held, Remote, local_path, parse, path_url


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("a.jp2", Path("a.jp2")),
        ("/a b/%41.jp2", Path("/a b/%41.jp2")),
        ("~/a.jp2", Path("~/a.jp2")),
        ("file.jp2", Path("file.jp2")),
        ("urn:nbn:de:1.jp2", Path("urn:nbn:de:1.jp2")),
        ("C:/scans/a.jp2", Path("C:/scans/a.jp2")),
        ("s3:/a", Path("s3:/a")),
        ("file:///a%20b/%C3%BC.jp2", Path("/a b/ü.jp2")),
        ("file://localhost/a", Path("/a")),
        ("file:/a", Path("/a")),
        ("file:///%FF", Path(os.fsdecode(b"/\xff"))),
        ("s3://bucket/a//b%20c?d#e", Remote("s3", "bucket", "a//b%20c?d#e")),
        ("S3://bucket", Remote("s3", "bucket", "")),
        ("gs://bucket/k", Remote("gs", "bucket", "k")),
        ("az://container/k", Remote("az", "container", "k")),
        ("https://Host:8443/a%2Fb?x=%2F", Remote("https", "host:8443", "a%2Fb", "x=%2F")),
        ("http://[::1]:80/a", Remote("http", "[::1]:80", "a")),
        ("memory:x/y", Held("x/y")),
    ],
)
def test_every_kind_of_place(url: str, place: object) -> None:
    assert parse(url) == place
    assert local_path(url) == (place if isinstance(place, Path) else None)


@pytest.mark.parametrize(
    "url",
    ["", "ftp://host/a", "file://host/a", "file://host", "s3://", "s3:///key", "http:///a", "http://h:x/", "http://[/"],
)
def test_what_names_no_place_is_told(url: str) -> None:
    with pytest.raises(UsageError):
        parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@host/a",
        "https://user:secret@host:x/a",
        "s3://key:secret@bucket/a",
        "https://[bad/?sig=secret",
        "file://secret@host/a",
    ],
)
def test_a_url_that_is_refused_keeps_its_secrets(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(url)
    assert "secret" not in str(caught.value)


def test_a_query_is_not_part_of_what_is_shown() -> None:
    place = parse("https://host/a?sig=secret")
    assert isinstance(place, Remote)
    assert place.url == "https://host/a"


PATHS = st.binary(min_size=1).filter(lambda name: b"\0" not in name).map(os.fsdecode)
LIKE_URLS = st.builds(str.__add__, st.sampled_from(["file:/", "s3://", "memory:", "x://", "http://"]), PATHS)


@given(PATHS | LIKE_URLS)
def test_every_path_round_trips_through_text(name: str) -> None:
    path = Path(name)
    url = path_url(path)
    url.encode()
    back = local_path(url)
    assert back is not None
    assert os.path.normpath(back.absolute()) == os.path.normpath(path.absolute())


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0:"), min_size=1))
def test_a_path_that_is_text_is_its_own_name(name: str) -> None:
    assert path_url(Path(name)) == str(Path(name))
