"""What `handrail top` reads from a server, and how it looks in eighty columns."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from handrail.faces.cli import top
from handrail.model import Model
from handrail.serve.keys import add_key
from handrail.serve.metrics import Metrics, Seen, written
from tests.faces.conftest import Cli, cli
from tests.serve.bundles import ROW
from tests.serve.served import serving

__all__ = ["cli"]
CHURN = ("churn", "3")


def counts(metrics: Metrics, at: float, name: str = "churn") -> top.Counts:
    return top.parsed(written([Seen(name, "3", metrics, 2, 5, 46_400_000)]), at)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading takes no time."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def test_a_reading_is_what_happened_between_two_moments() -> None:
    metrics = Metrics()
    metrics.count("answered", 9.0)
    metrics.batch_rows.observe(100)
    before = counts(metrics, 10.0)
    for number in range(100):
        metrics.count("answered" if number else "refused", 0.002)
    for rows in (4, 6):
        metrics.batch_rows.observe(rows)
    metrics.in_flight, metrics.restarts = 7, 1
    (line,) = top.between(before, counts(metrics, 14.0))
    assert (line.model, line.version, line.requests_per_s) == ("churn", "3", 25.0)
    assert (line.in_flight, line.queue_length, line.replicas_ready, line.replica_restarts) == (7, 5, 2, 1)
    assert (line.rows_per_batch, line.memory_bytes) == (5.0, 46_400_000)
    assert line.p50_ms is not None
    assert 1.0 < line.p50_ms < 2.5  # the bounds of the bucket that holds 2 ms


def test_nothing_asked_is_no_time_at_all() -> None:
    before = counts(Metrics(), 0.0)
    (line,) = top.between(before, before)
    assert (line.requests_per_s, line.p50_ms, line.p99_ms, line.rows_per_batch) == (0.0, None, None, None)


def test_a_server_that_was_started_anew_counts_from_nothing() -> None:
    before, after = Metrics(), Metrics()
    for _ in range(50):
        before.count("answered", 9.0)
    for _ in range(10):
        after.count("answered", 0.002)
    (line,) = top.between(counts(before, 0.0), counts(after, 2.0))
    assert line.requests_per_s == 5.0
    assert line.p99_ms is not None
    assert line.p99_ms < 2.5


@pytest.mark.parametrize(
    ("buckets", "share", "wanted"),
    [
        ({}, 0.5, None),
        ({0.001: 0, float("inf"): 0}, 0.5, None),
        ({0.001: 10, 0.002: 10, float("inf"): 10}, 0.5, 0.5),
        ({0.001: 0, 0.003: 100, float("inf"): 100}, 0.99, 2.98),
        ({0.001: 0, 30.0: 0, float("inf"): 4}, 0.99, 30_000.0),
    ],
)
def test_a_quantile_lies_evenly_in_its_bucket(buckets: top.Buckets, share: float, wanted: float | None) -> None:
    assert top.quantile_ms(buckets, share) == pytest.approx(wanted)


def test_the_table_fits_into_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    metrics = Metrics()
    before = counts(metrics, 0.0, "n" * 64)
    for _ in range(123_456):
        metrics.count("answered", 12.0)
    metrics.in_flight = 12_345
    lines = top.between(before, counts(metrics, 1.0, "n" * 64))
    console = Console(width=80, highlight=False)
    with console.capture() as captured:
        console.print(top.drawn("http://127.0.0.1:8080", lines, "Ctrl-C ends"))
    shown = captured.get().splitlines()
    assert max(map(len, shown)) <= 80
    assert len(shown) == 5
    assert "123,456" in shown[3]
    assert "12,345" in shown[3]
    assert shown[3].rstrip().endswith("46.4 MB")


@pytest.mark.usefixtures("quick")
def test_a_server_is_read_once_as_a_table_or_as_an_object(model: Model, tmp_path: Path, cli: Cli,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    key = add_key(tmp_path / "keys.json", "operator")
    with serving(model.bundle.path, keys=str(tmp_path / "keys.json")) as served:
        url = f"http://127.0.0.1:{served.port}"
        cli("top", url).refused(5, "asks for a key", "HANDRAIL_KEY")
        monkeypatch.setenv("HANDRAIL_KEY", key)
        served.ask(
            "POST", "/churn/predict", ROW, {"content-type": "application/json", "authorization": f"Bearer {key}"}
        )
        found = cli("top", url, "--json").object()
        assert found["url"] == url
        (line,) = found["models"]
        assert (line["model"], line["version"], line["replicas_ready"]) == ("churn", "0", 1)
        assert line["memory_bytes"] > 1_000_000
        for words in (["--once"], []):  # without a terminal there is one reading as well
            shown = cli("top", f"127.0.0.1:{served.port}/", *words)
            assert (shown.status, shown.err) == (0, "")
            assert "churn@0" in shown.out
            assert key not in shown.out
    cli("top", url, "--once").refused(5, f"no server answers at {url}", "handrail serve NAME")


class Foreign(http.server.BaseHTTPRequestHandler):
    """A server that is not ours."""

    content = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002


@pytest.fixture
def foreign() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Foreign)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


LINE = b'handrail_requests_total{model="\x1b[31m[red]x",version="1"} %s\n'


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\xff" * 100, b"up 1\n", LINE % b"NaN", LINE % b"-1", LINE % (b"9" * 400), LINE % b"1e999",
     b'handrail_request_seconds_bucket{model="a"} 1\n', b'handrail_request_seconds_bucket{le="x"} 1\n'],
)  # fmt: skip
@pytest.mark.usefixtures("quick")
def test_what_is_no_server_of_ours_is_said(content: bytes, foreign: str, cli: Cli,
                                           monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(Foreign, "content", content)
    cli("top", foreign, "--once").refused(5, "is no Handrail server")


@pytest.mark.usefixtures("quick")
def test_a_name_cannot_steer_the_terminal(foreign: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Foreign, "content", LINE % b"1")
    shown = cli("top", foreign, "--once")
    assert shown.status == 0
    assert "\x1b" not in shown.out
    assert "[red]x" in shown.out.replace("\n", "") or "…" in shown.out


@pytest.mark.parametrize(
    "url", ["ftp://x", "http://", "http://a b", "http://x:99999", "http://u:p@x", "http://x/?q", ""]
)
def test_an_address_that_is_none_is_refused(url: str, cli: Cli) -> None:
    cli("top", url).refused(2, "is no address of a server")
