"""BentoML: one worker; the batched endpoint is the one that is asked."""

import os
import typing

import bentoml
import numpy as np
import onnxruntime
from bentoml.validators import DType

Rows = typing.Annotated[np.ndarray, DType("float32")]


@bentoml.service(workers=1, threads=64, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Served:
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    @bentoml.api
    def predict(self, x: Rows) -> np.ndarray:
        return self.session.run(None, {"x": x.astype(np.float32)})[0]

    @bentoml.api(batchable=True, batch_dim=0, max_batch_size=64, max_latency_ms=1000)
    def predict_batched(self, x: Rows) -> np.ndarray:
        return self.session.run(None, {"x": x.astype(np.float32)})[0]
