"""Amounts as people write them: spans of time, memory, cores and shares; read from text and written again."""

from __future__ import annotations

import re
from typing import Final

TIME_UNITS_S: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
MEMORY_UNITS: Final = {
    "": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip
NUMBER: Final = r"[0-9]{1,12}(?:\.[0-9]{1,6})?"
DURATION: Final = rf"(?:{NUMBER}(?:ns|us|µs|ms|s|m|h|d))+"
MEMORY: Final = rf"{NUMBER}(?:[kKMGT]|[KMGT]i)?B?"
CORES: Final = rf"{NUMBER}m?"
PERCENT: Final = rf"{NUMBER}%"


def seconds(text: str) -> float:
    """10s, 500ms, 5m, 1h30m. Raises ValueError where it is none."""
    if re.fullmatch(DURATION, text) is None:
        raise ValueError
    parts = re.findall(rf"({NUMBER})(ns|us|µs|ms|s|m|h|d)", text)
    return sum(float(number) * TIME_UNITS_S[unit] for number, unit in parts)


def size_bytes(text: str) -> int:
    """512Mi, 2G, 1000000. Raises ValueError where it is none."""
    found = re.fullmatch(rf"({NUMBER})([kKMGT]|[KMGT]i)?B?", text)
    if found is None:
        raise ValueError
    return round(float(found[1]) * MEMORY_UNITS[found[2] or ""])


def cores(text: str) -> float:
    """500m is half a core. Raises ValueError where it is none."""
    if re.fullmatch(CORES, text) is None:
        raise ValueError
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def percents(text: str) -> float:
    """25% is 25.0. Raises ValueError where it is none."""
    if re.fullmatch(PERCENT, text) is None:
        raise ValueError
    return float(text[:-1])


def written_duration(duration_s: float) -> str:
    """`seconds` undone, with the largest units that need no fractions: 5400.0 is 1h30m."""
    milliseconds = round(duration_s * 1000)
    if milliseconds == 0:
        return "0s"
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        parts.append(f"{count}{unit}" if count else "")
    return "".join(parts)


def written_size(size: int) -> str:
    """`size_bytes` undone: 536870912 is 512Mi."""
    for unit in ("Ti", "Gi", "Mi", "Ki"):
        if size and size % MEMORY_UNITS[unit] == 0:
            return f"{size // MEMORY_UNITS[unit]}{unit}"
    return str(size)
