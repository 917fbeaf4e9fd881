"""The values that a plan is made of: what is asked, what there is to learn from, what with, and what was decided."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """A base in numbers: parameters of one block and of the table of tokens, and how wide and long it sees.

    `sides` is what goes into and comes out of all matrices of a block: matrices beside them have `rank` times as many.
    """

    blocks: int
    block_size: int
    table_size: int
    width: int
    vocabulary: int
    context: int
    sides: int

    @property
    def size(self) -> int:
        return self.blocks * self.block_size + self.table_size


@dataclass(frozen=True)
class Order:
    """What the user asked for; None: to be decided."""

    method: str | None = None
    time_s: float | None = None
    steps: int | None = None
    epochs: float | None = None
    length: int | None = None
    rate: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Material:
    """What there is to learn from, in tokens. `longest` is how long a document usually is at most."""

    tokens: int
    held_out: int
    distinct: int
    longest: int
    is_dialogue: bool = False


@dataclass(frozen=True)
class Settings:
    """Every number that the training needs. Blocks from `first` on learn; `steps` None: as many as the time allows."""

    method: str
    first: int
    rank: int
    rate: float
    decay: float
    length: int
    batch: int
    half: bool
    restricted: bool
    keeps: bool
    steps: int | None
    time_s: float | None
    evaluations: int
    seed: int


@dataclass(frozen=True)
class Plan:
    """`lines` are (word, explanation) pairs for people; `memory_bytes` and `tokens_s` are estimates."""

    settings: Settings
    lines: tuple[tuple[str, str], ...]
    memory_bytes: int
    tokens_s: float
    dialogue: bool = False
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "task": "generation", "time_s": self.settings.time_s}
