"""Vectors for texts: the same alone and among others, whatever the texts are."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import handrail
from handrail.catalog import fetch
from handrail.core.errors import HandrailError
from handrail.language.encoder import batches
from handrail.training.importing import import_base


@pytest.fixture(scope="module")
def embed(store: Path) -> handrail.Embedder:
    return handrail.Embedder("tiny", home=store)


def test_a_text_has_a_vector_of_length_one_and_a_list_has_rows(embed: handrail.Embedder) -> None:
    one, many = embed("a cat"), embed(["a cat", "a dog", ""])
    assert one.shape == (embed.size,)
    assert many.shape == (3, embed.size)
    assert one.dtype == many.dtype == np.float32
    assert np.allclose(np.linalg.norm(many, axis=1), 1, atol=1e-5)
    assert np.allclose(many[0], one, atol=1e-5)


def test_texts_of_all_lengths_keep_their_order(embed: handrail.Embedder) -> None:
    texts = [" ".join(["word"] * (place * 7 % 11)) + f" {place}" for place in range(80)]
    together = embed(texts)
    for place in (0, 17, 42, 79):
        assert np.allclose(together[place], embed(texts[place]), atol=1e-5)


def test_no_texts_have_no_rows(embed: handrail.Embedder) -> None:
    assert embed([]).shape == (0, embed.size)


def test_an_imported_base_gives_the_same_vectors(embed: handrail.Embedder, store: Path) -> None:
    model = import_base("tiny", "mine", home=store)
    assert np.allclose(handrail.Embedder("mine", home=store)("a cat"), embed("a cat"), atol=1e-6)
    assert np.allclose(np.array(model("a cat")["vector"]), embed("a cat"), atol=1e-6)


def test_threads_may_ask_at_once(embed: handrail.Embedder) -> None:
    wanted = embed(["a", "b"])
    found: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: found.append(embed(["a", "b"]))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(np.allclose(one, wanted, atol=1e-6) for one in found)


def test_long_lines_and_broken_characters_are_texts(embed: handrail.Embedder) -> None:
    assert np.isfinite(embed(["x" * 10_000_000, "\ud800", "\0\t", "日本語"])).all()


@pytest.mark.parametrize("what", [None, 3, {"a": 1}, b"bytes", ["a", None], ["a", float("nan")], [["a"]]])
def test_what_is_no_text_is_named(embed: handrail.Embedder, what: object) -> None:
    with pytest.raises(HandrailError) as caught:
        embed(what)  # type: ignore[arg-type]
    assert caught.value.code == "usage"
    assert "expected" in caught.value.problem


def test_an_unknown_base_is_refused_with_the_nearest(store: Path) -> None:
    with pytest.raises(HandrailError, match="no base and no model is called 'tinny'") as caught:
        handrail.Embedder("tinny", home=store)
    assert "tiny" in caught.value.mend


def test_offline_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDRAIL_OFFLINE", "1")
    monkeypatch.setattr(fetch, "_installed", lambda _: None)
    with pytest.raises(HandrailError, match="HANDRAIL_OFFLINE is set") as caught:
        handrail.Embedder(home=tmp_path)
    assert caught.value.code == "environment"
    assert "pip install" in caught.value.mend


def test_batches_hold_every_text_once_and_little_padding() -> None:
    lengths = [3, 100, 5, 4, 90, *[20] * 70]
    found = list(batches(lengths))
    assert sorted(place for batch in found for place in batch) == list(range(len(lengths)))
    assert max(map(len, found)) <= 32
    for batch in found:
        padded = len(batch) * max(lengths[place] for place in batch)
        assert padded <= 1.15 * sum(lengths[place] for place in batch) + 16
