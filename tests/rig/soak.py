"""The long doses: `make soak`, or `python -m tests.rig.soak [NAME …] [--share S] [--seed N]`; one JSON object each.

soak       10 minutes of requests, errors, clients that leave and 20 switches of versions
control    the same for a minute, with a replica that leaks: it has to fail
kills      5 minutes; kill -9 of a random replica of two each second
restarts   20 SIGTERMs of replicas
switches   20 switches of versions
hangs      a stopped, a looping, a blocked and a waiting replica, with the default limits
overload   a minute of three times as much as can be answered
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from handrail.model import Model, load
from tests.rig import doses
from tests.rig.asks import Ask, asks_of, refused_asks
from tests.rig.clients import Load, openly
from tests.rig.counts import Counts, quantile
from tests.rig.hanger import HANGS
from tests.rig.server import HANGING, LEAKING, started
from tests.rig.slow_model import NAME, make_slow_bundle, rows
from tests.rig.updater import Switch, save, switching, updating
from tests.rig.watcher import growth, watching
from tests.serve.bundles import ROW, make_bundle

WEIGHTS: Final = (0.02, -0.05)
ROWS: Final = [{**ROW, "age": age} for age in range(18, 81)]
OFF: Final = [(b"{", 400), (b'{"age": "old", "plan": "pro", "active": true}', 422), (b"[][]", 400)]
RATE_PER_S: Final = 150.0
# Versions are switched in the first part of a soak: a new process is no leak, but its memory is another. What is held
# is looked at after it.
SWITCH_SHARE, WARM_SHARE = 0.25, 0.4
# Before it all, as much at a time as a busy machine may ever make of it: what that needs is no growth.
BURST: Final = 5.0
BURST_SHARE: Final = 0.1
MB_PER_H: Final = 1.0


@dataclass(frozen=True)
class Place:
    """A store with the model in its first version, and requests with their right answers by both versions."""

    folder: Path
    share: float
    seed: int
    asks: list[Ask]

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def load(self, seconds: float, **options: Any) -> Load:
        return Load(RATE_PER_S, seconds, seed=self.seed, naive_share=0.5, **options)


Verdict = tuple[bool, dict[str, Any]]


def main() -> int:
    """0 when every dose went as it has to."""
    options = parsed()
    verdicts = [judged(name, options.share, options.seed) for name in options.names]
    return 0 if all(verdicts) else 1


def judged(name: str, share: float, seed: int) -> bool:
    """Takes a dose and writes what came of it."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        passed, found = DOSES[name](place_in(Path(folder), share, seed))
    about = {"dose": name, "passed": passed, "seconds": round(time.monotonic() - begun), "seed": seed}
    sys.stdout.write(json.dumps({**about, "machine": doses.machine(), **found}) + "\n")
    sys.stdout.flush()
    return passed


def place_in(folder: Path, share: float, seed: int) -> Place:
    """A fresh store."""
    save(folder / "home", "churn", makers()[0])
    models: list[Model] = [load("churn", home=folder / "home"), makers()[1](folder / "other")]
    return Place(folder, share, seed, asks_of("churn", ROWS, *models))


def makers() -> list[Callable[[Path], Model]]:
    """What writes each version."""
    return [lambda folder, weight=weight: make_bundle(folder, weight=weight) for weight in WEIGHTS]  # type: ignore[misc]


def soak(place: Place) -> Verdict:
    """Memory and descriptors over ten minutes of all that happens on a bad day."""
    return _soaked(place, 600 * place.share, switches=int(20 * place.share))


def control(place: Place) -> Verdict:
    """A server that leaks fails what `soak` asks for."""
    held, found = _soaked(place, max(20.0, 60 * place.share), switches=0, command=LEAKING)
    return not held and found["counts"]["wrong"] == 0, found


def _soaked(place: Place, seconds: float, *, switches: int, **options: Any) -> Verdict:
    mixed = [*place.asks * 2, *refused_asks("churn", OFF)]

    async def act(switch: Switch) -> tuple[Any, ...]:
        await openly(
            server.port, mixed, dataclasses.replace(place.load(seconds * BURST_SHARE), rate_per_s=BURST * RATE_PER_S)
        )
        at_first = await doses.at_rest(server)
        found = await asyncio.gather(
            openly(server.port, mixed, place.load(seconds, leaving_share=0.1)),
            watching(server.pid, seconds=seconds, every_s=max(0.2, seconds / 1_000)),
            _updating(switch, server.port, place, switches, seconds * SWITCH_SHARE),
        )
        return at_first, *found, await doses.at_rest(server)

    with started("churn", home=place.home, **options) as server:
        at_first, counts, samples, updates, at_last = doses.run(act(switching(server, place.home, "churn", makers())))
    grown = growth(samples, after_s=seconds * WARM_SHARE)
    held = grown.steady_mb_per_h <= MB_PER_H and at_last.descriptors - at_first.descriptors <= 1
    found = {"counts": counts.as_dict(), "updates": updates, "growth": asdict(grown)}
    found |= {"at_first": asdict(at_first), "at_last": asdict(at_last), "memory": _thinned(samples)}
    return held and counts.failed == 0, found


