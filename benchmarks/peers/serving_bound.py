"""The bound: uvicorn, httptools, orjson and onnxruntime in one process, and nothing else: no checks, no batches."""

import os
import socket

import numpy as np
import onnxruntime
import orjson
import uvicorn

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
HEADERS = [(b"content-type", b"application/json")]


async def app(scope, receive, send):
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    row = np.array([orjson.loads(body)["x"]], dtype=np.float32)
    scores = session.run(None, {"x": row})[0]
    answer = orjson.dumps({"y": scores[0]}, option=orjson.OPT_SERIALIZE_NUMPY)
    length = (b"content-length", b"%d" % len(answer))
    await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, length]})
    await send({"type": "http.response.body", "body": answer})


listening = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=2048)
config = uvicorn.Config(app, loop="uvloop", http="httptools", lifespan="off", log_level="error", access_log=False)
uvicorn.Server(config).run(sockets=[listening])
