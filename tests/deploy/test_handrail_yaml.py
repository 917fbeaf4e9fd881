"""handrail.yaml: what it may hold, and how everything that is off in it is said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from handrail.core.errors import HandrailError
from handrail.deploy.file import read_any, read_file
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
from tests.deploy.files import found, only, problems, refusal, specs, write


def test_a_model_is_enough(tmp_path: Path) -> None:
    assert only(tmp_path, "- model: reviews\n") == ApiSpec("reviews", model="reviews")


@pytest.mark.parametrize("model", ["reviews@3", "reviews@production", "reviews"])
def test_an_api_is_called_as_its_model_is(tmp_path: Path, model: str) -> None:
    assert only(tmp_path, f"- model: {model}\n") == ApiSpec("reviews", model=model)


def test_apis_may_stand_under_one_key(tmp_path: Path) -> None:
    assert [spec.name for spec in specs(tmp_path, "apis:\n- model: a\n- model: b\n")] == ["a", "b"]


def test_what_is_not_given_has_the_defaults_of_the_specification(tmp_path: Path) -> None:
    text = "- {model: m, autoscaling: {}, batching: {}, limits: {}, compute: {}, update_strategy: {}, monitoring: {}}"
    assert only(tmp_path, text) == ApiSpec("m", model="m", monitoring=Monitoring())


def test_every_key_of_a_model_is_read(tmp_path: Path) -> None:
    text = """
- name: shop
  kind: RealtimeAPI
  model: reviews@3
  endpoint: /shop/reviews
  port: 8888
  autoscaling:
    min_replicas: 0
    max_replicas: 4
    init_replicas: 2
    target_in_flight: 2.5
    max_in_flight: 100
    window: 30s
    downscale_stabilization_period: 5m
    upscale_stabilization_period: 1m
    max_downscale_factor: 0.5
    max_upscale_factor: 2
    downscale_tolerance: 0.1
    upscale_tolerance: 0.2
  batching: {max_batch_size: 64, batch_interval: 20ms}
  limits: {timeout: 1h30m, hang: 500ms, ready: 90}
  compute: {cpu: 500m, mem: 512Mi, gpu: 50%}
  update_strategy: {max_surge: 0, max_unavailable: 50%}
  traffic:
    - {name: reviews@4, weight: 10%}
    - {name: reviews@5, header: 'x-canary: yes'}
    - {name: reviews@6, shadow: true}
  monitoring: {model_type: classification, key: label, sample: 10%, keep: 500, redact: [email, name]}
  keys: keys.json
  env: {OMP_NUM_THREADS: 1, DEBUG: true, CODE: 0x1F, WORD: "a b", EMPTY: ""}
"""
    assert only(tmp_path, text) == ApiSpec(
        "shop",
        model="reviews@3",
        endpoint="/shop/reviews",
        port=8888,
        autoscaling=Autoscaling(0, 4, 2, 2.5, 100, 30.0, 300.0, 60.0, 0.5, 2.0, 0.1, 0.2),
        batching=Batching(64, 0.02),
        limits=ApiLimits(5400.0, 0.5, 90.0),
        compute=Compute(0.5, 2**29, 0.5),
        update_strategy=UpdateStrategy(0, "50%"),
        traffic=(
            Share("reviews@4", 10.0),
            Share("reviews@5", header="x-canary: yes"),
            Share("reviews@6", 100.0, shadow=True),
        ),
        monitoring=Monitoring("classification", "label", 0.1, 500, ("email", "name")),
        keys=str(tmp_path / "keys.json"),
        env={"OMP_NUM_THREADS": "1", "DEBUG": "true", "CODE": "0x1F", "WORD": "a b", "EMPTY": ""},
    )


def test_every_key_of_a_predictor_is_read(tmp_path: Path) -> None:
    text = """
- name: iris
  predictor:
    path: ./predictor.py
    type: onnx
    class_name: Iris
    config: {threshold: 0.5, labels: [a, {b: null}], 1: x}
    models: {dir: models, cache_size: 2, disk_cache_size: 5, cache_bytes: 2Gi}
    python_path: src
    processes_per_replica: 2
    threads_per_process: 3
    log_level: debug
    requirements: requirements.txt
    server_side_batching: {max_batch_size: 8, batch_interval: 50ms}
