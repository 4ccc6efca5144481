"""What a plan comes to, for people: counts, bytes, memory, time, and everything that will not be done."""

from collections.abc import Mapping

from ziggurat.convert.ledger.ledger import Ledger
from ziggurat.convert.ledger.schema import UNSUCCESSFUL, State
from ziggurat.convert.text import duration, size, visible

SECONDS_PER_MEGAPIXEL = {"jp2": 0.33, "j2k": 0.33, "jph": 0.10}
"""CPU seconds per megapixel of three 8-bit bands by source format, read to verified (``docs/benchmarks.md``)."""

OTHERWISE = 0.07
"""The same for formats that decode fast."""

WRITING = {"jp2": 0.5, "htj2k": 0.1}
"""What these targets take besides: encoding, and decoding again to verify."""

SEARCHING = 0.12
"""What ``--fidelity`` takes besides: the search, and progressive files written and verified."""

SHOWN = 10
"""Problems that are printed; all of them are in the ledger."""


def forecast(ledger: Ledger, workers: int) -> str:
    """The plan in a few lines."""
    counts = ledger.counts()
    plan = ledger.plan()
    lines = [f"plan: {sum(counts.values())} images, " + ", ".join(f"{n} {state}" for state, n in counts.items())]
    if plan.known:
        scale = 1.0 if not plan.unknown else (plan.known + plan.unknown) / plan.known
        options = ledger.fact("options")
        options = options if isinstance(options, Mapping) else {}
        writing = WRITING.get(str(options.get("target")), 0.0) + (SEARCHING if options.get("fidelity") else 0.0)
        seconds = sum(
            pixels / 1e6 * (SECONDS_PER_MEGAPIXEL.get(name, OTHERWISE) + writing)
            for name, pixels in plan.pixels.items()
        )
        lines.append(
            f"to do: {plan.known + plan.unknown} images, {sum(plan.pixels.values()) * scale / 1e6:.0f} MP, "
            f"{size(plan.source_bytes * scale)}; largest needs {plan.largest >> 20} MiB"
            + (f"; {plan.in_bands} in bands" if plan.in_bands else "")
        )
        lines.append(f"about {duration(seconds * scale / workers)} on {workers} workers, by typical speeds")
    if plan.unknown:
        lines.append(f"{plan.unknown} headers are read on the way; the figures suppose that they are like the others")
    problems = ledger.problems(SHOWN)
    lines += [f"image {image} {state}: {visible(message)}" for image, state, message in problems]
    more = sum(counts.get(state, 0) for state in (*UNSUCCESSFUL, State.SKIPPED)) - len(problems)
    if more > 0:
        lines.append(f"... and {more} more; see `ziggurat report`")
    return "\n".join(lines)
