"""The shapes of models that are tried on a table, in the order in which they pay."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Shape:
    """One candidate: `kind` says which library and how it is exported, `settings` are that library's own."""

    name: str
    kind: str  # boosted | forest | linear | network
    settings: dict[str, Any] = field(default_factory=dict)
    logarithms: bool = False  # learn the logarithm of the amount


def boosted(name: str, *, logarithms: bool = False, **settings: Any) -> Shape:
    return Shape(name, "boosted", settings, logarithms)


FIRST = (
    boosted("boosted trees", learning_rate=0.08, num_leaves=31, min_data_in_leaf=20),
    Shape("linear with bends", "linear", {"strength": 1.0}),
    boosted("boosted, of logarithms", logarithms=True, learning_rate=0.06, num_leaves=40, min_data_in_leaf=15,
            feature_fraction_bynode=0.8, bagging_fraction=0.8, bagging_freq=1),
    boosted("boosted, small trees", learning_rate=0.06, num_leaves=8, min_data_in_leaf=10, feature_fraction_bynode=0.6,
            bagging_fraction=0.8, bagging_freq=1, lambda_l2=5.0),
    boosted("boosted, random splits", learning_rate=0.08, num_leaves=48, extra_trees=True, min_data_in_leaf=10,
            feature_fraction_bynode=0.9, bagging_fraction=0.9, bagging_freq=1),
    Shape("extra trees", "forest", {"max_features": 0.6, "leaf_rows": 1}),
    Shape("network", "network", {"hidden": (96, 48), "alpha": 1e-3}),
    boosted("boosted, large trees", learning_rate=0.05, num_leaves=128, min_data_in_leaf=30,
            feature_fraction_bynode=0.5, bagging_fraction=0.8, bagging_freq=1, lambda_l2=10.0, max_bin=511),
    Shape("extra trees, smooth", "forest", {"max_features": 0.9, "leaf_rows": 5}),
    Shape("network, wider", "network", {"hidden": (192, 64), "alpha": 1e-2}),
)  # fmt: skip


# What LightGBM takes where a shape does not say.
DEFAULTS = {
    "feature_fraction_bynode": 1.0,
    "bagging_fraction": 1.0,
    "lambda_l2": 0.1,
    "extra_trees": False,
    "max_bin": 255,
}

# Where there is little time, the first model must be good after few rounds.
HURRIED = boosted("boosted trees", learning_rate=0.15, num_leaves=20, min_data_in_leaf=20)


NEAR_SHARE = 0.6
FLIP_SHARE = 0.1


def first_shapes(*, hurried: bool, logarithms: bool) -> tuple[Shape, ...]:
    """What is tried on every table. Where there is little time, what takes hardly any comes first."""
    first, linear, *rest = (shape for shape in FIRST if logarithms or not shape.logarithms)
    return (linear, HURRIED, *rest) if hurried else (first, linear, *rest)


def drawn(random: np.random.Generator, number: int, near: Shape | None, *, logarithms: bool) -> Shape:
    """Boosted trees of a random shape, more often than not like `near`, the best so far, in all but a little."""
    name = f"boosted, drawn {number}"
    if near is not None and near.kind == "boosted" and random.random() < NEAR_SHARE:
        old = {**DEFAULTS, **near.settings}
        return boosted(
            name,
            learning_rate=_moved(random, old["learning_rate"], 0.7, 0.01, 0.15, 4),
            num_leaves=int(_moved(random, old["num_leaves"], 1.0, 4, 200, 0)),
            min_data_in_leaf=int(_moved(random, old["min_data_in_leaf"], 1.0, 2, 100, 0)),
            feature_fraction_bynode=_moved(random, old["feature_fraction_bynode"], 0.5, 0.2, 1.0, 2),
            bagging_fraction=_moved(random, old["bagging_fraction"], 0.3, 0.4, 1.0, 2),
            bagging_freq=1,
            lambda_l2=_moved(random, old["lambda_l2"], 2.0, 0.05, 50.0, 3),
            extra_trees=bool(old["extra_trees"]) != (random.random() < FLIP_SHARE),
            max_bin=old["max_bin"],
            logarithms=logarithms and near.logarithms != (random.random() < FLIP_SHARE),
        )
    return boosted(
        name,
        learning_rate=float(np.round(10 ** random.uniform(-1.6, -0.95), 4)),
        num_leaves=int(np.round(2 ** random.uniform(2.5, 7.5))),
        min_data_in_leaf=int(np.round(2 ** random.uniform(1.5, 6.0))),
        feature_fraction_bynode=float(np.round(random.uniform(0.35, 1.0), 2)),
        bagging_fraction=float(np.round(random.uniform(0.6, 1.0), 2)),
        bagging_freq=1,
        lambda_l2=float(np.round(10 ** random.uniform(-1.0, 1.5), 3)),
        extra_trees=bool(random.random() < 0.25),
        max_bin=int(random.choice([127, 255, 511])),
        logarithms=bool(random.random() < 0.4) and logarithms,
    )


def _moved(random: np.random.Generator, value: float, octaves: float, low: float, high: float, digits: int) -> float:
    """`value` up to so many octaves higher or lower."""
    return float(np.round(np.clip(value * 2 ** random.uniform(-octaves, octaves), low, high), digits))
