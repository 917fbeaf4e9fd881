"""Tasks are run once when asked for, one run of a name at a time, each recorded with what it printed."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from handrail.core.errors import HandrailError
from handrail.deploy.schedule import DAY_S
from handrail.jobs import queue
from handrail.jobs.attending import Terms, attend
from handrail.jobs.batch import log_of
from handrail.jobs.database import opened
from handrail.jobs.tasks import Task, deployed_task, mark, run_here, submit_task, upcoming
from tests.faces.conftest import Cli, cli
from tests.jobs.shop import code
from tests.serve.served import until

__all__ = ["cli"]
NOW = 1_795_564_800.0
TASK = """
class Task:
    def __call__(self, config):
        {}
"""


def task(home: Path, act: str, schedule: str | None = None) -> Task:
    code(home, TASK.format(act), kind="TaskAPI", name="retrain", schedule=schedule)
    return deployed_task(home, "retrain")


def run(home: Path, act: str, **config: Any) -> queue.Job:
    return run_here(home, task(home, act), config)


def test_a_task_runs_with_its_config_and_its_lines_are_kept(home: Path) -> None:
    job = run(home, "print('learning', config['rate']); return {'score': 1}", rate=0.5)
    log = log_of(home, "retrain", job.id).read_text()
    assert (job.kind, job.state) == ("task", "succeeded")
    assert " learning 0.5\n" in log
    assert ' returned {"score": 1}\n' in log


def test_a_task_that_fails_says_where(home: Path) -> None:
    job = run(home, "raise ValueError('no rows')")
    assert job.state == "worker error"
    assert "ValueError: no rows" in job.detail
    assert "line 4" in job.detail


def test_a_task_that_ends_its_process_is_not_run_again(home: Path) -> None:
    job = run(home, "import os; print('once', flush=True); os._exit(9)")
    assert job.state == "worker error"
    assert log_of(home, "retrain", job.id).read_text().count(" once\n") == 1


def test_a_task_that_takes_too_long_is_ended(home: Path) -> None:
    job = run_here(home, task(home, "import time; time.sleep(60)"), {}, timeout_s=1.0)
    assert job.state == "timed out"


def test_one_run_of_a_name_at_a_time(home: Path) -> None:
    slow = task(home, "import time; time.sleep(60)")
    stop = threading.Event()
    with closing(opened(home)) as database:
        job, _ = submit_task(database, slow, {}, "terminal")
        thread = threading.Thread(target=attend, args=(home, job.id, Terms(stop)))
        thread.start()
        until(lambda: queue.job(database, job.id).state == "running")
        with pytest.raises(HandrailError, match="'retrain' runs already") as error:
            submit_task(database, slow, {}, "terminal")
        assert error.value.exit_status == 6
        queue.finish(database, job.id, "stopped")
        thread.join(2.0)
        assert not thread.is_alive()
        assert submit_task(database, slow, {}, "terminal")[1]


def test_a_run_that_was_cut_off_is_not_run_again_and_blocks_nobody(home: Path) -> None:
    retrain = task(home, "print('hello')")
    with closing(opened(home)) as database:
        job, _ = submit_task(database, retrain, {}, "gateway")
        queue.run(database, job.id)
        ended = attend(home, job.id, Terms(threading.Event()))
        assert (ended.state, ended.detail[:7]) == ("worker error", "cut off")
        lost, _ = submit_task(database, retrain, {}, "terminal")
        database.execute("update jobs set created = created - 60")
        assert submit_task(database, retrain, {}, "terminal")[1]
        assert queue.job(database, lost.id).state == "worker error"


def test_what_is_no_task_is_refused(home: Path) -> None:
    code(home, TASK.format("pass"), name="answers")
    with pytest.raises(HandrailError, match="is a BatchAPI"):
        deployed_task(home, "answers")
    task(home, "pass")
    with pytest.raises(HandrailError, match="no task is called") as error:
        deployed_task(home, "retrian")
    assert error.value.mend == "Did you mean 'retrain'?"


def test_a_schedule_begins_to_wait_when_it_is_heard_of(home: Path) -> None:
    tasks = {"retrain": task(home, "pass", "every 24h"), "asked": Task("asked", "/nowhere")}
    with closing(opened(home)) as database:
        for now in (NOW, NOW + DAY_S - 1, NOW + DAY_S):
            assert upcoming(database, tasks, now) == {"retrain": NOW + DAY_S}
        mark(database, tasks["retrain"], NOW + DAY_S)
        assert upcoming(database, tasks, NOW + DAY_S) == {"retrain": NOW + 2 * DAY_S}
        assert upcoming(database, {"off": Task("off", "/nowhere", "every 1s"), **tasks}, NOW).keys() == {"retrain"}
        other = {"retrain": task(home, "pass", "every 1h")}
        assert upcoming(database, other, NOW + 3 * DAY_S) == {"retrain": NOW + 3 * DAY_S + 3600}


def test_the_command_runs_a_task_and_shows_what_it_prints(home: Path, cli: Cli) -> None:
    task(home, "print('learning', config)")
    done = cli("run", "retrain", "--config", "rate=0.5", "--config", "name=a=b", "--config", "deep=true")
    assert done.status == 0
    assert "learning {'rate': 0.5, 'name': 'a=b', 'deep': True}" in done.err
    assert done.out.startswith("'retrain' has run (job ")
    assert cli("run", "retrain", "--json").object()["state"] == "succeeded"
    jobs = cli("jobs", "--json").object()["jobs"]
    assert [(job["kind"], job["state"]) for job in jobs] == [("task", "succeeded")] * 2
    assert "learning" in cli("jobs", "logs", jobs[0]["id"]).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "no task is called 'nothing'"),
        (["retrain", "--config", "x"], "--config must be KEY=VALUE"),
        (["retrain", "--config", "a=1", "--config", "a=2"], "two things of 'a'"),
        (["retrain", "--timeout", "0s"], "--timeout must be"),
    ],
)
def test_what_is_off_is_refused(words: list[str], said: str, home: Path, cli: Cli) -> None:
    task(home, "pass")
    done = cli("run", *words)
    done.refused(done.status, said)
    assert done.status in (2, 4)


def test_a_task_that_fails_ends_the_command_so(home: Path, cli: Cli) -> None:
    task(home, "raise ValueError('no rows')")
    done = cli("run", "retrain")
    assert done.status == 5
    assert "error: worker error: __call__ failed: ValueError: no rows" in done.err.splitlines()[-2]
    assert "handrail jobs logs" in done.err
