"""``ziggurat rm PACK KEY...``: images leave a pack."""

import sys
from typing import Annotated

from cyclopts import Parameter

from ziggurat.cli import EXIT_OK, EXIT_SOME_FAILED
from ziggurat.cli.packs import Flag, pack_path
from ziggurat.convert.text import plural, size, visible
from ziggurat.errors import UsageError
from ziggurat.pack.making import reopen, size_of
from ziggurat.pack.pack import Pack


def rm(
    pack: str, /, *keys: str, where: Annotated[str | None, Parameter(name="--where")] = None, compact: Flag = False
) -> int:
    """Take images out of a pack, all in one transaction.

    Their room is used for the images that are added next; --compact gives it back, and removes what lies beside.

    Args:
        pack: the .zpk file.
        keys: of the images.
        where: take out all images that this SQL expression is true of.
        compact: put the pack in order, which takes as much room again while it lasts.
    """
    path = pack_path(pack)
    if not keys and where is None and not compact:
        raise UsageError("give keys, or --where EXPRESSION; --compact alone gives back the room of what was removed")
    with reopen(path) as writer:
        chosen = list(keys)
        if where is not None:
            with Pack(path) as reader:
                chosen += [entry.key for entry in reader.entries(where)]
        missing = [key for key in dict.fromkeys(chosen) if not writer.remove(key)]
        writer.commit()
        free = writer.free()
        if compact:
            writer.compact()
    removed = len(set(chosen)) - len(missing)
    print(
        f"{path}: {plural(removed, 'image', 'images')} removed, "
        + (f"{size(size_of(path))} now" if compact else f"{size(free)} free for the next ones")
    )
    for key in missing:
        print(f"{path} has no image {visible(key)}", file=sys.stderr)
    return EXIT_SOME_FAILED if missing else EXIT_OK
