"""Penalties on tokens that have occurred, kept up to date token by token."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from handrail.generate.settings import Settings


class Penalties:
    """What has occurred in one continuation, and what that costs.

    Repetition divides a positive logit and multiplies a negative one, for tokens of the prompt and of what was
    written (Keskar et al. 2019); presence and frequency are subtracted, for what was written only (OpenAI).
    """

    def __init__(self, settings: Settings, prompt: np.ndarray) -> None:
        self._repetition = settings.repetition_penalty
        self._presence, self._frequency = settings.presence_penalty, settings.frequency_penalty
        self._places: dict[int, int] = {}
        known = np.unique(prompt)
        self._tokens = np.zeros(len(known) + 64, np.int64)
        self._counts = np.zeros(len(known) + 64, np.float32)
        for token in known.tolist():
            self._place(token)

    def count(self, tokens: Iterable[int]) -> None:
        """These tokens were written."""
        for token in tokens:
            place = self._place(token)
            self._counts[place] += 1

    def apply(self, logits: np.ndarray) -> None:
        """Changes `logits` (vocabulary,) in place."""
        tokens, counts = self._tokens[: len(self._places)], self._counts[: len(self._places)]
        found = logits[tokens]
        if self._repetition != 1:
            found = np.where(found > 0, found / self._repetition, found * self._repetition)
        found -= self._frequency * counts + self._presence * (counts > 0)
        logits[tokens] = found

    def _place(self, token: int) -> int:
        place = self._places.setdefault(token, len(self._places))
        if place == len(self._tokens):
            self._tokens = np.concatenate([self._tokens, np.zeros_like(self._tokens)])
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        self._tokens[place] = token
        return place


def penalties_for(settings: Settings, prompt: np.ndarray) -> Penalties | None:
    """None where nothing is penalised."""
    is_needed = settings.repetition_penalty != 1 or settings.presence_penalty or settings.frequency_penalty
    return Penalties(settings, prompt) if is_needed else None
