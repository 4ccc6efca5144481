"""Which outputs somebody should look at: some of every group, the worst ones among them, the same ones every time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ziggurat.convert.ledger.file import quoted
from ziggurat.convert.ledger.schema import State
from ziggurat.convert.ledger.view import ImageRow, View

type Reason = Literal["lowest fidelity", "sample"]

SHARE: Final = 4
"""One in so many of a group's pairs has its lowest fidelity, and at least one has."""

_MIXED: Final = "(i.id * 2654435761) % 4294967296"
"""Knuth's multiplicative hash: an order that has nothing to do with the manifest's, and in which a new output falls
between the earlier ones, so that a sample hardly changes while the job goes on."""

_WORST: Final = "i.ssimulacra2 IS NULL, i.ssimulacra2, i.psnr IS NULL, i.psnr, i.id"


@dataclass(frozen=True, slots=True)
class Pair:
    """A source and its output to be compared."""

    row: ImageRow
    group: str
    reason: Reason


def pairs(view: View, count: int) -> list[Pair]:
    """A sample of the outputs, lowest fidelity first.

    Every group gets its share by the number of its images, and at least one as long as there are enough; the largest
    groups come first. Groups are the manifest's, or the formats of the sources where it names none.
    """
    column = view.group_column()
    group = "coalesce(i.format, '')" if column is None else f"coalesce(m.{quoted(column)}, '')"
    tables = "images AS i" + ("" if column is None else " LEFT JOIN manifest AS m ON m.images_id = i.id")
    done = f"i.state = '{State.DONE}'"
    sizes = {
        str(name): int(number or 0)
        for name, number in view.query(
            f"SELECT {group}, count(*) AS n FROM {tables} WHERE {done} GROUP BY 1 ORDER BY n DESC, 1"  # noqa: S608 - quoted identifiers
        )
    }
    wanted = shares(sizes, count)
    if not wanted:
        return []
    most = max(wanted.values())
    ranked = view.query(
        f"SELECT id, name, worst, mixed FROM (SELECT i.id AS id, {group} AS name,"  # noqa: S608 - as above
        f" row_number() OVER (PARTITION BY {group} ORDER BY {_WORST}) AS worst,"
        f" row_number() OVER (PARTITION BY {group} ORDER BY {_MIXED}) AS mixed FROM {tables} WHERE {done})"
        " WHERE worst <= ?1 OR mixed <= ?1",
        (most,),
    )
    by_group: dict[str, list[tuple[int, int, int]]] = {}
    for image, name, worst, mixed in ranked:
        by_group.setdefault(str(name), []).append((int(image or 0), int(worst or 0), int(mixed or 0)))
    chosen: dict[int, tuple[str, Reason]] = {}
    for name, number in wanted.items():
        chosen |= {image: (name, reason) for image, reason in _of_group(by_group.get(name, []), number).items()}
    marks = ", ".join(map(str, chosen))
    rows = view.rows(f"id IN ({marks})", _WORST.replace("i.", ""), len(chosen))
    return [Pair(row, *chosen[row.id]) for row in rows]


def _of_group(ranked: Sequence[tuple[int, int, int]], number: int) -> dict[int, Reason]:
    by_worst = [image for image, _, _ in sorted(ranked, key=lambda one: one[1])]
    found: dict[int, Reason] = dict.fromkeys(by_worst[: max(1, number // SHARE)], "lowest fidelity")
    for image, _, _ in sorted(ranked, key=lambda one: one[2]):
        if len(found) < number:
            found.setdefault(image, "sample")
    return found


def shares(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """How many of each group are taken: one of each while there are enough, the rest by their sizes.

    Args:
        sizes: of the groups, in the order in which they come first.
        count: taken of all together.
    """
    taken = dict.fromkeys(list(sizes)[: max(0, count)], 1)
    left = min(count, sum(sizes.values())) - len(taken)
    room = {name: sizes[name] - 1 for name in taken}
    while left > 0 and (whole := sum(room.values())):
        ideal = {name: left * number / whole for name, number in room.items()}
        given = {name: min(room[name], int(part)) for name, part in ideal.items()}
        if not any(given.values()):
            first = sorted(room, key=lambda name: -ideal[name])[:left]
            given = {name: min(1, room[name]) for name in first}
        for name, number in given.items():
            taken[name] += number
            room[name] -= number
            left -= number
    return taken
