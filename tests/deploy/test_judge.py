"""Canaries that are worse are found, soon; those that are as good are left alone, however often one looks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from handrail.deploy.judge import Counts, Margins, judge

BOUNDS = tuple(1e-4 * 1.05**step for step in range(288))
Draw = Callable[[np.random.Generator, int], np.ndarray]


def counts(requests: int, errors: int = 0, seconds: float | None = None) -> Counts:
    return taken(requests, errors, np.full(requests - errors, seconds if seconds else 0.012))


def taken(requests: int, errors: int, seconds: np.ndarray) -> Counts:
    buckets = np.bincount(np.searchsorted(BOUNDS, seconds), minlength=len(BOUNDS) + 1)
    return Counts(requests, errors, tuple(buckets.tolist()), BOUNDS)


def usual(median_s: float, spread: float = 0.4) -> Draw:
    return lambda draw, size: median_s * np.exp(spread * draw.standard_normal(size))


def stalling(median_s: float, each: int, together: int, stall_s: float) -> Draw:
    """Now and then, all that come in a row wait: about each so many requests, so many together."""

    def drawn(draw: np.random.Generator, size: int) -> np.ndarray:
        hit = np.convolve(draw.random(size) < 1 / each, np.ones(together))[:size] > 0
        return usual(median_s)(draw, size) + stall_s * hit

    return drawn


def rolled_back(
    seed: int,
    stable: tuple[float, Draw],
    canary: tuple[float, Draw],
    *,
    weight: float = 10.0,
    each: int = 10,
    most: int,
) -> int | None:
    """After how many requests of the canary it was called worse, when it is looked at after each so many of them."""
    draw = np.random.default_rng(seed)
    totals = [Counts(bounds=BOUNDS), Counts(bounds=BOUNDS)]
    for requests in range(each, most + 1, each):
        for place, ((errors, times), size) in enumerate(
            zip((stable, canary), (round(each * (100 / weight - 1)), each), strict=True)
        ):
            failed = int(draw.binomial(size, errors))
            totals[place] = added(totals[place], taken(size, failed, times(draw, size - failed)))
        if judge(*totals).found == "worse":
            return requests
    return None


def added(one: Counts, other: Counts) -> Counts:
    latencies = tuple(a + b for a, b in zip(one.latencies or (0,) * len(other.latencies), other.latencies, strict=True))
    return Counts(one.requests + other.requests, one.errors + other.errors, latencies, BOUNDS)


@pytest.mark.parametrize("errors", [0.0, 0.002, 0.05, 0.5])
@pytest.mark.parametrize("weight", [2.0, 10.0, 50.0])
def test_a_canary_that_is_as_good_is_hardly_ever_rolled_back(errors: float, weight: float) -> None:
    same = (errors, usual(0.012))
    found = [rolled_back(seed, same, same, weight=weight, most=400) for seed in range(50)]
    assert found == [None] * 50


def test_stalls_that_hit_both_now_and_then_roll_nothing_back() -> None:
    same = (0.0, stalling(0.012, each=1_000, together=10, stall_s=0.5))
    assert sum(rolled_back(seed, same, same, each=20, most=1_000) is not None for seed in range(100)) <= 1


def test_answers_that_spread_widely_roll_nothing_back() -> None:
    same = (0.0, usual(0.012, spread=1.5))
    assert [rolled_back(seed, same, same, each=20, most=1_000) for seed in range(50)] == [None] * 50


def test_the_chance_holds_at_every_look_with_no_margin_at_all() -> None:
    """A hundred looks at two coins that are the same: an ordinary test at 0.5 % finds 12 of 300 different."""
    none = Margins(errors_share=0.0, errors_factor=1.0)
    found = 0
    for seed in range(300):
        draw = np.random.default_rng(seed)
        failed = np.cumsum(draw.random((2, 500)) < 0.1, axis=1)
        looks = range(4, 500, 5)
        found += any(judge(Counts(n + 1, int(failed[0][n])), Counts(n + 1, int(failed[1][n])), none).found == "worse"
                     for n in looks)  # fmt: skip
    assert found <= 3


def test_one_error_in_five_is_found_within_fifty_requests() -> None:
    found = [rolled_back(seed, (0.0, usual(0.012)), (0.2, usual(0.012)), each=1, most=200) for seed in range(60)]
    assert None not in found
    assert np.median(found) <= 25
    assert np.quantile(found, 0.9) <= 50


def test_with_half_of_the_traffic_one_error_in_five_is_found_a_little_later() -> None:
    """There is less to compare with."""
    better, worse = (0.0, usual(0.012)), (0.2, usual(0.012))
    found = [rolled_back(seed, better, worse, weight=50.0, each=1, most=300) for seed in range(40)]
    assert None not in found
    assert np.median(found) <= 75


def test_five_errors_in_a_hundred_are_told_from_one() -> None:
    better, worse = (0.01, usual(0.012)), (0.05, usual(0.012))
    assert None not in [rolled_back(seed, better, worse, each=20, most=3_000) for seed in range(20)]


@pytest.mark.parametrize(("times", "requests"), [(30.0, 60), (3.0, 160), (2.0, 2_000)])
def test_a_canary_that_takes_many_times_as_long_is_found(times: float, requests: int) -> None:
    better, worse = (0.0, usual(0.012)), (0.0, usual(0.012 * times))
    assert None not in [rolled_back(seed, better, worse, each=20, most=requests) for seed in range(20)]


def test_a_canary_of_which_a_few_answers_are_very_slow_is_found() -> None:
    def slow(draw: np.random.Generator, size: int) -> np.ndarray:
        return np.where(draw.random(size) < 0.04, 0.5, usual(0.012)(draw, size))

    assert None not in [rolled_back(seed, (0.0, usual(0.012)), (0.0, slow), each=20, most=2_500) for seed in range(20)]


@pytest.mark.parametrize(
    ("before_s", "now_s"),
    [(0.001, 0.002), (0.001, 0.005), (0.012, 0.0145), (0.1, 0.12), (1.0, 1.2), (1.0, 0.1)],
)
def test_within_the_margins_no_number_of_requests_is_worse(before_s: float, now_s: float) -> None:
    assert judge(counts(10**7, seconds=before_s), counts(10**6, seconds=now_s)).found == "ok"


@pytest.mark.parametrize(("before_s", "now_s"), [(0.001, 0.01), (0.1, 0.2), (1.0, 2.0)])
def test_beyond_the_margins_enough_requests_are_worse(before_s: float, now_s: float) -> None:
    assert judge(counts(9_000, seconds=before_s), counts(1_000, seconds=now_s)).found == "worse"


@pytest.mark.parametrize(
    ("stable", "canary", "found"),
    [
        ((10**6, 10_000), (10**5, 1_100), "ok"),  # 1 % and 1.1 %: within the margin
        ((10**6, 10_000), (10**5, 2_000), "worse"),  # 1 % and 2 %
        ((10**6, 0), (10**5, 100), "ok"),  # none and 0.1 %
        ((10**6, 0), (10**5, 1_000), "worse"),
        ((10**6, 500_000), (10**5, 50_000), "ok"),
        ((10**6, 900_000), (10**5, 100), "ok"),  # it is better
        ((10**6, 10**6), (10**5, 10**5), "ok"),  # both fail always
    ],
)
def test_many_requests_are_judged_by_the_margins(stable: tuple[int, int], canary: tuple[int, int], found: str) -> None:
    assert judge(Counts(*stable), Counts(*canary)).found == found


def test_before_enough_was_seen_nothing_is_said() -> None:
    assert judge(Counts(), Counts()).found == "not_yet"
    assert judge(counts(1_000), counts(49)).found == "not_yet"
    assert judge(counts(49), counts(1_000)).found == "not_yet"
    assert judge(counts(50), counts(50)).found == "ok"


def test_a_few_wide_buckets_are_enough_to_tell_what_is_many_times_as_slow() -> None:
    bounds = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
    stable = Counts(900, 0, (0, 0, 0, 300, 600, *[0] * 9), bounds)
    slow = Counts(100, 0, (*[0] * 6, 30, 70, *[0] * 6), bounds)
    assert judge(stable, slow).found == "worse"
    assert judge(stable, Counts(100, 0, (0, 0, 0, 30, 70, *[0] * 9), bounds)).found == "ok"


def test_one_failure_is_no_proof_and_a_few_of_a_few_are() -> None:
    assert judge(counts(9), counts(1, errors=1)).found == "not_yet"
    assert judge(counts(50), counts(6, errors=5)).found == "worse"


def test_a_canary_that_fails_nearly_always_is_found_where_nobody_else_is_asked() -> None:
    assert judge(Counts(), counts(8, errors=4)).found == "not_yet"
    assert judge(Counts(), counts(20, errors=20)).found == "worse"
    assert judge(counts(1), counts(20, errors=20)).found == "worse"


def test_where_both_fail_the_canary_is_not_to_blame() -> None:
    assert judge(counts(20, errors=20), counts(20, errors=20)).found == "not_yet"
    assert judge(counts(900, errors=890), counts(100, errors=100)).found == "ok"


def test_versions_without_latencies_are_judged_by_their_errors() -> None:
    assert judge(Counts(1_000, 1), Counts(100, 0)).found == "ok"
    assert judge(counts(1_000), Counts(100, 0)).found == "ok"


def test_why_has_the_numbers() -> None:
    assert judge(counts(540, errors=1), counts(60, errors=12)).why == (
        "failed 12 of 60 (20 %), the current version 1 of 540 (0.185 %)"
    )
    assert judge(counts(9_000, seconds=0.1), counts(1_000, seconds=2.0)).why == (
        "p50 2 s and p99 2 s, the current version 102 ms and 102 ms"
    )
    assert judge(counts(1_000), counts(20)).why == (
        "failed 0 of 20, the current version 0 of 1,000; p50 12.5 ms and p99 12.5 ms, "
        "the current version 12.5 ms and 12.5 ms; judged from 50 answers of each"
    )
    assert "failed 3 of 3 (100 %)" in judge(counts(900), counts(3, errors=3)).why


def test_margins_are_ones_own() -> None:
    strict = Margins(latency_s=0.0, latency_factor=1.0)
    assert judge(counts(9_000, seconds=0.1), counts(1_000, seconds=0.12)).found == "ok"
    assert judge(counts(9_000, seconds=0.1), counts(1_000, seconds=0.12), strict).found == "worse"


def test_more_failures_are_never_less_evidence() -> None:
    found = [judge(counts(900, errors=9), counts(100, errors=errors)).found for errors in range(101)]
    assert all(before == now or now == "worse" for before, now in pairwise(found))
    assert (found[0], found[-1]) == ("ok", "worse")


@given(*[some.integers(0, 10**7)] * 4)
def test_any_counts_have_a_verdict(stable: int, stable_errors: int, canary: int, canary_errors: int) -> None:
    verdict = judge(Counts(stable, min(stable, stable_errors)), Counts(canary, min(canary, canary_errors)))
    assert verdict.found in ("ok", "worse", "not_yet")
    assert verdict.why


@given(some.integers(1, 400), some.floats(0, 1), some.integers(1, 4_000), some.floats(0, 1))
def test_a_canary_that_fails_less_often_is_never_worse(canary: int, one: float, stable: int, other: float) -> None:
    low, high = sorted((one, other))
    fewer, more = math.floor(low * canary), math.ceil(high * stable)
    assert judge(Counts(stable, more), Counts(canary, fewer)).found != "worse"


@given(some.lists(some.floats(0.0002, 100), min_size=1, max_size=200), some.floats(0.01, 1.0))
def test_quantiles_are_right_to_a_bucket(seconds: list[float], share: float) -> None:
    found = taken(len(seconds), 0, np.array(seconds)).quantile(share)
    assert found == pytest.approx(np.quantile(seconds, share, method="inverted_cdf"), rel=0.051)


def test_counts_since_an_earlier_look_are_what_came_after_it() -> None:
    early, late = counts(10, errors=1), counts(25, errors=3)
    assert late.since(early) == counts(15, errors=2)
    assert late.since(Counts()) == late


def test_a_judgement_takes_milliseconds() -> None:
    stable, canary = counts(9_000, seconds=0.1), counts(1_000, seconds=0.3)
    begun = time.perf_counter()
    judge(stable, canary)
    assert time.perf_counter() - begun < 0.1
