"""Predictors that answer the batches of a job, and tasks."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from handrail.predictors.project import snapshot
from tests.predictors.running import spec_of, write_project

BATCH = """
    class PythonPredictor:
        def __init__(self, config, job_spec, metrics_client):
            self.found = [config, job_spec["job_id"]]
            self.metrics = metrics_client
        def predict(self, payload, batch_id):
            self.metrics.increment("batches")
            if payload == ["bad"]:
                raise ValueError("no number")
            return {"got": payload, "batch": batch_id, "found": self.found}
        def on_job_complete(self):
            open("/dev/null", "w").write("done")
            print("complete")
"""
TASK = """
    class Task:
        def __call__(self, config):
            print("runs with", sorted(config.items()))
            return config["a"] + config["b"]
"""
RUN = """
    from pathlib import Path
    import sys
    from handrail.core.errors import HandrailError
    from handrail.predictors.job_code import JobCode
    folder = Path(sys.argv[1])
"""


def run(tmp_path: Path, code: str, script: str, **spec: object) -> list[str]:
    """What a process prints that opens the code as a job does."""
    folder = snapshot(write_project(tmp_path / "job", code), tmp_path / "into", spec_of(**spec))  # type: ignore[arg-type]
    whole = textwrap.dedent(RUN) + textwrap.dedent(script)
    found = subprocess.run(
        [sys.executable, "-c", whole, str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()


def test_a_batch_is_a_list_and_a_jobs_config_wins(tmp_path: Path) -> None:
    script = """
        code = JobCode(folder, {"job_id": "j1", "config": {"b": 3}})
        print(code.predict([1, 2], "b1"))
        print(code.metrics())
        try:
            code.predict(["bad"], "b2")
        except HandrailError as error:
            print(error.problem, "|", error.where)
        code.complete()
        code.close()
    """
    answer, metrics, problem, complete = run(tmp_path, BATCH, script, config={"a": 1, "b": 2})
    assert answer == "{'got': [1, 2], 'batch': 'b1', 'found': [{'a': 1, 'b': 3}, 'j1']}"
    assert metrics == "[('increment', 'batches', 1.0, {})]"
    assert problem == "predict failed: ValueError: no number | predictor.py line 9"
    assert complete == "complete"


def test_a_task_is_called_with_its_config(tmp_path: Path) -> None:
    script = """
        code = JobCode(folder)
        print(code.run({"b": 40}))
        try:
            code.run({"b": "x"})
        except HandrailError as error:
            print(error.problem, "|", error.where)
        code.complete()
        code.close()
    """
    says, answer, _, problem = run(tmp_path, TASK, script, config={"a": 2, "b": 3})
    assert (says, answer) == ("runs with [('a', 2), ('b', 40)]", "42")
    assert (
        problem
        == "__call__ failed: TypeError: unsupported operand type(s) for +: 'int' and 'str' | predictor.py line 5"
    )


def test_a_batch_for_a_task_and_the_other_way_are_refused(tmp_path: Path) -> None:
    script = """
        code = JobCode(folder, {"job_id": "j1"})
        try:
            code.run()
        except HandrailError as error:
            print(error.problem)
        code.close()
    """
    assert run(tmp_path, BATCH, script) == ["the class has no __call__"]
