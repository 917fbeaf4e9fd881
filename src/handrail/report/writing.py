"""How the training of a model that writes went: before and after, what it writes, and how much of that is copied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from handrail.core.errors import counted
from handrail.report.markup import NOTHING, Child, Html, absent, section, table, tag
from handrail.report.pictures import Axis, Dot, line_chart, nice_ticks
from handrail.report.words import each, number, percent, some

WORDS: Final = {"perplexity": "perplexity", "bits_per_byte": "bits per byte"}
KINDS: Final = {"greedy": "the likeliest words", "sampled": "drawn words", "held_out": "text it never saw"}
LONGEST_SAMPLE: Final = 600
Rows = list[tuple[str, ...]]


def headline(report: Mapping[str, Any]) -> str:
    """The score in one line: perplexity 44.0 → 21.3; "" where nothing was held out.

    It is that of the model as it was saved, where that was measured: rounding may cost much.
    """
    before, after = some(_training(report).get("before")), _exported(report) or some(_training(report).get("after"))
    if not after:
        return ""
    gain = 1 - after["bits_per_byte"] / before["bits_per_byte"] if before.get("bits_per_byte") else 0.0
    words = f"{percent(gain)} fewer bits per byte" if gain > 0 else "no better than before"
    said = ", ".join(f"{word} {number(before.get(key))} → {number(after.get(key))}" for key, word in WORDS.items())
    scored = _training(report).get("scored_tokens")
    text = f"{counted(scored, 'token')} of text" if scored else "text"
    return f"{said}: {words}, on {text} never seen in training"


def rows(report: Mapping[str, Any]) -> Rows:
    """Before, after and as exported, as rows of a small table with its heads; [] where nothing was held out."""
    training, bits = _training(report), some(report.get("exported")).get("bits")
    scored = [
        ("before", some(training.get("before"))),
        ("after", some(training.get("after"))),
        (f"as exported, {bits} bits", _exported(report)),
    ]
    found = [
        (word, *(number(one.get(key)) for key in WORDS)) for word, one in scored if one.get("perplexity") is not None
    ]
    return [("held-out text", *WORDS.values()), *found] if found else []


def copied(report: Mapping[str, Any]) -> str:
    """How much of what it writes stands word by word in the training text, in one sentence."""
    found = some(report.get("recitation"))
    parts = [f"{percent(some(found[kind]).get('share'))} of {words}" for kind, words in KINDS.items() if kind in found]
    longest = max((some(one).get("longest") or 0 for key, one in found.items() if key != "held_out"), default=0)
    run = f"; the longest run it copied has {longest:,} tokens" if longest else ""
    return f"Copied word by word from the training text: {', '.join(parts)}{run}." if parts else ""


def lines(report: Mapping[str, Any]) -> list[tuple[str, Rows]]:
    """(heading, rows) for a terminal, after the headline."""
    sentences: Rows = [(sentence,) for sentence in (copied(report), _ended(report)) if sentence]
    samples: Rows = [
        (f"{one.get('prompt')}▸{one.get('text')}"[:LONGEST_SAMPLE].replace("\n", " ⏎ "),)
        for one in each(report.get("samples"))[:2]
    ]
    return [("scores", rows(report)), ("in words", sentences), ("what it writes", samples)]


def curve(report: Mapping[str, Any]) -> Html:
    """How well held-out text was foretold on the way."""
    training = _training(report)
    if not training:
        return NOTHING
    points = [(float(one["tokens"]), float(one["bits_per_byte"])) for one in each(training.get("curve"))]
    title = "How it learnt"
    if len(points) < 2 or points[-1][0] == 0:
        return absent("curve", title, "Nothing was held out, so it is not known how it went.")
    ticks = nice_ticks(min(up for _, up in points), max(up for _, up in points))
    dots = [Dot(across, up, f"after {across:,.0f} tokens: {number(up)}") for across, up in points]
    across = Axis("tokens seen", 0.0, points[-1][0])
    picture = line_chart("Held-out text", across, Axis("bits per byte", ticks[0], ticks[-1]), points, dots=dots)
    heads = (("held-out text", "name"), ("perplexity", "num"), ("bits per byte", "num"))
    body: list[tuple[Child, ...]] = list(rows(report)[1:])
    return section("curve", title, _ended(report), table(heads, body), picture)


def recitation(report: Mapping[str, Any]) -> Html:
    """How much is copied, and what it writes."""
    found = some(report.get("recitation"))
    if not found:
        return NOTHING
    heads = (("what it writes", "name"), ("copied", "num"), ("longest run", "num"), ("tokens", "num"))
    body: list[tuple[Child, ...]] = [
        (KINDS[kind], percent(one.get("share")), number(one.get("longest")), number(one.get("tokens")))
        for kind, one in ((kind, some(found[kind])) for kind in KINDS if kind in found)
    ]
    hint = "Runs of about 50 characters and more that stand word by word in the training text count as copied."
    samples = [
        tag("blockquote", tag("b", str(one.get("prompt"))), str(one.get("text"))[:LONGEST_SAMPLE], class_="sample")
        for one in each(report.get("samples"))
    ]
    return section("recitation", "Does it recite?", copied(report), table(heads, body), tag("p", hint, class_="small"),
                   *samples)  # fmt: skip


def _exported(report: Mapping[str, Any]) -> dict[str, float]:
    """Perplexity and bits per byte as exported, {} where they were not measured.

    They are of the rows that the trained network was scored with, so nats say how many bits.
    """
    after, exported = some(_training(report).get("after")), some(report.get("exported"))
    if not after.get("loss") or exported.get("loss") is None or exported.get("perplexity") is None:
        return {}
    per_nat = after["bits_per_byte"] / after["loss"]
    return {"perplexity": exported["perplexity"], "bits_per_byte": exported["loss"] * per_nat}


def _training(report: Mapping[str, Any]) -> dict[str, Any]:
    return some(report.get("training"))


def _ended(report: Mapping[str, Any]) -> str:
    training = _training(report)
    if not training.get("steps"):
        return ""
    steps, tokens = counted(training["steps"], "step"), counted(training.get("tokens", 0), "token")
    return f"It ended after {steps} and {tokens}: {training['ended']}."
