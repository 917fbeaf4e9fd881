"""Rolling updates: they end, and on the way there are never too many replicas and never too few ready."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from handrail.core.errors import HandrailError
from handrail.deploy.rolling import Step, bounds, next_step


def walk(
    old: int, wanted: int, max_surge: int | str, max_unavailable: int | str, new: int = 0, starting: int = 0
) -> list[str]:
    """The whole update where each start is ready when it is waited for, checked at every step."""
    surge, unavailable = bounds(wanted, max_surge, max_unavailable)
    steps = []
    for _ in range(10 * (old + wanted + 2)):
        step = next_step(old, new, starting, wanted, max_surge, max_unavailable)
        steps.append(f"{step.do} {step.replicas}".removesuffix(" 0"))
        match step.do:
            case "start":
                starting += step.replicas
                assert old + new + starting <= wanted + surge
            case "stop":
                assert 0 < step.replicas <= old
                old -= step.replicas
                assert old + new >= wanted - unavailable
            case "wait":
                assert starting, "it waits for nothing"
                starting, new = starting - 1, new + 1
            case "done":
                assert old == 0
                assert new >= wanted
                return steps
    raise AssertionError(f"it never ends: {steps}")


def test_one_replica_is_replaced_by_starting_the_new_one_first() -> None:
    assert walk(1, 1, "25%", "25%") == ["start 1", "wait", "stop 1", "done"]


def test_without_a_surge_the_old_one_stops_first() -> None:
    assert walk(1, 1, 0, "25%") == ["stop 1", "start 1", "wait", "done"]
    assert walk(1, 1, "0%", 1) == ["stop 1", "start 1", "wait", "done"]
    assert walk(2, 2, 0, 1) == ["stop 1", "start 1", "wait", "stop 1", "start 1", "wait", "done"]


def test_where_nothing_may_be_more_or_less_one_more_is_started() -> None:
    assert walk(1, 1, 0, 0) == ["start 1", "wait", "stop 1", "done"]


def test_four_replicas_go_over_one_more_and_one_less_at_a_time() -> None:
    assert walk(4, 4, "25%", "25%") == [
        "start 1", "stop 1", "start 1", "wait", "stop 1", "start 1", "wait", "stop 1", "start 1", "wait", "stop 1",
        "wait", "done",
    ]  # fmt: skip


def test_with_none_unavailable_each_old_one_stays_until_a_new_one_is_ready() -> None:
    assert walk(2, 2, 1, 0) == ["start 1", "wait", "stop 1", "start 1", "wait", "stop 1", "done"]


def test_all_at_once_where_that_is_allowed() -> None:
    assert walk(3, 3, "100%", 0) == ["start 3", "wait", "stop 1", "wait", "stop 1", "wait", "stop 1", "done"]
    assert walk(3, 3, 0, "100%") == ["stop 3", "start 3", "wait", "wait", "wait", "done"]


def test_the_first_version_only_starts() -> None:
    assert walk(0, 2, "25%", "25%") == ["start 2", "wait", "wait", "done"]


def test_an_api_that_sleeps_is_updated_by_stopping_what_is_left() -> None:
    assert walk(0, 0, "25%", "25%") == ["done"]
    assert walk(2, 0, 0, "25%") == ["stop 2", "done"]


def test_an_update_to_fewer_replicas_stops_the_surplus_first() -> None:
    assert walk(5, 2, "25%", 0) == ["stop 3", "start 1", "wait", "stop 1", "start 1", "wait", "stop 1", "done"]


def test_an_update_to_more_replicas_uses_the_room() -> None:
    assert walk(1, 4, "25%", "25%")[0] == "start 4"


def test_it_goes_on_from_where_it_was() -> None:
    assert next_step(2, 1, 1, 3, 1, 0) == Step("wait")
    assert next_step(2, 2, 0, 3, 1, 0) == Step("stop", 1)
    assert next_step(1, 2, 0, 3, 1, 0) == Step("start", 1)
    assert next_step(0, 3, 0, 3, 1, 0) == Step("done")
    assert next_step(0, 2, 1, 3, 1, 0) == Step("wait")


def test_a_new_replica_that_died_is_started_again() -> None:
    assert next_step(1, 0, 1, 1, 1, 0) == Step("wait")
    assert next_step(1, 0, 0, 1, 1, 0) == Step("start", 1)


@pytest.mark.parametrize(
    ("wanted", "max_surge", "max_unavailable", "found"),
    [
        (1, "25%", "25%", (1, 0)),
        (4, "25%", "25%", (1, 1)),
        (5, "25%", "25%", (2, 1)),
        (10, "25%", "25%", (3, 2)),
        (10, 3, 2, (3, 2)),
        (10, "3", "2", (3, 2)),
        (30, "10%", "10%", (3, 3)),
        (8, "12.5%", "12.5%", (1, 1)),
        (3, "150%", "150%", (5, 3)),
        (1, 0, "25%", (0, 1)),
        (1, "0%", "25%", (0, 1)),
        (1, 0, 0, (1, 0)),
        (1, 0, "0%", (1, 0)),
        (0, "25%", "25%", (0, 1)),
        (1, " 25 % ", "25%", (1, 0)),
    ],
)
def test_a_surge_is_rounded_up_and_what_is_unavailable_down(
    wanted: int, max_surge: int | str, max_unavailable: int | str, found: tuple[int, int]
) -> None:
    assert bounds(wanted, max_surge, max_unavailable) == found


@pytest.mark.parametrize("asked", ["", "%", "a", "-1", -1, "-5%", "1.5", "1/0%", "nan%", "inf%"])
def test_what_is_neither_a_count_nor_a_share_is_refused(asked: int | str) -> None:
    with pytest.raises(HandrailError, match="max_surge must be a number of replicas or a share") as refused:
        bounds(1, asked, 1)
    assert refused.value.field == "max_surge"


COUNTS = some.integers(0, 12)
AMOUNTS = some.one_of(some.integers(0, 12), some.integers(0, 200).map("{}%".format))


@given(COUNTS, COUNTS, COUNTS, COUNTS, AMOUNTS, AMOUNTS)
def test_from_any_state_it_ends_and_makes_nothing_worse(
    old: int, new: int, starting: int, wanted: int, max_surge: int | str, max_unavailable: int | str
) -> None:
    walk(old, wanted, max_surge, max_unavailable, new, starting)


@given(COUNTS, COUNTS, AMOUNTS, AMOUNTS, some.randoms(use_true_random=False))
def test_replicas_that_die_on_the_way_are_made_up_for(
    old: int, wanted: int, max_surge: int | str, max_unavailable: int | str, chance: object
) -> None:
    draw = chance.random  # type: ignore[attr-defined]
    assume(wanted > 0)
    surge, unavailable = bounds(wanted, max_surge, max_unavailable)
    new = starting = 0
    for turn in range(2_000):
        step = next_step(old, new, starting, wanted, max_surge, max_unavailable)
        before = old + new
        if step.do == "start":
            starting += step.replicas
            assert old + new + starting <= wanted + surge
        elif step.do == "stop":
            old -= step.replicas
            assert old + new >= min(before, wanted - unavailable)
        elif step.do == "done":
            return
        elif draw() < 0.3 and turn < 1_000:
            starting -= 1
        else:
            assert starting
            starting, new = starting - 1, new + 1
        if draw() < 0.1 and turn < 1_000:
            old, new = max(0, old - 1), new if old else max(0, new - 1)
    raise AssertionError("it never ends")
