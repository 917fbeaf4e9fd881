"""How far counts have moved from those of the training data: PSI and Kolmogorov–Smirnov, judged in words.

Both sides are counts in the same bins. numpy only; nothing here knows where counts come from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal

import numpy as np

Judgement = Literal["none", "some", "much", "too few rows"]
# Usual in credit scoring. Source: Siddiqi, Credit Risk Scorecards (2006), chapter on monitoring.
SOME: Final = 0.1
MUCH: Final = 0.25
FEWEST_ROWS: Final = 100
# Added to each count, so that an empty bin is rare, not impossible. Source: Jeffreys' prior for a multinomial.
PSEUDO_COUNT: Final = 0.5
# Below this expected count a word is judged together with the other rare ones: alone it is noise.
FEWEST_EXPECTED: Final = 5.0
# How often one of all the columns may cross the noise floor by chance.
FALSE_ALARMS: Final = 0.001


@dataclass(frozen=True)
class Drift:
    """`floor` is the PSI that chance alone gives in one of a thousand looks. Words have no order, so no `ks`;
    `ks_p` is the chance of a difference at least that large between two samples of one distribution.
    """

    rows: int
    psi: float
    floor: float
    ks: float | None
    ks_p: float | None
    judged: Judgement


def drift(reference: np.ndarray, recent: np.ndarray, *, ordered: bool, columns: int = 1) -> Drift:
    """How far `recent` counts are from `reference` counts, both `(bins,)`, the first bin for missing values.

    Where `ordered`, the other bins are ranges of numbers from low to high; else words, the last one for all others.
    `columns` that are judged together share the false alarms.
    """
    rows = int(recent.sum())
    if not ordered:
        reference, recent = _without_rare(reference, recent)
    known, now = int(reference.sum()), max(rows, 1)
    value = psi(reference, recent)
    floor = noise_floor(known, now, len(reference), FALSE_ALARMS / columns)
    apart = ks(reference[1:], recent[1:]) if ordered else None
    chance = None if apart is None else ks_p(apart, int(reference[1:].sum()), int(recent[1:].sum()))
    return Drift(rows, value, floor, apart, chance, judged(value, floor, rows))


def psi(reference: np.ndarray, recent: np.ndarray) -> float:
    """The population stability index Σ (q − p) · ln(q / p) of the shares in each bin.

    It is the symmetrised Kullback–Leibler divergence. Source: Jeffreys, An invariant form for the prior probability
    (1946); as an index of stability: Siddiqi, Credit Risk Scorecards (2006).
    """
    p, q = _shares(reference), _shares(recent)
    return float(np.sum((q - p) * np.log(q / p)))


def ks(reference: np.ndarray, recent: np.ndarray) -> float:
    """The largest distance between two cumulative distributions, looked at where bins end: at most what it is in full.

    Source: Smirnov, Table for estimating the goodness of fit of empirical distributions (1948).
    """
    if not reference.sum() or not recent.sum():
        return 0.0
    apart = np.cumsum(reference) / reference.sum() - np.cumsum(recent) / recent.sum()
    return float(np.max(np.abs(apart)))


def ks_p(distance: float, first: int, second: int) -> float:
    """The chance that two samples of one distribution, of these sizes, are at least so far apart.

    Source: Stephens, Use of the Kolmogorov–Smirnov, Cramér–von Mises and related statistics without extensive tables
    (1970), for the correction of small samples.
    """
    if not first or not second:
        return 1.0
    root = math.sqrt(first * second / (first + second))
    scaled = (root + 0.12 + 0.11 / root) * distance
    if scaled < 0.3:  # the series does not settle there, and the chance is 1 to five digits
        return 1.0
    terms = ((-1) ** (k - 1) * math.exp(-2 * k * k * scaled * scaled) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * math.fsum(terms)))


def noise_floor(known: int, recent: int, bins: int, chance: float) -> float:
    """The PSI that two samples of one distribution exceed with this chance: (1/n + 1/m) · χ² with bins − 1 degrees.

    Source: Yurdakul, Statistical properties of population stability index (2018).
    """
    if bins < 2 or not known or not recent:
        return math.inf
    return (1 / known + 1 / recent) * _chi_square(bins - 1, 1 - chance)


def judged(value: float, floor: float, rows: int) -> Judgement:
    """PSI in words; what chance may give is none, and of few rows nothing is said."""
    if rows < FEWEST_ROWS:
        return "too few rows"
    if value <= max(SOME, floor):
        return "none"
    return "much" if value > MUCH else "some"


def _shares(counts: np.ndarray) -> np.ndarray:
    smoothed = counts + PSEUDO_COUNT
    shares: np.ndarray = smoothed / smoothed.sum()
    return shares


def _without_rare(reference: np.ndarray, recent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts in which words that are hardly to be expected are counted with all others (the last bin)."""
    expected = reference * (recent.sum() / max(1, int(reference.sum())))
    rare = expected < FEWEST_EXPECTED
    rare[0], rare[-1] = False, False
    return _merged(reference, rare), _merged(recent, rare)


def _merged(counts: np.ndarray, rare: np.ndarray) -> np.ndarray:
    kept: np.ndarray = counts[~rare].copy()
    kept[-1] += counts[rare].sum()
    return kept


def _chi_square(degrees: int, share: float) -> float:
    """The quantile of χ², to about one percent. Source: Wilson and Hilferty, The distribution of chi-square (1931)."""
    spread = 2 / (9 * degrees)
    return degrees * max(0.0, 1 - spread + NormalDist().inv_cdf(share) * math.sqrt(spread)) ** 3
