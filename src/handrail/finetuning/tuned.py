"""What a training changed of a base: whole tensors, or two small matrices whose product is added to one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np

LORA_A: Final = ".lora_a"
LORA_B: Final = ".lora_b"
# By the names of the base's tensors; LoRA's matrices with an ending.
Tuned = dict[str, np.ndarray]
Get = Callable[[str], np.ndarray]


def with_tuned(get: Get, tuned: Mapping[str, np.ndarray]) -> Get:
    """`get` of a base, with what was trained in place of, or added to, its tensors."""

    def found(name: str) -> np.ndarray:
        array = np.asarray(tuned[name] if name in tuned else get(name), np.float32)
        if name + LORA_A not in tuned:
            return array
        added: np.ndarray = tuned[name + LORA_B].astype(np.float32) @ tuned[name + LORA_A].astype(np.float32)
        return array + added

    return found


def joined(earlier: Mapping[str, np.ndarray], later: Mapping[str, np.ndarray]) -> Tuned:
    """What two trainings, one after the other, changed of the base under both.

    Matrices of both stand side by side, so that their product is the sum of both; a tensor that the later one trained
    as a whole has the earlier one's change in it.
    """
    found = dict(earlier)
    for name in later:
        owner = name.removesuffix(LORA_A).removesuffix(LORA_B)
        if owner == name:
            for ending in ("", LORA_A, LORA_B):
                found.pop(name + ending, None)
            found[name] = later[name]
        elif name.endswith(LORA_A):
            found[name] = np.concatenate([*_one(earlier, name), later[name]], axis=0)
        else:
            found[name] = np.concatenate([*_one(earlier, name), later[name]], axis=1)
    return found


def packed(tuned: Mapping[str, np.ndarray], *, halves: bool) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors to be written: whole ones in float16 where they are the larger part of a bundle."""
    for name in sorted(tuned):
        small = name.endswith((LORA_A, LORA_B)) or not halves
        yield name, tuned[name].astype(np.float32 if small else np.float16)


def _one(tensors: Mapping[str, np.ndarray], name: str) -> list[np.ndarray]:
    return [tensors[name]] if name in tensors else []
