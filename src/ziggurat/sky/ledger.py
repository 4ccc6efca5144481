"""The ledger of a catalogue's cutouts: a row a target. Its tables are described in ``docs/sky.md``."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from ziggurat.convert.ledger.file import LedgerFile, SQLiteValue
from ziggurat.convert.ledger.schema import Schema
from ziggurat.sky.catalogue import Target
from ziggurat.sky.images import RECORD, SkyImage
from ziggurat.sky.records import Batch, Order, Outcome
from ziggurat.sky.schema import CUTOUTS, State

type PlannedTarget = tuple[Target, str | None, State, Mapping[str, Sequence[int]], tuple[str, str] | None]
"""A target, its cutout's key, its state, band to images (best first), class and message of what is wrong."""


class CutoutLedger(LedgerFile):
    """An open ledger. Methods that change rows are called inside a transaction."""

    schema: ClassVar[Schema] = CUTOUTS

    def add(self, targets: Iterable[PlannedTarget], columns: int) -> None:
        """Appends rows.

        Args:
            targets: as they are planned.
            columns: how many the catalogue has.
        """
        marks = ", ".join("?" * (columns + 1))
        for target, key, state, bands, error in targets:
            lead = next((images[0] for images in bands.values()), None)
            kind, message = error or (None, None)
            self._db.execute(
                "INSERT INTO targets (id, name, ra, dec, target, state, lead, bands, error_class, error_message)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    target.row, target.name, _known(target.ra), _known(target.dec), key, state, lead,
                    json.dumps(bands) if bands else None, kind, message,
                ),
            )  # fmt: skip
            self._db.execute(f"INSERT INTO manifest VALUES ({marks})", (target.row, *target.columns))  # noqa: S608 - our own marks

    def add_images(self, images: Mapping[int, SkyImage]) -> None:
        """Takes in the images that targets refer to; those that are there stay."""
        marks = ", ".join("?" * 10)
        self._db.executemany(
            f"INSERT OR IGNORE INTO images (id, {RECORD}) VALUES ({marks})",  # noqa: S608 - our own words
            [(number, *image.record()) for number, image in images.items()],
        )

    def finish_planning(self) -> None:
        """Refuses rows that would write the same cutout, all of them: which one was meant is not ours to guess."""
        self._db.execute(
            "UPDATE targets SET state = 'refused', error_class = 'NameCollision', error_message ="
            " 'another row has the same cutout ' || target || '; make the names differ with --name' "
            "WHERE state <> 'refused' AND target IN (SELECT target FROM targets WHERE target IS NOT NULL"
            " AND state <> 'refused' GROUP BY target HAVING count(*) > 1)"
        )
        self.set_fact("planned_at", time.time())

    def interrupted(self) -> list[tuple[int, str]]:
        """Rows that a killed run left in hand: id and key."""
        return self._all("SELECT id, target FROM targets WHERE state = 'running'")

    def put_back(self, states: Iterable[State]) -> int:
        """Plans rows in these states again, but for those that the plan refused; returns how many."""
        marks = ", ".join(f"'{state}'" for state in states)
        self._db.execute(
            "UPDATE targets SET state = 'planned', attempts = 0, error_class = NULL, error_message = NULL"  # noqa: S608 - our own words
            f" WHERE state IN ({marks}) AND bands IS NOT NULL"
        )
        return self._db.changes()

    def release(self, orders: Iterable[Order]) -> None:
        """Puts rows back that were in a worker's hands and not begun."""
        self._db.executemany(
            "UPDATE targets SET state = 'planned', attempts = attempts - 1 WHERE id = ?", [(o.row,) for o in orders]
        )

    def again(self, order: Order) -> None:
        """Puts a row back whose attempt counts."""
        self._db.execute("UPDATE targets SET state = 'planned' WHERE id = ?", (order.row,))

    def take(self, limit: int) -> Batch | None:
        """The next planned rows of one image, marked as running; None if there are none.

        Those that were tried and took their worker down come alone.
        """
        rows = self._all(
            "SELECT id, name, ra, dec, target, bands, attempts FROM targets WHERE state = 'planned' AND lead ="
            " (SELECT lead FROM targets WHERE state = 'planned' ORDER BY lead LIMIT 1) ORDER BY id LIMIT ?",
            (limit,),
        )
        fresh = [row for row in rows if not row[-1]] or rows[:1]
        if not fresh:
            return None
        orders = tuple(
            Order(row, name, ra, dec, key, {band: tuple(images) for band, images in json.loads(bands).items()}, tries)
            for row, name, ra, dec, key, bands, tries in fresh
        )
        self._db.executemany(
            "UPDATE targets SET state = 'running', attempts = attempts + 1 WHERE id = ?", [(o.row,) for o in orders]
        )
        wanted = {image for order in orders for images in order.bands.values() for image in images}
        found = {}
        for number in wanted:
            [record] = self._all(f"SELECT {RECORD} FROM images WHERE id = ?", (number,))  # noqa: S608 - our own words
            found[number] = SkyImage.from_record(record)
        return Batch(orders, found)

    def ended(self, outcomes: Iterable[Outcome]) -> None:
        """Records what became of targets."""
        now = time.time()
        values: list[tuple[SQLiteValue, ...]] = [
            (
                o.state, o.images, o.covered, o.size, o.sha256, o.seconds, o.error_class, o.error_message, now, o.row,
            )
            for o in outcomes
        ]  # fmt: skip
        self._db.executemany(
            "UPDATE targets SET state = ?, images = ?, covered = ?, output_size = ?, output_sha256 = ?, seconds = ?,"
            " error_class = ?, error_message = ?, finished_at = ? WHERE id = ?",
            values,
        )

    def counts(self) -> dict[State, int]:
        """Number of rows in every state that has any."""
        rows = self._all("SELECT state, count(*) FROM targets GROUP BY state")
        return {State(state): count for state, count in rows}

    def problems(self, limit: int) -> list[tuple[int, str, str, str]]:
        """The first targets without a cutout: row, name, state, reason."""
        return self._all(
            "SELECT id, name, state, error_message FROM targets WHERE state NOT IN ('planned', 'running', 'done')"
            " ORDER BY id LIMIT ?",
            (limit,),
        )


def _known(value: float) -> float | None:
    return None if value != value else value  # noqa: PLR0124 - NaN is not itself
