"""Ledgers for tests, made through the coordinator's own methods."""

import math
from collections.abc import Sequence
from pathlib import Path

from ziggurat.convert.ledger.ledger import Ledger
from ziggurat.convert.ledger.schema import State
from ziggurat.convert.manifest import Row
from ziggurat.convert.records import Failure, Probe, Published, Verified
from ziggurat.model import JSON

OPTIONS: dict[str, JSON] = {"target": "jpeg", "jpeg": {"quality": 92}, "columns": {"group": "material"}}


def facts(destination: str, **more: JSON) -> dict[str, JSON]:
    return {"version": "0", "sources": ["in"], "destination": destination, "options": OPTIONS, **more}


def planned(path: Path, rows: Sequence[Row], columns: Sequence[str] = (), destination: str = "/nowhere/out") -> Ledger:
    """A ledger of rows whose headers are known: 200 x 100 pixels, 60,000 bytes."""
    ledger = Ledger.create(path, facts(destination), columns)
    with ledger.transaction():
        ledger.add_rows((row, None if row.problem else f"{n}.jpg", None, None) for n, row in enumerate(rows, 1))
        ledger.finish_planning()
        ledger.set_probes(
            Probe(
                image=number, verdict=State.PLANNED, source_size=60_000, source_tag="t", format="jp2", height=200,
                width=100, bands=3, bit_depth=8, writer="jpeg", strategy="whole", predicted_memory=1 << 20,
            )
            for number in range(1, len(rows) + 1)
        )  # fmt: skip
    return ledger


def finish(
    ledger: Ledger, image: int, psnr: float = 42.0, score: float | None = 90.0, warnings: tuple[str, ...] = ()
) -> None:
    with ledger.transaction():
        ledger.start([image])
        ledger.verified(
            [
                Verified(
                    image=image, source_sha256="a" * 64, output_size=15_000, output_sha256=f"{image:064x}",
                    read_seconds=1.0, write_seconds=0.5, verify_seconds=0.4, psnr=psnr, ssimulacra2=score,
                    warnings=warnings,
                )
            ]
        )  # fmt: skip
        done = Published(image=image, output_tag="t", publish_seconds=0.1, cpu_seconds=2.0, peak_memory=1 << 28)
        ledger.published([done])


def fail(ledger: Ledger, image: int, message: str, state: State = State.FAILED) -> None:
    with ledger.transaction():
        ledger.start([image])
        ledger.failed(Failure(image=image, error_class="CorruptImage", error_message=message), state)


def ten(path: Path) -> None:
    """Ten images of five items: six done (one identical), one failed, one quarantined, one deferred, one planned."""
    rows = [Row(source=f"/in/{n}.jp2", item=f"item {n // 2}", columns=(f"{n}", "map")) for n in range(10)]
    with planned(path, rows, ("number", "material")) as ledger:
        for image in range(1, 7):
            finish(ledger, image, math.inf if image == 6 else 40.0 + image, 80.0 + image, ("odd",) if image < 3 else ())
        fail(ledger, 7, "bytes are missing")
        fail(ledger, 8, "it hung", State.QUARANTINED)
        fail(ledger, 9, "too large", State.DEFERRED)
