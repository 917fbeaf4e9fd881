"""What a batch is asked to do, as one value, and the folder in which it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from handrail.core.errors import HandrailError
from handrail.core.files import read_limited, write_bytes
from handrail.jobs.planning import Source, source_from

# "auto": the rows in tables, where there are some, else each file is a row.
Reads = Literal["auto", "tables", "files", "items"]
ENDINGS: Final = (".csv", ".tsv", ".jsonl", ".ndjson")
LINES_ENDINGS: Final = (".jsonl", ".ndjson")
ITEMS: Final = "items.jsonl"
FILES: Final = "files.jsonl"
# What the column is called that stands for files that are rows.
FILE_COLUMN: Final = "file"
LAYOUT: Final = "layout.json"
MAX_LAYOUT_BYTES: Final = 2**28


@dataclass(frozen=True)
class Target:
    """What answers: a model's bundle, or a snapshot of a predictor's code with its settings."""

    kind: Literal["model", "predictor"]
    name: str
    folder: str
    version: int | None = None


@dataclass(frozen=True)
class Batch:
    """`folders`: where files may be read; None: anywhere, as in a terminal. `piece_rows` None: by the number of rows.

    `path` None: the answers stay with the job. `memory_bytes`: what one worker may have (None: most of the machine's).
    `tries`: how often code is asked before rows are given up.
    """

    target: Target
    reads: Reads
    ending: str
    paths: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    folders: tuple[str, ...] | None = None
    piece_rows: int | None = None
    path: str | None = None
    raw: bool = False
    memory_bytes: int | None = None
    tries: int = 1
    config: Mapping[str, Any] = field(default_factory=dict)
    webhook: str | None = None

    @property
    def in_lines(self) -> bool:
        """Whether answers are JSON lines; else they stand beside their rows in a table."""
        return self.ending in LINES_ENDINGS

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def batch_from(plain: Mapping[str, Any]) -> Batch:
    """The inverse of `Batch.as_dict`, also after a trip through JSON."""
    folders = plain["folders"]
    lists = {name: tuple(plain[name]) for name in ("paths", "includes", "excludes")}
    target = Target(**plain["target"])
    return Batch(**{**plain, **lists, "target": target, "folders": None if folders is None else tuple(folders)})


@dataclass(frozen=True)
class Layout:
    """What a job reads and the columns that it writes: those of its rows, then those of answers."""

    sources: tuple[Source, ...]
    inputs: tuple[str, ...]
    answers: tuple[str, ...]


def write_layout(folder: Path, layout: Layout) -> None:
    """Keeps it with the job."""
    write_bytes(folder / LAYOUT, orjson.dumps(asdict(layout)), PRIVATE)


def read_layout(folder: Path) -> Layout:
    """What was kept there."""
    plain = orjson.loads(read_limited(folder / LAYOUT, MAX_LAYOUT_BYTES))
    return Layout(tuple(map(source_from, plain["sources"])), tuple(plain["inputs"]), tuple(plain["answers"]))


PRIVATE: Final = 0o600


def folder_of(home: Path, job: str) -> Path:
    """Where a job keeps its files. Its id is one of ours: nothing else names a folder."""
    if not job.isalnum():
        raise HandrailError("not_found", "there is no such job", "handrail jobs lists them")
    return home / "jobs" / job


def log_of(home: Path, api: str, job: str) -> Path:
    """Where a job's processes write what they print."""
    return home / "logs" / api / f"job-{job}.log"


def part_of(folder: Path, position: int, rows: int) -> Path:
    """The answers of one piece. A piece that was split has other parts, so no two ever claim one name."""
    return folder / "parts" / f"{position:012d}-{rows}"
