"""What `.cortexignore` and `.handrailignore` leave out: lines as in a .gitignore."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """One line. `keeps` brings back what an earlier line left out."""

    pattern: re.Pattern[str]
    keeps: bool
    folders_only: bool


def rules_of(text: str) -> tuple[Rule, ...]:
    """The rules in the text of such a file, in their order."""
    return tuple(rule for line in text.splitlines() if (rule := _rule(line)) is not None)


def leaves_out(rules: Sequence[Rule], name: str, *, is_folder: bool) -> bool:
    """Whether the last rule that fits `name` (with slashes, from the folder of the file) leaves it out.

    What lies in a folder that is left out is not asked about: nothing brings it back.
    """
    for rule in reversed(rules):
        if (is_folder or not rule.folders_only) and rule.pattern.fullmatch(name):
            return not rule.keeps
    return False


def _rule(line: str) -> Rule | None:
    text = _without_trailing_blanks(line)
    if not text or text.startswith("#"):
        return None
    keeps = text.startswith("!")
    text = text[1:] if keeps else text
    folders_only = text.endswith("/")
    text = text.rstrip("/")
    if not text:
        return None
    # A slash at the start or in the middle ties the line to the folder of the file.
    start = "" if "/" in text else "(?:.*/)?"
    try:
        return Rule(re.compile(start + _expression(text.lstrip("/")), re.S), keeps, folders_only)
    except re.error:
        return None  # an unclosed or reversed range fits nothing, as in git


def _without_trailing_blanks(line: str) -> str:
    """A blank at the end counts only after a backslash."""
    text = line.rstrip(" \t\r")
    return text + " " if text.endswith("\\") and len(text) < len(line) else text


# What a line may hold besides plain letters, longest first.
_TOKENS = re.compile(r"^\*\*/|/\*\*/|/\*\*$|\*+|\?|\\.|\[[!^]?\]?[^\]]*\]|.", re.S)
_MEANINGS = {"**/": "(?:.*/)?", "/**/": "/(?:.*/)?", "/**": "/.+", "?": "[^/]"}


def _expression(text: str) -> str:
    return "".join(_meaning(token[0]) for token in _TOKENS.finditer(text))


def _meaning(token: str) -> str:
    if token in _MEANINGS:
        return _MEANINGS[token]
    if token.startswith("*"):
        return "[^/]*"
    if token.startswith("[") and len(token) > 1:
        inside = token[1:-1]
        negated = inside[:1] in ("!", "^")
        inside = (inside[1:] if negated else inside).replace("[", r"\[").replace("]", r"\]")
        # A set never fits a slash.
        return f"(?!/)[{'^' if negated else ''}{inside}]"
    return re.escape(token[1:] if len(token) == 2 and token[0] == "\\" else token)
