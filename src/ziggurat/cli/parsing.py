"""Words of the command line that several commands share: sizes of memory, windows, numbers in a row, places."""

import re
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from ziggurat.errors import UsageError
from ziggurat.storage.network import NetworkOptions, configure

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse_bytes(text: str) -> int:
    """Reads ``800M``, ``1.5G``, ``1GiB`` or a plain number of bytes; units are powers of 1024.

    Raises:
        UsageError: if it is none of these.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if found is None:
        raise UsageError(f"{text!r} is not an amount of memory such as 800M or 1.5G")
    return int(float(found[1]) * _UNITS[found[2]])


def parse_integers(text: str, count: int, name: str) -> tuple[int, ...]:
    """Reads ``Y0,X0,Y1,X1`` and the like.

    Raises:
        UsageError: if there are not ``count`` integers.
    """
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count:
        raise UsageError(f"{name} {text!r} is not {count} integers with commas between them")
    return values


@Parameter(name="*")
@dataclass(frozen=True)
class Network:
    """How stores are reached.

    Attributes:
        endpoint_url: address of an S3-compatible server; AWS_ENDPOINT_URL says the same. Credentials come from
            the usual environment variables.
    """

    endpoint_url: Annotated[str | None, Parameter(name="--endpoint-url")] = None

    def options(self) -> NetworkOptions:
        """The options that sources and destinations are opened with; made the default of this process."""
        network = NetworkOptions(endpoint=self.endpoint_url)
        configure(network)
        return network


NO_NETWORK = Network()
"""What holds where the command line says nothing."""
