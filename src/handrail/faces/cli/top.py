"""`handrail top`: what a server does, live: requests, times, queues, replicas, for each model and version."""

from __future__ import annotations

import http.client
import math
import os
import re
import ssl
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from handrail.core.errors import HandrailError, clipped, printable
from handrail.faces.cli.options import once, seconds, shared
from handrail.faces.cli.printing import put_json, size_words, width_of_terminal

if TYPE_CHECKING:
    from rich.console import RenderableType

ADDRESS = "http://127.0.0.1:8080"
PATIENCE_S = 5.0
MOST_BYTES = 2**22
ROOMY = 90
SAMPLE = re.compile(r"handrail_(\w+)\{([^}]*)\} (\d{1,18}(?:\.\d+)?(?:e[+-]\d\d)?)\n")
LABEL = re.compile(r'(\w+)="([^"]*)"')
HEADINGS = (
    "model",
    "req/s",
    "in\nflight",
    "queue",
    "p50\nms",
    "p99\nms",
    "rows/\nbatch",
    "ready",
    "re-\nstarts",
    "memory",
)
TOKENS = "tokens\n/s"

Version = tuple[str, str]
# Upper bound of a bucket → how many values were at most that.
Buckets = dict[float, float]


@dataclass(frozen=True)
class Counts:
    """What a server has counted up to a moment (`at`, seconds of a clock that never jumps)."""

    at: float
    values: Mapping[Version, Mapping[str, float]]
    request_s: Mapping[Version, Buckets]


@dataclass(frozen=True)
class Line:
    """A version of a model between two moments; None where nothing was asked."""

    model: str
    version: str
    requests_per_s: float
    in_flight: int
    queue_length: int
    p50_ms: float | None
    p99_ms: float | None
    rows_per_batch: float | None
    replicas_ready: int
    replica_restarts: int
    memory_bytes: int
    # Of a model that writes text.
    tokens_per_s: float | None = None


@click.command("top", epilog="Example: handrail top http://127.0.0.1:8080 --every 5s")
@click.argument("url", default=ADDRESS)
@once("--every", read=seconds, metavar="TIME", help="How long to count for a reading (default 2s).")
@click.option("--once", "only_once", is_flag=True, help="Print one reading and end.")
@shared
def command(url: str, every: float | None, only_once: bool, as_json: bool) -> None:
    """Watch the server at URL (default http://127.0.0.1:8080), until Ctrl-C. A key is read from HANDRAIL_KEY."""
    address, every_s = address_of(url), every or 2.0
    before = counted(address)
    if as_json or only_once or not sys.stdout.isatty():
        time.sleep(every_s)
        put_reading(address, before, counted(address), as_json)
    else:
        watch(address, before, every_s)


def put_reading(address: str, before: Counts, after: Counts, as_json: bool) -> None:
    """One reading, as a table or as one object."""
    lines = between(before, after)
    if as_json:
        took_s = round(after.at - before.at, 3)
        put_json({"url": address, "seconds": took_s, "models": [asdict(line) for line in lines]})
        return
    from rich.console import Console

    Console(highlight=False).print(drawn(address, lines))


def watch(address: str, before: Counts, every_s: float) -> None:
    """Reading after reading in the same place; a server that goes away is waited for."""
    from rich.console import Console
    from rich.live import Live

    lines, said = between(before, before), "counting …"
    try:
        with Live(console=Console(highlight=False), screen=True, auto_refresh=False) as live:
            while True:
                live.update(drawn(address, lines, said), refresh=True)
                time.sleep(every_s)
                try:
                    after = counted(address)
                    lines, said, before = between(before, after), "Ctrl-C ends", after
                except HandrailError as error:
                    said = f"{error.problem}; trying again"
    except KeyboardInterrupt:
        return


def drawn(address: str, lines: list[Line], said: str = "") -> RenderableType:
    """The table that people see; it fits into eighty columns."""
    from rich.table import Table
    from rich.text import Text

    gap = 2 if width_of_terminal() >= ROOMY else 1
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, title_justify="left", caption_justify="left")
    table.title, table.caption = Text(printable(address)), Text(printable(said)) if said else None
    writes = any(line.tokens_per_s is not None for line in lines)
    for place, heading in enumerate((*HEADINGS, *((TOKENS,) if writes else ()))):
        table.add_column(heading, justify="right" if place else "left", vertical="bottom", no_wrap=place > 0)
    for line in lines:
        name, *figures = _cells(line)
        if writes:
            figures.append(_short(line.tokens_per_s))
        # Only the name may be cut; a figure that is cut would be another figure.
        table.add_row(Text(name, no_wrap=True, overflow="ellipsis"), *map(Text, figures))
    return table


def _cells(line: Line) -> list[str]:
    return [
        printable(f"{line.model}@{line.version}"),
        _short(line.requests_per_s),
        f"{line.in_flight:,}",
        f"{line.queue_length:,}",
        _short(line.p50_ms),
        _short(line.p99_ms),
        _short(line.rows_per_batch),
        str(line.replicas_ready),
        str(line.replica_restarts),
        size_words(line.memory_bytes),
    ]


