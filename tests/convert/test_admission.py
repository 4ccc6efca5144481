"""What may run next: the budget holds, nothing starves, everything comes out."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ziggurat.convert.admission import LOOK_AHEAD, PATIENCE, Admission
from ziggurat.convert.records import Budget, Task

TOTAL = 1000


def task(image: int, memory: int) -> Task:
    return Task(
        image=image, source=f"{image}", target=f"{image}.jpg", token="t", source_size=1, source_tag="", writer="jpeg",
        expected_sha256=None, replaces=None, strategy="whole", memory=memory, cap=memory, pixels=1,
        samples=1, attempt=1,
    )  # fmt: skip


def admission(*sizes: int) -> Admission:
    made = Admission(Budget(total=TOTAL, bands=TOTAL))
    made.add(task(number, size) for number, size in enumerate(sizes))
    return made


@given(
    sizes=st.lists(st.integers(1, 2 * TOTAL), max_size=200),
    workers=st.integers(1, 6),
    choices=st.lists(st.integers(0, 5), min_size=1),
)
def test_the_budget_holds_and_every_task_comes_out_once(sizes: list[int], workers: int, choices: list[int]) -> None:
    waiting = admission(*sizes)
    running: list[Task] = []
    seen: list[int] = []
    turns = itertools.cycle(choices)
    while waiting.waiting or running:
        while len(running) < workers and (chosen := waiting.next(0.0)) is not None:
            running.append(chosen)
            seen.append(chosen.image)
            held = sum(one.memory for one in running)
            assert held <= TOTAL or len(running) == 1
            assert waiting.taken == {one.image: one.memory for one in running}
        assert running, "nothing runs and nothing may: the job would stand still"
        ended = running.pop(next(turns) % len(running))
        waiting.release(ended.image)
    assert sorted(seen) == list(range(len(sizes)))


def test_small_tasks_overtake_a_large_one_for_a_while_and_no_longer() -> None:
    waiting = admission(300, TOTAL, *[100] * (PATIENCE + 50))
    first = waiting.next(0.0)
    assert first is not None
    overtakers = 0
    while (chosen := waiting.next(0.0)) is not None:
        assert chosen.memory == 100
        overtakers += 1
        waiting.release(chosen.image)
    assert overtakers == PATIENCE
    waiting.release(first.image)
    large = waiting.next(0.0)
    assert large is not None
    assert large.memory == TOTAL
    waiting.release(large.image)
    assert waiting.next(0.0) is not None


def test_overtakers_come_from_near_by() -> None:
    waiting = admission(300, *[TOTAL] * LOOK_AHEAD, 100)
    assert waiting.next(0.0) is not None
    assert waiting.next(0.0) is None


def test_tasks_run_in_their_order_where_memory_allows() -> None:
    waiting = admission(400, 400, 400, 100)
    order = [chosen.image for _ in range(3) if (chosen := waiting.next(0.0)) is not None]
    assert order == [0, 1, 3]


def test_a_task_larger_than_the_budget_runs_alone() -> None:
    waiting = admission(5 * TOTAL, 1)
    first = waiting.next(0.0)
    assert first is not None
    assert first.image == 0
    assert waiting.next(0.0) is None
    waiting.release(0)
    assert waiting.next(0.0) is not None


def test_a_delayed_task_waits_for_its_time_and_then_goes_first() -> None:
    waiting = admission(1, 1)
    waiting.delay(task(9, 1), until=50.0)
    assert waiting.waiting == 3
    assert waiting.images() == {0, 1, 9}
    first = waiting.next(49.0)
    assert first is not None
    assert first.image == 0
    second = waiting.next(50.0)
    assert second is not None
    assert second.image == 9
    assert waiting.images() == {0, 1, 9}
