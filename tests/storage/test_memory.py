import pytest

from ziggurat.errors import SourceNotFound
from ziggurat.storage.memory import MemorySource, hold, release
from ziggurat.storage.protocol import SourceVersion
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.resolve import open_source
from ziggurat.testing.source_contract import OpenBytes, SourceContract


class TestContract(SourceContract):
    @pytest.fixture
    def open_bytes(self) -> OpenBytes:
        return lambda data: MemorySource("memory:x", data)


class TestContractByUrl(SourceContract):
    @pytest.fixture
    def open_bytes(self) -> OpenBytes:
        return lambda data: open_source(hold("contract", data))


def test_it_keeps_the_version_of_the_place_where_the_bytes_were_read() -> None:
    version = SourceVersion(3, '"etag"')
    assert MemorySource("s3://b/k", b"abc", version=version).version == version


def test_what_is_released_is_gone_but_stays_with_those_who_have_it() -> None:
    url = hold("name of any kind/?#", b"abc")
    source = open_source(url)
    release("name of any kind/?#")
    release("name of any kind/?#")
    assert source.read_ranges([ByteRange(1, 3)]) == [b"bc"]
    with pytest.raises(SourceNotFound, match="memory:"):
        open_source(url)
