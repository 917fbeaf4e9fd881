"""How deployed APIs stand: as a table, as the lines of one API, and a request that works."""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handrail.core.errors import HandrailError, clipped, counted, printable
from handrail.faces.cli.printing import one_line, put, put_heading, put_table, size_words, width_of_terminal

if TYPE_CHECKING:
    from rich.console import RenderableType

Standing = Mapping[str, Any]
LONGEST_EXAMPLE = 300
# A request that a project of code keeps beside it, as Cortex's examples do.
SAMPLE = "sample.json"
ROOMY = 100
# Where no terminal reads, nothing is cut or wrapped.
WIDE = 200
STYLES = {"live": "green", "degraded": "red", "failed": "red", "updating": "yellow", "starting": "yellow"}
HEADINGS = ("\napi", "\nstate", "\nversion", "\nready", "in\nflight", "p50\nms", "p90\nms", "p99\nms", "\n2xx", "\n4xx",
            "\n5xx", "\nupdated")  # fmt: skip
# Columns that go where there is no room, one after the other.
SPARED = ("p90\nms", "p50\nms", "\n4xx", "\nupdated", "\n2xx", "p99\nms", "\n5xx", "in\nflight")
# Names up to this length are shown in full where that is possible at all, and never cut to fewer than NARROWEST.
NAME = 16
NARROWEST = 8
ANSWERING = ("RealtimeAPI", "AsyncAPI")
# Classes that are counted in one line.
MOST_CLASSES = 6
# What stands for a version where a kind has none.
KINDS = {"TrafficSplitter": "splitter", "BatchAPI": "batches", "TaskAPI": "task"}
WORDS = ("api", "state", "version", "updated")
SHORT = {"second": "s", "minute": "min", "hour": "h", "day": "d"}
SHORTER = re.compile(r"\b(second|minute|hour|day)s?\b")
AGES = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def drawn(url: str, apis: Sequence[Standing], said: str = "", width: int | None = None) -> RenderableType:
    """The table of all APIs; it fits into eighty columns. What is wrong with one stands below."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    width = width or width_of_terminal()
    gap = 2 if width >= ROOMY else 1
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, title_justify="left")
    table.title = Text(printable(url))
    headings, *rows = fitted([list(HEADINGS), *map(cells_of, apis)], width, gap)
    for heading in headings:
        table.add_column(heading, justify="left" if heading.strip() in WORDS else "right", no_wrap=True)
    for name, state, *figures in rows:
        table.add_row(Text(name), Text(state, style=STYLES.get(state, "")), *map(Text, figures))
    below = [
        Text(f"{one_line(api['name'])} {words}: {text}", style="red")
        for api in apis
        for words, text in (*complaints(api), *failures(api))
    ]
    return Group(table, *below, *([Text(printable(said))] if said else []))


def fitted(rows: list[list[str]], width: int, gap: int) -> list[list[str]]:
    """Rows of cells that fit: first ages take fewer letters, then columns go, and then long names are cut."""
    wanted = min(NAME, max(len(row[0]) for row in rows))
    if _left(rows, width, gap) < wanted:
        rows = [[*row[:-1], SHORTER.sub(lambda found: SHORT[found[1]], row[-1])] for row in rows]
    for heading in SPARED:
        if _left(rows, width, gap) < wanted:
            place = rows[0].index(heading)
            rows = [row[:place] + row[place + 1 :] for row in rows]
    room = max(NARROWEST, _left(rows, width, gap))
    return [[clipped(row[0], room), *row[1:]] for row in rows]


def _left(rows: list[list[str]], width: int, gap: int) -> int:
    """How many columns are left for names."""
    others = list(zip(*rows, strict=True))[1:]
    return width - sum(gap + max(len(line) for cell in column for line in cell.split("\n")) for column in others)


def cells_of(api: Standing) -> list[str]:
    """The cells of an API, in the order of the headings."""
    latency, codes = api.get("latency_ms") or {}, api.get("codes") or {}
    return [
        one_line(api["name"]),
        one_line(api["state"]),
        "\n".join(_part(version) for version in api["versions"]) or KINDS.get(api["kind"], "–"),
        f"{api['ready']}/{api['wanted']}" if api["versions"] else "–",
        f"{api['in_flight']:,}",
        *(short(latency.get(name)) for name in ("p50", "p90", "p99")),
        *(f"{codes.get(name, 0):,}" for name in ("2xx", "4xx", "5xx")),
        ago(api["updated"]),
    ]


def _part(version: Standing) -> str:
    """`3`, `4 canary 10 %`: what of the traffic a version gets, where that is not all."""
    number, role, weight = one_line(version["version"]), version["role"], version["weight"]
    if role == "current":
        return number if weight >= 100 else f"{number} {weight:g} %"
    return f"{number} {one_line(role)}" if role == "leaving" else f"{number} {one_line(role)} {weight:g} %"


def complaints(api: Standing) -> list[tuple[str, str]]:
    """Why an API is not ready, and what went wrong last, in words."""
    said = [("last_error", "last error")]
    if api["state"] != "asleep":
        said.insert(0, ("why_not_ready", "is not ready"))
    return [(words, one_line(api[key])) for key, words in said if api.get(key)]


def failures(api: Standing) -> list[tuple[str, str]]:
    """What ended a replica of its current version last, where that is not said already."""
    found = [one["last_failure"] for one in api["versions"] if one["role"] == "current" and one["last_failure"]]
    said = {text for _, text in complaints(api)}
    return [("last failure", text) for text in map(one_line, found) if text not in said]


def put_all(answer: Standing) -> None:
    """All APIs as a table on stdout."""
    from rich.console import Console

    if not answer["apis"]:
        put(f"nothing is deployed at {answer['url']}: handrail deploy NAME")
        return
    width = width_of_terminal() if sys.stdout.isatty() else WIDE
    console = Console(highlight=False, width=width)
    with console.capture() as captured:
        console.print(drawn(answer["url"], answer["apis"], width=width))
    for line in captured.get().splitlines():
        print(line.rstrip())


def put_one(api: Standing, home: Path) -> None:
    """Everything about one API on stdout."""
    from handrail.store.deployments import Deployments

    put(f"{api['name']}: {api['state']}, revision {api['revision']}, updated {ago(api['updated'])}")
    put(f"  answers at  {api['url']}")
    if api.get("port"):
        put(f"  and at      {at_port(api)}")
    put_table([(f"  {words}", text) for words, text in complaints(api)])
    if api["versions"]:
        put_heading("versions")
        put_table([_heads(), *(_version_cells(one) for one in api["versions"])], header=True)
        put_heading("requests")
        put_table([("  in flight", f"{api['in_flight']:,}"), *_requests(api)])
    if api["kind"] == "TrafficSplitter":
        served = Deployments(home).served(api["name"])
        put_heading("shares")
        put_table([(f"  {row[0]}", *row[1:]) for row in share_rows(served.spec["traffic"] if served else ())])
    if api.get("monitoring"):
        put_heading("predictions")
        put_table([(f"  {word}", text) for word, text in _watched(api["monitoring"], api["name"])])
    line = request_for(api, home)
    if line:
        put_heading("try")
        put(f"  {line}")


def share_rows(shares: Sequence[Standing]) -> list[tuple[str, str, str]]:
    """Who gets which part of a splitter's requests, and as what."""
    return [(one["name"], "shadow" if one["shadow"] else "current", f"{one['weight']:g} %") for one in shares]


