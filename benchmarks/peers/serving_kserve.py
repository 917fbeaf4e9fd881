"""KServe's own server: one worker, its first protocol, without its log of latencies."""

import os

import numpy as np
import onnxruntime
from kserve import Model, ModelServer


class Served(Model):
    def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        rows = np.array(payload["instances"], dtype=np.float32)
        return {"predictions": self.session.run(None, {"x": rows})[0].tolist()}


if __name__ == "__main__":
    served = Served("m")
    served.load()
    server = ModelServer(http_port=int(os.environ["PORT"]), workers=1, enable_grpc=False, enable_latency_logging=False)
    server.start([served])
