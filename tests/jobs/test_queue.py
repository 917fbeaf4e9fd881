"""Jobs and their pieces as they are kept: one job for a key, one worker for a piece, and blame where it belongs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from handrail.core.errors import HandrailError
from handrail.jobs import chunks, queue
from handrail.jobs.chunks import MOST_KILLS, PARTS
from handrail.jobs.database import DATABASE, MIGRATIONS, Connection, opened, writing
from handrail.jobs.planning import Piece
from handrail.jobs.processes import is_alive, lease_of, my_lease
from handrail.jobs.queue import Job, NewJob

NOBODY = "1999999999:1"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Connection]:
    with closing(opened(tmp_path / "home")) as found:
        yield found


def submit(database: Connection, key: str | None = None, digest: str = "a", **more: object) -> Job:
    return queue.submit(database, NewJob("batch", "churn", {}, "gateway", key=key, digest=digest, **more))[0]  # type: ignore[arg-type]


def entered(database: Connection, *rows: int) -> str:
    """A job with pieces of so many rows."""
    job = submit(database)
    pieces = [Piece(sum(rows[:place]), count, 0) for place, count in enumerate(rows)]
    chunks.enter(database, job.id, pieces)
    return job.id


def positions(database: Connection, job: str) -> list[tuple[int, int]]:
    return [(chunk.piece.position, chunk.piece.rows) for chunk in chunks.all_of(database, job)]


def test_the_same_key_gives_the_same_job(database: Connection) -> None:
    first = submit(database, "k")
    again, is_new = queue.submit(database, NewJob("batch", "churn", {}, "gateway", key="k", digest="a"))
    assert (again.id, is_new) == (first.id, False)
    assert len(queue.jobs(database)) == 1


def test_a_key_that_was_used_for_something_else_is_refused(database: Connection) -> None:
    submit(database, "k")
    with pytest.raises(HandrailError, match="used for another request"):
        submit(database, "k", digest="b")


def test_without_a_key_every_job_is_its_own(database: Connection) -> None:
    assert submit(database).id != submit(database).id


def test_a_key_belongs_to_one_api(database: Connection) -> None:
    other = queue.submit(database, NewJob("batch", "other", {}, "gateway", key="k"))[0]
    assert submit(database, "k").id != other.id


def test_what_is_committed_is_private_and_there_for_the_next(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with closing(opened(home)) as database:
        job = submit(database)
    assert (home / DATABASE).stat().st_mode & 0o777 == 0o600
    with closing(opened(home)) as database:
        assert queue.job(database, job.id) == job
        assert database.execute("pragma synchronous").fetchone()[0] == 2
        assert database.execute("pragma journal_mode").fetchone()[0] == "wal"


def test_a_job_is_taken_by_one_process_at_a_time(database: Connection) -> None:
    job = submit(database)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        queue.take(database, job.id, lease_of(other.pid))
        with pytest.raises(HandrailError, match=f"is being done by process {other.pid}") as error:
            queue.take(database, job.id, my_lease())
        assert error.value.exit_status == 6
        other.communicate(b"\n")
    assert queue.take(database, job.id, my_lease()).owner == my_lease()


def test_a_number_that_is_used_again_is_another_process() -> None:
    pid, _, start = my_lease().partition(":")
    assert is_alive(my_lease())
    assert not is_alive(f"{pid}:{int(start) + 1}")
    assert not is_alive(NOBODY)
    assert not is_alive(None)


def test_a_process_that_waits_to_be_reaped_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    lease = lease_of(process.pid)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(lease)
    process.wait()


def test_a_piece_is_claimed_once_and_done_once(database: Connection) -> None:
    job = entered(database, 2, 2)
    one, two = chunks.claim(database, job, "1:1"), chunks.claim(database, job, "2:2")
    assert one is not None
    assert two is not None
    assert (one.piece.position, two.piece.position) == (0, 2)
    assert chunks.claim(database, job, "3:3") is None
    assert chunks.done(database, job, one.piece, "1:1", dead=1, seconds=0.5) is None
    # One that lost its lease changes nothing any more.
    chunks.give_back(database, job, "2:2")
    chunks.done(database, job, two.piece, "2:2", dead=2, seconds=0.5, leaves=True)
    count = chunks.count(database, job)
    assert (count.waiting, count.running, count.done, count.rows_done, count.dead) == (1, 0, 1, 2, 1)


def test_a_job_that_does_not_run_gives_no_pieces(database: Connection) -> None:
    job = entered(database, 2)
    queue.finish(database, job, "stopped")
    assert chunks.claim(database, job, "1:1") is None


def test_what_the_dead_held_waits_again(database: Connection) -> None:
    job = entered(database, 2, 2)
    chunks.claim(database, job, NOBODY)
    chunks.claim(database, job, my_lease())
    chunks.give_back_of_the_dead(database, job)
    assert chunks.holders(database, job) == [my_lease()]


def test_a_piece_that_ends_two_workers_is_split_until_one_row_is_left(database: Connection) -> None:
    job = entered(database, 20)
    poison, ends, found = 13, 0, []
    while chunk := chunks.claim(database, job, "1:1"):
        piece = chunk.piece
        if chunk.state != "poison" and piece.position <= poison < piece.position + piece.rows:
            chunks.blame(database, job, "1:1", "it crashed", crashed=True)
            ends += 1
            continue
        found += [(piece.position, piece.rows, chunk.said)] * (chunk.state == "poison")
        chunks.done(database, job, piece, "1:1", dead=0, seconds=0, leaves=True)
    assert found == [(poison, 1, "it crashed")]
    assert ends == 4
    covered = [number for first, rows in positions(database, job) for number in range(first, first + rows)]
    assert covered == list(range(20))
    assert chunks.count(database, job).rows_done == 20


def test_parts_of_a_piece_read_the_same_bytes_and_skip(database: Connection) -> None:
    job = submit(database).id
    chunks.enter(database, job, [Piece(100, 10, 3, 50, 60, 5)])
    for _ in range(2):
        chunks.claim(database, job, "1:1")
        chunks.blame(database, job, "1:1", "", crashed=True)
    parts = [chunk.piece for chunk in chunks.all_of(database, job)]
    assert len(parts) <= PARTS
    assert [(part.position, part.rows, part.skip) for part in parts] == [
        (100 + start, 2, 5 + start) for start in range(0, 10, 2)
    ]
    assert {(part.source, part.first, part.bytes) for part in parts} == {(3, 50, 60)}


def test_a_kill_from_outside_blames_no_row(database: Connection) -> None:
    job = entered(database, 2)
    for _ in range(MOST_KILLS - 1):
        chunks.claim(database, job, "1:1")
        chunks.blame(database, job, "1:1", "", crashed=False)
    assert positions(database, job) == [(0, 2)]
    chunks.claim(database, job, "1:1")
    chunks.blame(database, job, "1:1", "", crashed=False)
    assert positions(database, job) == [(0, 1), (1, 1)]


def test_pieces_without_blame_come_first(database: Connection) -> None:
    job = entered(database, 2, 2)
    chunks.claim(database, job, "1:1")
    chunks.blame(database, job, "1:1", "", crashed=True)
    found = chunks.claim(database, job, "1:1")
    assert found is not None
    assert found.piece.position == 2


def test_an_ended_job_stays_as_it_ended(database: Connection) -> None:
    job = submit(database)
    queue.finish(database, job.id, "stopped", "cancelled")
    assert queue.finish(database, job.id, "succeeded").state == "stopped"


def test_a_damaged_database_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"not a database, but long enough to be one" * 100)
    with pytest.raises(HandrailError, match="damaged") as error:
        opened(tmp_path)
    assert error.value.mend.startswith("move it away")


def test_a_database_of_a_newer_handrail_is_refused(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as database:
        database.execute(f"pragma user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(HandrailError, match="of shape"):
        opened(tmp_path)


def test_a_part_that_fails_is_undone_alone(database: Connection) -> None:
    with writing(database):
        kept = submit(database)
        with pytest.raises(ZeroDivisionError), writing(database):
            submit(database, "lost")
            raise ZeroDivisionError
    assert [job.id for job in queue.jobs(database)] == [kept.id]


def test_many_processes_claim_each_piece_once(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as database:
        job = entered(database, *[1] * 60)
    code = (
        "import sys; from pathlib import Path; from handrail.jobs import chunks; from handrail.jobs.database import *\n"
        "database, me = opened(Path(sys.argv[1])), sys.argv[3]\n"
        "while chunk := chunks.claim(database, sys.argv[2], me):\n"
        "    print(chunk.piece.position)\n"
        "    chunks.done(database, sys.argv[2], chunk.piece, me, dead=0, seconds=0, leaves=True)\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), job, f"{n}:{n}"], stdout=subprocess.PIPE, text=True
        )
        for n in range(3)
    ]
    found = [int(line) for process in processes for line in process.communicate()[0].split()]
    assert sorted(found) == list(range(60))
