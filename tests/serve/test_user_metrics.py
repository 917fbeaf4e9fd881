"""What user code tells of itself becomes lines that Prometheus reads, whatever it is, and never too many."""

from __future__ import annotations

import re
from typing import Any

import pytest

from handrail.serve.user_metrics import MAX_SERIES, UserMetrics

LINE = re.compile(r'[a-z_:][a-zA-Z0-9_]*\{([a-zA-Z_]\w*="(\\.|[^"\\\n])*",?)*\} \S+|# (HELP|TYPE) .+')


def told(*metrics: Any, api: str = "mine") -> list[str]:
    found = UserMetrics()
    found.take(api, {"metrics": list(metrics)})
    return [line for line in found.lines([api]) if not line.startswith("#")]


def test_counts_add_up_levels_are_the_last_and_distributions_have_buckets() -> None:
    found = told(
        ["increment", "hits", 1, {}], ["increment", "hits", 2, {}], ["gauge", "size", 5, {"of": "a"}],
        ["gauge", "size", 3, {"of": "a"}], ["histogram", "took", 0.2, {}], ["histogram", "took", 7, {}],
    )  # fmt: skip
    assert 'handrail_user_hits_total{api="mine"} 3' in found
    assert 'handrail_user_size{api="mine",of="a"} 3' in found
    assert 'handrail_user_took_bucket{api="mine",le="0.25"} 1' in found
    assert 'handrail_user_took_bucket{api="mine",le="+Inf"} 2' in found
    assert 'handrail_user_took_sum{api="mine"} 7.2' in found


def test_no_api_has_more_series_than_it_may_and_what_is_left_out_is_counted() -> None:
    found = told(*(["increment", "asked", 1, {"user": str(number)}] for number in range(MAX_SERIES + 20)))
    assert len(found) == MAX_SERIES + 1
    assert found[-1] == 'handrail_user_left_out_total{api="mine"} 20'


@pytest.mark.parametrize(
    "metric",
    [
        ["increment", "hits", -1, {}], ["gauge", "size", float("nan"), {}], ["gauge", "size", "much", {}],
        ["other", "size", 1, {}], ["gauge", "", 1, {}], ["gauge", 7, 1, {}], ["gauge", "size", 1, ["a"]],
        ["gauge", "size", 1, {str(number): "" for number in range(30)}], ["gauge"], "text", 7, None, [[], {}, {}, {}],
    ],
)  # fmt: skip
def test_what_is_no_metric_is_left_out(metric: Any) -> None:
    assert told(metric) == ['handrail_user_left_out_total{api="mine"} 1']


@pytest.mark.parametrize("header", [{}, {"metrics": None}, {"metrics": {"a": 1}}, {"metrics": "text"}])
def test_a_reply_without_metrics_tells_nothing(header: dict[str, Any]) -> None:
    found = UserMetrics()
    found.take("mine", header)
    assert found.lines(["mine"]) == []


def test_names_and_tags_cannot_break_the_page() -> None:
    odd = 'a"} 1\nhandrail_ready 7\\'
    for line in told(["gauge", odd, 1, {odd: odd, "api": "x", "le": "y", "__name__": "z", "0": "n", "ü": "\ud800"}]):
        assert LINE.fullmatch(line), line
        assert line.startswith("handrail_user_")


def test_a_name_of_two_kinds_keeps_the_first() -> None:
    found = told(["histogram", "took", 1, {}], ["gauge", "took_count", 1, {}], ["gauge", "took", 1, {}])
    assert 'handrail_user_took_count{api="mine"} 1' in found
    assert found[-1] == 'handrail_user_left_out_total{api="mine"} 2'


def test_a_family_stands_together_and_goes_with_its_apis() -> None:
    found = UserMetrics()
    for api in ("a", "b"):
        found.take(api, {"metrics": [["increment", "hits", 1, {}], ["gauge", "size", 1, {}]]})
    lines = found.lines(["a", "b"])
    assert [line for line in lines if line.startswith("# TYPE")] == [
        "# TYPE handrail_user_hits_total counter", "# TYPE handrail_user_size gauge",
    ]  # fmt: skip
    assert [line.split("{")[0] for line in lines if "hits_total{" in line] == ["handrail_user_hits_total"] * 2
    assert not any('api="b"' in line for line in found.lines(["a"]))
    assert not any('api="b"' in line for line in found.lines(["a", "b"]))
