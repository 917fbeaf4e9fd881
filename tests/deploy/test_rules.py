"""Rules that look at several values, in a file and in values that were made in Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from handrail.core.errors import HandrailError
from handrail.deploy.rules import TAKEN, refuse_broken
from handrail.deploy.spec import ApiSpec, Autoscaling
from tests.deploy.files import problems, specs


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("autoscaling: {min_replicas: 3, max_replicas: 2}", "31: autoscaling.min_replicas: min_replicas 3 is"),
        ("autoscaling: {min_replicas: 2, max_replicas: 4, init_replicas: 5}", "init_replicas 5 is not from min"),
        ("autoscaling: {min_replicas: 2, max_replicas: 4, init_replicas: 1}", "init_replicas 1 is not from min"),
        ("autoscaling: {target_in_flight: 8, max_in_flight: 4}", "8 is more than may be in flight for a replica"),
        ("autoscaling: {target_in_flight: 0}", "expected a number above 0 to 1,000,000, received 0"),
        ("autoscaling: {max_upscale_factor: 1}", "expected a number above 1 to 100, received 1"),
        ("autoscaling: {max_downscale_factor: 1}", "expected a number from 0 and below 1, received 1"),
        ("autoscaling: {min_replicas: 1}\n  replicas: 1", "autoscaling.min_replicas: 'replicas' fixes their number"),
        ("update_strategy: {max_surge: 0, max_unavailable: 0%}", "so nothing could be replaced"),
        ("update_strategy: {max_surge: 101%}", "a percentage from 0% to 100%, received '101%'"),
        ("traffic: [{name: a, weight: 70}, {name: b, weight: 50}]", "3:12: traffic: the weights are 120; expected at"),
        ("traffic: [{name: a, shadow: true}, {name: b, shadow: true}]", "one shadow is allowed"),
        ("traffic: [{name: a, weight: 1}, {name: a, weight: 2}]", "'a' is named twice"),
        ("traffic: [{name: m, weight: 1}]", "traffic[0].name: 'm' is this API itself"),
        ("traffic: [{name: a}]", "traffic[0].weight: it gets no requests"),
        ("traffic: [{weight: 5}]", "traffic[0].name: missing; expected a model"),
        ("traffic: [{name: a, shadow: true, header: x}]", "a shadow answers nobody"),
        ("traffic: [{name: a, header: 'x y'}]", "expected a header"),
        ("traffic: [{name: a, header: \"x: 1\\r\\ny: 2\"}]", "expected a header"),
        ("traffic: [{name: a, weight: 101}]", "expected a percentage from 0 to 100, received 101"),
        ("traffic: {name: a, weight: 1}", "expected a list of shares, received a mapping"),
        ("port: 0", "expected a whole number from 1 to 65,535, received 0"),
        ("port: 65536", "expected a whole number from 1 to 65,535, received 65536"),
        ("schedule: daily 03:00", "a RealtimeAPI has no schedule; a TaskAPI has"),
        ("kind: TaskAPI\n  schedule: every 5s", "schedule: expected every 10s to every 366d, or daily HH:MM"),
        ("kind: TaskAPI\n  schedule: every 400d", "schedule: expected every 10s to every 366d"),
        ("kind: TaskAPI", "a TaskAPI runs code of yours"),
        ("kind: BatchAPI\n  traffic: [{name: a, weight: 1}]", "a BatchAPI shares no requests"),
        ("kind: realtimeapi", "expected RealtimeAPI, BatchAPI, AsyncAPI, TaskAPI or TrafficSplitter"),
        ("predictor: {path: predictor.py}", "one of model and predictor answers, not both"),
        ("endpoint: /docs/x", "'/docs/x' is a path of Handrail's own"),
        ("endpoint: /a/../b", "endpoint: expected a path"),
        ("endpoint: /a b", "endpoint: expected a path"),
        ("limits: {timeout: 2d}", "limits.timeout: expected a duration from 10ms to 1d, received '2d'"),
        ("limits: {timeout: 0}", "limits.timeout: expected a duration from 10ms to 1d, received 0"),
        ("compute: {gpu: 2}", "expected a share from 0 to 1"),
        ("monitoring: {sample: yes}", "expected a share from 0 to 1"),
        ("monitoring: {redact: email}", "expected a list of names of inputs, received 'email'"),
        ("env: [A]", "env: expected names with their texts, received a list"),
        ("env: {A: }", "env.A: expected a text, received nothing; write \"\" for an empty text"),
    ],
)  # fmt: skip
def test_rules_beyond_single_values_are_told_at_the_key_that_breaks_them(
    tmp_path: Path, line: str, expected: str
) -> None:
    found = problems(tmp_path, f"- model: m\n  {line}\n".replace("- model: m\n", "- model: m\n\n", 1))
    assert any(expected in one for one in found), found


def test_a_splitter_needs_weights_of_a_hundred_and_neither_model_nor_code(tmp_path: Path) -> None:
    text = "- {name: s, kind: TrafficSplitter, traffic: [{name: a, weight: 50}, {name: b, weight: 49}]}"
    assert problems(tmp_path, text) == ["1:45: traffic: the weights without the shadow's are 99; expected 100 in all"]
    assert "missing; expected the APIs" in problems(tmp_path, "- {name: s, kind: TrafficSplitter}")[0]
    text = "- {name: s, kind: TrafficSplitter, model: m, traffic: [{name: s, weight: 100}]}"
    assert problems(tmp_path, text) == [
        "1:43: model: a TrafficSplitter has none; its traffic names other APIs",
        "1:63: traffic[0].name: 's' is this API itself",
    ]


def test_thirds_are_a_hundred(tmp_path: Path) -> None:
    shares = ", ".join(f"{{name: {name}, weight: 33.333333}}" for name in "ab")
    assert specs(tmp_path, f"- {{name: s, kind: TrafficSplitter, traffic: [{shares}, {{name: c, weight: 33.333334}}]}}")


def test_names_paths_and_ports_are_each_used_once(tmp_path: Path) -> None:
    assert problems(tmp_path, "- {model: a, port: 1}\n- {model: b, port: 1, endpoint: /a/}\n- {model: a@2}\n") == [
        "2:20: port: two APIs answer at port 1",
        "2:33: endpoint: two APIs answer at '/a'",
        "3:11: name: two APIs are called 'a'",
    ]


@pytest.mark.parametrize("name", sorted(TAKEN))
def test_names_of_handrail_itself_are_taken(tmp_path: Path, name: str) -> None:
    assert problems(tmp_path, f"- {{name: {name}, model: m}}") == [f"1:10: name: '{name}' is a name of Handrail's own"]


def test_values_that_were_made_in_python_obey_the_same_rules() -> None:
    refuse_broken([ApiSpec("a", model="m"), ApiSpec("b", model="m")])
    wrong = ApiSpec("a", model="m", autoscaling=Autoscaling(3, 2))
    with pytest.raises(HandrailError) as caught:
        refuse_broken([wrong])
    assert caught.value.problem == "a: autoscaling.min_replicas: min_replicas 3 is more than max_replicas 2"
    assert (caught.value.code, caught.value.field) == ("usage", "autoscaling.min_replicas")
    with pytest.raises(HandrailError) as caught:
        refuse_broken([wrong, ApiSpec("a")])
    assert caught.value.problem.split("\n") == [
        "3 things are off in these APIs:",
        "  a: autoscaling.min_replicas: min_replicas 3 is more than max_replicas 2",
        "  a: model: missing; expected a model or a predictor",
        "  a: name: two APIs are called 'a'",
    ]
