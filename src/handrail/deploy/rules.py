"""What must be true of an API beyond each value by itself: min up to max, weights up to 100, names that are free."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from handrail.core.bundle import MODEL_NAME
from handrail.core.errors import HandrailError
from handrail.deploy.problems import SHOWN, one_line
from handrail.deploy.schedule import schedule_of
from handrail.deploy.spec import ApiSpec, Autoscaling, ModelFiles, Share

# What the gateway itself answers at; nothing may be called so.
TAKEN: Final = frozenset({
    "v1", "v2", "docs", "metrics", "healthz", "readyz", "openapi.json", "summarize", "summarize_by_ratio",
    "summarize_by_sentence",
})  # fmt: skip
# Variables that make a program run code or read others' files. Whoever deploys a predictor was asked for trust; a
# model runs nobody's code, so nobody was.
RUNS_CODE: Final = re.compile(
    r"(?:LD|DYLD|PYTHON|HANDRAIL|GLIBC|OPENSSL|SSL|MALLOC|OMP_TOOL|BASH|GCONV|LOCPATH|NLSPATH|PATH$|HOME$|TMPDIR$|IFS$).*"
)


@dataclass(frozen=True)
class Broken:
    """A rule that is broken, and the keys it looks at; the first is the one to show."""

    keys: tuple[str, ...]
    text: str
    mend: str | None = None


def refuse_broken(specs: Sequence[ApiSpec]) -> None:
    """For APIs that were made as values, in no file. Raises HandrailError ("usage") that lists all that is off."""
    found = [(spec, broken) for spec in specs for broken in broken_by(spec)]
    found += [(specs[index], broken) for index, broken in broken_together(specs)]
    lines = [one_line(f"{spec.name}: {broken.keys[0]}: {broken.text}") for spec, broken in found]
    if len(found) == 1:
        broken = found[0][1]
        raise HandrailError("usage", lines[0], broken.mend or "correct this value", field=broken.keys[0])
    if found:
        told = [f"{len(lines):,} things are off in these APIs:", *(f"  {line}" for line in lines[:SHOWN])]
        raise HandrailError("usage", "\n".join(told), "correct these values")


def broken_by(spec: ApiSpec) -> Iterator[Broken]:
    """Every rule that one API breaks."""
    yield from _name(spec)
    yield from _what_answers(spec)
    yield from _autoscaling(spec)
    yield from _update(spec)
    yield from _traffic(spec)
    yield from _predictor(spec)
    yield from _kind(spec)
    yield from _environment(spec)


def broken_together(specs: Sequence[ApiSpec]) -> Iterator[tuple[int, Broken]]:
    """Every rule that APIs break together, with the index of the API: no two of them have one name, path or port."""
    yield from _twice([(spec.name, ("name", "model")) for spec in specs], "two APIs are called '{}'")
    paths = [((spec.endpoint or spec.name).strip("/"), ("endpoint", "name", "model")) for spec in specs]
    names = [spec.name for spec in specs]
    for index, broken in _twice(paths, "two APIs answer at '/{}'"):
        if specs[index].endpoint is not None or names.count(names[index]) == 1:
            yield index, broken
    ports = [(None if spec.port is None else str(spec.port), ("port",)) for spec in specs]
    yield from _twice(ports, "two APIs answer at port {}")


def _twice(values: Iterable[tuple[str | None, tuple[str, ...]]], text: str) -> Iterator[tuple[int, Broken]]:
    seen: set[str] = set()
    for index, (value, keys) in enumerate(values):
        if value and value in seen:
            yield index, Broken(keys, text.format(value), "give each its own")
        seen.update({value} if value else ())


def _name(spec: ApiSpec) -> Iterator[Broken]:
    if not spec.name:
        yield Broken(("name", "model"), "missing; expected a name for this API", "name: reviews")
    elif MODEL_NAME.fullmatch(spec.name) is None or spec.name.endswith("."):
        text = f"expected a name ({MODEL_NAME.pattern}) that does not end with a dot"
        yield Broken(("name", "model"), text, "name: reviews")
    elif spec.name in TAKEN:
        yield Broken(("name", "model"), f"'{spec.name}' is a name of Handrail's own", "choose another name")
    if (spec.endpoint or "").strip("/").split("/")[0] in TAKEN:
        yield Broken(("endpoint",), f"'{spec.endpoint}' is a path of Handrail's own", "choose another path")


def _what_answers(spec: ApiSpec) -> Iterator[Broken]:
    if spec.kind == "TrafficSplitter":
        for key in ("model", "predictor"):
            if getattr(spec, key) is not None:
                yield Broken((key, "kind"), "a TrafficSplitter has none; its traffic names other APIs", "remove it")
    elif spec.model is not None and spec.predictor is not None:
        yield Broken(("predictor", "model"), "one of model and predictor answers, not both", "remove one of them")
    elif spec.kind == "TaskAPI" and spec.predictor is None:
        yield Broken(("predictor", "kind", "model"), "a TaskAPI runs code of yours", "predictor: {path: task.py}")
    elif spec.model is None and spec.predictor is None:
        yield Broken(("model", "predictor"), "missing; expected a model or a predictor", "model: reviews")


def _autoscaling(spec: ApiSpec) -> Iterator[Broken]:
    low, high, first = _counts(spec.autoscaling)
    least, most = "autoscaling.min_replicas", "autoscaling.max_replicas"
    if low > high:
        yield Broken((least, most, "replicas"), f"min_replicas {low} is more than max_replicas {high}")
    elif first is not None and not low <= first <= high:
        text = f"init_replicas {first} is not from min_replicas {low} to max_replicas {high}"
        yield Broken(("autoscaling.init_replicas", least, most), text)
    target = spec.autoscaling.target_in_flight
    if target is not None and target > spec.autoscaling.max_in_flight:
        text = f"{target:g} is more than may be in flight for a replica at all, {spec.autoscaling.max_in_flight:,}"
        yield Broken(("autoscaling.target_in_flight", "autoscaling.max_in_flight"), text)


def _counts(autoscaling: Autoscaling) -> tuple[int, int, int | None]:
    return autoscaling.min_replicas, autoscaling.max_replicas, autoscaling.init_replicas


def _update(spec: ApiSpec) -> Iterator[Broken]:
    surge, unavailable = spec.update_strategy.max_surge, spec.update_strategy.max_unavailable
    if {surge, unavailable} <= {0, "0%"}:
        text = "max_surge and max_unavailable are both 0, so nothing could be replaced"
        keys = ("update_strategy.max_unavailable", "update_strategy.max_surge")
        yield Broken(keys, text, "max_surge: 1 starts the new before the old stops; max_unavailable: 1 the other way")


def _traffic(spec: ApiSpec) -> Iterator[Broken]:
    shares = spec.traffic
    if spec.kind == "TrafficSplitter" and not shares:
        yield Broken(
            ("traffic",), "missing; expected the APIs that share the requests", "- {name: reviews, weight: 100}"
        )
    for index, share in enumerate(shares):
        yield from _share(spec, index, share)
    shadows = [index for index, share in enumerate(shares) if share.shadow]
    if len(shadows) > 1:
        yield Broken((f"traffic[{shadows[1]}].shadow",), "one shadow is allowed, and there is one already")
    whole = sum(share.weight for share in shares if not share.shadow)
    if spec.kind == "TrafficSplitter" and shares and abs(whole - 100) > 1e-6:
        yield Broken(("traffic",), f"the weights without the shadow's are {whole:g}; expected 100 in all")
    elif whole > 100 + 1e-6:
        yield Broken(("traffic",), f"the weights are {whole:g}; expected at most 100 in all")


def _share(spec: ApiSpec, index: int, share: Share) -> Iterator[Broken]:
    key = f"traffic[{index}]"
    own = {spec.name} if spec.kind == "TrafficSplitter" else {spec.model}
    if share.name and share.name in own:
        yield Broken((f"{key}.name",), f"'{share.name}' is this API itself", "name another one")
    if any(other.name == share.name for other in spec.traffic[:index]) and share.name:
        yield Broken((f"{key}.name",), f"'{share.name}' is named twice", "name it once")
    if share.shadow and share.header is not None:
        yield Broken((f"{key}.header", f"{key}.shadow"), "a shadow answers nobody, so no header leads to it")
    if spec.kind != "TrafficSplitter" and not share.weight and share.header is None:
        yield Broken((f"{key}.weight", key), "it gets no requests", "weight: 10, or header: x-canary")


def _predictor(spec: ApiSpec) -> Iterator[Broken]:
    predictor = spec.predictor
    if predictor is None:
        return
    for key in ("models", "multi_model_reloading"):
        yield from _models(getattr(predictor, key), f"predictor.{key}")
    if predictor.models is not None and predictor.multi_model_reloading is not None:
        keys = ("predictor.multi_model_reloading", "predictor.models")
        yield Broken(keys, "models and multi_model_reloading say the same", "keep one of them")
    if predictor.type != "python" and predictor.models is None and predictor.multi_model_reloading is None:
        text = f"missing; expected the models of a predictor of type {predictor.type}"
        yield Broken(("predictor.models", "predictor.type"), text, "models: {path: models/iris.onnx}")


def _models(models: ModelFiles | None, key: str) -> Iterator[Broken]:
    if models is None:
        return
    given = [name for name in ("path", "paths", "dir") if getattr(models, name)]
    if len(given) != 1:
        received = " and ".join(given) or "none of them"
        yield Broken(
            (key, *(f"{key}.{name}" for name in given)), f"expected one of path, paths and dir, received {received}"
        )
    if models.cache_size and models.disk_cache_size and models.cache_size > models.disk_cache_size:
        text = f"more models in memory ({models.cache_size}) than on disk ({models.disk_cache_size})"
        yield Broken((f"{key}.cache_size", f"{key}.disk_cache_size"), text)
    names = [name for name, _ in models.paths]
    for index, name in enumerate(names):
        if name and name in names[:index]:
            yield Broken((f"{key}.paths[{index}].name",), f"two models are called '{name}'", "give each its own name")


def _kind(spec: ApiSpec) -> Iterator[Broken]:
    if spec.schedule is not None and spec.kind != "TaskAPI":
        yield Broken(("schedule", "kind"), f"a {spec.kind} has no schedule; a TaskAPI has", "kind: TaskAPI")
    elif spec.schedule is not None:
        yield from _schedule(spec.schedule)
    if spec.traffic and spec.kind in ("BatchAPI", "AsyncAPI", "TaskAPI"):
        yield Broken(("traffic", "kind"), f"a {spec.kind} shares no requests", "remove it")


def _schedule(text: str) -> Iterator[Broken]:
    try:
        schedule_of(text)
    except HandrailError as error:
        yield Broken(("schedule",), error.problem, error.mend)


def _environment(spec: ApiSpec) -> Iterator[Broken]:
    if spec.predictor is not None:
        return
    for name in spec.env:
        if RUNS_CODE.match(name):
            text = "this variable changes which code runs, and a model needs none of yours"
            yield Broken((f"env.{name}", "env"), text, "remove it")
