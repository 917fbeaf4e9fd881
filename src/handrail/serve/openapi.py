"""OpenAPI 3.1, drawn from the signatures of the models served: every route, every kind of body, every status."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from handrail import __version__
from handrail.core.signature import Signature, signature_from
from handrail.serve.formats import csv
from handrail.serve.formats.native import kinds_read
from handrail.serve.formats.openai import embeds
from handrail.serve.limits import Limits
from handrail.serve.openapi_generation import generation_paths
from handrail.serve.openapi_language import search_paths, summary_paths
from handrail.serve.openapi_parts import (
    BYTES,
    ERROR_SCHEMA,
    HTML,
    NAMING,
    PREDICTING,
    TEXT,
    body_of,
    json_of,
    list_of,
    object_of,
    operation_of,
    ready_or_not,
    refusals,
)
from handrail.serve.openapi_protocols import (
    open_inference_paths,
    open_inference_server,
    openai_paths,
    tensorflow_serving_paths,
)
from handrail.serve.schemas import answer_schema, form_schema, is_explained, row_schema, rows_schema, table_schema

Json = dict[str, Any]
ABOUT: Final = (
    "One row gives one answer, a list of rows gives a list. Every error has one shape. "
    "Bodies may be packed as gzip, deflate or zstd; long answers are gzip for who accepts it. "
    "X-Deadline-Ms says how long a client waits, X-Request-Id what it calls a request."
)


def openapi(
    models: Sequence[Json],
    limits: Limits | None = None,
    *,
    asks: bool = False,
    more: Mapping[str, Mapping[str, Json]] | None = None,
) -> Json:
    """The document for models as `Version.description` tells of them; `asks`: a key is needed. `more`: operations of
    other paths, by path and method."""
    paths: Json = {}
    embedding = []
    for model in models:
        signature = signature_from(model)
        paths |= _paths(model, signature)
        embedding += [model["name"]] if embeds(signature) else []
    paths |= {
        **_server_paths(),
        **summary_paths(models),
        **generation_paths(models),
        **open_inference_server(),
        **openai_paths(embedding),
    }
    for path, methods in (more or {}).items():
        told = {method.lower(): dict(operation) for method, operation in methods.items()}
        paths[path] = {**told, **paths.get(path, {})}
    for path, item in paths.items():
        for verb, operation in item.items():
            operation["operationId"] = f"{verb}{re.sub('[/:{}]', '_', path)}"
            operation["security"] = [{"key": []}] if asks and operation["tags"] != ["health"] else []
    return {
        "openapi": "3.1.0",
        "info": {"title": "Handrail", "version": __version__, "description": ABOUT},
        "paths": paths,
        "components": {
            "schemas": {"error": ERROR_SCHEMA, **_schemas(models, limits or Limits())},
            "responses": refusals(),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas(models: Sequence[Json], limits: Limits) -> Json:
    """The rows and answers of each model, by names that operations refer to."""
    schemas: Json = {}
    for model in models:
        name = model["name"]
        schemas[f"{name}.row"] = row_schema(model)
        schemas[f"{name}.rows"] = rows_schema(model, _named(name, "row"), limits.max_rows)
        schemas[f"{name}.answer"] = answer_schema(model)
    return schemas


def _named(name: str, part: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}.{part}"}


def _paths(model: Json, signature: Signature) -> Json:
    row = _named(model["name"], "row")
    return {
        **_own_paths(model, signature),
        **search_paths(model),
        **open_inference_paths(model, signature),
        **tensorflow_serving_paths(model, signature, row),
    }


def _own_paths(model: Json, signature: Signature) -> Json:
    name = model["name"]
    about = {**json_of(_DESCRIPTION), **HTML}
    report = operation_of("How good the model is, and how that is known", name, HTML, statuses=NAMING)
    return {
        f"/{name}": {"get": operation_of("What goes in, what comes out, and examples; a form to try it", name, about)},
        f"/{name}/report": {"get": report},
        f"/{name}/predict": {"post": _predict(model, signature)},
    }  # fmt: skip


def _predict(model: Json, signature: Signature) -> Json:
    name, answer = model["name"], _named(model["name"], "answer")
    answers = {**json_of({"anyOf": [answer, list_of(answer)]}), "text/csv": {"schema": TEXT}}
    return operation_of(
        f"Predicts {model['output']['name']}: one row gives one answer, a list gives a list",
        name, answers, statuses=PREDICTING, parameters=_options(model), requestBody=body_of(_bodies(model, signature)),
        description="Answers are JSON, or a table for who prefers text/csv.",
    )  # fmt: skip


def _options(model: Json) -> list[Json]:
    explain = _option("explain", {"type": "boolean"}, "Also say how each input moved the answer, for one row")
    version = _option("version", {"type": "integer", "minimum": 1}, "Refuse unless this version is served")
    return [explain, version] if is_explained(model) else [version]


def _bodies(model: Json, signature: Signature) -> Json:
    """What may be sent, by kind."""
    examples = {f"example {number}": {"value": item["input"]} for number, item in enumerate(model["examples"][:3], 1)}
    known = {
        "application/json": {"schema": _named(model["name"], "rows"), "examples": examples},
        "text/csv": _table(model, signature),
        "text/plain": {"schema": {**TEXT, "description": "One text"}},
        "multipart/form-data": {"schema": form_schema(model)},
        "application/x-npy": BYTES,
    }
    return {kind: known[kind] for kind in kinds_read(signature)}


def _table(model: Json, signature: Signature) -> Json:
    if signature.takes_vectors():
        return {}
    sample = csv.sample_of(signature)
    return {"schema": table_schema(model, sample.partition("\n")[0]), "examples": {"one row": {"value": sample}}}


def _server_paths() -> Json:
    models = object_of(models=list_of({"type": "object"}), openapi=TEXT, docs=TEXT)
    ready = object_of(ready={"type": "boolean"}, models={"type": "object"})
    text = {"text/plain": {"schema": TEXT}}
    return {
        "/": {"get": operation_of("The models", "server", {**json_of(models), **HTML})},
        "/docs": {"get": operation_of("This document, for people", "server", HTML)},
        "/openapi.json": {"get": operation_of("This document", "server", json_of({"type": "object"}))},
        "/metrics": {"get": operation_of("Counts as Prometheus text", "server", text)},
        "/healthz": {"get": operation_of("The gateway is there", "health", text)},
        "/readyz": {
            "get": ready_or_not(
                operation_of("Every replica has answered its examples right", "health", json_of(ready)), ready
            )
        },
    }


def _option(name: str, schema: Json, meaning: str) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": meaning}


_DESCRIPTION: Final = object_of(
    name=TEXT, version={"type": ["integer", "null"]}, task=TEXT, predict=TEXT, report=TEXT,
    inputs=list_of({"type": "object"}), ignored=list_of(TEXT), output={"type": "object"},
    examples=list_of({"type": "object"}),
)  # fmt: skip
