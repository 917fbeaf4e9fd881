"""Plans for all situations, as texts in golden/plan; `python -m tests.deploy.test_plan` writes them anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from handrail.core.errors import HandrailError
from handrail.deploy.plan import Actual, Desired, Step, changes, plan
from handrail.deploy.spec import (
    ApiLimits,
    ApiSpec,
    Autoscaling,
    Batching,
    Compute,
    ModelFiles,
    Monitoring,
    Predictor,
    Share,
    UpdateStrategy,
    spec_from,
)

GOLDEN = Path(__file__).parent / "golden" / "plan"
SCALING = Autoscaling(max_replicas=2)


def model(name: str = "reviews", **given: Any) -> ApiSpec:
    return ApiSpec(name, **{"model": f"{name}@3", "autoscaling": SCALING, **given})


def code(name: str = "labels", **given: Any) -> ApiSpec:
    predictor = Predictor("predictor.py", **given.pop("predictor", {}))
    return ApiSpec(name, **{"predictor": predictor, "autoscaling": SCALING, **given})


def splitter(name: str = "both", **weights: float) -> ApiSpec:
    shares = tuple(Share(api, weight) for api, weight in weights.items())
    return ApiSpec(name, "TrafficSplitter", traffic=shares, autoscaling=SCALING)


def changed(before: ApiSpec, *, state: str = "live", **after: Any) -> list[Step]:
    """The plan for one API of which some things are to be different."""
    digest = "new" if "model" in after else "old"
    return plan([Desired(replace(before, **after), digest)], [Actual(before, "old", state)])


def there(*specs: ApiSpec, state: str = "live") -> list[Actual]:
    return [Actual(spec, f"{spec.name}-1", state) for spec in specs]


def asked(*specs: ApiSpec) -> list[Desired]:
    return [Desired(spec, f"{spec.name}-1") for spec in specs]


CANARY = Share("reviews@4", 10.0)
SITUATIONS: dict[str, Sequence[Step]] = {
    "the first API": plan(asked(model()), []),
    "nothing changed": plan(asked(model()), there(model())),
    "another version of the model": changed(model(), model="reviews@4"),
    "an alias that was moved": plan(
        [Desired(model(model="reviews@live"), "b")], [Actual(model(model="reviews@live"), "a")]
    ),
    "more replicas": changed(model(), autoscaling=replace(SCALING, max_replicas=4)),
    "another rhythm of scaling": changed(
        model(), autoscaling=replace(SCALING, window_s=90.0, downscale_stabilization_period_s=0.5, target_in_flight=2.0)
    ),
    "replicas and a version": changed(model(), model="reviews@4", autoscaling=replace(SCALING, min_replicas=2)),
    "a longer time limit": changed(model(), limits=ApiLimits(timeout_s=90.0)),
    "limits of the processes": changed(model(), limits=ApiLimits(timeout_s=90.0, hang_s=60.0)),
    "keys, port and endpoint": changed(model(), keys="team.json", port=8888, endpoint="/reviews/v2"),
    "a canary": changed(model(), traffic=(CANARY,)),
    "a canary by header and a shadow": changed(
        model(), traffic=(Share("reviews@4", header="x-beta: yes"), Share("reviews@5", 50.0, shadow=True))
    ),
    "more for the canary": changed(model(traffic=(CANARY,)), traffic=(Share("reviews@4", 50.0),)),
    "no canary any more": changed(model(traffic=(CANARY,)), traffic=()),
    "canaries in another order": changed(
        model(traffic=(CANARY, Share("reviews@5"))), traffic=(Share("reviews@5"), CANARY)
    ),
    "watched": changed(model(), monitoring=Monitoring(sample=0.1)),
    "watched otherwise": changed(
        model(monitoring=Monitoring()), monitoring=Monitoring("classification", keep=500, redact=("name", "email"))
    ),
    "not watched any more": changed(model(monitoring=Monitoring()), monitoring=None),
    "batches, memory and strategy": changed(
        model(), batching=Batching(64, 0.05), compute=Compute(2.0, 512 * 2**20, 0.5), update_strategy=UpdateStrategy(0)
    ),
    "only the strategy": changed(model(), update_strategy=UpdateStrategy(0, 1)),
    "secrets are not shown": changed(
        code(env={"TOKEN": "s3cret", "OLD": "1"}, predictor={"config": {"key": "hidden", "deep": {"size": 1}}}),
        env={"TOKEN": "s4cret", "NEW": "2"},
        predictor=Predictor("predictor.py", config={"key": "other", "deep": {"size": 2}, "more": None}),
    ),
    "other code": plan([Desired(code(), "b")], [Actual(code(), "a")]),
    "another predictor": changed(
        code(), predictor=Predictor("other.py", "onnx", processes_per_replica=2,
                                    models=ModelFiles(paths=(("a", "models/a"), ("b", "models/b"))))
    ),
    "other models of a predictor": changed(
        code(predictor={"models": ModelFiles(dir="models", cache_size=2)}),
        predictor=Predictor("predictor.py", models=ModelFiles(dir="models", cache_size=4, cache_bytes=2**30)),
    ),
    "code instead of a model": changed(model(), model=None, predictor=Predictor("predictor.py")),
    "another kind": changed(code(), kind="TaskAPI", schedule="every 24h"),
    "another schedule": changed(code(kind="TaskAPI", schedule="every 24h"), schedule="daily 03:00"),
    "it failed": changed(model(), state="failed"),
    "it failed, and is asked for otherwise": changed(
        model(), state="failed", autoscaling=replace(SCALING, min_replicas=2)
    ),
    "it was stopped": changed(model(), state="stopped"),
    "it is on its way": [step for state in ("updating", "starting", "asleep", "degraded")
                         for step in changed(model(), state=state)],
    "one of three": plan(
        asked(model("a"), model("b", model="b@4"), code("c")), there(model("a"), model("b"), code("c"))
    ),
    "others are left alone": plan(asked(model("a")), there(model("a"), model("b"))),
    "others are removed": plan(
        asked(model("a")), there(model("z"), splitter(z=50, b=50), model("b"), model("a")), prune=True
    ),
    "all are removed": plan([], there(model("a")), prune=True),
    "a splitter comes after what it names": plan(asked(splitter(a=50, b=50), model("a"), model("b")), []),
    "a splitter shares out otherwise": plan(
        asked(splitter(a=1, b=99), model("a"), model("b")), there(splitter(a=50, b=50), model("a"), model("b"))
    ),
    "a splitter lets go of what is removed": plan(
        asked(splitter(a=100), model("a")), there(splitter(a=50, b=50), model("a"), model("b")), prune=True
    ),
}  # fmt: skip


def text_of(steps: Sequence[Step]) -> str:
    lines = [line for step in steps for line in (f"{step.do} {step.api}", *(f"    {reason}" for reason in step.why))]
    return "\n".join(lines or ["nothing"]) + "\n"


def path_of(situation: str) -> Path:
    return GOLDEN / f"{situation.replace(',', '').replace(' ', '-')}.txt"


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_plan_is_as_it_was(situation: str) -> None:
    assert text_of(SITUATIONS[situation]) == path_of(situation).read_text(encoding="utf-8")


def test_every_golden_file_is_of_a_situation() -> None:
    assert sorted(GOLDEN.iterdir()) == sorted(path_of(situation) for situation in SITUATIONS)


def test_no_secret_is_in_a_step() -> None:
    text = text_of(SITUATIONS["secrets are not shown"])
    assert not [word for word in ("s3cret", "s4cret", "hidden", "other") if word in text]


def test_a_plan_that_was_carried_out_asks_for_nothing_more() -> None:
    specs = [
        model("a", traffic=(CANARY,), monitoring=Monitoring(redact=("x",))),
        code("b", env={"A": "1"}),
        splitter(a=100),
    ]
    assert {step.do for step in plan(asked(*specs), there(*specs), prune=True)} == {"keep"}


def test_a_spec_that_was_written_down_and_read_again_is_the_same() -> None:
    before = [
        model(traffic=(CANARY,), monitoring=Monitoring(redact=("x",)), compute=Compute(mem=2**30)),
        code(predictor={"models": ModelFiles(paths=(("a", "b"),)), "config": {"a": [1, {"b": None}]}}),
    ]
    after = [spec_from(json.loads(json.dumps(spec.as_dict()))) for spec in before]
    assert {step.do for step in plan(asked(*after), there(*before))} == {"keep"}


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(HandrailError, match="'reviews' is asked for twice"):
        plan(asked(model(), model()), [])


def test_planning_changes_nothing_and_gives_the_same_each_time() -> None:
    wanted, found = asked(splitter(a=100), model("a", model="a@4")), there(model("a"), model("b"))
    assert plan(wanted, found, prune=True) == plan(wanted, found, prune=True)
    assert [one.spec.name for one in wanted] == ["both", "a"]


def test_changes_name_their_fields() -> None:
    found = changes(model(), model(limits=ApiLimits(hang_s=4.0), compute=Compute(mem=2**30)))
    assert [(change.path, change.text) for change in found] == [
        ("limits.hang_s", "limits.hang 8s → 4s"), ("compute.mem", "compute.mem none → 1Gi"),
    ]  # fmt: skip


def test_names_that_users_chose_are_told_whole() -> None:
    after = model("reviews", env={"wait_s": "1"}, traffic=(Share("reviews_s", 5.0),))
    assert [one.text for one in changes(model(), after)] == ["traffic.reviews_s added: 5 %", "env.wait_s added"]


def test_a_long_value_is_cut() -> None:
    (change,) = changes(model(), model(model="m" * 300))
    assert len(change.text) < 100


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for old in GOLDEN.iterdir():
        old.unlink()
    for name, steps in SITUATIONS.items():
        path_of(name).write_text(text_of(steps), encoding="utf-8")
