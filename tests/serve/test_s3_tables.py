"""A manifest and a job whose images lie in a store."""

import uuid
from pathlib import Path
from urllib.parse import quote

import numpy as np

from jobs import FAST, encoded, finish, manifest, picture, start
from packs import packable
from s3_server import NEEDS_S3, S3Server
from serving import serving
from ziggurat.pack.schema import Column
from ziggurat.pack.writer import PackWriter

pytestmark = NEEDS_S3


def test_sources_and_outputs_in_a_store(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.make_bucket(f"tables-{uuid.uuid4().hex[:10]}")
    pixels = [picture(60, 80, seed=seed) for seed in range(2)]
    for number, one in enumerate(pixels):
        s3.client.put_object(Bucket=bucket, Key=f"in/{number}.png", Body=encoded(one, ".png"))
    table = manifest(tmp_path / "m.csv", ["source,item,name", *(f"s3://{bucket}/in/{n}.png,it,p{n}" for n in range(2))])
    environment = {**s3.env, "ZIGGURAT_CACHE": str(tmp_path / "cache")}
    with serving(table, "--workers", 1, **environment) as server:
        shown = server.get(f"/iiif/3/{quote(f's3://{bucket}/in/1.png', safe='')}/full/max/0/default.png")
        assert np.array_equal(shown.pixels, pixels[1])
        assert len(server.get("/presentation/3/it/manifest.json").json["items"]) == 2
        assert server.get(f"/iiif/3/{quote(f's3://{bucket}/in/2.png', safe='')}/info.json").status == 404
    job = [table, f"s3://{bucket}/out", "--to", "jpeg", "--name", "{name}", *FAST, "--job", tmp_path / "j.zgj"]
    done = finish(start("convert", *job, **s3.env))
    assert done.code == 0, done.said
    with serving(tmp_path / "j.zgj", "--workers", 1, **environment) as server:
        for pair in server.get("/api/job/review").json["pairs"]:
            number = int(pair["item"][1])
            source = server.get(f"/iiif/3/{quote(pair['source_id'], safe='')}/full/max/0/default.png")
            output = server.get(f"/iiif/3/{quote(pair['output_id'], safe='')}/full/max/0/default.png")
            assert np.array_equal(source.pixels, pixels[number])
            assert np.abs(output.pixels.astype(int) - pixels[number]).mean() < 3


def test_attributes_of_a_pack_in_a_store_are_searched(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.make_bucket(f"packs-{uuid.uuid4().hex[:10]}")
    with PackWriter(tmp_path / "all.zpk") as writer:
        writer.add_columns((Column("material", "TEXT"),))
        for number, material in enumerate(("gold", "silver")):
            data = encoded(picture(60, 80, seed=number), ".png")
            writer.put(packable(f"p/{number}.png", data, material=material))
    s3.client.put_object(Bucket=bucket, Key="all.zpk", Body=(tmp_path / "all.zpk").read_bytes())
    environment = {**s3.env, "ZIGGURAT_CACHE": str(tmp_path / "cache")}
    with serving(f"s3://{bucket}/all.zpk", "--workers", 1, **environment) as server:
        assert [item["id"] for item in server.get("/api/items?q=material:silver").json["items"]] == ["p/1.png"]
        shown = server.get("/iiif/3/p%2F1.png/full/max/0/default.png")
        assert np.array_equal(shown.pixels, picture(60, 80, seed=1))
        assert server.get("/api/image/p%2F1.png").json["described"] == [{"label": "material", "value": "silver"}]
