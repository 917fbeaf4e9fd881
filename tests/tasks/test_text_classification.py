"""Texts get labels: one of two, one of many, several; with and without sentence vectors."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from tests.catalog.test_fetch import VOCABULARY, small_bert

import handrail
from handrail.catalog.entries import MINILM
from handrail.core.events import Event, Said, Tried
from handrail.core.files import write_bytes
from handrail.tasks.text_classification.heads import fit_heads

THEMES = {
    "food": "bread cheese apple soup",
    "sport": "goal team match run",
    "money": "bank loan cash price",
    "art": "paint song stage poem",
}


def texts_of(labels: list[str], seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    plain = ["the", "a", "we", "it", "was", "today", "there", "some", "very", "much"]
    return [
        " ".join([*draw.choices(THEMES[label].split(), k=3), *draw.choices(plain, k=5), str(draw.randint(0, 999))])
        for label in labels
    ]


def test_one_of_many_labels(home: Path) -> None:
    labels = [list(THEMES)[number % 4] for number in range(240)]
    model = handrail.train({"text": texts_of(labels), "label": labels}, trials=1)
    assert model("the team scored a goal in the match")["label"] == "sport"
    assert model.report["score"]["metrics"]["accuracy"]["value"] > 0.95
    assert sum(model("soup")["probabilities"].values()) == pytest.approx(1.0, abs=1e-4)


def test_several_labels_at_once(home: Path) -> None:
    draw = random.Random(1)
    sets = [sorted(draw.sample(list(THEMES), draw.randint(1, 2))) for _ in range(300)]
    texts = [" ".join(texts_of(labels, seed)) for seed, labels in enumerate(sets)]
    model = handrail.train({"text": texts, "tags": ["|".join(labels) for labels in sets]}, target="tags", trials=1)
    assert model.report["problem"] == "multilabel"
    assert model("bread and cheese for the team after the match")["labels"] == ["food", "sport"]
    assert model.report["score"]["metrics"]["f1_micro"]["value"] > 0.9


def test_two_text_columns_are_read_together(home: Path) -> None:
    labels = ["food" if number % 2 else "sport" for number in range(200)]
    other = texts_of(["art"] * 200, 5)
    model = handrail.train({"title": other, "body": texts_of(labels), "label": labels}, trials=1)
    assert model({"title": "stage poem", "body": "soup and bread"})["label"] == "food"


def test_sentence_vectors_are_used_where_they_are_at_hand(home: Path) -> None:
    from handrail.catalog.convert import bert_encoder
    from handrail.catalog.fetch import CONVERSION

    cache = home / "bases" / f"{MINILM.wheel.name}-{MINILM.wheel.sha256[:12]}-{CONVERSION}"
    write_bytes(cache / "graph.onnx", bert_encoder(small_bert()))
    write_bytes(cache / "vocabulary.txt", "\n".join(VOCABULARY).encode())
    labels = ["food" if number % 2 else "sport" for number in range(160)]
    told: list[Event] = []
    model = handrail.train({"text": texts_of(labels), "label": labels}, trials=3, tell=told.append)
    tried = [event.name for event in told if isinstance(event, Tried)]
    assert "n-grams + sentence vectors" in tried
    assert model.check()["largest_difference"] < 1e-5


def test_without_the_base_it_says_so_and_goes_on(home: Path) -> None:
    labels = ["food" if number % 2 else "sport" for number in range(120)]
    told: list[Event] = []
    handrail.train({"text": texts_of(labels), "label": labels}, trials=2, tell=told.append)
    assert any(isinstance(event, Said) and "not at hand" in event.text for event in told)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "x" * 1_000_000,
        "😀" * 1000,
        "\n" * 100_000,
        "the of and",
        "<script>alert(1)</script>",
        "\x00",
        "z̸̧̛a̵l̴g̶o̷" * 50,
    ],
)
def test_any_text_gets_an_answer_at_once(trained_texts: handrail.Model, text: str) -> None:
    assert trained_texts(text)["label"] in ("food", "sport")


@pytest.fixture(scope="module")
def trained_texts(tmp_path_factory: pytest.TempPathFactory) -> handrail.Model:
    labels = ["food" if number % 2 else "sport" for number in range(120)]
    return handrail.train({"text": texts_of(labels), "label": labels}, trials=1, home=tmp_path_factory.mktemp("home"))


def test_stopped_within_a_rung_the_rungs_before_it_are_kept_and_no_base_is_fetched(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import signal

    def fetched(*given: object, **more: object) -> None:
        raise AssertionError("a base was fetched")

    def stop_at_the_first(event: Event) -> None:
        told.append(event)
        if isinstance(event, Tried) and sum(isinstance(one, Tried) for one in told) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    told: list[Event] = []
    monkeypatch.delenv("HANDRAIL_OFFLINE", raising=False)
    monkeypatch.setattr("handrail.tasks.text_classification.fit.base", fetched)
    labels = [list(THEMES)[number % 4] for number in range(240)]
    model = handrail.train({"text": texts_of(labels), "label": labels}, trials=3, tell=stop_at_the_first)
    assert [row["name"] for row in model.report["candidates"]] == ["n-grams"]


def test_heads_that_are_stopped_are_not_fitted() -> None:
    signs = np.where(np.eye(4)[np.arange(40) % 4] > 0, 1, -1)
    with pytest.raises(TimeoutError):
        fit_heads(np.ones((40, 3)), signs, 1.0, 1, lambda: True)
