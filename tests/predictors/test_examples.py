"""Cortex's examples run as they are: a cortex.yaml and a class, nothing of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from handrail.deploy.file import read_any
from handrail.predictors.project import snapshot
from tests.predictors.running import Asked, Running

EXAMPLES = Path(__file__).parents[2] / "examples" / "cortex"


@contextmanager
def example(name: str, tmp_path: Path) -> Iterator[Asked]:
    (spec,) = read_any(EXAMPLES / name / "cortex.yaml").specs
    assert spec.name == name
    folder = snapshot(EXAMPLES / name, tmp_path, spec.as_dict())
    started = Running(folder, None, {}, tmp_path / "log")
    try:
        with started.replica() as replica:
            assert replica.said["ready"] is True, replica.said
            yield replica
    finally:
        started.close()


def sample(name: str, file: str = "sample.json") -> bytes:
    return (EXAMPLES / name / file).read_bytes()


def test_the_iris_classifier_knows_its_flower(tmp_path: Path) -> None:
    with example("iris-classifier", tmp_path) as replica:
        assert replica.ask(sample("iris-classifier")).body == b"setosa"
        other = json.dumps({"sepal_length": 6.5, "sepal_width": 3, "petal_length": 5.8, "petal_width": 2.2}).encode()
        assert replica.ask(other).body == b"virginica"
    assert (EXAMPLES / "iris-classifier" / "model.onnx").stat().st_size < 100_000


def test_the_text_generator_goes_on_with_the_text(tmp_path: Path) -> None:
    with example("text-generator", tmp_path) as replica:
        reply = replica.ask(sample("text-generator"))
        assert reply.content_type == "text/plain; charset=utf-8"
        assert reply.body.startswith(b"machine learning is ")
        assert len(reply.body.split()) >= 53


def test_the_text_analyzer_asks_the_model_that_is_named(tmp_path: Path) -> None:
    name = "multi-model-text-analyzer"
    with example(name, tmp_path) as replica:
        found = json.loads(replica.ask(sample(name, "sample-sentiment.json"), query="model=sentiment").body)
        assert (found["label"], found["score"] > 0.5) == ("POSITIVE", True)
        summary = replica.ask(sample(name, "sample-summarizer.json"), query="model=summarizer").body.decode()
        assert "requests" in summary
        assert "weather" not in summary
        unknown = replica.ask(sample(name, "sample-sentiment.json"), query="model=poet")
        assert (unknown.status, json.loads(unknown.body)) == (400, {"error": "unknown model: poet"})
