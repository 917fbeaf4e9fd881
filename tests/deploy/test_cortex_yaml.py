"""Cortex's own files, of versions 0.18 to 0.35, as they stand: D1, D4, D6 to D17 as far as the file goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from handrail.deploy.cortex import read_cortex
from handrail.deploy.spec import ApiSpec, Autoscaling, Batching, Compute, ModelFiles, Monitoring, Predictor, Share
from handrail.deploy.spec import UpdateStrategy as Update
from tests.deploy.files import found, only, problems, specs, write

CORTEX = "cortex.yaml"
CODE = "predictor: {type: python, path: predictor.py}"


def test_the_file_of_the_read_me_is_read_as_it_stands(tmp_path: Path) -> None:  # D1
    text = "- name: sentiment\n  predictor:\n    type: python\n    path: predictor.py\n"
    read = found(tmp_path, text, CORTEX)
    predictor = Predictor("predictor.py")
    assert read.specs == (
        ApiSpec("sentiment", predictor=predictor, port=8888, any_port=True, batching=Batching(max_batch_size=1)),
    )
    assert (read.notes, read.style, read.project) == ((), "cortex", tmp_path)


def test_every_key_of_version_18_is_read(tmp_path: Path) -> None:
    text = """
- name: iris
  predictor:
    type: onnx
    path: predictor.py
    model_path: models/iris.onnx
    processes_per_replica: 2
    threads_per_process: 2
    config: {labels: [a, b], threshold: 0.5}
    python_path: src
    image: mine/image:1
    env: {MODE: fast, LEVEL: 3}
  networking: {endpoint: /iris, local_port: 9000, api_gateway: public}
  compute: {cpu: 200m, gpu: 1, inf: 0, mem: 200Mi}
  monitoring: {model_type: classification, key: label}
  autoscaling:
    min_replicas: 1
    max_replicas: 4
    init_replicas: 2
    target_replica_concurrency: 1
    max_replica_concurrency: 100
    window: 10s
    downscale_stabilization_period: 5m
    upscale_stabilization_period: 0s
    max_downscale_factor: 0.75
    max_upscale_factor: 1.5
    downscale_tolerance: 0.05
    upscale_tolerance: 0.05
  update_strategy: {max_surge: 0, max_unavailable: 25%}
"""
    read = found(tmp_path, text, CORTEX)
    assert read.specs == (
        ApiSpec(
            "iris",
            predictor=Predictor(
                "predictor.py",
                "onnx",
                config={"labels": ["a", "b"], "threshold": 0.5},
                models=ModelFiles(path=str(tmp_path / "models" / "iris.onnx")),
                python_path="src",
                processes_per_replica=2,
                threads_per_process=2,
            ),
            endpoint="/iris",
            port=9000,
            autoscaling=Autoscaling(1, 4, 2, 1.0, 100, 10.0, 300.0, 0.0, 0.75, 1.5, 0.05, 0.05),
            batching=Batching(max_batch_size=1),
            compute=Compute(0.2, 200 * 2**20, 1.0),
            update_strategy=Update(0, "25%"),
            monitoring=Monitoring("classification", "label"),
            env={"MODE": "fast", "LEVEL": "3"},
        ),
    )
    assert [note.partition(": ")[2].partition(": left out")[0] for note in read.notes] == [
        "predictor.image",
        "networking.api_gateway",
        "compute.inf",
    ]
    assert all(note.startswith(f"{tmp_path}/cortex.yaml:") for note in read.notes)


@pytest.mark.parametrize(
    "models",
    [
        "model_path: models/iris.onnx",
        "models: {path: models/iris.onnx}",
        "multi_model_reloading: {path: models/iris.onnx}",
        "models: {path: models/iris.onnx, signature_key: predict}",
    ],
)
def test_one_model_is_named_as_any_version_did(tmp_path: Path, models: str) -> None:
    spec = only(tmp_path, f"- name: i\n  predictor:\n    type: onnx\n    path: predictor.py\n    {models}\n", CORTEX)
    assert spec.predictor is not None
    assert spec.predictor.models == ModelFiles(path=str(tmp_path / "models" / "iris.onnx"))


@pytest.mark.parametrize(
    "models",
    [
        "models: [{name: a, model_path: models/iris.onnx}]",
        "models: {paths: [{name: a, model_path: models/iris.onnx}]}",
        "models: {paths: [{name: a, path: models/iris.onnx, signature_key: x}]}",
    ],
)
def test_several_models_are_named_as_any_version_did(tmp_path: Path, models: str) -> None:
    spec = only(tmp_path, f"- name: i\n  predictor:\n    type: onnx\n    path: predictor.py\n    {models}\n", CORTEX)
    assert spec.predictor is not None
    assert spec.predictor.models == ModelFiles(paths=(("a", str(tmp_path / "models" / "iris.onnx")),))


def test_a_folder_of_models_is_read_with_its_caches(tmp_path: Path) -> None:  # D12
    text = f"- name: i\n  {CODE[:-1]}, multi_model_reloading: {{dir: models, cache_size: 2, disk_cache_size: 5}}}}\n"
    predictor = only(tmp_path, text, CORTEX).predictor
    assert predictor is not None
    assert predictor.multi_model_reloading == ModelFiles(dir=str(tmp_path / "models"), cache_size=2, disk_cache_size=5)


def test_batching_goes_to_the_code_and_to_the_queue(tmp_path: Path) -> None:  # D11
    text = f"- name: i\n  {CODE[:-1]}, server_side_batching: {{max_batch_size: 8, batch_interval: 50ms}}}}\n"
    spec = only(tmp_path, text, CORTEX)
    assert spec.predictor is not None
    assert spec.predictor.server_side_batching == spec.batching == Batching(8, 0.05)


def test_a_handler_of_version_34_is_a_predictor(tmp_path: Path) -> None:
    text = """
