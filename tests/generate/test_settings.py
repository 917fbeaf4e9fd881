"""Every setting is read strictly, within its bounds, and refused in words."""

import math

import pytest

from handrail.core.errors import HandrailError
from handrail.generate.settings import MAX_STOPS, Settings, settings_from


def refusal(given):
    with pytest.raises(HandrailError) as caught:
        settings_from(given)
    assert caught.value.code == "data"
    return caught.value


def test_nothing_asked_is_the_defaults():
    assert settings_from({}) == Settings()


def test_none_is_not_asked():
    assert settings_from(dict.fromkeys(("seed", "stop", "temperature", "max_tokens"))) == Settings()


def test_what_is_left_out_is_as_in_the_given_defaults():
    assert settings_from({"top_k": 5}, Settings(temperature=0.1)) == Settings(temperature=0.1, top_k=5)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("max_tokens", 1), ("temperature", 0), ("temperature", 10), ("top_k", 0), ("top_p", 0.0), ("min_p", 1),
        ("repetition_penalty", 1.3), ("presence_penalty", -2), ("frequency_penalty", 2.0), ("seed", -(2**63)),
        ("stop", ("a",)), ("logprobs", 20), ("json_schema", {"type": "object"}), ("json_schema", "json_object"),
        ("n", 64), ("ignore_end", True),
    ],
)  # fmt: skip
def test_every_setting_takes_what_is_within_its_bounds(name, good):
    assert getattr(settings_from({name: good}), name) == good


@pytest.mark.parametrize("name", ["max_tokens", "top_k", "seed", "logprobs", "n"])
@pytest.mark.parametrize("bad", [True, 1.5, 1e300, "1", 2**64, -(2**64), math.nan, [1], {"a": 1}, 10**4000])
def test_whole_numbers_are_whole_numbers_within_bounds(name, bad):
    assert refusal({name: bad}).field == name


@pytest.mark.parametrize("bad", [2**31, 0, -1])
def test_max_tokens_is_bounded(bad):
    assert "from 1 to 65,536" in refusal({"max_tokens": bad}).problem


@pytest.mark.parametrize(
    "name", ["temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty"]
)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, True, "0.5", 1e30, -1e30, 10**400, [0.5]])
def test_numbers_are_finite_and_within_bounds(name, bad):
    assert refusal({name: bad}).field == name


def test_a_temperature_of_nan_is_named():
    assert "NaN" in refusal({"temperature": math.nan}).problem


def test_one_stop_text_is_a_list_of_one_and_repeated_ones_count_once():
    assert settings_from({"stop": "\n"}).stop == ("\n",)
    assert settings_from({"stop": ["b", "a", "b"]}).stop == ("b", "a")


@pytest.mark.parametrize("bad", ["", ["a", ""], ["x" * 257], [1], 7, {"a": "b"}, True])
def test_stop_texts_are_texts_of_bounded_length(bad):
    assert refusal({"stop": bad}).field == "stop"


def test_thousands_of_stop_texts_are_refused_with_their_number():
    assert f"at most {MAX_STOPS} texts, received 5,000" in refusal({"stop": [str(n) for n in range(5000)]}).problem


def test_a_whole_number_may_be_written_with_a_point_as_in_json():
    assert settings_from({"max_tokens": 2.0}).max_tokens == 2


def test_an_unknown_setting_is_told_with_the_nearest_one():
    error = refusal({"max_token": 5})
    assert "Did you mean 'max_tokens'?" in error.problem
    assert "temperature" in error.mend


def test_all_that_is_off_is_told_at_once():
    error = refusal({"temperature": -1, "seed": "x", "colour": 3})
    assert error.field == "temperature"
    assert all(word in error.problem for word in ("'temperature'", "'seed'", "'colour'"))


def test_ten_thousand_unknown_settings_are_told_in_few_words():
    assert len(refusal({f"{number}" * 50: 1 for number in range(10_000)}).problem) < 2000


def test_a_schema_is_bounded_in_depth_and_size():
    deep = {}
    for _ in range(100_000):
        deep = {"items": deep}
    assert "levels deep" in refusal({"json_schema": deep}).problem
    assert "bytes" in refusal({"json_schema": {"enum": ["x" * 100_000]}}).problem
    assert "JSON values" in refusal({"json_schema": {"enum": [object()]}}).problem
    assert refusal({"json_schema": "object"}).field == "json_schema"
    while deep:  # Taken apart by hand: a dict so deep ends the interpreter where it is freed at once.
        deep = deep.get("items")
