"""How wrong a network foretells the next token: exactly, or over the tokens of the data and a few others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch.nn import functional

# Tokens that do not occur in the data, drawn anew in each step, stand for all others.
NEGATIVES: Final = 512
# Below this share of the vocabulary the restricted softmax is worth its trouble.
WORTH_SHARE: Final = 0.5
# The restricted loss may pull hidden values this much elsewhere than the exact one does (1: in the same direction).
LEAST_COSINE: Final = 0.98
# Logits of so many places are held at once where the whole vocabulary is looked at.
PLACES: Final = 512


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that a restricted softmax looks at: those `kept` always, and some of the `others`."""

    kept: torch.Tensor  # (kept,) int64, sorted
    others: torch.Tensor  # (vocabulary - kept,) int64
    places: torch.Tensor  # (vocabulary,) int64: where a kept token stands among them, -1 for others


def vocabulary_of(tokens: np.ndarray, size: int) -> Vocabulary:
    """The tokens of the data, and the rest."""
    kept = np.unique(tokens)
    others = np.setdiff1d(np.arange(size), kept)
    places = np.full(size, -1, np.int64)
    places[kept] = np.arange(len(kept))
    return Vocabulary(torch.from_numpy(kept.astype(np.int64)), torch.from_numpy(others), torch.from_numpy(places))


def exact_loss(hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The sum over all places of -ln p(target), from hidden values (places, width) and the head (vocabulary, width)."""
    logits = functional.linear(hidden, head).float()  # (places, vocabulary)
    return functional.cross_entropy(logits, targets, reduction="sum")


def restricted_loss(
    hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, vocabulary: Vocabulary, seed: int
) -> torch.Tensor:
    """What `exact_loss` estimates to be, from the kept tokens and a few others.

    Each of the few counts for as many as it stands for, so that the sum under the softmax is met on average, and
    tokens that never occur are trained down all the same (sampled softmax: https://arxiv.org/abs/1412.2007).
    """
    logits = functional.linear(hidden, head[vocabulary.kept]).float()  # (places, kept)
    if len(vocabulary.others):
        few = min(NEGATIVES, len(vocabulary.others))
        drawn = np.random.default_rng([seed, 23]).choice(len(vocabulary.others), few, replace=False)
        others = vocabulary.others[torch.from_numpy(drawn)]
        more = functional.linear(hidden, head[others]).float()  # (places, few)
        logits = torch.cat((logits, more + float(np.log(len(vocabulary.others) / few))), dim=1)
    return functional.cross_entropy(logits, vocabulary.places[targets], reduction="sum")


def restriction_cost(
    hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, vocabulary: Vocabulary
) -> tuple[float, float]:
    """How the restricted loss compares with the exact one on some places: (difference in nats, cosine of gradients)."""
    found = []
    for restricted in (False, True):
        given = hidden.detach().float().requires_grad_(True)
        weights = head.detach().float()
        loss = (
            restricted_loss(given, weights, targets, vocabulary, 0)
            if restricted
            else exact_loss(given, weights, targets)
        ) / len(targets)
        loss.backward()
        found.append((loss.item(), given.grad.flatten()))
    (exact, direction), (estimate, other) = found
    return estimate - exact, functional.cosine_similarity(direction, other, dim=0).item()


def exact_losses(hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """-ln p(target) of each place, (places,), without gradients and a few places at a time."""
    found = []
    with torch.no_grad():
        for start in range(0, max(1, len(targets)), PLACES):
            part = slice(start, start + PLACES)
            logits = functional.linear(hidden[part], head).float()  # (places, vocabulary)
            found.append(functional.cross_entropy(logits, targets[part], reduction="none"))
    return torch.cat(found)
