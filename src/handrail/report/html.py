"""The report as one HTML file that needs nothing else: no network, one style, one small script known by its hash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from handrail.report import verdict, writing
from handrail.report.card import card
from handrail.report.looks import SCRIPT, SCRIPT_HASH, STYLE
from handrail.report.making import columns, leaderboard, learning, mistakes, plan, split
from handrail.report.markup import NOTHING, Html, join, section, tag
from handrail.report.quality import answers, calibration, importance, labels, measures, numbers, ranking, threshold
from handrail.report.words import measure_of, number, some

POLICY: Final = (
    f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{SCRIPT_HASH}'; "
    "base-uri 'none'; form-action 'none'"
)
# In reading order: the anchor, its word in the menu, and what draws it (NOTHING where the report has nothing to say).
SECTIONS: Final = (
    ("measures", "How good", measures),
    ("answers", "Mix-ups", answers),
    ("labels", "Labels", labels),
    ("threshold", "Threshold", threshold),
    ("numbers", "Errors", numbers),
    ("ranking", "Curves", ranking),
    ("calibration", "Probabilities", calibration),
    ("importance", "What matters", importance),
    ("curve", "Learning", writing.curve),
    ("recitation", "Copying", writing.recitation),
    ("learning", "More data?", learning),
    ("mistakes", "Mistakes", mistakes),
    ("columns", "Columns", columns),
    ("split", "Test rows", split),
    ("leaderboard", "Candidates", leaderboard),
    ("plan", "Plan", plan),
    ("card", "Model card", card),
)


def draw(report: Mapping[str, Any]) -> str:
    """The page of a report (see report.json). Parts that are missing are left out; nothing in it can run or load."""
    drawn = [(anchor, word, make(report)) for anchor, word, make in SECTIONS]
    kept = [(anchor, word, part) for anchor, word, part in drawn if part is not NOTHING]
    menu = tag("nav", *(tag("a", word, href=f"#{anchor}") for anchor, word, _ in kept), aria_label="Sections")
    main = tag("main", _top(report), menu, _remarks(report), *(part for _, _, part in kept))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{report.get('name') or 'model'} – report"),
        tag("style", Html(STYLE)),
    )
    body = tag("body", main, tag("script", Html(SCRIPT)))
    return "<!doctype html>\n" + tag("html", head, body, lang="en").text + "\n"


def _top(report: Mapping[str, Any]) -> Html:
    target = report.get("target")
    kind = str(report.get("task") or "model").replace("-", " ")
    eyebrow = f"{kind} · predicts '{target}'" if target else kind
    lead = [sentence for sentence in (verdict.in_words(report), verdict.better_than_trivial(report)) if sentence]
    headline = verdict.headline(report) or writing.headline(report)
    return tag(
        "header",
        tag("p", eyebrow, class_="eyebrow"),
        tag("h1", str(report.get("name") or "Model")),
        tag("p", " ".join(lead), class_="lead") if lead else None,
        tag("p", headline, class_="soft") if headline else None,
        _tiles(report),
    )


def _tiles(report: Mapping[str, Any]) -> Html | None:
    name, metric = verdict.headline_metric(report)
    rows = some(report.get("rows"))
    judged = some(report.get("score")).get("rows")
    how = (
        "rows, in cross-validation"
        if report.get("evaluated_on") == "cross-validation"
        else "test rows, never trained on"
    )
    tiles: list[tuple[object, str]] = []
    if metric.get("value") is not None:
        tiles.append((number(metric["value"]), measure_of(name).title))
        if metric.get("baseline") is not None:
            tiles.append((number(metric["baseline"]), "a model that looks at nothing"))
    tiles.extend(
        (f"{count:,}", words) for count, words in ((rows.get("train"), "training rows"), (judged, how)) if count
    )
    if not tiles:
        return None
    return tag(
        "div",
        *(tag("div", tag("b", str(value)), tag("span", words), class_="tile") for value, words in tiles),
        class_="tiles",
    )


def _remarks(report: Mapping[str, Any]) -> Html:
    """Warnings first and loud, notes after them and quiet."""
    warnings, notes = ([str(text) for text in report.get(key) or ()] for key in ("warnings", "notes"))
    parts = []
    if warnings:
        sentence = "Read this before you trust the numbers below."
        listed = tag("ul", *(tag("li", text) for text in warnings))
        parts.append(section("warnings", "What to look out for", sentence, listed, class_="warn"))
    if notes:
        listed = tag("ul", *(tag("li", text) for text in notes))
        sentence = "This was decided or repaired on the way."
        parts.append(section("notes", "Notes", sentence, listed))
    return join(parts)
