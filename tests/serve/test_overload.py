"""Three times as much as can be answered, in a time of its own: who is let in is answered in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.rig.counts import quantile
from tests.rig.virtual import Clock, Outcome, noisy, overload, run

Overload = Callable[..., Outcome]


@pytest.fixture
def overloaded(monkeypatch: pytest.MonkeyPatch) -> Overload:
    def act(takes: Callable[[int], float], *, seed: int = 0, times: float = 3.0, **how: Any) -> Outcome:
        clock = Clock()
        monkeypatch.setattr("handrail.serve.batcher.time", clock)
        return run(clock, lambda: overload(clock, noisy(takes, **how), seed=seed, times=times))

    return act


@pytest.mark.parametrize(
    "takes",
    [
        lambda rows: 0.0003 + 0.003 * rows,  # batches save nothing
        lambda rows: 0.02 + 0.0026 * (rows - 8) if rows > 8 else 0.004 + 0.002 * rows,  # they do up to eight rows
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_hardly_anyone_who_was_let_in_is_late(overloaded: Overload, takes: Callable[[int], float], seed: int) -> None:
    found = overloaded(takes, seed=seed)
    assert found.goodput >= 0.9
    assert found.late_share <= 0.005
    assert quantile(found.right_s, 0.99) <= 0.5


@pytest.mark.parametrize("seed", range(3))
def test_a_machine_that_becomes_slower_lets_fewer_in(overloaded: Overload, seed: int) -> None:
    found = overloaded(lambda rows: 0.0003 + 0.003 * rows, seed=seed, noise=0.1, slower=[(2.5, 1.4)])
    assert found.late_share <= 0.08  # 0.16 when each size was judged for itself
    assert found.useful_share >= 0.9


def test_where_batches_save_what_comes_more_is_answered(overloaded: Overload) -> None:
    found = overloaded(lambda rows: 0.003 + 0.00005 * rows)
    assert found.refused == found.late == 0
    assert found.goodput >= 2.5


def test_what_can_be_answered_is_not_refused(overloaded: Overload) -> None:
    found = overloaded(lambda rows: 0.0003 + 0.003 * rows, times=0.8)
    assert (found.refused, found.late) == (0, 0)
