"""Stop strings are never told, not even half, wherever the pieces of a text are cut."""

import random
import time

import pytest

from handrail.generate.stops import Stops


def told(stops, pieces):
    watch = Stops(stops)
    out = []
    for piece in pieces:
        out.append(watch.feed(piece))
        if watch.is_met:
            return out, True
    return [*out, watch.rest()], False


def test_without_stops_all_is_told_at_once():
    assert told([], ["a", "b"]) == (["a", "b", ""], False)


def test_a_stop_string_within_one_piece_ends_the_text_before_it():
    assert told(["END"], ["abcENDdef"]) == (["abc"], True)


def test_a_stop_string_across_pieces_is_not_half_told():
    assert told(["END"], ["abE", "N", "D"]) == (["ab", "", ""], True)


def test_what_turns_out_to_be_no_stop_string_is_told_late():
    assert told(["END"], ["abE", "N", "x"]) == (["ab", "", "ENx", ""], False)


def test_what_was_kept_back_is_told_where_nothing_follows():
    assert told(["END"], ["abEN"]) == (["ab", "EN"], False)


def test_after_the_stop_string_nothing_is_told():
    watch = Stops(["x"])
    assert (watch.feed("ax"), watch.feed("bc"), watch.rest()) == ("a", "", "")


def test_the_stop_string_that_is_whole_first_counts():
    assert told(["abcd", "bc"], ["abcd"]) == (["a"], True)


def test_of_two_that_are_whole_at_once_the_longer_counts():
    assert told(["bc", "abc"], ["xabc"]) == (["x"], True)


@pytest.mark.parametrize("seed", range(200))
def test_any_cut_gives_what_a_search_in_the_whole_text_gives(seed):
    draw = random.Random(seed)
    text = "".join(draw.choice("ab") for _ in range(40))
    stops = ["".join(draw.choice("ab") for _ in range(draw.randint(2, 7))) for _ in range(3)]
    ends = [(text.find(stop) + len(stop), -len(stop)) for stop in stops if stop in text]
    pieces, rest = [], text
    while rest:
        size = draw.randint(1, 5)
        pieces.append(rest[:size])
        rest = rest[size:]
    out, met = told(stops, pieces)
    expected = text[: min(ends)[0] + min(ends)[1]] if ends else text
    assert ("".join(out), met) == (expected, bool(ends))


def test_hostile_stop_strings_cost_no_more_than_others():
    stops = [f"{'a' * 254}{number:02}" for number in range(32)]
    watch, began = Stops(stops), time.perf_counter()
    assert watch.feed("a" * 20_000) == "a" * (20_000 - 254)
    assert time.perf_counter() - began < 5
