"""Memory that is kept for what comes next, and given back after that."""

from __future__ import annotations

import ctypes

import pytest

from handrail.core import allocator
from handrail.core.allocator import keeping_memory


class Library:
    def __init__(self) -> None:
        self.said: list[tuple[int, ...]] = []

    def mallopt(self, option: int, value: int) -> None:
        self.said.append((option, value))

    def malloc_trim(self, left: int) -> None:
        self.said.append((left,))


def test_memory_is_kept_while_the_block_runs_and_given_back_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    with pytest.raises(KeyError), keeping_memory():
        assert library.said == list(allocator.KEPT.items())
        raise KeyError
    assert library.said[2:] == [*allocator.USUAL.items(), (0,)]


def test_a_library_without_such_options_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    with keeping_memory():
        ran = True
    assert ran
