"""Loaded models: never more than was allowed, whoever asks, and each loaded once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest

from handrail.predictors.cache import Cache


class Loading:
    """Counts how many values are there or being loaded, and the most there ever were."""

    def __init__(self) -> None:
        self.loaded: list[object] = []
        self.lock = threading.Lock()

    def of(self, key: object) -> Callable[[], Any]:
        def load() -> Any:
            with self.lock:
                self.loaded.append(key)
            return [key]

        return load


def test_the_least_recently_used_goes_first() -> None:
    cache, loading = Cache(2), Loading()
    for key in ("a", "b", "a", "c", "a", "b"):
        assert cache.get(key, 1, 10, loading.of(key)) == [key]
    assert loading.loaded == ["a", "b", "c", "b"]
    assert list(cache.held()) == ["a", "b"]


def test_a_bound_in_bytes_holds_too_and_what_is_larger_is_held_alone() -> None:
    cache, loading = Cache(None, 100), Loading()
    for key, size in (("a", 40), ("b", 40), ("c", 30)):
        cache.get(key, 1, size, loading.of(key))
    assert list(cache.held()) == ["b", "c"]
    cache.get("large", 1, 1000, loading.of("large"))
    assert list(cache.held()) == ["large"]
    cache.get("a", 1, 40, loading.of("a"))
    assert list(cache.held()) == ["a"]


def test_another_state_is_loaded_again_and_what_failed_is_tried_again() -> None:
    cache, loading = Cache(2), Loading()
    cache.get("a", 1, 1, loading.of("first"))
    assert cache.get("a", 2, 1, loading.of("second")) == ["second"]
    with pytest.raises(ZeroDivisionError):
        cache.get("b", 1, 1, lambda: 1 / 0)
    assert cache.get("b", 1, 1, loading.of("b")) == ["b"]
    assert list(cache.held()) == ["a", "b"]
    cache.keep(lambda key: key == "b")
    assert list(cache.held()) == ["b"]


def test_the_bound_holds_during_a_burst_of_threads() -> None:
    cache, lock = Cache(2), threading.Lock()
    alive: set[int] = set()
    most = [0]

    def load(key: int) -> int:
        with lock:
            alive.add(key)
            held = {one for one in cache._held if one != key} | alive  # what no caller can see
            most[0] = max(most[0], len(held))
            threading.Event().wait(0.001)
            alive.discard(key)
        return key

    def ask(seed: int) -> None:
        draw = Random(seed)
        for _ in range(30):
            key = draw.randrange(20)
            assert cache.get(key, 1, 1, lambda key=key: load(key)) == key  # type: ignore[misc]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    assert most[0] <= 2
    assert len(list(cache.held())) == 2


def test_threads_that_want_the_same_wait_for_one_load_and_others_for_nothing() -> None:
    cache, loading, begun, go = Cache(3), Loading(), threading.Event(), threading.Event()
    cache.get("there", 1, 1, loading.of("there"))

    def slowly() -> str:
        begun.set()
        assert go.wait(20)
        return loading.of("slow")()  # type: ignore[no-any-return]

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(cache.get, "slow", 1, 1, slowly) for _ in range(3)]
        assert begun.wait(20)
        assert cache.get("there", 1, 1, loading.of("again")) == ["there"]
        go.set()
        assert [one.result() for one in asked] == [["slow"]] * 3
    assert loading.loaded == ["there", "slow"]
