"""The steps from what is deployed to what is asked for, each with its reasons in words. Nothing is done here.

An API that is as asked is kept; one of which only its surroundings change (`ADJUSTED`) is adjusted, its processes stay;
everything else is an update, which brings new processes. Others that are deployed are left alone, unless `prune`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from itertools import chain
from typing import Any, Final, Literal

from handrail.core.errors import HandrailError, clipped
from handrail.deploy.amounts import written_duration, written_size
from handrail.deploy.spec import ApiSpec, Share

Do = Literal["create", "update", "adjust", "keep", "delete"]

# What the gateway does alone: no process that answers knows of it.
ADJUSTED: Final = (
    "autoscaling", "endpoint", "keys", "limits.timeout_s", "monitoring", "port", "schedule", "traffic",
    "update_strategy",
)  # fmt: skip
# Values that may be secrets are not shown: steps are printed and logged.
UNSHOWN: Final = ("env.", "predictor.config.")
NAMED: Final = (*UNSHOWN, "traffic.")
BYTES: Final = ("mem", "cache_bytes")
MISSING: Final = object()
AGAIN: Final = {"failed": "it failed, and is tried again", "stopped": "it was stopped"}


@dataclass(frozen=True)
class Desired:
    """An API as asked for. `digest` tells the contents of its model's folder or its code from others."""

    spec: ApiSpec
    digest: str


@dataclass(frozen=True)
class Actual:
    """An API that is deployed: what was promoted last, and how it stands (`live`, `failed`, …)."""

    spec: ApiSpec
    digest: str
    state: str = "live"


@dataclass(frozen=True)
class Step:
    """One thing to do to one API."""

    do: Do
    api: str
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """One value that is to be another. `path` is that of the fields, `text` in the words of the file."""

    path: str
    text: str


def plan(desired: Sequence[Desired], actual: Sequence[Actual], prune: bool = False) -> list[Step]:
    """In the order in which they are to be taken: a splitter comes after the APIs it names, and goes before them."""
    _refuse_twins(desired)
    there = {one.spec.name: one for one in actual}
    steps = [_step(one, there.get(one.spec.name)) for one in sorted(desired, key=lambda one: _is_splitter(one.spec))]
    return [*steps, *_deletions(desired, actual)] if prune else steps


def changes(before: ApiSpec, after: ApiSpec) -> list[Change]:
    """What differs, in the order of the fields."""
    return list(_changes(before, after, ""))


def _refuse_twins(desired: Sequence[Desired]) -> None:
    names = [one.spec.name for one in desired]
    for name in names:
        if names.count(name) > 1:
            raise HandrailError(
                "usage", f"'{name}' is asked for twice", "give each API a name of its own", field="name"
            )


def _is_splitter(spec: ApiSpec) -> bool:
    return spec.kind == "TrafficSplitter"


def _deletions(desired: Sequence[Desired], actual: Sequence[Actual]) -> list[Step]:
    asked = {one.spec.name for one in desired}
    gone = [one.spec for one in actual if one.spec.name not in asked]
    gone.sort(key=lambda spec: (not _is_splitter(spec), spec.name))
    return [Step("delete", spec.name, ("it is not asked for any more",)) for spec in gone]


def _step(desired: Desired, actual: Actual | None) -> Step:
    name = desired.spec.name
    if actual is None:
        return Step("create", name, (_source(desired.spec),))
    found = changes(actual.spec, desired.spec)
    why = [change.text for change in found]
    if _source(actual.spec) == _source(desired.spec) and actual.digest != desired.digest:
        why.insert(0, _other_contents(desired.spec))
    elif all(_is_adjusted(change.path) for change in found) and actual.state not in AGAIN:
        return Step("adjust" if found else "keep", name, tuple(why))
    if actual.state in AGAIN:
        why.append(AGAIN[actual.state])
    return Step("update", name, tuple(why))


def _source(spec: ApiSpec) -> str:
    """What it answers from."""
    if spec.predictor is not None:
        return f"predictor {spec.predictor.path}"
    if spec.model is not None:
        return f"model {spec.model}"
    return f"traffic to {', '.join(share.name for share in spec.traffic)}"


def _other_contents(spec: ApiSpec) -> str:
    return f"the code beside {spec.predictor.path} changed" if spec.predictor else f"{_source(spec)} has other contents"


def _is_adjusted(path: str) -> bool:
    return any(path == one or path.startswith(f"{one}.") for one in ADJUSTED)


def _changes(before: Any, after: Any, path: str) -> Iterator[Change]:
    """Of values at `path`: of their parts, where both have parts."""
    if before == after:
        return
    old, new = _parts(before, path), _parts(after, path)
    if old is None or new is None:
        yield Change(path, f"{_in_file(path)} {_became(before, after, path)}")
        return
    names = dict.fromkeys((*old, *new))
    found = [list(_changes(old.get(name, MISSING), new.get(name, MISSING), _joined(path, name))) for name in names]
    yield from chain.from_iterable(found) if any(found) else [Change(path, f"{path} in another order")]


def _parts(value: Any, path: str) -> dict[str, Any] | None:
    if path == "traffic":
        return {share.name: share for share in value}
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return {str(key): part for key, part in value.items()} if isinstance(value, Mapping) else None


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _in_file(path: str) -> str:
    """Durations are written with their unit, so their names have none. Names that users chose stay as they are."""
    return path if path.startswith(NAMED) else path.removesuffix("_s")


def _became(before: Any, after: Any, path: str) -> str:
    if before is MISSING or (before is None and is_dataclass(after)):
        return f"added{_details(after)}"
    if after is MISSING or (after is None and is_dataclass(before)):
        return "removed"
    if path.startswith(UNSHOWN):
        return "changed"
    return f"{_words(before, path)} → {_words(after, path)}"


def _details(added: Any) -> str:
    if not isinstance(added, Share):
        return ""
    parts = [f"{added.weight:g} %"] if added.weight or not added.header else []
    parts += [f"header {added.header}"] if added.header else []
    return f": {', '.join([*parts, 'shadow'] if added.shadow else parts)}"


def _words(value: Any, path: str) -> str:
    """A value as it stands in the file."""
    if value is None or value == ():
        return "none"
    if path.endswith("_s"):
        return written_duration(value)
    if path.rpartition(".")[2] in BYTES:
        return written_size(value)
    if isinstance(value, tuple):
        return clipped(", ".join("=".join(one) if isinstance(one, tuple) else str(one) for one in value), 60)
    return f"{value:g}" if isinstance(value, float) else clipped(str(value), 60)
