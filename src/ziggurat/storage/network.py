"""How patiently, and through which endpoint, remote stores are asked."""

from dataclasses import dataclass
from typing import Final

from ziggurat.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """What every request to a remote store observes. Plain and picklable, for worker processes.

    Credentials are never part of it: the stores' clients take them from the environment (``AWS_*``,
    ``GOOGLE_*``, ``AZURE_*``; ``AWS_SKIP_SIGNATURE=true`` for public buckets).

    Attributes:
        endpoint: URL of an S3 server, or None: ``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL``, else Amazon's.
        timeout: seconds that one request may take, its body included. A part of 64 MiB fits at 1 Mbit/s.
        stall_timeout: seconds that a download may stand still. Uploads observe ``timeout`` alone: while a
            body is being sent, nothing comes back.
        connect_timeout: seconds to reach the server.
        retries: how often one request is repeated after a server error or a lost connection.
        retry_timeout: seconds after which a request is not repeated any more.
        connections: requests under way at the same time in one process.

    Raises:
        UsageError: if a figure is not positive (``retries`` may be 0), or the endpoint is no http URL.
    """

    endpoint: str | None = None
    timeout: float = 600.0
    stall_timeout: float = 60.0
    connect_timeout: float = 10.0
    retries: int = 8
    retry_timeout: float = 150.0
    connections: int = 16

    def __post_init__(self) -> None:
        positive = ("timeout", "stall_timeout", "connect_timeout", "retry_timeout", "connections")
        for name in positive:
            if not getattr(self, name) > 0:
                raise UsageError(f"network option {name} is {getattr(self, name)}; give a number above 0")
        if self.retries < 0:
            raise UsageError(f"network option retries is {self.retries}; give 0 or more")
        if self.endpoint is not None and not self.endpoint.startswith(("http://", "https://")):
            raise UsageError("the endpoint is no URL; write it as https://host or http://host:port")


DEFAULT: Final = NetworkOptions()

_configured: NetworkOptions = DEFAULT


def configure(network: NetworkOptions) -> None:
    """Sets what this process uses where no options are given. A worker calls it once, as it starts."""
    global _configured  # noqa: PLW0603 - one setting of the process, as the environment is
    _configured = network


def configured() -> NetworkOptions:
    """What ``configure`` set last, or the defaults."""
    return _configured
