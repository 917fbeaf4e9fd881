"""`handrail monitor`: what an API answered, how its inputs drift, and how right it was."""

from __future__ import annotations

from typing import Any

import click

from handrail.core.errors import HandrailError, counted, did_you_mean, listed
from handrail.faces.cli.options import shared
from handrail.faces.cli.printing import put, put_heading, put_json, put_table, size_words

BAR = 24
FULL_BAR_PSI = 0.5
MOST_CLASSES = 20
MOST_DAYS = 7


@click.command("monitor", epilog="Example: handrail monitor reviews")
@click.argument("name")
@shared
def command(name: str, as_json: bool) -> None:
    """Show what is kept of the predictions of the API called NAME; no server need run.

    Drift compares rows of late with those of training: PSI up to 0.1 is none, up to 0.25 some, more is much; what
    chance may give counts as none.
    """
    found = found_for(name)
    if as_json:
        put_json(found)
        return
    put(f"{name}: {counted(found['requests'], 'request')}, {counted(found['rows'], 'row')}{_missed(found)}")
    put_answers(found)
    put_days(found["days"][-MOST_DAYS:])
    put_accuracy(found)
    put_drift(found["drift"])
    put_kept(found)


def found_for(name: str) -> dict[str, Any]:
    """What is kept of an API. Raises HandrailError with the nearest name where nothing is."""
    from handrail.store.home import default_home
    from handrail.watch import summary

    home = default_home()
    try:
        return summary(home, name)
    except HandrailError as error:
        known = sorted(path.stem for path in (home / "watch").glob("*.db"))
        if error.code != "not_found" or not known:
            raise
        if name in known:
            raise HandrailError(
                "not_found", f"'{name}' has answered nothing yet", f"ask it: handrail status {name}"
            ) from None
        near = did_you_mean(name, known).strip() or f"there is something of {listed(known)}"
        raise HandrailError("not_found", error.problem, near) from None


def put_answers(found: dict[str, Any]) -> None:
    """Classes with bars, or the range of numbers."""
    if found["numbers"]:
        put_heading("answers")
        numbers = found["numbers"]
        put_table([(word, f"{numbers[word]:,.6g}") for word in ("min", "mean", "max")])
    if found["classes"]:
        put_heading("answers")
        counts = list(found["classes"].items())
        rest = found["other_classes"] + sum(count for _, count in counts[MOST_CLASSES:])
        shown = [*counts[:MOST_CLASSES], *([("(others)", rest)] if rest else [])]
        total = sum(count for _, count in shown)
        put_table([(word, f"{count:,}", f"{count / total:.1%}", _bar(count / total)) for word, count in shown])
    if found["uncounted"]:
        put(f"{counted(found['uncounted'], 'answer')} had no '{found['key']}' that could be counted")


def put_days(days: list[dict[str, Any]]) -> None:
    """Rows of each day (UTC) with bars, where there is more than one day."""
    if len(days) < 2:
        return
    put_heading("rows by day")
    most = max(1, *(day["rows"] for day in days))
    put_table([(day["from"][:10], f"{day['rows']:,}", _bar(day["rows"] / most)) for day in days])


def put_accuracy(found: dict[str, Any]) -> None:
    """How right it was, by the right answers that were sent."""
    right = found["accuracy"]
    if not right or not right["rows"]:
        return
    put_heading("right answers")
    for version, one in sorted(found["accuracy_by_version"].items()):
        put(f"{version or found['api']}: {_accuracy(one)}")
    if classes := right.get("per_class"):
        rows = [(one["class"], f"{one['rows']:,}", _share(one["recall"]), _share(one["precision"])) for one in classes]
        put_table([("class", "rows", "recall", "precision"), *rows], header=True)


def put_drift(drift: dict[str, Any]) -> None:
    """Every column's distance from the training data, the worst first."""
    put_heading("drift")
    if drift["judged"] == "no profile":
        put("the model does not know what its training data look like: train it again")
        return
    put(f"{drift['judged']}: {counted(drift['rows'], 'row')} of late against the training data")
    if rows := [_drifted(one) for one in drift["columns"]]:
        put_table([("column", "of its", "PSI", "KS", "drift", ""), *rows], header=True)


def put_kept(found: dict[str, Any]) -> None:
    """What lies on the disk."""
    samples = found["samples"]
    put()
    put(
        f"kept: {counted(samples['kept'], 'input')} ({size_words(samples['bytes'])}), "
        f"{counted(found['remembered'], 'answer')}, {counted(found['feedback'], 'right answer')}"
    )


def _drifted(one: dict[str, Any]) -> tuple[str, ...]:
    apart = "–" if one["ks"] is None else f"{one['ks']:.3f}"
    name = one["column"] or "(answers)"
    return name, one["what"], f"{one['psi']:.3f}", apart, one["judged"], _bar(one["psi"] / FULL_BAR_PSI)


def _missed(found: dict[str, Any]) -> str:
    return f", {found['dropped']:,} more came too fast to be watched" if found["dropped"] else ""


def _accuracy(right: dict[str, Any]) -> str:
    if "mae" in right:
        return f"off by {right['mae']:.6g} on average (RMSE {right['rmse']:.6g}), {counted(right['rows'], 'row')}"
    interval = f"{_share(right['low'])} to {_share(right['high'])}"
    return f"{_share(right['accuracy'])} right ({interval}), {counted(right['rows'], 'row')}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _bar(share: float) -> str:
    return "█" * max(0, min(BAR, round(share * BAR)))
