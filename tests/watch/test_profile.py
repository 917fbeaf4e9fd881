"""What a bundle says of its training data: counts in bins, no rows, the same bytes for the same rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handrail.core.bundle import Manifest, open_bundle, write_bundle
from handrail.core.errors import HandrailError
from handrail.core.field import Field
from handrail.core.signature import Output, Signature
from handrail.watch.drift import drift
from handrail.watch.profile import (
    MEMBER,
    MOST_BYTES,
    counted,
    counted_column,
    of_answers,
    profile_from,
    profile_in,
    profile_of,
)
from handrail.watch.window import counted_answers
from handrail.watch.words import hashes_of, packed, unpacked, unseen_share, vocabulary_of
from tests.watch.watched import SIGNATURE, answers, checked, columns, profile


def bundle_with(folder: Path, content: bytes) -> Any:
    write_bundle(folder, Manifest("churn", "tabular-classification", SIGNATURE), {MEMBER: content})
    return open_bundle(folder)


def test_it_comes_back_from_a_bundle_as_it_was(tmp_path: Path) -> None:
    assert profile_in(bundle_with(tmp_path / "churn", profile().as_bytes())) == profile()


def test_a_bundle_of_an_older_handrail_has_none(tmp_path: Path) -> None:
    write_bundle(tmp_path / "churn", Manifest("churn", "tabular-classification", SIGNATURE), {})
    assert profile_in(open_bundle(tmp_path / "churn")) is None


def test_a_profile_of_a_format_that_is_not_known_is_none() -> None:
    assert profile_from({"format": 2, "rows": "many"}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"rows": "many"},
        {"columns": None},
        {"columns": [{"name": "age", "kind": "number", "measures": []}]},
        {"columns": [{"name": "age", "kind": "code", "measures": []}]},
        {"target": {"what": "value", "counts": [0, 1], "edges": [], "words": ["a"]}},
        {"target": {"what": "value", "counts": [0, -1, 0], "edges": [1.0], "words": []}},
        {"target": {"what": "value", "counts": [0, 1, 0, 2], "edges": [2.0, 1.0], "words": []}},
        {"target": {"what": "value", "counts": [0, 1, 0, 2], "edges": [True, 1.0], "words": []}},
        {"answers": {"what": "value", "counts": [0, 1, 0, 2], "edges": [], "words": ["a", "a"]}},
        {"answers": {"what": "value", "counts": [0] * 500, "edges": list(range(498)), "words": []}},
    ],
)
def test_one_that_is_off_is_a_damaged_bundle(tmp_path: Path, change: dict[str, Any]) -> None:
    content = json.dumps({**json.loads(profile().as_bytes()), **change}).encode()
    with pytest.raises(HandrailError, match="is off") as raised:
        profile_in(bundle_with(tmp_path / "churn", content))
    assert raised.value.code == "bundle"


def test_one_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(HandrailError, match="larger than"):
        profile_in(bundle_with(tmp_path / "churn", b" " * (MOST_BYTES + 1)))


def test_equal_rows_give_equal_bytes_and_others_do_not() -> None:
    assert profile().as_bytes() == profile().as_bytes()
    assert profile().key != profile(1_000).key


def test_numbers_are_counted_in_ranges_that_hold_equally_many() -> None:
    age = profile().columns[0].measures[0]
    assert (len(age.edges), len(age.counts)) == (19, 21)
    assert sum(age.counts) == 2_000
    assert 60 < age.counts[0] < 140
    assert max(age.counts[1:]) - min(age.counts[1:]) < 20


def test_a_value_that_many_rows_share_has_a_range_of_its_own() -> None:
    signature = Signature((Field("n", "number"),), Output("y", "number"))
    cells = [0.0] * 900 + [1.0] * 60 + [7.0] * 40
    (measure,) = profile_of(signature, {"n": cells}, [1.0] * 1_000, [1.0]).columns[0].measures
    assert counted(measure, np.array([0.0, 1.0, 7.0, -5.0, 99.0])).sum() == 5
    assert measure.counts[1] == 900
    (constant,) = profile_of(signature, {"n": [3.0] * 10}, [1.0] * 10, [1.0]).columns[0].measures
    assert counted(constant, np.array([2.0, 3.0, 4.0, np.nan])).tolist() == [1, 1, 1, 1]


def test_no_word_of_a_text_can_be_read_and_one_that_stands_in_one_row_leaves_nothing() -> None:
    cells = {**columns(200), "note": ["late parcel zanzibar"] + ["late parcel"] * 199}
    found = profile_of(SIGNATURE, cells, answers(200), answers(200))
    content = found.as_bytes()
    assert b"zanzibar" not in content
    assert b"parcel" not in content
    (note,) = (one for one in found.columns if one.name == "note")
    assert note.vocabulary == frozenset(hashes_of("late parcel"))


def test_a_text_is_measured_by_the_words_of_the_others() -> None:
    _, unseen = vocabulary_of([hashes_of(text) for text in ("a b", "a b", "a b", "a c", "")])
    assert unseen[:4].tolist() == [0.0, 0.0, 0.0, 0.5]
    assert np.isnan(unseen[4])


@pytest.mark.parametrize("most", [100, 500, 8_192])
def test_later_texts_are_as_unseen_as_those_of_training_however_small_the_vocabulary(most: int) -> None:
    """A vocabulary cut among equally common words knew its own texts better than others: false alarms for ever."""
    draw = np.random.default_rng(3)
    shares = 1 / np.arange(1, 20_001)
    texts = draw.choice(20_000, (2_000, 40), p=shares / shares.sum()).tolist()
    known, unseen = vocabulary_of(texts[:1_000], most)
    later = [unseen_share(words, known) for words in texts[1_000:]]
    assert len(known) <= most
    assert np.mean(later) == pytest.approx(np.mean(unseen), abs=0.015)


def test_a_vocabulary_comes_back_as_it_was() -> None:
    words = frozenset(hashes_of("one two three 日本"))
    assert len(words) == 5
    assert unpacked(packed(words)) == words
    with pytest.raises(ValueError):
        unpacked("!!!")


def test_texts_of_many_words_and_many_columns_stay_within_their_bounds() -> None:
    draw = np.random.default_rng(0)
    fields = tuple(Field(f"t{place}", "text") for place in range(4))
    cells = {
        field.name: [" ".join(f"w{word}" for word in draw.integers(0, 9_000, 100)) for _ in range(600)]
        for field in fields
    }
    texts = profile_of(Signature(fields, Output("y", "number")), cells, [1.0] * 600, [1.0] * 600)
    assert sum(len(packed(column.vocabulary)) for column in texts.columns) <= 100_000
    wide = tuple(Field(f"c{place}", "category") for place in range(500))
    long = {field.name: [f"{field.name} {row % 40} " + "é" * 25 for row in range(80)] for field in wide}
    found = profile_of(Signature(wide, Output("y", "number")), long, [1.0] * 80, [1.0] * 80)
    assert len(found.columns) == 200
    assert len(found.as_bytes()) < MOST_BYTES


def test_labels_numbers_and_several_labels_are_counted() -> None:
    label = of_answers(Output("y", "label", ("no", "yes")), ["no", "yes", "no"])
    assert (label.words, label.counts) == (("no", "yes"), (0, 2, 1, 0))
    several = of_answers(Output("y", "labels", ("a", "b")), [["a", "b"], [], ["a"]])
    assert (several.words, several.counts) == (("a", "b"), (1, 2, 1, 0))
    assert of_answers(Output("y", "number"), [1.0, 2.0, 3.0]).is_ordered


def judgements(shift: float = 0.0, words: list[str] | None = None, seed: int = 9, rows: int = 500) -> dict[str, str]:
    known = profile()
    cells = checked(columns(rows, seed, shift=shift, **({"words": words} if words else {})))
    found = {}
    for place, column in enumerate(known.columns):
        for measure, counts in zip(column.measures, counted_column(column, [row[place] for row in cells]), strict=True):
            one = drift(np.array(measure.counts), counts, ordered=measure.is_ordered, columns=8)
            found[f"{column.name} {measure.what}"] = one.judged
    said = counted_answers(known, answers(rows, seed))
    found["answers"] = drift(np.array(known.answers.counts), said, ordered=False, columns=8).judged
    return found


def test_rows_of_the_same_kind_give_no_alarm_in_99_of_100_looks() -> None:
    looks = [judgements(seed=seed) for seed in range(100, 200)]
    assert sum(set(found.values()) != {"none"} for found in looks) <= 1


def test_what_has_moved_is_named_and_nothing_else() -> None:
    found = judgements(shift=8.0)
    assert found.pop("age value") in ("some", "much")
    assert set(found.values()) == {"none"}


def test_texts_of_other_words_are_noticed() -> None:
    found = judgements(words=["spät", "kaputt", "gut", "danke", "paket", "nochmal"])
    assert found["note unseen words"] == "much"
