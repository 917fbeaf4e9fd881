"""What the operations of the OpenAPI document are made of: statuses, errors, and the operation itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Json = dict[str, Any]
# Why a request is not answered, by status.
STATUSES: Final = {
    "400": "Not HTTP, not JSON, or an option is off",
    "401": "A key is needed, or this one is not known",
    "403": "A page of another site asks",
    "404": "No such path, model, version or label",
    "405": "The path has no such method; Allow names those it has",
    "408": "The request did not arrive in time",
    "409": "It is not done yet, or it is held by somebody else",
    "413": "The body, or the number of rows, is larger than a limit",
    "414": "The address is longer than a limit",
    "415": "A kind of body that is not read",
    "421": "The host is none that is served here",
    "422": "The rows are off; the message names row and field",
    "429": "The key asked more often than it may; try again after Retry-After",
    "431": "The headers are more than a limit",
    "500": "The server or the model failed",
    "503": "Too much is waiting, or nothing is ready; try again after Retry-After",
    "504": "It took longer than allowed",
}
# What can be wrong with any request, what with one that names a model's version, and what with predictions.
ALWAYS: Final = ("400", "401", "403", "405", "408", "413", "414", "421", "429", "431", "500", "503")
NAMING: Final = (*ALWAYS, "404")
PREDICTING: Final = (*ALWAYS, "404", "415", "422", "504")
TEXT: Final[Json] = {"type": "string"}
HTML: Final[Json] = {"text/html": {"schema": TEXT}}
# Bytes that are no text have no schema.
BYTES: Final[Json] = {"schema": {}}
TRIES_AGAIN: Final = ("429", "503")


def operation_of(
    summary: str, tag: str, answers: Mapping[str, Json], *, statuses: Sequence[str] = ALWAYS, **more: Any
) -> Json:
    """One operation: its answer's contents by kind, and why it may be refused."""
    refused = {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}
    done = {"description": "The answer", "content": dict(answers)}
    return {"summary": summary, "tags": [tag], **more, "responses": {"200": done, **refused}}


def ready_or_not(operation: Json, schema: Json) -> Json:
    """An operation whose answer is the same with 503 while a replica is missing."""
    content = {"application/json": {"schema": {"anyOf": [schema, ERROR]}}}
    operation["responses"]["503"] = {"description": "Not yet", "content": content}
    return operation


def json_of(schema: Json, **more: Any) -> Json:
    """JSON as the content of a body or an answer."""
    return {"application/json": {"schema": schema, **more}}


def body_of(contents: Json) -> Json:
    """A body that has to be there."""
    return {"required": True, "content": contents}


def object_of(**properties: Json) -> Json:
    """An object that has all of these."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def list_of(items: Json, **more: Any) -> Json:
    """A list of such values."""
    return {"type": "array", "items": items, **more}


def refusals() -> Json:
    """The responses for `components`, by status."""
    return {status: _refusal(status, meaning) for status, meaning in STATUSES.items()}


def _refusal(status: str, meaning: str) -> Json:
    headers: Json = {"x-request-id": {"schema": TEXT, "description": "The request, in the access log"}}
    if status in TRIES_AGAIN:
        headers["retry-after"] = {"schema": {"type": "integer"}, "description": "Seconds"}
    return {"description": meaning, "headers": headers, "content": json_of(ERROR)}


ERROR: Final[Json] = {"$ref": "#/components/schemas/error"}
SAID: Final[Json] = {
    "code": {**TEXT, "description": "A stable word"},
    "message": {**TEXT, "description": "What was expected, and what was received"},
    "hint": {**TEXT, "description": "What to type or to change"},
    "field": {**TEXT, "description": "The field or option meant"},
    "where": TEXT,
    "request_id": TEXT,
}
# Open Inference has a text where all other routes have an object; there its parts stand beside it.
ERROR_SCHEMA: Final[Json] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"anyOf": [{"type": "object", "required": ["code", "message", "hint"], "properties": SAID}, TEXT]},
        **SAID,
    },
}
