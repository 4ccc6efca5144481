"""Fixtures for tests of remote places."""

import uuid
from collections.abc import Callable

import pytest

from s3_server import S3Server


@pytest.fixture
def s3_env(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, with its credentials and address in the environment."""
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    return s3


@pytest.fixture
def bucket(s3_env: S3Server) -> str:
    """A new bucket."""
    return s3_env.make_bucket(f"test-{uuid.uuid4()}")


@pytest.fixture
def put(s3_env: S3Server, bucket: str) -> Callable[[str, bytes], str]:
    """Stores an object by another client than ours and returns its URL."""

    def store(key: str, data: bytes) -> str:
        s3_env.client.put_object(Bucket=bucket, Key=key, Body=data)
        return f"s3://{bucket}/{key}"

    return store
