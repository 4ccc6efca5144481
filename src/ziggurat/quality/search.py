"""The coarsest setting with which a picture is still as faithful as is wanted."""

import math
from collections.abc import Callable
from dataclasses import dataclass

TRIES = 8
"""Measurements at most: each is an encoding, a decoding and a comparison."""


NARROW = 0.01
"""Logarithm of a factor between two steps that makes no difference to speak of."""


@dataclass(frozen=True, slots=True)
class Found:
    """Where a search ended.

    Attributes:
        step: the setting.
        margin: by how much the measure is above what is wanted there; below 0 where not even the finest step
            reaches it.
    """

    step: float
    margin: float


def coarsest(margin: Callable[[float], float], *, start: float, finest: float, slope: float, tolerance: float) -> Found:
    """The coarsest step with a margin of at least 0, nearly.

    Steps are searched by their logarithm, in which both measures of fidelity are almost straight lines.

    Args:
        margin: by how much the measure is above what is wanted at a step; falls as the step grows.
        start: the first step tried.
        finest: nothing finer is tried.
        slope: by how much the margin is expected to fall when the step is e times as large.
        tolerance: a margin that is small enough.
    """
    low: tuple[float, float] | None = None
    high: tuple[float, float] | None = None
    at, end = math.log(start), math.log(finest)
    for tried in range(TRIES):
        found = margin(math.exp(at))
        if found >= 0:
            low = (at, found)
            if found <= tolerance:
                break
        else:
            high = (at, found)
            if at <= end:
                return Found(finest, found)
        if low is not None and high is not None:
            if high[0] - low[0] < NARROW:
                break
            # Towards the middle of what is still good enough, and never onto an end of the bracket.
            share = (low[1] - tolerance / 2) / (low[1] - high[1])
            at = low[0] + min(max(share, 0.2), 0.8) * (high[0] - low[0])
        else:
            # The slope was only expected: what is still on the same side goes farther every time.
            at = max(end, at + max(abs(found), tolerance) * math.copysign(2**tried, found) / slope)
    if low is None:
        return Found(finest, margin(finest))
    return Found(math.exp(low[0]), low[1])
