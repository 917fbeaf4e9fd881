"""A network in training: what it computes of rows of tokens, and what is remembered of it between steps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from handrail.core.events import Tell, Warned
from handrail.finetuning.corpus import Rows
from handrail.finetuning.losses import (
    LEAST_COSINE,
    Vocabulary,
    exact_loss,
    exact_losses,
    restricted_loss,
    restriction_cost,
)
from handrail.finetuning.methods import trained_parameters
from handrail.finetuning.network import Network, halves
from handrail.finetuning.plan_values import Settings

# Two halves of a network and the whole one may differ by this share of its hidden values.
MOST_APART: Final = 1e-2
# Hidden values of held-out rows are kept under numbers that no training row has.
HELD_OUT: Final = 2**40


@dataclass(frozen=True)
class Judged:
    """Nats a token of held-out rows over the whole vocabulary, and how far the restricted loss is below that."""

    loss: float
    drift: float


class Learner:
    """Blocks below `settings.first` are frozen: what they make of a row is computed once where it is kept."""

    def __init__(self, network: Network, settings: Settings, vocabulary: Vocabulary, tell: Tell) -> None:
        self.network, self.settings, self.vocabulary, self.tell = network, settings, vocabulary, tell
        self.trained = trained_parameters(network)
        self.device = network.head.device
        self.lower, self.upper = halves(network, settings.first)
        self.is_exact = not settings.restricted
        self.is_whole = settings.first == 0
        self.best: dict[str, torch.Tensor] = {}
        self._kept: dict[int, torch.Tensor] = {}  # number of a row → (length, width)

    def half(self) -> AbstractContextManager[Any]:
        """Where products of matrices are made in bfloat16, if the plan says so."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.settings.half)

    def check(self, rows: Rows) -> None:
        """Tries on a few rows what is to save time, and does without what is not exact enough; says so."""
        with self.half():
            if not self.is_whole:
                self._check_halves(rows)
            if not self.is_exact:
                self._check_restriction(rows)

    def loss(self, rows: Rows, numbers: np.ndarray, seed: int) -> torch.Tensor:
        """The sum of -ln p(next token) over the places that count in some training rows."""
        with self.half():
            hidden, targets = self._places(rows, numbers)  # (places, width), (places,)
            if self.is_exact:
                return exact_loss(hidden, self.network.head, targets)
            return restricted_loss(hidden, self.network.head, targets, self.vocabulary, seed)

    def judged(self, rows: Rows, stopped: Callable[[], bool]) -> Judged | None:
        """How well held-out rows are foretold; None where it was stopped meanwhile."""
        exact = known = estimate = 0.0
        places = 0
        with torch.no_grad(), self.half():
            for start in range(0, len(rows), self.settings.batch):
                if stopped():
                    return None
                part = slice(start, start + self.settings.batch)
                numbers = HELD_OUT + np.arange(len(rows))[part]
                hidden, targets = self._places(rows.some(part), numbers)
                losses = exact_losses(hidden, self.network.head, targets)  # (places,)
                exact += losses.sum().item()
                places += len(targets)
                if not self.is_exact:
                    inside = self.vocabulary.places[targets] >= 0
                    known += losses[inside].sum().item()
                    given = (hidden[inside], self.network.head, targets[inside])
                    estimate += restricted_loss(*given, self.vocabulary, start).item()
        return Judged(exact / max(1, places), (known - estimate) / max(1, places))

    def remember(self) -> None:
        """Keeps what was trained as the best so far."""
        self.best = {name: one.detach().clone() for name, one in self.trained.items()}

    def go_back(self) -> None:
        """Makes the best so far what it is now."""
        with torch.no_grad():
            for name, one in self.best.items():
                self.trained[name].copy_(one)

    def _places(self, rows: Rows, numbers: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        counted = torch.from_numpy(rows.counted).to(self.device)
        targets = torch.from_numpy(rows.targets).to(self.device)
        return self._hidden(rows, numbers)[counted], targets[counted]

    def _hidden(self, rows: Rows, numbers: np.ndarray) -> torch.Tensor:
        """What the decoder makes of rows: (rows, length, width)."""
        if self.is_whole:
            return self._through(self.network.decoder, input_ids=torch.from_numpy(rows.inputs).to(self.device))
        return self._through(self.upper, inputs_embeds=self._below(rows, numbers))

    def _below(self, rows: Rows, numbers: np.ndarray) -> torch.Tensor:
        """What the frozen blocks make of rows; looked up where that was kept."""
        found = [self._kept.get(int(number)) for number in numbers]
        if all(one is not None for one in found):
            return torch.stack([one for one in found if one is not None])
        with torch.no_grad():
            made = self._through(self.lower, input_ids=torch.from_numpy(rows.inputs).to(self.device))
        if self.settings.keeps or numbers[0] >= HELD_OUT:
            self._kept.update({int(number): row for number, row in zip(numbers, made, strict=True)})
        return made

    def _through(self, part: Any, **given: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = part(**given, use_cache=False).last_hidden_state
        return found

    def _check_halves(self, rows: Rows) -> None:
        inputs = torch.from_numpy(rows.inputs).to(self.device)
        with torch.no_grad():
            whole = self._through(self.network.decoder, input_ids=inputs).float()
            below = self._through(self.lower, input_ids=inputs)
            parts = self._through(self.upper, inputs_embeds=below).float()
        apart = ((whole - parts).norm() / whole.norm()).item()
        if not apart <= MOST_APART:
            self.is_whole = True
            self.tell(Warned(f"the halves of this base differ from the whole by {apart:.1%}: it is run as a whole"))

    def _check_restriction(self, rows: Rows) -> None:
        with torch.no_grad():
            hidden, targets = self._places(rows, np.array([-1]))
        given = (hidden, self.network.head, targets)
        with torch.autocast(self.device.type, enabled=False):
            apart, cosine = restriction_cost(*given, self.vocabulary)
        if cosine < LEAST_COSINE:
            self.is_exact = True
            said = f"its gradients differ (cosine {cosine:.3f}, loss {apart:+.3f})"
            self.tell(Warned(f"the softmax over few tokens would cost quality, {said}: all tokens are looked at"))
