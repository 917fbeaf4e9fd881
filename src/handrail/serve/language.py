"""The routes of what is done with texts: /summarize_by_ratio, /summarize_by_sentence, and /NAME/search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.field import described
from handrail.core.signature import Signature
from handrail.serve.api import Api, Version
from handrail.serve.exchange import Later, Request, Response
from handrail.serve.formats import json, summaries
from handrail.serve.formats.call import Call
from handrail.serve.formats.summaries import Asked
from handrail.serve.limits import Limits
from handrail.serve.routes import Endpoint, Predict, Route

SEARCH: Final = "search"
NAMES: Final = ("question", "k")
COUNT: Final = 5
# Carries out what is asked, later, beside the event loop; writes the response when the summary is there.
Summarise = Callable[[Request, Asked, Callable[[str], Response]], Later]


def summary_routes(summarise: Summarise) -> dict[str, Route]:
    """The two routes of Bert Extractive Summarizer's server, with its options."""

    def by_ratio(request: Request) -> Later:
        return summarise(request, summaries.by_ratio(request.body, request.headers, request.query), summaries.written)

    def by_sentence(request: Request) -> Later:
        asked = summaries.by_sentence(request.body, request.headers, request.query)
        return summarise(request, asked, summaries.written)

    return {
        "/summarize_by_ratio": Route("caller", {"POST": by_ratio}),
        "/summarize_by_sentence": Route("caller", {"POST": by_sentence}),
    }


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


SAMPLE: Final = 'send {"question": "…", "k": 5}'


def _searching(api: Api, predict: Predict) -> Endpoint:
    def read(request: Request, version: Version, limits: Limits) -> Call:
        most = int(version.model.manifest.encode.get("matches", COUNT))
        return call_of(request.body, version.signature, version.check, most)

    return lambda request: predict(request, api.chosen(None, request), read)


def _written(answers: Sequence[bytes], count: int) -> Response:
    """The best of what the replica found, without the question's vector."""
    return Response(orjson.dumps({"matches": orjson.loads(answers[0])["matches"][:count]}))
