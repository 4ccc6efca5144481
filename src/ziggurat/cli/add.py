"""``ziggurat add SOURCE... PACK``: more images for a pack."""

from dataclasses import dataclass
from functools import partial

from cyclopts import Parameter

from ziggurat.cli.filling import NORMALLY, NOTHING, Filling, Order, Said, filled
from ziggurat.cli.packs import PACK, TOLD, Flag, Reading, Telling, pack_path, split_places
from ziggurat.pack.making import reopen


@Parameter(name="*")
@dataclass(frozen=True)
class Adding:
    """What happens to what is there.

    Attributes:
        replace: an image takes the place of another one of its key.
        compact: put the pack in order at the end, which takes as much room again while it lasts.
    """

    replace: Flag = False
    compact: Flag = False


MORE = Adding()
"""What is there stays as it is."""


def add(
    *places: str,
    adding: Adding = MORE,
    said: Said = NOTHING,
    filling: Filling = NORMALLY,
    reading: Reading = PACK,
    telling: Telling = TOLD,
) -> int:
    """Put more images into a pack. What is there already stays; readers see the pack as it was, or as it is then.

    Args:
        places: SOURCE... PACK: sources as of `ziggurat pack`; then the pack, which exists.
        adding: what happens to what is there.
        said: what is said of images.
        filling: how images are packed.
        reading: how packs and databases are read.
        telling: how the command says what it does.
    """
    sources, out = split_places(places, "the pack")
    path = pack_path(out)
    order = Order(said.sources(sources, reading), filling.choices(replace=adding.replace), said.indexes, telling)
    return filled(order, partial(reopen, path, beside_over=filling.limit), compact=adding.compact, new=False)
