"""Latencies of the last minutes and counts of statuses, with a clock that is told."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from handrail.serve.quantiles import BOUNDS, SLICE_S, SLICES, Recent


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def answered(recent: Recent, times: int, seconds: float = 0.01, status: int = 200) -> None:
    for _ in range(times):
        recent.observe(status, seconds)


def test_before_the_first_answer_there_are_no_quantiles(clock: Clock) -> None:
    recent = Recent(clock)
    assert recent.quantiles() is None
    assert recent.codes() == {"2xx": 0, "4xx": 0, "5xx": 0}
    assert recent.counts().requests == 0


def test_one_answer_is_all_quantiles(clock: Clock) -> None:
    recent = Recent(clock)
    recent.observe(200, 0.123)
    assert recent.quantiles() == pytest.approx(dict.fromkeys(("p50", "p90", "p99"), 0.123), rel=0.026)


def test_half_ninety_and_ninety_nine_of_a_hundred_are_told_apart(clock: Clock) -> None:
    recent = Recent(clock)
    answered(recent, 50, 0.001)
    answered(recent, 40, 0.010)
    answered(recent, 9, 0.100)
    answered(recent, 1, 1.000)
    assert recent.quantiles() == pytest.approx({"p50": 0.001, "p90": 0.010, "p99": 0.100}, rel=0.026)
    answered(recent, 98, 1.000)
    assert recent.quantiles() == pytest.approx({"p50": 0.100, "p90": 1.0, "p99": 1.0}, rel=0.026)


@given(some.lists(some.floats(0.0002, 100.0), min_size=1, max_size=300))
def test_quantiles_are_right_to_the_width_of_a_bucket(times: list[float]) -> None:
    recent = Recent(Clock())
    for seconds in times:
        recent.observe(200, seconds)
    found = recent.quantiles()
    assert found is not None
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        assert found[name] == pytest.approx(np.quantile(times, share, method="inverted_cdf"), rel=0.026)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-9, 1e4, float("inf"), float("nan")])
def test_times_beyond_all_buckets_are_counted_in_the_last_one(clock: Clock, seconds: float) -> None:
    recent = Recent(clock)
    recent.observe(200, seconds)
    found = recent.quantiles()
    assert found is not None
    assert found["p50"] in (BOUNDS[0], BOUNDS[-1])


def test_buckets_reach_from_a_tenth_of_a_millisecond_to_two_minutes() -> None:
    assert BOUNDS[0] == 1e-4
    assert 115 < BOUNDS[-1] < 125


def test_statuses_are_counted_by_their_hundreds(clock: Clock) -> None:
    recent = Recent(clock)
    for status in (200, 201, 204, 304, 100, 400, 404, 429, 500, 503, 504, 599):
        recent.observe(status, 0.01)
    assert recent.codes() == {"2xx": 3, "4xx": 3, "5xx": 4}
    assert recent.recent_codes() == recent.codes()


def test_quick_refusals_do_not_make_an_api_look_fast(clock: Clock) -> None:
    recent = Recent(clock)
    answered(recent, 10, 1.0)
    answered(recent, 1_000, 0.001, status=429)
    answered(recent, 1_000, 0.001, status=500)
    assert recent.quantiles() == pytest.approx(dict.fromkeys(("p50", "p90", "p99"), 1.0), rel=0.026)
    assert recent.recent_codes() == {"2xx": 10, "4xx": 1_000, "5xx": 1_000}


def test_what_is_older_than_the_last_minutes_is_forgotten_but_for_the_totals(clock: Clock) -> None:
    recent = Recent(clock)
    answered(recent, 10, 1.0)
    clock.now += SLICE_S * (SLICES - 1)
    assert recent.quantiles() is not None
    answered(recent, 1, 0.01)
    clock.now += SLICE_S
    assert recent.quantiles() == pytest.approx(dict.fromkeys(("p50", "p90", "p99"), 0.01), rel=0.026)
    assert recent.recent_codes()["2xx"] == 1
    assert recent.codes()["2xx"] == 11
    assert sum(recent.counts().latencies) == 11


@pytest.mark.parametrize("pause_s", [180.0, 181.0, 3_600.0, 1e7])
def test_after_a_long_rest_nothing_is_recent_and_the_totals_stay(clock: Clock, pause_s: float) -> None:
    recent = Recent(clock)
    answered(recent, 10)
    clock.now += pause_s
    assert recent.quantiles() is None
    assert recent.recent_codes()["2xx"] == 0
    assert recent.codes()["2xx"] == 10
    answered(recent, 5)
    assert (recent.recent_codes()["2xx"], recent.codes()["2xx"]) == (5, 15)


def test_the_last_minutes_move_on_evenly(clock: Clock) -> None:
    recent = Recent(clock)
    for second in range(1_000):
        answered(recent, 2)
        assert recent.codes()["2xx"] == 2 * (second + 1)
        if second >= 180:
            assert 2 * 150 <= recent.recent_codes()["2xx"] <= 2 * 180
        clock.now += 1.0


def test_looking_changes_nothing(clock: Clock) -> None:
    recent = Recent(clock)
    answered(recent, 3)
    clock.now += 45.0
    looks = [(recent.quantiles(), recent.codes(), recent.counts()) for _ in range(3)]
    assert looks[0] == looks[1] == looks[2]


def test_counts_are_what_came_since_an_earlier_look(clock: Clock) -> None:
    recent = Recent(clock)
    answered(recent, 5)
    answered(recent, 1, status=500)
    earlier = recent.counts()
    clock.now += 100.0
    answered(recent, 7, 0.5)
    answered(recent, 2, status=503)
    answered(recent, 1, status=404)
    later = recent.counts().since(earlier)
    assert (later.requests, later.errors, sum(later.latencies)) == (10, 2, 7)
    assert later.quantile(0.5) == pytest.approx(0.5, rel=0.05)


def test_counting_an_answer_costs_next_to_nothing() -> None:
    recent = Recent()

    def seconds() -> float:
        begun = time.perf_counter()
        answered(recent, 10_000, 0.0123)
        return time.perf_counter() - begun

    # About 0.25 µs on a machine at rest; the bound is for one that is not.
    assert min(seconds() for _ in range(5)) / 10_000 < 5e-6
