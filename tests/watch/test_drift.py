"""PSI, KS and their noise floor against numbers worked out by hand."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from handrail.watch.drift import drift, judged, ks, ks_p, noise_floor, psi


def counts(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@pytest.mark.parametrize(
    ("reference", "recent", "expected"),
    [
        # Half a count is added to each bin: the shares are those of counts and a half.
        ((49, 49), (49, 49), 0.0),
        # 49.5 and 49.5 of 99; 24.5 and 73.5 of 98: p = .5 .5, q = .25 .75
        ((49, 49), (24, 73), -0.25 * math.log(0.25 / 0.5) + 0.25 * math.log(0.75 / 0.5)),
        # A bin that was empty: 49.5 and .5 of 50; 49.5 and 49.5 of 99
        ((49, 0), (49, 49), -0.49 * math.log(0.5 / 0.99) + 0.49 * math.log(0.5 / 0.01)),
        # 2.5, 3.5, 4.5 of 10.5, and the other way round
        ((2, 3, 4), (4, 3, 2), 2 * (2 / 10.5) * math.log(4.5 / 2.5)),
    ],
)
def test_psi_row_by_row(reference: tuple[int, ...], recent: tuple[int, ...], expected: float) -> None:
    assert psi(counts(*reference), counts(*recent)) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_psi_is_the_same_both_ways() -> None:
    one, other = counts(10, 20, 70), counts(30, 30, 40)
    assert psi(one, other) == pytest.approx(psi(other, one))


@pytest.mark.parametrize(
    ("reference", "recent", "expected"),
    [
        ((5, 5), (5, 5), 0.0),
        ((10, 0), (0, 10), 1.0),
        # .25 .5 .25 against .5 .25 .25: cumulated .25 .75 1 against .5 .75 1
        ((1, 2, 1), (2, 1, 1), 0.25),
        ((2, 2, 4, 2), (4, 4, 1, 1), 0.4),
        ((3, 3), (0, 0), 0.0),
    ],
)
def test_ks_row_by_row(reference: tuple[int, ...], recent: tuple[int, ...], expected: float) -> None:
    assert ks(counts(*reference), counts(*recent)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("distance", "rows", "expected"),
    # Tables of Smirnov's distribution: Q(1.2238) = .10, Q(1.3581) = .05, Q(1.6276) = .01; large samples of equal size.
    [(1.2238, 10**8, 0.10), (1.3581, 10**8, 0.05), (1.6276, 10**8, 0.01), (0.0, 10**8, 1.0)],
)
def test_the_chance_of_a_ks_distance_is_that_of_the_tables(distance: float, rows: int, expected: float) -> None:
    assert ks_p(distance / math.sqrt(rows / 2), rows, rows) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(
    ("bins", "chance", "quantile"),
    # Quantiles of χ² from tables: degrees 1, 9, 19.
    [(2, 0.05, 3.841), (10, 0.05, 16.919), (20, 0.01, 36.191), (20, 0.001, 43.820)],
)
def test_the_noise_floor_is_chi_square_over_the_rows(bins: int, chance: float, quantile: float) -> None:
    floor = noise_floor(1_000, 500, bins, chance)
    assert floor == pytest.approx((1 / 1_000 + 1 / 500) * quantile, rel=0.03)


def test_there_is_no_alarm_on_thirty_rows_however_they_look() -> None:
    apart = drift(counts(0, 1_000, 1_000), counts(0, 0, 30), ordered=True)
    assert (apart.judged, apart.rows) == ("too few rows", 30)


@pytest.mark.parametrize(
    ("value", "floor", "rows", "expected"),
    [
        (0.05, 0.02, 500, "none"),
        (0.1, 0.02, 500, "none"),
        (0.11, 0.02, 500, "some"),
        (0.25, 0.02, 500, "some"),
        (0.26, 0.02, 500, "much"),
        (0.26, 0.3, 150, "none"),
        (9.0, 0.3, 99, "too few rows"),
    ],
)
def test_psi_is_judged_in_words(value: float, floor: float, rows: int, expected: str) -> None:
    assert judged(value, floor, rows) == expected


def test_rare_words_are_judged_together() -> None:
    """Thousand words that each come once would be drift for ever; a new word that comes often is drift at once."""
    reference = counts(0, 900, *([1] * 100), 0)
    assert drift(reference, counts(0, 90, *([0] * 95), *([2] * 5), 0), ordered=False).judged == "none"
    assert drift(reference, counts(0, 60, *([0] * 100), 40), ordered=False).judged == "much"


def test_the_same_distribution_gives_no_alarm_in_99_of_100_looks_at_500_rows() -> None:
    draw = np.random.default_rng(5)
    edges = [NormalDist().inv_cdf(place / 20) for place in range(1, 20)]
    alarms = 0
    for _ in range(1_000):
        one, other = (np.bincount(np.searchsorted(edges, draw.normal(size=n)), minlength=20) for n in (2_000, 500))
        found = drift(np.concatenate([[0], one]), np.concatenate([[0], other]), ordered=True)
        alarms += found.judged != "none"
    assert alarms <= 10


@pytest.mark.parametrize("shift", [0.5, -0.5, 1.0])
def test_a_shifted_one_is_caught_at_500_rows(shift: float) -> None:
    draw = np.random.default_rng(6)
    edges = [NormalDist().inv_cdf(place / 20) for place in range(1, 20)]
    for _ in range(50):
        one = np.bincount(np.searchsorted(edges, draw.normal(size=2_000)), minlength=20)
        other = np.bincount(np.searchsorted(edges, draw.normal(shift, size=500)), minlength=20)
        found = drift(np.concatenate([[0], one]), np.concatenate([[0], other]), ordered=True)
        assert found.judged in ("some", "much")
        assert found.ks_p is not None
        assert found.ks_p < 0.001


def test_gaps_that_were_never_there_are_drift() -> None:
    reference, recent = counts(0, *([100] * 10)), counts(100, *([40] * 10))
    found = drift(reference, recent, ordered=True)
    assert found.judged == "much"
    assert found.ks == pytest.approx(0.0)
