import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from s3_server import NEEDS_S3, S3Server
from ziggurat.errors import ChecksumMismatch, StoreUnavailable, TargetExists, WriteError
from ziggurat.storage import object_destination
from ziggurat.storage.destination import Digests, Stored, digests_of, open_destination
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.object_destination import part_size
from ziggurat.testing.fault_proxy import Fault, FaultProxy, Rule

pytestmark = NEEDS_S3
DATA = random.Random(5).randbytes(100_000)
BIG = random.Random(6).randbytes((33 << 20) + 17)
HASTY = NetworkOptions(timeout=8, stall_timeout=4, connect_timeout=4, retries=2, retry_timeout=8)
"""Soon enough for a fault that stays; a real server on a busy machine takes seconds for a first object."""


@pytest.fixture
def proxy(s3_env: S3Server) -> FaultProxy:
    return FaultProxy(s3_env.url)


@pytest.fixture
def publish(bucket: str, tmp_path: Path, proxy: FaultProxy) -> Callable[..., Stored]:
    """Publishes bytes as "a.tif" through the proxy."""

    def publish(data: bytes, *, overwrite: bool = False) -> Stored:
        place = open_destination(f"s3://{bucket}", scratch=tmp_path, network=replace(HASTY, endpoint=proxy.url))
        path = place.temporary("a.tif", "t")
        path.write_bytes(data)
        return place.publish(path, "a.tif", digests_of(path), overwrite=overwrite)

    return publish


@pytest.fixture
def stored(s3_env: S3Server, bucket: str) -> Callable[[], list[bytes]]:
    """What the bucket holds, read by another client."""

    def read() -> list[bytes]:
        client = s3_env.client
        keys = [item["Key"] for item in client.list_objects_v2(Bucket=bucket).get("Contents", [])]
        return [client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys]

    return read


type Publish = Callable[..., Stored]
type Read = Callable[[], list[bytes]]


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.RESET])
def test_a_fault_that_passes_is_survived(publish: Publish, stored: Read, proxy: FaultProxy, fault: Fault) -> None:
    with proxy:
        proxy.rules.append(Rule(fault, "PUT"))
        assert publish(DATA).size == len(DATA)
        assert proxy.struck() == 1
    assert stored() == [DATA]


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_upload_whose_answer_is_lost_is_recognised_as_done(
    publish: Publish, stored: Read, proxy: FaultProxy, *, overwrite: bool
) -> None:
    with proxy:
        proxy.rules.append(Rule(Fault.RESET_AFTER, "PUT"))
        result = publish(DATA, overwrite=overwrite)
        assert proxy.struck() == 1
    assert result.tag == f'"{hashlib.md5(DATA).hexdigest()}"'  # noqa: S324 - what S3 calls ETag
    assert stored() == [DATA]


def test_every_answer_lost_is_still_recognised_as_done(publish: Publish, stored: Read, proxy: FaultProxy) -> None:
    with proxy:
        proxy.rules.append(Rule(Fault.RESET_AFTER, "PUT", times=100))
        assert publish(DATA).size == len(DATA)
    assert stored() == [DATA]


def test_a_lost_answer_does_not_make_another_s_object_ours(
    publish: Publish, stored: Read, proxy: FaultProxy, s3_env: S3Server, bucket: str
) -> None:
    s3_env.client.put_object(Bucket=bucket, Key="a.tif", Body=DATA[::-1])
    with proxy:
        proxy.rules.append(Rule(Fault.RESET_AFTER, "PUT", times=100))
        with pytest.raises((TargetExists, StoreUnavailable)):
            publish(DATA)
    assert stored() == [DATA[::-1]]


def test_an_upload_damaged_on_its_way_is_refused(publish: Publish, stored: Read, proxy: FaultProxy) -> None:
    with proxy:
        proxy.rules.append(Rule(Fault.FLIP_UPLOAD, "PUT", times=100))
        with pytest.raises(ChecksumMismatch, match="again"):
            publish(DATA)
        assert proxy.struck() >= 1
    assert stored() == []


