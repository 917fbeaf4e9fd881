"""Right answers by request id: matched, checked against the signature, the last of two wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from handrail.core.errors import HandrailError
from handrail.core.field import Field
from handrail.core.signature import Output, Signature
from handrail.watch import watcher
from handrail.watch.feedback import Right, wilson
from tests.watch.watched import PRICE, TAGS, Asked, checked, columns, label, watching

VECTORS = Signature((Field("x", "vector", size=3),), Output("y", "vector", size=2))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for more to come."""
    monkeypatch.setattr(watcher, "GATHER_S", 0.01)
    monkeypatch.setattr(watcher, "PAUSE_S", 0.0)


@pytest.mark.parametrize(
    ("right", "rows", "low", "high"),
    # Worked out from Wilson's formula with z = 1.96.
    [(5, 10, 0.2366, 0.7634), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (90, 100, 0.8256, 0.9448)],
)
def test_the_interval_of_accuracy_is_wilsons(right: int, rows: int, low: float, high: float) -> None:
    assert wilson(right, rows) == pytest.approx((low, high), abs=2e-4)


def test_live_accuracy_is_that_of_the_answers_that_were_matched(home: Path) -> None:
    with watching(home) as watched:
        for place, word in enumerate(["no", "no", "no", "yes", "yes"]):
            watched.seen(b"id-%d" % place, None, [label(word)])
        assert watched.report()["accuracy"] is None
        truths = ["no", "no", "yes", "yes"]
        told = watched.feedback([Right(f"id-{place}", word) for place, word in enumerate(truths)])
        assert told == {"accepted": 4, "unknown": [], "unknown_count": 0}
        found = watched.report()["accuracy"]
    assert (found["rows"], found["accuracy"]) == (4, 0.75)
    assert (found["low"], found["high"]) == pytest.approx(wilson(3, 4), abs=1e-5)
    assert {one["class"]: (one["rows"], one["recall"], one["precision"]) for one in found["per_class"]} == {
        "no": (2, 1.0, pytest.approx(2 / 3, abs=1e-5)),
        "yes": (2, 0.5, 1.0),
    }


def test_numbers_are_off_by_their_mean_and_their_root_mean_square(home: Path) -> None:
    with watching(home, signature=PRICE) as watched:
        for place, value in enumerate([10.0, 20.0, 30.0]):
            watched.seen(b"id-%d" % place, None, [orjson.dumps({"value": value})])
        watched.feedback([Right("id-0", 13), Right("id-1", "16"), Right("id-2", 30.0)])
        found = watched.report()["accuracy"]
    assert found == {"rows": 3, "mae": pytest.approx(7 / 3, abs=1e-4), "rmse": pytest.approx(5 / 3**0.5, abs=1e-4)}


def test_the_answer_is_remembered_though_the_input_is_not(home: Path) -> None:
    with watching(home) as watched:
        watched.seen(b"id", checked(columns(1)), [label("yes")])
        assert watched.feedback([Right("id", "yes")])["accepted"] == 1
        told = watched.report()
    assert (told["samples"]["kept"], told["feedback"], told["accuracy"]["accuracy"]) == (0, 1, 1.0)


def test_feedback_may_come_at_once_and_after_a_restart(home: Path) -> None:
    with watching(home) as watched:
        watched.seen(b"id", None, [label("yes")])
        assert watched.feedback([Right("id", "yes")])["accepted"] == 1
    with watching(home) as watched:
        assert watched.feedback([Right("id", "no")])["accepted"] == 1


def test_the_last_of_two_wins(home: Path) -> None:
    with watching(home) as watched:
        watched.seen(b"id", None, [label("yes")])
        watched.feedback([Right("id", "no"), Right("id", "yes")])
        assert watched.report()["accuracy"]["accuracy"] == 1.0
        watched.feedback([Right("id", "no")])
        found = watched.report()
    assert (found["feedback"], found["accuracy"]["accuracy"]) == (1, 0.0)


def test_an_id_that_is_not_known_is_not_found(home: Path) -> None:
    with watching(home) as watched:
        watched.seen(b"id", None, [label("yes")])
        with pytest.raises(HandrailError, match="no prediction with the id 'other' is remembered") as raised:
            watched.feedback([Right("other", "yes")])
        told = watched.feedback([Right("other", "yes"), Right("id", "yes"), Right("id", "yes", row=2)])
    assert raised.value.code == "not_found"
    assert told == {"accepted": 1, "unknown": ["other", "id"], "unknown_count": 2}


