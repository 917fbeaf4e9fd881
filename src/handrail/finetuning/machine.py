"""What this machine trains with: found out by trying, not read from a name."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import torch

from handrail.data.memory import free_memory_bytes

# Half precision has to be so much faster than float32, or it is not worth its rounding.
WORTH: Final = 1.3
SIZE: Final = 1024
TRIES: Final = 5


@dataclass(frozen=True)
class Powers:
    """`flops` are multiplications and additions a second, in the precision that is used: "bf16" or "fp32"."""

    device: str
    precision: str
    flops: float
    free_bytes: int
    reason: str

    @property
    def half(self) -> bool:
        return self.precision == "bf16"


def powers() -> Powers:
    """Multiplies a few matrices in both precisions and takes the better one. Takes about a tenth of a second."""
    if torch.cuda.is_available():
        return _of_gpu()
    plain, half = (_flops(torch.device("cpu"), kind) for kind in (torch.float32, torch.bfloat16))
    if half > WORTH * plain:
        reason = f"bfloat16, {half / plain:.1f} × as fast as float32 on this processor"
        return Powers("cpu", "bf16", half, free_memory_bytes(), reason)
    return Powers("cpu", "fp32", plain, free_memory_bytes(), "float32: bfloat16 is no faster on this processor")


def _of_gpu() -> Powers:
    device = torch.device("cuda")
    kind = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    free, _ = torch.cuda.mem_get_info()
    name = torch.cuda.get_device_name()
    precision = "bf16" if kind == torch.bfloat16 else "fp32"
    return Powers("cuda", precision, _flops(device, kind), free, f"{precision} on {name}")


def _flops(device: torch.device, kind: torch.dtype) -> float:
    """Of a product of matrices as blocks of small models have them; the fastest of a few tries."""
    left, right = (torch.ones(SIZE, SIZE, dtype=kind, device=device) for _ in range(2))
    taken = []
    for _ in range(TRIES):
        begun = time.perf_counter()
        (left @ right).sum().item()
        taken.append(time.perf_counter() - begun)
    return float(2 * SIZE**3 / min(taken))
