"""The clients of remote stores: one for each bucket, shared, and the one mapping of what goes wrong in them.

The clients run threads of their own, which do not survive ``fork``: a process that has used one must start
its children by spawn or forkserver. Nothing is started by importing.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from obstore import exceptions as store_errors
from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

from ziggurat.errors import (
    ChecksumMismatch,
    SourceChanged,
    SourceNotFound,
    SourceRefused,
    StoreUnavailable,
    TargetExists,
    ZigguratError,
)
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.urls import Remote

if TYPE_CHECKING:  # the client library has these types in its stubs alone
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, ObjectStore, RetryConfig, S3Config

CLIENTS = 256
"""Clients kept, the most recently used ones; each holds its connections open."""

_ENDPOINTS: Final = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
_CREDENTIALS: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SKIP_SIGNATURE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")
"""Paths that the client sends as they are, so that images of one web server share its connections."""


@dataclass(frozen=True, slots=True)
class Bound:
    """An object's key together with the client that reaches it.

    Attributes:
        store: the client.
        key: within the client's bucket or host.
        url: for messages.
    """

    store: "ObjectStore"
    key: str
    url: str


def bind(place: Remote, network: NetworkOptions) -> Bound:
    """Finds or makes the client for an object.

    Raises:
        SourceRefused: if no client can ask for this key, or there are no credentials for the server.
    """
    environment = tuple(
        sorted(item for item in os.environ.items() if item[0].startswith(("AWS_", "GOOGLE_", "AZURE_")))
    )
    parts = place.key.split("/")
    if not place.is_web and place.key and any(part in {"", ".", ".."} for part in parts):
        raise SourceRefused(
            f"{place.url}: keys with empty parts, '.' or '..' cannot be asked for; copy the object to a plain key"
        )
    try:
        if place.is_web:
            return _bind_web(place, network, environment)
        return Bound(_client(place.scheme, place.root, network, environment), place.key, place.url)
    except (store_errors.BaseError, ValueError) as error:
        raise SourceRefused(
            f"{place.url}: no client can be made for it ({_reason(error)}); check the name and the AWS_, "
            "GOOGLE_ or AZURE_ variables of the environment"
        ) from error


def _bind_web(place: Remote, network: NetworkOptions, environment: tuple[tuple[str, str], ...]) -> Bound:
    base = f"{place.scheme}://{place.root}"
    if not place.query and _PLAIN_PATH.fullmatch(place.key):
        return Bound(_web_client(base, network, environment), place.key, place.url)
    # A client of its own sends the address exactly as it is written.
    query = f"?{place.query}" if place.query else ""
    return Bound(_web_client(f"{base}/{place.key}{query}", network, environment), "", place.url)


def endpoint_of(scheme: str, network: NetworkOptions) -> str | None:
    """URL of the server behind a store's scheme, or None for the provider's own."""
    if scheme == "s3" and network.endpoint is not None:
        return network.endpoint
    return next((os.environ[name] for name in _ENDPOINTS[scheme] if os.environ.get(name)), None)


@lru_cache(maxsize=CLIENTS)
def _client(
    scheme: str, root: str, network: NetworkOptions, _environment: tuple[tuple[str, str], ...]
) -> "ObjectStore":
    endpoint = endpoint_of(scheme, network)
    client = _client_options(network, plain=endpoint is not None and endpoint.startswith("http://"))
    retries = _retries(network)
    if scheme == "gs":
        return GCSStore(root, client_options=client, retry_config=retries)
    if scheme == "az":
        return AzureStore(root, client_options=client, retry_config=retries)
    config: S3Config = {"virtual_hosted_style_request": False}
    if endpoint is not None:
        config["endpoint"] = config["aws_endpoint_url_s3"] = endpoint
        if not any(os.environ.get(name) for name in _CREDENTIALS):
            # The client would look for Amazon's own metadata service for minutes.
            raise SourceRefused(
                f"s3://{root}: there are no credentials for {endpoint}; set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true if it is public"
            )
    if not os.environ.get("AWS_REGION"):
        config["region"] = os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    if not os.environ.get("AWS_CHECKSUM_ALGORITHM"):
        # Without it a store accepts an upload, part by part, that was damaged on its way.
        config["checksum_algorithm"] = "SHA256"
    return S3Store(root, config=config, client_options=client, retry_config=retries)


@lru_cache(maxsize=CLIENTS)
def _web_client(url: str, network: NetworkOptions, _environment: tuple[tuple[str, str], ...]) -> HTTPStore:
    return HTTPStore(
        url,
        client_options=_client_options(network, plain=url.startswith("http://")),
        retry_config=_retries(network),
    )


def _client_options(network: NetworkOptions, *, plain: bool) -> "ClientConfig":
    return {
        "allow_http": plain,
        "connect_timeout": timedelta(seconds=network.connect_timeout),
        "read_timeout": timedelta(seconds=network.stall_timeout),
        "timeout": timedelta(seconds=network.timeout),
    }


def _retries(network: NetworkOptions) -> "RetryConfig":
    return {
        "max_retries": network.retries,
        "retry_timeout": timedelta(seconds=network.retry_timeout),
        "backoff": {
            "init_backoff": timedelta(milliseconds=200),
            "max_backoff": timedelta(seconds=10),
            "base": 2,
        },
    }


def tag_of(meta: "ObjectMeta") -> str:
    """The version tag of an object: its ETag with the quotes, else the second of its last change."""
    if meta["e_tag"]:
        return meta["e_tag"]
    return f"modified:{int(meta['last_modified'].timestamp())}"


_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_DAMAGED = frozenset({"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"})
_ABSENT = frozenset({404, 410})
_AGAIN = frozenset({408, 425, 429})


@contextmanager
def asking(
    url: str,
    *,
    absent: type[ZigguratError] = SourceNotFound,
    refused: type[ZigguratError] = SourceRefused,
) -> Iterator[None]:
    """Turns what a store's client raises into our errors.

    Args:
        url: of the object, for the message.
        absent: what to raise where there is no such object or bucket.
        refused: what to raise where the request is not allowed, or makes no sense to the server.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise absent(f"{url} is not there ({_reason(error)}); check bucket, key and endpoint") from error
    except store_errors.AlreadyExistsError as error:
        raise TargetExists(f"{url} exists already; remove it, or ask for overwriting") from error
    except (store_errors.PreconditionError, store_errors.NotModifiedError) as error:
        raise SourceChanged(f"{url} was changed since it was opened; try again with the new version") from error
    except (store_errors.PermissionDeniedError, store_errors.UnauthenticatedError) as error:
        raise refused(
            f"{url}: access was refused ({_reason(error)}); check the credentials in the environment, "
            "the bucket's policy and this machine's clock"
        ) from error
    except store_errors.NotSupportedError as error:
        raise refused(f"{url}: the server does not answer byte ranges; copy the file first") from error
    except store_errors.InvalidPathError as error:
        raise refused(
            f"{url}: there is a key that the client cannot express ({_reason(error)}); copy that object to a "
            "plain key, without empty parts, '.', '..' or control characters"
        ) from error
    except store_errors.BaseError as error:
        raise _generic(url, error, absent, refused) from error
    except ValueError as error:
        raise refused(f"{url} is no key or bucket that the client can ask for: {_reason(error)}") from error


