"""Loaded models, the least recently used going first: never more of them, or larger ones, than was allowed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Held:
    """A loaded model, and what it was loaded from."""

    value: Any
    state: Hashable
    size: int


class Cache:
    """At most `count` values of `size_bytes` together, those that are being loaded among them; None: any number.

    Room is made before a value is loaded, so the bounds hold during a burst, too. Threads that ask for the same value
    wait for one load; those that ask for one that is held wait for nothing.
    """

    def __init__(self, count: int | None = None, size_bytes: int | None = None) -> None:
        self._count = count
        self._size_bytes = size_bytes
        self._held: OrderedDict[Hashable, Held] = OrderedDict()
        self._loading: dict[Hashable, int] = {}
        self._changed = threading.Condition()

    def peek(self, key: Hashable) -> Held | None:
        """What is held under a key, without using it."""
        with self._changed:
            return self._held.get(key)

    def get(self, key: Hashable, state: Hashable, size: int, load: Callable[[], Any]) -> Any:
        """The value that was loaded from this state; `load` makes it where it is not held."""
        with self._changed:
            while True:
                held = self._held.get(key)
                if held is not None and held.state == state:
                    self._held.move_to_end(key)
                    return held.value
                if key not in self._loading and self._has_room(key, size):
                    break
                self._changed.wait()
            self._held.pop(key, None)
            self._loading[key] = size
            del held  # what is replaced is let go before its successor is there
        return self._loaded(key, state, size, load)

    def keep(self, wanted: Callable[[Hashable], bool]) -> None:
        """Lets go of what is wanted no more."""
        with self._changed:
            for key in [key for key in self._held if not wanted(key)]:
                del self._held[key]
            self._changed.notify_all()

    def held(self) -> Iterable[Hashable]:
        """What is held, the least recently used first."""
        with self._changed:
            return list(self._held)

    def _loaded(self, key: Hashable, state: Hashable, size: int, load: Callable[[], Any]) -> Any:
        try:
            value = load()
        except BaseException:
            with self._changed:
                del self._loading[key]
                self._changed.notify_all()
            raise
        with self._changed:
            del self._loading[key]
            self._held[key] = Held(value, state, size)
            self._changed.notify_all()
        return value

    def _has_room(self, key: Hashable, size: int) -> bool:
        """Makes room, and says whether there is some. A value that is too large alone may still be loaded alone."""
        while self._is_full(key, size):
            oldest = next((one for one in self._held if one != key), None)
            if oldest is None:
                return not self._loading
            del self._held[oldest]
        return True

    def _is_full(self, key: Hashable, size: int) -> bool:
        others = [held.size for one, held in self._held.items() if one != key]
        sizes = [*others, *self._loading.values()]
        too_many = self._count is not None and len(sizes) >= self._count
        return too_many or (self._size_bytes is not None and sum(sizes) + size > self._size_bytes)
