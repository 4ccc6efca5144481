"""Connections between a coordinator and stations on other machines: TCP, with a key that both were given."""

import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge

from ziggurat.errors import UsageError

DIAL_SECONDS = 20.0
"""How long a coordinator is called."""

SILENT_MILLISECONDS = 60_000
"""After which a machine that does not acknowledge what was sent counts as gone."""

KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": SILENT_MILLISECONDS}
"""Options by which a line to a machine without power is noticed though nothing is said; Linux has them all."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Where a coordinator is called.

    Attributes:
        host: its address.
        port: of TCP.
        key: known to those who may call.
    """

    host: str
    port: int
    key: bytes


class Switchboard:
    """Takes calls, and hands on the lines of those who know the key."""

    def __init__(self, host: str, answer: Callable[[Connection], None]) -> None:
        """Opens a port.

        Args:
            host: address of this machine under which it is called.
            answer: gets every line, in a thread of its own.
        """
        self._answer = answer
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # All addresses of this machine: the one that is known here need not be the one that packets arrive at.
        loopback = host in {"127.0.0.1", "::1"}
        self._server = socket.create_server((host if loopback else "", 0), family=family, backlog=1024)
        self.exchange = Exchange(host, self._server.getsockname()[1], secrets.token_bytes(32))
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                call, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._greet, args=(call,), daemon=True).start()

    def _greet(self, call: socket.socket) -> None:
        """Strangers may be slow: each is greeted in a thread of its own."""
        line = _line(call)
        try:
            deliver_challenge(line, self.exchange.key)
            answer_challenge(line, self.exchange.key)
        except (AuthenticationError, EOFError, OSError):
            line.close()
            return
        self._answer(line)

    def close(self) -> None:
        """Takes no more calls; lines that there are stay."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


def dial(exchange: Exchange) -> Connection:
    """Calls a coordinator.

    Raises:
        UsageError: if it cannot be reached.
    """
    try:
        call = socket.create_connection((exchange.host, exchange.port), timeout=DIAL_SECONDS)
        call.settimeout(None)
        line = _line(call)
        answer_challenge(line, exchange.key)
        deliver_challenge(line, exchange.key)
    except (AuthenticationError, EOFError, OSError) as error:
        raise UsageError(
            f"the job at {exchange.host} port {exchange.port} cannot be reached ({error}); start it on a machine to "
            "which the workers of the cluster can connect"
        ) from error
    return line


def _line(call: socket.socket) -> Connection:
    """A connection of an accepted or made call."""
    # Small messages that follow each other must not wait for an acknowledgement.
    call.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    call.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            call.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return Connection(call.detach())
