"""What `generate` and `chat` share: the options of settings, text that comes in pieces, and what is said of it."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from handrail.core.errors import HandrailError, clipped, counted, listed
from handrail.faces.cli.options import Reader, once, opened, opened_store, whole
from handrail.faces.cli.printing import columns_of, safe, say

if TYPE_CHECKING:
    from handrail.generate.pieces import Piece
    from handrail.model import Model

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
NUMBER = re.compile(r"-?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})", re.ASCII)
# Scripts without blanks are broken anywhere.
LONGEST_WORD = 30
FINISHES = {
    "stop": "ended by itself",
    "length": "stopped at --max-tokens",
    "cancelled": "cancelled",
    "failed": "failed",
}


def real(low: float, high: float, example: str) -> Reader:
    """A reader of numbers in a range."""

    def read(option: str, text: str) -> float:
        if NUMBER.fullmatch(text.strip()) is None or not low <= float(text) <= high:
            problem = f"{option} must be a number from {low:g} to {high:g}, received '{clipped(text, 60)}'"
            raise HandrailError("usage", problem, f"for example {option} {example}", field=option.strip("-"))
        return float(text)

    return read


def settings_options(function: Decorated) -> Decorated:
    """The options of how a text is continued; without one, the model's own default holds."""
    options = (
        once("--max-tokens", read=whole(1, 65_536, "200"), metavar="N", help="Write at most N tokens (default: 256)."),
        once("--temperature", read=real(0, 10, "0.7"), metavar="T", help="0 is always the likeliest, 1 as learnt."),
        once("--top-k", read=whole(0, 1_000_000, "40"), metavar="K", help="Choose among the K likeliest tokens."),
        once("--top-p", read=real(0, 1, "0.9"), metavar="P", help="Choose among the likeliest that have the share P."),
        once(
            "--min-p", read=real(0, 1, "0.05"), metavar="P", help="Leave out what is P times less likely than the best."
        ),
        once("--repetition-penalty", read=real(0.1, 10, "1.1"), metavar="X", help="Above 1: say less what was said."),
        once("--seed", read=whole(-(2**62), 2**62, "42"), metavar="N", help="The same seed writes the same text."),
        click.option(
            "--stop",
            multiple=True,
            metavar="TEXT",
            help="End before this text (\\n: a new line); may be given several times.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def settings_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that were given, by their names in Python."""
    found = {name: value for name, value in given.items() if value is not None and name != "stop"}
    stops = [text.replace("\\n", "\n").replace("\\t", "\t") for text in given["stop"]]
    return found | ({"stop": stops} if stops else {})


def opened_writer(name: str | None, verb: str) -> Model:
    """The model that writes under this name. Raises HandrailError that says what to type where there is none."""
    if name is None:
        there = [entry.name for entry in opened_store().models() if entry.task == "generation"]
        mend = f"handrail {verb} {there[0]}; those that write: {listed(there)}" if there else "handrail import smollm2"
        raise HandrailError("usage", "no model is named", mend, field="name")
    model = opened(name)
    if not model.writes:
        mend = f"handrail predict {model.name}, or take one that writes: handrail import smollm2"
        raise HandrailError("usage", f"{model.name} does not write text, it is for {model.manifest.task}", mend)
    return model


def write_pieces(pieces: Iterator[Piece]) -> tuple[str, Piece | None]:
    """Writes a text to stdout while it comes. Gives what was written and the last piece, None after Ctrl-C.

    Raises the problem of a continuation that failed.
    """
    parts: list[str] = []
    last = None
    lines = Lines(shutil.get_terminal_size().columns - 1 if sys.stdout.isatty() else 0)
    try:
        for piece in pieces:
            if piece.problem is not None:
                raise piece.problem
            parts.append(piece.text)
            sys.stdout.write(lines.feed(safe(piece.text)))
            sys.stdout.flush()
            last = piece
    except KeyboardInterrupt:
        last = None
    finally:
        pieces.close()  # type: ignore[attr-defined]
        sys.stdout.write(lines.flush())
    return "".join(parts), last


class Lines:
    """Breaks text that comes in pieces between words, before the terminal would break it within one; 0 columns never
    does. The word that is being written is kept back until it is whole."""

    def __init__(self, width: int) -> None:
        self._width, self._column, self._word = width, 0, ""

    def feed(self, text: str) -> str:
        """What may be shown now."""
        if not self._width:
            return text
        found = []
        for char in text:
            if char.isspace() or len(self._word) >= LONGEST_WORD:
                found += [self.flush(), char]
                self._column = 0 if char == "\n" else self._column + columns_of(char)
            else:
                self._word += char
        return "".join(found)

    def flush(self) -> str:
        """The word that was kept back, on a line of its own where this one has no room."""
        word, size = self._word, columns_of(self._word)
        breaks = 0 < self._width < self._column + size
        self._column = size if breaks else self._column + size
        self._word = ""
        return "\n" + word if breaks and word else word


def say_end(last: Piece | None) -> None:
    """Says how a text ended and what it took."""
    if last is None or last.usage is None:
        say("· stopped")
        return
    usage = last.usage
    speed = usage.completion_tokens / max(1e-9, usage.seconds)
    slid = f"; {counted(usage.slid_tokens, 'token')} at the beginning left the window" if usage.slid_tokens else ""
    say(f"· {counted(usage.completion_tokens, 'token')} in {usage.seconds:.1f} s ({speed:.0f}/s), "
        f"the first after {usage.first_token_s:.2f} s; {FINISHES[last.finish or 'stop']}{slid}")  # fmt: skip
