"""Whether a request that changes something was meant by whoever uses this server's own pages."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from ziggurat.errors import SourceRefused
from ziggurat.serve.call import Call
from ziggurat.serve.settings import Settings

LOCAL: Final = "localhost"

JSON_TYPE: Final = "application/json"
"""A form of another site cannot be sent as this type; a script of one has to ask the server first, which says no."""


def check_origin(call: Call, settings: Settings) -> None:
    """Refuses what a page of another site may have made a browser send.

    Without a secret, the server must be spoken to by an address, as localhost or by the name of ``--public-url``: a
    hostile name may have been made to lead to this machine.

    Raises:
        SourceRefused: if it is, or may be, from another site.
    """
    if call.header(b"content-type").partition(";")[0].strip().lower() != JSON_TYPE:
        raise SourceRefused(f"a review is sent as {JSON_TYPE}")
    if call.header(b"sec-fetch-site") not in {"", "same-origin", "none"}:
        raise SourceRefused("a page of another site may not write here")
    hosts = {call.header(b"host").lower()}
    public = None if settings.public_url is None else urlsplit(settings.public_url).netloc.lower()
    if public is not None:
        hosts.add(public)
    origin = call.header(b"origin")
    if origin and _host(origin) not in hosts:
        raise SourceRefused("a page of another site may not write here")
    if settings.auth == "none" and not _is_known(call.header(b"host"), public):
        raise SourceRefused(
            "this server does not know the name by which it is called; start it with --public-url, or with --auth"
        )


def _host(origin: str) -> str | None:
    """Host and port of an Origin header; None of what is none, such as ``null``."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in {"http", "https"} and parts.netloc else None


def _is_known(host: str, public: str | None) -> bool:
    if host.lower() == public:
        return True
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name == LOCAL or name.endswith(f".{LOCAL}"):
            return True
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
