"""Chance that depends on nothing but a seed and two counters, so that a text comes out the same in any company."""

from __future__ import annotations

from typing import Final

MASK: Final = 2**64 - 1
STEP: Final = 0x9E3779B97F4A7C15


def chance(seed: int, index: int, place: int) -> float:
    """A number from 0 up to, and without, 1 for the token at `place` of the continuation `index`."""
    mixed = _mixed(_mixed(_mixed(seed & MASK) ^ index) ^ place)
    return (mixed >> 11) / 2**53


def _mixed(number: int) -> int:
    """Source: SplitMix64, Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"."""
    number = (number + STEP) & MASK
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB & MASK
    return number ^ (number >> 31)
