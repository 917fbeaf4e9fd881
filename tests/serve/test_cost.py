"""What a batch costs is learned from batches, and bounds the next ones."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from handrail.serve.cost import Cost


def taught(seconds: Callable[[int], float], largest: int = 512, batches: int = 600) -> Cost:
    """A cost that has seen batches as large as it allows, and smaller ones, with a little noise."""
    drawn = random.Random(1)
    cost = Cost(largest)
    for _ in range(batches):
        rows = drawn.randint(1, max(1, cost.best_rows))
        cost.learn(rows, seconds(rows) * drawn.uniform(0.98, 1.02))
    return cost


def test_where_calling_costs_more_than_rows_batches_may_be_as_large_as_they_come() -> None:
    assert taught(lambda rows: 1e-3 + 1e-6 * rows).best_rows == 512


def test_where_a_row_costs_the_same_in_any_batch_rows_do_not_wait_for_each_other() -> None:
    assert taught(lambda rows: 5e-3 * rows).best_rows <= 4


def test_where_large_batches_make_rows_dearer_they_are_avoided() -> None:
    cost = taught(lambda rows: 1e-3 + 2e-3 * rows * (1.0 if rows <= 32 else 1.5))
    assert 8 <= cost.best_rows <= 32


def test_no_batch_takes_long() -> None:
    cost = taught(lambda rows: 0.05 + 0.02 * rows)
    assert cost.best_rows * 0.02 <= 0.5


@pytest.mark.parametrize("rows", [1, 10, 1_000])
def test_waiting_is_foretold_from_what_rows_took(rows: int) -> None:
    cost = taught(lambda rows: 1e-3 * rows)
    assert cost.seconds(rows) == pytest.approx(1e-3 * rows, rel=0.1)


def test_what_got_cheaper_is_noticed() -> None:
    cost = taught(lambda rows: 5e-3 * rows)
    for _ in range(6_000):
        cost.learn(max(1, cost.best_rows), 2e-3 + 1e-5 * cost.best_rows)
    assert cost.best_rows > 64


def test_single_rows_do_not_make_many_rows_look_dear() -> None:
    cost = Cost(512)
    for _ in range(100):
        cost.learn(1, 0.003)
    assert cost.seconds(945) < 0.1


def learnt(seconds: Callable[[int], float], sizes: list[int], times: int = 10) -> Cost:
    """A cost that has seen batches of these sizes, each so often."""
    cost = Cost(512)
    for rows in sizes * times:
        cost.learn(rows, seconds(rows))
    return cost


def test_sizes_that_were_never_seen_go_on_as_those_that_were() -> None:
    alike = learnt(lambda rows: 0.003 * rows, [1, 2, 4])
    assert alike.seconds(100) == pytest.approx(0.3, rel=0.05)
    saving = learnt(lambda rows: 0.003 + 0.00001 * rows, [1, 2, 4])
    assert saving.seconds(100) < 0.02


def test_batches_grow_step_by_step() -> None:
    cost, largest = Cost(512), 0
    while cost.best_rows < 512:
        assert cost.best_rows <= max(16, 2 * largest)
        largest = max(largest, cost.best_rows)
        cost.learn(cost.best_rows, 0.003 + 0.00001 * cost.best_rows)
    assert largest >= 256


def test_a_little_cheaper_is_not_worth_many_times_the_wait() -> None:
    cost = learnt(lambda rows: 0.0029 * rows if rows > 8 else 0.003 * rows, [1, 2, 4, 8, 16, 32])
    assert cost.best_rows == 1


def test_a_machine_that_became_slower_is_noticed_for_all_sizes_and_forgotten_again() -> None:
    cost = learnt(lambda rows: 0.003 * rows, [1, 4, 16])
    before = cost.seconds(4)
    for _ in range(5):
        cost.learn(16, 0.003 * 16 * 2)
    assert cost.seconds(4) > 1.3 * before
    for _ in range(100):
        cost.learn(16, 0.003 * 16)
    assert cost.seconds(4) < 1.1 * before


def test_one_stall_does_not_make_everything_look_dear() -> None:
    cost = learnt(lambda rows: 0.003 * rows, [1, 4, 16])
    before = cost.seconds(16)
    cost.learn(1, 0.2)
    assert cost.seconds(16) < 5 * before
    for _ in range(20):
        cost.learn(16, 0.003 * 16)
    assert cost.seconds(16) < 1.3 * before


def test_those_who_wait_shortly_get_smaller_batches_where_that_costs_little() -> None:
    even = learnt(lambda rows: 0.003 * rows * 0.965 ** math.log2(rows), [1, 2, 4, 8, 16, 32])
    assert even.rows_for(30.0) == even.best_rows >= 32
    assert even.rows_for(0.5) in (16, 32)
    assert even.rows_for(0.01) == 16  # no fewer: rows would be dearer
    fixed = learnt(lambda rows: 0.1 + 0.005 * rows, [1, 2, 4, 8, 16, 32])
    assert fixed.rows_for(0.5) == fixed.best_rows >= 8
