"""Judgements in plain words: better than trivial, would more data help, can probabilities be believed, what is weak."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from handrail.report.words import each, in_a_sentence, measure_of, number, percent, some, with_interval

# A doubling of the rows that gains less than this share of the score is not worth fetching rows for.
SMALLEST_GAIN: Final = 0.01
WELL_CALIBRATED: Final = 0.03
FAIRLY_CALIBRATED: Final = 0.08
FEWEST_ROWS_OF_A_CLASS: Final = 5


def headline(report: Mapping[str, Any]) -> str:
    """The score in one line: AUC 0.847 (0.826–0.867), trivial 0.500, on 1,409 rows …; "" where nothing was scored."""
    name, metric = headline_metric(report)
    if metric.get("value") is None:
        return ""
    trivial = "" if metric.get("baseline") is None else f", trivial {number(metric['baseline'])}"
    return f"{measure_of(name).title} {with_interval(metric)}{trivial}, {judged_on(report)}"


def judged_on(report: Mapping[str, Any]) -> str:
    """On how many rows, and how it was made sure that they are new to the model."""
    rows = some(report.get("score")).get("rows")
    counted = f"{rows:,} rows" if isinstance(rows, int) else "rows"
    if report.get("evaluated_on") == "cross-validation":
        return f"on {counted} in cross-validation, each judged by a model that never saw it"
    return f"on {counted} never seen in training"


def headline_metric(report: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The headline measure's name and numbers; the numbers are empty where nothing was scored."""
    score = some(report.get("score"))
    name = str(score.get("metric") or "")
    return name, some(some(score.get("metrics")).get(name))


def better_than_trivial(report: Mapping[str, Any]) -> str:
    """Whether the model beats one that looks at nothing, and whether that may be chance."""
    name, metric = headline_metric(report)
    value, baseline = metric.get("value"), metric.get("baseline")
    if value is None or baseline is None:
        return ""
    sign = 1 if measure_of(name).higher_is_better else -1
    worst = metric.get("low") if sign > 0 else metric.get("high")
    if sign * (value - baseline) <= 0:
        return "It is no better than a model that looks at nothing: do not use it."
    if worst is None or sign * (worst - baseline) <= 0:
        return "It may be better than a model that looks at nothing, but on so few rows that can be chance."
    return "It is clearly better than a model that looks at nothing."


def more_data(report: Mapping[str, Any]) -> str:
    """What the last doubling of the training rows brought, and so what the next one may bring."""
    points = [(item["rows"], item["score"]) for item in each(report.get("learning_curve")) if _is_point(item)]
    if len(points) < 2:
        return ""
    rows, scores = (np.array(values, dtype=np.float64) for values in zip(*sorted(points), strict=True))
    name = str(report.get("candidates_metric") or some(report.get("score")).get("metric") or "score")
    better = scores if measure_of(name).higher_is_better else -scores
    before = float(np.interp(math.log(rows[-1] / 2), np.log(rows), better))
    gain, noise = float(better[-1]) - before, float(np.max(-np.diff(better), initial=0.0))
    what = f"the {in_a_sentence(name)} of quick models"
    step = f"From {rows[-1] / 2:,.0f} to {rows[-1]:,.0f} training rows, {what} went from {number(abs(before))} to "
    step += f"{number(abs(float(better[-1])))}"
    if rows[0] > rows[-1] / 2:
        step = f"From {rows[0]:,.0f} to {rows[-1]:,.0f} training rows, {what} moved by {number(abs(gain))}"
    worth = SMALLEST_GAIN * abs(float(better[-1]))
    if gain > max(noise, worth):
        return f"More data would probably help. {step}."
    if noise <= worth:
        return f"More data of this kind would hardly help: better columns would. {step}."
    return f"It is not clear whether more data would help: the curve goes up and down. {step}."


def calibrated(report: Mapping[str, Any]) -> str:
    """Whether a probability of 0.8 means 80 of 100."""
    bins = [item for item in each(some(report.get("score")).get("calibration")) if item.get("rows")]
    if not bins:
        return ""
    rows, said, held = (np.array([item[key] for item in bins], dtype=np.float64) for key in _BIN_KEYS)
    share = rows / rows.sum()
    chance = float(np.sum(share * np.sqrt(np.maximum(said * (1 - said), 0) / rows)))  # were every claim true
    error = float(np.sum(share * np.abs(said - held)))
    points = f"{100 * error:.1f} percentage points"
    if chance > FAIRLY_CALIBRATED:
        return "On so few rows it cannot be told whether its probabilities can be taken at their word."
    if error - chance <= WELL_CALIBRATED:
        return f"Its probabilities can be taken at their word: they are off by {points} on average."
    if error - chance <= FAIRLY_CALIBRATED:
        return f"Its probabilities are roughly right: they are off by {points} on average."
    sure = float(np.sum(share * np.sign(said - 0.5) * (said - held)))
    way = "too sure of itself" if sure > 0 else "right more often than it says"
    return f"Its probabilities should not be taken at their word: it is {way}, by {points} on average."


_BIN_KEYS: Final = ("rows", "mean_probability", "share_right")


def weakest(report: Mapping[str, Any]) -> str:
    """The label it does worst on; "" where it is right on all of them."""
    classes = [item for item in each(some(report.get("score")).get("per_class")) if item.get("rows")]
    enough = [item for item in classes if item["rows"] >= FEWEST_ROWS_OF_A_CLASS and item.get("f1") is not None]
    if len(classes) < 2 or not enough:
        return ""
    worst = min(enough, key=lambda item: float(item["f1"]))
    if worst["f1"] == 1:
        return ""
    found = percent(worst.get("recall"))
    right = "" if worst.get("precision") is None else f", and {percent(worst['precision'])} of such answers are right"
    return f"It is weakest on '{worst['label']}': {found} of its {worst['rows']:,} rows are found{right}."


def in_words(report: Mapping[str, Any]) -> str:
    """The result as one would tell it to a friend, with counts instead of measures; "" where nothing was scored."""
    score = some(report.get("score"))
    metrics = some(score.get("metrics"))
    target = report.get("target") or "the target"
    if "mae" in metrics and some(metrics["mae"]).get("value") is not None:
        mae = some(metrics["mae"])
        mean = f"; always saying the mean is off by {number(mae['baseline'])}" if mae.get("baseline") else ""
        return f"Its answers for '{target}' are off by {number(mae['value'])} on average{mean}."
    positive = score.get("positive")
    for item in each(score.get("per_class")):
        if item.get("label") == positive and item.get("precision") is not None and item.get("recall") is not None:
            return (
                f"Of 100 rows it calls '{positive}', {100 * item['precision']:.0f} really are; "
                f"of 100 that are, it finds {100 * item['recall']:.0f}."
            )
    accuracy = some(metrics.get("accuracy"))
    if accuracy.get("value") is not None:
        trivial = accuracy.get("baseline")
        always = "" if trivial is None else f"; always giving the commonest answer gets {100 * trivial:.0f}"
        return f"Of 100 answers, {100 * accuracy['value']:.0f} are right{always}."
    exact = some(metrics.get("exact_match")).get("value")
    return "" if exact is None else f"Of 100 rows, {100 * exact:.0f} get exactly the right labels."


def _is_point(item: Mapping[str, Any]) -> bool:
    rows, score = item.get("rows"), item.get("score")
    return isinstance(rows, int | float) and rows > 0 and isinstance(score, int | float) and math.isfinite(score)