def test_ids_are_remembered_within_a_bound_and_longer_where_the_input_is_kept(home: Path) -> None:
    with watching(home, Asked(sample=1.0, keep=30), most_remembered=10) as watched:
        for place, row in enumerate(checked(columns(40))):
            watched.seen(b"id-%d" % place, [row], [label("yes")])
        watched.flush()
        assert watched.feedback([Right("id-35", "yes")])["accepted"] == 1
        assert watched.feedback([Right("id-15", "yes")])["accepted"] == 1
        with pytest.raises(HandrailError, match="the id 'id-5'"):
            watched.feedback([Right("id-5", "yes")])


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("yes", "yes"),
        (" yes ", "yes"),
        (True, "yes"),
        ("TRUE", "yes"),
        (0, "no"),
        ({"label": "no"}, "no"),
        (["no"], "no"),
    ],
)
def test_a_label_may_be_spelt_as_training_spells_it(home: Path, answer: Any, kept: str) -> None:
    with watching(home) as watched:
        watched.seen(b"id", None, [label("yes")])
        watched.feedback([Right("id", answer)])
        assert [one["class"] for one in watched.report()["accuracy"]["per_class"]] == [kept]


@pytest.mark.parametrize("answer", ["maybe", "", 7, 1.5, [], ["no", "yes"], {"value": 3}, [["no"]]])
def test_an_answer_that_is_no_label_is_refused_and_nothing_is_kept(home: Path, answer: Any) -> None:
    with watching(home) as watched:
        for name in (b"one", b"two"):
            watched.seen(name, None, [label("yes")])
        with pytest.raises(
            HandrailError, match=r"feedback 2: request two: (expected one of no, yes|it had one row)"
        ) as raised:
            watched.feedback([Right("one", "yes"), Right("two", answer)])
        assert watched.report()["feedback"] == 0
    assert (raised.value.code, raised.value.field) == ("data", "answer")


def test_the_nearest_label_is_named(home: Path) -> None:
    with watching(home, signature=TAGS) as watched:
        watched.seen(b"id", None, [b'{"labels":["a"]}'])
        with pytest.raises(HandrailError, match="expected one of a, b, c, received"):
            watched.feedback([Right("id", ["a", "z"])])


@pytest.mark.parametrize("answer", ["dear", True, None, [1, 2], {"price": 3}, "nan", "1e999", ""])
def test_an_answer_that_is_no_number_is_refused(home: Path, answer: Any) -> None:
    with watching(home, signature=PRICE) as watched:
        watched.seen(b"id", None, [b'{"value":1.0}'])
        if answer is None:
            assert watched.feedback([Right("id", answer)])["accepted"] == 0
        else:
            with pytest.raises(HandrailError, match=r"expected a number|it had one row"):
                watched.feedback([Right("id", answer)])


@pytest.mark.parametrize(
    ("answer", "right"), [(["b", "a"], 1.0), ("a|b", 1.0), ([], 0.0), (["a"], 0.0), ([["a", "b"]], 1.0), ("", 0.0)]
)
def test_several_labels_are_right_when_all_are(home: Path, answer: Any, right: float) -> None:
    with watching(home, signature=TAGS) as watched:
        watched.seen(b"id", None, [b'{"labels":["a","b"]}'])
        watched.feedback([Right("id", answer)])
        assert watched.report()["accuracy"]["accuracy"] == right


def test_a_request_of_many_rows_takes_a_list_or_a_row_at_a_time(home: Path) -> None:
    with watching(home) as watched:
        watched.seen(b"id", None, [label("yes"), label("no"), label("yes")])
        assert watched.feedback([Right("id", ["yes", None, "no"])])["accepted"] == 2
        assert watched.report()["accuracy"]["accuracy"] == 0.5
        assert watched.feedback([Right("id", "no", row=2)])["accepted"] == 1
        for off in ("yes", ["yes"], ["yes"] * 4):
            with pytest.raises(HandrailError, match="it had 3 rows"):
                watched.feedback([Right("id", off)])
        assert watched.report()["accuracy"]["rows"] == 3


def test_somebodys_own_code_is_compared_as_its_answers_are_counted(home: Path) -> None:
    with watching(home, Asked("classification", "class"), signature=None) as watched:
        watched.seen(b"one", None, [b'{"class":3}'])
        watched.seen(b"two", None, [b'{"class":"cat"}'])
        watched.feedback([Right("one", "3"), Right("two", "dog")])
        assert watched.report()["accuracy"]["accuracy"] == 0.5
    with watching(home, Asked("regression"), signature=None) as watched:
        watched.seen(b"three", None, [b"2.0"])
        watched.feedback([Right("three", 2.5)])


def test_a_vector_has_no_right_answer(home: Path) -> None:
    with watching(home, Asked(sample=1.0), signature=VECTORS) as watched:
        watched.seen(b"id", [[b"\0" * 12]], [b'{"vector":[1,2]}'])
        with pytest.raises(HandrailError, match="a vector has no right answer"):
            watched.feedback([Right("id", [1, 2])])
        told = watched.report()
    assert (told["requests"], told["classes"], told["samples"]["kept"]) == (1, None, 0)
