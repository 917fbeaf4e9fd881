"""Runs ONNX weights with onnxruntime, on the CPU, from bytes that were hashed before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from handrail.core.errors import HandrailError
from handrail.runtimes.onnx_contents import refuse_foreign

Arrays = Mapping[str, np.ndarray]


class Graph:
    """An opened graph; `run` may be called from one thread at a time."""

    def __init__(self, session: object) -> None:
        self._session = session
        self._outputs = [item.name for item in session.get_outputs()]  # type: ignore[attr-defined]

    def run(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """All outputs by name. The arrays must have the names, types and shapes that the graph declares."""
        values = self._session.run(self._outputs, dict(arrays))  # type: ignore[attr-defined]
        return dict(zip(self._outputs, values, strict=True))


def load(content: bytes, *, threads: int = 1) -> Graph:
    """A graph from the bytes of a .onnx file. Raises HandrailError ("bundle") when it is not one.

    One thread by default: a row is answered in microseconds, and replicas, not threads, use the other cores.
    """
    try:
        refuse_foreign(content)
    except ValueError as error:
        raise HandrailError(
            "bundle", f"the weights are no ONNX of ours: {error}", "train it again, or get it from its maker"
        ) from error
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return Graph(onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"]))
    except Exception as error:
        raise HandrailError("bundle", f"the weights are no valid ONNX: {str(error)[:200]}", "train it again") from error
