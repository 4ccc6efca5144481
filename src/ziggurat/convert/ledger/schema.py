"""The ledger's tables and the states of a row."""

from dataclasses import dataclass
from enum import StrEnum

APPLICATION_ID = 0x5A_47_4C_31
"""SQLite's application id of a ledger: "ZGL1"."""

VERSION = 1
"""``PRAGMA user_version``: raised when a table changes."""


class State(StrEnum):
    """Where an image stands. ``docs/ledger.md`` draws the transitions."""

    PLANNED = "planned"
    """Waiting for its turn."""
    RUNNING = "running"
    """In a worker's hands."""
    COMMITTING = "committing"
    """Verified; its digest is recorded; it is being put in place."""
    DONE = "done"
    """In place, verified, digests recorded."""
    FAILED = "failed"
    """Tried, and it cannot be done; the error says why."""
    QUARANTINED = "quarantined"
    """Its decoder crashed, hung or ate memory every time it was tried."""
    REFUSED = "refused"
    """The plan found that it cannot be done; it was never tried."""
    DEFERRED = "deferred"
    """It does not fit the memory budget; it runs when the budget allows."""
    SKIPPED = "skipped"
    """Left out on request."""


OPEN = (State.PLANNED, State.RUNNING, State.COMMITTING)
"""States that a job still has to work on."""

UNSUCCESSFUL = (State.FAILED, State.QUARANTINED, State.REFUSED, State.DEFERRED)
"""States in which an image that was asked for has no output."""

IMAGES = """
CREATE TABLE images (
  id INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  item TEXT,
  target TEXT,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  retry_at REAL,
  source_size INTEGER,
  source_tag TEXT,
  source_sha256 TEXT,
  expected_sha256 TEXT,
  format TEXT,
  height INTEGER,
  width INTEGER,
  bands INTEGER,
  bit_depth INTEGER,
  writer TEXT,
  strategy TEXT,
  predicted_memory INTEGER,
  peak_memory INTEGER,
  output_size INTEGER,
  output_sha256 TEXT,
  output_tag TEXT,
  read_seconds REAL,
  write_seconds REAL,
  verify_seconds REAL,
  publish_seconds REAL,
  cpu_seconds REAL,
  psnr REAL,
  ssimulacra2 REAL,
  settings TEXT,
  warnings TEXT,
  error_class TEXT,
  error_message TEXT,
  started_at REAL,
  finished_at REAL
) STRICT
"""

TABLES = (
    IMAGES,
    """
    CREATE TABLE items (
      item TEXT PRIMARY KEY,
      images INTEGER NOT NULL,
      done INTEGER NOT NULL DEFAULT 0,
      completed_at REAL,
      hook_exit INTEGER
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE attempts (
      image INTEGER NOT NULL REFERENCES images(id),
      attempt INTEGER NOT NULL,
      ended_at REAL NOT NULL,
      error_class TEXT NOT NULL,
      error_message TEXT NOT NULL,
      peak_memory INTEGER,
      PRIMARY KEY (image, attempt)
    ) STRICT, WITHOUT ROWID
    """,
)

INDEXES = (
    # Rows of one state in order: what runs next, and the counts, without touching the table.
    "CREATE INDEX images_state ON images(state, id)",
    # Two rows must never write the same target; refused rows may name it.
    "CREATE UNIQUE INDEX images_target ON images(target) WHERE state <> 'refused' AND target IS NOT NULL",
    "CREATE INDEX images_source ON images(source)",
)

ADDED = (
    """
    CREATE TABLE IF NOT EXISTS reviews (
      id INTEGER PRIMARY KEY,
      image INTEGER NOT NULL REFERENCES images(id),
      reviewed_at REAL NOT NULL,
      reviewer TEXT NOT NULL,
      verdict TEXT,
      note TEXT NOT NULL,
      output_sha256 TEXT
    ) STRICT
    """,
    "CREATE INDEX IF NOT EXISTS reviews_image ON reviews(image, id)",
    """
    CREATE TABLE IF NOT EXISTS decodings (
      image INTEGER PRIMARY KEY REFERENCES images(id),
      decode TEXT NOT NULL,
      psnr_lost REAL,
      ssimulacra2_lost REAL,
      growth REAL
    ) STRICT
    """,
)
"""What came later: ledgers that lack it get it when it is first needed, and keep their version."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What tells one kind of ledger from another.

    Attributes:
        application_id: of the SQLite file.
        version: ``PRAGMA user_version``.
        statements: what makes its tables.
        row: what a row is of, in the singular; the table of rows is called by its plural.
        views: of another kind than a conversion, what shows its rows to a reader as the tables ``images`` and ``items``
            of one, as far as their words mean the same. Temporary: nothing is written.
    """

    application_id: int
    version: int
    statements: tuple[str, ...]
    row: str = "image"
    views: tuple[str, ...] = ()

    @property
    def rows(self) -> str:
        """The table of rows."""
        return f"{self.row}s"


JOB = "CREATE TABLE job (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID"
"""The facts of a job, which every kind of ledger has."""

CONVERSION = Schema(APPLICATION_ID, VERSION, (JOB, *TABLES, *ADDED))
"""The ledger of a conversion."""