def _short(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def between(before: Counts, after: Counts) -> list[Line]:
    """What happened between two moments, by model and version."""
    return [_line(version, before, after) for version in sorted(after.values)]


def _line(version: Version, before: Counts, after: Counts) -> Line:
    now, then = after.values[version], before.values.get(version, {})
    # A server that was started anew counts from nothing.
    if now.get("requests_total", 0) < then.get("requests_total", 0):
        then, before = {}, Counts(before.at, {}, {})
    passed = {name: now.get(name, 0.0) - then.get(name, 0.0) for name in now}
    written = passed.get("generation_tokens_total_completion")
    took_s = max(after.at - before.at, 1e-9)
    buckets, batches = _grown(version, before, after), passed.get("batch_rows_count", 0.0)
    return Line(
        *version,
        requests_per_s=round(passed.get("requests_total", 0.0) / took_s, 3),
        in_flight=int(now.get("requests_in_flight", 0)),
        queue_length=int(now.get("queue_length", 0)),
        p50_ms=quantile_ms(buckets, 0.5),
        p99_ms=quantile_ms(buckets, 0.99),
        rows_per_batch=round(passed["batch_rows_sum"] / batches, 2) if batches > 0 else None,
        replicas_ready=int(now.get("replicas_ready", 0)),
        replica_restarts=int(now.get("replica_restarts_total", 0)),
        memory_bytes=int(now.get("replica_memory_bytes", 0)),
        tokens_per_s=None if written is None else round(written / took_s, 1),
    )


def _grown(version: Version, before: Counts, after: Counts) -> Buckets:
    then = before.request_s.get(version, {})
    return {bound: count - then.get(bound, 0.0) for bound, count in after.request_s.get(version, {}).items()}


def quantile_ms(buckets: Buckets, share: float) -> float | None:
    """The time that `share` of the requests took at most, as if they lay evenly in their bucket; the last bound for
    those beyond it. None for no requests."""
    total = max(buckets.values(), default=0.0)
    if total <= 0:
        return None
    low, seen = 0.0, 0.0
    for bound, count in sorted(buckets.items()):
        if count >= share * total:
            inside = 0.0 if math.isinf(bound) else (bound - low) * (share * total - seen) / (count - seen)
            return round((low + inside) * 1000, 3)
        low, seen = bound, count
    return None


def counted(address: str) -> Counts:
    """What the server at an address has counted. Raises HandrailError that says why it cannot be had."""
    try:
        found = parsed(_fetched(address), time.monotonic())
    except (ValueError, KeyError):
        raise _foreign(address) from None
    if not found.values:
        raise _foreign(address)
    return found


def parsed(text: str, at: float) -> Counts:
    """The counts in a server's metrics. Raises ValueError or KeyError for a histogram that is none."""
    values: dict[Version, dict[str, float]] = {}
    request_s: dict[Version, Buckets] = {}
    for name, labels, written in SAMPLE.findall(text):
        found = dict(LABEL.findall(labels))
        if "version" not in found:
            continue  # of the whole server, or of what an API is watched for
        version = (found.get("model", "?"), found["version"])
        if name == "request_seconds_bucket":
            request_s.setdefault(version, {})[float(found["le"])] = float(written)
        elif "le" not in found and "phase" not in found:
            of_version = values.setdefault(version, {})
            name = f"{name}_{found['kind']}" if "kind" in found else name  # noqa: PLW2901 - tokens are of several kinds
            of_version[name] = of_version.get(name, 0.0) + float(written)
    return Counts(at, values, request_s)


def _fetched(address: str) -> str:
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    key = os.environ.get("HANDRAIL_KEY", "")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    connection = kind(parts.netloc, timeout=PATIENCE_S)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/metrics", headers=headers)
        response = connection.getresponse()
        content = response.read(MOST_BYTES)
    except ssl.SSLError as error:
        mend = "for a certificate that signs itself: SSL_CERT_FILE=certificate.pem handrail top …"
        raise HandrailError("environment", f"no TLS with {address}: {clipped(str(error))}", mend) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        mend = f"handrail serve NAME starts a server; one that is elsewhere: handrail top {ADDRESS}"
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise HandrailError("environment", f"no server answers at {address}: {clipped(said.lower())}", mend) from None
    finally:
        connection.close()
    if response.status == 401:
        raise HandrailError("unauthorized", f"the server at {address} asks for a key", "HANDRAIL_KEY=… handrail top …")
    if response.status != 200:
        raise _foreign(address)
    return content.decode("utf-8", "replace")


def address_of(url: str) -> str:
    """The address with its scheme. Raises HandrailError for what is none."""
    address = (url if "://" in url else f"http://{url}").rstrip("/")
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known or parts.query or parts.fragment or parts.username or not address.isascii() or " " in address:
        raise HandrailError("usage", f"'{clipped(url)}' is no address of a server", f"for example {ADDRESS}")
    return address


def _foreign(address: str) -> HandrailError:
    return HandrailError(
        "environment", f"what answers at {address} is no Handrail server", "handrail serve NAME starts one"
    )