"""
    batching = Batching(8, 0.05)
    predictor = Predictor(
        "predictor.py",
        "onnx",
        "Iris",
        {"threshold": 0.5, "labels": ["a", {"b": None}], "1": "x"},
        ModelFiles(dir=str(tmp_path / "models"), cache_size=2, disk_cache_size=5, cache_bytes=2**31),
        None,
        "src",
        2,
        3,
        "debug",
        batching,
        "requirements.txt",
    )
    assert only(tmp_path, text) == ApiSpec("iris", predictor=predictor, batching=batching)


def test_models_may_have_names_of_their_own(tmp_path: Path) -> None:
    text = "- {name: i, predictor: {path: predictor.py, models: {paths: [{name: My Iris, path: models/iris.onnx}]}}}"
    predictor = only(tmp_path, text).predictor
    assert predictor is not None
    assert predictor.models == ModelFiles(paths=(("My Iris", str(tmp_path / "models" / "iris.onnx")),))


def test_code_gets_one_request_at_a_time_unless_it_takes_several(tmp_path: Path) -> None:
    assert only(tmp_path, "- {name: i, predictor: {path: predictor.py}}").batching == Batching(max_batch_size=1)
    text = "- {name: i, predictor: {path: predictor.py}, batching: {max_batch_size: 8}}"
    (line,) = problems(tmp_path, text)
    assert "1:56: batching: " in line
    assert "server_side_batching" in line


def test_a_task_may_have_a_schedule(tmp_path: Path) -> None:
    for schedule in ("every 24h", "every 1h30m", "daily 03:00"):
        text = f"- {{name: retrain, kind: TaskAPI, schedule: {schedule}, predictor: {{path: task.py}}}}"
        assert only(tmp_path, text).schedule == schedule


def test_a_splitter_shares_requests_between_apis(tmp_path: Path) -> None:
    text = "- {name: s, kind: TrafficSplitter, traffic: [{name: a, weight: 99}, {name: b, weight: 1}]}"
    assert only(tmp_path, text) == ApiSpec("s", "TrafficSplitter", traffic=(Share("a", 99.0), Share("b", 1.0)))


def test_replicas_are_short_for_as_many_at_least_and_at_most(tmp_path: Path) -> None:
    assert only(tmp_path, "- {model: m, replicas: 2}").autoscaling == Autoscaling(2, 2)
    text = "- {model: m, replicas: 2, autoscaling: {target_in_flight: 3}}"
    assert only(tmp_path, text).autoscaling == Autoscaling(2, 2, target_in_flight=3)


def test_more_replicas_than_cores_need_no_other_word(tmp_path: Path) -> None:
    many = (os.cpu_count() or 1) + 5
    assert only(tmp_path, f"- {{model: m, autoscaling: {{min_replicas: {many}}}}}").autoscaling.max_replicas == many


def test_a_model_may_be_a_folder_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "reviews").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    for model in ("../reviews", str(tmp_path / "reviews"), "~/reviews", "./../reviews/"):
        assert only(tmp_path / "project", f"- model: {model}\n") == ApiSpec("reviews", model=str(tmp_path / "reviews"))


def test_a_folder_whose_name_is_no_name_needs_one(tmp_path: Path) -> None:
    (tmp_path / "My Model").mkdir()
    (line,) = problems(tmp_path, "- model: ./My Model\n")
    assert line.startswith("1:10: name: expected a name ([a-z0-9][a-z0-9._-]{0,63})")
    assert only(tmp_path, "- {model: ./My Model, name: mine}").name == "mine"


def test_what_was_read_survives_the_way_through_json(tmp_path: Path) -> None:
    text = (
        "- {name: i, predictor: {path: predictor.py, config: {a: [1, {b: 2.5}]}, models: {dir: models}}, env: {A: 1}}"
    )
    for spec in (*specs(tmp_path, text), *specs(tmp_path, "- {model: m, traffic: [{name: m@2, weight: 1}]}")):
        assert spec_from(json.loads(json.dumps(spec.as_dict()))) == spec


def test_templates_and_variables_are_text(tmp_path: Path) -> None:  # Y13
    spec = only(tmp_path, "- {model: m, env: {A: '{{7*7}}', B: $(id), C: \"${HOME}\", D: '`id`'}}")
    assert spec.env == {"A": "{{7*7}}", "B": "$(id)", "C": "${HOME}", "D": "`id`"}


def test_all_that_is_off_is_said_at_once_in_the_order_of_lines(tmp_path: Path) -> None:  # D25
    text = """\
