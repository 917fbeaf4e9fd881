"""How documents are parted and packed."""

from __future__ import annotations

import numpy as np
import pytest

from handrail.core.errors import HandrailError
from handrail.finetuning.corpus import Tokens, parted, rows_of, tokens_of
from handrail.finetuning.dialogues import Piece
from handrail.finetuning.documents import Document
from tests.finetuning.conftest import story


class Letters:
    """A tokenizer of letters; 0 is its mark."""

    begin: int | None = 0

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        return [ord(letter) for letter in text]


def test_one_text_is_held_out_in_pieces_that_are_spread_over_it_and_not_learnt() -> None:
    text = story(2_000)
    split = parted([Document(text)], seed=0, most_characters=10**9)
    held = "".join(one.text for one in split.held_out)
    assert 0.08 < len(held) / len(text) < 0.12
    assert len(split.held_out) == 5
    assert sorted("".join(one.text for one in (*split.train, *split.held_out))) == sorted(text)
    for piece in split.held_out:
        assert piece.text in text
        assert not any(piece.text in one.text for one in split.train)
        assert piece.text.endswith("\n")


def test_no_more_is_held_out_than_can_be_judged() -> None:
    split = parted([Document(story(5_000))], seed=0, most_characters=5_000)
    assert sum(one.characters for one in split.held_out) <= 6_000


def test_many_documents_are_held_out_whole_and_those_that_say_the_same_stay_together() -> None:
    documents = [Document(story(5, seed=number % 20)) for number in range(60)]
    split = parted(documents, seed=1, most_characters=10**9)
    train, held = ({one.text for one in part} for part in (split.train, split.held_out))
    assert held
    assert not train & held
    assert len(split.held_out) == len(held)


def test_another_seed_holds_out_other_documents() -> None:
    documents = [Document(story(5, seed=number)) for number in range(60)]
    first, second = (parted(documents, seed, 10**9).held_out for seed in (0, 1))
    assert first != second
    assert first == parted(documents, 0, 10**9).held_out


def test_nothing_is_held_out_of_a_few_lines() -> None:
    split = parted([Document("three words here\n")], seed=0, most_characters=10**9)
    assert split.held_out == ()


def test_each_token_is_foretold_in_exactly_one_place() -> None:
    for count in (2, 7, 16, 17, 33, 100):
        ids = np.arange(count, dtype=np.int32)
        rows = rows_of(Tokens(ids, np.ones(count, bool), count), 16)
        assert sorted(rows.targets[rows.counted].tolist()) == list(range(1, count))
        assert (rows.targets == rows.inputs + 1).all()


def test_less_than_two_tokens_cannot_be_learnt() -> None:
    with pytest.raises(HandrailError, match="too little text"):
        rows_of(Tokens(np.zeros(1, np.int32), np.ones(1, bool), 1), 16)


def test_documents_are_closed_by_the_token_that_ends_a_text() -> None:
    found = tokens_of([Document("ab"), Document("c")], Letters(), 7, lambda _: iter(()))
    assert found.ids.tolist() == [0, 97, 98, 7, 99, 7]
    assert found.learnt.tolist() == [False, True, True, True, True, True]
    assert found.size_bytes == 3


def test_only_answers_of_conversations_are_learnt() -> None:
    pieces = [Piece("Q", False, True), Piece("An", True, True)]
    document = Document(messages=({"role": "user", "content": "Q"}, {"role": "assistant", "content": "An"}))
    found = tokens_of([document], Letters(), 7, lambda _: iter(pieces))
    assert found.learnt.tolist() == [False, True, True]
    assert found.size_bytes == 2


def test_a_line_of_a_million_letters_is_given_to_the_tokenizer_in_parts() -> None:
    given: list[int] = []

    class Watched(Letters):
        def encode(self, text: str, *, special: bool = False) -> list[int]:
            given.append(len(text))
            return super().encode(text)

    found = tokens_of([Document("x" * 10**6)], Watched(), 7, lambda _: iter(()))
    assert len(found) == 10**6 + 2
    assert max(given) <= 2**16


def test_some_rows_are_taken_from_all_over_and_all_rows_in_their_order() -> None:
    rows = rows_of(Tokens(np.arange(101, dtype=np.int32), np.ones(101, bool), 1), 10)
    assert rows.spread(3).inputs[:, 0].tolist() == [0, 40, 90]
    assert np.array_equal(rows.spread(len(rows)).inputs, rows.inputs)
    assert len(rows.spread(0)) == 0
