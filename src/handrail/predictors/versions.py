"""The versions of models on disk, as they are now: folders named by whole numbers, the highest being the latest."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from handrail.core.errors import HandrailError, clipped, did_you_mean, listed
from handrail.predictors.settings import ManagedModels

NUMBER: Final = re.compile(r"\d{1,20}")
LATEST: Final = "latest"
ONLY: Final = ""
# A folder is taken when nothing in it has changed for this long: one that is being copied is not.
SETTLED_S: Final = 0.3


@dataclass(frozen=True)
class State:
    """What the files of a version are: names, sizes and times. `changed` in seconds since 1970."""

    files: tuple[tuple[str, int, int], ...]
    changed: float
    size: int

    @property
    def settled(self) -> bool:
        return abs(time.time() - self.changed) >= SETTLED_S


def names_of(models: ManagedModels) -> list[str]:
    """The names that models may be asked for by; the one model of a `path` has none."""
    if models.dir is not None:
        return sorted(path.name for path in _folders(Path(models.dir)) if not path.name.startswith("."))
    return [name for name, _ in models.paths]


def place_of(models: ManagedModels, name: str | None) -> Path:
    """Where the model of that name is. Raises HandrailError ("not_found") that says which there are."""
    if models.path is not None:
        return Path(models.path)
    names = names_of(models)
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        given = "no model is named" if name is None else f"there is no model '{clipped(str(name), 60)}'"
        near = "" if name is None else did_you_mean(str(name), names)
        raise HandrailError("not_found", given + near, f"the models are: {listed(names) or 'none'}", field="model")
    return Path(models.dir, name) if models.dir is not None and name else Path(dict(models.paths)[str(name)])


def versions_of(place: Path) -> dict[str, Path]:
    """The versions by their numbers, the latest first; under `ONLY` where a model has none."""
    numbered = {path.name: path for path in _folders(place) if NUMBER.fullmatch(path.name)}
    if numbered:
        return {number: numbered[number] for number in sorted(numbered, key=int, reverse=True)}
    return {ONLY: place} if place.exists() else {}


def wanted(versions: dict[str, Path], version: object) -> str | None:
    """The version that is asked for, None for the latest. Raises HandrailError ("not_found") for another."""
    if version is None or version == LATEST:
        return None
    if str(version) in versions:
        return str(version)
    problem = f"there is no version '{clipped(str(version), 40)}'"
    mend = f"the versions are: {listed(filter(None, versions)) or 'none'}"
    raise HandrailError("not_found", problem, mend, field="version")


def state_of(place: Path) -> State | None:
    """What the files are now; None when they are gone."""
    try:
        found = sorted(_stats(place, ""))
    except OSError:
        return None
    changed = max((change for *_, change in found), default=0) / 1e9
    files = tuple((name, size, time_ns) for name, size, time_ns, _ in found)
    return State(files, changed, sum(size for name, size, _ in files if not name.endswith("/")))


def _stats(place: Path, name: str) -> Iterator[tuple[str, int, int, int]]:
    """Name, size, time of the content and time of any change (which no copy can set back), in nanoseconds."""
    stat = place.stat()
    is_folder = place.is_dir()
    yield (name + "/" if is_folder else name), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
    if is_folder:
        for inside in place.iterdir():
            yield from _stats(inside, f"{name}/{inside.name}")


def _folders(place: Path) -> list[Path]:
    try:
        found = list(place.iterdir())
    except OSError:
        return []
    return [path for path in found if path.is_dir()]
