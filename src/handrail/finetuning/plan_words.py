"""A plan for people: a word and a sentence for each decision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from handrail.finetuning.plan_values import Material, Settings, Shape

Lines = tuple[tuple[str, str], ...]


def plan_lines(
    shape: Shape, material: Material, settings: Settings, powers: Mapping[str, Any], about: Mapping[str, str], *,
    why: str, learning: int, memory_bytes: int, kept_bytes: int, tokens_s: float, passes: float,
) -> Lines:  # fmt: skip
    """(word, explanation) pairs in reading order."""
    free = powers["free_bytes"] / 2**30
    kept = f"what the first {settings.first} blocks make of the text is computed once ({kept_bytes / 2**20:,.0f} MB)"
    return (
        ("base", _base(shape, settings, about)),
        ("text", _text(material)),
        ("method", f"{_method(shape, settings, learning)}: {why}"),
        ("rows", f"{settings.length} tokens long, {settings.batch} at a time"),
        ("precision", str(powers["reason"])),
        ("softmax", _softmax(shape, material, settings)),
        *((("kept", kept),) if settings.keeps else ()),
        ("memory", f"about {memory_bytes / 2**30:.1f} GB, {free:.1f} GB are free"),
        ("time", _time(material, settings, tokens_s, passes)),
    )


def millions(count: float) -> str:
    """A number of parameters: 134.5 million."""
    return f"{count / 1e6:,.1f} million" if count < 1e9 else f"{count / 1e9:,.1f} billion"


def duration(seconds: float) -> str:
    """A span of time, roughly: 40 s, 1.5 min, 5 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 600:
        return f"{round(seconds / 60, 1):g} min"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{round(seconds / 3600, 1):g} h"


def _base(shape: Shape, settings: Settings, about: Mapping[str, str]) -> str:
    sizes = f"{millions(shape.size)} parameters in {shape.blocks} blocks"
    if settings.method == "new":
        return f"none: a new network of {sizes}, and a tokenizer made of the text, {shape.vocabulary:,} tokens"
    licence = f", {about['licence']}" if about.get("licence") else ""
    return f"{about['name']}: {sizes}{licence}"


def _text(material: Material) -> str:
    held = f"{material.held_out:,} held out to score with" if material.held_out else "nothing held out"
    kind = "tokens of conversations" if material.is_dialogue else "tokens"
    return f"{material.tokens:,} {kind} to learn from, {material.distinct:,} of them different; {held}"


def _method(shape: Shape, settings: Settings, learning: int) -> str:
    last = f"the last {shape.blocks - settings.first} of {shape.blocks} blocks"
    last = last if settings.first else f"all {shape.blocks} blocks"
    share = f"{millions(learning)} numbers learn"
    if settings.method == "lora":
        return f"small matrices beside those of {last} (LoRA), {share}"
    return f"{last}, {share}" if settings.method == "blocks" else f"the whole network, {share}"


def _softmax(shape: Shape, material: Material, settings: Settings) -> str:
    if not settings.restricted:
        return f"over all {shape.vocabulary:,} tokens"
    others = shape.vocabulary - material.distinct
    return f"over the text's {material.distinct:,} tokens and a few of the {others:,} others"


def _time(material: Material, settings: Settings, tokens_s: float, passes: float) -> str:
    limits = [] if settings.steps is None else [f"{settings.steps:,} steps"]
    limits += [] if settings.time_s is None else [duration(settings.time_s)]
    words = " or ".join(limits) + (", whichever comes first" if len(limits) > 1 else "")
    # Foretelling held-out text takes about half of what learning from it would.
    looks = (settings.evaluations + 1) * material.held_out / 2
    took = min(settings.time_s or math.inf, (passes * material.tokens + looks) / tokens_s)
    about = "" if settings.steps is None else f"about {duration(took)}, "
    often = f"{passes:.1f} times" if passes >= 1 else f"{passes:.0%} of it once"
    speed = f"about {tokens_s:,.0f} tokens a second, so through the text {often}"
    return f"{words}; {about}{speed}; ends early when it gets no better"
