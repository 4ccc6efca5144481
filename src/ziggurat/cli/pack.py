"""``ziggurat pack SOURCE... OUT.zpk``: many images become one file."""

from functools import partial

from ziggurat.cli.filling import NORMALLY, NOTHING, Filling, Order, Said, filled
from ziggurat.cli.packs import PACK, TOLD, Flag, Reading, Telling, pack_path, split_places
from ziggurat.pack.making import begin


def pack(
    *places: str,
    said: Said = NOTHING,
    filling: Filling = NORMALLY,
    no_compact: Flag = False,
    reading: Reading = PACK,
    telling: Telling = TOLD,
) -> int:
    """Put images into one file, which is read in place. The same command again goes on where it stopped.

    The key of an image is its path below the source, or what a manifest says.

    Args:
        places: SOURCE... OUT.zpk: folders, globs, s3:// and other prefixes, single files, CSV manifests, tar files,
            packs; then the pack to make.
        said: what is said of images.
        filling: how images are packed.
        no_compact: do not put the pack in order at the end, which takes as much room again while it lasts.
        reading: how packs and databases are read.
        telling: how the command says what it does.
    """
    sources, out = split_places(places, "the pack to make")
    path = pack_path(out)
    order = Order(said.sources(sources, reading), filling.choices(), said.indexes, telling)
    return filled(order, partial(begin, path, beside_over=filling.limit), compact=not no_compact, new=True)
