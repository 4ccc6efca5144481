import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from s3_server import NEEDS_S3, S3Server
from ziggurat.errors import (
    ChecksumMismatch,
    SourceNotFound,
    TargetExists,
    TargetRefused,
    UsageError,
    WriteError,
)
from ziggurat.storage.destination import Destination, Digests, Stored, digests_of, open_destination
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.resolve import open_source

type Call = Callable[[str], object]


def stage(destination: Destination, key: str, data: bytes) -> tuple[Path, Digests]:
    path = destination.temporary(key, uuid.uuid4().hex)
    path.write_bytes(data)
    return path, digests_of(path)


def send(destination: Destination, key: str, data: bytes, *, overwrite: bool = False) -> Stored:
    path, digests = stage(destination, key, data)
    return destination.publish(path, key, digests, overwrite=overwrite)


class DestinationContract:
    """What every destination promises."""

    @pytest.fixture
    def destination(self) -> Destination:
        raise NotImplementedError

    def test_what_is_published_can_be_read(self, destination: Destination) -> None:
        path, digests = stage(destination, "box 1/ä+%41 #.jpg", b"pixels")
        stored = destination.publish(path, "box 1/ä+%41 #.jpg", digests, overwrite=False)
        assert not path.exists()
        assert stored.size == 6
        assert destination.exists("box 1/ä+%41 #.jpg") == stored
        source = destination.source("box 1/ä+%41 #.jpg")
        assert source.read_ranges([ByteRange(0, 6)]) == [b"pixels"]
        assert (source.version.size, source.version.tag) == (stored.size, stored.tag)
        source.close()
        again = open_source(destination.url("box 1/ä+%41 #.jpg"))
        assert again.version.tag == stored.tag
        again.close()
        assert destination.digest("box 1/ä+%41 #.jpg") == (digests.sha256, 6)

    def test_what_is_there_is_not_replaced_unasked(self, destination: Destination) -> None:
        send(destination, "a.jpg", b"first")
        path, digests = stage(destination, "a.jpg", b"second")
        with pytest.raises(TargetExists, match="exists already"):
            destination.publish(path, "a.jpg", digests, overwrite=False)
        assert path.read_bytes() == b"second"
        assert destination.source("a.jpg").read_ranges([ByteRange(0, 5)]) == [b"first"]
        destination.publish(path, "a.jpg", digests, overwrite=True)
        assert destination.source("a.jpg").read_ranges([ByteRange(0, 6)]) == [b"second"]

    def test_of_two_that_publish_one_key_exactly_one_wins(self, destination: Destination) -> None:
        for attempt in range(8):
            key = f"race/{attempt}.jpg"
            staged = [stage(destination, key, f"writer {n}".encode()) for n in range(4)]
            gate = threading.Barrier(4)

            def publish(item: tuple[Path, Digests], key: str = key, gate: threading.Barrier = gate) -> str | None:
                gate.wait()
                try:
                    destination.publish(item[0], key, item[1], overwrite=False)
                except TargetExists:
                    return None
                return item[1].sha256

            with ThreadPoolExecutor(4) as pool:
                winners = [won for won in pool.map(publish, staged) if won]
            assert len(winners) == 1
            assert destination.digest(key)[0] == winners[0]

    def test_compares_by_content(self, destination: Destination) -> None:
        _, digests = stage(destination, "a.jpg", b"same")
        other = stage(destination, "a.jpg", b"else")[1]
        assert not destination.matches("a.jpg", digests)
        assert not destination.holds("a.jpg", digests.sha256)
        send(destination, "a.jpg", b"same")
        assert destination.matches("a.jpg", digests)
        assert destination.holds("a.jpg", digests.sha256)
        assert not destination.matches("a.jpg", other)
        assert not destination.holds("a.jpg", other.sha256)

    def test_removes(self, destination: Destination) -> None:
        send(destination, "a.jpg", b"x")
        destination.remove("a.jpg")
        destination.remove("a.jpg")
        assert destination.exists("a.jpg") is None
        with pytest.raises(SourceNotFound):
            destination.digest("a.jpg")

    def test_a_left_temporary_file_is_removed_by_its_token(self, destination: Destination) -> None:
        path = destination.temporary("deep/er/a.jpg", "job-1_7")
        path.write_bytes(b"half")
        assert destination.temporary("deep/er/a.jpg", "job-1_7") == path
        destination.cleanup("deep/er/a.jpg", "other")
        assert path.exists()
        destination.cleanup("deep/er/a.jpg", "job-1_7")
        destination.cleanup("deep/er/a.jpg", "job-1_7")
        assert not path.exists()
        destination.cleanup("no/such/folder/a.jpg", "job-1_7")

    @pytest.mark.parametrize("token", ["", "a/b", "..", "a.b", "ü", "x" * 129])
    def test_a_token_that_is_no_plain_word_is_refused(self, destination: Destination, token: str) -> None:
        with pytest.raises(UsageError, match="temporary"):
            destination.temporary("a.jpg", token)

    def test_every_method_refuses_a_key_that_leads_out(self, destination: Destination, tmp_path: Path) -> None:
        path = tmp_path / "x"
        path.write_bytes(b"x")
        digests = digests_of(path)
        calls: list[Call] = [
            destination.check_name,
            lambda key: destination.temporary(key, "t"),
            destination.exists,
            lambda key: destination.publish(path, key, digests, overwrite=True),
            destination.digest,
            lambda key: destination.holds(key, digests.sha256),
            lambda key: destination.matches(key, digests),
            destination.remove,
            lambda key: destination.cleanup(key, "t"),
            destination.source,
            destination.url,
        ]
        for call in calls:
            with pytest.raises(TargetRefused, match="leads elsewhere"):
                call("a/../../b.jpg")

    def test_a_temporary_file_that_changed_since_is_not_published(self, destination: Destination) -> None:
        path, digests = stage(destination, "a.jpg", b"whole")
        path.write_bytes(b"who")
        with pytest.raises(ChecksumMismatch, match="3 bytes"):
            destination.publish(path, "a.jpg", digests, overwrite=False)
        path.unlink()
        with pytest.raises(WriteError, match="removed"):
            destination.publish(path, "a.jpg", digests, overwrite=False)
        assert destination.exists("a.jpg") is None

    def test_an_empty_result_is_a_result(self, destination: Destination) -> None:
        assert send(destination, "empty.txt", b"").size == 0
        assert destination.exists("empty.txt") is not None


