"""Messages to a predictor answered: requests, one by one or as lists."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError, clipped, listed
from handrail.predictors.blame import print_traceback
from handrail.predictors.exchange import Reply, Request, packed_reply, request_of, rows_of
from handrail.predictors.loading import VERBS, Loaded
from handrail.predictors.memory import out_of_memory, ran_out
from handrail.predictors.payloads import headers_of, payload_of, query_of
from handrail.predictors.replies import Afterwards, reply_of_value
from handrail.predictors.responses import body_and_type

Header = dict[str, Any]
NO_SECONDS: Final = (0.0, 0.0, 0.0)
LENGTH: Final = "replies"
# Exceptions of these names carry words for the client.
SPOKEN: Final = ("UserException", "UserRuntimeException")

log = logging.getLogger("handrail.predictors")


@dataclass
class Answered:
    """The answer to one message: a header, an answer for each row, and what is to be done when it was sent."""

    header: Header
    answers: list[bytes]
    afterwards: list[Afterwards] = field(default_factory=list)


@dataclass
class Outcome:
    """What became of one request: a reply, or the problem that there was instead."""

    reply: Reply | None = None
    problem: Header | None = None


@dataclass(frozen=True)
class Answerer:
    """Answers messages with the user's object. `limit` is the replica's memory, `batches` whether `predict` gets lists;
    `project` is the folder of its code."""

    code: Loaded
    project: Path
    limit: int = 0
    batches: bool = False

    def answered(self, header: Header, payload: bytes) -> Answered:
        """The answer to a message. Does not raise, whatever the user's code does."""
        acts = {"predict": self._predict, "ping": _pong}
        act = acts.get(header.get("do", ""), _unknown)
        answered: Answered = act(header, payload)
        if told := self.code.metrics.taken():
            answered.header["metrics"] = told
        return answered

    def run_afterwards(self, answered: Answered) -> None:
        """Runs `post_predict` and its like; what goes wrong there is only in the log."""
        for act in answered.afterwards:
            try:
                act()
            except BaseException as error:
                print_traceback(error, self.project)

    # Requests.

    def _predict(self, header: Header, payload: bytes) -> Answered:
        begun = time.perf_counter()
        asked = [_Asked(request_of(row), self.code) for row in rows_of(payload)]
        for one in asked:
            self._guard(one.outcome, one.read)
        open_ones = [one for one in asked if one.outcome.problem is None and one.outcome.reply is None]
        read = time.perf_counter()
        if self.batches and open_ones:
            self._as_lists(open_ones)
        else:
            for one in open_ones:
                self._guard(one.outcome, one.run)
        ran = time.perf_counter()
        for one in open_ones:
            if one.outcome.problem is None and one.outcome.reply is None:
                self._guard(one.outcome, one.write)
        written = time.perf_counter()
        return _answered_of(asked, (read - begun, ran - read, written - ran))

    def _as_lists(self, asked: Sequence[_Asked]) -> None:
        """One call for all of them; where it fails, each is asked alone, so that a bad one fails alone."""
        together = Outcome()
        self._guard(together, partial(_run_together, asked, self.code))
        if together.problem is None and together.reply is None:
            return
        is_same = len(asked) == 1 or (together.problem is not None and together.problem["field"] == LENGTH)
        for one in asked:
            if is_same:
                one.outcome.reply, one.outcome.problem = together.reply, together.problem
            else:
                self._guard(one.outcome, partial(_run_together, [one], self.code))

    def _guard(self, outcome: Outcome, act: Callable[[], None]) -> None:
        """Runs the user's code; whatever it raises becomes the outcome."""
        try:
            act()
        except HandrailError as error:
            outcome.problem = _problem_of(error)
        except BaseException as error:
            outcome.reply = _spoken(error)
            if outcome.reply is None:
                print_traceback(error, self.project)
                outcome.problem = self._problem(error)
        if outcome.problem is not None and outcome.problem["field"] == "mem":
            gc.collect()  # what the failed call held may go round in rings

    def _problem(self, error: BaseException) -> Header:
        if ran_out(error):
            short = out_of_memory(self.limit)
            log.error("%s", short.problem)
            return _problem_of(short)
        problem = f"the predictor failed on this request ({type(error).__name__})"
        if type(error).__name__ in SPOKEN:
            problem = clipped(str(error), 400)
        return {"code": "bug", "problem": problem, "mend": "the log of the API says more", "field": None}


