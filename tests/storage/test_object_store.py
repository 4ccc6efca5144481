import random
from collections.abc import Callable

import pytest

from s3_server import NEEDS_S3, S3Server
from ziggurat.errors import SourceChanged, SourceNotFound, SourceRefused, StoreUnavailable
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.resolve import open_source
from ziggurat.testing.fault_proxy import Fault, FaultProxy, Rule
from ziggurat.testing.source_contract import BYTES, OpenBytes, SourceContract

pytestmark = NEEDS_S3
type Put = Callable[[str, bytes], str]
ALL = ByteRange(0, len(BYTES))


def hasty(endpoint: str, **changes: float) -> NetworkOptions:
    patience = {"timeout": 4, "stall_timeout": 1, "connect_timeout": 1, "retry_timeout": 3} | changes
    return NetworkOptions(endpoint=endpoint, retries=3, **patience)  # type: ignore[arg-type]  # all are floats


class TestS3Contract(SourceContract):
    @pytest.fixture
    def open_bytes(self, put: Put) -> OpenBytes:
        return lambda data: open_source(put("a folder/ü+%41 #?.jp2", data))


class TestWebContract(SourceContract):
    """A bucket that everyone may read, asked as any web server, without credentials."""

    @pytest.fixture
    def open_bytes(self, put: Put, s3_env: S3Server, bucket: str) -> OpenBytes:
        def opened(data: bytes) -> ByteSource:
            put("public/a b.jp2", data)
            s3_env.client.put_object_acl(Bucket=bucket, Key="public/a b.jp2", ACL="public-read")
            return open_source(f"{s3_env.url}/{bucket}/public/a%20b.jp2")

        return opened


def test_a_signed_url_is_read_and_its_signature_never_shown(put: Put, s3_env: S3Server, bucket: str) -> None:
    put("x/y.jp2", BYTES)
    signed = s3_env.client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "x/y.jp2"})
    source = open_source(signed)
    assert source.read_ranges([ALL]) == [BYTES]
    assert source.url == f"{s3_env.url}/{bucket}/x/y.jp2"
    with pytest.raises(SourceRefused) as caught:
        open_source(signed.replace("Signature=", "Signature=WRONG"))
    assert "Signature=" not in str(caught.value)


def test_an_open_and_its_header_take_one_request(put: Put, s3_env: S3Server) -> None:
    url = put("a.jp2", BYTES)
    with FaultProxy(s3_env.url) as proxy:
        source = open_source(url, network=hasty(proxy.url))
        source.read_ranges([ByteRange(0, 4096), ByteRange(60_000, 65_536)])
        assert [(request.method, request.span) for request in proxy.seen] == [("GET", "bytes=0-65535")]


def test_close_ranges_share_a_request_and_far_ones_do_not(put: Put, s3_env: S3Server) -> None:
    data = random.Random(3).randbytes(3 << 20)
    url = put("a.jp2", data)
    with FaultProxy(s3_env.url) as proxy:
        source = open_source(url, network=hasty(proxy.url))
        ranges = [ByteRange(2_900_000, 2_900_100), ByteRange(100_000, 100_010), ByteRange(100_500, 100_600)]
        assert source.read_ranges(ranges) == [data[r.start : r.end] for r in ranges]
        assert sorted(request.span for request in proxy.seen[1:]) == ["bytes=100000-100599", "bytes=2900000-2900099"]


def test_a_range_longer_than_one_request_comes_whole(put: Put) -> None:
    data = random.Random(4).randbytes((16 << 20) + 5)
    source = open_source(put("big", data))
    assert source.read_ranges([ByteRange(3, len(data)), ByteRange(9, 10)]) == [data[3:], data[9:10]]


def test_an_object_replaced_meanwhile_is_noticed(put: Put) -> None:
    url = put("a.jp2", BYTES)
    source = open_source(url)
    put("a.jp2", BYTES[::-1])
    with pytest.raises(SourceChanged, match="version"):
        source.read_ranges([ByteRange(100_000, 200_000)])


