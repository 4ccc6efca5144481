"""The simulation of large jobs: where only one thing is slow, its speed is known."""

from dataclasses import replace
from types import ModuleType

import pytest


def test_the_slowest_part_decides(bench: dict[str, ModuleType]) -> None:
    saturation = bench["saturation"]
    image = saturation.Image(cpu=0.1, source=1000, output=1000)
    world = saturation.World(turn=1e-4, message=1e-6, line=0.0)
    assert saturation.Simulation(world, [image], 10).run().rate == pytest.approx(100, rel=0.02)
    few_writes = saturation.Simulation(replace(world, puts=50.0), [image], 10).run()
    assert (few_writes.rate, few_writes.store) == (pytest.approx(50, rel=0.02), pytest.approx(1, rel=0.02))
    slow = saturation.Simulation(replace(world, message=0.01), [image], 10).run()
    assert (slow.rate, slow.coordinator) == (pytest.approx(50, rel=0.05), pytest.approx(1, rel=0.05))
    divided = saturation.Simulation(replace(world, message=0.01), [image], 10, 2).run()
    assert divided.rate == pytest.approx(100, rel=0.05)
