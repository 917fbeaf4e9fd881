"""What is kept of an API in one dictionary: counts, drift, live accuracy; read from its file alone."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail.core.signature import Signature, signature_from
from handrail.watch.database import open_to_read, path_of, remove
from handrail.watch.drift import Drift, drift
from handrail.watch.feedback import how_right
from handrail.watch.profile import Profile, profile_from
from handrail.watch.window import counts_of_late
from handrail.watch.writing import DAY_S, HOUR_S, OTHER

SEVERITY: Final = ("too few rows", "none", "some", "much")
MOST_COLUMNS: Final = 10
MOST_DAYS: Final = 30
MOST_HOURS: Final = 48


@dataclass(frozen=True)
class Opened:
    """The version that was opened last, as it was told then."""

    version: str
    settings: dict[str, Any]
    signature: Signature | None
    profile: Profile | None


def summary(home: Path, api: str) -> dict[str, Any]:
    """Everything that is kept of an API, as `handrail monitor` shows it; no server need run.

    Raises HandrailError ("not_found") when nothing is kept.
    """
    with open_to_read(path_of(home, api)) as database:
        return {"api": api, **summary_of(database, full=True)}


def forget(home: Path, api: str) -> None:
    """Removes everything that is kept of an API."""
    remove(path_of(home, api))


def opened_last(database: sqlite3.Connection, version: str | None = None) -> Opened | None:
    """What is known of a version, or of the one that was opened last; None where there is none."""
    one = "where version = ?" if version is not None else ""
    found = database.execute(
        "select version, settings, signature, content from versions left join profiles on key = profile "  # noqa: S608
        f"{one} order by opened desc, versions.rowid desc limit 1",
        () if version is None else (version,),
    ).fetchone()
    if found is None:
        return None
    version, settings, signature, content = found
    return Opened(
        version,
        json.loads(settings),
        signature_from(json.loads(signature)) if signature else None,
        profile_from(json.loads(content)) if content else None,
    )


def summary_of(database: sqlite3.Connection, version: str | None = None, *, full: bool) -> dict[str, Any]:
    """What is kept, as plain values; drift is that of a version, or of the one that was opened last.

    `full`: with days and hours, and every column.
    """
    opened = opened_last(database, version)
    settings = {} if opened is None else opened.settings
    told: dict[str, Any] = {
        "version": None if opened is None else opened.version,
        "model_type": settings.get("model_type"),
        "key": settings.get("key"),
        **_counted(database, "all", 0),
        "samples": _samples(database, settings),
        "remembered": _rows_in(database, "answers"),
        "feedback": _rows_in(database, "feedback"),
        "accuracy": how_right(database),
        "drift": drift_of(database, None if opened is None else opened.profile, full=full),
    }
    if full:
        versions = [version for (version,) in database.execute("select distinct version from feedback")]
        told["accuracy_by_version"] = {version: how_right(database, version) for version in sorted(versions)}
        told["days"] = _series(database, "day", DAY_S, MOST_DAYS)
        told["hours"] = _series(database, "hour", HOUR_S, MOST_HOURS)
    return told


def drift_of(database: sqlite3.Connection, profile: Profile | None, *, full: bool) -> dict[str, Any]:
    """The drift of each input and of the answers, worst first; in words over all of them."""
    if profile is None:
        return {"judged": "no profile", "rows": 0, "columns": []}
    rows, counts = counts_of_late(database, profile)
    named = [(column.name, one) for column in profile.columns for one in column.measures] + [(None, profile.answers)]
    found = []
    for (name, measure), recent in zip(named, counts, strict=False):
        reference = np.array(measure.counts, dtype=np.int64)
        one = drift(reference, recent, ordered=measure.is_ordered, columns=len(named))
        found.append({"column": name, "what": measure.what if name else "answer", **_told(one, reference, recent)})
    found.sort(key=lambda one: (SEVERITY.index(one["judged"]), one["psi"]), reverse=True)
    worst = max((one["judged"] for one in found), key=SEVERITY.index, default="too few rows")
    return {"judged": worst, "rows": rows, "columns": found if full else found[:MOST_COLUMNS]}


def _told(one: Drift, reference: np.ndarray, recent: np.ndarray) -> dict[str, Any]:
    """A drift as plain values, with the share of gaps then and now."""
    return {
        "judged": one.judged,
        "psi": round(one.psi, 4),
        "noise_floor": round(one.floor, 4),
        "ks": None if one.ks is None else round(one.ks, 4),
        "ks_p": None if one.ks_p is None else float(f"{one.ks_p:.3g}"),
        "missing": [round(float(counts[0] / max(1, counts.sum())), 4) for counts in (reference, recent)],
    }


def _counted(database: sqlite3.Connection, span: str, at: int) -> dict[str, Any]:
    where = (span, at)
    totals = database.execute(
        "select requests, rows, uncounted, dropped from totals where span = ? and at = ?", where
    ).fetchone()
    classes = database.execute(
        "select class, count from classes where span = ? and at = ? order by class = '', count desc, class", where
    ).fetchall()
    numbers = database.execute("select count, total, least, most from numbers where span = ? and at = ?", where)
    return {
        **dict(zip(("requests", "rows", "uncounted", "dropped"), totals or (0, 0, 0, 0), strict=True)),
        "classes": {word: count for word, count in classes if word != OTHER} if classes else None,
        "other_classes": sum(count for word, count in classes if word == OTHER),
        "numbers": _numbers(numbers.fetchone()),
    }


def _numbers(found: tuple[int, float, float, float] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    count, total, least, most = found
    return {"count": count, "min": least, "max": most, "mean": float(f"{total / count:.7g}")}


def _samples(database: sqlite3.Connection, settings: dict[str, Any]) -> dict[str, Any]:
    rows, size = database.execute("select count(*), coalesce(sum(bytes), 0) from samples").fetchone()
    return {"kept": rows, "bytes": size, "sample": settings.get("sample", 0.0), "keep": settings.get("keep", 0)}


def _rows_in(database: sqlite3.Connection, table: str) -> int:
    (rows,) = database.execute(f"select count(*) from {table}").fetchone()  # noqa: S608
    return int(rows)


def _series(database: sqlite3.Connection, span: str, length_s: int, most: int) -> list[dict[str, Any]]:
    """Counts of the last days or hours that had any, oldest first; `from` is when each begins (UTC)."""
    found = database.execute("select at from totals where span = ? order by at desc limit ?", (span, most)).fetchall()
    return [
        {"from": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at * length_s)), **_counted(database, span, at)}
        for (at,) in reversed(found)
    ]
