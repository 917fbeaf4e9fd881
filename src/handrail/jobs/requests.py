"""Requests that are answered later: kept before they are promised, answered once, their answers kept for some days."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from handrail.core.errors import HandrailError
from handrail.jobs.database import Connection, writing
from handrail.jobs.queue import refuse_other
from handrail.jobs.status import moment

RequestState = Literal["in_queue", "in_progress", "completed", "failed"]
# A request in the hands of a gateway that ended is asked again; not for ever, since it may be what ended it.
MOST_TRIES: Final = 3
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0


@dataclass(frozen=True)
class NewRequest:
    """What is to be answered. `headers` are those that say how a body is written and what is wanted."""

    api: str
    body: bytes
    headers: Mapping[str, str]
    key: str | None = None
    digest: str | None = None
    webhook: str | None = None


@dataclass(frozen=True)
class Asked:
    """A request that is in progress; `tries` counts the times before this one."""

    id: str
    api: str
    body: bytes
    headers: Mapping[str, str]
    tries: int


def submit(database: Connection, new: NewRequest) -> tuple[str, bool]:
    """The id, durably, and whether it is new: the same key gives the same request.

    Raises HandrailError ("conflict") when the key was used for something else.
    """
    with writing(database):
        if new.key is not None:
            found = database.execute(
                "select id, digest from requests where api = ? and key = ?", (new.api, new.key)
            ).fetchone()
            if found is not None:
                refuse_other(found["digest"], new.digest)
                return found["id"], False
        request_id = secrets.token_hex(16)
        database.execute(
            "insert into requests (id, api, state, body, headers, key, digest, webhook, created)"
            " values (?, ?, 'in_queue', ?, ?, ?, ?, ?, ?)",
            (request_id, new.api, new.body, json.dumps(dict(new.headers)), new.key, new.digest, new.webhook,
             time.time()),
        )  # fmt: skip
    return request_id, True


def claim(database: Connection, most: int) -> list[Asked]:
    """The oldest requests that wait, from now on in progress."""
    with writing(database):
        found = database.execute(
            "select * from requests where state = 'in_queue' and next <= ? order by number limit ?",
            (time.time(), most),
        ).fetchall()
        for row in found:
            database.execute("update requests set state = 'in_progress' where number = ?", (row["number"],))
    return [Asked(row["id"], row["api"], row["body"], json.loads(row["headers"]), row["tries"]) for row in found]


def finish(database: Connection, request_id: str, status: int, content_type: str, result: bytes) -> None:
    """Keeps an answer; the body of the request is not needed any more. A webhook is told in the same moment."""
    state = "completed" if 200 <= status < 300 else "failed"
    with writing(database):
        database.execute(
            "update requests set state = ?, status = ?, content_type = ?, result = ?, ended = ?, body = x''"
            " where id = ? and state = 'in_progress'",
            (state, status, content_type, result, time.time(), request_id),
        )
        row = database.execute("select * from requests where id = ?", (request_id,)).fetchone()
        if row is not None and row["webhook"]:
            deliver(database, request_id, row["webhook"], json.dumps(_shown(row)).encode())


def postpone(database: Connection, request_id: str, tries: int) -> float:
    """Puts a request back for a while that grows with its tries; gives that, in seconds."""
    wait_s: float = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(tries, 10))
    with writing(database):
        database.execute(
            "update requests set state = 'in_queue', tries = tries + 1, next = ? where id = ?",
            (time.time() + wait_s, request_id),
        )
    return wait_s


def restore(database: Connection) -> None:
    """After a restart: what was in progress waits again, unless it was so too often."""
    error = HandrailError("bug", "failed (poison): the server ended each time it was asked", "report the request")
    with writing(database):
        database.execute(
            "update requests set tries = tries + 1, next = 0,"
            " state = case when tries + 1 >= ? then 'failed' else 'in_queue' end where state = 'in_progress'",
            (MOST_TRIES,),
        )
        database.execute(
            "update requests set status = 500, content_type = 'application/json', result = ?, ended = ?"
            " where state = 'failed' and result is null",
            (json.dumps(error.as_dict()).encode(), time.time()),
        )
        # A clock that was set back must not make anybody wait.
        database.execute("update requests set next = 0 where state = 'in_queue'")


def held(database: Connection) -> dict[str, tuple[int, int]]:
    """For each API, how many requests wait or are in progress, and the bytes of their bodies."""
    found = database.execute(
        "select api, count(*), sum(length(body)) from requests where state in ('in_queue', 'in_progress') group by api"
    )
    return {api: (count, size) for api, count, size in found}


def status(database: Connection, api: str, request_id: str) -> dict[str, Any]:
    """`{"id", "status", "timestamp"}`, and `"result"` when it is there. Raises HandrailError ("not_found")."""
    row = database.execute("select * from requests where api = ? and id = ?", (api, request_id)).fetchone()
    if row is None:
        problem = f"there is no request '{request_id[:40]}'"
        raise HandrailError("not_found", problem, "answers are kept for some days; check the id")
    return _shown(row)


def _shown(row: Any) -> dict[str, Any]:
    shown = {"id": row["id"], "status": row["state"], "timestamp": moment(row["ended"] or row["created"])}
    if row["result"] is None:
        return shown
    return {**shown, **_result(row["result"], row["content_type"])}


def _result(content: bytes, content_type: str) -> dict[str, Any]:
    """An answer inside JSON: as it is when it is JSON, as text when it is text, else in base64 with its type."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/json" or kind.endswith("+json"):
            return {"result": json.loads(content)}
        if kind.startswith("text/"):
            return {"result": content.decode()}
    except ValueError:
        pass
    return {"result": base64.b64encode(content).decode(), "content_type": content_type, "encoding": "base64"}


def deliver(database: Connection, about: str, url: str, body: bytes) -> None:
    """Enters what a webhook is to be told."""
    now = time.time()
    with writing(database):
        database.execute(
            "insert into deliveries (about, url, body, next, state, created) values (?, ?, ?, ?, 'waiting', ?)",
            (about, url, body, now, now),
        )
