"""The exact loss and the one over few tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from handrail.finetuning import losses
from handrail.finetuning.losses import (
    exact_loss,
    exact_losses,
    restricted_loss,
    restriction_cost,
    vocabulary_of,
)


def drawn(
    vocabulary: int = 3_000, width: int = 16, places: int = 64
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(places, width, generator=draw)
    head = torch.randn(vocabulary, width, generator=draw) * 0.3
    return hidden, head, torch.randint(0, 500, (places,), generator=draw)


def test_with_all_others_looked_at_both_losses_are_the_same() -> None:
    hidden, head, targets = drawn(vocabulary=900)
    vocabulary = vocabulary_of(np.arange(500), 900)
    exact, restricted = exact_loss(hidden, head, targets), restricted_loss(hidden, head, targets, vocabulary, 0)
    assert torch.allclose(exact, restricted, rtol=1e-5)


def test_with_few_of_the_others_the_loss_is_near_on_average() -> None:
    hidden, head, targets = drawn()
    vocabulary = vocabulary_of(np.arange(500), 3_000)
    exact = exact_loss(hidden, head, targets).item()
    found = [restricted_loss(hidden, head, targets, vocabulary, seed).item() for seed in range(20)]
    assert abs(np.mean(found) / exact - 1) < 0.01


def test_tokens_that_never_occur_are_trained_down_all_the_same() -> None:
    hidden, head, targets = drawn()
    head = head.requires_grad_(True)
    restricted_loss(hidden, head, targets, vocabulary_of(np.arange(500), 3_000), 0).backward()
    assert head.grad is not None
    touched = (head.grad[500:].abs().sum(dim=1) > 0).sum().item()
    assert touched == losses.NEGATIVES


def test_the_same_step_draws_the_same_others_again() -> None:
    hidden, head, targets = drawn()
    vocabulary = vocabulary_of(np.arange(500), 3_000)
    first, again, other = (restricted_loss(hidden, head, targets, vocabulary, seed).item() for seed in (7, 7, 8))
    assert first == again != other


def test_what_the_restriction_costs_is_small_where_others_are_unlikely_and_large_where_they_are_not() -> None:
    hidden, head, targets = drawn()
    vocabulary = vocabulary_of(np.arange(500), 3_000)
    likely = head.clone()
    likely[:500] += hidden.mean(dim=0) * 4
    likely[500:] *= 0.01
    _, near = restriction_cost(hidden, likely, targets, vocabulary)
    head[500:] *= 12
    _, far = restriction_cost(hidden, head, targets, vocabulary)
    assert near > 0.98 > far


@pytest.mark.parametrize("places", [0, 1, 1_300])
def test_losses_of_single_places_are_the_sum_taken_apart(places: int) -> None:
    hidden, head, targets = drawn(places=places)
    losses = exact_losses(hidden, head, targets)
    assert losses.shape == (places,)
    assert abs(losses.sum().item() - exact_loss(hidden, head, targets).item()) < 0.5
