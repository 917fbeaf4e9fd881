"""The shapes of models that are tried on a table, in the order in which they pay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Shape:
    """One candidate: `kind` says which library and how it is exported, `settings` are that library's own."""

    name: str
    kind: str  # boosted | forest | linear | network
    settings: dict[str, Any] = field(default_factory=dict)


def boosted(name: str, **settings: Any) -> Shape:
    return Shape(name, "boosted", settings)


FIRST = (
    boosted("boosted trees", learning_rate=0.08, num_leaves=31, min_data_in_leaf=20),
    Shape("linear with bends", "linear", {"strength": 1.0}),
    boosted("boosted, small trees", learning_rate=0.06, num_leaves=8, min_data_in_leaf=10, feature_fraction=0.6,
            bagging_fraction=0.8, bagging_freq=1, lambda_l2=5.0),
    boosted("boosted, random splits", learning_rate=0.08, num_leaves=48, extra_trees=True, min_data_in_leaf=10,
            feature_fraction=0.9, bagging_fraction=0.9, bagging_freq=1),
    Shape("extra trees", "forest", {"max_features": 0.6}),
    Shape("network", "network", {"hidden": (96, 48), "alpha": 1e-3}),
    boosted("boosted, large trees", learning_rate=0.05, num_leaves=128, min_data_in_leaf=30, feature_fraction=0.5,
            bagging_fraction=0.8, bagging_freq=1, lambda_l2=10.0, max_bin=511),
    Shape("network, wider", "network", {"hidden": (192, 64), "alpha": 1e-2}),
)  # fmt: skip


# Where there is little time, the first model must be good after few rounds.
HURRIED = boosted("boosted trees", learning_rate=0.15, num_leaves=20, min_data_in_leaf=20)


def shapes(seed: int, *, hurried: bool) -> Iterator[Shape]:
    """FIRST, then boosted trees of random shapes without end; the same for the same seed."""
    yield HURRIED if hurried else FIRST[0]
    yield from FIRST[1:]
    random = np.random.default_rng(seed)
    number = 1
    while True:
        yield boosted(
            f"boosted, drawn {number}",
            learning_rate=float(np.round(10 ** random.uniform(-1.5, -0.95), 4)),
            num_leaves=int(np.round(2 ** random.uniform(2.5, 7.5))),
            min_data_in_leaf=int(np.round(2 ** random.uniform(1.5, 6.0))),
            feature_fraction=float(np.round(random.uniform(0.35, 1.0), 2)),
            bagging_fraction=float(np.round(random.uniform(0.6, 1.0), 2)),
            bagging_freq=1,
            lambda_l2=float(np.round(10 ** random.uniform(-1.0, 1.5), 3)),
            extra_trees=bool(random.random() < 0.4),
            max_bin=int(random.choice([127, 255, 511])),
        )
        number += 1
