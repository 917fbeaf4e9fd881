"""A batch from rows to answers: each row once, in order, whatever ends, and what could not be answered beside it."""

from __future__ import annotations

import json
import os
import signal
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from handrail.core.errors import HandrailError
from handrail.core.events import Event, Said
from handrail.jobs import chunks, queue
from handrail.jobs.attending import Terms, attend
from handrail.jobs.batch import Batch, folder_of, log_of
from handrail.jobs.database import opened
from handrail.jobs.here import Here, batch_here, dry_run
from handrail.jobs.queue import Job
from handrail.jobs.sweeping import DAY_S, sweep
from tests.jobs.shop import batch_of, code, ids_in, row, rows_in, write_csv, write_lines
from tests.serve.served import until

ONE = Here(workers=1)


def done(home: Path, batch: Batch, **settings: Any) -> Job:
    return batch_here(home, batch, Here(**{"workers": 1, **settings}))[0]


def log(home: Path, job: Job) -> str:
    return log_of(home, job.api, job.id).read_text()


def test_each_row_gets_its_answer_in_order(store_home: Path, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", [row(number) for number in range(250)])
    job = done(store_home, batch_of(store_home, rows, piece_rows=20), workers=2)
    found = rows_in(tmp_path / "answers.csv")
    assert (job.state, job.rows) == ("succeeded", 250)
    assert [int(one["id"]) for one in found] == list(range(250))
    assert list(found[0]) == [
        "id", "age", "plan", "active", "predicted_churned", "probability", "probability_no", "probability_yes",
    ]  # fmt: skip


def test_rows_without_an_answer_stay_in_their_place_and_are_dead_letters(store_home: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [row(number) for number in range(30)]
    rows[7]["age"] = "old"
    rows[20]["active"] = "perhaps"
    batch = batch_of(store_home, write_csv(tmp_path / "rows.csv", rows), piece_rows=8)
    job = done(store_home, batch)
    found = rows_in(tmp_path / "answers.csv")
    assert job.state == "completed with failures"
    assert [int(one["id"]) for one in found] == list(range(30))
    assert [number for number, one in enumerate(found) if not one["predicted_churned"]] == [7, 20]
    dead = rows_in(tmp_path / "answers.dead.csv")
    assert [(one["row"], one["id"], one["age"]) for one in dead] == [("8", "7", "old"), ("21", "20", "38")]
    assert "column 'age': expected a number" in dead[0]["error"]


def test_dead_letters_can_be_mended_and_given_again(store_home: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{**row(number), "age": "old" if number == 3 else 40} for number in range(5)]
    done(store_home, batch_of(store_home, write_csv(tmp_path / "rows.csv", rows)))
    mended = tmp_path / "mended.csv"
    mended.write_text((tmp_path / "answers.dead.csv").read_text().replace(",old,", ",41,"))
    job = done(store_home, batch_of(store_home, mended, output=tmp_path / "again.csv"))
    assert job.state == "succeeded"
    assert ids_in(tmp_path / "again.csv") == [3]


def test_answers_as_lines_say_what_is_wrong_in_place(store_home: Path, tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "rows.jsonl", [row(0), {**row(1), "age": "x"}, row(2)])
    lines.write_text(lines.read_text() + "{\n")
    job = done(store_home, batch_of(store_home, lines, output=tmp_path / "answers.jsonl"))
    found = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert job.state == "completed with failures"
    assert ["label" in one for one in found] == [True, False, True, False]
    dead = [json.loads(line) for line in (tmp_path / "answers.dead.jsonl").read_text().splitlines()]
    assert [(one["row"], "raw" in one) for one in dead] == [(2, False), (4, True)]


def test_the_same_batch_again_is_done_already(store_home: Path, tmp_path: Path) -> None:
    batch = batch_of(store_home, write_csv(tmp_path / "rows.csv", [row(1)]))
    first, is_old = batch_here(store_home, batch, ONE)
    assert not is_old
    again, is_old = batch_here(store_home, batch, ONE)
    assert (again.id, is_old) == (first.id, True)


@pytest.mark.parametrize("change", ["rows", "answers", "gone", "fresh", "options"])
def test_what_changed_is_done_anew(change: str, store_home: Path, tmp_path: Path) -> None:
    rows, answers = write_csv(tmp_path / "rows.csv", [row(1)]), tmp_path / "answers.csv"
    first = done(store_home, batch_of(store_home, rows))
    more: dict[str, Any] = {}
    if change == "rows":
        write_csv(rows, [row(1), row(2)])
    elif change == "answers":
        answers.write_text("mine")
    elif change == "gone":
        answers.unlink()
    elif change == "options":
        more = {"raw": True}
    again, is_old = batch_here(store_home, batch_of(store_home, rows, **more), Here(1, fresh=change == "fresh"))
    assert not is_old
    assert again.id != first.id
    assert again.state == "succeeded"
    assert "predicted_churned" in answers.read_text()


def test_a_dry_run_changes_nothing(store_home: Path, tmp_path: Path) -> None:
    batch = batch_of(store_home, write_csv(tmp_path / "rows.csv", [row(number) for number in range(250)]))
    before = sorted(store_home.rglob("*")), sorted(tmp_path.iterdir())
    made = dry_run(batch, ONE)
    assert (made.files, made.plan.rows, len(made.plan.pieces)) == (1, 250, 3)
    assert (sorted(store_home.rglob("*")), sorted(tmp_path.iterdir())) == before


def test_a_batch_that_could_do_nothing_is_refused_before_it_is_a_job(store_home: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,plan\n1,pro\n2,basic\n")
    with pytest.raises(HandrailError, match="no column 'active'") as error:
        done(store_home, batch_of(store_home, tmp_path / "rows.csv"))
    assert error.value.where == str(tmp_path / "rows.csv")
    with closing(opened(store_home)) as database:
        assert queue.jobs(database) == []


def test_a_model_without_texts_takes_no_folder_of_texts(store_home: Path, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("hello")
    with pytest.raises(HandrailError, match="a file that is one row is a text"):
        done(store_home, batch_of(store_home, tmp_path / "texts"))
    write_csv(tmp_path / "texts" / "rows.csv", [row(1)])
    with pytest.raises(HandrailError, match="some files hold rows"):
        done(store_home, batch_of(store_home, tmp_path / "texts"))
    assert done(store_home, batch_of(store_home, tmp_path / "texts", includes=("*.csv",))).state == "succeeded"


def test_what_was_done_before_a_stop_is_not_done_again(store_home: Path, tmp_path: Path) -> None:
    batch = batch_of(store_home, write_csv(tmp_path / "rows.csv", [row(n) for n in range(200)]), piece_rows=1)
    heard: list[Event] = []

    def interrupt(event: Event) -> None:
        if getattr(event, "done", 0) >= 20:
            raise KeyboardInterrupt

    with pytest.raises(HandrailError, match="stopped: ") as error:
        done(store_home, batch, tell=interrupt)
    assert error.value.exit_status == 130
    assert not (tmp_path / "answers.csv").exists()
    job = done(store_home, batch, tell=heard.append)
    assert job.state == "succeeded"
    assert any(isinstance(event, Said) and "going on with" in event.text for event in heard)
    assert ids_in(tmp_path / "answers.csv") == list(range(200))


def test_rows_that_change_under_a_job_stop_it(store_home: Path, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", [row(number) for number in range(100)])
    batch = batch_of(store_home, rows, piece_rows=1)

    def change(event: Event) -> None:
        if getattr(event, "done", 0) >= 5:
            os.utime(rows, ns=(1, 1))

    job = done(store_home, batch, tell=change)
    assert job.state == "worker error"
    assert "changed after the job had begun" in job.detail
    assert not (tmp_path / "answers.csv").exists()


POISON = """
import os, signal
class PythonPredictor:
    def __init__(self, config, job_spec):
        self.config, self.job = config, job_spec
    def predict(self, payload, batch_id):
        {}
        return [{{"id": one["id"], "batch": batch_id}} for one in payload]
    def on_job_complete(self):
        print("complete", self.job["job_id"])
"""


def lines_in(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def code_batch(home: Path, act: str, count: int = 40, **settings: Any) -> Batch:
    rows = write_lines(home.parent / "rows.jsonl", [{"id": number} for number in range(count)])
    target = code(home, POISON.format(act))
    return batch_of(home, rows, target=target, output=home.parent / "answers.jsonl", piece_rows=16, **settings)


def test_code_answers_a_batch_and_hears_that_it_is_complete(store_home: Path) -> None:
    job = done(store_home, code_batch(store_home, "print('hello', len(payload))"))
    found = lines_in(store_home.parent / "answers.jsonl")
    assert job.state == "succeeded"
    assert [one["id"] for one in found] == list(range(40))
    assert len({one["batch"] for one in found}) == 3
    assert log(store_home, job).count(f"complete {job.id}") == 1
    assert "hello 16" in log(store_home, job)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        ("any(one['id'] == 21 for one in payload) and os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV"),
        ("any(one['id'] == 21 for one in payload) and os._exit(7)", "ended with status 7"),
    ],
)
def test_a_row_that_ends_whoever_answers_it_is_found_and_the_others_are_answered(
    act: str, said: str, store_home: Path
) -> None:
    job = done(store_home, code_batch(store_home, act), workers=2)
    found = lines_in(store_home.parent / "answers.jsonl")
    assert job.state == "completed with failures"
    assert [one["id"] for one in found if "id" in one] == [number for number in range(40) if number != 21]
    assert found[21]["error"].startswith("failed (poison): the worker")
    assert said in found[21]["error"]
    (dead,) = lines_in(store_home.parent / "answers.dead.jsonl")
    assert (dead["row"], dead["input"]) == (22, {"id": 21})


def test_what_takes_more_memory_than_there_is_is_named_with_the_number(store_home: Path) -> None:
    act = "any(one['id'] == 21 for one in payload) and bytearray(2**31)"
    job = done(store_home, code_batch(store_home, act, memory_bytes=512 * 2**20))
    assert job.state == "completed with failures"
    errors = [one["error"] for one in lines_in(store_home.parent / "answers.jsonl") if "error" in one]
    assert errors
    assert all("ran out of memory (limit 512 MB)" in error for error in errors)


def test_code_that_cannot_start_for_want_of_memory_ends_the_job_so(store_home: Path) -> None:
    batch = code_batch(store_home, "pass", memory_bytes=2**20)
    job = done(store_home, batch)
    assert job.state in ("worker error", "out of memory")
    assert "MB" in job.detail


def test_code_that_fails_is_asked_again_as_often_as_it_may(store_home: Path) -> None:
    act = "print('asked'); raise ValueError('not today')"
    job = done(store_home, code_batch(store_home, act, count=3, tries=3))
    assert job.state == "completed with failures"
    assert log(store_home, job).count(" asked\n") == 3
    assert "ValueError: not today" in lines_in(store_home.parent / "answers.jsonl")[0]["error"]


@pytest.mark.parametrize("act", ["raise ImportError('no such thing')", "os._exit(3)"])
def test_code_that_does_not_start_ends_the_job_and_says_why(act: str, store_home: Path) -> None:
    source = f"""
    import os
    class PythonPredictor:
        def __init__(self, config):
            {act}
        def predict(self, payload): ...
    """
    batch = code_batch(store_home, "pass")
    batch = Batch(**{**vars(batch), "target": code(store_home, source, name="broken")})
    job = done(store_home, batch)
    assert job.state == "worker error"
    assert "no such thing" in job.detail or "status 3" in job.detail


def test_on_job_complete_that_fails_is_said_and_no_row_is_lost(store_home: Path) -> None:
    source = POISON.format("pass").replace('print("complete", self.job["job_id"])', "raise ValueError('late')")
    batch = Batch(**{**vars(code_batch(store_home, "pass")), "target": code(store_home, source, name="late")})
    job = done(store_home, batch)
    assert job.state == "worker error"
    assert "on_job_complete failed" in job.detail


def test_what_takes_too_long_is_ended_with_what_it_started(store_home: Path) -> None:
    act = (
        "import subprocess, sys, time; print('pid', subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    )
    job = done(store_home, code_batch(store_home, act), timeout_s=2.0)
    assert (job.state, job.detail) == ("timed out", "it had 2 s")
    pid = int(log(store_home, job).split(" pid ")[1].split()[0])
    until(lambda: not Path(f"/proc/{pid}").exists() or "zombie" in Path(f"/proc/{pid}/status").read_text())


def test_a_job_is_cancelled_within_two_seconds(store_home: Path) -> None:
    batch = code_batch(store_home, "import time; time.sleep(60)")
    ended: list[Job] = []
    thread = threading.Thread(target=lambda: ended.append(done(store_home, batch)))
    thread.start()
    with closing(opened(store_home)) as database:
        until(lambda: any(chunks.holders(database, job.id) for job in queue.jobs(database)))
        (job,) = queue.jobs(database)
        queue.finish(database, job.id, "stopped", "cancelled")
    thread.join(2.0)
    assert not thread.is_alive()
    assert (ended[0].state, ended[0].detail) == ("stopped", "cancelled")


def test_logs_do_not_grow_without_end(store_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handrail.jobs.crew.LOG_BYTES", 2**16)
    job = done(store_home, code_batch(store_home, "print('x' * 2**17)"))
    assert job.state == "succeeded"
    assert log_of(store_home, job.api, job.id).stat().st_size < 2**20


def test_a_worker_that_is_killed_costs_nothing_but_time(store_home: Path, tmp_path: Path) -> None:
    batch = batch_of(store_home, write_csv(tmp_path / "rows.csv", [row(n) for n in range(300)]), piece_rows=3)
    killed: list[int] = []

    def strike(event: Event) -> None:
        with closing(opened(store_home)) as database:
            held = [worker for job in queue.jobs(database) for worker in chunks.holders(database, job.id)]
            for worker in held[:1]:
                if len(killed) < 3:
                    killed.append(int(worker.split(":")[0]))
                    os.kill(killed[-1], signal.SIGKILL)

    job = done(store_home, batch, tell=strike, workers=2)
    assert len(killed) == 3
    assert job.state == "succeeded"
    assert ids_in(tmp_path / "answers.csv") == list(range(300))


def test_a_full_disk_ends_a_job_that_goes_on_when_there_is_room(
    store_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(store_home, write_csv(tmp_path / "rows.csv", [row(n) for n in range(100)]))

    def full(*anything: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("handrail.core.files.os.fsync", full)
        with pytest.raises(HandrailError, match="the disk is full"):
            done(store_home, batch)
    assert [path.name for path in tmp_path.iterdir() if "answers" in path.name] == []
    assert done(store_home, batch).state == "succeeded"
    assert ids_in(tmp_path / "answers.csv") == list(range(100))


def test_jobs_are_kept_for_some_days_and_then_removed(store_home: Path, tmp_path: Path) -> None:
    job = done(store_home, batch_of(store_home, write_csv(tmp_path / "rows.csv", [row(1)])))
    (store_home / "jobs" / "orphan").mkdir()
    os.utime(store_home / "jobs" / "orphan", (1, 1))
    with closing(opened(store_home)) as database:
        sweep(database, store_home, DAY_S)
        assert queue.job(database, job.id) == job
        assert not (store_home / "jobs" / "orphan").exists()
        sweep(database, store_home, -1.0)
        assert queue.jobs(database) == []
    assert not folder_of(store_home, job.id).exists()
    assert not log_of(store_home, job.api, job.id).exists()
    assert (tmp_path / "answers.csv").exists()


def test_a_stop_for_now_leaves_a_job_that_goes_on(store_home: Path, tmp_path: Path) -> None:
    batch = batch_of(store_home, write_csv(tmp_path / "rows.csv", [row(n) for n in range(100)]), path=None)
    stop = threading.Event()
    stop.set()
    with closing(opened(store_home)) as database:
        new = queue.NewJob("batch", "churn", batch.as_dict(), "gateway")
        job, _ = queue.submit(database, new)
        folder_of(store_home, job.id).mkdir(parents=True)
        assert attend(store_home, job.id, Terms(stop)).is_open
        assert not queue.job(database, job.id).is_attended
    ended = attend(store_home, job.id, Terms(threading.Event()))
    assert ended.state == "succeeded"
    assert ids_in(Path(ended.output or "")) == list(range(100))
