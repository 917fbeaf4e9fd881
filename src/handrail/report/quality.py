"""The parts of the page that say how good the model is: measures, mix-ups, threshold, curves, errors, what matters."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from handrail.report import verdict
from handrail.report.markup import NOTHING, Child, Html, absent, figure, join, section, shortened, table, tag
from handrail.report.pictures import Axis, Dot, bars, heat_map, histogram, line_chart, nice_ticks, scatter, spans
from handrail.report.words import each, measure_of, number, percent, some, with_interval

MOST_FEATURES: Final = 20
MOST_LABELS_OPEN: Final = 15
FLAGGED_STEPS: Final = range(5, 100, 10)
# A share of fewer rows than this says little.
FEWEST_ROWS_JOINED: Final = 10
OTHER: Final = "(other)"


def measures(report: Mapping[str, Any]) -> Html:
    """Every measure beside the trivial model's."""
    metrics = {name: item for name, item in _metrics(report).items() if item.get("value") is not None}
    if not metrics:
        return NOTHING
    shares = [
        (measure_of(name).title, item["value"], item.get("low"), item.get("high"), item.get("baseline"))
        for name, item in metrics.items()
        if measure_of(name).unit_range
        and measure_of(name).higher_is_better
        and 0 <= item["value"] <= 1
        and item.get("baseline") is not None
    ]
    rows: list[Sequence[Child]] = [
        (_named(name), with_interval(item), number(item.get("baseline")), _direction(name))
        for name, item in metrics.items()
    ]
    heads = (("measure", "wide"), ("this model", "num"), ("trivial", "num"), ("better is", ""))
    picture = tag("div", spans("Measures beside the trivial model", shares), _legend()) if shares else None
    intervals = "In brackets: where the value would lie for 95 of 100 other samples of as many rows."
    text = tag("p", intervals, class_="small")
    inner = tag("div", picture, tag("div", table(heads, rows), text))
    return section("measures", "How good is it?", _first_sentence(report), inner)


def answers(report: Mapping[str, Any]) -> Html:
    """The confusion matrix."""
    confusion = some(_score(report).get("confusion"))
    names, matrix = [str(name) for name in confusion.get("labels") or ()], confusion.get("matrix") or []
    if not names or len(names) != len(matrix):
        return NOTHING
    pairs = [
        (count, names[row], names[column])
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
        if row != column and count and OTHER not in (names[row], names[column])
    ]
    sentence = "It mixed nothing up on these rows."
    if pairs:
        count, true, said = max(pairs, key=lambda pair: pair[0])
        sentence = f"The commonest mix-up: {count:,} rows that are '{true}' were answered '{said}'."
    hint = "Green, on the diagonal: right. Red: wrong. The stronger, the larger the share of that row."
    if OTHER in names:
        hint += f" Only the {len(names) - 1} labels with the most rows are shown; {OTHER} is the rest."
    picture = tag("div", heat_map("Confusion matrix", names, matrix), class_="scroll")
    return section("answers", "What does it mix up?", sentence, picture, tag("p", hint, class_="small"))


def labels(report: Mapping[str, Any]) -> Html:
    """Precision, recall and F1 of each label."""
    classes = each(_score(report).get("per_class"))
    if not classes:
        return NOTHING
    heads = (("label", "name"), ("rows", "num"), ("precision", "num"), ("recall", "num"), ("F1", "num"), ("", ""))
    rows: list[Sequence[Child]] = [
        (
            shortened(item.get("label"), 60), number(item.get("rows")), number(item.get("precision")),
            number(item.get("recall")), number(item.get("f1")), _meter(item.get("f1")),
        )
        for item in sorted(classes, key=lambda item: 2.0 if item.get("f1") is None else item["f1"])
    ]  # fmt: skip
    words = "Precision: of the rows given this label, the share that has it. "
    words += "Recall: of the rows that have it, the share found."
    shown = table(heads, rows[:MOST_LABELS_OPEN])
    more = None
    if len(rows) > MOST_LABELS_OPEN:
        more = tag(
            "details",
            tag("summary", f"The other {len(rows) - MOST_LABELS_OPEN} labels"),
            table(heads, rows[MOST_LABELS_OPEN:]),
        )
    sentence = verdict.weakest(report) or "How well each label is found, the weakest first."
    return section("labels", "Label by label", sentence, shown, more, tag("p", words, class_="small"), class_="long")


