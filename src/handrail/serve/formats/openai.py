"""OpenAI's list of models, and its embeddings, for models that answer a text with a vector.

Source: the API reference of OpenAI, "Embeddings" and "Models".
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import orjson

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.field import described
from handrail.core.signature import Signature
from handrail.core.values import quoted
from handrail.encode.wordpiece import WordPiece
from handrail.model import Model
from handrail.serve.api import Api, Version
from handrail.serve.exchange import Response
from handrail.serve.formats.call import Call
from handrail.serve.formats.csv import too_many
from handrail.serve.formats.tensors import answers_from
from handrail.serve.limits import Limits, Refused

ENCODINGS: Final = ("float", "base64")
OWNER: Final = "handrail"
VOCABULARY: Final = "encode/vocabulary.txt"
Json = dict[str, Any]


def embeds(signature: Signature) -> bool:
    """True for a model that turns one text into a vector."""
    return [field.kind for field in signature.inputs] == ["text"] and signature.output.kind == "vector"


def speaks(version: Version) -> bool:
    """True for a model that OpenAI's clients can ask: it gives embeddings, or writes text."""
    return version.streams is not None or embeds(version.signature)


def chosen(asked: object, apis: Iterable[Api]) -> Version:
    """The version that a request names. Raises HandrailError for one that is not served, or gives no embeddings."""
    if not isinstance(asked, dict) or not isinstance(asked.get("model"), str):
        raise _refused("expected an object with a model and an input")
    embedding = {api.name: api.current for api in apis if embeds(api.current.signature)}
    if asked["model"] not in embedding:
        there = f"there are {listed(embedding)}" if embedding else "handrail import minilm gets one to serve"
        mend = did_you_mean(asked["model"], embedding).strip() or there
        raise HandrailError("not_found", f"no model called {quoted(asked['model'])} gives embeddings", mend)
    return embedding[asked["model"]]


def call_of(asked: Json, version: Version, limits: Limits) -> Call:
    """What a request for embeddings asks. Raises HandrailError or Refused that says what is off."""
    given, encoding = asked.get("input"), asked.get("encoding_format", "float")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise _refused("the input is a text, or a list of texts; numbers of tokens are not read")
    if len(texts) > limits.max_rows:
        raise too_many(limits.max_rows)
    if encoding not in ENCODINGS:
        raise _refused(f"encoding_format is {' or '.join(ENCODINGS)}, received {described(encoding)}")
    size = version.signature.output.size
    if asked.get("dimensions") not in (None, size):
        raise _refused(f"embeddings of {version.name} have {size:,} dimensions", "leave dimensions out")
    packs = encoding == "base64"
    return Call(version.check(texts), lambda answers: _written(answers, texts, version, packs=packs))


def models(apis: Iterable[Api]) -> Json:
    """The models that give embeddings or write text."""
    return {"object": "list", "data": [model(api.current) for api in apis if speaks(api.current)]}


def model(version: Version) -> Json:
    """One model, as it stands in the list."""
    created = int(version.model.bundle.path.stat().st_mtime)
    return {"id": version.name, "object": "model", "created": created, "owned_by": OWNER}


def tokens(texts: Sequence[str], model: Model) -> int:
    """The word pieces that a model reads of some texts, with its marks of their begin and end, and no more than it
    reads of a long one; 0 for a model that has no word pieces."""
    pieces = _pieces(model)
    return 0 if pieces is None else sum(len(pieces.numbers(text)) for text in texts)


@lru_cache(maxsize=8)
def _pieces(model: Model) -> WordPiece | None:
    """What the replica cuts texts with, here only to count: 20 µs for a text, where its vector takes milliseconds."""
    if VOCABULARY not in model.manifest.files:
        return None
    vocabulary = model.bundle.read(VOCABULARY).decode("utf-8").split("\n")
    return WordPiece(tuple(vocabulary), int(model.manifest.encode["longest"]))


def _written(answers: Sequence[bytes], texts: Sequence[str], version: Version, *, packs: bool) -> Response:
    vectors = [answer["vector"] for answer in answers_from(answers)]
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if packs else vector}
        for index, vector in enumerate(vectors)
    ]
    usage = dict.fromkeys(("prompt_tokens", "total_tokens"), tokens(texts, version.model))
    return Response(orjson.dumps({"object": "list", "data": data, "model": version.name, "usage": usage}))


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(np.array(vector, "<f4").tobytes()).decode()


def _refused(problem: str, mend: str = '{"model": …, "input": "a text"}') -> Refused:
    return Refused(400, HandrailError("usage", problem, mend))
