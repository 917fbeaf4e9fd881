"""The routes of texts as pure functions: what a request asks, and how the answer is written."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from handrail.core.errors import HandrailError
from handrail.core.field import Field
from handrail.core.signature import Output, Signature
from handrail.serve.formats.rows import compiled
from handrail.serve.formats.summaries import by_ratio, by_sentence, either, written
from handrail.serve.language import call_of, summary_call, summary_routes
from handrail.serve.limits import Limits, Refused

SIGNATURE = Signature((Field("text", "text"),), Output("vector", "vector", size=2))


def test_options_of_the_query_are_the_summarizers() -> None:
    asked = by_ratio(b"A text.", {b"content-type": b"text/plain"}, b"ratio=0.1&min_length=10&max_length=90")
    assert asked.text == "A text."
    assert asked.options == {"ratio": 0.1, "min_length": 10, "max_length": 90}
    assert by_sentence(b"A.", {}, b"num_sentences=2").options["num_sentences"] == 2
    assert by_ratio(b"A.", {}, b"").options == {"ratio": 0.2, "min_length": 25, "max_length": 500}
    assert either(b"A.", {}, b"num_sentences=3&language=de").options["num_sentences"] == 3
    assert either(b"A.", {}, b"language=de").language == "de"


def test_the_answer_is_the_summary() -> None:
    assert orjson.loads(written("Grüezi.").body) == {"summary": "Grüezi."}


@pytest.mark.parametrize(
    "query",
    [b"ratio=nan", b"ratio=0", b"ratio=2", b"ratio=", b"min_length=-1", b"max_length=99999999", b"num_sentences=3",
     b"ration=0.2", b"language=English", b"language=", b"\xff", b"&".join([b"ratio=0.1"] * 20)],
)  # fmt: skip
def test_bad_queries_are_refused(query: bytes) -> None:
    with pytest.raises(HandrailError) as caught:
        by_ratio(b"A text.", {}, query)
    assert caught.value.http_status == 400


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"", b""), (b" \n", b""), (b"a\0b", b""), (b"\xff\xfe", b""), (b"a", b"application/json"),
     (b"a", b"text/plain; charset=latin-1")],
)  # fmt: skip
def test_bad_bodies_are_refused(body: bytes, kind: bytes) -> None:
    with pytest.raises((HandrailError, Refused)):
        by_sentence(body, {b"content-type": kind} if kind else {}, b"")


def version_of(task: str) -> Any:
    """As much of a version as the routes look at."""
    model = SimpleNamespace(manifest=SimpleNamespace(task=task))
    return SimpleNamespace(name="m", model=model, signature=SIGNATURE, check=compiled(SIGNATURE))


def api_of(task: str, name: str) -> Any:
    return SimpleNamespace(name=name, current=version_of(task))


def test_the_first_encoder_has_the_routes_of_the_ancestor_and_each_has_one_of_its_own() -> None:
    apis = {"a": api_of("tabular-classification", "a"), "b": api_of("embedding", "b"), "c": api_of("embedding", "c")}
    routes = summary_routes(apis, None)  # type: ignore[arg-type]
    assert {path: (route.policy, route.of) for path, route in routes.items()} == {
        "/summarize": ("caller", "b"),
        "/summarize_by_ratio": ("caller", "b"),
        "/summarize_by_sentence": ("caller", "b"),
        "/b/summarize": ("caller", "b"),
        "/c/summarize": ("caller", "c"),
    }


def test_a_summary_is_made_of_the_sentences_that_the_vectors_choose() -> None:
    text = "The first one is kept here. Cats sleep all day long. Cats sleep a lot. Trains run late at night."
    call = summary_call(
        by_sentence(text.encode(), {}, b"num_sentences=3&min_length=5"), version_of("embedding"), Limits()
    )
    assert len(call.values) == 4
    answers = [orjson.dumps({"vector": vector}) for vector in ([1, 0], [0, 1], [0, 1], [-1, 0])]
    assert orjson.loads(call.write(answers).body) == {
        "summary": "The first one is kept here. Cats sleep all day long. Trains run late at night."
    }


def test_more_sentences_than_rows_may_be_sent_are_refused() -> None:
    asked = by_ratio(b"One is here. Two is here. Three is here.", {}, b"min_length=1")
    with pytest.raises(HandrailError, match="3 sentences"):
        summary_call(asked, version_of("embedding"), Limits(max_rows=2))


def test_a_question_is_a_row_and_the_best_are_answered() -> None:
    call = call_of(b'{"question": "why?", "k": 2}', SIGNATURE, compiled(SIGNATURE), 20)
    assert call.values == [["why?"]]
    answer = orjson.dumps({"vector": [0, 1], "matches": [{"text": "a"}, {"text": "b"}, {"text": "c"}]})
    assert orjson.loads(call.write([answer]).body) == {"matches": [{"text": "a"}, {"text": "b"}]}


@pytest.mark.parametrize(
    "asked",
    [[], {}, "why?", {"question": ""}, {"question": 3}, {"question": "a", "k": 0}, {"question": "a", "k": 21},
     {"question": "a", "k": 1.5}, {"question": "a", "k": True}, {"question": "a", "top": 3}],
)  # fmt: skip
def test_bad_questions_are_refused(asked: Any) -> None:
    with pytest.raises(HandrailError):
        call_of(orjson.dumps(asked), SIGNATURE, compiled(SIGNATURE), 20)
