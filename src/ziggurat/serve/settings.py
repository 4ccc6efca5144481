"""What a server is told once. Plain and picklable, for its worker processes too."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from ziggurat.errors import UsageError
from ziggurat.storage.network import NetworkOptions

type AuthKind = Literal["none", "token", "basic"]

SIDE: Final = 16_383
"""Pixels a side of the largest picture that is sent: WebP's limit, the smallest of all formats'."""

SERVE_NETWORK: Final = NetworkOptions(timeout=60, stall_timeout=15, retries=3, retry_timeout=20)
"""Somebody is waiting for the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may cost.

    Attributes:
        pixels: of a picture that is sent.
        seconds: from the moment a worker begins with it; the worker is killed after that.
        memory: bytes that a worker process may take for it.
        read: bytes of files and objects that a worker may read for it.
        queue: requests that wait for a worker; further ones are sent away with 503.
        listed: images that a collection shows.
    """

    pixels: int = 40_000_000
    seconds: float = 30.0
    memory: int = 2 << 30
    read: int = 4 << 30
    queue: int = 256
    listed: int = 100_000

    def __post_init__(self) -> None:
        for name in ("pixels", "seconds", "memory", "read", "queue", "listed"):
            if not getattr(self, name) > 0:
                raise UsageError(f"the limit of {name} is {getattr(self, name)}; give a number above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A server, as a value.

    Attributes:
        places: folders, prefixes of stores, single files, each alone or as NAME=PLACE.
        root_path: the path under which a proxy shows the server, such as "/images".
        public_url: scheme, host and path that clients see; None takes them from each request.
        auth: who is let in.
        secret: the token, or USER:PASSWORD.
        download: whether original files are handed out.
        workers: processes that decode.
        limits: of one request.
        cache: folder of encoded tiles; None keeps none.
        cache_limit: bytes of that folder.
        max_age: seconds that browsers keep a picture without asking again.
        quality: of lossy pictures, 1 to 100.
        access_log: file for one JSON line a request, "-" for standard output; None writes none.
        columns: of manifests: what a column is to its name.
        network: how stores are reached.
    """

    places: tuple[str, ...]
    root_path: str = ""
    public_url: str | None = None
    auth: AuthKind = "none"
    secret: str = field(default="", repr=False)
    download: bool = True
    workers: int = field(default_factory=lambda: max(1, os.cpu_count() or 1))
    limits: Limits = field(default_factory=Limits)
    cache: Path | None = None
    cache_limit: int = 2 << 30
    max_age: int = 3600
    quality: int = 85
    access_log: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    network: NetworkOptions = SERVE_NETWORK

    def __post_init__(self) -> None:
        if not self.places:
            raise UsageError("there is nothing to serve: give a folder, a prefix such as s3://bucket/scans/, or a file")
        if self.root_path and (not self.root_path.startswith("/") or self.root_path.endswith("/")):
            raise UsageError(f"--root-path {self.root_path!r} must begin with a slash and not end with one: /images")
        if self.public_url is not None:
            _check_public(self.public_url)
        if self.auth == "basic" and not all(self.secret.partition(":")):
            raise UsageError("--auth basic needs USER:PASSWORD in ZIGGURAT_SERVE_SECRET")
        if self.auth == "token" and len(self.secret) < 16:  # noqa: PLR2004 - shorter ones can be tried out
            raise UsageError("--auth token needs a token of at least 16 characters in ZIGGURAT_SERVE_SECRET")
        if not 1 <= self.quality <= 100:  # noqa: PLR2004 - libjpeg's scale
            raise UsageError(f"--quality {self.quality} is not 1 to 100")
        if self.workers < 1 or self.max_age < 0 or self.cache_limit < 0:
            raise UsageError("--workers must be 1 or more, --max-age and --cache-size 0 or more")


def _check_public(url: str) -> None:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.query and not parts.fragment
    except ValueError:
        fits = False
    if not fits or url.endswith("/"):
        raise UsageError(
            f"--public-url {url!r} is not like https://images.example.org/iiif, without a slash at its end"
        )
