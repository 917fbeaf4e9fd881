"""`handrail batch` and `handrail jobs`, as a user types them, and as the system ends them."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.faces.conftest import Cli
from tests.faces.shop import Ended, process
from tests.jobs.shop import begun, code, ids_in, kill, row, rows_in, stock, workers_of, write_csv, write_lines
from tests.serve.served import is_up, until

Begin = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def churn(tmp_path: Path, home: Path) -> Path:
    """A store with one model, and a file of 40 rows for it."""
    stock(home)
    return write_csv(tmp_path / "rows.csv", [row(number) for number in range(40)])


def answers(folder: Path, name: str = "answers.csv") -> str:
    return str(folder / name)


def test_rows_of_a_file_are_answered_as_predict_answers_them(churn: Path, tmp_path: Path, cli: Cli) -> None:
    done = cli("batch", "churn", str(churn), "-o", answers(tmp_path), "--chunk-size", "7")
    assert (done.status, done.err) == (0, "")
    assert done.out == f"wrote 40 rows to {answers(tmp_path)}\n"
    assert cli("predict", "churn", str(churn), "-o", answers(tmp_path, "predicted.csv")).status == 0
    assert (tmp_path / "answers.csv").read_bytes() == (tmp_path / "predicted.csv").read_bytes()


@pytest.mark.parametrize("ending", [".tsv", ".jsonl"])
def test_every_kind_of_output_is_what_predict_writes(ending: str, churn: Path, tmp_path: Path, cli: Cli) -> None:
    rows = write_lines(tmp_path / "rows.jsonl", [row(number) for number in range(20)])
    ours, theirs = tmp_path / f"ours{ending}", tmp_path / f"theirs{ending}"
    assert cli("batch", "churn", str(rows), "-o", str(ours), "--chunk-size", "6").status == 0
    assert cli("predict", "churn", str(rows), "-o", str(theirs)).status == 0
    assert ours.read_text() == theirs.read_text()


def test_a_folder_is_all_of_its_rows(churn: Path, tmp_path: Path, cli: Cli) -> None:
    folder = tmp_path / "months"
    folder.mkdir()
    write_csv(folder / "a.csv", [row(number) for number in range(5)])
    write_lines(folder / "b.jsonl", [row(number) for number in range(5, 9)])
    write_csv(folder / "old.csv", [row(99)])
    words = ["batch", "churn", str(folder), "-o", answers(tmp_path), "--exclude", "old*", "--include", "*.csv"]
    assert cli(*words).status == 0
    assert ids_in(tmp_path / "answers.csv") == list(range(5))
    assert cli(*words, "--include", "*.jsonl").status == 0
    assert ids_in(tmp_path / "answers.csv") == list(range(9))


def test_a_folder_of_texts_is_a_text_for_each_file(shop: Path, own: Path, tmp_path: Path, cli: Cli) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "b.txt").write_text("a wonderful film")
    (folder / "a.md").write_text("terrible, boring")
    (folder / "c.bin").write_bytes(b"\xff\xfe\x00")
    done = cli("batch", "reviews", str(folder), "-o", answers(tmp_path))
    found = rows_in(tmp_path / "answers.csv")
    assert done.status == 3
    assert [one["file"] for one in found] == ["a.md", "b.txt", "c.bin"]
    assert [bool(one["predicted_label"]) for one in found] == [True, True, False]
    assert rows_in(tmp_path / "answers.dead.csv")[0]["file"] == "c.bin"


def test_rows_without_an_answer_end_in_status_3(churn: Path, tmp_path: Path, cli: Cli) -> None:
    churn.write_text(churn.read_text() + "40,old,pro,True\n41,1,pro\n")
    done = cli("batch", "churn", str(churn), "-o", answers(tmp_path))
    assert done.status == 3
    assert done.out.splitlines()[1] == f"2 rows got no answer: see {answers(tmp_path, 'answers.dead.csv')}"
    assert [one["raw"] for one in rows_in(tmp_path / "answers.dead.csv")] == ["", "41,1,pro"]
    done = cli("batch", "churn", str(churn), "-o", answers(tmp_path), "--json")
    assert (done.status, done.object()["state"]) == (3, "completed with failures")


def test_a_formula_does_not_run_in_a_spreadsheet(churn: Path, tmp_path: Path, cli: Cli) -> None:
    write_csv(churn, [{**row(1), "note": "=1+1"}])
    cli("batch", "churn", str(churn), "-o", answers(tmp_path))
    assert rows_in(tmp_path / "answers.csv")[0]["note"] == "'=1+1"
    cli("batch", "churn", str(churn), "-o", answers(tmp_path), "--raw")
    assert rows_in(tmp_path / "answers.csv")[0]["note"] == "=1+1"


def test_a_dry_run_says_what_would_be_done(churn: Path, tmp_path: Path, home: Path, cli: Cli) -> None:
    words = ["batch", "churn", str(churn), "-o", answers(tmp_path), "--chunk-size", "7", "--dry-run"]
    assert "would answer 40 rows of 1 file" in cli(*words).out
    found = cli(*words, "--json").object()
    assert (found["rows"], found["chunks"], found["files"]) == (40, 6, 1)
    assert not (home / "jobs.db").exists()
    assert not (tmp_path / "answers.csv").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["churn", "rows.csv"], "where the answers go is missing"),
        (["churn", "rows.csv", "-o", "x.txt"], "cannot write '.txt'"),
        (["churn", "rows.csv", "-o", "nowhere/x.csv"], "there is no folder"),
        (["churn", "rows.csv", "-o", "rows.csv"], "written over the rows"),
        (["churn", "nothing.csv", "-o", "x.csv"], "no such file or folder"),
        (["churn", "-o", "x.csv"], "is missing"),
        (["chrun", "rows.csv", "-o", "x.csv"], "no model is called 'chrun'"),
        (["churn", "rows.csv", "-o", "x.csv", "--workers", "0"], "--workers must be"),
        (["churn", "rows.csv", "-o", "x.csv", "--chunk-size", "-1"], "--chunk-size must be"),
        (["churn", "rows.csv", "-o", "x.csv", "--memory", "lots"], "--memory must be"),
        (["churn", "rows.csv", "-o", "x.csv", "--timeout", "soon"], "soon"),
        (["churn", "rows.csv", "-o", "x.csv", "--include", "*.nothing"], "none is left"),
        (["churn", "s3://bucket/x.csv", "-o", "x.csv"], "only files of this machine"),
        (["churn", ".", "-o", "x.csv", "--include", "*a" * 20], "5 stars"),
    ],
)
def test_what_is_off_is_refused_before_anything_is_written(
    words: list[str], said: str, churn: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    done = cli("batch", *words)
    assert done.status in (2, 3, 4, 5)
    assert said in done.err
    assert "Traceback" not in done.err
    assert sorted(tmp_path.iterdir()) == before


def test_code_that_is_deployed_for_batches_answers_them(churn: Path, home: Path, tmp_path: Path, cli: Cli) -> None:
    source = "class PythonPredictor:\n    def __init__(self, config): ...\n"
    source += "    def predict(self, payload):\n        return [len(one['plan']) for one in payload]\n"
    code(home, source, name="lengths")
    assert cli("batch", "lengths", str(churn), "-o", answers(tmp_path, "a.jsonl")).status == 0
    assert (tmp_path / "a.jsonl").read_text().split() == [str(len(row(n)["plan"])) for n in range(40)]
    cli("batch", "lengths", str(churn), "-o", answers(tmp_path)).refused(2, "answers of code have no columns")


def test_jobs_are_listed_shown_and_their_logs_read(churn: Path, tmp_path: Path, cli: Cli) -> None:
    assert "no jobs yet" in cli("jobs").out
    assert cli("jobs", "--json").object() == {"jobs": []}
    cli("batch", "churn", str(churn), "-o", answers(tmp_path))
    (job,) = cli("jobs", "list", "churn", "--json").object()["jobs"]
    assert (job["state"], job["rows_done"], job["attended"]) == ("succeeded", 40, False)
    assert job["id"] in cli("jobs").out
    shown = cli("jobs", "show", job["id"][:6])
    assert "40 of 40" in shown.out
    assert cli("jobs", "show", job["id"], "--json").object()["output"] == answers(tmp_path)
    assert cli("jobs", "logs", job["id"]).status == 0
    assert cli("jobs", "logs", job["id"], "--json").object()["lines"] == []
    assert "has ended before: succeeded" in cli("jobs", "cancel", job["id"]).out
    cli("jobs", "show", "zzz").refused(4, "there is no job 'zzz'")
    cli("jobs", "shwo").refused(2, "did you mean 'show'")


SLOW = """
import time
class PythonPredictor:
    def __init__(self, config): ...
    def predict(self, payload):
        time.sleep(60)
