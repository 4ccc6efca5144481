"""From a click to a picture: a strip BigTIFF of 24 GB on S3 in a browser, before and after its levels are made.

``make bench-first-view`` runs it. It needs Ceph, Chromium and 10 GB of disk: the image is a photograph of which every
pixel became a square, so that the store can keep it compressed; it never is a file here.
"""

import argparse
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

import s3_server
from browsing import Browser, browsing
from convert import REPOSITORY, data_folder
from serving import Server, serving
from sparse_tiff import directory, header, strips
from tables import machine, write_section
from window import LARGE_BLOCKS, SMALL_BLOCKS

BUCKET: Final = "first-view"
NAME: Final = "scan.btf"
PHOTOGRAPH: Final = "debian-wallpapers/**/Elephants*.jpg"
SCALE: Final = 21
"""Pixels a side of the square that a pixel of the photograph becomes."""

FRONT: Final = 64 << 10
"""Bytes in front of the pixels."""

ROWS: Final = 8
"""Rows of a strip."""

PART: Final = 64 << 20
"""Bytes of an upload's parts, about."""

STILL: Final = 4.0
"""Seconds without a change after which a page is taken to be done."""

BLANK: Final = np.zeros((1, 1, 4), np.uint8)

COMPRESSED: Final = "\nbluestore compression mode = force\nbluestore compression algorithm = lz4"


@dataclass(slots=True)
class Opening:
    """What a page showed: (y, x, red green blue alpha) at first and at last, and seconds from the click until then."""

    began: float
    first: float = 0.0
    last: float = 0.0
    early: NDArray[np.uint8] = field(default_factory=lambda: BLANK)
    picture: NDArray[np.uint8] = field(default_factory=lambda: BLANK)

    def show(self, canvas: NDArray[np.uint8]) -> bool:
        """Takes what the canvas holds now; whether the page is done."""
        now = time.monotonic() - self.began
        if canvas[:, :, 3].any() and not np.array_equal(canvas, self.picture):
            if not self.first:
                self.first, self.early = now, canvas
            self.last, self.picture = now, canvas
        return now > (self.last or 60) + STILL


def apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean absolute difference of two canvases where both show something."""
    both = (one[:, :, 3] == 255) & (other[:, :, 3] == 255)
    return float(np.abs(one[both][:, :3].astype(int) - other[both][:, :3]).mean())


def opened(browser: Browser, server: Server, shot: str) -> Opening:
    """Opens the image in a page of its own, and waits until nothing changes any more."""
    with browser.tab(f"{server.url}/healthz") as tab:
        opening = Opening(time.monotonic())
        tab.page.goto(f"{server.url}/image?id={NAME}", wait_until="commit")
        while not (tab.page.query_selector("#canvas canvas") and opening.show(tab.pixels())):
            tab.page.wait_for_timeout(30)
        tab.shot(shot)
        for line in tab.said:
            print(f"{shot}: the page says {line}", file=sys.stderr, flush=True)
        print(f"{shot}: {opening.first:.1f} s, {opening.last:.1f} s", file=sys.stderr, flush=True)
        tab.said.clear()
        return opening


def pieces(photograph: NDArray[np.uint8]) -> Iterator[bytes]:
    """The image's bytes in order."""
    height, width = (SCALE * side for side in photograph.shape[:2])
    at = FRONT + height * width * 3
    yield header(at).ljust(FRONT, b"\0")
    for line in photograph:
        yield np.repeat(line, SCALE, axis=0).tobytes() * SCALE
    yield from (piece for _, piece in sorted(directory(strips(height, width, ROWS, FRONT), at).items()))


def parts(photograph: NDArray[np.uint8]) -> Iterator[bytes]:
    """The same in parts for an upload."""
    held = bytearray()
    for piece in pieces(photograph):
        held += piece
        if len(held) >= PART:
            yield bytes(held)
            held.clear()
    yield bytes(held)


