"""What happens to a server over time: new versions, killed gateways, killed holders of models, shared memory."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from handrail.model import Model, load
from handrail.serve.processes import Ended, start_forkserver
from handrail.store import Store
from tests.serve.bundles import ROW, make_bundle
from tests.serve.served import Served, is_up, serving, until


@contextmanager
def asking(served: Served, wanted: list[Any], clients: int = 4) -> Iterator[list[object]]:
    """Clients that ask all the time over connections they keep; gives a list of what went wrong, empty at best."""
    done = threading.Event()
    wrong: list[object] = []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
        while not done.is_set():
            try:
                connection.request("POST", "/churn/predict", json.dumps(ROW), {"content-type": "application/json"})
                response = connection.getresponse()
                content = json.loads(response.read())
            except OSError as error:
                wrong.append(error)
                return
            if response.status != 200 or content not in wanted:
                wrong.append((response.status, content))
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        done.set()
        for thread in threads:
            thread.join()


def saved(home: Path, weight: float) -> Model:
    """The next version of `churn` in a store."""
    store = Store(home)
    with store.draft() as folder:
        make_bundle(folder, weight=weight)
        store.publish(folder, "churn")
    return load("churn", home=home)


def test_when_the_holder_of_the_model_is_killed_its_replicas_go_on_and_another_takes_its_place(model: Model) -> None:
    with serving(model.bundle.path) as served, asking(served, [model(ROW)]) as wrong:
        (holder,) = served.forkservers()
        (replica,) = served.replicas()
        os.kill(holder, signal.SIGKILL)
        assert served.predict(ROW) == (200, model(ROW))
        assert is_up(replica)
        os.kill(replica, signal.SIGKILL)
        until(lambda: served.replicas() not in ([], [replica]))
        assert served.predict(ROW) == (200, model(ROW))
    assert wrong == []


def test_replicas_that_are_ended_from_outside_take_no_request_along(model: Model) -> None:
    with serving(model.bundle.path, replicas=2) as served, asking(served, [model(ROW)]) as wrong:
        for number in (signal.SIGKILL, signal.SIGTERM) * 10:
            until(lambda: len(served.replicas()) == 2)
            with contextlib.suppress(ProcessLookupError, IndexError):  # it may just be gone
                os.kill(served.replicas()[0], number)
            assert served.predict(ROW) == (200, model(ROW))
    assert wrong == []


def test_a_new_version_takes_over_without_a_request_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDRAIL_HOME", str(tmp_path))
    wanted = [saved(tmp_path, 0.01)(ROW)]
    with serving("churn", reload_s=0.05) as served, asking(served, wanted) as wrong:
        for weight in (0.02, 0.03, 0.04):
            newest = saved(tmp_path, weight)
            wanted.append(newest(ROW))
            until(lambda newest=newest: served.predict(ROW) == (200, newest(ROW)))  # type: ignore[misc]
        until(lambda: len(served.forkservers()) == 1)
        assert json.loads(served.ask("GET", "/churn")[2])["version"] == 4
    assert wrong == []


def test_a_new_version_that_does_not_start_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDRAIL_HOME", str(tmp_path))
    first = saved(tmp_path, 0.01)
    with serving("churn", reload_s=0.05) as served:
        store = Store(tmp_path)
        with store.draft() as folder:
            make_bundle(folder, weight=0.02)
            weights = folder / "weights" / "model.onnx"
            weights.write_bytes(weights.read_bytes()[:-1] + b"x")
            store.publish(folder, "churn")
        last = saved(tmp_path, 0.03)
        until(lambda: served.predict(ROW) == (200, last(ROW)))
        assert first(ROW) != last(ROW)


def test_a_version_that_was_asked_for_by_number_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDRAIL_HOME", str(tmp_path))
    first = saved(tmp_path, 0.01)
    with serving("churn@1", reload_s=0.02) as served:
        saved(tmp_path, 0.02)
        threading.Event().wait(0.2)
        assert served.predict(ROW) == (200, first(ROW))


def test_what_a_killed_gateway_had_loaded_is_taken_over_by_the_next(model: Model) -> None:
    with serving(model.bundle.path, adoptable_s=20) as first:
        (holder,) = first.forkservers()
        replicas = first.replicas()
        first.stop(signal.SIGKILL)
        until(lambda: not any(map(is_up, replicas)))
        until(lambda: _waits(holder))
    with serving(model.bundle.path, adoptable_s=20) as second:
        assert second.forkservers() == []
        assert second.predict(ROW) == (200, model(ROW))
        assert is_up(holder)
        second.stop()
        until(lambda: not is_up(holder))


def _waits(pid: int) -> bool:
    """True when a process listens on a socket of the file system."""
    return f".{pid}" in Path("/proc/net/unix").read_text(encoding="ascii")


def test_what_nobody_takes_over_ends(model: Model) -> None:
    with serving(model.bundle.path, adoptable_s=0.2) as served:
        holders = served.forkservers()
        served.stop(signal.SIGKILL)
        until(lambda: not any(map(is_up, holders)))


def test_another_model_is_not_taken_over(model: Model, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "other", weight=0.5)
    with serving(model.bundle.path, adoptable_s=5) as served:
        served.stop(signal.SIGKILL)
    started = start_forkserver(other.bundle.path, adoptable_s=5)
    assert started.process is not None
    started.close()


def test_replicas_share_the_memory_of_the_model(tmp_path: Path) -> None:
    heavy = make_bundle(tmp_path / "heavy", ballast=4096)
    with serving(heavy.bundle.path, replicas=2) as served:
        for _ in range(20):
            assert served.predict(ROW)[0] == 200
        assert all(private_mb(replica) < 30 for replica in served.replicas())


def private_mb(pid: int) -> float:
    """Memory that a process shares with no other."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return sum(int(size) for size in re.findall(r"Private_\w+: +(\d+) kB", text)) / 1024


def test_a_process_that_the_system_ended_for_memory_is_named_with_what_it_held() -> None:
    ended = Ended(-signal.SIGKILL, 812 * 2**20, out_of_memory=True)
    assert ended.crashed
    assert str(ended) == "killed by the system, which was out of memory; it held 812 MB at most"
    assert not Ended(-signal.SIGKILL, 1, out_of_memory=False).crashed
    assert "SIGSEGV" in str(Ended(-signal.SIGSEGV, 1, out_of_memory=False))


def test_a_version_whose_process_dies_while_it_starts_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDRAIL_HOME", str(tmp_path))
    saved(tmp_path, 0.01)
    with serving("churn", reload_s=0.05) as served:
        (first,) = served.forkservers()
        last = saved(tmp_path, 0.02)
        until(lambda: len(served.forkservers()) == 2)
        for starting in set(served.forkservers()) - {first}:
            os.kill(starting, signal.SIGKILL)
        until(lambda: served.predict(ROW) == (200, last(ROW)))
