"""What this machine trains with: found out by trying, not read from a name."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from handrail.data.memory import free_memory_bytes

# What x86 and ARM processors call it.
HALF_FLAGS: Final = frozenset(("avx512_bf16", "amx_bf16", "bf16"))
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
    """Asks the processor what it can do, and multiplies a few matrices to see how fast; a tenth of a second.

    The precision depends on the processor alone and not on how busy it is: the same machine trains to the same bits.
    """
    if torch.cuda.is_available():
        return _of_gpu()
    plain, half = (_flops(torch.device("cpu"), kind) for kind in (torch.float32, torch.bfloat16))
    if has_half():
        reason = f"bfloat16, which this processor has ({half / plain:.1f} × as fast as float32 just now)"
        return Powers("cpu", "bf16", half, free_memory_bytes(), reason)
    return Powers("cpu", "fp32", plain, free_memory_bytes(), "float32: this processor has no bfloat16 of its own")


def has_half() -> bool:
    """Whether the processor multiplies numbers in bfloat16, and torch uses that."""
    try:
        said = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", said, re.MULTILINE)
    known = set() if flags is None else set(flags[1].split())
    return bool(known & HALF_FLAGS) and bool(torch.backends.mkldnn.is_available())


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
