"""An image on a web server, served: another server's original, behind a secret in its address."""

from pathlib import Path

import numpy as np

from jobs import picture, write_image
from serving import serving

SECRET = "a-secret-in-an-address"  # noqa: S105 - of a test


def test_one_file_of_a_web_server_is_served_and_nothing_else_of_it(tmp_path: Path) -> None:
    pixels = picture(300, 400)
    write_image(tmp_path / "images" / "scan.png", pixels)
    write_image(tmp_path / "images" / "other.png")
    caches = [{"ZIGGURAT_CACHE": str(tmp_path / name)} for name in ("one", "two")]
    options = ("--workers", 1)
    with serving(tmp_path / "images", "--auth", "token", *options, ZIGGURAT_SERVE_SECRET=SECRET, **caches[0]) as origin:
        address = f"{origin.url}/download/scan.png?token={SECRET}"
        with serving(address, f"second={address}", *options, **caches[1]) as server:
            for name in ("scan.png", "second"):
                answer = server.get(f"/iiif/3/{name}/10,20,100,50/max/0/default.png")
                assert np.array_equal(answer.pixels, pixels[20:70, 10:110])
            assert server.get("/download/scan.png", Range="bytes=1-3").body == b"PNG"
            for identifier in ("other.png", "..%2Fdownload%2Fother.png", "scan.png%2F..%2Fother.png", "scan.png%3Fx"):
                assert server.get(f"/iiif/3/{identifier}/info.json").status == 404
            items = server.get("/presentation/3/collection.json").json["items"]
            assert [item["label"]["none"][0] for item in items] == ["scan", "second"]
            answers = [server.get(path) for path in ("/presentation/3/collection.json", "/openapi.json", "/metrics")]
            origin.process.kill()
            origin.process.wait()
            # What lies ready is served without the origin; what does not says so, without the secret.
            assert server.get("/iiif/3/scan.png/10,20,100,50/max/0/default.png").status == 200
            answers.append(server.get("/download/scan.png"))
            answers.append(server.get("/iiif/3/scan.png/11,20,100,50/max/0/default.png"))
            assert all(SECRET not in answer.body.decode("latin-1") + str(answer.headers) for answer in answers)
            assert SECRET not in "".join(server.lines)
