"""A run that was cut off goes on with what is finished, and only with what fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.contracts.data import customers, reviews

import handrail
from handrail.core.events import Event, Said, Tried
from handrail.store import Store
from handrail.store.runs import held


class CutOff(BaseException):
    pass


def cut_after(count: int, **options: Any) -> None:
    """A training that is cut off when so many candidates are finished."""
    tried: list[Event] = []

    def tell(event: Event) -> None:
        tried.extend([event] if isinstance(event, Tried) else [])
        if len(tried) == count:
            raise CutOff

    with pytest.raises(CutOff):
        handrail.train(tell=tell, name="m", **options)


def told(**options: Any) -> list[Event]:
    events: list[Event] = []
    handrail.train(tell=events.append, name="m", **options)
    return events


def used_again(events: list[Event]) -> list[str]:
    return [event.name for event in events if isinstance(event, Tried) and event.note == "used again"]


CUSTOMERS: dict[str, Any] = {"source": customers(120), "target": "churned", "trials": 2}


def test_what_is_finished_is_used_again_and_the_rest_is_not(home: Path) -> None:
    cut_after(1, **CUSTOMERS)
    events = told(**CUSTOMERS)
    assert any(isinstance(event, Said) and "its finished pieces (1)" in event.text for event in events)
    assert used_again(events) == ["boosted trees"]
    assert not list((home / "runs").iterdir())


def test_a_text_run_that_was_cut_off_goes_on(home: Path) -> None:
    options: dict[str, Any] = {"source": reviews(), "target": "label", "trials": 2}
    cut_after(1, **options)
    assert used_again(told(**options)) == ["n-grams"]


@pytest.mark.parametrize(
    "other",
    [
        {"kinds": {"plan": "ignore"}},
        {"kinds": {"age": "category"}},
        {"test_share": 0.3},
        {"test_share": 0.0},
        {"test": customers(80)},
        {"group": "plan"},
        {"seed": 1},
    ],
    ids=lambda other: next(iter(other)),
)
def test_with_other_data_nothing_is_used_again(home: Path, other: dict[str, Any]) -> None:
    cut_after(1, **CUSTOMERS)
    events = told(**{**CUSTOMERS, **other})
    assert not used_again(events)
    assert not any(isinstance(event, Said) and "cut off" in event.text for event in events)


def test_other_test_rows_are_other_data(home: Path) -> None:
    first, second = customers(80), {name: cells[::-1] for name, cells in customers(80).items()}
    cut_after(1, **CUSTOMERS, test=first)
    assert not used_again(told(**CUSTOMERS, test=second))


def test_with_another_time_what_is_finished_is_used_again_whatever_its_turn(home: Path) -> None:
    options = {name: value for name, value in CUSTOMERS.items() if name != "trials"}
    cut_after(2, **options, time_s=30.0)
    assert "linear with bends" in used_again(told(**options, time_s=6.0))


def test_a_run_that_is_still_going_on_is_left_alone(home: Path) -> None:
    cut_after(1, **CUSTOMERS)
    (folder,) = (home / "runs").iterdir()
    pieces = sorted(folder.iterdir())
    with held(Store(home).run(folder.name)):
        events = told(**CUSTOMERS)
        assert not used_again(events)
        assert sorted(folder.iterdir()) == pieces
        assert list((home / "runs").iterdir()) == [folder]
    assert not folder.exists()


def test_a_run_begun_anew_uses_nothing_again(home: Path) -> None:
    cut_after(1, **CUSTOMERS)
    assert not used_again(told(**CUSTOMERS, resume=False))