async def _updating(switch: Switch, port: int, place: Place, times: int, within_s: float) -> dict[str, Any] | None:
    if not times:
        return None
    every_s = within_s / (times + 1)
    return asdict(await updating(switch, port, place.asks, versions=2, times=times, every_s=every_s))


def _thinned(samples: list[Any]) -> list[list[float]]:
    """[second, MB, MB of the gateway, descriptors] at some twenty moments."""
    chosen = samples[:: max(1, len(samples) // 20)]
    return [
        [round(one.at_s), round(one.memory_bytes / 2**20, 2), round(one.root_bytes / 2**20, 2), one.descriptors]
        for one in chosen
    ]


def kills(place: Place) -> Verdict:
    """kill -9 each second."""
    return _killed(place, 300 * place.share, every_s=1.0, number=signal.SIGKILL)


def restarts(place: Place) -> Verdict:
    """SIGTERM every two seconds."""
    times = max(2, int(20 * place.share))
    return _killed(place, 2.0 * (times + 1), every_s=2.0, number=signal.SIGTERM)


def _killed(place: Place, seconds: float, *, every_s: float, number: int) -> Verdict:
    with started("churn", home=place.home, replicas=2) as server:
        found = doses.run(doses.kills(server, place.asks, place.load(seconds), every_s=every_s, number=number))
    return found.counts.failed == 0 and found.kills > 0, doses.told(found)


def switches(place: Place) -> Verdict:
    """Two versions take turns, and large bodies are on their way meanwhile."""
    times = max(2, int(20 * place.share))
    large = [{"age": 20 + number % 50, "plan": "basic", "active": True} for number in range(6_000)]
    models = [load("churn", home=place.home), makers()[1](place.folder / "again")]
    asks = [*place.asks, *asks_of("churn", [large], *models)]
    with started("churn", home=place.home, reload_s=0.2) as server:
        switch = switching(server, place.home, "churn", makers())
        found = doses.run(doses.switches(server, asks, place.load(2.5 * times), switch, versions=2, times=times))
    return found.counts.failed == 0 and found.updates.stale == 0, doses.told(found)


def hangs(place: Place) -> Verdict:
    """Each way to hang, with the limits that a server has when nobody says otherwise."""
    found: dict[str, Any] = {}
    passed = True
    with started("churn", home=place.home, replicas=2, command=HANGING) as server:
        for cause in ("stopped from outside", *HANGS):
            request = None
            if cause in HANGS:
                row = {**ROW, "age": HANGS[cause]}
                (request,) = asks_of("churn", [row], dict, headers={"x-deadline-ms": "500"})
            hung = doses.run(doses.hang(server, place.asks, place.load(15.0), request))
            passed &= hung.replaced_s <= 10 and hung.counts.failed == 0
            found[cause] = doses.told(hung)
    return passed, found


def overload(place: Place) -> Verdict:
    """Three times as much as can be answered."""
    model = make_slow_bundle(place.folder / NAME)
    asks = asks_of(NAME, rows(200), model, headers={"x-deadline-ms": "500"})
    with started(model.bundle.path) as server:
        found = doses.run(doses.overload(server, asks, times=3, seconds=max(5.0, 60 * place.share), deadline_s=0.5))
    counts = found.counts
    passed = found.share >= 0.9 and _is_kept(counts, 0.5) and counts.without_retry_after == 0
    return passed and found.memory.memory_mb < 10, doses.told(found)


def _is_kept(counts: Counts, deadline_s: float) -> bool:
    """The accepted in time, the others told at once."""
    told_s = quantile(counts.refused_s, 0.99)
    return counts.wrong == counts.lost.total() == 0 and quantile(counts.right_s, 0.99) <= deadline_s and told_s <= 0.05


DOSES: Final[dict[str, Callable[[Place], Verdict]]] = {
    act.__name__: act for act in (soak, control, kills, restarts, switches, hangs, overload)
}


def parsed() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=" ".join(DOSES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="0.1: a tenth of the time")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(DOSES))
    if unknown:
        parser.error(f"no dose is called {unknown[0]}; there are {' '.join(DOSES)}")
    options.names = options.names or list(DOSES)
    return options


if __name__ == "__main__":
    sys.exit(main())
