"""Who waits: clients take turns, each client's own in the order in which they came."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Waiting(Generic[Item]):
    """A queue in which a client that asks for much delays others by no more than one at a time."""

    def __init__(self) -> None:
        self._clients: OrderedDict[str, deque[Item]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._clients.values()))

    def __iter__(self) -> Iterator[Item]:
        for items in self._clients.values():
            yield from items

    def add(self, client: str, item: Item) -> None:
        self._clients.setdefault(client, deque()).append(item)

    def first(self) -> Item | None:
        """Whose turn it is, None where nobody waits."""
        return next(iter(self), None)

    def take(self) -> Item:
        """The first one, which waits no more; its client's turn comes again after all others'."""
        client, items = next(iter(self._clients.items()))
        item = items.popleft()
        self._clients.move_to_end(client)
        if not items:
            del self._clients[client]
        return item

    def remove(self, client: str, item: Item) -> None:
        """Takes back what waits, out of turn."""
        items = self._clients[client]
        items.remove(item)
        if not items:
            del self._clients[client]
