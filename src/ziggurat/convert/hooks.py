"""What a job tells the outside: a command for every completed item, and JSON on end, stall and failures."""

import json
import logging
import os
import shlex
import subprocess
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ziggurat.convert.ledger.ledger import Ledger
from ziggurat.convert.progress import Progress
from ziggurat.errors import UsageError
from ziggurat.model import JSON

AT_ONCE = 2
"""Commands of completed items that run side by side."""

NOTIFY_SECONDS = 10.0
"""How long a notification may take; the job does not depend on it."""

FEW = 100
"""Images that must be finished before a failure rate means anything."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ItemHooks:
    """Runs a command, without a shell, for every item whose images are all done.

    ``{item}`` in the command is replaced; the environment has ZIGGURAT_ITEM and ZIGGURAT_JOB. It runs at least once
    for an item: a job that is killed meanwhile runs it again when resumed.
    """

    command: str | None
    job: str
    waiting: deque[str] = field(default_factory=deque)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            if self.command is not None and not shlex.split(self.command):
                raise UsageError("--on-item-complete is empty")
        except ValueError as error:
            raise UsageError(f"--on-item-complete {self.command!r}: {error}") from error

    def start(self, items: Iterable[str]) -> None:
        """Queues items, and starts as many commands as may run."""
        if self.command is None:
            return
        self.waiting.extend(items)
        while self.waiting and len(self.running) < AT_ONCE:
            item = self.waiting.popleft()
            words = [word.replace("{item}", item) for word in shlex.split(self.command)]
            environment = os.environ | {"ZIGGURAT_ITEM": item, "ZIGGURAT_JOB": self.job}
            try:
                self.running[item] = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL)  # noqa: S603 - the operator's own command, no shell
            except OSError as error:
                _log.error("the command for item %s cannot be started: %s", item, error)

    def collect(self, ledger: Ledger) -> None:
        """Records the commands that have ended."""
        ended = {item: child.poll() for item, child in self.running.items()}
        ended = {item: code for item, code in ended.items() if code is not None}
        if not ended:
            return
        with ledger.transaction():
            for item, code in ended.items():
                del self.running[item]
                ledger.hook_ended(item, code or 0)
                if code:
                    _log.error("the command for item %s ended with code %d", item, code)

    def finish(self, ledger: Ledger) -> None:
        """Waits for the commands that are still to run."""
        while self.waiting or self.running:
            self.start(())
            for child in self.running.values():
                child.wait()
            self.collect(ledger)


@dataclass(slots=True)
class Notifier:
    """Posts JSON to a URL; a failure to do so is logged and changes nothing.

    Attributes:
        url: where to, or None for nowhere.
        job: path of the ledger, to say which job it is.
        stall_seconds: without a finished image, after which a stall is told.
        failure_limit: share of failed images from which on that is told.
    """

    url: str | None
    job: str
    stall_seconds: float
    failure_limit: float
    _stalled: bool = False
    _failing: bool = False

    def watch(self, progress: Progress) -> None:
        """Tells a stall, and a failure rate over the limit, once each time it begins."""
        stalled = time.monotonic() - progress.last_finished > self.stall_seconds
        if stalled and not self._stalled:
            self.tell("stall", {"seconds_without_an_image": self.stall_seconds} | progress.summary())
        self._stalled = stalled
        finished = progress.finished + progress.unsuccessful
        failing = finished >= FEW and progress.unsuccessful > self.failure_limit * finished
        if failing and not self._failing:
            self.tell("failure-rate", {"limit": self.failure_limit} | progress.summary())
        self._failing = failing

    def tell(self, event: str, facts: Mapping[str, JSON]) -> None:
        """Posts one event."""
        if self.url is None:
            return
        body = json.dumps({"event": event, "job": self.job, "time": time.time()} | dict(facts)).encode()
        request = urllib.request.Request(  # noqa: S310 - the operator's own URL, checked to be http(s)
            self.url, data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=NOTIFY_SECONDS):  # noqa: S310 - as above
                pass
        except (OSError, urllib.error.URLError, ValueError) as error:
            _log.warning("the notification %s did not reach %s: %s", event, self.url, error)
