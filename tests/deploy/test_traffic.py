"""Shares of traffic: headers first, then weights, met closely in any run of requests."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as some

from handrail.deploy.spec import Share
from handrail.deploy.traffic import Split


def counted(split: Split, requests: int) -> Counter[str | None]:
    return Counter(split.chosen({}) for _ in range(requests))


@pytest.mark.parametrize("weight", [0.5, 1.0, 10.0, 25.0, 50.0, 90.0, 99.0])
@pytest.mark.parametrize("requests", [10, 100, 1_000, 20_000])
def test_a_canary_gets_its_weight_of_the_requests_give_or_take_two(weight: float, requests: int) -> None:
    split = Split([Share("reviews@4", weight)])
    assert abs(counted(split, requests)["reviews@4"] - requests * weight / 100) <= 2


def test_every_run_of_a_hundred_requests_has_its_part_of_the_canary() -> None:
    split = Split([Share("reviews@4", 10.0)])
    runs = [counted(split, 100)["reviews@4"] for _ in range(500)]
    assert min(runs) >= 8
    assert max(runs) <= 12


@pytest.mark.parametrize("period", [2, 3, 5, 7, 10, 20, 100])
def test_a_client_that_sends_in_turns_is_shared_out_as_evenly(period: int) -> None:
    """Taking each tenth would give all requests of one of ten clients in turn to the canary."""
    split = Split([Share("reviews@4", 10.0)])
    taken = Counter(turn % period for turn in range(period * 1_000) if split.chosen({}))
    assert len(taken) == period
    assert all(70 <= count <= 130 for count in taken.values())


@pytest.mark.parametrize(("weight", "name"), [(0.0, None), (100.0, "reviews@4")])
def test_none_and_all_are_exact(weight: float, name: str | None) -> None:
    assert set(counted(Split([Share("reviews@4", weight)]), 10_000)) == {name}


def test_without_shares_the_current_version_answers() -> None:
    assert set(counted(Split([]), 10)) == {None}


def test_several_shares_each_get_their_weight_and_the_current_version_the_rest() -> None:
    found = counted(Split([Share("a", 20.0), Share("b", 5.0), Share("c", 0.0)]), 10_000)
    assert found.keys() == {"a", "b", None}
    assert found["a"] == pytest.approx(2_000, abs=5)
    assert found["b"] == pytest.approx(500, abs=5)


@pytest.mark.parametrize("weights", [(50.0, 50.0), (1.0, 99.0), (33.3, 33.3, 33.3), (1.0, 1.0, 2.0)])
def test_a_splitter_shares_all_requests_among_the_named(weights: tuple[float, ...]) -> None:
    shares = [Share(f"api-{index}", weight) for index, weight in enumerate(weights)]
    found = counted(Split(shares, all_named=True), 10_000)
    for share in shares:
        assert found[share.name] == pytest.approx(10_000 * share.weight / sum(weights), abs=5)
    assert None not in found


def test_a_splitter_of_nothing_chooses_nothing() -> None:
    assert Split([Share("a", 0.0)], all_named=True).chosen({}) is None
    assert Split([], all_named=True).chosen({}) is None


@given(some.lists(some.floats(0.01, 100), min_size=1, max_size=5))
def test_whatever_the_weights_every_request_has_an_answer(weights: list[float]) -> None:
    shares = [Share(f"api-{index}", weight) for index, weight in enumerate(weights)]
    assert counted(Split(shares, all_named=True), 200).keys() <= {share.name for share in shares}
    assert counted(Split(shares), 200).keys() <= {None, *(share.name for share in shares)}


@pytest.mark.parametrize(
    ("header", "headers", "chosen"),
    [
        ("x-canary", {b"x-canary": b""}, True),
        ("x-canary", {b"x-canary": b"anything"}, True),
        ("x-canary", {b"x-other": b"1"}, False),
        ("X-Canary", {b"x-canary": b"1"}, True),
        ("x-group: beta", {b"x-group": b"beta"}, True),
        ("x-group:beta", {b"x-group": b" beta "}, True),
        ("x-group: beta", {b"x-group": b"alpha"}, False),
        ("x-group: beta", {b"x-group": b"Beta"}, False),
        ("x-url: http://a", {b"x-url": b"http://a"}, True),
        ("x-group:", {b"x-group": b""}, True),
        ("x-group:", {b"x-group": b"beta"}, False),
    ],
)
def test_a_header_is_a_name_or_a_name_and_a_value(header: str, headers: dict[bytes, bytes], chosen: bool) -> None:
    split = Split([Share("reviews@4", header=header)])
    assert split.chosen(headers) == ("reviews@4" if chosen else None)


def test_a_header_goes_before_weights_and_the_first_that_fits_counts() -> None:
    split = Split([Share("a", 100.0), Share("b", header="x-b"), Share("c", header="x-b")])
    assert split.chosen({b"x-b": b"1"}) == "b"
    assert split.chosen({}) == "a"


def test_requests_that_a_header_sent_do_not_count_for_the_weights() -> None:
    split = Split([Share("a", 50.0), Share("b", header="x-b")])
    found: Counter[str | None] = Counter()
    for _ in range(1_000):
        split.chosen({b"x-b": b"1"})
        found[split.chosen({})] += 1
    assert found["a"] == pytest.approx(500, abs=2)


def test_a_shadow_never_answers() -> None:
    split = Split([Share("reviews@5", 100.0, header="x-shadow", shadow=True)])
    assert split.chosen({b"x-shadow": b"1"}) is None
    assert set(counted(split, 100)) == {None}
    assert Split([Share("a", 1.0), Share("b", 99.0, shadow=True)], all_named=True).chosen({}) == "a"


@pytest.mark.parametrize("weight", [0.0, 1.0, 30.0, 100.0])
def test_a_shadow_gets_copies_of_its_weight_of_the_requests(weight: float) -> None:
    split = Split([Share("reviews@5", weight, shadow=True)])
    copies = sum(len(split.copied()) for _ in range(10_000))
    assert copies == pytest.approx(100 * weight, abs=3 if 0 < weight < 100 else 0)


def test_copies_are_of_all_answers_and_not_always_of_the_canarys() -> None:
    split = Split([Share("reviews@4", 10.0), Share("reviews@5", 10.0, shadow=True)])
    both = Counter((split.chosen({}), bool(split.copied())) for _ in range(20_000))
    assert both["reviews@4", True] == pytest.approx(200, abs=40)
    assert both[None, True] == pytest.approx(1_800, abs=40)


def test_without_shadows_there_are_no_copies() -> None:
    assert Split([Share("reviews@4", 10.0)]).copied() == ()


def test_a_choice_costs_less_than_the_time_of_a_request_by_far() -> None:
    split = Split([Share("a", 10.0), Share("b", header="x-b"), Share("c", 10.0, shadow=True)])
    headers = {b"host": b"localhost", b"content-type": b"application/json"}
    fastest = min(_seconds(split, headers) for _ in range(5))
    # About 0.5 µs on a machine at rest; the bound is for one that is not.
    assert fastest / 10_000 < 10e-6


def _seconds(split: Split, headers: dict[bytes, bytes]) -> float:
    begun = time.perf_counter()
    for _ in range(10_000):
        split.chosen(headers)
        split.copied()
    return time.perf_counter() - begun