def threshold(report: Mapping[str, Any]) -> Html:
    """What happens when rows are flagged from another probability on."""
    steps = each(_score(report).get("thresholds"))
    positive = _score(report).get("positive")
    if not steps or positive is None:
        return NOTHING
    said = [_step_in_words(step, str(positive)) for step in steps]
    start = min(range(len(steps)), key=lambda index: abs(float(steps[index].get("threshold") or 0) - 0.5))
    slider = tag("input", type="range", min=0, max=len(steps) - 1, value=start, hidden=True, aria_label="Threshold")
    now = said[start]
    cells = (("tp", "", f"flagged and '{positive}'"), ("fp", "bad", "flagged by mistake"),
             ("fn", "bad", "missed"), ("tn", "", "left alone, rightly"))  # fmt: skip
    flow = [
        tag("div", tag("b", now[key], data_key=key), tag("span", words), class_=kind or None)
        for key, kind, words in cells
    ]
    moving = tag(
        "div",
        tag("p", "From probability ", tag("b", now["threshold"], data_key="threshold"), " on: ",
            tag("span", now["words"], data_key="words"), class_="big", aria_live="polite"),
        slider, tag("div", *flow, class_="flow"),
        id="steps", data_steps=json.dumps(said, ensure_ascii=False),
    )  # fmt: skip
    heads = (
        ("from", "num"),
        ("flagged", "num"),
        ("precision", "num"),
        ("recall", "num"),
        ("F1", "num"),
        ("accuracy", "num"),
    )
    rows: list[Sequence[Child]] = [
        (number(step.get("threshold"), 2), percent(step.get("flagged")),
         *(number(step.get(key)) for key in ("precision", "recall", "f1", "accuracy")))
        for index, step in enumerate(steps) if index in FLAGGED_STEPS
    ]  # fmt: skip
    more = tag("details", tag("summary", "As a table"), table(heads, rows))
    title = f"When should it say '{shortened(positive, 40)}'?"
    sentence = "A lower threshold finds more and is wrong more often; choose by what each mistake costs you."
    return section("threshold", title, sentence, moving, more)


def numbers(report: Mapping[str, Any]) -> Html:
    """Predicted against actual, and how far off."""
    score = _score(report)
    sample, residuals = some(score.get("sample")), some(score.get("residuals"))
    points = list(zip(sample.get("truth") or (), sample.get("answer") or (), strict=False))
    drawn = []
    if points:
        every = [value for point in points for value in point]
        ticks = nice_ticks(min(every), max(every))
        across, up = (Axis(words, ticks[0], ticks[-1]) for words in ("truth", "answer"))
        drawn.append(figure("Answer and truth", scatter("Answer and truth", across, up, points),
                            tag("p", "On the dashed line, the answer is exactly right.", class_="small")))  # fmt: skip
    edges, counts = residuals.get("edges") or (), residuals.get("counts") or ()
    if edges and counts:
        drawn.append(figure("How far off", histogram("Histogram of errors", "truth − answer", edges, counts),
                            tag("p", "Right of the dashed line, the answer was too low.", class_="small")))  # fmt: skip
    if not drawn:
        return NOTHING
    median = some(_metrics(report).get("median_absolute_error")).get("value")
    sentence = (
        "How answers lie beside the truth."
        if median is None
        else f"Half of its answers are off by less than {number(median)}."
    )
    return section("numbers", "How far off is it?", sentence, tag("div", *drawn, class_="pair"))


def ranking(report: Mapping[str, Any]) -> Html:
    """ROC and precision–recall curves."""
    curves = each(_score(report).get("curves"))
    if not curves:
        return NOTHING
    pairs = [_pair(curve, shown=len(curves) > 1) for curve in curves]
    auc = some(_metrics(report).get("roc_auc")).get("value")
    sentence = "How well it puts the right rows first, whatever the threshold."
    if auc is not None and len(curves) == 1:
        label = curves[0].get("label")
        sentence = f"Shown one row that is '{label}' and one that is not, "
        sentence += f"it scores the right one higher {100 * auc:.0f} times of 100."
    rest = tag("details", tag("summary", f"The other {len(pairs) - 1} labels"), *pairs[1:]) if pairs[1:] else None
    return section("ranking", "Does it put the right rows first?", sentence, pairs[0], rest)


def calibration(report: Mapping[str, Any]) -> Html:
    """What it says against what happens."""
    bins = [item for item in each(_score(report).get("calibration")) if item.get("rows")]
    if not bins:
        return NOTHING
    points = [(item["mean_probability"], item["share_right"]) for item in bins]
    words = [
        f"said {percent(x)}, happened {percent(y)}, {item['rows']:,} rows"
        for (x, y), item in zip(points, bins, strict=True)
    ]
    across, up = (Axis(label, 0, 1, as_percent=True) for label in ("it said", "it happened"))
    most = max(item["rows"] for item in bins)
    picture = line_chart(
        "Calibration", across, up,
        [point for point, item in zip(points, bins, strict=True) if item["rows"] >= FEWEST_ROWS_JOINED],
        ideal=[(0, 0), (1, 1)],
        dots=[Dot(x, y, said, 2.5 + 5.5 * math.sqrt(item["rows"] / most))
              for (x, y), said, item in zip(points, words, bins, strict=True)],
    )  # fmt: skip
    heads = (("it said", "num"), ("it happened", "num"), ("rows", "num"))
    rows = [(percent(x), percent(y), number(item["rows"])) for (x, y), item in zip(points, bins, strict=True)]
    more = tag("details", tag("summary", "As a table"), table(heads, rows))
    hint = tag(
        "p",
        (
            "On the dashed line, 80 % means 80 of 100. Below it, the model is too sure. The larger a dot, the more "
            f"rows it stands for; those of fewer than {FEWEST_ROWS_JOINED} may lie anywhere, and are not joined."
        ),
        class_="small",
    )
    return section("calibration", "Can its probabilities be believed?", verdict.calibrated(report), picture, hint, more)