class TestLocal(DestinationContract):
    @pytest.fixture
    def destination(self, tmp_path: Path) -> Destination:
        return open_destination(str(tmp_path / "not yet" / "out"))


class TestS3(DestinationContract):
    pytestmark = NEEDS_S3

    @pytest.fixture
    def destination(self, bucket: str, tmp_path: Path) -> Destination:
        return open_destination(f"s3://{bucket}/some/prefix/", scratch=tmp_path / "scratch")


def test_results_do_not_go_where_nothing_can_be_published(tmp_path: Path) -> None:
    for url in ("https://host/folder?sig=secret", "memory:x"):
        with pytest.raises(UsageError, match="results cannot go") as caught:
            open_destination(url, scratch=tmp_path)
        assert "secret" not in str(caught.value)
    with pytest.raises(UsageError, match="scratch"):
        open_destination("s3://bucket/prefix")
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="is a file"):
        open_destination(str(tmp_path / "file"))


@pytest.mark.usefixtures("s3_env")
class TestLongKeys:
    pytestmark = NEEDS_S3

    def test_prefix_and_key_together_stay_within_what_a_store_holds(self, bucket: str, tmp_path: Path) -> None:
        prefix = "/".join(["p" * 200] * 4)
        destination = open_destination(f"s3://{bucket}/{prefix}", scratch=tmp_path)
        assert send(destination, "k" * 220, b"x").size == 1
        with pytest.raises(TargetRefused, match="are possible"):
            destination.check_name("k" * 221)


def test_the_server_keeps_what_a_browser_needs_to_show_it(bucket: str, tmp_path: Path, s3_env: S3Server) -> None:
    destination = open_destination(f"s3://{bucket}", scratch=tmp_path)
    send(destination, "a.JPG", b"x")
    assert s3_env.client.head_object(Bucket=bucket, Key="a.JPG")["ContentType"] == "image/jpeg"


test_the_server_keeps_what_a_browser_needs_to_show_it.pytestmark = NEEDS_S3  # type: ignore[attr-defined]