def _generic(
    url: str, error: store_errors.BaseError, absent: type[ZigguratError], refused: type[ZigguratError]
) -> ZigguratError:
    text, reason = str(error), _reason(error)
    found = _STATUS.search(text)
    status = int(found[1]) if found else None
    code = _CODE.search(text)
    if code and code[1] in _DAMAGED:
        return ChecksumMismatch(f"{url}: the bytes were damaged on their way ({reason}); send them again")
    if status == 416:  # noqa: PLR2004 - RFC 9110 15.5.17
        return SourceChanged(f"{url} is shorter than it was when it was opened; try again with the new version")
    if status in _ABSENT:
        return absent(f"{url} is not there ({reason}); check bucket, key and endpoint")
    if status is not None and status < 500 and status not in _AGAIN:  # noqa: PLR2004 - RFC 9110 15.6
        return refused(f"{url}: the server refuses the request ({reason}); check bucket, region and endpoint")
    return StoreUnavailable(f"{url}: the store does not answer ({reason}); check the endpoint, or try again later")


def _reason(error: Exception) -> str:
    """The cause in a few words, without the query strings in which signatures travel."""
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    if status:
        return f"HTTP {status[1]} {code[1]}" if code else f"HTTP {status[1]}"
    line = text.partition("\n")[0].rpartition(" - ")[2]
    return re.sub(r"\?\S*", "", line).strip()[:300] or type(error).__name__
