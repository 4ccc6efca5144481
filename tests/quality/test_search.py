import math

import pytest

from ziggurat.quality.search import TRIES, coarsest


@pytest.mark.parametrize("wanted", [60.0, 85.0, 95.0])
@pytest.mark.parametrize("curve", [lambda x: 75 - 7 * x, lambda x: 100 - 12 * math.exp(x / 2), lambda x: 80 - x**3])
def test_the_coarsest_step_that_is_good_enough_is_found(wanted: float, curve) -> None:  # noqa: ANN001
    asked: list[float] = []

    def margin(step: float) -> float:
        asked.append(step)
        return float(curve(math.log(step))) - wanted

    found = coarsest(margin, start=0.2, finest=1e-6, slope=7.0, tolerance=0.2)
    assert 0 <= found.margin <= 0.2 or len(asked) >= TRIES
    assert found.margin == pytest.approx(margin(found.step))
    assert found.margin < 1


def test_what_cannot_be_reached_gets_the_finest_step_and_says_so() -> None:
    found = coarsest(lambda step: -1 - step, start=0.5, finest=0.01, slope=7.0, tolerance=0.1)
    assert found.step == 0.01
    assert found.margin < 0


def test_steps_between_which_nothing_changes_end_the_search() -> None:
    """Tables are integers: the measure is a staircase."""
    found = coarsest(lambda step: math.floor(-math.log(step)) - 2.0, start=1.0, finest=1e-6, slope=1.0, tolerance=0.1)
    assert found.margin == 0
    assert found.step <= math.exp(-2)
