"""The routes of what is done with texts: /summarize, /summarize_by_ratio, /summarize_by_sentence, and /NAME/search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.field import described
from handrail.core.signature import Signature
from handrail.language.extracts import chosen, fitting, wish_of
from handrail.serve.api import Api, Version
from handrail.serve.exchange import Headers, Later, Request, Response
from handrail.serve.formats import json, summaries
from handrail.serve.formats.call import Call
from handrail.serve.formats.summaries import Asked
from handrail.serve.formats.tensors import answers_from
from handrail.serve.limits import Limits
from handrail.serve.routes import Endpoint, Predict, Route

SEARCH, EMBEDDING = "search", "embedding"
NAMES: Final = ("question", "k")
COUNT: Final = 5
SUMMARIES: Final[dict[str, Callable[[bytes, Headers, bytes], Asked]]] = {
    "summarize": summaries.either,
    "summarize_by_ratio": summaries.by_ratio,
    "summarize_by_sentence": summaries.by_sentence,
}


def summary_routes(apis: Mapping[str, Api], predict: Predict) -> dict[str, Route]:
    """The two routes of Bert Extractive Summarizer's server, and the one of its guide, for the first model that turns
    texts into vectors; /NAME/summarize for every one."""
    table: dict[str, Route] = {}
    for name, api in apis.items():
        if api.current.model.manifest.task != EMBEDDING:
            continue
        table[f"/{name}/summarize"] = _summarising(api, predict, summaries.either)
        for path, asked in SUMMARIES.items():
            table.setdefault(f"/{path}", _summarising(api, predict, asked))
    return table


def search_routes(apis: Mapping[str, Api], predict: Predict) -> dict[str, Route]:
    """/NAME/search for every model that searches: `{"question": "…", "k": 5}` → `{"matches": […]}`."""
    return {
        f"/{name}/search": Route("caller", {"POST": _searching(api, predict)})
        for name, api in apis.items()
        if api.current.model.manifest.task == SEARCH
    }


def call_of(body: bytes, signature: Signature, check: Callable[[Sequence[Any]], Any], most: int) -> Call:
    """What a question asks. Raises HandrailError or Refused that says what is off."""
    asked = json.parsed(body)
    if not isinstance(asked, dict) or not isinstance(asked.get("question"), str) or not asked["question"].strip():
        received = described(asked.get("question") if isinstance(asked, dict) else asked)
        raise HandrailError("usage", f"expected an object with a question, received {received}", SAMPLE)
    for name in asked:
        if name not in NAMES:
            mend = did_you_mean(str(name), NAMES).strip() or f"there are {listed(NAMES)}"
            raise HandrailError("usage", f"no option is called '{str(name)[:60]}'", mend, field=str(name)[:60])
    count = asked.get("k", COUNT)
    if type(count) is not int or not 1 <= count <= most:
        problem = f"k: expected a whole number from 1 to {most:,}, received {described(count)}"
        raise HandrailError("usage", problem, SAMPLE, field="k")
    row = {signature.inputs[0].name: asked["question"]}
    return Call(check([row]), lambda answers: _written(answers, count))


def summary_call(asked: Asked, version: Version, limits: Limits) -> Call:
    """The sentences of a text as rows, and the summary made of those that their vectors choose."""
    wish = wish_of(**asked.options)
    kept = fitting(asked.text, wish, asked.language)
    if len(kept) > limits.max_rows:
        problem = f"the text has {len(kept):,} sentences, and {limits.max_rows:,} may be sent"
        raise HandrailError("too_large", problem, "send a part of it at a time")

    def write(answers: Sequence[bytes]) -> Response:
        vectors = np.array([answer["vector"] for answer in answers_from(answers)], np.float32)
        return summaries.written(" ".join(kept[place] for place in chosen(vectors, wish)))

    return Call(version.check(kept), write)


SAMPLE: Final = 'send {"question": "…", "k": 5}'


def _summarising(api: Api, predict: Predict, asked: Callable[[bytes, Headers, bytes], Asked]) -> Route:
    def read(request: Request, version: Version, limits: Limits) -> Call:
        return summary_call(asked(request.body, request.headers, request.query), version, limits)

    def summarise(request: Request) -> Later:
        # Cutting a text into sentences and grouping them takes longer than the event loop may be held.
        return predict(request, api.chosen(None, request), read, slow=True)

    return Route("caller", {"POST": summarise}, of=api.name)


def _searching(api: Api, predict: Predict) -> Endpoint:
    def read(request: Request, version: Version, limits: Limits) -> Call:
        most = int(version.model.manifest.encode.get("matches", COUNT))
        return call_of(request.body, version.signature, version.check, most)

    return lambda request: predict(request, api.chosen(None, request), read)


def _written(answers: Sequence[bytes], count: int) -> Response:
    """The best of what the replica found, without the question's vector."""
    return Response(orjson.dumps({"matches": orjson.loads(answers[0])["matches"][:count]}))
