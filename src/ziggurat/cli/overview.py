"""``ziggurat overview URL...``: the levels that images lack, made in one pass."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import ziggurat
from ziggurat.cli.parsing import NO_NETWORK, Network
from ziggurat.cli.passing import shown
from ziggurat.cli.several import check_out, each, path_beside
from ziggurat.convert.text import size, visible
from ziggurat.errors import TargetExists, UsageError
from ziggurat.pyramid.made import beside_of

Flag = Annotated[bool, Parameter(negative="")]


def overview(
    *urls: str,
    beside: Flag = False,
    out: Path | None = None,
    overwrite: Flag = False,
    network: Network = NO_NETWORK,
) -> int:
    """Make the levels that images lack, in one pass over each, so that any window of any level is read at once.

    They are kept in the cache of this user, $ZIGGURAT_CACHE, unless told otherwise.

    Args:
        urls: paths or URLs of images.
        beside: write them beside each image, which is local, as NAME.ovr: for good, and for GDAL, too.
        out: write those of a single image to this file.
        overwrite: replace files that exist.
        network: how stores are reached.
    """
    network.options()
    check_out(urls, out, beside=beside)

    def make(url: str) -> str:
        return _make(url, path_beside(url, beside_of) if beside else out, overwrite=overwrite)

    return each(urls, make)


def _make(url: str, target: Path | None, *, overwrite: bool) -> str:
    """Makes the levels of one image, and says what came of it."""
    with ziggurat.open(url) as image, shown(url) as progress:
        number = len(image.levels) - len(image.info.levels)
        if not number:
            return f"{url}: has all its levels"
        if target is None:
            path = image.build_levels(progress=progress)
            if path is None:
                raise UsageError("there is no cache: set ZIGGURAT_CACHE_SIZE to 10G or so, or use --beside or --out")
        elif image.overview == target and not overwrite:
            return f"{target}: is there already, with {number} levels of {url}"
        elif target.exists() and not overwrite:
            raise TargetExists(f"{target} exists already; use --overwrite to replace it")
        else:
            image.write_levels(target, progress=progress)
            path = target
        for warning in image.warnings:
            print(f"{visible(url)}: {visible(warning)}", file=sys.stderr)
        return f"{path}: {number} levels of {url}, {size(path.stat().st_size)}"