def importance(report: Mapping[str, Any]) -> Html:
    """How much worse it gets without each column."""
    title = "What does it look at?"
    found = [item for item in each(report.get("importance")) if item.get("importance") is not None]
    useful = [item for item in found if item["importance"] > 0][:MOST_FEATURES]
    if not useful:
        return absent("importance", title, some(report.get("left_out")).get("importance"))
    whole = sum(item["importance"] for item in found if item["importance"] > 0)
    rows = [
        (str(item.get("name")), item["importance"], item.get("spread") or 0.0, percent(item["importance"] / whole))
        for item in useful
    ]
    sentence = f"It leans most on '{shortened(rows[0][0], 60)}': shuffling that column harms its answers most."
    idle = len(found) - sum(item["importance"] > 0 for item in found)
    words = "Columns that say the same share their importance, so a short bar does not mean useless."
    words += f" {idle:,} other{'s' * (idle != 1)} made nothing worse when shuffled." if idle else ""
    return section(
        "importance",
        title,
        sentence,
        bars("Importance of columns", rows),
        tag("p", words, class_="small"),
    )


def _score(report: Mapping[str, Any]) -> dict[str, Any]:
    return some(report.get("score"))


def _metrics(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {str(name): some(item) for name, item in some(_score(report).get("metrics")).items()}


def _first_sentence(report: Mapping[str, Any]) -> str:
    said = (verdict.headline(report), verdict.better_than_trivial(report))
    return ". ".join(part for part in said if part) or "Its measures on rows it never saw."


def _named(name: str) -> Html:
    measure = measure_of(name)
    return join(
        [measure.title, tag("span", f" {measure.meaning}", class_="small meaning") if measure.meaning else None]
    )


def _direction(name: str) -> str:
    if name == "coverage_90":
        return "near 0.9"
    return "higher" if measure_of(name).higher_is_better else "lower"


def _legend() -> Html:
    return tag("p", tag("span", class_="key"), "a model that looks at nothing (trivial)", class_="small")


def _meter(share: object) -> Html:
    width = round(100 * share) if isinstance(share, int | float) else 0
    return tag("span", tag("i", style=f"width:{width}%"), class_="meter")


def _step_in_words(step: Mapping[str, Any], positive: str) -> dict[str, str]:
    counts = {key: int(step.get(key) or 0) for key in ("tp", "fp", "fn", "tn")}
    flagged, all_positive = counts["tp"] + counts["fp"], counts["tp"] + counts["fn"]
    words = (
        f"of {flagged:,} rows flagged, {counts['tp']:,} really are '{positive}' ({percent(step.get('precision'))}); "
    )
    words += f"of {all_positive:,} that are, {counts['tp']:,} are found ({percent(step.get('recall'))})."
    if not flagged:
        words = f"nothing is flagged, and none of {all_positive:,} is found."
    return {
        "threshold": number(step.get("threshold"), 2),
        "words": words,
        **{key: f"{n:,}" for key, n in counts.items()},
    }


def _pair(curve: Mapping[str, Any], *, shown: bool) -> Html:
    roc, precision = some(curve.get("roc")), some(curve.get("precision_recall"))
    ends = ((0.0, 0.0), (1.0, 1.0))
    across, up = Axis("false alarms", 0, 1, as_percent=True), Axis("found (recall)", 0, 1, as_percent=True)
    points = list(zip(roc.get("false_positive_rate") or (), roc.get("true_positive_rate") or (), strict=False))
    first = figure(f"ROC, area {number(curve.get('roc_auc'))}", line_chart("ROC curve", across, up, points, ideal=ends))
    across, up = Axis("found (recall)", 0, 1, as_percent=True), Axis("right (precision)", 0, 1, as_percent=True)
    points = list(zip(precision.get("recall") or (), precision.get("precision") or (), strict=False))
    share = curve.get("positive_share")  # precision when every row is flagged
    flagged = [] if share is None else [(0.0, share), (1.0, share)]
    average = number(curve.get("average_precision"))
    second = figure(
        f"Precision and recall, average {average}",
        line_chart("Precision–recall curve", across, up, points, ideal=flagged),
    )
    title = tag("h3", f"'{shortened(curve.get('label'), 60)}' against the rest") if shown else None
    return join([title, tag("div", first, second, class_="pair")])
