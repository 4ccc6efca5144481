"""The tables of the ledger of a catalogue's cutouts, and the states of a target."""

from enum import StrEnum
from typing import Final

from ziggurat.convert.ledger.schema import CONVERSION, JOB, Schema


class State(StrEnum):
    """Where a target stands."""

    PLANNED = "planned"
    """Waiting for its turn."""
    RUNNING = "running"
    """In a worker's hands."""
    DONE = "done"
    """Its cutout is in place."""
    UNCOVERED = "uncovered"
    """No image covers it, or only with undefined pixels."""
    FAILED = "failed"
    """Tried, and it cannot be done; the error says why."""
    QUARANTINED = "quarantined"
    """It took its worker down, or hung, every time it was tried."""
    REFUSED = "refused"
    """Its row has no position, or a name that cannot be; it was never tried."""


UNSUCCESSFUL: Final = (State.FAILED, State.QUARANTINED, State.REFUSED)

TARGETS: Final = """
CREATE TABLE targets (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  ra REAL,
  dec REAL,
  target TEXT,
  state TEXT NOT NULL,
  lead INTEGER,
  bands TEXT,
  attempts INTEGER NOT NULL DEFAULT 0,
  images INTEGER,
  covered REAL,
  output_size INTEGER,
  output_sha256 TEXT,
  seconds REAL,
  error_class TEXT,
  error_message TEXT,
  finished_at REAL
) STRICT
"""

IMAGES: Final = """
CREATE TABLE images (
  id INTEGER PRIMARY KEY,
  url TEXT NOT NULL,
  size INTEGER NOT NULL,
  tag TEXT NOT NULL,
  hdu INTEGER NOT NULL,
  header INTEGER NOT NULL,
  name TEXT NOT NULL,
  lengths TEXT NOT NULL,
  band TEXT NOT NULL,
  cards BLOB NOT NULL
) STRICT
"""

SHOWN: Final = (
    """
    CREATE TEMP VIEW images AS SELECT
      id, '' AS source, nullif(name, '') AS item, target, state, NULL AS height, NULL AS width, NULL AS source_size,
      output_size, output_sha256, NULL AS psnr, NULL AS ssimulacra2, error_class, error_message,
      finished_at - coalesce(seconds, 0) AS started_at, finished_at
    FROM main.targets
    """,
    """
    CREATE TEMP VIEW items AS
    SELECT NULL AS item, 0 AS images, 0 AS done, NULL AS completed_at, NULL AS hook_exit WHERE false
    """,
)
"""Targets as whoever reads a conversion's ledger sees them: rows without a source, called as an item is."""

CUTOUTS: Final = Schema(
    # "ZGC1"
    application_id=0x5A_47_43_31,
    version=1,
    # Rows of one state, those of one image together: what runs next.
    statements=(JOB, TARGETS, IMAGES, "CREATE INDEX targets_state ON targets(state, lead, id)"),
    row="target",
    views=SHOWN,
)
"""The ledger of a catalogue's cutouts."""

LEDGERS: Final = (CONVERSION, CUTOUTS)
"""Every kind of ledger that there is."""
