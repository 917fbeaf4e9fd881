"""Stop strings in a text that comes in pieces: never told, not even half."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Watches a text. What may be the beginning of a stop string is kept back until that is decided."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [(stop, _borders(stop)) for stop in stops]
        self._matched = [0] * len(self._stops)
        self._kept = ""
        self.is_met = False

    def feed(self, text: str) -> str:
        """What is certain now; after the first stop string nothing is."""
        if not self._stops or self.is_met:
            return "" if self.is_met else text
        whole = self._kept + text
        for place, char in enumerate(text, len(self._kept) + 1):
            if length := self._advance(char):
                self.is_met = True
                self._kept = ""
                return whole[: place - length]
        certain = len(whole) - max(self._matched)
        self._kept = whole[certain:]
        return whole[:certain]

    def rest(self) -> str:
        """What was kept back, where nothing follows any more."""
        rest, self._kept = self._kept, ""
        return rest

    def _advance(self, char: str) -> int:
        """How long the longest stop string is that ends with `char`; 0 where none does.

        Each character is looked at a constant number of times, whatever the strings are.
        Source: Knuth, Morris and Pratt 1977.
        """
        met = 0
        for number, (stop, borders) in enumerate(self._stops):
            matched = self._matched[number]
            while matched and stop[matched] != char:
                matched = borders[matched - 1]
            matched += stop[matched] == char
            if matched == len(stop):
                met = max(met, matched)
                matched = borders[matched - 1]
            self._matched[number] = matched
        return met


def _borders(stop: str) -> list[int]:
    """For each beginning of `stop`, the length of its longest proper beginning that is also its end."""
    borders = [0] * len(stop)
    for place in range(1, len(stop)):
        matched = borders[place - 1]
        while matched and stop[matched] != stop[place]:
            matched = borders[matched - 1]
        borders[place] = matched + (stop[matched] == stop[place])
    return borders
