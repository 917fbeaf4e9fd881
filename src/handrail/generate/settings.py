"""How a continuation is wanted: every setting by its standard name, its bounds, and a strict reader.

The names and meanings are those of the OpenAI and vLLM interfaces; the order in which they take effect is: penalties,
grammar, temperature, top-k, top-p, min-p.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import orjson

from handrail.core.errors import HandrailError, clipped, did_you_mean, listed

MAX_TOKENS: Final = 65_536
MAX_TEMPERATURE: Final = 10.0
MAX_TOP_K: Final = 1_000_000
REPETITION_PENALTIES: Final = (0.1, 10.0)
PENALTIES: Final = (-2.0, 2.0)
SEEDS: Final = (-(2**63), 2**63 - 1)
MAX_STOPS: Final = 32
MAX_STOP_CHARACTERS: Final = 256
MAX_LOGPROBS: Final = 20
MAX_N: Final = 64
MAX_SCHEMA_BYTES: Final = 65_536
MAX_SCHEMA_DEPTH: Final = 32
ANY_JSON: Final = "json_object"


@dataclass(frozen=True)
class Settings:
    """What a request asks of its continuations.

    `temperature` 0 takes the likeliest token each time; `top_k` 0, `top_p` 1 and `min_p` 0 leave every token in.
    `repetition_penalty` counts the prompt, too; `presence_penalty` and `frequency_penalty` only what was written.
    `seed` None is another text each time. `logprobs` is how many of the likeliest tokens are told with each chosen one.
    `json_schema` is a JSON schema, or "json_object" for any JSON object. `ignore_end` goes on past the end mark.
    """

    max_tokens: int = 256
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    json_schema: dict[str, Any] | str | None = None
    n: int = 1
    ignore_end: bool = False


def settings_from(given: Mapping[str, object], defaults: Settings | None = None) -> Settings:
    """The settings that `given` asks for; what is left out or None is as in `defaults`.

    Raises HandrailError that tells every field that is off, `field` being the first of them.
    """
    problems: dict[str, str] = {}
    read: dict[str, Any] = {}
    for name, value in given.items():
        try:
            if (reader := READERS.get(name)) is None:
                raise ValueError(f"there is no such setting.{did_you_mean(str(name), READERS)}")
            if value is not None:
                read[name] = reader(value)
        except ValueError as error:
            problems[clipped(str(name))] = str(error)
    if problems:
        raise refused(problems)
    settled = {field.name: getattr(defaults or Settings(), field.name) for field in fields(Settings)}
    return Settings(**(settled | read))


def refused(problems: Mapping[str, str]) -> HandrailError:
    """One error for all settings that are off."""
    told = "; ".join(f"'{name}': {problem.rstrip('.')}" for name, problem in list(problems.items())[:8])
    more = f"; and {len(problems) - 8:,} more" if len(problems) > 8 else ""
    mend = f"mend or leave out what is named; the settings are {listed(READERS, 20)}"
    return HandrailError("data", told + more, mend, field=next(iter(problems)))


def whole(least: int, most: int) -> Callable[[object], int]:
    """A reader of whole numbers from `least` to `most`."""

    def read(value: object) -> int:
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            value = int(value)  # in JSON, 2.0 is a whole number
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"expected a whole number from {least:,} to {most:,}, received {shown(value)}")
        return value

    return read


def real(least: float, most: float) -> Callable[[object], float]:
    """A reader of numbers from `least` to `most`; NaN and infinities are none."""

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ValueError(f"expected a number from {least:g} to {most:g}, received {shown(value)}")
        return float(value)

    return read


def true_or_false(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, received {shown(value)}")
    return value


def stop_strings(value: object) -> tuple[str, ...]:
    """One text or a list of texts; repeated ones count once."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"expected a text or a list of texts, received {shown(value)}")
    if len(texts) > MAX_STOPS:
        raise ValueError(f"expected at most {MAX_STOPS} texts, received {len(texts):,}")
    for text in texts:
        if not 1 <= len(text) <= MAX_STOP_CHARACTERS:
            raise ValueError(f"expected texts of 1 to {MAX_STOP_CHARACTERS} characters, received one of {len(text):,}")
    return tuple(dict.fromkeys(texts))


def schema(value: object) -> dict[str, Any] | str:
    """A JSON schema of bounded size and depth, or the word for any JSON object."""
    if value == ANY_JSON and isinstance(value, str):
        return ANY_JSON
    if not isinstance(value, dict):
        raise ValueError(f'expected a JSON schema (an object) or "{ANY_JSON}", received {shown(value)}')
    if depth(value, MAX_SCHEMA_DEPTH + 1) > MAX_SCHEMA_DEPTH:
        raise ValueError(f"expected a schema at most {MAX_SCHEMA_DEPTH} levels deep, received a deeper one")
    try:
        size = len(orjson.dumps(value))
    except TypeError as error:
        raise ValueError(f"expected a schema of JSON values: {error}") from None
    if size > MAX_SCHEMA_BYTES:
        raise ValueError(f"expected a schema of at most {MAX_SCHEMA_BYTES:,} bytes, received {size:,}")
    return value


def depth(value: object, limit: int) -> int:
    """How deep lists and objects are nested in `value`, counted up to `limit`."""
    if limit == 0 or not isinstance(value, dict | list):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max((depth(item, limit - 1) for item in inner), default=0)


def shown(value: object) -> str:
    """What was received, in few characters: numbers as they are, the rest by kind."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**18 else f"a number of {value.bit_length():,} bits"
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else f"{value:g}"
    if isinstance(value, str):
        return f"the text '{clipped(value, 40)}'"
    return f"a {type(value).__name__}"


READERS: Final[dict[str, Callable[[object], Any]]] = {
    "max_tokens": whole(1, MAX_TOKENS),
    "temperature": real(0.0, MAX_TEMPERATURE),
    "top_k": whole(0, MAX_TOP_K),
    "top_p": real(0.0, 1.0),
    "min_p": real(0.0, 1.0),
    "repetition_penalty": real(*REPETITION_PENALTIES),
    "presence_penalty": real(*PENALTIES),
    "frequency_penalty": real(*PENALTIES),
    "seed": whole(*SEEDS),
    "stop": stop_strings,
    "logprobs": whole(0, MAX_LOGPROBS),
    "json_schema": schema,
    "n": whole(1, MAX_N),
    "ignore_end": true_or_false,
}
