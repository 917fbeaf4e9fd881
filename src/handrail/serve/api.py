"""One model as it is served: what is known of it before a request comes, and its way to an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import orjson

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.signature import Signature
from handrail.model import Model
from handrail.serve.batcher import Batcher
from handrail.serve.formats import csv, json
from handrail.serve.formats.rows import Check, compiled
from handrail.serve.limits import MAX_JSON_DEPTH, Headers, Limits, Refused, is_deeper, timeout_of
from handrail.serve.metrics import Metrics
from handrail.serve.pool import Pool

OPTIONS = ("version", "explain")


@dataclass
class Api:
    """A served model."""

    model: Model
    batcher: Batcher
    pool: Pool
    metrics: Metrics
    check: Check

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def signature(self) -> Signature:
        return self.model.signature

    @cached_property
    def description(self) -> dict[str, Any]:
        """What a program may want to know of the model."""
        signature = self.signature.as_dict()
        inputs = [{**field, "choices": list(field["choices"])} for field in signature["inputs"]]
        return {
            "name": self.name,
            "version": self.model.version,
            "task": self.model.manifest.task,
            "predict": f"/{self.name}/predict",
            "report": f"/{self.name}/report",
            "inputs": inputs,
            "ignored": list(signature["ignored"]),
            "output": {**signature["output"], "labels": list(signature["output"]["labels"])},
            "examples": self.model.examples,
        }

    async def answer(
        self, body: bytes, headers: Headers, query: bytes, limits: Limits, gone: Callable[[], bool] | None
    ) -> bytes:
        """The body of the response. Raises HandrailError or Refused that says what is off."""
        explain = self._options(query)
        timeout_s = timeout_of(headers, limits)
        if len(body) > limits.large_body_bytes:
            # Checked beside the event loop, so that short requests pass meanwhile.
            rows, values, many = await asyncio.to_thread(self._values, body, headers, limits)
        else:
            rows, values, many = self._values(body, headers, limits)
        if explain:
            if len(rows) != 1:
                raise HandrailError("usage", "explain answers one row at a time", "send one row")
            (found,) = await self.batcher.submit(rows, timeout_s=timeout_s, do="explain", gone=gone)
            return _explained(found, many)
        return json.answers_of(await self.batcher.submit(values, timeout_s=timeout_s, gone=gone), many)

    def _values(self, body: bytes, headers: Headers, limits: Limits) -> tuple[Any, Any, bool]:
        """Rows as they came, their checked values, and whether they came as a list."""
        given = headers.get(b"content-type", b"")
        kind, _, parameters = given.partition(b";")
        kind = kind.strip().lower()
        if (
            b"charset" in parameters.lower()
            and b"utf-8" not in parameters.lower()
            and b"utf8" not in parameters.lower()
        ):
            raise HandrailError("media_type", "only UTF-8 is read", "send it as UTF-8")
        if kind == b"application/json":
            rows, many = json.rows_of(body, self.signature)
        elif kind == b"text/plain" and self._takes_text:
            rows, many = [_text(body)], False
        elif kind == b"text/csv":
            values = csv.values_of(body, self.signature, limits.max_rows)
            return values, values, True
        else:
            raise self._unread(given)
        if len(rows) > limits.max_rows:
            raise csv.too_many(limits.max_rows)
        if not rows:
            raise HandrailError("data", "no rows", f"send {self.signature.sample_text()}")
        try:
            return rows, self.check(rows), many
        except HandrailError:
            if is_deeper(rows, MAX_JSON_DEPTH + 1):
                problem = f"nested deeper than {MAX_JSON_DEPTH}"
                raise Refused(400, HandrailError("usage", problem, f"send {self.signature.sample_text()}")) from None
            raise

    @property
    def _takes_text(self) -> bool:
        return len(self.signature.inputs) == 1 and self.signature.inputs[0].kind == "text"

    def _unread(self, given: bytes) -> HandrailError:
        kinds = ["application/json", "text/csv", *(["text/plain"] if self._takes_text else [])]
        shown = given.decode("latin-1")[:80] or "none"
        mend = f"-H 'content-type: application/json'; read are {listed(kinds)}"
        return HandrailError("media_type", f"content-type {shown} is not read here", mend)

    def _options(self, query: bytes) -> bool:
        """True when an explanation is wanted."""
        if not query:
            return False
        try:
            options = dict(parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=10))
        except ValueError:
            raise HandrailError("usage", "the query is off", f"options are {listed(OPTIONS)}") from None
        for option in options:
            if option not in OPTIONS:
                mend = did_you_mean(option, OPTIONS).strip() or f"options are {listed(OPTIONS)}"
                raise HandrailError("usage", f"no option is called '{option[:60]}'", mend)
        self._check_version(options.get("version"))
        explain = options.get("explain", "false").lower()
        if explain not in ("true", "false", "1", "0"):
            raise HandrailError("usage", f"explain is true or false, received '{explain[:60]}'", "explain=true")
        return explain in ("true", "1")

    def _check_version(self, asked: str | None) -> None:
        if asked is not None and asked != str(self.model.version):
            served = "it has no number" if self.model.version is None else f"served is {self.model.version}"
            raise HandrailError("not_found", f"version '{asked[:40]}' of {self.name} is not served", served)


def api_of(model: Model, batcher: Batcher, pool: Pool, metrics: Metrics) -> Api:
    """A model as it is served by this pool."""
    return Api(model, batcher, pool, metrics, compiled(model.signature))


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        mend = "send it as UTF-8"
        raise Refused(400, HandrailError("usage", f"not UTF-8 at byte {error.start}", mend)) from None


def _explained(found: bytes, many: bool) -> bytes:
    """`{"answer": {…}, …}` as the replica says it, in the shape of an answer with an explanation."""
    parts = orjson.loads(found)
    answer = {**parts.pop("answer"), "explanation": parts}
    return orjson.dumps([answer] if many else answer)
