"""Summaries as Bert Extractive Summarizer's server gives them: a text in, {"summary": …} out, options in the query."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.language.sentences import LANGUAGE
from handrail.serve.exchange import Headers, Response
from handrail.serve.limits import Refused

MORE: Final = ("min_length", "max_length", "language")
MOST: Final = 1_000_000
# The ancestor's server has these of its own where a request names none.
DEFAULTS: Final[dict[str, Any]] = {"ratio": 0.2, "min_length": 25, "max_length": 500}
NUMBER: Final = re.compile(r"(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][+-]?\d{1,3})?", re.ASCII)
KINDS: Final = (b"", b"text/plain", b"application/octet-stream", b"application/x-www-form-urlencoded")


@dataclass(frozen=True)
class Asked:
    """A text to be summarised, options as `Summarizer` takes them, the language that says where its sentences end."""

    text: str
    options: dict[str, Any] = field(default_factory=dict)
    language: str = "en"


def by_ratio(body: bytes, headers: Headers, query: bytes) -> Asked:
    """What a request to /summarize_by_ratio asks. Raises HandrailError or Refused that says what is off."""
    return _asked(body, headers, _options(query, ("ratio", *MORE)))


def by_sentence(body: bytes, headers: Headers, query: bytes) -> Asked:
    """What a request to /summarize_by_sentence asks; alike."""
    return _asked(body, headers, {"num_sentences": 5, **_options(query, ("num_sentences", *MORE))})


def either(body: bytes, headers: Headers, query: bytes) -> Asked:
    """What a request to /summarize asks: a share of the sentences, or their number, which wins."""
    return _asked(body, headers, _options(query, ("ratio", "num_sentences", *MORE)))


def written(summary: str) -> Response:
    """The answer."""
    return Response(orjson.dumps({"summary": summary}))


def _asked(body: bytes, headers: Headers, options: dict[str, Any]) -> Asked:
    language = options.pop("language", "en")
    return Asked(_text(body, headers), {**DEFAULTS, **options}, language)


def _options(query: bytes, known: tuple[str, ...]) -> dict[str, Any]:
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        raise HandrailError("usage", "the query is off", f"options are {listed(known)}") from None
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name not in known:
            mend = did_you_mean(name, known).strip() or f"options are {listed(known)}"
            raise HandrailError("usage", f"no option is called '{name[:60]}'", mend)
        given[name] = _READ.get(name, _whole)(name, value)
    return given


def _ratio(name: str, value: str) -> float:
    if NUMBER.fullmatch(value) is None or not 0 < float(value) <= 1:
        problem = f"{name}: expected more than 0 and up to 1, received '{value[:60]}'"
        raise HandrailError("usage", problem, f"{name}=0.2", field=name)
    return float(value)


def _language(name: str, value: str) -> str:
    if LANGUAGE.fullmatch(value) is None:
        problem = f"{name}: expected a code such as en or de, received '{value[:60]}'"
        raise HandrailError("usage", problem, f"{name}=de", field=name)
    return value


def _whole(name: str, value: str) -> int:
    least = 0 if name == "min_length" else 1
    if re.fullmatch(r"\d{1,7}", value, re.ASCII) is None or not least <= int(value) <= MOST:
        problem = f"{name}: expected a whole number from {least} to {MOST:,}, received '{value[:60]}'"
        raise HandrailError("usage", problem, f"{name}=3", field=name)
    return int(value)


_READ: Final[dict[str, Callable[[str, str], Any]]] = {"ratio": _ratio, "language": _language}


def _text(body: bytes, headers: Headers) -> str:
    """The body as a text, whatever a client such as curl calls it."""
    kind, _, parameters = headers.get(b"content-type", b"").lower().partition(b";")
    if kind.strip() not in KINDS or (b"charset" in parameters and b"utf" not in parameters):
        problem = f"content-type {kind.decode('latin-1')[:80]} is not read here"
        raise HandrailError("media_type", problem, "-H 'content-type: text/plain', and the text as UTF-8")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        mend = "send it as UTF-8"
        raise Refused(400, HandrailError("usage", f"not UTF-8 at byte {error.start}", mend)) from None
    if not text.strip() or "\0" in text:
        raise HandrailError("data", "the body is no text, or an empty one", "send the text that is to be summarised")
    return text
