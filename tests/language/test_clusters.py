"""Groups of vectors, as good as those of a library that is known."""

from __future__ import annotations

import numpy as np
import pytest

from handrail.language.clusters import k_means, nearest_each, normal_mixture

RANDOM = np.random.default_rng(0)
MIDDLES = RANDOM.standard_normal((6, 16)).astype(np.float32) * 4
VECTORS = np.concatenate([middle + RANDOM.standard_normal((30, 16)).astype(np.float32) for middle in MIDDLES])


def test_groups_that_are_there_are_found() -> None:
    for find in (k_means, normal_mixture):
        centres = find(VECTORS, 6, 1).centres
        apart = np.linalg.norm(MIDDLES[:, None] - centres, axis=2).min(axis=1)
        assert apart.max() < 1.5


def test_it_is_as_tight_as_scikit_learn() -> None:
    from sklearn.cluster import KMeans

    for count in (2, 6, 20):
        other = KMeans(count, n_init=3, random_state=0).fit(VECTORS).inertia_
        assert k_means(VECTORS, count, 0).spread < 1.05 * other


def test_the_same_seed_gives_the_same_groups() -> None:
    for find in (k_means, normal_mixture):
        assert np.array_equal(find(VECTORS, 5, 3).centres, find(VECTORS, 5, 3).centres)


@pytest.mark.parametrize("find", [k_means, normal_mixture])
def test_copies_and_single_vectors_are_grouped_too(find: object) -> None:
    same = np.ones((8, 4), np.float32)
    assert find(same, 3, 0).spread == pytest.approx(0, abs=1e-4)  # type: ignore[operator]
    assert find(same[:1], 1, 0).centres.shape == (1, 4)  # type: ignore[operator]


def test_each_centre_gets_a_vector_of_its_own() -> None:
    centres = np.zeros((3, 16), np.float32)
    assert len(set(nearest_each(VECTORS, centres))) == 3
