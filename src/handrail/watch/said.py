"""What a model said: the part of an answer that is counted, and what a right answer may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import orjson

from handrail.core.errors import HandrailError, clipped, did_you_mean, listed
from handrail.core.signature import Output, Signature
from handrail.core.values import to_number
from handrail.data.targets import label_of

ModelType = Literal["classification", "regression"]
Said = str | float | list[str]
# Kinds of answers that are neither right nor wrong.
UNJUDGED: Final = ("vector", "text")
KEYS: Final = {"label": "label", "labels": "labels", "number": "value"}
# Longer ones are no classes: they are counted with the others that have no name here.
LONGEST_CLASS: Final = 200


class Settings(Protocol):
    """What is asked to be kept; `deploy.spec.Monitoring` says it for people."""

    @property
    def model_type(self) -> ModelType | None: ...
    @property
    def key(self) -> str | None: ...
    @property
    def sample(self) -> float: ...
    @property
    def keep(self) -> int: ...
    @property
    def redact(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Reading:
    """How answers are read. `key` is what is counted; `main` is what the model says, which feedback is compared with.

    None as `model_type`: nothing in the answers is counted (vectors, or a predictor of which nothing was said).
    """

    model_type: ModelType | None
    key: str | None
    main: str | None
    output: Output | None

    @property
    def says_nothing(self) -> bool:
        """True where there is nothing in answers to count or to compare: then they are not looked at."""
        return self.model_type is None and self.main is None

    @property
    def is_right_a_number(self) -> bool:
        """True where the right answer is a number, False where it is a label or several."""
        return self.output.kind == "number" if self.output else self.model_type == "regression"


def reading_of(settings: Settings, signature: Signature | None) -> Reading:
    """How the answers of a model, or, without a signature, of somebody's code, are read."""
    output = None if signature is None else signature.output
    main = settings.key if output is None else KEYS.get(output.kind)
    kind: ModelType | None = settings.model_type
    if kind is None and output is not None and output.kind not in UNJUDGED:
        kind = "regression" if output.kind == "number" else "classification"
    return Reading(kind, settings.key or main, main, output)


def problems_of(settings: Settings, signature: Signature | None) -> list[str]:
    """What a person should be told of these settings, a sentence each. None of it stops an API."""
    names = () if signature is None else signature.names()
    found = [
        f"monitoring redacts '{clipped(name)}', which is no input.{did_you_mean(name, names)}"
        for name in settings.redact
        if names and name not in names
    ]
    if signature is None and settings.model_type is None:
        found.append("monitoring without model_type counts requests only: say classification or regression")
    if signature is not None and signature.takes_vectors() and settings.sample:
        found.append("inputs that are vectors are not kept, so sample changes nothing")
    return found


def parsed(answer: bytes) -> Any:
    """The value of an answer, None for what is no JSON."""
    try:
        return orjson.loads(answer)
    except orjson.JSONDecodeError:
        return None


def part_of(answer: Any, key: str | None) -> Any:
    """The named part of an answer; the answer itself where it has no parts."""
    return answer.get(key) if isinstance(answer, Mapping) else answer


def classes_in(value: Any) -> list[str]:
    """The classes that a value names; [] for what is none. Numbers and truths are written as in JSON."""
    if isinstance(value, list):
        return [word for one in value if not isinstance(one, list) for word in classes_in(one)]
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return [clipped(str(value), LONGEST_CLASS)] if isinstance(value, str | int | float) else []


def number_in(value: Any) -> float | None:
    """A finite number, None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def right_answer(value: Any, reading: Reading) -> Said:
    """A right answer in the model's own words. Raises ValueError that says what was expected and received."""
    if isinstance(value, Mapping) and reading.main in value:
        value = value[reading.main]
    output = reading.output
    if reading.is_right_a_number:
        return _right_number(value)
    if output is None:
        return _right_class(value)
    if output.kind == "labels":
        return _right_labels(value, output)
    return _right_label(value, output)


def refuse_unanswerable(reading: Reading) -> None:
    """Raises HandrailError where there is no such thing as a right answer."""
    if reading.output is not None and reading.output.kind in UNJUDGED:
        raise HandrailError(
            "usage",
            f"a {reading.output.kind} has no right answer",
            "send feedback to models that say labels or numbers",
        )


def _right_number(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool | list) else to_number(value)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise ValueError(f"expected a number, received {_described(value)}")
    return number


def _right_label(value: Any, output: Output) -> str:
    found = label_of(value, output.labels) if isinstance(value, str | int | float) else None
    if found not in output.labels:
        near = did_you_mean(value, output.labels) if isinstance(value, str) else ""
        raise ValueError(f"expected one of {listed(output.labels)}, received {_described(value)}.{near}".rstrip("."))
    return str(found)


def _right_labels(value: Any, output: Output) -> list[str]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(output.separator) if part.strip()]
    if not isinstance(value, list):
        raise ValueError(f"expected a list of labels, received {_described(value)}")
    return sorted({_right_label(one, output) for one in value}, key=output.labels.index)


def _right_class(value: Any) -> str:
    words = [] if isinstance(value, list) else classes_in(value)
    if not words:
        raise ValueError(f"expected a class, received {_described(value)}")
    return words[0]


def _described(value: Any) -> str:
    return clipped(orjson.dumps(value, default=str).decode("utf-8", "replace"), 60)
