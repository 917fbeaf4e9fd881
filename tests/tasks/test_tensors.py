"""ONNX files from elsewhere as models: vectors in, a vector out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.serve.served import serving

import handrail
from handrail.core.errors import HandrailError
from handrail.training.importing import import_onnx

WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3) / 10


def saved(path: Path, *, rows: Any = "rows", kind: int = TensorProto.FLOAT, operator: str = "MatMul") -> Path:
    """A graph y = x · w of vectors of 4 to vectors of 3."""
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", kind, [rows, 4])],
        [helper.make_tensor_value_info("y", kind, [rows, 3])],
        [numpy_helper.from_array(WEIGHTS.astype(helper.tensor_dtype_to_np_dtype(kind)), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_graph_from_elsewhere_answers_what_it_computes(tmp_path: Path) -> None:
    model = import_onnx(saved(tmp_path / "My Product.onnx"), home=tmp_path)
    assert (model.name, model.version) == ("my-product", 1)
    wanted = (np.array([1, 2, 3, 4.5], dtype=np.float32) @ WEIGHTS).tolist()
    assert model({"x": [1, 2, 3, 4.5]})["vector"] == pytest.approx(wanted, rel=1e-6)
    assert model.predict([[1, 2, 3, 4.5]] * 600)[599]["vector"] == pytest.approx(wanted, rel=1e-6)
    assert model({"x": np.array([1, 2, 3, 4.5])})["vector"] == pytest.approx(wanted, rel=1e-6)
    assert handrail.load("my-product", home=tmp_path).check()["examples"] == 3


@pytest.mark.parametrize(
    "vector",
    [[1, 2, 3], [1, 2, 3, "4"], [1, 2, 3, True], [[1, 2, 3, 4]], [1, 2, 3, 1e39], [1, 2, 3, None], "1234", 7, {}],
)
def test_what_is_no_vector_of_that_size_is_refused_with_the_field(tmp_path: Path, vector: Any) -> None:
    model = import_onnx(saved(tmp_path / "product.onnx"), home=tmp_path)
    with pytest.raises(HandrailError, match="expected a list of 4 numbers, received") as found:
        model({"x": vector})
    assert found.value.field == "x"


def test_graphs_that_are_not_taken_say_why(tmp_path: Path) -> None:
    for path, said in (
        (saved(tmp_path / "fixed.onnx", rows=7), r"shape \(7, 4\)"),
        (saved(tmp_path / "double.onnx", kind=TensorProto.DOUBLE), "type 11"),
    ):
        with pytest.raises(HandrailError, match=said) as found:
            import_onnx(path, home=tmp_path)
        assert "dynamic first axis" in found.value.mend
    (tmp_path / "no.onnx").write_bytes(b"\x08\x07nonsense")
    with pytest.raises(HandrailError, match="no valid ONNX"):
        import_onnx(tmp_path / "no.onnx", home=tmp_path)
    assert not (tmp_path / "models").exists()


def test_a_served_graph_answers_vectors_in_many_shapes(tmp_path: Path) -> None:
    model = import_onnx(saved(tmp_path / "product.onnx"), home=tmp_path)
    one = [1.0, 2.0, 3.0, 4.5]
    with serving(model.bundle.path) as served:
        for body in ({"x": one}, [one], [{"x": one}] * 700):
            status, _, content = served.ask("POST", "/product/predict", body)
            found = json.loads(content)
            assert status == 200
            assert found == (model.predict(body) if isinstance(body, list) else model(body))
        status, _, content = served.ask("POST", "/product/predict", {"x": [1, 2, 3]})
        assert (status, json.loads(content)["error"]["field"]) == (422, "x")
        assert served.ask("POST", "/product/predict?explain=true", {"x": one})[0] in (400, 422)
        for path in ("/product", "/docs", "/openapi.json", "/metrics"):
            assert served.ask("GET", path, headers={"accept": "text/html"})[0] == 200
