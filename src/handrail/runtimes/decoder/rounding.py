"""Rounds matrices to whole numbers of 8 or 4 bits, in blocks that share a scale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

# Numbers that share a scale, at most: 128 numbers of 8 bits are multiplied in 14 % less time than 64, and 4 bits are
# too coarse for more.
LONGEST_BLOCK: Final = {8: 128, 4: 32}
# What goes into the last matrix of a block's inner layer has numbers far out, and they are rounded block by block, too:
# 128 there cost 1.3 % of SmolLM2's perplexity, 64 cost 0.8 %.
LONGEST_INNER: Final = {8: 64, 4: 32}
# Longer blocks are multiplied two rows at a time, and a row that is left over is rounded in another way.
LONGEST_SINGLE: Final = {8: 64, 4: 32}
# So many rows are rounded at a time, which keeps what lies between small.
ROWS_AT_ONCE: Final = 1024
# A grid that is met so much better than our own is the one that the numbers were rounded to before.
MUCH_NEARER: Final = 0.25


def block_of(inner: int, longest: int) -> int | None:
    """How many numbers share a scale, `longest` at most, where `inner` are to be cut without a rest."""
    return next((size for size in (128, 64, 32, 16) if size <= longest and inner % size == 0), None)


def rounded(name: str, weight: np.ndarray, bits: int) -> Iterator[tuple[str, np.ndarray]]:
    """(out, in) as whole numbers: out × blocks × bytes, and a scale for each block; symmetric about half of the range.

    Numbers of 4 bits that have been rounded before, as in most GGUF files, keep the grid of that time: their blocks
    have a least number, too, as (blocks, out), of what is to be added to the symmetric ones.
    """
    longest = LONGEST_INNER if name.endswith(".down") else LONGEST_BLOCK
    block = block_of(weight.shape[1], longest[bits]) or 32
    grid = _near if bits == 4 and _was_rounded(weight, block) else _symmetric
    rows, blocks = weight.shape[0], -(-weight.shape[1] // block)
    values = np.empty((rows, blocks, block * bits // 8), dtype=np.uint8)
    scales, added = (np.zeros((rows, blocks), dtype=np.float32) for _ in range(2))
    for begin in range(0, rows, ROWS_AT_ONCE):
        some = slice(begin, begin + ROWS_AT_ONCE)
        whole, scales[some], added[some] = grid(_grouped(weight[some], block), bits)
        values[some] = (whole[..., 0::2] | (whole[..., 1::2] << 4)) if bits == 4 else whole
    yield f"{name}.q{bits}", values
    yield f"{name}.s", scales
    if grid is _near:
        yield f"{name}.m", np.ascontiguousarray(added.T)


def _grouped(weight: np.ndarray, block: int) -> np.ndarray:
    blocks = -(-weight.shape[1] // block)
    padded = np.pad(weight, ((0, 0), (0, blocks * block - weight.shape[1])))
    return padded.reshape(-1, blocks, block)


def _was_rounded(weight: np.ndarray, block: int) -> bool:
    """Whether the first rows lie on a grid of 16 steps between the least and the greatest number of each block."""
    if weight.shape[1] % block:
        return False
    grouped = _grouped(weight[:64], block)
    near, ours = (_distance(grouped, *grid(grouped, 4)) for grid in (_near, _symmetric))
    return near < MUCH_NEARER * ours


def _distance(grouped: np.ndarray, whole: np.ndarray, scales: np.ndarray, added: np.ndarray) -> float:
    found = (whole.astype(np.float32) - 8) * scales[..., None] + added[..., None]
    return float(np.square(found - grouped).sum())


def _symmetric(grouped: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whole numbers, scales, and 0 to be added. The number farthest from 0 in a block is met exactly."""
    half = 1 << (bits - 1)
    low, high = grouped.min(axis=-1), grouped.max(axis=-1)
    scales = np.where(high > -low, high, low) / np.float32(-half)
    scales[scales == 0] = 1
    values = np.clip(np.rint(grouped / scales[..., None]) + half, 0, 2 * half - 1).astype(np.uint8)
    return values, scales, np.zeros_like(scales)


def _near(grouped: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `_symmetric`, but the least and the greatest number of a block are met."""
    top = (1 << bits) - 1
    low, high = grouped.min(axis=-1), grouped.max(axis=-1)
    scales = (high - low) / np.float32(top)
    scales[scales == 0] = 1
    values = np.clip(np.rint((grouped - low[..., None]) / scales[..., None]), 0, top).astype(np.uint8)
    return values, scales, low + scales * np.float32((top + 1) // 2)
