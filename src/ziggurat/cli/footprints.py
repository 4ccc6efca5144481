"""``ziggurat footprints SOURCE... --out INDEX``: which images lie where on the sky."""

from pathlib import Path

from ziggurat.cli import EXIT_OK
from ziggurat.cli.parsing import NO_NETWORK, Network
from ziggurat.cli.passing import counted
from ziggurat.convert.text import count, visible
from ziggurat.errors import UsageError
from ziggurat.sky.footprints import Footprints
from ziggurat.storage.urls import INDEX, is_index

SHOWN = 20
"""Images that were left out, which are told of."""


def footprints(*sources: str, out: Path, network: Network = NO_NETWORK) -> int:
    """Find out which FITS images lie where on the sky, by their headers, for `ziggurat cutout`.

    The same command again looks only at files that are new or have changed, and leaves out those that are gone.

    Args:
        sources: folders, globs, s3:// and other prefixes, single files.
        out: the index, with the suffix .zgf.
        network: how stores are reached.
    """
    network.options()
    if not sources:
        raise UsageError("give at least one folder, prefix or file with FITS images")
    if not is_index(str(out)):
        raise UsageError(f"{out} does not end in {INDEX}; indexes of footprints do")
    with Footprints(out) as index, counted("files looked at") as looked:
        read = index.update(sources, looked)
        files, images = index.counts()
        problems = index.problems()
    for problem in problems[:SHOWN]:
        print(f"left out: {visible(problem)}")
    if len(problems) > SHOWN:
        print(f"and {count(len(problems) - SHOWN)} more were left out")
    print(f"{out}: {count(images)} images in {count(files)} files, {count(read)} of them read now")
    return EXIT_OK
