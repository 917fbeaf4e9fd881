"""Small matrices beside frozen ones: what they compute, and what they learn from."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from handrail.finetuning.lora import SCALE, Beside, put_beside


def matrix(kind: str) -> nn.Module:
    torch.manual_seed(0)
    part = Conv1D(24, 16) if kind == "turned" else nn.Linear(16, 24, bias=kind == "biased")
    return part.requires_grad_(False)


def plainly(beside: Beside, given: torch.Tensor) -> torch.Tensor:
    return beside.base_layer(given) + SCALE * (given @ beside.lora_A.t()) @ beside.lora_B.t()


KINDS = pytest.mark.parametrize("kind", ["plain", "biased", "turned"])


@KINDS
def test_nothing_changes_before_something_is_learnt(kind: str) -> None:
    part, given = matrix(kind), torch.randn(2, 5, 16)
    assert torch.allclose(Beside(part, 4)(given), part(given), atol=1e-6)


@KINDS
def test_values_and_gradients_are_those_of_the_formula(kind: str) -> None:
    beside = Beside(matrix(kind), 4)
    nn.init.normal_(beside.lora_B)
    found = []
    for compute in (beside, lambda given: plainly(beside, given)):
        given = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
        made = compute(given)
        beside.zero_grad()
        (made * torch.linspace(-1, 1, 24)).sum().backward()
        found.append((made, given.grad, beside.lora_A.grad, beside.lora_B.grad))
    for ours, expected in zip(*found, strict=True):
        assert torch.allclose(ours, expected, atol=1e-4)


def test_frozen_matrices_in_half_precision_learn_in_full() -> None:
    beside = Beside(matrix("plain").to(torch.bfloat16), 4)
    beside(torch.randn(3, 16)).sum().backward()
    assert beside.lora_B.grad is not None
    assert beside.lora_B.grad.dtype == torch.float32


def test_all_matrices_of_a_block_get_company_and_nothing_else() -> None:
    block = nn.ModuleDict(
        {"attention": nn.ModuleDict({"q": nn.Linear(8, 8)}), "up": nn.Linear(8, 16), "norm": nn.LayerNorm(8)}
    )
    put_beside(block, 2)
    assert isinstance(block["attention"]["q"], Beside)
    assert isinstance(block["up"], Beside)
    assert isinstance(block["norm"], nn.LayerNorm)
