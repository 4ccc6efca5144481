"""What ``pack``, ``add`` and ``merge`` share: a pack is filled, and somebody may stop it."""

import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cyclopts import Parameter

from ziggurat.cli import EXIT_ERROR, EXIT_INTERRUPTED
from ziggurat.cli.packs import TOLD, Flag, Reading, Telling, rated
from ziggurat.convert.job import default_workers, signals
from ziggurat.convert.manifest import parse_columns
from ziggurat.convert.text import plural, reduction, size, visible
from ziggurat.pack.making import Sources, fill, finish, say, size_of
from ziggurat.pack.packing import Choices
from ziggurat.pack.writer import PackWriter
from ziggurat.storage.amounts import parse_bytes


@Parameter(name="*")
@dataclass(frozen=True)
class Said:
    """What is said of images.

    Attributes:
        columns: what a manifest's columns are: ROLE=COLUMN,...; roles are source and name. All others are attributes.
        attributes: CSV file with a column "key", or keys in its first one; the others are attributes of these images.
        index: attributes to make indexes of: COLUMN,...
    """

    columns: str = ""
    attributes: Path | None = None
    index: str = ""

    def sources(self, places: Sequence[str], reading: Reading) -> Sources:
        """The places with what is said of their images."""
        roles = parse_columns(self.columns, ("source", "name", "checksum"))
        return Sources(places, reading.place(), roles, self.attributes)

    @property
    def indexes(self) -> list[str]:
        """The attributes to make indexes of."""
        return [name for name in map(str.strip, self.index.split(",")) if name]


@Parameter(name="*")
@dataclass(frozen=True)
class Filling:
    """How images are packed.

    Attributes:
        by_resolution: of JPEG 2000 images, lay what a small picture needs together with that of all others.
        beside_over: size, such as 256M, over which an image lies beside the pack, in the folder PACK.files.
        keep_unreadable: pack files, too, whose headers cannot be read as those of images.
        workers: processes that read; one per core unless given, 0 reads in this one.
    """

    by_resolution: Flag = False
    beside_over: str | None = None
    keep_unreadable: Flag = False
    workers: int | None = None

    def choices(self, *, replace: bool = False, unreadable: bool = False) -> Choices:
        """The same as packing takes it."""
        return Choices(
            replace=replace,
            unreadable=self.keep_unreadable or unreadable,
            by_resolution=self.by_resolution,
            processes=default_workers() if self.workers is None else max(0, self.workers),
        )

    @property
    def limit(self) -> int | None:
        """Bytes over which an image lies beside the pack, if that is said."""
        return None if self.beside_over is None else parse_bytes(self.beside_over)


NORMALLY: Final = Filling()
NOTHING: Final = Said()


@dataclass
class _Drain:
    """Packing, as somebody can stop it."""

    stopped: bool = field(default=False)

    def drain(self) -> None:
        """No more images are read."""
        self.stopped = True

    def abort(self) -> None:
        """What is not committed is left."""
        raise KeyboardInterrupt


@dataclass(frozen=True)
class Order:
    """What is to be packed, and how."""

    sources: Sources
    choices: Choices
    index: Sequence[str] = ()
    telling: Telling = TOLD


def filled(order: Order, opened: Callable[[], PackWriter], *, compact: bool, new: bool) -> int:
    """Packs images and says what came of it.

    Args:
        order: what.
        opened: gives the pack to write, once it is known that all sources can be read.
        compact: put the pack in order at the end.
        new: the pack is made, or its making is gone on with; it is marked when it is finished.

    Returns:
        The exit code.
    """
    began = time.monotonic()
    gatherings = order.sources.gather()
    drain = _Drain()
    with opened() as writer:
        with signals(drain) as received, order.telling.progress() as tell:
            outcome = fill(
                writer,
                gatherings,
                order.choices,
                resuming=new and not writer.made,
                progress=tell,
                stopped=lambda: drain.stopped,
            )
        if received:
            order.telling.conclude(outcome)
            print("interrupted; the same command goes on", file=sys.stderr)
            return EXIT_INTERRUPTED if received[0] in {signal.SIGINT, signal.SIGTERM} else EXIT_ERROR
        _describe(writer, order)
        if new:
            finish(writer, compact=compact)
        elif compact:
            writer.compact()
        images, length = writer.totals()
    code = order.telling.conclude(outcome)
    whole = size_of(writer.path)
    print(rated(outcome, time.monotonic() - began))
    print(
        f"{writer.path}: {plural(images, 'image', 'images')}, {size(length)} became {size(whole)} "
        f"({reduction(length, whole)})"
    )
    return code


def _describe(writer: PackWriter, order: Order) -> None:
    table = order.sources.attributes
    unknown = [] if table is None else say(writer, table)
    if unknown:
        print(
            f"{table} says something of {plural(len(unknown), 'image', 'images')} that the pack does not have, such as "
            f"{visible(unknown[0])}",
            file=sys.stderr,
        )
    writer.index_columns(order.index)
