"""ONNXPredictor: the client that runs models, and what it says of inputs that do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from handrail.core.errors import HandrailError
from handrail.deploy.spec import ModelFiles
from handrail.predictors.onnx_client import ONNXClient
from handrail.predictors.settings import ManagedModels
from tests.predictors.running import answering, spec_of, write_project


def graph(shape: list[Any], kind: int = TensorProto.FLOAT, inputs: tuple[str, ...] = ("x",)) -> bytes:
    """y = x, or the sum of x and z."""
    op = helper.make_node("Identity" if len(inputs) == 1 else "Add", list(inputs), ["y"])
    given = [helper.make_tensor_value_info(name, kind, shape) for name in inputs]
    output = helper.make_tensor_value_info("y", kind, [None] * len(shape))
    made = helper.make_model(
        helper.make_graph([op], "g", given, [output]), opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    onnx.checker.check_model(made)
    content: bytes = made.SerializeToString()
    return content


def client(folder: Path, content: bytes) -> ONNXClient:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(content)
    return ONNXClient(ManagedModels(path=str(folder)))


@pytest.mark.parametrize(
    ("shape", "given", "wanted"),
    [
        ([1, 4], [1, 2, 3, 4], [[1, 2, 3, 4]]),
        (["batch", 4], [1, 2, 3, 4], [[1, 2, 3, 4]]),
        ([None, 2], [1, 2, 3, 4], [[1, 2], [3, 4]]),
        (["batch", "more"], [[1, 2]], [[1, 2]]),
        ([2], {"x": [1, 2]}, [1, 2]),
        ([2], np.array([1, 2], dtype=np.int64), [1, 2]),
    ],
)
def test_an_input_may_stand_alone_or_under_its_name(tmp_path: Path, shape: list[Any], given: Any, wanted: Any) -> None:
    (found,) = client(tmp_path, graph(shape)).predict(given)
    assert found.dtype == np.float32
    assert found.tolist() == wanted


def test_several_inputs_stand_in_a_dict(tmp_path: Path) -> None:
    two = client(tmp_path, graph([2], TensorProto.INT64, ("x", "z")))
    assert two.predict({"x": [1, 2], "z": [3, 4]})[0].tolist() == [4, 6]
    for given, said in (([1, 2], "2 inputs"), ({"x": [1, 2]}, "'z' is missing")):
        with pytest.raises(HandrailError, match=said):
            two.predict(given)


@pytest.mark.parametrize("given", [[1, 2, 3], ["a", "b"], {"y": [1, 2]}, None, [[1], [2, 3]]])
def test_what_does_not_fit_is_an_error_of_the_request(tmp_path: Path, given: Any) -> None:
    with pytest.raises(HandrailError) as found:
        client(tmp_path, graph([2])).predict(given)
    assert found.value.http_status == 422


def test_the_model_says_what_it_reads(tmp_path: Path) -> None:
    found = client(tmp_path, graph(["batch", 4])).get_model()
    assert found["input_signatures"] == {"x": {"shape": ["batch", 4], "type": "float32"}}
    assert [one.name for one in found["signatures"]] == ["x"]
    assert found["session"].run(None, {"x": np.zeros((1, 4), np.float32)})[0].shape == (1, 4)


def test_a_folder_with_two_graphs_or_none_is_refused(tmp_path: Path) -> None:
    two = client(tmp_path, graph([2]))
    (tmp_path / "other.onnx").write_bytes(graph([2]))
    with pytest.raises(HandrailError, match=r"model\.onnx, other\.onnx"):
        two.predict([1, 2])


def test_an_onnx_predictor_answers_with_the_version_that_is_asked_for(tmp_path: Path) -> None:
    code = """
        class ONNXPredictor:
            def __init__(self, onnx_client, config):
                self.client = onnx_client
            def predict(self, payload, query_params):
                return self.client.predict(payload, "m", query_params.get("version", "latest"))
    """
    files = {f"models/m/{number}/model.onnx": graph([number]) for number in (1, 2)}
    project = write_project(tmp_path / "iris", code, files)
    with answering(project, spec_of(type="onnx", models=ModelFiles(dir="models"))) as replica:
        assert json.loads(replica.ask(b"[1, 2]").body) == [[1, 2]]
        assert json.loads(replica.ask(b"[5]", query="version=1").body) == [[5]]
        assert "'x' is no float32 of shape [2]" in replica.problem(b"[1]")["problem"]
