"""The pieces of a job: claimed by one worker at a time under a lease, done once, split until the bad row is alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from handrail.jobs.database import Connection, writing
from handrail.jobs.planning import Piece
from handrail.jobs.processes import is_alive

ChunkState = Literal["waiting", "running", "done", "poison"]
# A piece that ended two workers is split; each part that ends one more is split again, until one row is left.
MOST_TRIES: Final = 2
TRIES_OF_A_PART: Final = 1
# A plain SIGKILL comes from outside: no row is to blame, unless it comes again and again.
MOST_KILLS: Final = 5
PARTS: Final = 8
COLUMNS: Final = ("position", "rows", "source", "first", "bytes", "skip")


@dataclass(frozen=True)
class Chunk:
    """A piece with its state. "poison": its one row ends whoever asks for its answer, so nobody asks again."""

    piece: Piece
    state: ChunkState
    tries: int
    kills: int
    said: str
    dead: int


@dataclass(frozen=True)
class Count:
    """How a job stands: pieces and rows by state, rows without an answer, and seconds that a piece took."""

    waiting: int
    running: int
    done: int
    rows: int
    rows_done: int
    dead: int
    chunks_with_dead: int
    seconds: float

    @property
    def chunks(self) -> int:
        return self.waiting + self.running + self.done


def enter(database: Connection, job: str, pieces: Iterable[Piece]) -> None:
    """Enters all pieces of a job at once, in the place of what stood there; from then on it runs."""
    with writing(database):
        database.execute("delete from chunks where job = ?", (job,))
        database.executemany(
            "insert into chunks (job, position, rows, source, first, bytes, skip, state)"
            " values (?, ?, ?, ?, ?, ?, ?, 'waiting')",
            ((job, *(getattr(piece, name) for name in COLUMNS)) for piece in pieces),
        )
        (rows,) = database.execute("select coalesce(sum(rows), 0) from chunks where job = ?", (job,)).fetchone()
        database.execute("update jobs set rows = ?, state = 'running' where id = ? and state = 'enqueuing'",
                         (rows, job))  # fmt: skip


def claim(database: Connection, job: str, worker: str) -> Chunk | None:
    """The next piece that waits, leased to a worker: what never ended one before the rest. None when there is none, or
    the job does not run."""
    with writing(database):
        return _claim(database, job, worker)


def done(
    database: Connection, job: str, piece: Piece, worker: str, *, dead: int, seconds: float, leaves: bool = False
) -> Chunk | None:
    """Says that a piece is answered, if the worker still holds it, and claims the next one unless the worker leaves."""
    with writing(database):
        database.execute(
            "update chunks set state = 'done', worker = null, dead = ?, seconds = ?"
            " where job = ? and position = ? and rows = ? and worker = ?",
            (dead, seconds, job, piece.position, piece.rows, worker),
        )
        return None if leaves else _claim(database, job, worker)


def _claim(database: Connection, job: str, worker: str) -> Chunk | None:
    found = database.execute(
        "select * from chunks where job = :job and worker is null and state != 'done'"
        " and (select state from jobs where id = :job) = 'running' order by tries, position limit 1",
        {"job": job},
    ).fetchone()
    if found is None:
        return None
    database.execute(
        "update chunks set worker = ?, state = case state when 'poison' then state else 'running' end"
        " where job = ? and position = ?",
        (worker, job, found["position"]),
    )
    return _chunk(found)


def held_by(database: Connection, job: str, worker: str) -> Chunk | None:
    """The piece that a worker holds."""
    found = database.execute(
        "select * from chunks where job = ? and worker = ? and state != 'done'", (job, worker)
    ).fetchone()
    return None if found is None else _chunk(found)


def give_back(database: Connection, job: str, worker: str) -> None:
    """What a worker held waits again; nobody is to blame."""
    with writing(database):
        _free(database, job, worker)


def give_back_of_the_dead(database: Connection, job: str) -> None:
    """What workers held that are no more waits again."""
    for worker in holders(database, job):
        if not is_alive(worker):
            give_back(database, job, worker)


def holders(database: Connection, job: str) -> list[str]:
    """The workers that hold a piece."""
    found = database.execute("select distinct worker from chunks where job = ? and worker is not null", (job,))
    return [worker for (worker,) in found]


def blame(database: Connection, job: str, worker: str, said: str, *, crashed: bool) -> Chunk | None:
    """A worker ended while it held a piece: that waits again, in parts when it has ended too many, and its last row is
    poison. `crashed` is False for a plain kill from outside. Gives the piece as it was held."""
    with writing(database):
        chunk = held_by(database, job, worker)
        if chunk is None:
            return None
        counted = "tries" if crashed else "kills"
        database.execute(
            f"update chunks set {counted} = {counted} + 1, said = ? where job = ? and position = ?",  # noqa: S608 - one of two words
            (said, job, chunk.piece.position),
        )
        tries, kills = chunk.tries + crashed, chunk.kills + (not crashed)
        if tries >= MOST_TRIES or kills >= MOST_KILLS:
            _split(database, job, chunk.piece)
        _free(database, job, worker)
    return chunk


def _split(database: Connection, job: str, piece: Piece) -> None:
    if piece.rows == 1:
        database.execute(
            "update chunks set state = 'poison', tries = 0 where job = ? and position = ?", (job, piece.position)
        )
        return
    database.execute("delete from chunks where job = ? and position = ?", (job, piece.position))
    size = -(-piece.rows // PARTS)
    database.executemany(
        "insert into chunks (job, position, rows, source, first, bytes, skip, state, tries)"
        " values (?, ?, ?, ?, ?, ?, ?, 'waiting', ?)",
        (
            (job, piece.position + start, min(size, piece.rows - start), piece.source, piece.first, piece.bytes,
             piece.skip + start, TRIES_OF_A_PART)
            for start in range(0, piece.rows, size)
        ),
    )  # fmt: skip


def _free(database: Connection, job: str, worker: str) -> None:
    database.execute(
        "update chunks set worker = null, state = case state when 'poison' then state else 'waiting' end"
        " where job = ? and worker = ? and state != 'done'",
        (job, worker),
    )


def count(database: Connection, job: str) -> Count:
    """How a job stands."""
    found = database.execute(
        "select coalesce(sum(worker is null and state != 'done'), 0), coalesce(sum(worker is not null), 0),"
        " coalesce(sum(state = 'done'), 0), coalesce(sum(rows), 0),"
        " coalesce(sum(case state when 'done' then rows end), 0), coalesce(sum(dead), 0), coalesce(sum(dead > 0), 0),"
        " coalesce(avg(case state when 'done' then seconds end), 0)"
        " from chunks where job = ?",
        (job,),
    ).fetchone()
    return Count(*found)


def all_of(database: Connection, job: str) -> list[Chunk]:
    """All pieces in their order."""
    return [_chunk(row) for row in database.execute("select * from chunks where job = ? order by position", (job,))]


def _chunk(row: object) -> Chunk:
    piece = Piece(**{name: row[name] for name in COLUMNS})  # type: ignore[index]
    return Chunk(piece, row["state"], row["tries"], row["kills"], row["said"], row["dead"])  # type: ignore[index]