"""


@pytest.fixture
def slow_job(churn: Path, home: Path, tmp_path: Path) -> Iterator[Begin]:
    """Begins a batch that takes a minute for each piece, as a process of its own."""
    begun: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        begun.append(slow_process(home, tmp_path))
        return begun[-1]

    yield begin
    for one in begun:
        kill(one)


def slow_process(home: Path, tmp_path: Path) -> subprocess.Popen[str]:
    target = code(home, SLOW, name="slow")
    rows = tmp_path / "rows.jsonl"
    if not rows.exists():
        write_lines(rows, [{"id": number} for number in range(4)])
    source = (
        "import sys; from pathlib import Path; from handrail.jobs.batch import *; from handrail.jobs.here import *\n"
        "from handrail.faces.cli.batch import put_end\n"
        f"batch = Batch(Target('predictor', 'slow', {target.folder!r}), 'auto', '.jsonl', ({str(rows)!r},),"
        f" path={str(tmp_path / 'answers.jsonl')!r})\n"
        "from handrail.faces.cli import outcome; import click\n"
        f"act = click.Command('x', callback=lambda: put_end(*batch_here(Path({str(home)!r}), batch, Here(1)), False))\n"
        "sys.exit(outcome.of(lambda: act.make_context('x', []), []))\n"
    )
    return subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def is_answering(home: Path) -> bool:
    with suppress(sqlite3.Error), closing(sqlite3.connect(home / "jobs.db")) as database:
        return bool(database.execute("select count(*) from chunks where worker is not null").fetchone()[0])
    return False


def test_another_terminal_stops_a_job_within_two_seconds(slow_job: Begin, home: Path, cli: Cli) -> None:
    job = slow_job()
    until(lambda: is_answering(home))
    (found,) = cli("jobs", "--json").object()["jobs"]
    assert (found["state"], found["attended"]) == ("running", True)
    workers = workers_of(job.pid)
    assert f"stopped job {found['id']}" in cli("jobs", "cancel", found["id"]).out
    _, err = job.communicate(timeout=2.0)
    assert job.returncode == 130
    assert "error: stopped: cancelled" in err
    assert not any(map(is_up, workers))


def test_ctrl_c_leaves_a_job_that_goes_on(slow_job: Begin, home: Path) -> None:
    job = slow_job()
    until(lambda: is_answering(home))
    job.send_signal(signal.SIGINT)
    _, err = job.communicate(timeout=5.0)
    assert job.returncode == 130
    assert "error: stopped: 0 of 4 rows are answered" in err
    assert "the same command goes on with it" in err
    assert "Traceback" not in err


def test_two_terminals_do_not_do_one_job(slow_job: Begin, home: Path) -> None:
    first = slow_job()
    until(lambda: is_answering(home))
    second = slow_job()
    _, err = second.communicate(timeout=10)
    assert second.returncode == 6
    assert f"is being done by process {first.pid}" in err
    assert first.poll() is None


def test_workers_end_with_the_terminal(slow_job: Begin, home: Path) -> None:
    job = slow_job()
    until(lambda: is_answering(home))
    workers = workers_of(job.pid)
    assert workers
    kill(job)
    until(lambda: not any(map(is_up, workers)))


def test_a_disk_that_is_full_says_so_and_leaves_nothing_half(churn: Path, home: Path, tmp_path: Path) -> None:
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); "
    limit += "sys.argv = ['handrail', *sys.argv[1:]]; runpy.run_module('handrail', run_name='__main__')"
    rows = write_csv(tmp_path / "many.csv", [row(number) for number in range(9_000)])
    words = ["batch", "churn", str(rows), "-o", answers(tmp_path), "--chunk-size", "1000"]
    done = subprocess.run([sys.executable, "-c", limit, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 5, done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir() if "answers" in path.name] == []
    assert process(*words, home=home).status == 0
    assert ids_in(tmp_path / "answers.csv") == list(range(9_000))


def struck(rows: Path, home: Path, output: Path, *, points: int, seed: int, size: int) -> int:
    """Kills a batch, or one of its workers, at so many moments, begins it again each time, and lets it end at last.

    Gives how many of them were left when it ended by itself.
    """
    drawn = random.Random(seed)
    words = ["batch", "churn", str(rows), "-o", str(output), "--chunk-size", str(size), "--workers", "2"]
    pause = threading.Event()
    left = points
    while left:
        job = begun(*words, home=home)
        while left and job.poll() is None:
            pause.wait(drawn.uniform(0.02, 0.5))
            left -= 1
            if drawn.random() < 0.5:
                for worker in workers_of(job.pid)[:1]:
                    with suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)
            elif job.poll() is None:
                kill(job)
        job.kill()
        job.communicate()
        if output.exists():
            break
    ended = process(*words, home=home)
    assert ended.status == 0, ended
    return left


def predicted(rows: Path, home: Path, folder: Path) -> bytes:
    """What one process answers that nobody disturbs."""
    done = process("predict", "churn", str(rows), "-o", str(folder / "predicted.csv"), home=home)
    assert done.status == 0, done
    return (folder / "predicted.csv").read_bytes()


def test_a_batch_that_is_killed_at_many_moments_has_each_row_once(churn: Path, home: Path, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "many.csv", [row(number) for number in range(3_000)])
    output = tmp_path / "answers.csv"
    assert struck(rows, home, output, points=20, seed=5, size=4) <= 10  # a quick machine is done sooner
    assert ids_in(output) == list(range(3_000))
    assert output.read_bytes() == predicted(rows, home, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if "draft" in path.name] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_batch_that_is_killed_at_very_many_moments_has_each_row_once(churn: Path, home: Path, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "many.csv", [row(number) for number in range(10_000)])
    output = tmp_path / "answers.csv"
    assert struck(rows, home, output, points=100, seed=7, size=4) <= 50
    assert ids_in(output) == list(range(10_000))
    assert output.read_bytes() == predicted(rows, home, tmp_path)


def test_help_says_what_may_be_given(cli: Cli) -> None:
    for words in (["batch"], ["jobs"], ["run"]):
        done = cli(*words, "--help")
        assert "Example: handrail" in done.out


def test_a_list_of_jobs_stays_json_whatever_they_are_called(churn: Path, tmp_path: Path, cli: Cli) -> None:
    cli("batch", "churn", str(churn), "-o", answers(tmp_path, "a\x1b[31m.csv"))
    done: Ended = cli("jobs", "--json")
    assert "\x1b" not in done.out
    assert json.loads(done.out)["jobs"][0]["output"].endswith("a\x1b[31m.csv")
    assert "\x1b" not in cli("jobs", "show", done.object()["jobs"][0]["id"]).out
