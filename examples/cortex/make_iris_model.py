"""Makes iris-classifier/model.onnx: a softmax regression of the 150 iris flowers that Fisher measured in 1936.

python examples/cortex/make_iris_model.py
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

flowers, kinds = load_iris(return_X_y=True)
fitted = LogisticRegression(C=10.0, max_iter=1000).fit(flowers, kinds)
parts = {"weights": fitted.coef_.T, "bias": fitted.intercept_}
graph = helper.make_graph(
    [
        helper.make_node("Gemm", ["input", "weights", "bias"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ],
    "iris",
    [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["flowers", 4])],
    [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["flowers"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["flowers", 3]),
    ],
    [numpy_helper.from_array(np.asarray(value, dtype=np.float32), name) for name, value in parts.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
checker.check_model(model)
(Path(__file__).parent / "iris-classifier" / "model.onnx").write_bytes(model.SerializeToString())
print(f"right about {fitted.score(flowers, kinds):.1%} of the flowers it was fitted to")
