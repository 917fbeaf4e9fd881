"""The kinds of numbers in GGUF files, and how their blocks become float32 again.

A block is some packed whole numbers with scales. Each function takes blocks as (blocks, bytes) uint8 and gives
(blocks, numbers) float32. Source: the struct definitions of the format, ggml-common.h.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

Blocks = np.ndarray
# So many blocks are opened at a time, which keeps what lies between small.
AT_ONCE: Final = 2**15


@dataclass(frozen=True)
class Kind:
    """One way to keep numbers: `numbers` of them in `room` bytes."""

    name: str
    numbers: int
    room: int
    open: Callable[[Blocks], np.ndarray]

    def numbers_of(self, content: bytes) -> np.ndarray:
        """The numbers of whole blocks, float32, one behind the other."""
        blocks = np.frombuffer(content, dtype=np.uint8).reshape(-1, self.room)
        found = np.empty((len(blocks), self.numbers), dtype=np.float32)
        for begin in range(0, len(blocks), AT_ONCE):
            with np.errstate(over="ignore", invalid="ignore"):  # What is not finite is refused by the reader.
                found[begin : begin + AT_ONCE] = self.open(blocks[begin : begin + AT_ONCE])
        return found.reshape(-1)


def _plain(element: str) -> Callable[[Blocks], np.ndarray]:
    def opened(blocks: Blocks) -> np.ndarray:
        return np.ascontiguousarray(blocks).view(element).astype(np.float32)

    return opened


def _bf16(blocks: Blocks) -> np.ndarray:
    return (np.ascontiguousarray(blocks).view("<u2").astype(np.uint32) << 16).view(np.float32)


def _q8_0(blocks: Blocks) -> np.ndarray:
    scale, values = _half(blocks, 0), np.ascontiguousarray(blocks[:, 2:]).view(np.int8)
    return _rows(scale * values)


def _q4_0(blocks: Blocks) -> np.ndarray:
    return _rows(_half(blocks, 0) * (_nibbles(blocks[:, 2:]).astype(np.float32) - 8))


def _q4_1(blocks: Blocks) -> np.ndarray:
    return _rows(_half(blocks, 0) * _nibbles(blocks[:, 4:]) + _half(blocks, 2))


def _q5_0(blocks: Blocks) -> np.ndarray:
    values = _nibbles(blocks[:, 6:]) | _fifth_bits(blocks[:, 2:6])
    return _rows(_half(blocks, 0) * (values.astype(np.float32) - 16))


def _q5_1(blocks: Blocks) -> np.ndarray:
    values = _nibbles(blocks[:, 8:]) | _fifth_bits(blocks[:, 4:8])
    return _rows(_half(blocks, 0) * values + _half(blocks, 2))


def _q2_k(blocks: Blocks) -> np.ndarray:
    scales, packed = blocks[:, :16], blocks[:, 16:80]
    factor = _half(blocks, 80) * (scales & 15)
    least = _half(blocks, 82) * (scales >> 4)
    values = _planes(packed, 32, (0, 2, 4, 6), 3).reshape(-1, 16, 16)
    return _rows(factor[:, :, None] * values - least[:, :, None])


def _q3_k(blocks: Blocks) -> np.ndarray:
    high, packed, scales = blocks[:, :32], blocks[:, 32:96], _six_bits(blocks[:, 96:108])
    factor = _half(blocks, 108) * (scales.astype(np.float32) - 32)
    values = _planes(packed, 32, (0, 2, 4, 6), 3).astype(np.int8)
    present = _planes(high, 32, range(8), 1)
    values = (values - 4 * (1 - present).astype(np.int8)).reshape(-1, 16, 16)
    return _rows(factor[:, :, None] * values)


def _q4_k(blocks: Blocks) -> np.ndarray:
    factor, least = _scales_and_leasts(blocks)
    values = _planes(blocks[:, 16:], 32, (0, 4), 15).reshape(-1, 8, 32)
    return _rows(factor[:, :, None] * values - least[:, :, None])


def _q5_k(blocks: Blocks) -> np.ndarray:
    factor, least = _scales_and_leasts(blocks)
    values = _planes(blocks[:, 48:], 32, (0, 4), 15) | _planes(blocks[:, 16:48], 32, range(8), 1) << 4
    values = values.reshape(-1, 8, 32)
    return _rows(factor[:, :, None] * values - least[:, :, None])


def _q6_k(blocks: Blocks) -> np.ndarray:
    low, high = _planes(blocks[:, :128], 64, (0, 4), 15), _planes(blocks[:, 128:192], 32, (0, 2, 4, 6), 3)
    scales = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8)
    values = (low | high << 4).astype(np.float32).reshape(-1, 16, 16) - 32
    return _rows((_half(blocks, 208) * scales)[:, :, None] * values)


def _rows(values: Any) -> np.ndarray:
    """One row for each block again."""
    return np.asarray(values, dtype=np.float32).reshape(len(values), -1)


def _half(blocks: Blocks, place: int) -> np.ndarray:
    """The float16 at a place of each block: (blocks, 1) float32."""
    return np.ascontiguousarray(blocks[:, place : place + 2]).view("<f2").astype(np.float32)


def _nibbles(packed: Blocks) -> np.ndarray:
    """Low halves of all bytes, then the high ones."""
    return np.concatenate([packed & 15, packed >> 4], axis=1)


def _fifth_bits(packed: Blocks) -> np.ndarray:
    return np.unpackbits(packed, axis=1, bitorder="little") << 4


def _planes(packed: Blocks, width: int, shifts: tuple[int, ...] | range, mask: int) -> np.ndarray:
    """Runs of `width` bytes, each opened once for every shift: (blocks, numbers)."""
    runs = packed.reshape(len(packed), -1, 1, width) >> np.array(shifts, np.uint8).reshape(1, 1, -1, 1)
    return np.asarray(runs & np.uint8(mask)).reshape(len(packed), -1)


def _six_bits(packed: Blocks) -> np.ndarray:
    """Sixteen numbers of six bits in twelve bytes, as Q3_K keeps them: four low bits, and two high ones behind."""
    low = np.concatenate([packed[:, :8] & 15, packed[:, :8] >> 4], axis=1)
    high = np.concatenate([packed[:, 8:] >> shift & 3 for shift in (0, 2, 4, 6)], axis=1)
    return np.asarray(low | high << 4)


def _scales_and_leasts(blocks: Blocks) -> tuple[np.ndarray, np.ndarray]:
    """What Q4_K and Q5_K multiply with and subtract: (blocks, 8) each, of six bits in twelve bytes."""
    first, second, third = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scales = np.concatenate([first & 63, third & 15 | first >> 6 << 4], axis=1)
    leasts = np.concatenate([second & 63, third >> 4 | second >> 6 << 4], axis=1)
    return _half(blocks, 0) * scales, _half(blocks, 2) * leasts


KINDS: Final[dict[int, Kind]] = {
    0: Kind("F32", 1, 4, _plain("<f4")),
    1: Kind("F16", 1, 2, _plain("<f2")),
    2: Kind("Q4_0", 32, 18, _q4_0),
    3: Kind("Q4_1", 32, 20, _q4_1),
    6: Kind("Q5_0", 32, 22, _q5_0),
    7: Kind("Q5_1", 32, 24, _q5_1),
    8: Kind("Q8_0", 32, 34, _q8_0),
    10: Kind("Q2_K", 256, 84, _q2_k),
    11: Kind("Q3_K", 256, 110, _q3_k),
    12: Kind("Q4_K", 256, 144, _q4_k),
    13: Kind("Q5_K", 256, 176, _q5_k),
    14: Kind("Q6_K", 256, 210, _q6_k),
    30: Kind("BF16", 1, 2, _bf16),
}
