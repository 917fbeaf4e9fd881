"""Summaries in a model's own words: in parts, as long as was asked for, never empty; and what is done without it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import handrail
from handrail.core.errors import HandrailError
from handrail.core.events import Event, Warned
from handrail.language import summarizer
from handrail.language.abstracts import Abstracts
from handrail.language.extracts import wish_of
from tests.language.test_summarizer import BODY, SENTENCES


class Words:
    """A tokenizer: a token for each word, or for four letters of a long one."""

    def encode(self, text: str) -> list[int]:
        return [0 for word in text.split() for _ in range(1 + len(word) // 4)]


class StandIn:
    """A model that writes: it says the first words of a text, as many sentences as it was asked for, or what it is
    told to say."""

    writes, name = True, "stand-in"

    def __init__(self, says: str | None = None, window: int = 400, finish: str = "stop") -> None:
        self.says, self.window, self.finish = says, window, finish
        self.tokenizer, self.writer, self.manifest = Words(), self, SimpleNamespace(task="generation")
        self.generator = self
        self.asked: list[str] = []

    def settings(self, given: dict[str, Any], *, chats: bool) -> dict[str, Any]:
        assert chats
        return given

    def chat_tokens(self, messages: list[dict[str, str]]) -> str:
        self.asked.append(messages[0]["content"])
        return messages[0]["content"]

    def answer(self, prompts: list[str], settings: dict[str, Any]) -> list[list[Any]]:
        assert settings["temperature"] == 0.0
        return [[SimpleNamespace(text=self._said(prompt), finish=self.finish)] for prompt in prompts]

    def _said(self, prompt: str) -> str:
        if self.says is not None:
            return self.says
        words = prompt.partition("\n\n")[2].split()
        return f"Here is a summary: It says {' '.join(words[:4]).strip('.')}. And so on it goes. It is the end."


def summary(model: StandIn, body: str = BODY, **options: Any) -> list[str]:
    return Abstracts(model, "en", 1)(body, wish_of(**{"min_length": 0, **options}))  # type: ignore[arg-type]


def test_a_short_text_is_asked_for_once_and_the_answer_has_no_preamble() -> None:
    model = StandIn(window=4_000)
    found = summary(model, num_sentences=2)
    assert len(found) == 2
    assert found[0].startswith("It says")
    assert len(model.asked) == 1
    assert "in 2 sentences" in model.asked[0]


def test_a_long_text_is_summarised_in_parts_and_then_the_parts_together() -> None:
    model = StandIn(window=120)
    found = summary(model, " ".join(SENTENCES * 8), num_sentences=1)
    assert len(found) == 1
    assert len(model.asked) > 10
    assert all(len(Words().encode(asked.partition("\n\n")[2])) <= 60 for asked in model.asked)
    assert "It says" in model.asked[-1]


def test_lengths_are_those_of_sentences_and_exclusive() -> None:
    model = StandIn("One that is long enough. Short. Another that is as long.")
    assert summary(model, num_sentences=3, min_length=6) == ["One that is long enough.", "Another that is as long."]
    assert summary(model, num_sentences=3, min_length=500) == summary(model, num_sentences=3)


@pytest.mark.parametrize("says", ["", "  \n ", "...", "***"])
def test_it_is_never_empty(says: str) -> None:
    assert summary(StandIn(says)) == [SENTENCES[0]]


def test_a_sentence_that_was_cut_off_is_left_out() -> None:
    assert summary(StandIn("All is said. But this one was", finish="length"), num_sentences=3) == ["All is said."]


@pytest.mark.parametrize("body", ["x" * 100_000, "word " * 20_000, "日本語" * 3_000])
def test_a_line_without_an_end_is_read_in_pieces(body: str) -> None:
    model = StandIn(window=2_000)
    assert summary(model, body, num_sentences=1)
    assert len(model.asked) > 1


def test_a_model_that_does_not_write_is_refused(store: Path) -> None:
    from handrail.training.importing import import_base

    import_base("tiny", "reader", home=store)
    with pytest.raises(HandrailError, match="'reader' is for embedding: it writes nothing"):
        handrail.Summarizer(method="abstractive", writer="reader", home=store)
    with pytest.raises(HandrailError, match="no model"):
        handrail.Summarizer(method="abstractive", writer="nobody", home=store)
    with pytest.raises(HandrailError, match="method: expected extractive, abstractive"):
        handrail.Summarizer(method="abstract", home=store)


def test_without_the_usual_model_sentences_are_chosen_and_it_is_said(store: Path) -> None:
    told: list[Event] = []
    model = handrail.Summarizer(method="abstractive", home=store, tell=told.append)
    assert model.method == "extractive"
    assert model(BODY) == handrail.Summarizer(home=store)(BODY)
    assert any(isinstance(event, Warned) and "handrail import smollm2" in event.text for event in told)


def test_the_summarizer_speaks_in_the_models_words(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summarizer, "load", lambda name, home: StandIn("It is all about this. And that."))
    model = handrail.Summarizer(method="abstractive", home=store)
    assert model.method == "abstractive"
    assert model(BODY, num_sentences=1, min_length=0) == "It is all about this."
    assert model(BODY, num_sentences=2, min_length=0, return_as_list=True) == ["It is all about this.", "And that."]
    assert model.run_embeddings(BODY, num_sentences=3).shape == (3, 64)
    with pytest.raises(HandrailError):
        model(" ")
