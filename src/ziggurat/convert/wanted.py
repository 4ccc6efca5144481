"""A fidelity that is asked for instead of a quality, as a value."""

import re
from dataclasses import dataclass
from typing import Literal

from ziggurat.errors import UsageError

type Measure = Literal["ssimulacra2", "psnr", "same-as"]

FLOOR = 70.0
"""SSIMULACRA2 below which distortions are perceptible beside the original."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What every image has to reach with as few bytes as can be.

    Attributes:
        measure: ssimulacra2, psnr, or same-as for the SSIMULACRA2 that libjpeg reaches at a quality.
        value: the score, the decibels, or the quality.
        floor: SSIMULACRA2 of an image's worst tile below which it is marked for review.

    Raises:
        UsageError: if there is no such score or quality.
    """

    measure: Measure
    value: float
    floor: float = FLOOR

    def __post_init__(self) -> None:
        low, high = {"ssimulacra2": (10, 99), "psnr": (20, 60), "same-as": (1, 100)}[self.measure]
        if not low <= self.value <= high:
            raise UsageError(f"--fidelity {self.measure}: {self.value:g} is not {low} to {high}")
        if not self.floor < 100:  # noqa: PLR2004 - the scale's end
            raise UsageError(f"--floor {self.floor:g} is not below 100, SSIMULACRA2's end")


def parse_wanted(text: str, floor: float | None) -> Wanted:
    """Reads ``ssimulacra2=85``, ``psnr=45`` or ``same-as=q92``.

    Raises:
        UsageError: if it is none of them.
    """
    match = re.fullmatch(r"(ssimulacra2|psnr)=(\d+(?:\.\d+)?)|(same-as)=q(\d+)", text)
    if match is None:
        raise UsageError(f"--fidelity {text!r} is not ssimulacra2=SCORE, psnr=DECIBELS or same-as=qQUALITY")
    measure: Measure = "same-as" if match[3] else "psnr" if match[1] == "psnr" else "ssimulacra2"
    return Wanted(measure, float(match[2] or match[4]), FLOOR if floor is None else floor)
