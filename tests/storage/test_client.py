import pytest
from obstore import exceptions as store_errors

from ziggurat.errors import (
    ChecksumMismatch,
    SourceChanged,
    SourceNotFound,
    SourceRefused,
    StoreUnavailable,
    TargetExists,
    WriteError,
)
from ziggurat.storage.client import asking, bind
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.urls import Remote

SAID = "Generic S3 error: Error performing GET http://h/b/k?X-Amz-Signature=secret in 1ms - "


def answer(status: int, code: str = "Any") -> store_errors.GenericError:
    return store_errors.GenericError(f"{SAID}Server returned non-2xx status code: {status} X: <Code>{code}</Code>")


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (FileNotFoundError("k"), SourceNotFound),
        (store_errors.AlreadyExistsError("k"), TargetExists),
        (store_errors.PreconditionError("k"), SourceChanged),
        (store_errors.PermissionDeniedError("k"), SourceRefused),
        (store_errors.UnauthenticatedError("k"), SourceRefused),
        (store_errors.NotSupportedError("k"), SourceRefused),
        (store_errors.InvalidPathError("k"), SourceRefused),
        (ValueError("Could not parse path"), SourceRefused),
        (answer(301), SourceRefused),
        (answer(400), SourceRefused),
        (answer(404), SourceNotFound),
        (answer(408), StoreUnavailable),
        (answer(416), SourceChanged),
        (answer(429), StoreUnavailable),
        (answer(500), StoreUnavailable),
        (answer(503, "SlowDown"), StoreUnavailable),
        (answer(400, "BadDigest"), ChecksumMismatch),
        (store_errors.GenericError(f"{SAID}HTTP error: operation timed out"), StoreUnavailable),
        (store_errors.JoinError("k"), StoreUnavailable),
    ],
    ids=str,
)
def test_what_a_client_raises_becomes_one_of_our_errors(raised: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected, match="s3://b/k") as caught, asking("s3://b/k"):
        raise raised
    assert type(caught.value) is expected
    assert "secret" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_refused_upload_is_an_error_of_writing() -> None:
    for raised in (FileNotFoundError("b"), store_errors.PermissionDeniedError("k"), answer(400)):
        with pytest.raises(WriteError), asking("s3://b/k", absent=WriteError, refused=WriteError):
            raise raised


def test_objects_of_one_bucket_share_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    options = NetworkOptions()
    for scheme in ("gs", "s3", "https"):
        one, two = (bind(Remote(scheme, "place", key), options) for key in ("a/b.jp2", "c.jp2"))
        assert one.store is two.store
        assert (one.key, two.key) == ("a/b.jp2", "c.jp2")
        assert bind(Remote(scheme, "elsewhere", "c.jp2"), options).store is not one.store


def test_a_new_credential_in_the_environment_makes_a_new_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "one")
    before = bind(Remote("s3", "place", "a"), NetworkOptions())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "two")
    assert bind(Remote("s3", "place", "a"), NetworkOptions()).store is not before.store


def test_a_store_that_lacks_settings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_ACCOUNT_NAME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SourceRefused, match=r"ccount.*AZURE_"):
        bind(Remote("az", "container", "a"), NetworkOptions())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "one")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    with pytest.raises(SourceRefused, match=r"Missing.*AWS_"):
        bind(Remote("s3", "bucket", "a"), NetworkOptions())
