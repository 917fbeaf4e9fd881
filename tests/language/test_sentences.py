"""Where sentences end, and how long texts become passages."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handrail.core.errors import HandrailError
from handrail.language.passages import LONGEST, passages
from handrail.language.sentences import sentences, spans

CASES = [
    ("en", "Dr. Smith paid $3.50 to J. R. Jones at 5 p.m. on Jan. 3. He left. See fig. 3, e.g. the cat.", 3),
    ("en", '"Stop!" he said. "Is it true?" she asked. Version 2.1.0 is out!', 3),
    ("de", "Er kam am 3. März an, z. B. mit Dr. Müller. „Das ist gut.“ Sie ging ca. 5 km weit.", 3),
    ("fr", "« C’est vrai ? » dit-il. Il a 3,5 ans, p. ex. oui.", 2),
    ("es", "¿Cómo estás? ¡Bien! El Sr. García llegó.", 3),
    ("zh", "今天天气很好。我们去公园吧！价格是3.5元。", 3),
    ("ja", "本当ですか？はい！明日は雨です。", 3),
    ("hi", "यह एक वाक्य है। यह दूसरा है।", 2),
    ("ar", "هل أنت بخير؟ نعم. شكرا.", 3),
]


@pytest.mark.parametrize(("language", "text", "count"), CASES)
def test_sentences_end_where_a_reader_would_say(language: str, text: str, count: int) -> None:
    found = sentences(text, language)
    assert len(found) == count
    assert "".join(found).replace(" ", "") == text.replace(" ", "")


def test_other_scripts_are_cut_in_any_language() -> None:
    assert len(sentences("今天天气很好。我们去公园吧！", "en")) == 2


def test_a_sentence_over_two_lines_is_on_one() -> None:
    assert sentences("It goes\n  on here. Next.") == ["It goes on here.", "Next."]


def test_times_of_subtitles_are_left_out() -> None:
    text = "1\n00:00:01,000 --> 00:00:04,000\nIt was dark.\n\n2\n00:00:05,000 --> 00:00:07,500\nThen it was light.\n"
    assert sentences(text) == ["It was dark.", "Then it was light."]


@pytest.mark.parametrize("language", ["", "English", "../x", "e", "en\n"])
def test_what_is_no_language_is_refused(language: str) -> None:
    with pytest.raises(HandrailError, match="no language has the code"):
        sentences("a", language)


def test_an_unknown_language_is_cut_at_the_usual_ends() -> None:
    assert sentences("One thing. Another thing.", "xx") == ["One thing.", "Another thing."]


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("ab. \n!?。“”\"'(A1"), max_size=3_000))
def test_passages_hold_every_word_and_fit(text: str) -> None:
    found = passages(text)
    covered = [False] * len(text)
    for start, end in found:
        assert 0 <= start < end <= len(text)
        assert end - start <= LONGEST or len(text) <= LONGEST
        covered[start:end] = [True] * (end - start)
    assert not "".join(char for char, is_in in zip(text, covered, strict=True) if not is_in).strip()
    assert [start for start, _ in found] == sorted({start for start, _ in found})


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=500))
def test_spans_are_the_sentences_of_any_text(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    assert [" ".join(text[start:end].split()) for start, end in spans(text)] == sentences(text)


def test_passages_overlap_by_whole_sentences() -> None:
    text = " ".join(f"This is sentence number {number}, no more and no less." for number in range(40))
    found = passages(text)
    assert all(after < end for (_, end), (after, _) in itertools.pairwise(found))
    assert all(text[start:].startswith("This is") for start, _ in found)


def test_one_line_of_ten_megabytes_is_cut_in_a_moment() -> None:
    assert len(passages("x" * 10_000_000)) == pytest.approx(10_000_000 / LONGEST, abs=2)
    assert passages("   \n ") == []
