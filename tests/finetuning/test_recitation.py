"""How much of a text is copied from another."""

from __future__ import annotations

import numpy as np

from handrail.finetuning.recitation import RUN, Copied, Source, run_of, warning


def numbers(count: int, seed: int) -> list[int]:
    return np.random.default_rng(seed).integers(0, 5_000, count).tolist()


def test_a_copied_stretch_is_found_with_its_length() -> None:
    learnt = numbers(10_000, 0)
    text = [*numbers(30, 1), *learnt[500:540], *numbers(30, 2)]
    found = Source(np.array(learnt)).copied([text])
    assert (found.longest, found.tokens) == (40, 100)
    assert found.share == 0.4


def test_stretches_that_are_short_are_chance_and_do_not_count() -> None:
    learnt = numbers(10_000, 0)
    found = Source(np.array(learnt)).copied([[*numbers(30, 1), *learnt[500 : 500 + RUN - 1], *numbers(30, 2)]])
    assert found == Copied(0.0, 0, 60 + RUN - 1)


def test_the_longest_of_several_places_counts() -> None:
    line = numbers(20, 3)
    learnt = [*line, *numbers(100, 4), *line, *numbers(30, 5)]
    text = learnt[120:165]
    assert Source(np.array(learnt)).copied([text]).longest == 45


def test_texts_shorter_than_a_run_are_no_trouble() -> None:
    assert Source(np.array([1, 2, 3])).copied([[1, 2, 3], []]).share == 0.0


def test_a_model_that_copies_much_more_than_new_text_repeats_is_warned_of() -> None:
    assert "recites: 80%" in warning(Copied(0.8, 60, 100), Copied(0.3, 20, 100), Copied(0.05, 13, 100))
    assert warning(Copied(0.2, 20, 100), Copied(0.1, 20, 100), Copied(0.05, 13, 100)) == ""
    assert "recites" in warning(Copied(0.8, 60, 100), Copied(0.3, 20, 100), None)


def test_where_tokens_are_characters_a_run_is_longer() -> None:
    assert run_of(4_000, 1_000) == RUN
    assert run_of(1_000, 1_000) == 50