def _heads() -> tuple[str, ...]:
    return ("  version", "role", "share", "ready", "in flight", "waiting", "memory", "restarts", "last failure")


def _version_cells(one: Standing) -> tuple[str, ...]:
    return (
        f"  {named(one)}", one["role"], f"{one['weight']:g} %", f"{one['ready']}/{one['wanted']}",
        f"{one['in_flight']:,}", f"{one['waiting']:,}", size_words(one["memory_bytes"]), str(one["restarts"]),
        one["last_failure"] or "–",
    )  # fmt: skip


def named(version: Standing) -> str:
    """Its number, with the model's name where that is told."""
    return one_line(version.get("model") or version["version"])


def _requests(api: Standing) -> list[tuple[str, str]]:
    latency, codes = api.get("latency_ms") or {}, api.get("codes") or {}
    times = ", ".join(f"{name} {short(value)} ms" for name, value in latency.items() if value is not None)
    counts = ", ".join(f"{count:,} {name}" for name, count in codes.items())
    return [(f"  {word}", text) for word, text in (("took", times), ("answered", counts)) if text]


def _watched(found: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    """What is known of its answers, in few lines; `handrail monitor` has the rest."""
    classes, numbers, right = found.get("classes"), found.get("numbers"), found.get("accuracy") or {}
    counts = [f"{one_line(word)} {count:,}" for word, count in (classes or {}).items()]
    if len(counts) > MOST_CLASSES:
        counts = [*counts[:MOST_CLASSES], "…"]
    range_of = f"{numbers['min']:,.6g} to {numbers['max']:,.6g}, mean {numbers['mean']:,.6g}" if numbers else ""
    shown = f"{right['accuracy']:.1%} right" if "accuracy" in right else ""
    shown = shown or (f"off by {right['mae']:,.6g} on average" if "mae" in right else "")
    lines = [
        ("watched", counted(found.get("rows", 0), "row")),
        ("answers", ", ".join(counts) or range_of),
        ("drift", found.get("drift", {}).get("judged", "")),
        ("feedback", f"{shown}, {counted(right['rows'], 'row')}" if shown else ""),
    ]
    return [*((word, text) for word, text in lines if text), ("more", f"handrail monitor {name}")]


def at_port(api: Standing) -> str:
    """The address of an API at a port of its own."""
    return f"http://127.0.0.1:{api['port']}/"


def request_for(api: Standing, home: Path) -> str | None:
    """A curl line that the API answers; None where no example of a short input is known."""
    from handrail.predictors.project import code_of
    from handrail.store.deployments import Deployments

    served = Deployments(home).served(api["name"])
    if served is None or api["kind"] not in ANSWERING:
        return None
    if served.spec.get("predictor"):
        sample = code_of(Path(served.folder)) / SAMPLE
        return f"curl {api['url']} --json @{shlex.quote(str(sample))}" if sample.is_file() else None
    row = _example(str(served.spec["model"]), home) if served.spec.get("model") else None
    if row is None or len(row) > LONGEST_EXAMPLE:
        return None
    return f"curl {api['url']} --json {shlex.quote(row)}"


def _example(model: str, home: Path) -> str | None:
    """The shortest of a model's own examples."""
    from handrail.model import load

    try:
        found = load(Path(model) if "/" in model else model, home=home)
        rows = [example["input"] for example in found.examples] or [found.signature.sample_row()]
    except HandrailError:
        return None
    return min((json.dumps(row, ensure_ascii=False) for row in rows), key=len)


def short(value: float | None) -> str:
    """A figure in few places."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ago(moment: float, now: float | None = None) -> str:
    """`3 minutes ago`."""
    passed = int((time.time() if now is None else now) - moment)
    for unit_s, word in AGES:
        if passed >= unit_s:
            return f"{counted(passed // unit_s, word)} ago"
    return "just now"
