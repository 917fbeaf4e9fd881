"""Decision trees of any library as plain arrays: what is checkpointed, averaged over folds and exported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LEAF = -1


@dataclass(frozen=True)
class Trees:
    """Nodes of all trees, one after the other. A row goes to `yes` where its feature is ≤ threshold, or missing and
    `missing_yes`; `feature` is LEAF at leaves, where `value` is added to output `target`. `roots` are node numbers.
    """

    feature: np.ndarray
    threshold: np.ndarray
    yes: np.ndarray
    no: np.ndarray
    missing_yes: np.ndarray
    value: np.ndarray
    target: np.ndarray
    roots: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def split(self, size: int) -> list[Trees]:
        """The same trees in parts of at most `size`. Trees must lie one after the other, each from its root on."""
        ends = [*self.roots[size::size].tolist(), len(self.feature)]
        parts, start = [], 0
        for number, end in enumerate(ends):
            moved = {name: getattr(self, name)[start:end] - start for name in ("yes", "no")}
            same = ("feature", "threshold", "missing_yes", "value", "target")
            roots = self.roots[number * size : (number + 1) * size] - start
            parts.append(Trees(**{name: getattr(self, name)[start:end] for name in same}, **moved, roots=roots))
            start = end
        return parts


def rounded_down(thresholds: np.ndarray) -> np.ndarray:
    """The largest float32 not above each float64 threshold: for float32 features `x <= t` then decides the same."""
    single = thresholds.astype(np.float32)
    above = single.astype(np.float64) > thresholds
    single[above] = np.nextafter(single[above], np.float32(-np.inf))
    return single


def joined(parts: Sequence[Trees], scale: float) -> Trees:
    """All trees of `parts` in one, each leaf times `scale`."""
    offsets = np.cumsum([0, *(len(part.feature) for part in parts[:-1])])
    moved = [
        (part.yes + offset, part.no + offset, part.roots + offset) for part, offset in zip(parts, offsets, strict=True)
    ]
    fields = ("feature", "threshold", "missing_yes", "target")
    same = {name: np.concatenate([getattr(part, name) for part in parts]) for name in fields}
    yes, no, roots = (np.concatenate(list(column)) for column in zip(*moved, strict=True))
    value = np.concatenate([part.value for part in parts]) * scale
    return Trees(yes=yes, no=no, roots=roots, value=value, **same)


def from_lightgbm(model: str, targets: int) -> Trees:
    """The trees in LightGBM's own text format; tree i adds to output i modulo `targets`."""
    parts = [_lightgbm_tree(text, number % targets) for number, text in enumerate(model.split("\nTree=")[1:])]
    return joined(parts, 1.0)


def _lightgbm_tree(text: str, target: int) -> Trees:
    found = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    leaves = np.array(found["leaf_value"].split(), dtype=np.float64)
    inner = len(leaves) - 1
    if inner == 0:
        return _trees_of_one_leaf(leaves[0], target)
    kinds = np.array(found["decision_type"].split(), dtype=np.int64)
    thresholds = np.array(found["threshold"].split(), dtype=np.float64)
    # Bits of decision_type: 1 categorical (never here), 2 missing goes left, 4–8 how missing is seen: 0 as zero, 2 NaN.
    as_nan = (kinds >> 2) == 2
    missing_yes = np.where(as_nan, (kinds & 2) > 0, thresholds >= 0.0)
    children = [np.array(found[side].split(), dtype=np.int64) for side in ("left_child", "right_child")]
    yes, no = (np.where(side < 0, inner + ~side, side) for side in children)
    return Trees(
        feature=np.concatenate([np.array(found["split_feature"].split(), dtype=np.int64), np.full(len(leaves), LEAF)]),
        threshold=np.concatenate([rounded_down(thresholds), np.zeros(len(leaves), np.float32)]),
        yes=np.concatenate([yes, np.zeros(len(leaves), np.int64)]),
        no=np.concatenate([no, np.zeros(len(leaves), np.int64)]),
        missing_yes=np.concatenate([missing_yes, np.zeros(len(leaves), bool)]),
        value=np.concatenate([np.zeros(inner), leaves]),
        target=np.full(inner + len(leaves), target),
        roots=np.zeros(1, np.int64),
    )


def _trees_of_one_leaf(value: float, target: int) -> Trees:
    zero = np.zeros(1, np.int64)
    return Trees(
        zero + LEAF, np.zeros(1, np.float32), zero, zero, zero.astype(bool), np.array([value]), zero + target, zero
    )


def from_scikit_learn(estimators: Sequence[Any], targets: int, *, probabilities: bool) -> Trees:
    """The trees of a forest, each leaf divided by their number; with probabilities, a tree is there once per target."""
    parts = []
    for estimator in estimators:
        tree = estimator.tree_
        leaf = tree.children_left < 0
        values = tree.value[:, 0, :]
        if probabilities:
            values = values / values.sum(axis=1, keepdims=True)
        parts += [
            Trees(
                feature=np.where(leaf, LEAF, tree.feature).astype(np.int64),
                threshold=rounded_down(tree.threshold),
                yes=np.where(leaf, 0, tree.children_left).astype(np.int64),
                no=np.where(leaf, 0, tree.children_right).astype(np.int64),
                missing_yes=np.zeros(len(leaf), bool),
                value=np.where(leaf, values[:, target], 0.0),
                target=np.full(len(leaf), target),
                roots=np.zeros(1, np.int64),
            )
            for target in range(targets)
        ]
    return joined(parts, 1.0 / len(estimators))
