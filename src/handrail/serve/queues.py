"""The queue that fits a model: rows travel in batches, texts are written side by side."""

from __future__ import annotations

from handrail.model import Model
from handrail.serve.batcher import Batcher, Batching, Queue
from handrail.serve.formats.writing import prompted
from handrail.serve.metrics import Metrics
from handrail.serve.packing import pack_for
from handrail.serve.processes import WRITING
from handrail.serve.streams import Streams
from handrail.tasks.generation.export import TOKENIZER


def queue_for(model: Model, metrics: Metrics, batching: Batching) -> Queue:
    """What stands between the requests for a model and its replicas."""
    if model.manifest.task == WRITING:
        words = str(model.manifest.files.get(TOKENIZER, {}).get("sha256", ""))
        return Streams(metrics, lambda row: prompted(row, model), batching, words=words)
    return Batcher(metrics, batching, pack_for(model.signature))