- name: i
  kind: RealtimeAPI
  handler:
    type: python
    path: predictor.py
    dependencies: {pip: requirements.txt, conda: conda-packages.txt, shell: dependencies.sh}
    log_level: debug
    shm_size: 64Mi
    protobuf_path: a.proto
    env: {A: b}
  node_groups: [cpu, gpu]
"""
    read = found(tmp_path, text, CORTEX)
    assert read.specs[0].predictor == Predictor("predictor.py", log_level="debug", requirements="requirements.txt")
    assert read.specs[0].env == {"A": "b"}
    assert [note.partition(": ")[2].partition(": left out")[0] for note in read.notes] == [
        "handler.dependencies.conda",
        "handler.dependencies.shell",
        "handler.shm_size",
        "handler.protobuf_path",
        "node_groups",
    ]


@pytest.mark.parametrize("kind", ["RealtimeAPI", "BatchAPI", "AsyncAPI"])
def test_kinds_that_have_code_keep_their_kind(tmp_path: Path, kind: str) -> None:
    spec = only(tmp_path, f"- name: i\n  kind: {kind}\n  {CODE}\n", CORTEX)
    assert (spec.kind, spec.port) == (kind, 8888 if kind == "RealtimeAPI" else None)


def test_kinds_of_before_their_release_are_known(tmp_path: Path) -> None:
    text = f"- name: i\n  kind: SyncAPI\n  {CODE}\n- name: s\n  kind: APISplitter\n  apis: [{{name: i, weight: 100}}]\n"
    assert [spec.kind for spec in specs(tmp_path, text, CORTEX)] == ["RealtimeAPI", "TrafficSplitter"]


def test_a_task_has_a_definition(tmp_path: Path) -> None:  # D17
    spec = only(tmp_path, "- {name: t, kind: TaskAPI, definition: {path: task.py, config: {a: 1}}}", CORTEX)
    assert (spec.kind, spec.predictor) == ("TaskAPI", Predictor("task.py", config={"a": 1}))


def test_a_splitter_has_apis(tmp_path: Path) -> None:  # D14
    shares = "{name: a, weight: 1}, {name: b, weight: 99}, {name: c, weight: 50, shadow: true}"
    text = f"- name: s\n  kind: TrafficSplitter\n  apis: [{shares}]\n"
    expected = (Share("a", 1.0), Share("b", 99.0), Share("c", 50.0, shadow=True))
    assert only(tmp_path, text, CORTEX) == ApiSpec("s", "TrafficSplitter", traffic=expected)


def test_each_realtime_api_has_a_port_of_its_own_from_8888_up(tmp_path: Path) -> None:
    text = f"- name: a\n  {CODE}\n- name: b\n  {CODE}\n  networking: {{local_port: 8889}}\n- name: c\n  {CODE}\n"
    assert [spec.port for spec in specs(tmp_path, text, CORTEX)] == [8888, 8889, 8890]


def test_a_key_without_a_value_is_not_given(tmp_path: Path) -> None:
    text = f"- name: a\n  kind:\n  {CODE}\n  compute: {{cpu: 1, mem: null}}\n  autoscaling:\n"
    assert only(tmp_path, text, CORTEX).compute == Compute(1.0)


def test_a_key_that_is_needed_has_a_value(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, f"- name:\n  {CODE}\n", CORTEX)
    assert line.startswith("1:3: name: missing; expected a name")


def test_the_words_of_before_version_17_are_known(tmp_path: Path) -> None:
    text = f"- name: a\n  {CODE}\n  tracker: {{model_type: regression}}\n"
    assert only(tmp_path, text, CORTEX).monitoring == Monitoring("regression")


def test_more_gpus_than_one_are_noted(tmp_path: Path) -> None:
    read = found(tmp_path, f"- name: a\n  {CODE}\n  compute: {{gpu: 2}}\n", CORTEX)
    assert read.specs[0].compute.gpu == 1.0
    assert read.notes == (f"{tmp_path}/cortex.yaml:3:18: compute.gpu: one is used, not 2",)


def test_all_that_is_off_is_said_at_once_in_cortexs_words(tmp_path: Path) -> None:  # D25
    text = """\
