"""Images in a real S3 store, and cutouts into one."""

import uuid
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits

from s3_server import NEEDS_S3, S3Server
from sky_files import save, sky, tan
from ziggurat.cli import run
from ziggurat.sky.angles import parse_extent
from ziggurat.sky.one import cut
from ziggurat.sky.options import CutoutOptions

pytestmark = NEEDS_S3
SIZE = (400, 500)


@pytest.fixture
def bucket(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    name = s3.make_bucket(f"sky-{uuid.uuid4().hex[:10]}")
    data = save(tmp_path / "image.fits", (sky(SIZE), tan(150, 2, SIZE))).read_bytes()
    s3.client.put_object(Bucket=name, Key="sky/image.fits", Body=data)
    return name


def test_images_in_a_store_are_found_and_cut(bucket: str) -> None:
    wanted = CutoutOptions(kind="fits", extent=parse_extent("50px"))
    [made] = cut([f"s3://{bucket}/sky/"], SkyCoord(150, 2, unit="deg"), wanted, memory=1 << 30)
    np.testing.assert_array_equal(made.data, sky(SIZE)[175:225, 225:275])


def test_a_catalogue_is_cut_from_a_store_into_it(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    table = tmp_path / "targets.csv"
    table.write_text("name,ra,dec\na,150,2\nb,150.01,2.01\nc,10,10\n")
    command = ["cutout", f"s3://{bucket}/sky/", "--catalogue", str(table), "--size", "20px", "--workers", "1"]
    command += ["--dest", f"s3://{bucket}/cut", "--job", str(tmp_path / "cut.zgj")]
    assert run(command) == 0
    found = s3.client.get_object(Bucket=bucket, Key="cut/a.fits")["Body"].read()
    with fits.HDUList.fromstring(found) as file:
        np.testing.assert_array_equal(file[0].data, sky(SIZE)[190:210, 240:260])
    assert run(command) == 0
    job = str(tmp_path / "cut.zgj")
    assert run(["report", job]) == 0
    assert (tmp_path / "cut.html").read_text().count("data:image/jpeg;base64,") == 2
    assert run(["verify", job]) == 0
    s3.client.put_object(Bucket=bucket, Key="cut/b.fits", Body=found[:-1])
    assert run(["verify", job]) == 3
