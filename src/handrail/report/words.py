"""What measures are called, what they mean in one sentence, and how their numbers are written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Measure:
    """A measure for people. `unit_range`: it lies between 0 and 1."""

    title: str
    meaning: str
    higher_is_better: bool = True
    unit_range: bool = True


MEASURES: Final[dict[str, Measure]] = {
    "roc_auc": Measure("AUC", "how often a positive row is scored above a negative one; 0.5 is guessing"),
    "average_precision": Measure("Average precision", "precision, averaged over all shares of positives found"),
    "accuracy": Measure("Accuracy", "the share of answers that are right"),
    "balanced_accuracy": Measure("Balanced accuracy", "the share found of each label, averaged, so rare labels count"),
    "f1_macro": Measure("F1 (macro)", "precision and recall in one number, averaged over labels"),
    "f1_micro": Measure("F1 (micro)", "precision and recall in one number, over all decisions together"),
    "exact_match": Measure("Exact match", "the share of rows whose labels are all right"),
    "log_loss": Measure("Log loss", "how surprising the truth is to the model", False, False),
    "brier": Measure("Brier score", "squared distance of probabilities from what happened", False),
    "ece": Measure("Calibration error", "how far probabilities are from what happens, on average", False),
    "hamming_loss": Measure("Hamming loss", "the share of single decisions that are wrong", False),
    "r2": Measure("R²", "the share of the ups and downs that is explained; 0 is always saying the mean"),
    "mae": Measure("Mean error", "how far an answer is off, on average", False, False),
    "rmse": Measure("Root mean squared error", "like the mean error, but large errors weigh more", False, False),
    "median_absolute_error": Measure("Median error", "half of the answers are closer than this", False, False),
    "mape": Measure("Mean relative error", "how far an answer is off, as a share of the truth", False),
    "coverage_90": Measure("Interval coverage", "the share of 90 % intervals that hold the truth; 0.9 is right"),
    "interval_width_90": Measure("Interval width", "how wide the 90 % intervals are, on average", False, False),
}
LOWER_IS_BETTER: Final = re.compile(r"loss|error|deviance|brier|\bece\b|mae\b|rmse|mse\b|mape")


def measure_of(name: str) -> Measure:
    """The measure of that name, or one made from the name."""
    known = MEASURES.get(re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_"))
    return known or Measure(name, "", LOWER_IS_BETTER.search(name.casefold()) is None, False)


def in_a_sentence(name: str) -> str:
    """What a measure is called within a sentence: log loss, AUC."""
    title = measure_of(name).title
    return title if title[1:2].isupper() or not title[1:2].isalpha() else title[:1].lower() + title[1:]


def number(value: object, digits: int = 3) -> str:
    """A number for people: three decimals near one, thousands grouped, – where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    if isinstance(value, int) or abs(value) >= 10_000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:,.1f}"
    if abs(value) >= 0.0995 or value == 0:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f}" if abs(value) >= 0.002 else f"{value:.2g}"


def percent(value: object) -> str:
    """A share as whole percent, with a decimal below ten."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    return f"{100 * value:.1f} %" if 0 < abs(value) < 0.1 else f"{100 * value:.0f} %"


def with_interval(metric: Mapping[str, Any]) -> str:
    """A value with its interval: 0.847 (0.826–0.867)."""
    value, low, high = (metric.get(name) for name in ("value", "low", "high"))
    return number(value) if low is None or high is None else f"{number(value)} ({number(low)}–{number(high)})"


def some(value: object) -> dict[str, Any]:
    """`value` where it is a mapping, else an empty one: any part of a report may be missing."""
    return dict(value) if isinstance(value, Mapping) else {}


def each(value: object) -> list[dict[str, Any]]:
    """The mappings in a list, [] where there is none."""
    return [dict(item) for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []
