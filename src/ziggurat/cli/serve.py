"""``ziggurat serve PLACE...``: images over HTTP."""

import logging
import os
import resource
import secrets
import socket
import sys
from dataclasses import dataclass, replace
from types import FrameType

import uvicorn
from cyclopts import Parameter

from ziggurat.cli.parsing import NO_NETWORK, Network
from ziggurat.convert.manifest import parse_columns
from ziggurat.convert.text import visible
from ziggurat.errors import UsageError
from ziggurat.serve.app import create_app
from ziggurat.serve.protocol import BoundedProtocol
from ziggurat.serve.settings import SERVE_NETWORK, AuthKind, Limits, Settings
from ziggurat.serve.table import ROLES
from ziggurat.storage.amounts import parse_bytes
from ziggurat.storage.file_cache import cache_folder
from ziggurat.storage.network import configure

SECRET = "ZIGGURAT_SERVE_SECRET"  # noqa: S105 - a variable's name
"""Environment variable of the token, or of USER:PASSWORD: command lines can be seen by everybody on a machine."""

GRACE = 5
"""Seconds that open requests get when the server is to end."""

FILES = 8192
"""Files that the process should be allowed to have open: a connection is one."""

BACKLOG = 1024
"""Connections that the system holds until the server takes them."""


@Parameter(name="*")
@dataclass(frozen=True)
class Serving:
    """How the server runs.

    Attributes:
        host: address to listen on; 0.0.0.0 is all of this machine's.
        port: 0 takes a free one.
        root_path: the path under which a proxy shows the server, such as /images.
        public_url: scheme, host and path that clients see, where a proxy does not say so.
        auth: who is let in; the secret is taken from ZIGGURAT_SERVE_SECRET: a token, or USER:PASSWORD.
        download: hand out original files.
        workers: processes that decode; one a core unless given.
        memory: what each of them may take for a request.
        max_read: of files and objects that one of them may read for a request.
        queue: requests that may wait for a worker; others get 503.
        timeout: seconds that one request may take.
        max_pixels: of a picture that is sent.
        quality: of JPEG, WebP and AVIF, 1 to 100.
        max_age: seconds that browsers keep a picture without asking again.
        cache_size: of the folder of encoded tiles; 0 keeps none.
        access_log: file for one JSON line a request; - is standard output.
        columns: what a manifest's columns are: ROLE=COLUMN,...; roles are source, item, name, group, checksum, title,
            page, section.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    root_path: str = ""
    public_url: str | None = None
    auth: AuthKind = "none"
    download: bool = True
    workers: int | None = None
    memory: str = "2G"
    max_read: str = "4G"
    queue: int = 256
    timeout: float = 30.0
    max_pixels: int = 40_000_000
    quality: int = 85
    max_age: int = 3600
    cache_size: str = "2G"
    access_log: str | None = None
    columns: str = ""

    def settings(self, places: tuple[str, ...]) -> Settings:
        """The settings of the server."""
        limits = Limits(
            pixels=self.max_pixels,
            seconds=self.timeout,
            memory=parse_bytes(self.memory),
            read=parse_bytes(self.max_read),
            queue=self.queue,
        )
        settings = Settings(
            places=places,
            root_path=self.root_path,
            public_url=self.public_url,
            auth=self.auth,
            secret=self._secret(),
            download=self.download,
            limits=limits,
            cache=cache_folder() / "tiles",
            cache_limit=parse_bytes(self.cache_size),
            max_age=self.max_age,
            quality=self.quality,
            access_log=self.access_log,
            columns=parse_columns(self.columns, ROLES),
        )
        return settings if self.workers is None else replace(settings, workers=self.workers)

    def _secret(self) -> str:
        secret = os.environ.get(SECRET, "")
        if self.auth == "token" and not secret:
            secret = secrets.token_urlsafe(24)
            print(f"The token of this run: {secret}", file=sys.stderr)
        return secret


USUAL = Serving()


def serve(*places: str, serving: Serving = USUAL, network: Network = NO_NETWORK) -> None:
    """Show images in browsers: IIIF, Deep Zoom and map tiles of any folder, prefix or file, without converting them.

    A job's file shows its sources and outputs, how far it is, and what is to be reviewed; a manifest its images; an
    index of footprints mosaics of the sky.

    Args:
        places: folders, prefixes such as s3://bucket/scans/, single files, a job's .zgj file, a CSV manifest,
            or an index of footprints (.zgf); NAME=PLACE gives one a name.
        serving: how the server runs.
        network: how stores are reached.
    """
    if not 0 <= serving.port <= 65535:  # noqa: PLR2004 - TCP's
        raise UsageError(f"--port {serving.port} is none; give 1 to 65535, or 0 for a free one")
    options = replace(SERVE_NETWORK, endpoint=network.options().endpoint)
    configure(options)
    app = create_app(replace(serving.settings(places), network=options))
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        server_header=False,
        http=BoundedProtocol,
        ws="none",
        timeout_graceful_shutdown=GRACE,
        lifespan="on",
        # The other half is for what is being sent, and for the server itself.
        limit_concurrency=_allow_files() // 2,
    )
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with _listening(serving.host, serving.port) as listener:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        what = ", ".join(visible(place.partition("?")[0], 80) for place in places)
        print(f"Serving {what} at http://{shown}:{port}/ (Ctrl-C ends it)", file=sys.stderr, flush=True)
        _Server(config).run([listener])


class _Server(uvicorn.Server):
    """Ends without a word about requests that were cut off."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Finishes what is being answered; at the second signal ends at once."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        super().handle_exit(sig, frame)


def _allow_files() -> int:
    """Raises the number of files that this process may have open, connections among them, as far as it may itself.

    Returns:
        The number.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return FILES if soft == resource.RLIM_INFINITY else soft


def _listening(host: str, port: int) -> socket.socket:
    """A socket on which connections wait until the server takes them.

    Raises:
        UsageError: if the address cannot be listened on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        raise UsageError(f"{host}:{port} cannot be listened on: {error.strerror}; choose another --port") from error
    return listener
