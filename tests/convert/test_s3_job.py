"""The same job into a real S3 server, also while the server dies and comes back, and when what it stores is wrong."""

import hashlib
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from jobs import query
from s3_server import NEEDS_S3, S3Server
from ziggurat.testing.fault_proxy import Fault, FaultProxy, Rule

pytestmark = NEEDS_S3
IMAGES = 30


@pytest.fixture
def bucket(s3: S3Server) -> str:
    return s3.make_bucket(f"job-{uuid.uuid4().hex[:10]}")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for number in range(IMAGES):
        pixels = rng.integers(0, 256, (90 + number, 120, 3), np.uint8)
        (folder / f"{number:02}.jp2").write_bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="jp2"))
    return folder


def convert(
    sources: str, destination: str, job: Path, environment: dict[str, str], *extra: str
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "ziggurat", "convert", sources, destination, "--to", "jpeg", "--job", str(job),
         "--memory", "2G", *extra],
        env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=job.parent,
    )  # fmt: skip


def ended(job: subprocess.Popen[bytes], code: int = 0) -> str:
    said, _ = job.communicate(timeout=240)
    assert job.returncode == code, said.decode()
    return said.decode()


def prove(s3: S3Server, bucket: str, prefix: str, ledger: Path) -> None:
    """Every row is done once, and every object holds the bytes that the ledger records, by an independent client."""
    rows = query(ledger, "SELECT target, state, output_sha256, output_size FROM images")
    assert len(rows) == IMAGES
    assert {state for _, state, _, _ in rows} == {"done"}
    listed = s3.client.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    assert {entry["Key"] for entry in listed} == {f"{prefix}/{target}" for target, *_ in rows}
    for target, _, sha256, size in rows:
        body = s3.client.get_object(Bucket=bucket, Key=f"{prefix}/{target}")["Body"].read()
        assert (hashlib.sha256(body).hexdigest(), len(body)) == (sha256, size)
    assert not list(ledger.parent.glob("*.scratch")), "a temporary file remains"


def test_a_job_from_disk_to_s3_and_from_s3_to_disk(s3: S3Server, bucket: str, scans: Path, tmp_path: Path) -> None:
    ended(convert(str(scans), f"s3://{bucket}/jpeg", tmp_path / "a.zgj", s3.env))
    prove(s3, bucket, "jpeg", tmp_path / "a.zgj")
    said = ended(convert(f"s3://{bucket}/jpeg", str(tmp_path / "back"), tmp_path / "b.zgj", s3.env))
    assert f"{IMAGES} done" in said
    assert len(list((tmp_path / "back").glob("*.jpg"))) == IMAGES
    verify = [sys.executable, "-m", "ziggurat", "verify", str(tmp_path / "a.zgj")]
    checked = subprocess.run(verify, env=os.environ | s3.env, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert f"{IMAGES} outputs read, {IMAGES} as recorded, 0 not" in checked.stdout


def test_an_existing_object_is_not_overwritten(s3: S3Server, bucket: str, scans: Path, tmp_path: Path) -> None:
    s3.client.put_object(Bucket=bucket, Key="jpeg/07.jpg", Body=b"somebody's")
    ended(convert(str(scans), f"s3://{bucket}/jpeg", tmp_path / "a.zgj", s3.env), 3)
    assert s3.client.get_object(Bucket=bucket, Key="jpeg/07.jpg")["Body"].read() == b"somebody's"
    [(kind, message)] = query(tmp_path / "a.zgj", "SELECT error_class, error_message FROM images WHERE state <> 'done'")
    assert kind == "TargetExists"
    assert "--overwrite" in message
    ended(convert(str(scans), f"s3://{bucket}/jpeg", tmp_path / "a.zgj", s3.env, "--overwrite", "--retry-failed"))
    prove(s3, bucket, "jpeg", tmp_path / "a.zgj")


def test_the_server_dies_and_comes_back_while_the_job_runs(
    s3: S3Server, bucket: str, scans: Path, tmp_path: Path
) -> None:
    job = convert(str(scans), f"s3://{bucket}/jpeg", tmp_path / "a.zgj", s3.env)
    deadline = time.monotonic() + 120
    while not s3.client.list_objects_v2(Bucket=bucket).get("KeyCount"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    s3.stop_gateway()
    try:
        time.sleep(8)
        assert job.poll() is None, ended(job)
    finally:
        s3.start_gateway()
    ended(job)
    prove(s3, bucket, "jpeg", tmp_path / "a.zgj")


def test_a_killed_job_resumes_into_the_same_bucket(s3: S3Server, bucket: str, scans: Path, tmp_path: Path) -> None:
    job = convert(str(scans), f"s3://{bucket}/jpeg", tmp_path / "a.zgj", s3.env)
    deadline = time.monotonic() + 120
    while s3.client.list_objects_v2(Bucket=bucket).get("KeyCount", 0) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    job.kill()
    job.communicate()
    said = ended(convert(str(scans), f"s3://{bucket}/jpeg", tmp_path / "a.zgj", s3.env))
    assert "(resumed)" in said
    prove(s3, bucket, "jpeg", tmp_path / "a.zgj")


@pytest.mark.parametrize("fault", [Fault.FLIP_UPLOAD, Fault.RESET_AFTER, Fault.UNAVAILABLE, Fault.RESET])
def test_faults_on_the_way_cost_attempts_and_nothing_else(
    s3: S3Server, bucket: str, scans: Path, tmp_path: Path, fault: Fault
) -> None:
    rules = [Rule(fault, method="PUT", after=5, times=3)]
    # Neither the signature nor a declared checksum covers the body: only the comparison afterwards can tell.
    unguarded = {"AWS_UNSIGNED_PAYLOAD": "true", "AWS_CHECKSUM_ALGORITHM": "CRC64NVME"}
    with FaultProxy(s3.url, rules) as proxy:
        environment = s3.env | {"AWS_ENDPOINT_URL": proxy.url} | (unguarded if fault is Fault.FLIP_UPLOAD else {})
        ended(convert(str(scans), f"s3://{bucket}/jpeg", tmp_path / "a.zgj", environment))
    prove(s3, bucket, "jpeg", tmp_path / "a.zgj")
    if fault is Fault.FLIP_UPLOAD:
        attempts = query(tmp_path / "a.zgj", "SELECT error_class FROM attempts")
        assert ("ChecksumMismatch",) in attempts


def test_wrong_credentials_stop_the_job_before_it_begins(
    s3: S3Server, bucket: str, scans: Path, tmp_path: Path
) -> None:
    wrong = s3.env | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    said = ended(convert(str(scans), f"s3://{bucket}/jpeg", tmp_path / "a.zgj", wrong), 1)
    assert "access was refused" in said
    assert not (tmp_path / "a.zgj").exists()