- model: reviews
  replica: 2
  min_replicas: 5
  compute: {cpu: lots, mem: 512}
- name: Bad Name
  model: prices
  autoscaling: {min_replicas: 5, max_replicas: 2, target_replica_concurrency: 5}
  model: prices
- name: code
  predictor: {path: nope.py, config: {a: *x}}
- name: reviews
  model: reviews@2
"""
    assert problems(tmp_path, text) == [
        "2:3: unknown key 'replica'. Did you mean 'replicas'?",
        "3:3: unknown key 'min_replicas'; write it under 'autoscaling'",
        "4:18: compute.cpu: expected cores from 0.01 to 1,024, received 'lots'; write 0.5 or 500m",
        "4:29: compute.mem: expected a size from 16Mi to 16Ti, received 512",
        "5:9: name: expected a name ([a-z0-9][a-z0-9._-]{0,63}), received 'Bad Name'",
        "7:31: autoscaling.min_replicas: min_replicas 5 is more than max_replicas 2",
        "7:51: unknown key 'target_replica_concurrency' in autoscaling; it is called 'target_in_flight' here",
        "8:3: the key 'model' is given twice (lines 6 and 8)",
        "10:21: predictor.path: there is no file 'nope.py' in the project's folder",
        "10:42: aliases are not allowed",
        "11:9: name: two APIs are called 'reviews'",
    ]


def test_one_thing_that_is_off_says_where_which_key_and_what_to_write(tmp_path: Path) -> None:
    error = refusal(tmp_path, "- model: reviews\n  limits:\n    timeout: 10 s\n")
    assert error.code == "data"
    assert (
        error.problem
        == "limits.timeout: expected a duration from 10ms to 1d, received '10 s'; give it a unit: 10s, 500ms, 5m"
    )
    assert (error.where, error.field) == (f"{tmp_path}/handrail.yaml:3:14", "limits.timeout")
    assert error.mend == "for example 30s"


def test_an_unknown_key_is_answered_with_those_that_are_known(tmp_path: Path) -> None:  # Y5
    error = refusal(tmp_path, "- model: m\n  batching: {zzz: 1}\n")
    assert error.problem == "unknown key 'zzz' in batching"
    assert error.mend == "the keys of batching: max_batch_size, batch_interval"


@pytest.mark.parametrize(
    ("key", "hint"),
    [("Replicas", "Did you mean 'replicas'"), ("tracker", "it is called 'monitoring' here"),
     ("max_in_flight", "write it under 'autoscaling'"),
     ("max_replica_concurrency", "write 'max_in_flight' under 'autoscaling'"),
     ("memory", "write 'mem' under 'compute'"), ("window_s", ""), ("<<", "")],
)  # fmt: skip
def test_a_word_from_elsewhere_is_answered_with_the_word_from_here(tmp_path: Path, key: str, hint: str) -> None:
    (line,) = problems(tmp_path, f"- model: m\n  '{key}': 1\n")
    assert line.startswith(f"2:3: unknown key '{key}'")
    assert hint in line


def test_very_many_things_that_are_off_are_counted_beyond_a_screen(tmp_path: Path) -> None:
    error = refusal(tmp_path, "- model: m\n" + "".join(f"  k{index}: 1\n" for index in range(1000)))
    lines = error.problem.split("\n")
    assert lines[0].startswith("1,000 things are off in ")
    assert lines[-1] == "  and 970 more"
    assert len(lines) == 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: expected a list of APIs, received nothing"),
        ("# nothing\n", "1:1: expected a list of APIs, received nothing"),
        ("[]", "1:1: expected 1 to 1,000 APIs, received 0"),
        ("apis: []", "1:7: expected 1 to 1,000 APIs, received 0"),
        ("apis:", "1:6: expected a list of APIs, received nothing"),
        ("reviews", "1:1: expected a list of APIs, received 'reviews'"),
        ("model: reviews", "1:1: expected a list of APIs, received a mapping; each begins with '- '"),
        ("- reviews", "1:3: expected a mapping that describes an API, received 'reviews'"),
        ("- model: a\n---\n- model: b\n", "2:1: a second document begins here"),
        ("apis: [{model: a}]\nversion: 1\n", "2:1: unknown key 'version' beside 'apis'"),
        ("- {}", "1:3: model: missing; expected a model or a predictor"),
    ],
)
def test_what_is_no_list_of_apis_is_refused(tmp_path: Path, text: str, expected: str) -> None:  # Y8
    assert expected in problems(tmp_path, text)


@pytest.mark.parametrize("value", ["0", "-1", "1e6", "2.5", "true", "1001", "'2'", "null", "[2]", "{a: 2}"])
def test_a_number_of_replicas_is_refused_with_its_range(tmp_path: Path, value: str) -> None:  # Y10
    (line,) = problems(tmp_path, f"- model: m\n  replicas: {value}\n")
    assert line.startswith("2:13: replicas: expected a whole number from 1 to 1,000, received ")


@pytest.mark.parametrize(
    "models", ["{}", "{path: models, dir: models}", "{path: models/iris.onnx, paths: [{name: a, path: models}]}"]
)
def test_models_are_given_in_one_way(tmp_path: Path, models: str) -> None:
    (line,) = problems(tmp_path, f"- {{name: i, predictor: {{path: predictor.py, models: {models}}}}}")
    assert "expected one of path, paths and dir, received" in line


def test_a_predictor_of_type_onnx_needs_its_models(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "- {name: i, predictor: {path: predictor.py, type: onnx}}")
    assert line == "1:51: predictor.models: missing; expected the models of a predictor of type onnx"


def test_a_model_on_another_machine_is_answered_with_what_to_type(tmp_path: Path) -> None:
    text = "- {name: i, predictor: {path: predictor.py, models: {path: 's3://bucket/models/iris v2'}}}"
    (line,) = problems(tmp_path, text)
    assert "copy it here (aws s3 cp --recursive 's3://bucket/models/iris v2' 'models/iris v2')" in line


def test_a_folder_is_read_by_what_it_holds(tmp_path: Path) -> None:
    write(tmp_path, "- model: a\n")
    read = read_any(tmp_path)
    assert ([spec.name for spec in read.specs], read.style) == (["a"], "handrail")
    assert (read.project, read.path) == (tmp_path, tmp_path / "handrail.yaml")
    write(tmp_path, "- {name: b, predictor: {type: python, path: predictor.py}}", "cortex.yaml")
    assert read_any(tmp_path).notes == ("handrail.yaml is read; cortex.yaml beside it is not",)
    (tmp_path / "handrail.yaml").unlink()
    assert read_any(tmp_path).style == "cortex"
    (tmp_path / "cortex.yaml").rename(tmp_path / "handrail.yml")
    assert read_any(tmp_path).style == "handrail"


def test_a_folder_that_holds_none_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(HandrailError) as caught:
        read_any(tmp_path)
    assert caught.value.problem == "this folder holds no handrail.yaml and no cortex.yaml"
    assert caught.value.mend == "handrail deploy NAME deploys a model without a file"


def test_a_file_of_any_other_name_is_judged_by_its_words(tmp_path: Path) -> None:
    code = "- {name: b, predictor: {type: python, path: predictor.py}"
    assert found(tmp_path, code + "}", "apis.yaml").style == "handrail"
    assert found(tmp_path, code + ", networking: {local_port: 9000}}", "apis.yaml").style == "cortex"
    assert found(tmp_path, code + "}", "cortex_gpu.yaml").style == "cortex"


def test_read_file_gives_the_list_of_apis(tmp_path: Path) -> None:
    assert read_file(write(tmp_path, "- model: a\n")) == [ApiSpec("a", model="a")]
