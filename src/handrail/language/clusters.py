"""Groups of vectors by k-means and by a mixture of normal distributions, in numpy, the same for the same seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

STARTS: Final = 3
MOST_ROUNDS: Final = 100
# A part's spread never shrinks to nothing: one vector alone would be infinitely likely.
LEAST_SPREAD: Final = 1e-4
ENOUGH: Final = 1e-5


@dataclass(frozen=True)
class Groups:
    """`centres` are `(groups, size)`; `spread` is the sum of squared distances of all vectors to their centres."""

    centres: np.ndarray
    spread: float


def k_means(vectors: np.ndarray, count: int, seed: int) -> Groups:
    """The best of a few runs of Lloyd's rounds, each begun with centres far apart.

    Source: Arthur & Vassilvitskii 2007, k-means++.
    """
    random = np.random.default_rng(seed)
    found = [_rounds(vectors, _far_apart(vectors, count, random)) for _ in range(STARTS)]
    return min(found, key=lambda groups: groups.spread)


def normal_mixture(vectors: np.ndarray, count: int, seed: int) -> Groups:
    """Means of normal distributions, each with a share and one spread a direction, that make the vectors likeliest.

    Begun at the k-means centres. Source: Dempster, Laird & Rubin 1977, expectation and maximisation.
    """
    means = k_means(vectors, count, seed).centres
    spreads = np.full_like(means, max(float(vectors.var(axis=0).mean()), LEAST_SPREAD))
    shares = np.full(count, 1 / count)
    before = -np.inf
    for _ in range(MOST_ROUNDS):
        logs = _log_likelihoods(vectors, means, spreads) + np.log(shares)
        peak = logs.max(axis=1, keepdims=True)
        totals = peak[:, 0] + np.log(np.exp(logs - peak).sum(axis=1))
        belongs = np.exp(logs - totals[:, None])
        weights = belongs.sum(axis=0) + 1e-9
        means = belongs.T @ vectors / weights[:, None]
        squares = belongs.T @ vectors**2 / weights[:, None]
        spreads = np.maximum(squares - means**2, LEAST_SPREAD)
        shares = weights / weights.sum()
        likelihood = float(totals.mean())
        if abs(likelihood - before) < ENOUGH:
            break
        before = likelihood
    return Groups(means, float(squared_distances(vectors, means).min(axis=1).sum()))


def nearest_each(vectors: np.ndarray, centres: np.ndarray) -> list[int]:
    """For each centre the place of the vector nearest to it that no centre before it has, in the order of places."""
    distances = squared_distances(vectors, centres)
    taken: list[int] = []
    for column in range(len(centres)):
        place = int(distances[:, column].argmin())
        taken.append(place)
        distances[place] = np.inf
    return sorted(taken)


def squared_distances(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """`(vectors, centres)`."""
    products = vectors @ centres.T
    lengths = (vectors**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)
    found: np.ndarray = np.maximum(lengths - 2 * products, 0)
    return found


def _far_apart(vectors: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Vectors drawn one after the other, each the likelier the farther it is from those before; the best of a few."""
    centres = np.empty((count, vectors.shape[1]), vectors.dtype)
    centres[0] = vectors[random.integers(len(vectors))]
    distances = squared_distances(vectors, centres[:1])[:, 0]
    tries = 2 + int(math.log(count))
    for place in range(1, count):
        drawn = vectors[_drawn(distances, tries, random)]
        nearer = np.minimum(distances[:, None], squared_distances(vectors, drawn))
        best = int(nearer.sum(axis=0).argmin())
        centres[place], distances = drawn[best], nearer[:, best]
    return centres


def _drawn(distances: np.ndarray, tries: int, random: np.random.Generator) -> np.ndarray:
    """Places, drawn in proportion to their distances; any, where all that is left are copies of what was drawn."""
    sums = np.cumsum(distances, dtype=np.float64)
    if not sums[-1] > 0:
        return random.integers(len(distances), size=tries)
    found = np.searchsorted(sums, random.random(tries) * sums[-1], side="right")
    return np.asarray(np.minimum(found, len(distances) - 1))


def _rounds(vectors: np.ndarray, centres: np.ndarray) -> Groups:
    """Each vector to its nearest centre, each centre to the mean of its vectors, until nothing moves."""
    before = None
    for _ in range(MOST_ROUNDS):
        distances = squared_distances(vectors, centres)
        nearest = distances.argmin(axis=1)
        if before is not None and np.array_equal(nearest, before):
            break
        before = nearest
        centres = _means(vectors, nearest, centres)
    return Groups(centres, float(squared_distances(vectors, centres).min(axis=1).sum()))


def _means(vectors: np.ndarray, nearest: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The means of the groups; one that has no vector stays where it was."""
    order = np.argsort(nearest, kind="stable")
    groups, starts = np.unique(nearest[order], return_index=True)
    sums = np.add.reduceat(vectors[order], starts, axis=0)
    counts = np.diff([*starts.tolist(), len(vectors)])
    moved = centres.copy()
    moved[groups] = sums / counts[:, None]
    return moved


def _log_likelihoods(vectors: np.ndarray, means: np.ndarray, spreads: np.ndarray) -> np.ndarray:
    """Of each vector under each part, up to a constant, `(vectors, parts)`."""
    inverse = 1 / spreads
    squares = vectors**2 @ inverse.T - 2 * (vectors @ (means * inverse).T) + (means**2 * inverse).sum(axis=1)
    found: np.ndarray = -0.5 * (squares + np.log(spreads).sum(axis=1))
    return found
