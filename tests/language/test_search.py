"""Search: built, asked, saved, opened, changed, served; and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handrail
from handrail.core.errors import HandrailError
from handrail.core.events import Event, Warned
from handrail.model import load
from handrail.store import Store
from handrail.tasks.search import nearest as index
from handrail.tasks.search.nearest import Nearest, draw_index
from tests.serve.served import serving

TEXTS = ["The cat sat on the mat.", "Stocks fell in early trade.", "A recipe for onion soup.", "Rain is on its way."]


@pytest.fixture(scope="module")
def search(store: Path) -> handrail.Search:
    return handrail.Search.build(TEXTS, name="texts", home=store)


def test_a_text_finds_itself_first(search: handrail.Search) -> None:
    for place, text in enumerate(TEXTS, start=1):
        best = search(text, k=2)
        assert best[0]["text"] == text
        assert best[0]["document"] == str(place)
        assert best[0]["score"] == pytest.approx(1, abs=1e-5)
        assert best[0]["score"] >= best[1]["score"]
    assert [one[0]["text"] for one in search(TEXTS[:2], k=1)] == TEXTS[:2]


def test_there_are_no_more_than_there_are(search: handrail.Search) -> None:
    assert len(search("anything", k=100)) == len(TEXTS)
    assert len(search) == len(TEXTS)


def test_it_is_opened_as_it_was_saved(search: handrail.Search, store: Path) -> None:
    again = handrail.Search.open("texts@1", home=store)
    assert (again.name, again.version) == ("texts", 1)
    assert [match["document"] for match in again("soup")] == [match["document"] for match in search("soup")]
    folder = Store(store).find("texts@1")
    assert handrail.Search.open(folder, home=store)("soup")[0]["text"] == search("soup")[0]["text"]


def test_a_saved_search_is_a_model_like_others(search: handrail.Search, store: Path) -> None:
    model = handrail.load("texts@1", home=store)
    answer = model(TEXTS[2])
    assert answer["matches"][0]["text"] == TEXTS[2]
    assert np.allclose(answer["vector"], handrail.Embedder(home=store)(TEXTS[2]), atol=1e-6)
    assert model.check()["examples"] == 3


def test_it_is_served(search: handrail.Search, store: Path) -> None:
    with serving(Store(store).find("texts@1")) as served:
        status, _, content = served.ask("POST", "/texts/predict", TEXTS[3])
        assert status == 200
        assert json.loads(content)["matches"][0]["text"] == TEXTS[3]


def test_adding_and_removing_make_new_versions(store: Path) -> None:
    first = handrail.Search.build([{"text": "one", "id": "a", "lang": "en"}, {"text": "two"}], name="grows", home=store)
    second = first.add([{"text": "uno", "id": "a"}, "three"])
    third = second.remove("2")
    assert [one.version for one in (first, second, third)] == [1, 2, 3]
    assert [document.id for document in second.library.documents] == ["2", "a", "4"]
    assert second("uno", k=1)[0]["document"] == "a"
    assert {match["text"] for match in third("x", k=10)} == {"uno", "three"}
    assert {match["text"] for match in handrail.Search.open("grows@1", home=store)("x")} == {"one", "two"}
    with pytest.raises(HandrailError, match="no document has the id 'zz'"):
        third.remove(["zz"])
    with pytest.raises(HandrailError, match="nothing would be left"):
        third.remove(["a", "4"])


def test_rows_keep_what_is_known_of_them(store: Path, tmp_path: Path) -> None:
    table = tmp_path / "faq.csv"
    table.write_text("body,topic,price\nHow do I pay?,money,3\nWhere is it?,parcel,4\n", encoding="utf-8")
    found = handrail.Search.build(table, home=store)("How do I pay?", k=1)
    assert found[0]["metadata"]["topic"] == "money"


def test_folders_and_long_texts_become_passages(store: Path, tmp_path: Path) -> None:
    told: list[Event] = []
    (tmp_path / "deep").mkdir()
    long = " ".join(f"Sentence {number} of a long text says something or other." for number in range(60))
    (tmp_path / "deep" / "long.md").write_text(long, encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("Gr\xfcezi mitenand".encode("latin-1"))
    (tmp_path / "binary.txt").write_bytes(b"\x89PNG\0\1\2\3")
    (tmp_path / ".hidden.txt").write_text("secret", encoding="utf-8")
    (tmp_path / "link.txt").symlink_to("/etc/hostname")
    found = handrail.Search.build(tmp_path, home=store, tell=told.append)
    assert [document.id for document in found.library.documents] == ["deep/long.md", "latin.txt"]
    assert found.library.documents[1].text == "Grüezi mitenand"
    match = found(long[:300], k=1)[0]
    assert long[match["start"] :].startswith(match["text"])
    assert any(isinstance(event, Warned) and "binary.txt" in event.text for event in told)


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ([], "no document"),
        (["", "  "], "no document"),
        (["a", None], "document 2"),
        ([{"txt": "a"}], "no text under"),
        ([{"text": "a", "id": 1}, {"text": "b", "id": "1"}], "two documents have the id"),
        (None, "expected texts"),
        (7, "expected texts"),
        ("a text that is no path", "no file or folder"),
        ([{"text": "a", "more": "x" * 70_000}], "65,536 bytes beside"),
    ],
)
def test_bad_documents_are_named(store: Path, documents: Any, said: str) -> None:
    with pytest.raises(HandrailError) as caught:
        handrail.Search.build(documents, home=store)
    assert said in caught.value.problem


@pytest.mark.parametrize(
    ("question", "k"), [("", 5), (None, 5), ("a", 0), ("a", float("nan")), ("a", "5"), (["a", ""], 1)]
)
def test_bad_questions_are_named(search: handrail.Search, question: Any, k: Any) -> None:
    with pytest.raises(HandrailError):
        search(question, k=k)


def test_odd_texts_are_kept_whole(store: Path) -> None:
    texts = ["half \ud800 a character", "a\u2028line\x00separator", '{"json": "in"} [[[[' * 40, "日本語。テキスト"]
    made = handrail.Search.build(texts, name="odd", home=store)
    assert len(handrail.Search.open("odd", home=store)("x", k=50)) == len(made.library.passages)


def test_another_model_is_no_search(store: Path) -> None:
    from handrail.training.importing import import_base

    import_base("tiny", "plain", home=store)
    with pytest.raises(HandrailError, match="is for embedding, not a search"):
        handrail.Search.open("plain", home=store)


def broken(folder: Path, change: Any) -> None:
    """A bundle whose members were changed, hashes and all."""
    from handrail.core.bundle import open_bundle, write_bundle

    bundle = open_bundle(folder)
    files = {member: bundle.read(member) for member in bundle.manifest.files}
    manifest = bundle.manifest
    change(files)
    shutil.rmtree(folder)
    write_bundle(folder, manifest, files)


def saved(array: Any) -> bytes:
    import io

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("member", "content"),
    [
        ("encode/passages.npy", saved(np.array([[9, 0, 1]], np.int64))),
        ("encode/passages.npy", saved(np.array([[0, 0, 999_999]] * 4, np.int64))),
        ("encode/passages.npy", saved(np.array([[0, -5, 1]] * 4, np.int64))),
        ("encode/passages.npy", saved(np.zeros((4, 3)))),
        ("encode/passages.npy", saved(np.array([{}] * 4, dtype=object))),
        ("encode/passages.npy", b""),
        ("encode/vectors.npy", saved(np.full((4, 64), np.nan, np.float32))),
        ("encode/vectors.npy", saved(np.ones((4, 64), np.float32))),
        ("encode/vectors.npy", saved(np.zeros((4, 3), np.float32))),
        ("encode/vectors.npy", b"\x93NUMPY\x01\x00\xff\xff{"),
        ("encode/documents.txt", b"not json\n"),
        ("encode/documents.txt", b'{"id": 1, "text": "a", "metadata": {}}\n'),
        ("encode/documents.txt", b'{"id": "1", "text": "a"}\n'),
        ("encode/documents.txt", b"\xff\n"),
        ("encode/documents.txt", b"[]\n"),
    ],
)
def test_a_foreign_library_is_refused(
    search: handrail.Search, store: Path, tmp_path: Path, member: str, content: bytes
) -> None:
    folder = tmp_path / "texts"
    shutil.copytree(Store(store).find("texts@1"), folder)
    broken(folder, lambda files: files.update({member: content}))
    with pytest.raises(HandrailError) as caught:
        load(folder)("a question")
    assert caught.value.code == "bundle"


def vectors(rows: int, size: int = 32) -> np.ndarray:
    drawn = np.random.default_rng(0).standard_normal((rows, size)).astype(np.float32)
    found: np.ndarray = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return found


def test_the_nearest_are_those_that_sorting_finds() -> None:
    rows = vectors(500)
    for question, found in zip(rows[:5], Nearest(rows)(rows[:5], 7), strict=True):
        wanted = np.argsort(-(rows @ question), kind="stable")[:7]
        assert [place for place, _ in found] == wanted.tolist()
    assert list(Nearest(rows[:0])(rows[:1], 3)) == [[]]


def test_many_questions_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = vectors(100)
    whole = list(Nearest(rows)(rows, 3))
    monkeypatch.setattr(index, "MOST_PRODUCTS", 700)
    assert [[place for place, _ in row] for row in Nearest(rows)(rows, 3)] == [
        [place for place, _ in row] for row in whole
    ]


def test_an_index_finds_nearly_all_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("usearch")
    monkeypatch.setattr(index, "EXACT_ROWS", 1_000)
    rows = vectors(3_000)
    share = draw_index(rows, tmp_path, 1)
    assert share is not None
    assert share > 0.9
    assert not Nearest(rows, tmp_path).is_exact
    assert Nearest(rows[::-1].copy(), tmp_path).is_exact
    (kept,) = (tmp_path / "indexes").iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    assert Nearest(rows, tmp_path).is_exact


def test_without_the_library_all_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "EXACT_ROWS", 10)
    monkeypatch.setattr(index, "LIBRARY", "no_such_library")
    assert draw_index(vectors(100), tmp_path, 1) is None
    assert Nearest(vectors(100), tmp_path).is_exact
