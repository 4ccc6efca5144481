"""``ziggurat index URL...``: where everything lies in JPEG 2000 images, found out once."""

import time
from typing import Annotated

from cyclopts import Parameter

import ziggurat
from ziggurat.cli.parsing import NO_NETWORK, Network, publish
from ziggurat.cli.several import check_out, each, path_beside
from ziggurat.convert.text import size
from ziggurat.format.shelf import beside_of

Flag = Annotated[bool, Parameter(negative="")]


def index(
    *urls: str,
    beside: Flag = False,
    out: str | None = None,
    overwrite: Flag = False,
    network: Network = NO_NETWORK,
) -> int:
    """Find out where everything lies in JPEG 2000 images, so that reading a window takes a single request.

    An index is kept in the cache of this user, $ZIGGURAT_CACHE, unless told otherwise. Reading makes it, too, as far as
    it is needed: this command does it for all of an image, and for readers on other machines.

    Args:
        urls: paths or URLs of images.
        beside: write it beside each image, which is local, as NAME.zgi, where it is found.
        out: write that of a single image to this path or s3:, gs: or az: URL, for `ziggurat read --index`.
        overwrite: replace files that exist.
        network: how stores are reached.
    """
    network.options()
    check_out(urls, out, beside=beside)

    def make(url: str) -> str:
        return _make(url, str(path_beside(url, beside_of)) if beside else out, overwrite=overwrite)

    return each(urls, make)


def _make(url: str, target: str | None, *, overwrite: bool) -> str:
    """Makes the index of one image, and says what came of it."""
    began = time.monotonic()
    with ziggurat.open(url) as image:
        data = image.make_index()
        seconds = time.monotonic() - began
        if target is None:
            image.keep_index(data)
            place = "kept in the cache"
        else:
            place = publish(lambda path: path.write_bytes(data), target, overwrite=overwrite)
        pixels = image.info.size.pixels / 1e6
        return f"{url}: {place}, {size(len(data))} for {pixels:,.0f} MP and {size(image.source.size)}, {seconds:.2f} s"
