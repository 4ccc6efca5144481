"""From places to a pack: made new, gone on with where it stopped, or added to."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Final

from ziggurat.errors import SourceNotFound, TargetExists
from ziggurat.pack.attributes import read_table
from ziggurat.pack.gather import Found, Gathering, gather
from ziggurat.pack.packed import BESIDE
from ziggurat.pack.packing import Choices, Outcome, pack_images
from ziggurat.pack.writer import PackWriter
from ziggurat.storage.pack_url import Table

STATE: Final = "state"
"""The fact of a pack that says whether all is in it that it was made for."""

UNFINISHED: Final = "unfinished"
FINISHED: Final = "finished"

BY_RESOLUTION: Final = "by_resolution"
"""The fact of a pack that says that coarse bytes are put together in it."""

BATCH: Final = 5000
"""Images whose attributes are written in one transaction."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where images come from, and what is said of them.

    Attributes:
        places: folders, patterns, prefixes, manifests, tar files, packs, databases.
        table: where the images are in databases that are no packs.
        columns: of manifests: role to column.
        attributes: CSV file of what is said of the images by their keys.
    """

    places: Sequence[str]
    table: Table | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    attributes: Path | None = None

    def gather(self) -> list[Gathering]:
        """The images of all places; one that cannot be read is noticed before anything is written.

        Raises:
            SourceError: if one cannot be read.
            UsageError: if a manifest makes no sense.
        """
        return [_begun(gather(place, table=self.table, columns=self.columns)) for place in self.places]


def _begun(gathering: Gathering) -> Gathering:
    first = list(islice(gathering.images, 1))
    return Gathering(chain(first, gathering.images), gathering.columns)


def begin(path: Path, *, beside_over: int | None = None) -> PackWriter:
    """Opens a pack that is to be made, or goes on with one that is not finished.

    Raises:
        TargetExists: if it is finished.
        PackLocked: if another process writes it.
        WriteError: if it cannot be written.
    """
    writer = PackWriter(path, beside_over=beside_over)
    if writer.fact(STATE) != UNFINISHED and not writer.is_empty():
        writer.close()
        raise TargetExists(f"{path} is there already; `ziggurat add` adds images to it, or take another name")
    writer.say(STATE, UNFINISHED)
    return writer


def reopen(path: Path, *, beside_over: int | None = None) -> PackWriter:
    """Opens a pack that is there, to change it.

    Raises:
        SourceNotFound: if it is not there.
        PackLocked: if another process writes it.
        WriteError: if it cannot be written.
    """
    if not path.exists():
        raise SourceNotFound(f"{path} is not there; `ziggurat pack` makes a pack")
    return PackWriter(path, beside_over=beside_over)


def fill(
    writer: PackWriter,
    gatherings: Sequence[Gathering],
    choices: Choices,
    *,
    resuming: bool = False,
    progress: Callable[[Outcome], None] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Packs the images of all places.

    Args:
        writer: of the pack.
        gatherings: of the places.
        choices: how images are packed.
        resuming: what is there with the length that it should have is not read again.
        progress: called now and then.
        stopped: whether no more images are to be begun.

    Raises:
        SourceError: if a place can no longer be read.
        WriteError: if the pack cannot be written; what was committed is safe.
    """
    outcome = Outcome()
    if choices.by_resolution or writer.fact(BY_RESOLUTION):
        choices = replace(choices, by_resolution=True)
        writer.say(BY_RESOLUTION, "1")
    for gathering in gatherings:
        writer.add_columns(gathering.columns)
        images = _until(stopped, gathering.images)
        pack_images(writer, images, choices, resuming=resuming, progress=progress, outcome=outcome)
    return outcome


def _until(stopped: Callable[[], bool], images: Iterable[Found]) -> Iterator[Found]:
    for found in images:
        if stopped():
            return
        yield found


def say(writer: PackWriter, table: Path) -> list[str]:
    """Gives images the attributes of a CSV file.

    Returns:
        Keys of the file that the pack does not have.

    Raises:
        UsageError: if it is no such file.
        WriteError: if the pack cannot be written.
    """
    columns, rows = read_table(table)
    writer.add_columns(columns)
    unknown = []
    for number, (key, values) in enumerate(rows, 1):
        if not writer.say_of(key, values):
            unknown.append(key)
        if number % BATCH == 0:
            writer.commit()
    writer.commit()
    return unknown


def finish(writer: PackWriter, *, compact: bool) -> None:
    """Marks a pack as finished, after having put it in order.

    Raises:
        WriteError: if there is no room to put it in order; it is whole, and not marked.
    """
    if compact:
        writer.compact()
    writer.say(STATE, FINISHED)
    writer.commit()


def size_of(path: Path) -> int:
    """Bytes of a pack, with the images that lie beside it."""
    beside = Path(f"{path}{BESIDE}")
    return path.stat().st_size + sum(file.stat().st_size for file in beside.rglob("*") if file.is_file())
