"""What a request for text asks, whatever format it came in, and how its texts are written: whole, or as events."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Final, Protocol

import orjson

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.field import described
from handrail.core.jsons import is_deeper
from handrail.generate.settings import Settings, settings_from
from handrail.model import Model
from handrail.serve.formats import json
from handrail.serve.limits import MAX_JSON_DEPTH, Refused
from handrail.serve.talks import Asked, Said

# Continuations of one request.
MOST_TEXTS: Final = 128
# A prompt is cut into tokens between two steps of all the others: some hundredths of a second for so many characters.
LONGEST_PROMPT: Final = 2**18
CHARACTERS_FOR_A_TOKEN: Final = 16
# A seed that every language's numbers hold.
SEED_BITS: Final = 53
Json = dict[str, Any]


class Writer(Protocol):
    """Texts in one format. For a stream: `events` of what came, `last` after all, `failed` instead of the rest."""

    def whole(self, found: Sequence[Sequence[Said]]) -> bytes: ...
    def events(self, some: Sequence[Said]) -> bytes: ...
    def last(self) -> bytes: ...
    def failed(self, error: Json) -> bytes: ...


@dataclass(frozen=True)
class Wish:
    """The continuations that are asked for, in the order of their places."""

    asked: tuple[Asked, ...]
    streams: bool
    writer: Writer


def object_in(body: bytes, sample: str) -> Json:
    """The object in a body. Raises Refused (400) for anything else."""
    value = json.parsed(body)
    if not isinstance(value, dict):
        raise Refused(400, HandrailError("usage", f"expected an object, received {described(value)}", f"send {sample}"))
    if is_deeper(value, MAX_JSON_DEPTH):
        raise Refused(400, HandrailError("usage", f"nested deeper than {MAX_JSON_DEPTH}", f"send {sample}"))
    return value


def refuse_unknown(given: Json, known: Sequence[str]) -> None:
    """Raises HandrailError for a field that is none."""
    for name in given:
        if name not in known:
            mend = did_you_mean(name, known).strip() or f"there are {listed(known, 40)}"
            raise HandrailError("data", f"no field is called '{name[:60]}'", mend, field=name[:60])


def true_or_false(given: Json, name: str) -> bool:
    """A switch; off where it is left out."""
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        problem = f"'{name}': expected true or false, received {described(value)}"
        raise HandrailError("data", problem, f"leave {name} out, or say true", field=name)
    return bool(value)


def settings_of(given: Mapping[str, object], model: Model, **otherwise: object) -> Settings:
    """The settings that are given, else those in `otherwise`, else the model's own. A seed is drawn where none is
    given: a replica that dies is followed by one that goes on with the same."""
    own = own_settings(model)
    if otherwise:
        own = settings_from(otherwise, own)
    settings = settings_from(given, own)
    return settings if settings.seed is not None else replace(settings, seed=secrets.randbits(SEED_BITS))


def own_settings(model: Model) -> Settings:
    """The settings that the model comes with."""
    return _own(orjson.dumps(model.manifest.encode.get("defaults", {})))


def asked_of(prompts: Sequence[Json], settings: Settings, model: Model) -> tuple[Asked, ...]:
    """Every continuation of every prompt by itself. Raises HandrailError for too many, or too long a prompt."""
    for prompt in prompts:
        _refuse_endless(prompt, int(model.manifest.encode.get("window", 0)))
    if len(prompts) * settings.n > MOST_TEXTS:
        problem = f"{len(prompts):,} prompts with {settings.n} texts each: at most {MOST_TEXTS} texts are written"
        raise HandrailError("too_large", problem, "send fewer at a time", field="n")
    told = {**asdict(settings), "n": 1}
    return tuple(Asked(prompt, told, index) for prompt in prompts for index in range(settings.n))


def prompted(row: Sequence[Any], model: Model) -> Asked:
    """A row of `predict`: one prompt, with the model's own settings."""
    return asked_of([{"text": row[0] or ""}], replace(settings_of({}, model), n=1), model)[0]


def _refuse_endless(prompt: Json, window: int) -> None:
    """Raises HandrailError for a prompt that would hold up all others while it is cut into tokens. One that is only
    longer than the window is read, and its beginning forgotten."""
    text = prompt.get("text")
    size = len(text) if text is not None else len(orjson.dumps(prompt))
    most = max(LONGEST_PROMPT, CHARACTERS_FOR_A_TOKEN * window)
    if size > most:
        mend = f"give at most {most:,}; the model sees the last {window:,} tokens"
        field = "messages" if "messages" in prompt else "prompt"
        raise HandrailError("too_large", f"a prompt of {size:,} characters", mend, field=field)


def event(value: object) -> bytes:
    """One server-sent event.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    return b"data: %s\n\n" % orjson.dumps(value)


@lru_cache(maxsize=32)
def _own(defaults: bytes) -> Settings:
    return settings_from(orjson.loads(defaults))
