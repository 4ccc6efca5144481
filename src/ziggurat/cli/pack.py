"""``ziggurat pack SOURCE... OUT.zpk``: many images become one file."""

from functools import partial

from ziggurat.cli.filling import NORMALLY, NOTHING, Filling, Order, Said, filled
from ziggurat.cli.packs import PACK, TOLD, Flag, Foreign, Telling, pack_path, split_places
from ziggurat.cli.parsing import NO_NETWORK, Network
from ziggurat.pack.making import begin


def pack(
    *places: str,
    said: Said = NOTHING,
    filling: Filling = NORMALLY,
    no_compact: Flag = False,
    foreign: Foreign = PACK,
    telling: Telling = TOLD,
    network: Network = NO_NETWORK,
) -> int:
    """Put images into one file, which is read in place. The same command again goes on where it stopped.

    The key of an image is its path below the source, or what a manifest says.

    Args:
        places: SOURCE... OUT.zpk: folders, globs, s3:// and other prefixes, single files, CSV manifests, tar files,
            packs; then the pack to make.
        said: what is said of images.
        filling: how images are packed.
        no_compact: do not put the pack in order at the end, which takes as much room again while it lasts.
        foreign: where the images are in a database.
        telling: how the command says what it does.
        network: how stores are reached.
    """
    network.options()
    sources, out = split_places(places, "the pack to make")
    path = pack_path(out)
    order = Order(said.sources(sources, foreign), filling.choices(), said.indexes, telling)
    return filled(order, partial(begin, path, beside_over=filling.limit), compact=not no_compact, new=True)
