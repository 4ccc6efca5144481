"""Lines between machines: whoever has the key is heard, nobody else, and nobody keeps others waiting."""

import queue
import socket
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection

import pytest

from ziggurat.convert.engine.line import Switchboard, dial
from ziggurat.errors import UsageError


@pytest.fixture
def lines() -> queue.SimpleQueue[Connection]:
    return queue.SimpleQueue()


@pytest.fixture
def switchboard(lines: queue.SimpleQueue[Connection]) -> Iterator[Switchboard]:
    made = Switchboard("127.0.0.1", lines.put)
    yield made
    made.close()


def test_both_ends_hear_each_other_until_one_hangs_up(
    switchboard: Switchboard, lines: queue.SimpleQueue[Connection]
) -> None:
    # It comes first, and says nothing.
    stranger = socket.create_connection((switchboard.exchange.host, switchboard.exchange.port))
    with stranger, dial(switchboard.exchange) as theirs, lines.get(timeout=10) as ours:
        ours.send({"work": 1})
        assert theirs.recv() == {"work": 1}
        theirs.send([2])
        assert ours.recv() == [2]
        theirs.close()
        with pytest.raises(EOFError):
            ours.recv()


def test_callers_without_the_key_are_refused(switchboard: Switchboard, lines: queue.SimpleQueue[Connection]) -> None:
    with pytest.raises(UsageError, match="cannot be reached"):
        dial(replace(switchboard.exchange, key=b"guessed"))
    assert lines.empty()


def test_a_coordinator_that_is_not_there_is_named(switchboard: Switchboard) -> None:
    exchange = switchboard.exchange
    switchboard.close()
    with pytest.raises(UsageError, match=f"{exchange.host} port {exchange.port}"):
        dial(exchange)