def upload(store: s3_server.S3Server, photograph: NDArray[np.uint8]) -> int:
    """Puts the image into the bucket; its bytes."""
    client = store.client
    where = {"Bucket": BUCKET, "Key": NAME}
    where["UploadId"] = client.create_multipart_upload(**where)["UploadId"]
    tags: list[dict[str, object]] = []

    def put(number: int, data: bytes) -> dict[str, object]:
        return {"PartNumber": number, "ETag": client.upload_part(**where, PartNumber=number, Body=data)["ETag"]}

    with ThreadPoolExecutor(2) as pool:
        under_way: deque[Future[dict[str, object]]] = deque()
        for number, data in enumerate(parts(photograph), 1):
            under_way.append(pool.submit(put, number, data))
            if len(under_way) > 2:
                tags.append(under_way.popleft().result())
        tags += [one.result() for one in under_way]
    client.complete_multipart_upload(**where, MultipartUpload={"Parts": tags})
    return int(client.head_object(Bucket=BUCKET, Key=NAME)["ContentLength"])


def made(server: Server) -> float:
    """Waits until the coarser levels are there: a picture of all of it is no sketch. The seconds that it took."""
    began = time.monotonic()
    while server.get(f"/iiif/3/{NAME}/full/!400,400/0/default.png").headers["Ziggurat-Sketch"]:
        time.sleep(2)
    return time.monotonic() - began


TEXT = """## First view of a strip BigTIFF on S3

`make bench-first-view`: {machine}. An uncompressed BigTIFF of {height:,} x {width:,} pixels, {size:.1f} GB in strips of
{rows} rows, on a Ceph S3 server of the same machine, opened in Chromium on the viewer's image page of 1280 x 800.
Seconds from the click.

| | first picture | its last change |
| --- | ---: | ---: |
| nothing known of the file | {before.first:.1f} | {before.last:.1f} |
| its levels made | {after.first:.1f} | {after.last:.1f} |
| the same, server started anew, no tile in its cache | {again.first:.1f} | {again.last:.1f} |

Making the levels took {seconds:.0f} s, behind everything else. The first picture, a sketch of some rows, is apart from
the right one by {coarse:.1f} of 255 on average.
"""


def main() -> int:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of pictures")
    parser.add_argument("--work", type=Path, help="folder for the store's disk")
    parser.add_argument("--document", type=Path, default=REPOSITORY / "docs" / "benchmarks.md")
    given = parser.parse_args()
    photograph = imagecodecs.imread(next(data_folder(given.data).glob(PHOTOGRAPH)))
    s3_server.CONFIG = s3_server.CONFIG.replace(SMALL_BLOCKS, LARGE_BLOCKS + COMPRESSED)
    with tempfile.TemporaryDirectory(prefix="zg-", dir=given.work) as place:
        work = Path(place)
        store = s3_server.S3Server(work / "s3")
        try:
            store.start()
            store.make_bucket(BUCKET)
            size = upload(store, photograph)
            print(f"{size / 1e9:.1f} GB are in the store", file=sys.stderr)
            own = store.env | {"ZIGGURAT_CACHE": str(work / "cache")}
            with browsing(work) as browser:
                with serving(f"s3://{BUCKET}/", **own) as server:
                    before = opened(browser, server, "first-view-sketch")
                    seconds = before.last + made(server)
                    after = opened(browser, server, "first-view-sharp")
                with serving(f"s3://{BUCKET}/", "--cache-size", "0", **own) as server:
                    again = opened(browser, server, "first-view-again")
        finally:
            store.stop()
    text = TEXT.format(
        machine=machine(),
        height=SCALE * photograph.shape[0],
        width=SCALE * photograph.shape[1],
        size=size / 1e9,
        rows=ROWS,
        before=before,
        after=after,
        again=again,
        seconds=seconds,
        coarse=apart(before.early, after.picture),
    )
    print(text)
    write_section(given.document, "first-view", text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
