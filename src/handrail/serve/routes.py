"""The routes of others' protocols: Open Inference (/v2), TensorFlow Serving (/v1/models), OpenAI (/v1/embeddings)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import orjson

from handrail import __version__
from handrail.core.errors import HandrailError, listed
from handrail.serve.api import Api, Version
from handrail.serve.encodings import is_packed
from handrail.serve.formats import json, open_inference, openai, tensorflow_serving
from handrail.serve.formats.call import Call
from handrail.serve.guard import Guard
from handrail.serve.http import Later, Request, Response
from handrail.serve.limits import Limits
from handrail.store import Store

# An endpoint answers at once or later; it may raise HandrailError or Refused.
Endpoint = Callable[[Request], Response | Later]
# Reads a request for one version of a model: what it asks, and how that is written. May raise as an endpoint may.
Reading = Callable[[Request, Version, Limits], Call]
# A path that names a version: the path without it, and which one.
VERSIONED: Final = re.compile(r"(/v[12]/models/[^/:]+)/(versions|labels)/([^/:]+)((?:[/:][a-z]+)?)")


class Predict(Protocol):
    """The answers of a version to what `read` finds in a request. `slow`: reading and writing take long, so both are
    done beside the event loop."""

    def __call__(self, request: Request, version: Version, read: Reading, *, slow: bool = False) -> Later: ...


@dataclass(frozen=True)
class Route:
    """What may be done at a path, and who may: "anyone" (health), "reader", or "caller" (predictions). `guard` asks for
    keys of its own there (None: as everywhere). `of`: the API whose route it is, where the path does not say so.
    `about`: what the OpenAPI document says of its methods, where it is not drawn from a model."""

    policy: str
    methods: Mapping[str, Endpoint]
    guard: Guard | None = None
    of: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)


def route_of(routes: Mapping[str, Route], path: str) -> Route | None:
    """The route of a path; one that names a version or a label has the route of its model."""
    found = routes.get(path)
    if found is not None:
        return found
    parts = VERSIONED.fullmatch(path)
    if parts is None or (parts[2] == "labels" and not path.startswith("/v1/")):
        return None
    return routes.get(parts[1] + parts[4])


def version_asked(api: Api, request: Request) -> Version:
    """The version that a path names, the one that answers where it names none. Raises HandrailError ("not_found")."""
    parts = VERSIONED.fullmatch(request.path)
    if parts is None:
        return api.chosen(None, request)
    return api.chosen(parts[3]) if parts[2] == "versions" else _labelled(api, parts[3])


def open_inference_routes(apis: Mapping[str, Api], predict: Predict) -> dict[str, Route]:
    """/v2: the server, its health, the repository's index, and every model's metadata, readiness and inference."""

    def live(request: Request) -> Response:
        return _json({"live": True})

    def ready(request: Request) -> Response:
        is_ready = all(api.is_ready for api in apis.values())
        return _json({"ready": is_ready}, 200 if is_ready else 503)

    def server(request: Request) -> Response:
        return _json(open_inference.server(__version__))

    def index(request: Request) -> Response:
        return _json(open_inference.index(apis.values()))

    table = {
        "/v2": Route("reader", {"GET": server}),
        "/v2/health/live": Route("anyone", {"GET": live}),
        "/v2/health/ready": Route("anyone", {"GET": ready}),
        "/v2/repository/index": Route("reader", {"POST": index}),
    }
    for name, api in apis.items():
        table[f"/v2/models/{name}"] = Route("reader", {"GET": _metadata(api)})
        table[f"/v2/models/{name}/ready"] = Route("reader", {"GET": _ready(api)})
        table[f"/v2/models/{name}/infer"] = Route("caller", {"POST": _predicting(api, predict, open_inference.call_of)})
    return table


def tensorflow_serving_routes(apis: Mapping[str, Api], predict: Predict) -> dict[str, Route]:
    """/v1: every model's status, metadata and predictions."""
    table = {}
    for name, api in apis.items():
        with contextlib.suppress(HandrailError):  # who asks for a label is told what is off
            _learnt_labels(api)
        path = f"/v1/models/{name}"
        table[path] = Route("reader", {"GET": _status(api)})
        table[f"{path}/metadata"] = Route("reader", {"GET": _tensorflow_metadata(api)})
        table[f"{path}:predict"] = Route("caller", {"POST": _predicting(api, predict, tensorflow_serving.call_of)})
        for verb in ("classify", "regress"):
            table[f"{path}:{verb}"] = Route("caller", {"POST": _refusing(name)})
    return table