- name: t
  kind: TaskAPI
  predictor: {type: python, path: predictor.py}
- name: u
  predictor: {type: pytohn, path: nope.py, model_path: s3://bucket/models/iris, models: {dir: gs://x/y}}
- name: u
  predictor: {path: predictor.py}
  networking: {port: 3}
  autoscaling: {min_replicas: 3, max_replicas: 2, target_replica_concurrency: 400, max_replica_concurrency: 10}
- name: w
  pod: {port: 1}
- name: split
  kind: TrafficSplitter
  apis: [{name: iris, weight: 50}, {name: split, weight: 40}]
- name: z
  predictor: {type: onnx, path: predictor.py, models: {path: models, dir: models}}
- name: y
  predictor: {type: onnx, path: predictor.py}
  handler: {type: onnx, path: predictor.py}
- name: x
- name: r
  predicter: {type: python, path: predictor.py}
  kind: RealTimeAPI
"""
    s3 = "copy it here (aws s3 cp --recursive s3://bucket/models/iris models/iris) and write models/iris"
    gs = "copy it here (gsutil cp -r gs://x/y models/y) and write models/y"
    kinds = "RealtimeAPI, BatchAPI, AsyncAPI, TaskAPI, TrafficSplitter, SyncAPI or APISplitter"
    assert problems(tmp_path, text, CORTEX) == [
        "3:14: predictor: a TaskAPI has 'definition' instead",
        "5:21: predictor.type: expected python, onnx or tensorflow, received 'pytohn'",
        "5:35: predictor.path: there is no file 'nope.py' in the project's folder",
        f"5:56: predictor.model_path: 's3://bucket/models/iris' is not on this machine; {s3}",
        f"5:95: predictor.models.dir: 'gs://x/y' is not on this machine; {gs}",
        "6:9: name: two APIs are called 'u'",
        "7:14: predictor.type: missing; expected python, onnx or tensorflow",
        "8:16: unknown key 'port' in networking; it is called 'local_port' here",
        "9:31: autoscaling.min_replicas: min_replicas 3 is more than max_replicas 2",
        "9:79: autoscaling.target_replica_concurrency: 400 is more than may be in flight for a replica at all, 10",
        "11:8: pod: containers, which Cortex has from version 0.36, are not run here",
        "14:9: apis: the weights without the shadow's are 90; expected 100 in all",
        "14:43: apis[1].name: 'split' is this API itself",
        "16:55: predictor.models: expected one of path, paths and dir, received path and dir",
        "18:21: predictor.models: missing; expected the models of a predictor of type onnx",
        "19:12: handler: it says the same as 'predictor'",
        "20:3: predictor: missing; it says what answers",
        "21:3: predictor: missing; it says what answers",
        "22:3: unknown key 'predicter'. Did you mean 'predictor'?",
        f"23:9: kind: expected {kinds}, received 'RealTimeAPI'",
    ]


def test_the_same_thing_in_two_words_is_refused(tmp_path: Path) -> None:
    text = "- name: i\n  predictor: {type: onnx, path: predictor.py, model_path: models, models: {path: models}}\n"
    assert problems(tmp_path, text, CORTEX) == ["2:75: predictor.models: it says the same as 'model_path'"]
    text = f"- name: i\n  {CODE}\n  tracker: {{model_type: regression}}\n  monitoring: {{model_type: regression}}\n"
    assert problems(tmp_path, text, CORTEX) == ["4:3: monitoring: it says the same as another key of this API"]


def test_paths_may_not_leave_the_project_but_those_of_models(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    text = "- name: i\n  predictor: {type: onnx, path: ../predictor.py, model_path: ../models}\n"
    (line,) = problems(tmp_path / "project", text, CORTEX)
    assert line.startswith("2:33: predictor.path: '../predictor.py' leads out of the project's folder")


def test_read_cortex_gives_the_list_of_apis(tmp_path: Path) -> None:
    assert [spec.name for spec in read_cortex(write(tmp_path, f"- name: a\n  {CODE}\n", CORTEX))] == ["a"]
