"""The parts of the page that say how the model was made: learning curve, mistakes, columns, split, candidates, plan."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from handrail.report import verdict
from handrail.report.markup import NOTHING, Child, Html, absent, facts, section, shortened, table, tag
from handrail.report.pictures import Axis, Dot, line_chart, nice_ticks
from handrail.report.words import each, measure_of, number, percent, some

MOST_CELL_CHARACTERS: Final = 300
MOST_MISTAKE_COLUMNS: Final = 12
NUMBER_KEYS: Final = ("weight", "score")
SPLITS: Final = {
    "random": "at random",
    "stratified": "at random, with the same share of each label in both parts",
    "group": "so that rows of one group stay together",
    "time": "by time: the latest rows are the test",
}

PROBLEMS: Final = {
    "binary": "classification",
    "multiclass": "classification",
    "multilabel": "classification with several labels at once",
}


def learning(report: Mapping[str, Any]) -> Html:
    """The learning curve and what it says about more data."""
    points = sorted(
        (float(item["rows"]), float(item["score"]))
        for item in each(report.get("learning_curve"))
        if isinstance(item.get("score"), int | float) and isinstance(item.get("rows"), int | float) and item["rows"] > 0
    )
    title = "Would more data help?"
    if len(points) < 2 or points[0][0] == points[-1][0]:
        return absent("learning", title, some(report.get("left_out")).get("learning_curve"))
    name = str(report.get("candidates_metric") or some(report.get("score")).get("metric") or "score")
    scores = [score for _, score in points]
    ticks = nice_ticks(min(scores), max(scores))
    across = Axis("training rows (each step doubles)", points[0][0], points[-1][0], logarithmic=True)
    dots = [Dot(rows, score, f"{rows:,.0f} rows: {number(score)}") for rows, score in points]
    picture = line_chart("Learning curve", across, Axis(measure_of(name).title, ticks[0], ticks[-1]), points, dots=dots)
    better = "higher" if measure_of(name).higher_is_better else "lower"
    hint = tag(
        "p",
        f"{measure_of(name).title} of quick models on parts of the training rows; {better} is better.",
        class_="small",
    )
    return section("learning", title, verdict.more_data(report), picture, hint)


def mistakes(report: Mapping[str, Any]) -> Html:
    """The wrong answers it was surest of, or the furthest off."""
    found = each(report.get("mistakes"))
    if not found:
        return NOTHING
    names = list(dict.fromkeys(str(name) for item in found for name in some(item.get("row"))))[:MOST_MISTAKE_COLUMNS]
    sure = any(item.get("probability") is not None for item in found)
    heads = [("truth", ""), ("answer", ""), *([("sure", "num")] if sure else [])]
    heads += [(name, "wide" if _is_long(found, name) else "") for name in names]
    rows: list[Sequence[Child]] = [
        (
            _value(item.get("truth")),
            _value(item.get("answer")),
            *([percent(item.get("probability"))] if sure else []),
            *(shortened(some(item.get("row")).get(name), MOST_CELL_CHARACTERS) for name in names),
        )
        for item in found
    ]
    sentence = "Where it was wrong and surest of itself" if sure else "Where it was furthest off"
    sentence += ": look for labels that are wrong in the data, and for what the columns do not tell."
    return section("mistakes", "Its worst mistakes", sentence, table(heads, rows), class_="long")


def columns(report: Mapping[str, Any]) -> Html:
    """Every column: how it was read, whether it is used and why not."""
    found = each(report.get("columns"))
    if not found:
        return NOTHING
    target = report.get("target")
    most = max((item.get("missing") or 0 for item in found), default=0)
    heads = (
        ("column", "name"),
        ("read as", ""),
        ("missing", "num"),
        ("distinct", "num"),
        ("why", "wide"),
        ("examples", "wide"),
    )
    rows: list[Sequence[Child]] = [
        (
            tag("span", shortened(item.get("name"), 80), class_=None if item.get("used") else "unused"),
            tag("span", _role(item, target), class_="pill"),
            number(item.get("missing")) if item.get("missing") else "–",
            number(item.get("distinct")),
            shortened(item.get("reason") or "", 200),
            tag("span", _examples(item), class_="soft"),
        )
        for item in found
    ]
    used = sum(bool(item.get("used")) for item in found if item.get("name") != target)
    left = len(found) - used - sum(item.get("name") == target for item in found)
    sentence = f"It looks at {used:,} column{'s' * (used != 1)}"
    sentence += f" and leaves out {left:,}" if left else ""
    sentence += "; gaps are allowed where training saw them." if most else "."
    return section("columns", "What it was shown", sentence, table(heads, rows), class_="long")


def split(report: Mapping[str, Any]) -> Html:
    """How test rows were set aside."""
    found, rows = some(report.get("split")), some(report.get("rows"))
    if not found and not rows:
        return NOTHING
    test, train = rows.get("test"), rows.get("train")
    kind = SPLITS.get(str(found.get("kind")), str(found.get("kind") or "at random"))
    if report.get("evaluated_on") == "cross-validation" or not test:
        sentence = (
            "All rows were learnt from; it was judged in cross-validation, each row by a model that never saw it."
        )
    else:
        sentence = f"{test:,} of {test + (train or 0):,} rows were set aside {kind}, before anything was learnt."
    pairs = [("by column", found.get("column")), ("why", found.get("reason")), ("target", report.get("target_reason")),
             ("kind of problem", _kind_of_problem(report))]  # fmt: skip
    return section("split", "How was it tested?", sentence, facts(pairs))


def _kind_of_problem(report: Mapping[str, Any]) -> str:
    problem, reason = (str(report.get(key) or "") for key in ("problem", "problem_reason"))
    return ": ".join(part for part in (PROBLEMS.get(problem, problem), reason) if part)


def leaderboard(report: Mapping[str, Any]) -> Html:
    """What was tried, and what the model is made of."""
    found = each(report.get("candidates"))
    if not found:
        return NOTHING
    metric = str(report.get("candidates_metric") or found[0].get("metric") or "score")
    heads = (("candidate", "name"), (measure_of(metric).title, "num"), ("weight", "num"), ("", "wide"))
    rows: list[Sequence[Child]] = [
        (
            shortened(item.get("name"), 80),
            number(item.get("score"), 4),
            percent(item["weight"]) if item.get("weight") else "–",
            shortened(item.get("note") or "", 200),
        )
        for item in found
    ]
    parts = sum(bool(item.get("weight")) for item in found)
    sentence = f"{len(found):,} candidate{'s were' if len(found) != 1 else ' was'} tried"
    sentence += f"; the model is a weighted mean of {parts} of them." if parts > 1 else "; the best one is the model."
    better = "higher" if measure_of(metric).higher_is_better else "lower"
    hint = f"Scores are out of fold: each row was judged by a fit that never saw it; {better} is better."
    return section(
        "leaderboard", "What was tried", sentence, table(heads, rows), tag("p", hint, class_="small"), class_="long"
    )


def plan(report: Mapping[str, Any]) -> Html:
    """What was decided before training."""
    found = some(report.get("plan"))
    lines = [tuple(line) for line in found.get("lines") or () if isinstance(line, list | tuple) and len(line) == 2]
    settings = some(found.get("settings"))
    if not lines and not settings:
        return NOTHING
    more = None
    if settings:
        written = json.dumps(settings, indent=1, sort_keys=True, ensure_ascii=False, default=str)
        more = tag("details", tag("summary", "All settings"), tag("pre", written))
    return section(
        "plan",
        "The plan",
        "This was decided, with its reasons, before training began.",
        facts(lines),
        more,
        class_="long",
    )


def _role(item: Mapping[str, Any], target: object) -> str:
    if item.get("name") == target:
        return "target"
    return str(item.get("kind") or "?") if item.get("used") else f"not used: {item.get('kind') or '?'}"


def _examples(item: Mapping[str, Any]) -> str:
    return ", ".join(shortened(example, 40) for example in list(item.get("examples") or ())[:3])


def _value(value: object) -> str:
    return number(value) if isinstance(value, float) else shortened(value, 80)


def _is_long(found: Sequence[Mapping[str, Any]], name: str) -> bool:
    return any(len(str(some(item.get("row")).get(name))) > 40 for item in found)