def openai_routes(apis: Mapping[str, Api], predict: Predict) -> dict[str, Route]:
    """/v1/embeddings, and /v1/models with all that OpenAI's clients can ask."""

    def embed(request: Request) -> Later:
        if is_packed(request.headers):
            raise HandrailError("media_type", "packed bodies are not read here", "send it plain")
        asked = json.parsed(request.body)

        def read(request: Request, version: Version, limits: Limits) -> Call:
            return openai.call_of(asked, version, limits)

        named = openai.chosen(asked, apis.values())
        apis[named.name].admit(request)
        return predict(request, apis[named.name].chosen(None, request), read)

    def models(request: Request) -> Response:
        return _json(openai.models(apis.values()))

    return {"/v1/embeddings": Route("caller", {"POST": embed}), "/v1/models": Route("reader", {"GET": models})}


def _predicting(api: Api, predict: Predict, read: Reading) -> Endpoint:
    return lambda request: predict(request, version_asked(api, request), read)


def _metadata(api: Api) -> Endpoint:
    return lambda request: _json(open_inference.metadata(api, version_asked(api, request)))


def _ready(api: Api) -> Endpoint:
    def ready(request: Request) -> Response:
        is_ready = version_asked(api, request).pool.is_ready
        return _json({"name": api.name, "ready": is_ready}, 200 if is_ready else 503)

    return ready


def _status(api: Api) -> Endpoint:
    def status(request: Request) -> Response:
        named = VERSIONED.fullmatch(request.path) is not None
        versions = [version_asked(api, request)] if named else list(api.versions.values())
        # OpenAI's clients ask at this path, too, and look at other names.
        also = openai.model(api.current) if openai.speaks(api.current) else {}
        return _json({**tensorflow_serving.status(versions), **also})

    return status


def _tensorflow_metadata(api: Api) -> Endpoint:
    return lambda request: _json(tensorflow_serving.metadata(version_asked(api, request)))


def _refusing(name: str) -> Endpoint:
    def refuse(request: Request) -> Response:
        raise tensorflow_serving.not_examples(name)

    return refuse


def _labelled(api: Api, label: str) -> Version:
    """The version that an alias of the model means: `handrail models alias NAME@VERSION LABEL` sets one.

    One that was moved to a version that is not served means what it meant, until that one is served.
    """
    aliases = _learnt_labels(api)
    if label not in aliases:
        mend = f"there are {listed(aliases)}" if aliases else "handrail models alias sets one"
        raise HandrailError("not_found", f"no version of {api.name} has the label '{label[:40]}'", mend)
    return api.chosen(api.labels.get(label, str(aliases[label])))


def _learnt_labels(api: Api) -> dict[str, int]:
    """The aliases of the model. Those that mean a version which is served are kept in `api.labels`."""
    model = api.current.model
    aliases = {} if model.version is None else Store(model.bundle.path.parents[2]).aliases(model.name)
    api.labels = {label: number for label, number in api.labels.items() if label in aliases and number in api.versions}
    api.labels |= {label: str(number) for label, number in aliases.items() if str(number) in api.versions}
    return aliases


def _json(value: Any, status: int = 200) -> Response:
    headers = ((b"retry-after", b"1"),) if status == 503 else ()
    return Response(orjson.dumps(value), status=status, headers=headers)
