"""What comes out of a generator: pieces of text while they are written, and what each continuation took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from handrail.core.errors import HandrailError

Finish = Literal["stop", "length", "cancelled", "failed"]


@dataclass(frozen=True)
class TokenLogprob:
    """How likely a chosen token was (natural logarithm, before penalties and temperature), and the likeliest ones."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Usage:
    """What one continuation took. `cached_tokens` of the prompt's were taken over from others instead of computed;
    `slid_tokens` left the window at its beginning; both times count from `submit`."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    slid_tokens: int = 0
    first_token_s: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Piece:
    """A step of one continuation: `index` says which of the request's `n`.

    `tokens` were written in this step (the end mark is not among them); `text` is what is certain since then: whole
    characters, without anything that is, or may become, a stop string. So a piece may hold tokens and no text, and the
    last one text and no tokens. `finish` and `usage` stand in the last piece, `problem` where it is "failed".
    """

    id: int
    index: int
    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] | None = None
    finish: Finish | None = None
    usage: Usage | None = None
    problem: HandrailError | None = None


@dataclass(frozen=True)
class Answered:
    """One whole continuation."""

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] | None
    finish: Finish
    usage: Usage
