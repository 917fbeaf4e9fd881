"""LitServe: one worker, rows put together where BATCH says so."""

import os

import litserve
import numpy as np
import onnxruntime

BATCH = int(os.environ.get("BATCH", "1"))


class Api(litserve.LitAPI):
    def setup(self, device):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    def decode_request(self, request):
        return np.array(request["x"], dtype=np.float32)

    def predict(self, rows):
        return self.session.run(None, {"x": rows if BATCH > 1 else rows[None]})[0]

    def encode_response(self, scores):
        return {"y": np.ravel(scores).tolist()}


if __name__ == "__main__":
    more = {"max_batch_size": BATCH, "batch_timeout": 0.002} if BATCH > 1 else {}
    server = litserve.LitServer(Api(**more), accelerator="cpu", workers_per_device=1, timeout=60)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), num_api_servers=1, generate_client_file=False,
               log_level="error")  # fmt: skip
