"""Names with one or more values each, as query strings, headers and forms have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any


class MultiDict(Mapping[str, Any]):
    """Reads as a dict in which the last value of a name counts; `getlist` gives them all.

    `fold` is applied to names that are asked for: `str.lower` where case does not matter.
    """

    def __init__(self, pairs: Iterable[tuple[str, Any]] = (), fold: Callable[[str], str] = str) -> None:
        self._pairs = [(fold(name), value) for name, value in pairs]
        self._last = dict(self._pairs)
        self._fold = fold

    def __getitem__(self, name: str) -> Any:
        return self._last[self._fold(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._last)

    def __len__(self) -> int:
        return len(self._last)

    def getlist(self, name: str) -> list[Any]:
        """All values of a name, in their order; none where it is not there."""
        wanted = self._fold(name)
        return [value for found, value in self._pairs if found == wanted]

    def multi_items(self) -> list[tuple[str, Any]]:
        """All names with their values, in their order."""
        return list(self._pairs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._pairs!r})"