def test_an_object_removed_meanwhile_is_noticed(put: Put, s3_env: S3Server, bucket: str) -> None:
    source = open_source(put("a.jp2", BYTES))
    s3_env.client.delete_object(Bucket=bucket, Key="a.jp2")
    with pytest.raises(SourceNotFound):
        source.read_ranges([ByteRange(100_000, 200_000)])


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.RESET, Fault.RESET_AFTER, Fault.TRUNCATE])
def test_a_fault_that_passes_is_survived(put: Put, s3_env: S3Server, fault: Fault) -> None:
    url = put("a.jp2", BYTES)
    with FaultProxy(s3_env.url, [Rule(fault), Rule(fault, after=1)]) as proxy:
        source = open_source(url, network=hasty(proxy.url))
        assert source.read_ranges([ALL]) == [BYTES]
        assert proxy.struck() == 2


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.RESET, Fault.TRUNCATE, Fault.STALL])
@pytest.mark.parametrize("opening", [True, False])
def test_a_fault_that_stays_is_reported_in_time(put: Put, s3_env: S3Server, fault: Fault, *, opening: bool) -> None:
    url = put("a.jp2", BYTES)
    options = hasty(s3_env.url, timeout=4, stall_timeout=2, retry_timeout=0.5)
    with FaultProxy(s3_env.url) as proxy:
        network = NetworkOptions(
            **{name: getattr(options, name) for name in options.__slots__} | {"endpoint": proxy.url}
        )
        if opening:
            proxy.rules.append(Rule(fault, times=100))
            with pytest.raises(StoreUnavailable, match="try again later"):
                open_source(url, network=network)
        else:
            source = open_source(url, network=network)
            proxy.rules.append(Rule(fault, times=100))
            with pytest.raises(StoreUnavailable, match="try again later"):
                source.read_ranges([ALL])


def test_a_server_that_went_away_is_reported(put: Put, s3_env: S3Server) -> None:
    url = put("a.jp2", BYTES)
    source = open_source(url, network=hasty(s3_env.url, retry_timeout=0.5))
    s3_env.stop_gateway()
    try:
        with pytest.raises(StoreUnavailable):
            source.read_ranges([ALL])
    finally:
        s3_env.start_gateway()
    assert source.read_ranges([ALL]) == [BYTES]


def test_what_is_not_there_or_not_allowed(put: Put, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = put("a.jp2", BYTES)
    with pytest.raises(SourceNotFound, match="NoSuchKey"):
        open_source(f"s3://{bucket}/none")
    with pytest.raises(SourceNotFound, match="NoSuchBucket"):
        open_source("s3://no-such-bucket/none")
    for odd in ("/a.jp2", "a//b", "a/../b", "a/"):
        with pytest.raises(SourceRefused, match="plain key"):
            open_source(f"s3://{bucket}/{odd}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(SourceRefused, match="SignatureDoesNotMatch") as caught:
        open_source(url)
    assert "wrong-secret" not in str(caught.value)
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    with pytest.raises(SourceRefused, match="AccessDenied"):
        open_source(url)
    monkeypatch.delenv("AWS_SKIP_SIGNATURE")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(SourceRefused, match="credentials"):
        open_source(url)


def test_the_endpoint_is_the_one_given_else_the_most_specific_in_the_environment(
    put: Put, s3_env: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = put("a.jp2", BYTES)
    with FaultProxy(s3_env.url) as given, FaultProxy(s3_env.url) as specific:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", specific.url)
        monkeypatch.delenv("AWS_REGION")
        monkeypatch.delenv("AWS_ALLOW_HTTP")
        open_source(url)
        assert (len(specific.seen), len(given.seen)) == (1, 0)
        open_source(url, network=hasty(given.url))
        assert (len(specific.seen), len(given.seen)) == (1, 1)


def test_a_public_object_is_read_without_credentials(
    put: Put, s3_env: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = put("a.jp2", BYTES)
    s3_env.client.put_object_acl(Bucket=bucket, Key="a.jp2", ACL="public-read")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    assert open_source(url).read_ranges([ALL]) == [BYTES]
