"""Runs the command line in a process that kills itself, or one of its workers, at a named point.

``KILL_AT`` is ``who:point:n``: the n-th time that the process named ``worker`` or ``coordinator`` comes to the
point it gets SIGKILL. Workers import this script again as they are spawned, so the same patches hold there.
``KILL_LOG`` is a file that gets a line when it happens.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ziggurat.cli import main
from ziggurat.convert import task as task_module
from ziggurat.convert import worker as worker_module
from ziggurat.convert.ledger.ledger import Ledger
from ziggurat.storage.local_destination import LocalDestination

WHO, POINT, NTH = os.environ.get("KILL_AT", "nobody:nowhere:0").split(":")
IN_WORKER = __name__ == "__mp_main__"  # the name that a spawned child gives the main script
_seen = 0


def reach(who: str, point: str) -> None:
    """Kills this process if this is the moment."""
    global _seen  # noqa: PLW0603 - one counter of one process
    if (who, point) != (WHO, POINT) or (who == "worker") != IN_WORKER:
        return
    _seen += 1
    if _seen == int(NTH):
        try:
            with Path(os.environ["KILL_LOG"]).open("x") as file:
                file.write(f"{who}:{point}:{NTH}\n")
        except FileExistsError:
            return  # one process, once: a worker beside it, or its successor, must get on
        os.kill(os.getpid(), signal.SIGKILL)


_convert = task_module.convert
_publish = LocalDestination.publish
_transaction = Ledger.transaction


def convert(task, ports):  # noqa: ANN001, ANN201 - as the original
    """Passes every stage on after the killer has seen it."""

    def stage(name: str) -> None:
        reach("worker", name)
        ports.stage(name)

    return _convert(task, replace(ports, stage=stage))


def publish(self, *args, **kwargs):  # noqa: ANN001, ANN002, ANN003, ANN201 - as the original
    """The original, with a point after it."""
    stored = _publish(self, *args, **kwargs)
    reach("worker", "published")
    return stored


@contextmanager
def transaction(self: Ledger) -> Iterator[None]:
    """The original, with points before and after the commit."""
    with _transaction(self):
        yield
        reach("coordinator", "before-commit")
    reach("coordinator", "after-commit")


if any(argument.startswith("icechunk:") for argument in sys.argv):
    from ziggurat.interop.icechunk_destination import IcechunkDestination

    _keep, _settle = IcechunkDestination.publish, IcechunkDestination.settle

    def keep(self, *args, **kwargs):  # noqa: ANN001, ANN002, ANN003, ANN201 - as the original
        """The original, with a point after it."""
        stored = _keep(self, *args, **kwargs)
        reach("worker", "published")
        return stored

    def settle(self, tokens):  # noqa: ANN001, ANN201 - as the original
        """The original, with points before and after it."""
        reach("coordinator", "before-settling")
        refused = _settle(self, tokens)
        reach("coordinator", "after-settling")
        return refused

    IcechunkDestination.publish, IcechunkDestination.settle = keep, settle

worker_module.convert = convert
LocalDestination.publish = publish
Ledger.transaction = transaction

if __name__ == "__main__":
    main()