class _Asked:
    """One request on its way through the user's code."""

    def __init__(self, request: Request, code: Loaded) -> None:
        self.request = request
        self.code = code
        self.outcome = Outcome()
        self.offered: dict[str, Any] = {}
        self.method = "predict"
        self.value: Any = None
        self.afterwards: list[Afterwards] = []

    def read(self) -> None:
        """Finds the method, and what it may be given."""
        self.method = _method_of(self.code, self.request)
        if not self.method:
            self.outcome.reply = Reply(*body_and_type({"message": "send a POST request to get a prediction"}))
            return
        self.offered = {
            "payload": payload_of(self.request) if self._asks("payload") else None,
            "query_params": query_of(self.request), "headers": headers_of(self.request),
            "batch_id": None, "request_id": self.request.id,
        }  # fmt: skip

    def run(self) -> None:
        """Asks the user's method."""
        self.value = self.code.call(self.method, self.offered)

    def write(self) -> None:
        """Makes the reply, and sees what is to be done after it."""
        self.outcome.reply, more = reply_of_value(self.value)
        if more is not None:
            self.afterwards.append(more)
        if self.method == "predict" and "post_predict" in self.code.asks:
            offered = {**self.offered, "response": self.value}
            self.afterwards.append(lambda: self.code.call("post_predict", offered))

    def _asks(self, name: str) -> bool:
        after = self.code.asks.get("post_predict", frozenset()) if self.method == "predict" else frozenset()
        return name in self.code.asks[self.method] | after


def _run_together(asked: Sequence[_Asked], code: Loaded) -> None:
    names = code.asks["predict"]
    values = code.call("predict", {name: [one.offered[name] for one in asked] for name in names})
    found = f"{len(values)} replies" if isinstance(values, list | tuple) else type(values).__name__
    if not isinstance(values, list | tuple) or len(values) != len(asked):
        problem = (
            f"predict got a list of {len(asked)} requests and returned {found}, not a list of {len(asked)} replies"
        )
        mend = "with server_side_batching return a list, one reply for each request, in their order"
        raise HandrailError("bug", problem, mend, field=LENGTH)
    for one, value in zip(asked, values, strict=True):
        one.value = value


def _method_of(code: Loaded, request: Request) -> str:
    """The method that answers; nothing where a plain GET only wants to know what is here."""
    verb = request.method.lower()
    handled = [one for one in VERBS if f"handle_{one}" in code.asks]
    if verb in handled:
        return f"handle_{verb}"
    if "predict" in code.asks:
        if verb == "post":
            return "predict"
        if verb in ("get", "head"):
            return ""
        handled = ["post", *handled]
    problem = f"{request.method} is not answered here"
    raise HandrailError("method", problem, f"send {listed(one.upper() for one in handled) or 'a job'}")


def _answered_of(asked: Sequence[_Asked], seconds: tuple[float, float, float]) -> Answered:
    failed = {str(row): one.outcome.problem for row, one in enumerate(asked) if one.outcome.problem is not None}
    answers = [b"" if one.outcome.reply is None else packed_reply(one.outcome.reply) for one in asked]
    afterwards = [act for one in asked for act in one.afterwards]
    return Answered({"rows": len(asked), "failed": failed, "seconds": seconds}, answers, afterwards)


def _pong(header: Header, payload: bytes) -> Answered:
    return Answered({"rows": 0, "failed": {}, "seconds": NO_SECONDS}, [])


def _unknown(header: Header, payload: bytes) -> Answered:
    error = HandrailError("usage", "a predictor is only asked for predictions", "POST to its address")
    return Answered({"rows": 1, "failed": {"0": _problem_of(error)}, "seconds": NO_SECONDS}, [b"null"])


def _problem_of(error: HandrailError) -> Header:
    return {"code": error.code, "problem": error.problem, "mend": error.mend, "field": error.field}


def _spoken(error: BaseException) -> Reply | None:
    """The reply that an exception is, such as Starlette's HTTPException(404, "no such book"); None for all others."""
    status = getattr(error, "status_code", None)
    # Clients of other APIs raise errors with a status, too; those are not meant for our client.
    if not isinstance(status, int) or not 400 <= status <= 599 or not hasattr(error, "detail"):
        return None
    return Reply(*body_and_type("" if error.detail is None else error.detail), status)
