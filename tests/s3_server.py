"""A real S3 server for tests: a single-node Ceph object gateway on loopback, from Debian's packages.

The fixture ``s3`` starts it once per session; it takes about 20 seconds and 0.7 GB of memory. Tests that use it
carry the marks in ``NEEDS_S3``: with ``pytest -n --dist loadgroup`` all files that name it run in one worker,
by ``pytest_xdist_make_scheduler`` (the groups of pytest-xdist 3.8 have no effect under pytest 9.2).
"""

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

NEEDS_S3 = [pytest.mark.s3, pytest.mark.xdist_group("s3")]
PACKAGES = "radosgw ceph-mon ceph-osd ceph-mgr ceph-common"
PROGRAMS = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph-mgr", "ceph", "monmaptool", "ceph-authtool")
KEY, SECRET = "TESTACCESSKEY", "TESTSECRETKEYTESTSECRETKEY"
START_TIMEOUT = 180.0

CONFIG = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon2}/0,v1:127.0.0.1:{mon1}/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = {folder}/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 2000
osd client watch timeout = 2
run dir = {folder}/run
log file = {folder}/log/$name.log
admin socket = {folder}/run/$name.asok
pid file = {folder}/run/$name.pid
[mon]
mon data = {folder}/mon
mon data avail crit = 1
[osd]
osd data = {folder}/osd
osd objectstore = bluestore
bluestore block size = 8589934592
bluestore fsck on mount = false
osd memory target = 939524096
osd class update on start = false
[client]
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw thread pool size = 64
"""


class S3Server:
    """The gateway with the cluster behind it. All of it dies with the process that started it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._gateway: subprocess.Popen[bytes] | None = None
        with _reserved(3) as ports:
            self._port, self._mon1, self._mon2 = ports

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def env(self) -> dict[str, str]:
        """What an S3 client finds in its environment."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }

    @cached_property
    def client(self) -> Any:
        """An independent client, by boto3."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def make_bucket(self, name: str, *, acl: str = "private") -> str:
        self.client.create_bucket(Bucket=name, ACL=acl)
        return name

    def sent(self, bucket: str, key: str) -> list[int]:
        """Bytes of each answer to a GET of an object so far, in the order of the server's own log."""
        # The log is written by a thread of its own: once this request stands in it, so do all that came before.
        mark = f"/{bucket}/{uuid.uuid4()}"
        with suppress(ClientError):
            self.client.head_object(Bucket=bucket, Key=mark.rpartition("/")[2])
        log, deadline = self._folder / "log" / "client.admin.log", time.monotonic() + START_TIMEOUT
        while mark not in (text := log.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return [
            int(length)
            for length in re.findall(rf'"GET /{bucket}/{re.escape(key)}(?:\?\S*)? HTTP/1.1" 20[06] (\d+) ', text)
        ]

    def start(self) -> None:
        for name in ("mon", "osd", "mgr", "rgw", "log", "run"):
            (self._folder / name).mkdir(parents=True)
        fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
        self._config.write_text(
            CONFIG.format(folder=self._folder, fsid=fsid, port=self._port, mon1=self._mon1, mon2=self._mon2)
        )
        keys = str(self._folder / "keyring")
        mons = str(self._folder / "monmap")
        allow = ("--cap", "osd", "allow *", "--cap", "mon")
        self._run("ceph-authtool", "--create-keyring", keys, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        self._run(
            "ceph-authtool", keys, "--gen-key", "-n", "client.admin", *allow, "allow *", "--cap", "mgr", "allow *"
        )
        address = f"[v2:127.0.0.1:{self._mon2},v1:127.0.0.1:{self._mon1}]"
        self._run("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", address, mons)
        self._ceph("ceph-mon", "--mkfs", "-i", "a", "--monmap", mons, "--keyring", keys)
        self._spawn("ceph-mon", "-i", "a", "-f")
        self._ceph("ceph", "osd", "new", osd, "0")
        profile = ("--cap", "mon", "allow profile")
        self._run(
            "ceph-authtool",
            keys,
            "--gen-key",
            "-n",
            "osd.0",
            *allow,
            "allow profile osd",
            "--cap",
            "mgr",
            "allow profile osd",
        )
        self._run(
            "ceph-authtool",
            keys,
            "--gen-key",
            "-n",
            "mgr.x",
            *profile[:2],
            "allow profile mgr",
            "--cap",
            "osd",
            "allow *",
        )
        self._ceph("ceph", "auth", "import", "-i", keys)
        self._ceph("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._ceph("ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=localhost")
        self._spawn("ceph-osd", "-i", "0", "-f")
        # radosgw-admin hangs without a manager.
        self._spawn("ceph-mgr", "-i", "x", "--mgr-data", str(self._folder / "mgr"), "-f")
        self._wait_for_cluster()
        user = ("--uid=test", "--display-name=test", f"--access-key={KEY}", f"--secret={SECRET}")
        self._ceph("radosgw-admin", "user", "create", *user)
        self.start_gateway()

    def _wait_for_cluster(self) -> None:
        """Waits for disk and manager: radosgw-admin can hang or crash while they come up."""
        command = ("ceph", "-c", str(self._config), "status", "--format", "json")
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            answer = subprocess.run(command, capture_output=True, timeout=START_TIMEOUT, check=True).stdout
            status = json.loads(answer)
            if status["osdmap"]["num_up_osds"] == 1 and status["mgrmap"]["available"]:
                return
            time.sleep(0.2)
        raise RuntimeError(f"the Ceph cluster does not come up; see {self._folder / 'log'}")

    def start_gateway(self) -> None:
        """Starts the S3 server itself; the objects are those that it had."""
        keys, data = str(self._folder / "keyring"), str(self._folder / "rgw")
        self._gateway = self._spawn("radosgw", "-n", "client.admin", "--keyring", keys, "--rgw-data", data, "-f")
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if time.monotonic() > deadline or self._gateway.poll() is not None:
                raise RuntimeError(f"the gateway does not answer; see {self._folder / 'log'}")
            time.sleep(0.1)

    def stop_gateway(self) -> None:
        """Kills the S3 server as a power cut would; the cluster behind it goes on."""
        if self._gateway is not None:
            self._gateway.kill()
            self._gateway.wait()
            self._daemons.remove(self._gateway)
            self._gateway = None

    def stop(self) -> None:
        for daemon in reversed(self._daemons):
            daemon.kill()
        for daemon in self._daemons:
            daemon.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _config(self) -> Path:
        return self._folder / "ceph.conf"

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=10):  # noqa: S310 - our own server
                return True
        except OSError:
            return False

    def _run(self, *command: str) -> None:
        with (self._folder / "log" / "start.log").open("ab") as log:
            for attempt in (1, 2, 3):
                result = subprocess.run(command, stdout=log, stderr=log, timeout=START_TIMEOUT, check=False)
                # radosgw-admin has been seen to crash while the first pools are being made.
                if result.returncode >= 0 or attempt == 3:
                    result.check_returncode()
                    return
                time.sleep(1)

    def _ceph(self, program: str, *arguments: str) -> None:
        self._run(program, "-c", str(self._config), *arguments)

    def _spawn(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / "log" / "start.log").open("ab") as log:
            daemon = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", program, "-c", str(self._config), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._daemons.append(daemon)
        return daemon


class _reserved:  # noqa: N801 - used as a function
    """Free ports, different from each other."""

    def __init__(self, count: int) -> None:
        self._sockets = [socket.socket() for _ in range(count)]

    def __enter__(self) -> list[int]:
        for item in self._sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in self._sockets]

    def __exit__(self, *_: object) -> None:
        for item in self._sockets:
            item.close()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``--dist loadgroup``: the tests of all files that name NEEDS_S3 go to one worker.

    So do those of each file whose fixtures serve all of it: two workers would make them twice.
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - only there when this hook is called

    root = config.rootpath

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            text = _text(root / file)
            if "NEEDS_S3" in text or "s3: S3Server" in text:
                return "s3"
            return file if 'scope="module"' in text else nodeid

    return Together(config, log)


@cache
def _text(path: Path) -> str:
    return path.read_text()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server; skips where Ceph is not installed."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found: the S3 server needs Debian's packages {PACKAGES}")
    # The daemons' sockets need a short path.
    folder = Path(os.path.realpath(tmp_path_factory.mktemp("s3")))
    server = S3Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