@pytest.mark.parametrize("size", [len(DATA), len(BIG)])
def test_a_damaged_upload_that_the_store_accepts_is_removed(
    publish: Publish, stored: Read, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(object_destination, "WHOLE", 1 << 20)
    # A checksum that this store ignores, and a signature that does not cover the body.
    monkeypatch.setenv("AWS_CHECKSUM_ALGORITHM", "CRC64NVME")
    monkeypatch.setenv("AWS_UNSIGNED_PAYLOAD", "true")
    with proxy:
        proxy.rules.append(Rule(Fault.FLIP_UPLOAD, "PUT"))
        with pytest.raises(ChecksumMismatch, match="removed"):
            publish(BIG[:size])
        assert proxy.struck() == 1
    assert stored() == []


def test_a_stalled_upload_is_given_up_in_time(publish: Publish, stored: Read, proxy: FaultProxy) -> None:
    with proxy:
        proxy.rules.append(Rule(Fault.STALL, "PUT", times=100))
        with pytest.raises(StoreUnavailable, match="try again later"):
            publish(DATA)
    assert stored() == []


def test_a_store_whose_etag_is_no_digest_is_read_back(
    publish: Publish, stored: Read, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = object_destination.ObjectDestination.exists

    def encrypted(self: object_destination.ObjectDestination, key: str) -> Stored | None:
        found = real(self, key)
        return None if found is None else Stored(found.size, '"0123456789abcdef0123456789abcdef"')

    monkeypatch.setattr(object_destination.ObjectDestination, "exists", encrypted)
    with proxy:
        publish(DATA)
        assert [request.method for request in proxy.seen].count("GET") > 0
        assert stored() == [DATA]
        proxy.rules.append(Rule(Fault.FLIP_DOWNLOAD, "GET", times=100))
        with pytest.raises(ChecksumMismatch, match="removed"):
            publish(DATA, overwrite=True)
    assert stored() == []


class TestParts:
    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(object_destination, "WHOLE", 1 << 20)

    def test_a_large_result_is_sent_in_parts_and_compared_without_reading_back(
        self, publish: Publish, stored: Read, proxy: FaultProxy
    ) -> None:
        with proxy:
            result = publish(BIG)
            assert not [request for request in proxy.seen if request.method == "GET"]
        assert result.tag.endswith('-3"')
        assert stored() == [BIG]

    def test_what_is_there_is_not_replaced_unasked(self, publish: Publish, stored: Read, proxy: FaultProxy) -> None:
        with proxy:
            publish(DATA)
            with pytest.raises(TargetExists):
                publish(BIG)
            assert stored() == [DATA]
            publish(BIG, overwrite=True)
        assert stored() == [BIG]

    def test_a_lost_answer_to_the_last_request_is_recognised_as_done(
        self, publish: Publish, stored: Read, proxy: FaultProxy
    ) -> None:
        with proxy:
            proxy.rules.append(Rule(Fault.RESET_AFTER, "POST", "uploadId="))
            assert publish(BIG).size == len(BIG)
        assert stored() == [BIG]

    def test_a_part_that_cannot_be_sent_leaves_nothing_behind(
        self, publish: Publish, stored: Read, proxy: FaultProxy, s3_env: S3Server, bucket: str
    ) -> None:
        with proxy:
            proxy.rules.append(Rule(Fault.UNAVAILABLE, "PUT", "partNumber=2", times=100))
            with pytest.raises(StoreUnavailable):
                publish(BIG)
        assert stored() == []
        assert not s3_env.client.list_multipart_uploads(Bucket=bucket).get("Uploads")


def test_a_bucket_that_is_not_there(tmp_path: Path, s3_env: S3Server) -> None:
    place = open_destination("s3://no-such-bucket", scratch=tmp_path, network=replace(HASTY, endpoint=s3_env.url))
    path = place.temporary("a.tif", "t")
    path.write_bytes(b"x")
    with pytest.raises(WriteError, match="NoSuchBucket"):
        place.publish(path, "a.tif", digests_of(path), overwrite=False)


def test_credentials_that_do_not_suffice(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    place = open_destination(f"s3://{bucket}", scratch=tmp_path)
    path = place.temporary("a.tif", "t")
    path.write_bytes(b"x")
    with pytest.raises(WriteError, match="SignatureDoesNotMatch"):
        place.publish(path, "a.tif", digests_of(path), overwrite=False)


@pytest.mark.parametrize("size", [1, 64 << 20, 156 << 30, 200 << 30, 5 << 40])
def test_no_upload_has_more_parts_than_a_store_takes(size: int) -> None:
    assert part_size(size) * 10_000 >= size
    assert 16 << 20 <= part_size(size) <= 5 << 30


def test_digests_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(BIG)
    sha256, md5 = hashlib.sha256(BIG).hexdigest(), hashlib.md5(BIG).hexdigest()  # noqa: S324 - as above
    assert digests_of(path) == Digests(sha256, md5, len(BIG))
    with pytest.raises(WriteError, match="removed"):
        digests_of(tmp_path / "none")
