"""Numbers that user code tells of itself, as lines for /metrics: bounded, whatever a replica sends."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from handrail.serve.messages import Header
from handrail.serve.metrics import Histogram

MAX_SERIES: Final = 100
MAX_TAGS: Final = 20
MAX_CHARS: Final = 200
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000)
# What Prometheus calls them, and what it ends their names with.
KINDS: Final = {"increment": ("counter", "_total"), "gauge": ("gauge", ""), "histogram": ("histogram", "")}
PARTS: Final = ("", "_bucket", "_sum", "_count")
OURS: Final = ("api", "le")
LEFT_OUT: Final = "handrail_user_left_out_total"

log = logging.getLogger("handrail.serve")


@dataclass(eq=False)
class Series:
    """One name with its tags."""

    kind: str
    family: str
    labels: str
    value: float = 0.0
    histogram: Histogram | None = None


class UserMetrics:
    """What `metrics_client` was told, by API. A name keeps the kind that it had first."""

    def __init__(self) -> None:
        self._apis: dict[str, dict[tuple[str, str], Series]] = {}
        self._left_out: dict[str, int] = {}

    def take(self, api: str, header: Header) -> None:
        """Adds what a replica's reply tells. What is no metric is counted as left out, and nothing else happens."""
        told = header.get("metrics")
        for one in told if isinstance(told, list) else ():
            try:
                self._add(api, *one)
            except (TypeError, ValueError) as error:
                if not self._left_out.get(api):
                    log.warning("%s: a metric is left out: %s", api, error)
                self._left_out[api] = self._left_out.get(api, 0) + 1

    def lines(self, apis: Collection[str]) -> list[str]:
        """Lines of these APIs; those of others are forgotten."""
        for name in [name for name in {**self._apis, **self._left_out} if name not in apis]:
            self._apis.pop(name, None)
            self._left_out.pop(name, None)
        families: dict[str, list[Series]] = {}
        for series in (one for found in self._apis.values() for one in found.values()):
            families.setdefault(series.family, []).append(series)
        return [*(line for name in sorted(families) for line in _written(families[name])), *self._not_taken()]

    def _add(self, api: str, kind: Any, name: Any, value: Any, tags: Any) -> None:
        if kind not in KINDS:
            raise ValueError(f"its kind is {str(kind)[:60]!r}")
        number = float(value)
        if not math.isfinite(number) or (kind == "increment" and number < 0):
            raise ValueError(f"{str(name)[:60]!r} is told {number}, which it cannot be")
        family = f"handrail_user_{_plain(name)}{KINDS[kind][1]}"
        series = self._series(api, kind, family, _labels(api, tags))
        if series.histogram is not None:
            series.histogram.observe(number)
        else:
            series.value = number if kind == "gauge" else series.value + number

    def _series(self, api: str, kind: str, family: str, labels: str) -> Series:
        found = self._apis.setdefault(api, {})
        series = found.get((family, labels))
        if series is not None and series.kind == kind:
            return series
        if len(found) >= MAX_SERIES:
            raise ValueError(f"there are {MAX_SERIES} of them already: tags of fewer values help")
        self._refuse_clash(kind, family)
        histogram = Histogram(BOUNDS) if kind == "histogram" else None
        found[family, labels] = series = Series(kind, family, labels, histogram=histogram)
        return series

    def _refuse_clash(self, kind: str, family: str) -> None:
        """Two kinds of one name would make the whole page unreadable."""
        mine = _names(kind, family)
        for other in (one for found in self._apis.values() for one in found.values()):
            if (other.kind, other.family) != (kind, family) and mine & _names(other.kind, other.family):
                raise ValueError(f"'{family}' is a {KINDS[other.kind][0]} already")

    def _not_taken(self) -> Iterable[str]:
        if self._left_out:
            yield f"# HELP {LEFT_OUT} Metrics of predictors that could not be counted."
            yield f"# TYPE {LEFT_OUT} counter"
        for api, count in self._left_out.items():
            yield f'{LEFT_OUT}{{api="{api}"}} {count}'


def _names(kind: str, family: str) -> set[str]:
    return {f"{family}{part}" for part in (PARTS if kind == "histogram" else ("",))}


def _plain(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError("its name is no text")
    return re.sub(r"[^A-Za-z0-9_]", "_", name)[:MAX_CHARS]


def _labels(api: str, tags: Any) -> str:
    if not isinstance(tags, Mapping) or len(tags) > MAX_TAGS:
        raise ValueError(f"its tags are no map of at most {MAX_TAGS}")
    found = {_label(name): _escaped(str(value)[:MAX_CHARS]) for name, value in tags.items()}
    return ",".join([f'api="{api}"', *(f'{name}="{value}"' for name, value in sorted(found.items()))])


def _label(name: Any) -> str:
    plain = _plain(name)
    return f"tag_{plain}" if plain in OURS or plain.startswith("__") or plain[0].isdigit() else plain


def _escaped(value: str) -> str:
    value = value.encode("utf-8", "replace").decode()
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _written(family: list[Series]) -> Iterable[str]:
    name, kind = family[0].family, family[0].kind
    yield f"# HELP {name} Told by a predictor's metrics_client."
    yield f"# TYPE {name} {KINDS[kind][0]}"
    for one in family:
        if one.histogram is not None:
            yield from one.histogram.lines(name, one.labels)
        else:
            yield f"{name}{{{one.labels}}} {one.value:.15g}"
