"""The routes of what is done with texts in the OpenAPI document: summaries, and the passages that a question finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from handrail.language.sentences import LANGUAGE
from handrail.serve.formats.summaries import MOST
from handrail.serve.language import COUNT, EMBEDDING, SEARCH, SUMMARIES
from handrail.serve.openapi_parts import PREDICTING, TEXT, body_of, json_of, object_of, operation_of
from handrail.serve.schemas import MATCHES, NOT_BLANK

Json = dict[str, Any]
# No NUL, and something else than blanks.
SAYS_SOMETHING: Final = r"^[^\u0000]*[^\u0000\s][^\u0000]*$"


def search_paths(model: Json) -> Json:
    """/NAME/search, for a model that searches."""
    if model["task"] != SEARCH:
        return {}
    asked = object_of(question={**TEXT, "pattern": NOT_BLANK})
    asked["properties"]["k"] = {"type": "integer", "minimum": 1, "maximum": model["matches"], "default": COUNT}
    asked["additionalProperties"] = False
    examples = {"a question": {"value": {"question": "What does it say?", "k": 2}}}
    operation = operation_of(
        "The passages that mean most nearly what a question asks, best first", model["name"],
        json_of(object_of(matches=MATCHES)), statuses=PREDICTING,
        requestBody=body_of(json_of(asked, examples=examples)),
    )  # fmt: skip
    return {f"/{model['name']}/search": {"post": operation}}


def summary_paths(models: Sequence[Json]) -> Json:
    """/summarize and its likes, of the first model that turns texts into vectors; /NAME/summarize of every one."""
    names = [model["name"] for model in models if model["task"] == EMBEDDING]
    if not names:
        return {}
    served = {f"/{path}": _summary(path, names[0]) for path in SUMMARIES}
    return {**served, **{f"/{name}/summarize": _summary("summarize", name) for name in names}}


def _summary(path: str, name: str) -> Json:
    return {"post": operation_of(
        "A summary made of sentences of a text", name, json_of(object_of(summary=TEXT)), statuses=PREDICTING,
        parameters=[_option(*one) for one in _OPTIONS[path]],
        requestBody=body_of({"text/plain": {"schema": {**TEXT, "pattern": SAYS_SOMETHING}}}),
        description="The routes and options of Bert Extractive Summarizer's server. Lengths are in characters.",
    )}  # fmt: skip


def _option(name: str, schema: Json, meaning: str) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": meaning}


_RATIO: Final = ("ratio", {"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "The share of sentences kept")
_NUMBER: Final = ("num_sentences", {"type": "integer", "minimum": 1, "maximum": MOST}, "How many are kept; wins")
_MORE: Final = (
    ("min_length", {"type": "integer", "minimum": 0, "maximum": MOST}, "Sentences of no more are left out"),
    ("max_length", {"type": "integer", "minimum": 1, "maximum": MOST}, "Sentences of no less are left out"),
    ("language", {**TEXT, "pattern": f"^{LANGUAGE.pattern}$"}, "Where sentences end: en, de, ja"),
)
_OPTIONS: Final = {
    "summarize": (_RATIO, _NUMBER, *_MORE),
    "summarize_by_ratio": (_RATIO, *_MORE),
    "summarize_by_sentence": (_NUMBER, *_MORE),
}
