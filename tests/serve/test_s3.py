"""A prefix of a real S3 server, served."""

import uuid
from collections.abc import Iterator

import numpy as np
import pytest

from jobs import encoded, picture
from s3_server import NEEDS_S3, S3Server
from serving import Server, serving

pytestmark = NEEDS_S3
PIXELS = picture(700, 900)


@pytest.fixture(scope="module")
def bucket(s3: S3Server) -> str:
    name = s3.make_bucket(f"serve-{uuid.uuid4().hex[:10]}")
    for key, pixels in (
        ("scans/a b/größe.jp2", PIXELS), ("scans/page 2.png", PIXELS[:50]), ("scans-old/x.png", PIXELS),
        ("x.png", PIXELS),
    ):  # fmt: skip
        s3.client.put_object(Bucket=name, Key=key, Body=encoded(pixels, key[-4:]))
    return name


@pytest.fixture(scope="module")
def remote(s3: S3Server, bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    cache = tmp_path_factory.mktemp("cache")
    with serving(f"s3://{bucket}/scans/", "--workers", 1, **s3.env, ZIGGURAT_CACHE=str(cache)) as server:
        yield server


def test_objects_are_images(remote: Server) -> None:
    answer = remote.get("/iiif/3/a%20b%2Fgr%C3%B6%C3%9Fe.jp2/100,50,300,200/max/0/default.png")
    assert answer.status == 200, answer.body
    assert np.array_equal(answer.pixels, PIXELS[50:250, 100:400])
    info = remote.get("/iiif/2/page%202.png/info.json").json
    assert (info["height"], info["width"]) == (50, 900)


def test_the_prefix_is_listed(remote: Server) -> None:
    items = remote.get("/presentation/3/collection.json").json["items"]
    assert [item["label"]["none"][0] for item in items] == ["a b", "page 2"]
    manifest = remote.get("/presentation/3/a%20b/manifest.json").json
    assert [canvas["height"] for canvas in manifest["items"]] == [700]


def test_nothing_beside_the_prefix_can_be_reached(remote: Server, bucket: str) -> None:
    for identifier in (
        "..%2Fx.png", "..%2Fscans-old%2Fx.png", "-old%2Fx.png", "%2Fx.png", "", "s3%3A%2F%2F" + bucket + "%2Fx.png",
        "none.png", "a%20b", "a%20b%2F", "page%202.png%3Fversion%3D1", "a%20b%2F..%2F..%2Fx.png",
    ):  # fmt: skip
        answer = remote.get(f"/iiif/3/{identifier}/info.json")
        assert answer.status == 404, (identifier, answer.body)
        assert bucket not in answer.body.decode() or bucket in identifier


def test_originals_are_handed_on(remote: Server) -> None:
    part = remote.get("/download/page%202.png", Range="bytes=0-7")
    assert (part.status, part.body) == (206, b"\x89PNG\r\n\x1a\n")
    assert remote.get("/download/page%202.png").body == encoded(PIXELS[:50], ".png")


def test_a_replaced_object_is_never_mixed_with_the_old_one(s3: S3Server, bucket: str, remote: Server) -> None:
    key = "scans/changing.png"
    s3.client.put_object(Bucket=bucket, Key=key, Body=encoded(PIXELS[:40], ".png"))
    assert remote.get("/iiif/3/changing.png/full/max/0/default.png").size == (40, 900)
    s3.client.put_object(Bucket=bucket, Key=key, Body=encoded(PIXELS[100:130], ".png"))
    answer = remote.get("/iiif/3/changing.png/0,0,10,10/max/0/default.png")
    expected = {200: None, 503: "SourceChanged"}
    assert expected[answer.status] == (None if answer.status == 200 else answer.json["error"])
    if answer.status == 200:
        assert np.array_equal(answer.pixels, PIXELS[:10, :10])
    else:
        again = remote.get("/iiif/3/changing.png/0,0,10,10/max/0/default.png")
        assert np.array_equal(again.pixels, PIXELS[100:110, :10])
