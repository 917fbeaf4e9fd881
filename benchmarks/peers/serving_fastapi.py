"""What a developer writes by hand: FastAPI, pydantic, onnxruntime."""

import os

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
app = FastAPI()


class Row(BaseModel):
    x: list[float]


class Answer(BaseModel):
    y: list[float]


@app.post("/predict")
def predict(row: Row) -> Answer:
    scores = session.run(None, {"x": np.array([row.x], dtype=np.float32)})[0]
    return Answer(y=scores[0].tolist())


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="error", access_log=False)
