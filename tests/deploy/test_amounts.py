"""Amounts as people write them."""

from __future__ import annotations

import pytest

from handrail.deploy.amounts import cores, percents, seconds, size_bytes, written_duration, written_size


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10s", 10), ("500ms", 0.5), ("5m", 300), ("1h30m", 5400), ("1.5h", 5400), ("1m0s", 60), ("2d", 172_800),
     ("50us", 5e-5), ("50µs", 5e-5), ("7ns", 7e-9), ("0s", 0)],
)  # fmt: skip
def test_a_duration_has_units(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "10", "s", "10 s", "-5s", "1e3s", "10S", "10sec", "1h-1m", "１0s", "5s\n"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("512Mi", 2**29), ("2G", 2_000_000_000), ("1Gi", 2**30), ("1000", 1000), ("1.5Gi", 3 * 2**29), ("64k", 64_000),
     ("512MB", 512_000_000), ("512MiB", 2**29), ("1Ti", 2**40)],
)  # fmt: skip
def test_a_size_is_read_as_kubernetes_does(text: str, expected: int) -> None:
    assert size_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "Mi", "-1G", "5m", "1 Gi", "1e9", "5X", "512mi"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        size_bytes(text)


def test_cores_come_whole_in_parts_and_in_thousandths() -> None:
    assert [cores(text) for text in ("2", "0.5", "200m")] == [2, 0.5, 0.2]
    with pytest.raises(ValueError):
        cores("2cores")


def test_a_percentage_has_its_sign() -> None:
    assert percents("12.5%") == 12.5
    with pytest.raises(ValueError):
        percents("12.5")


@pytest.mark.parametrize("text", ["0s", "500ms", "10s", "1m", "1h30m", "1d", "1d1h1m1s1ms"])
def test_a_duration_is_written_as_it_is_read(text: str) -> None:
    assert written_duration(seconds(text)) == text


@pytest.mark.parametrize("text", ["512Mi", "1Gi", "3Ki", "1000"])
def test_a_size_is_written_as_it_is_read(text: str) -> None:
    assert written_size(size_bytes(text)) == text
