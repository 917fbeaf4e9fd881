"""What somebody who is handed a model should know: what it is for, what it learnt from, how to make it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from handrail.core.errors import counted
from handrail.report import verdict
from handrail.report.markup import NOTHING, Html, facts, join, section, shortened, tag
from handrail.report.words import some

Facts = list[tuple[str, str | None]]
SENTENCE: Final = "What somebody who is handed this model should know."


def card(report: Mapping[str, Any]) -> Html:
    """What the model is for, what it learnt from, where it ends, and how to make it again."""
    if not report:
        return NOTHING
    is_text = report.get("task") == "generation"
    found, again = (_of_texts(report), _texts_again(report)) if is_text else (_of_rows(report), _rows_again(report))
    versions = some(report.get("versions"))
    made_with = ", ".join(f"{package} {version}" for package, version in versions.items()) or None
    return section("card", "Model card", SENTENCE, facts([*found, ("made with", made_with)]), again)


def _of_rows(report: Mapping[str, Any]) -> Facts:
    rows = some(report.get("rows"))
    labels = [str(label) for label in report.get("labels") or ()]
    return [
        ("made for", f"answering '{report.get('target') or 'the target'}' for rows like those it learnt from"),
        ("answers", shortened(", ".join(labels), 400) if labels else None),
        ("learnt from", f"{rows['train']:,} rows" if rows.get("train") else None),
        ("starts from", _start(report) or "nothing: trained from these rows alone"),
        ("limits", _limits(report)),
        ("not for", "decisions about people without somebody who looks at them, and rows of another kind or time"),
    ]


def _of_texts(report: Mapping[str, Any]) -> Facts:
    training = some(report.get("training"))
    talks = bool(some(report.get("plan")).get("dialogue"))
    return [
        ("made for", f"{'answering' if talks else 'writing'} like the texts it learnt from"),
        ("learnt from", f"{counted(training['tokens'], 'token')} that it saw" if training.get("tokens") else None),
        ("starts from", _start(report) or "nothing: trained from these texts alone"),
        (
            "limits",
            "It writes what sounds right, whether it is right or not, and may copy what it learnt from: see above.",
        ),
        ("not for", "facts, advice or words to people without somebody who reads them first"),
    ]


def _start(report: Mapping[str, Any]) -> str:
    base = some(report.get("base"))
    licence = base.get("licence") or base.get("license")
    return ", ".join(str(part) for part in (base.get("name"), licence and f"licence {licence}") if part)


def _limits(report: Mapping[str, Any]) -> str:
    said = [verdict.weakest(report), verdict.calibrated(report) if "not be taken" in verdict.calibrated(report) else ""]
    said.append(
        "It knows only what its columns told it when it was trained; measure it again on new rows: handrail evaluate."
    )
    return " ".join(sentence for sentence in said if sentence)


def _rows_again(report: Mapping[str, Any]) -> Html:
    exact = some(report.get("asked")).get("trials") is not None
    same = "This gives the same bytes." if exact else "Only --trials gives the same bytes: what a time allows differs."
    target = ("--target", report.get("target") or "the target")
    return _again(_command("train", report, *target), same)


def _texts_again(report: Mapping[str, Any]) -> Html:
    exact = some(report.get("asked")).get("steps") is not None
    same = "On the same machine this gives the same numbers."
    differs = "Only --steps gives the same numbers, on the same machine: what a time allows differs."
    return _again(_command("finetune", report), same if exact else differs)


def _again(command: str, same: str) -> Html:
    heading = "To make it again, from the same file with the same versions"
    return join([tag("h3", heading), tag("pre", command), tag("p", same, class_="small")])


def _command(verb: str, report: Mapping[str, Any], *more: object) -> str:
    """What to type to train it again, with every option that was not left as it is."""
    words = ["handrail", verb, "YOUR_FILE", *more]
    words += ["--name", report.get("name") or "the model", "--seed", report.get("seed", 0)]
    for option, value in some(report.get("asked")).items():
        for one in value if isinstance(value, list) else [value]:
            words += [f"--{option}"] if one is True else [f"--{option}", one]
    return " ".join(_quoted(str(word)) for word in words)


def _quoted(text: str) -> str:
    """A word for a shell, in quotes where it needs them."""
    if text and all(sign.isalnum() or sign in "._-=" for sign in text):
        return text
    return "'" + text.replace("'", "'\\''") + "'"
