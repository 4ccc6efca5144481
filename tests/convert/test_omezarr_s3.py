"""Groups in a real S3 server."""

import uuid
from pathlib import Path

import pytest

from groups import digest, listed
from jobs import convert, picture, rows, write_image, ziggurat
from s3_server import NEEDS_S3, S3Server

pytestmark = NEEDS_S3


def test_a_store_gets_the_group_s_document_last(tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    bucket = s3.make_bucket(f"groups-{uuid.uuid4().hex[:10]}")
    write_image(tmp_path / "in" / "a.png", picture(700, 600))
    # What an attempt that was interrupted has left.
    s3.client.put_object(Bucket=bucket, Key="out/a.ome.zarr/0/c/0/0/0", Body=b"half")
    job = tmp_path / "job.zgj"
    result = convert(tmp_path / "in", f"s3://{bucket}/out", "--job", job, to="ome-zarr")
    assert result.code == 0, result.said
    row = rows(job)["a.png"]
    found = s3.client.list_objects_v2(Bucket=bucket)["Contents"]
    inside = tmp_path / "copy"
    for item in found:
        path = inside / item["Key"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3.client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())
    assert digest(inside / "out" / "a.ome.zarr") == (row["output_sha256"], row["output_size"])
    assert set(listed(inside / "out")) == {"a.ome.zarr"}
    assert ziggurat("verify", job).code == 0
    newest = max(found, key=lambda item: item["LastModified"])
    assert newest["Key"].endswith("zarr.json")
    s3.client.delete_object(Bucket=bucket, Key="out/a.ome.zarr/1/zarr.json")
    assert ziggurat("verify", job).code != 0
    refused = convert(tmp_path / "in", f"s3://{bucket}/out", "--job", tmp_path / "b.zgj", to="ome-zarr")
    assert refused.code != 0
    replaced = convert(tmp_path / "in", f"s3://{bucket}/out", "--job", tmp_path / "c.zgj", "--overwrite", to="ome-zarr")
    assert replaced.code == 0, replaced.said
    assert ziggurat("verify", tmp_path / "c.zgj").code == 0
