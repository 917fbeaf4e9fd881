"""Small matrices that learn beside frozen ones (LoRA, https://arxiv.org/abs/2106.09685).

Why not peft's: with a product of our own a step of SmolLM2-135M takes four fifths of the time, because what goes in
and out of the small matrices is rounded and added in no passes of its own.
"""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import nn

# What the product of the small matrices is multiplied with.
SCALE: Final = 2.0


class Beside(nn.Module):  # type: ignore[misc]
    """A frozen matrix and what learns beside it: (W + SCALE · B A) x + bias; A (rank, in), B (out, rank)."""

    def __init__(self, base: nn.Module, rank: int) -> None:
        super().__init__()
        self.base_layer: Any = base
        self.is_turned = is_turned(base)
        out, inner = self._matrix().shape
        self.lora_A = nn.Parameter(torch.empty(rank, inner))
        self.lora_B = nn.Parameter(torch.zeros(out, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """(…, in) → (…, out), in the precision of the frozen matrix."""
        matrix = self._matrix()
        made: torch.Tensor = _Product.apply(given.to(matrix.dtype), matrix, self.lora_A, self.lora_B)
        return made if self.base_layer.bias is None else made + self.base_layer.bias

    def _matrix(self) -> torch.Tensor:
        weight: torch.Tensor = self.base_layer.weight
        return weight.t() if self.is_turned else weight  # (out, in)


def is_matrix(part: nn.Module) -> bool:
    """Whether a part of a network is one that `Beside` can stand beside."""
    return isinstance(part, nn.Linear) or is_turned(part)


def is_turned(part: nn.Module) -> bool:
    """Whether a matrix is kept as (in, out), as GPT-2's are."""
    return type(part).__name__ == "Conv1D"


def put_beside(block: nn.Module, rank: int) -> None:
    """Puts small matrices beside all matrices of a block."""
    for name, part in list(block.named_modules()):
        if is_matrix(part):
            owner, _, own = name.rpartition(".")
            setattr(block.get_submodule(owner), own, Beside(part, rank))


class _Product(torch.autograd.Function):  # type: ignore[misc]
    """x Wᵀ + SCALE · (x Aᵀ) Bᵀ, and gradients for x, A and B."""

    @staticmethod
    def forward(ctx: Any, given: torch.Tensor, matrix: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        rows = given.reshape(-1, given.shape[-1])  # (rows, in)
        a, b = a.to(rows.dtype), (SCALE * b).to(rows.dtype)
        small = rows @ a.t()  # (rows, rank)
        ctx.save_for_backward(rows, small, matrix, a, b)
        return torch.addmm(rows @ matrix.t(), small, b.t()).view(*given.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, small, matrix, a, b = ctx.saved_tensors
        (grad,) = grads
        out = grad.reshape(-1, grad.shape[-1])  # (rows, out)
        inner = out @ b  # (rows, rank)
        back = (out @ matrix).addmm_(inner, a).view(*grad.shape[:-1], -1) if ctx.needs_input_grad[0] else None
        return back, None, (inner.t() @ rows).float(), SCALE * (out.t() @ small).float()
