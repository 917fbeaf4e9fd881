"""MLServer: one process, its adaptive batching on."""

import json
import os
import sys
import tempfile
from pathlib import Path

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Served(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload):
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype("float32", copy=False)
        scores = self.session.run(None, {"x": rows})[0]
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", scores)])


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp())
    port = int(os.environ["PORT"])
    model = {
        "name": "m",
        "implementation": "serving_mlserver.Served",
        "max_batch_size": 32,
        "max_batch_time": 0.002,
    }
    server = {
        "debug": False,
        "http_port": port,
        "grpc_port": port + 1,
        "metrics_port": port + 2,
        "parallel_workers": 0,
    }
    (folder / "model-settings.json").write_text(json.dumps(model))
    (folder / "settings.json").write_text(json.dumps(server))
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent)
    os.chdir(folder)
    os.execv(Path(sys.executable).parent / "mlserver", ["mlserver", "start", "."])
