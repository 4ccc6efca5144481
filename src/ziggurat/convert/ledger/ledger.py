"""The coordinator's hand on the ledger: every change of a row's state is one method here."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import apsw

from ziggurat.convert.ledger.planning import PlannedLedger
from ziggurat.convert.ledger.schema import UNSUCCESSFUL, State
from ziggurat.convert.records import Failure, Probe, Published, Task, Verified

CAP_SLACK = 256 << 20
"""Bytes above its prediction, and half of it again, at which a task is stopped."""

PLAN_AGAIN = (
    "UPDATE images SET state = 'planned', predicted_memory = NULL, attempts = 0, retry_at = NULL,"
    " error_class = NULL, error_message = NULL"
)
"""How a row that ended goes back to be probed and done anew."""


class Ledger(PlannedLedger):
    """An open ledger to work from. Methods that change rows are called inside a transaction."""

    # -- resuming ---------------------------------------------------------------------------------------------

    def interrupted(self) -> list[tuple[int, str, str, str | None, str]]:
        """Rows that a killed run left in hand: id, target, state, SHA-256 recorded for the output, token."""
        job = str(self.fact("id"))
        return [
            (image, name, state, sha256, _token(job, image, started_at))
            for image, name, state, sha256, started_at in self._all(
                "SELECT id, target, state, output_sha256, started_at FROM images"
                " WHERE state IN ('running', 'committing')"
            )
        ]

    def finished_sources(self) -> Iterator[tuple[int, str, int, str]]:
        """Id, source, size and tag of every row that is done, to notice sources that changed since."""
        rows = self._db.execute("SELECT id, source, source_size, source_tag FROM images WHERE state = 'done'")
        yield from cast("Iterator[tuple[int, str, int, str]]", rows)

    def reopen(self, images: Iterable[int]) -> None:
        """Puts rows back to planned, to be probed and done again; their earlier outputs may be replaced."""
        self._db.executemany(f"{PLAN_AGAIN} WHERE id = ?", [(image,) for image in images])

    def release(self, images: Iterable[int]) -> None:
        """Puts rows that were in a worker's hands back to planned without counting an attempt."""
        self._db.executemany(
            "UPDATE images SET state = 'planned', started_at = NULL, attempts = max(attempts - 1, 0) WHERE id = ?",
            [(image,) for image in images],
        )

    def retry(self, states: Iterable[State]) -> int:
        """Plans rows in these states again, but for what the names alone refuse; returns how many."""
        marks = ", ".join(f"'{state}'" for state in states)
        self._db.execute(
            f"{PLAN_AGAIN} WHERE state IN ({marks}) AND target IS NOT NULL"
            " AND error_class NOT IN ('NameCollision', 'TargetRefused')"
        )
        return self._db.changes()

    # -- running ----------------------------------------------------------------------------------------------

    def set_probes(self, probes: Iterable[Probe]) -> None:
        """Records what the headers say, and the verdicts."""
        self._db.executemany(
            "UPDATE images SET state = ?, source_size = coalesce(?, source_size), source_tag = ?, format = ?,"
            " height = ?, width = ?, bands = ?, bit_depth = ?, writer = ?, strategy = ?, predicted_memory = ?,"
            " error_class = ?, error_message = ?, finished_at = ? WHERE id = ? AND state = 'planned'",
            [
                (
                    p.verdict, p.source_size, p.source_tag, p.format, p.height, p.width, p.bands, p.bit_depth,
                    p.writer, p.strategy, p.predicted_memory, p.error_class, p.error_message,
                    None if p.verdict == State.PLANNED else time.time(), p.image,
                )
                for p in probes
            ],
        )  # fmt: skip

    def retarget(self, image: int, suffix: str) -> bool:
        """Gives an oversized row's target another suffix; False if another row has that name."""
        [(name,)] = self._all("SELECT target FROM images WHERE id = ?", (image,))
        try:
            renamed = f"{name.rpartition('.')[0]}{suffix}"
            self._db.execute("UPDATE images SET target = ? WHERE id = ?", (renamed, image))
        except apsw.ConstraintError:
            return False
        return True

    def start(self, images: Sequence[int]) -> list[str]:
        """Marks rows as in a worker's hands; returns the tokens of these attempts, which ``interrupted`` knows too."""
        now = time.time()
        self._db.executemany(
            "UPDATE images SET state = 'running', started_at = ?, attempts = attempts + 1 WHERE id = ?",
            [(now, image) for image in images],
        )
        job = str(self.fact("id"))
        return [_token(job, image, now) for image in images]

    def verified(self, results: Iterable[Verified]) -> None:
        """Records digests and fidelity before an output is put in its place."""
        results = list(results)
        self._db.executemany(
            "UPDATE images SET state = 'committing', source_sha256 = ?, output_size = ?, output_sha256 = ?,"
            " read_seconds = ?, write_seconds = ?, verify_seconds = ?, psnr = ?, ssimulacra2 = ?, warnings = ?"
            " WHERE id = ?",
            [
                (
                    r.source_sha256, r.output_size, r.output_sha256, r.read_seconds, r.write_seconds,
                    r.verify_seconds, r.psnr, r.ssimulacra2, "\n".join(r.warnings) or None, r.image,
                )
                for r in results
            ],
        )  # fmt: skip
        # Ledgers of earlier releases have no such column, and their jobs nothing to put into it.
        for result in results:
            if result.settings is not None:
                self._db.execute("UPDATE images SET settings = ? WHERE id = ?", (result.settings, result.image))

        self._db.executemany(
            "INSERT OR REPLACE INTO decodings (image, decode, psnr_lost, ssimulacra2_lost, growth)"
            " VALUES (?, ?, ?, ?, ?)",
            [
                (r.image, "fast" if how.fast else "full", how.psnr_lost, how.ssimulacra2_lost, how.growth)
                for r in results
                if (how := r.decoding) is not None
            ],
        )

    def published(self, results: Sequence[Published]) -> list[str]:
        """Marks rows as done; returns the items that this completed."""
        now = time.time()
        self._db.executemany(
            "UPDATE images SET state = 'done', output_tag = ?, publish_seconds = ?, cpu_seconds = ?,"
            " peak_memory = ?, finished_at = ?, error_class = NULL, error_message = NULL WHERE id = ?",
            [
                (r.output_tag, r.publish_seconds, r.cpu_seconds, r.peak_memory, now, r.image)
                for r in results
            ],
        )  # fmt: skip
        return self._items_done([r.image for r in results], now)

    def _items_done(self, images: Iterable[int], now: float) -> list[str]:
        completed: list[str] = []
        for image in images:
            for item, done_at in self._all(
                "UPDATE items SET done = done + 1, completed_at = CASE WHEN done + 1 = images THEN ? END"
                " WHERE item = (SELECT item FROM images WHERE id = ?) RETURNING item, completed_at",
                (now, image),
            ):
                if done_at is not None:
                    completed.append(item)
        return completed

    def failed(self, failure: Failure, state: State, retry_at: float | None = None) -> None:
        """Records an attempt that ended badly, and where the row goes from there."""
        now = time.time()
        error = (failure.error_class, failure.error_message)
        self._db.execute(
            "INSERT OR REPLACE INTO attempts SELECT id, attempts, ?, ?, ?, ? FROM images WHERE id = ?",
            (now, *error, failure.peak_memory, failure.image),
        )
        self._db.execute(
            "UPDATE images SET state = ?, retry_at = ?, error_class = ?, error_message = ?, peak_memory = ?,"
            " finished_at = ? WHERE id = ?",
            (state, retry_at, *error, failure.peak_memory, now, failure.image),
        )

    def hooks_due(self) -> list[str]:
        """Completed items whose command has not succeeded yet."""
        return [
            item
            for (item,) in self._all(
                "SELECT item FROM items WHERE completed_at IS NOT NULL AND coalesce(hook_exit, 1) <> 0"
            )
        ]

    def hook_ended(self, item: str, exit_code: int) -> None:
        """Records how an item's command ended."""
        self._db.execute("UPDATE items SET hook_exit = ? WHERE item = ?", (exit_code, item))

    # -- looking ----------------------------------------------------------------------------------------------

    def counts(self) -> dict[State, int]:
        """Number of rows in every state that has any."""
        return {State(state): count for state, count in self._all("SELECT state, count(*) FROM images GROUP BY state")}

    def edges(self) -> list[str]:
        """Sources of the first and the last row that is open."""
        [row] = self._all(
            "SELECT (SELECT source FROM images WHERE state = 'planned' ORDER BY id LIMIT 1),"
            " (SELECT source FROM images WHERE state = 'planned' ORDER BY id DESC LIMIT 1)"
        )
        return [source for source in row if source]

    def unprobed(self, after: int, limit: int) -> list[tuple[int, str, str, str | None]]:
        """Planned rows whose header is not known, in order: id, source, target, SHA-256 of an earlier output."""
        return self._all(
            "SELECT id, source, target, output_sha256 FROM images"
            " WHERE state = 'planned' AND predicted_memory IS NULL AND id > ? ORDER BY id LIMIT ?",
            (after, limit),
        )

    def ready(self, after: int, upto: int, limit: int) -> list[Task]:
        """Planned rows of a range of ids whose header is known, in order, as tasks that have no token yet."""
        return [
            Task(
                image=image,
                source=source,
                target=name,
                token="",
                source_size=size,
                source_tag=tag,
                expected_sha256=expected,
                replaces=output,
                writer=writer,
                strategy=strategy,
                memory=memory,
                cap=memory + memory // 2 + CAP_SLACK,
                pixels=height * width,
                samples=height * width * bands,
                attempt=attempts + 1,
            )
            for image, source, name, size, tag, expected, output, writer, strategy, memory, height, width, bands,
            attempts in self._all(
                "SELECT id, source, target, source_size, source_tag, expected_sha256, output_sha256, writer,"
                " strategy, predicted_memory, height, width, bands, attempts FROM images WHERE state = 'planned'"
                " AND predicted_memory IS NOT NULL AND id > ? AND id <= ? ORDER BY id LIMIT ?",
                (after, upto, limit),
            )
        ]  # fmt: skip

    def totals(self) -> tuple[int, int, int, int]:
        """Pixels and source bytes of all rows with a known header, and of those that are done."""
        [(pixels, size, pixels_done, size_done)] = self._all(
            # Headers may claim anything: sum() fails where integers overflow, total() does not.
            "SELECT total(height * width), total(source_size), total(height * width) FILTER (WHERE state = 'done'),"
            " total(source_size) FILTER (WHERE state = 'done') FROM images"
        )
        return int(pixels), int(size), int(pixels_done), int(size_done)

    def plan(self) -> "Plan":
        """What is left to do, as far as headers are known."""
        pixels: dict[str, int] = {}
        size = known = largest = in_bands = 0
        for name, count, area, bulk, memory, bands in self._all(
            "SELECT format, count(*), total(height * width), sum(source_size), max(predicted_memory),"
            " sum(strategy = 'bands') FROM images WHERE state = 'planned' AND predicted_memory IS NOT NULL"
            " GROUP BY format"
        ):
            pixels[name] = int(area)
            size, known, largest, in_bands = (
                size + bulk,
                known + count,
                max(largest, memory),
                in_bands + bands,
            )
        [(unknown,)] = self._all("SELECT count(*) FROM images WHERE state = 'planned' AND predicted_memory IS NULL")
        return Plan(pixels, size, known, unknown, largest, in_bands)

    def problems(self, limit: int) -> list[tuple[int, str, str]]:
        """The first images that will not or could not be done: id, state, reason."""
        marks = ", ".join(f"'{state}'" for state in (*UNSUCCESSFUL, State.SKIPPED))
        return self._all(
            f"SELECT id, state, error_message FROM images WHERE state IN ({marks}) ORDER BY id LIMIT ?",  # noqa: S608 - our own words
            (limit,),
        )

    def sizes(self) -> "Sizes":
        """Bytes, pixels and time of the images that are done."""
        [row] = self._all(
            "SELECT coalesce(sum(source_size), 0), coalesce(sum(output_size), 0),"
            " total(height * width) / 1e6, coalesce(max(finished_at) - min(started_at), 0.0)"
            " FROM images WHERE state = 'done'"
        )
        return Sizes(*row)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is left to do: pixels by format, and over all formats bytes, images, memory of the largest."""

    pixels: Mapping[str, int]
    source_bytes: int
    known: int
    unknown: int
    largest: int
    in_bands: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is done: bytes before and after, megapixels, and seconds from the first start to the last end."""

    source: int
    output: int
    megapixels: float
    seconds: float


def _token(job: str, image: int, started_at: float) -> str:
    """What names the temporary file of one attempt.

    No two attempts share one: a worker that is cut off from its cluster may still write when another begins anew.
    """
    return f"{job}-{image}-{int(started_at * 1e6):x}"
