"""Servers under load while something breaks: short doses of what `make soak` does for long."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handrail.model import Model, load
from tests.rig import doses
from tests.rig.asks import Ask, asks_of, refused_asks
from tests.rig.clients import Load, openly
from tests.rig.counts import quantile
from tests.rig.hanger import HANGS
from tests.rig.proxy import Faults, proxying
from tests.rig.server import HANGING, LEAKING, Server, started
from tests.rig.slow_model import NAME, make_slow_bundle, rows
from tests.rig.updater import save, switching
from tests.serve.bundles import ROW, make_bundle

ROWS = [{**ROW, "age": age} for age in range(18, 81)]
OFF = [(b"{", 400), (b'{"age": "old", "plan": "pro", "active": true}', 422), (b"[]" * 2, 400)]
LARGE = [{"age": 20 + place % 50, "plan": "basic", "active": True} for place in range(6_000)]


# The client itself is late when the machine is busy; this much is forgiven here, nothing in the benchmark.
LATE_S = 0.1


@pytest.fixture(scope="module")
def asks(model: Model) -> list[Ask]:
    """Requests of `churn`, each with an answer of its own."""
    return asks_of("churn", ROWS, model)


def show(found: Any) -> dict[str, Any]:
    """What happened, for the message of an assertion."""
    return {"machine": doses.machine(), **doses.told(found)}


@pytest.mark.slow
def test_killing_replicas_loses_no_request_of_careful_and_naive_clients(model: Model, asks: list[Ask]) -> None:
    with started(model.bundle.path, replicas=2) as server:
        asked = Load(200, 6, naive_share=0.5)
        found = doses.run(doses.kills(server, asks, asked, every_s=0.5, number=signal.SIGKILL))
    assert found.kills >= 10, show(found)
    assert found.restarts >= found.kills - 1, show(found)
    assert found.counts.failed == 0, show(found)
    assert found.counts.right == found.counts.sent > 1_000, show(found)


@pytest.fixture(scope="module")
def hanging(model: Model) -> Iterator[Server]:
    """Two replicas whose model can be made to hang."""
    with started(model.bundle.path, replicas=2, hang_s=1.0, command=HANGING) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("cause", ["stopped from outside", *HANGS])
def test_a_hung_replica_is_replaced_and_the_others_answer(hanging: Server, asks: list[Ask], cause: str) -> None:
    asked = Load(100, 1.8)
    request = None
    if cause in HANGS:
        (request,) = asks_of("churn", [{**ROW, "age": HANGS[cause]}], dict, headers={"x-deadline-ms": "500"})
    found = doses.run(doses.hang(hanging, asks, asked, request))
    assert found.replaced_s <= 10, show(found)
    assert found.counts.failed == 0, show(found)
    assert quantile(found.counts.right_s, 0.5) < 0.1, show(found)


@pytest.mark.slow
def test_switching_versions_loses_no_request_and_no_old_version_answers_afterwards(tmp_path: Path) -> None:
    home = tmp_path / "home"
    makers = [lambda folder, weight=weight: make_bundle(folder, weight=weight) for weight in (0.02, -0.05)]
    save(home, "churn", makers[0])
    models = [load("churn", home=home), makers[1](tmp_path / "other")]
    asks = [*asks_of("churn", ROWS, *models), *asks_of("churn", [LARGE], *models)]
    with started("churn", home=home, reload_s=0.1) as server:
        switch = switching(server, home, "churn", makers)
        asked = Load(100, 2.5, naive_share=0.5)
        found = doses.run(doses.switches(server, asks, asked, switch, versions=2, times=3))
    assert found.updates.stale == 0, show(found)
    assert found.counts.failed == 0, show(found)
    assert found.updates.switches == 3, show(found)


def busy_share(seconds: float = 0.5) -> float:
    """How much of the processors other programs take."""

    def ticks() -> tuple[int, int]:
        words = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:9]]
        return sum(words), words[3] + words[4]

    before = ticks()
    threading.Event().wait(seconds)
    after = ticks()
    return 1 - (after[1] - before[1]) / max(1, after[0] - before[0])


@pytest.mark.slow
def test_an_overload_is_refused_at_once_and_costs_little_of_the_goodput(tmp_path: Path) -> None:
    model = make_slow_bundle(tmp_path / NAME)
    asks = asks_of(NAME, rows(200), model, headers={"x-deadline-ms": "500"})
    busy = busy_share()
    with started(model.bundle.path) as server:
        found = doses.run(doses.overload(server, asks, times=3, seconds=2.4, deadline_s=0.5))
    refusals = found.counts.refused
    assert set(refusals) <= {503, 504}, show(found)
    assert found.counts.wrong == found.counts.lost.total() == found.counts.without_retry_after == 0, show(found)
    assert quantile(found.counts.refused_s, 0.5) <= 0.05, show(found)
    if busy > 0.2:
        pytest.skip(f"other programs take {busy:.0%} of the processors: how much is answered in time is theirs, too")
    assert refusals[503] > refusals[504], show(found)
    assert quantile(found.counts.right_s, 0.99) <= 0.5 + LATE_S, show(found)
    assert found.useful_share >= 0.5, show(found)  # 0.34 when only the queue was looked at


@pytest.mark.slow
def test_slow_clients_do_not_slow_the_honest(model: Model, asks: list[Ask]) -> None:
    (many,) = asks_of("churn", [ROWS * 6], model)
    with started(model.bundle.path) as server:
        found = doses.run(doses.slow_clients(server, asks, Load(200, 1), raw=many.raw, clients=10))
    assert found.alone.failed == found.beside.failed == 0, show(found)
    assert quantile(found.beside.right_s, 0.5) < 5 * quantile(found.alone.right_s, 0.5) + 0.01, show(found)


@pytest.mark.slow
def test_a_bad_network_harms_only_what_passes_through_it(model: Model, asks: list[Ask]) -> None:
    async def through_and_beside(server: Server) -> tuple[Any, Any, int]:
        faults = Faults(delay_s=0.002, trickle_share=0.3, cut_share=0.8, cut_bytes=5_000)
        async with proxying(server.port, faults) as proxy:
            asked = Load(100, 1)
            through, beside = await asyncio.gather(openly(proxy.port, asks, asked), openly(server.port, asks, asked))
            return through, beside, proxy.cut

    with started(model.bundle.path) as server:
        through, beside, cut = doses.run(through_and_beside(server))
        assert beside.failed == 0, beside.as_dict()
        assert through.wrong == 0
        assert 0 < through.lost.total() <= cut
        assert server.metric("requests_in_flight") == 0


@pytest.mark.slow
def test_a_soak_holds_no_more_at_its_end_and_a_leaking_server_fails_the_same(model: Model, asks: list[Ask]) -> None:
    mixed = [*asks, *refused_asks("churn", OFF)]
    asked = Load(150, 8, naive_share=0.3, leaving_share=0.1)

    async def both(honest: Server, leaking: Server) -> tuple[doses.Soaked, doses.Soaked]:
        return await asyncio.gather(
            doses.soak(honest, mixed, asked, warm_s=1.5), doses.soak(leaking, mixed, asked, warm_s=1.5)
        )

    with started(model.bundle.path) as honest, started(model.bundle.path, command=LEAKING) as leaking:
        found, leaked = doses.run(both(honest, leaking))
    assert found.counts.failed == 0, show(found)
    assert holds_no_more(found), show(found)
    assert not holds_no_more(leaked), show(leaked)
    assert not holds_no_more(dataclasses.replace(leaked, growth=found.growth)), "its descriptors alone give it away"
    assert not holds_no_more(dataclasses.replace(leaked, at_last=leaked.at_first)), "its memory alone gives it away"


def holds_no_more(found: doses.Soaked) -> bool:
    """At rest the same descriptors, and meanwhile memory that grows by less than a warm-up explains."""
    return found.descriptors_more <= 1 and found.growth.memory_mb < 5
