"""Granian with an application written by hand: ASGI, or its own RSGI where INTERFACE says so; nothing checked."""

import os

import numpy as np
import onnxruntime
import orjson
from granian import Granian

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
JSON = b"application/json"


def answer(body):
    row = np.array([orjson.loads(body)["x"]], dtype=np.float32)
    return orjson.dumps({"y": session.run(None, {"x": row})[0][0]}, option=orjson.OPT_SERIALIZE_NUMPY)


async def asgi(scope, receive, send):
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    content = answer(body)
    headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def rsgi(scope, protocol):
    protocol.response_bytes(200, [("content-type", "application/json")], answer(await protocol()))


if __name__ == "__main__":
    interface = os.environ.get("INTERFACE", "asgi")
    Granian(
        f"serving_granian:{interface}",
        address="127.0.0.1",
        port=int(os.environ["PORT"]),
        interface=interface,
        workers=1,
        loop="uvloop",
        http="1",
        websockets=False,
        log_level="error",
        log_access=False,
    ).serve()
