"""What runs beside a gateway: requests that are answered later, batches, webhooks and schedules, over restarts."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from handrail.core.errors import HandrailError
from handrail.jobs import chunks, queue, requests
from handrail.jobs.batch import Batch, folder_of
from handrail.jobs.database import opened
from handrail.jobs.queue import Job, NewJob
from handrail.jobs.requests import NewRequest
from handrail.jobs.runner import Answer, Runner, Settings
from handrail.jobs.tasks import deployed_task
from tests.jobs.hook import hooked
from tests.jobs.shop import batch_of, code, ids_in, row, write_csv
from tests.serve.served import is_up

Act = Callable[[Runner], Awaitable[None]]


async def echo(api: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, bytes]:
    return 200, b"application/json", json.dumps({"api": api, "said": body.decode(), "headers": dict(headers)}).encode()


def running(home: Path, act: Act, answer: Answer = echo, **settings: Any) -> None:
    """Runs `act` with a runner that is open."""

    async def run() -> None:
        runner = Runner(home, Settings(**{"workers": 2, **settings}), answer)
        await runner.open()
        try:
            await asyncio.wait_for(act(runner), 60)
        finally:
            await runner.close()

    asyncio.run(run())


async def ended(runner: Runner, request_id: str, api: str = "churn") -> dict[str, Any]:
    """A request as it ended."""
    while True:
        found = await runner.read(lambda database: requests.status(database, api, request_id))
        if found["status"] in ("completed", "failed"):
            return found
        await asyncio.sleep(0.01)


async def job_ended(runner: Runner, job_id: str) -> Job:
    while True:
        job = await runner.read(lambda database: queue.job(database, job_id))
        if not job.is_open:
            return job
        await asyncio.sleep(0.02)


def new(body: bytes = b"[1]", **more: Any) -> NewRequest:
    return NewRequest("churn", body, {"content-type": "application/json"}, **more)


async def submit_batch(runner: Runner, batch: Batch, **more: Any) -> Job:
    job, _ = await runner.write(
        lambda database: queue.submit(database, NewJob("batch", "churn", batch.as_dict(), "gateway", **more))
    )
    folder_of(runner.home, job.id).mkdir(parents=True, exist_ok=True)
    return job


def test_a_request_is_answered_later(tmp_path: Path) -> None:
    async def act(runner: Runner) -> None:
        request_id, is_new = await runner.submit_request(new(b"[2]"))
        assert is_new
        found = await ended(runner, request_id)
        assert found["status"] == "completed"
        assert found["result"] == {"api": "churn", "said": "[2]", "headers": {"content-type": "application/json"}}
        assert found["timestamp"].endswith("Z")

    running(tmp_path, act)


def test_a_request_that_is_promised_is_on_the_disk(tmp_path: Path) -> None:
    async def never(api: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, bytes]:
        await asyncio.sleep(3600)
        raise AssertionError

    kept: list[str] = []

    async def submit(runner: Runner) -> None:
        kept.extend([(await runner.submit_request(new(b"%d" % number)))[0] for number in range(20)])

    running(tmp_path, submit, never, in_flight=3)

    async def look(runner: Runner) -> None:
        found = [await ended(runner, request_id) for request_id in kept]
        assert [one["result"]["said"] for one in found] == [str(number) for number in range(20)]

    running(tmp_path, look)


def test_the_same_key_is_answered_once(tmp_path: Path) -> None:
    async def act(runner: Runner) -> None:
        first, _ = await runner.submit_request(new(key="k", digest="a"))
        again, is_new = await runner.submit_request(new(key="k", digest="a"))
        assert (again, is_new) == (first, False)
        with pytest.raises(HandrailError, match="used for another request"):
            await runner.submit_request(new(key="k", digest="b"))
        await ended(runner, first)
        assert (await runner.submit_request(new(key="k", digest="a")))[0] == first

    running(tmp_path, act)


@pytest.mark.parametrize("status", [400, 404, 413, 422, 500, 504])
def test_a_request_that_is_refused_fails_with_the_words_of_the_refusal(status: int, tmp_path: Path) -> None:
    async def refuse(api: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, bytes]:
        return status, b"application/json", b'{"error": {"code": "data"}}'

    async def act(runner: Runner) -> None:
        found = await ended(runner, (await runner.submit_request(new()))[0])
        assert (found["status"], found["result"]) == ("failed", {"error": {"code": "data"}})

    running(tmp_path, act, refuse)


def test_what_goes_wrong_with_us_fails_without_a_word_of_the_inside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(api: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, bytes]:
        raise RuntimeError("secret")

    async def act(runner: Runner) -> None:
        found = await ended(runner, (await runner.submit_request(new()))[0])
        assert found["status"] == "failed"
        assert "secret" not in json.dumps(found)

    running(tmp_path, act, fail)
    assert "secret" in caplog.text


def test_an_api_that_is_busy_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "FIRST_WAIT_S", 0.01)
    asked: list[str] = []

    async def busy(api: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, bytes]:
        asked.append(api)
        return (503, b"application/json", b"{}") if len(asked) < 3 else (200, b"text/plain", b"at last")

    async def act(runner: Runner) -> None:
        found = await ended(runner, (await runner.submit_request(new()))[0])
        assert (found["result"], len(asked)) == ("at last", 3)

    running(tmp_path, act, busy)


def test_an_answer_that_is_no_text_is_kept_as_it_is(tmp_path: Path) -> None:
    async def picture(api: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, bytes]:
        return 200, b"image/png", b"\x89PNG\xff"

    async def act(runner: Runner) -> None:
        found = await ended(runner, (await runner.submit_request(new()))[0])
        assert base64.b64decode(found["result"]) == b"\x89PNG\xff"
        assert (found["content_type"], found["encoding"]) == ("image/png", "base64")

    running(tmp_path, act, picture)


def test_a_full_queue_is_said_and_takes_more_when_there_is_room(tmp_path: Path) -> None:
    let = asyncio.Event()

    async def wait(api: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, bytes]:
        await let.wait()
        return 200, b"application/json", b"1"

    async def act(runner: Runner) -> None:
        first = [(await runner.submit_request(new()))[0] for _ in range(5)]
        with pytest.raises(HandrailError, match="wait already") as error:
            await runner.submit_request(new())
        assert (error.value.http_status, 1 <= runner.retry_after_s("churn") <= 60) == (429, True)
        let.set()
        for request_id in first:
            await ended(runner, request_id)
        await runner.submit_request(new())

    running(tmp_path, act, wait, most_waiting=5, in_flight=2)


def test_bodies_together_have_a_bound(tmp_path: Path) -> None:
    async def act(runner: Runner) -> None:
        with pytest.raises(HandrailError, match="wait already"):
            await runner.submit_request(new(b"x" * 101))

    running(tmp_path, act, most_bytes=100)


def test_a_request_that_ends_gateways_is_given_up(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as database:
        request_id, _ = requests.submit(database, new())
        for _ in range(requests.MOST_TRIES):
            assert requests.claim(database, 1)
            requests.restore(database)
        assert requests.claim(database, 1) == []
        found = requests.status(database, "churn", request_id)
    assert found["status"] == "failed"
    assert "poison" in found["result"]["error"]["message"]


def test_a_request_of_another_api_is_nobodys_business(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as database:
        request_id, _ = requests.submit(database, new())
        with pytest.raises(HandrailError, match="there is no request"):
            requests.status(database, "other", request_id)


def test_a_thousand_requests_are_kept_and_answered(tmp_path: Path) -> None:
    async def act(runner: Runner) -> None:
        kept = await asyncio.gather(*(runner.submit_request(new(b"%d" % number)) for number in range(1_000)))
        found = [await ended(runner, request_id) for request_id, _ in kept]
        assert [one["result"]["said"] for one in found] == [str(number) for number in range(1_000)]

    running(tmp_path, act, in_flight=64)


def test_a_webhook_hears_of_an_answer_also_when_it_was_not_there_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handrail.jobs.webhook.WAITS_S", (0.01, 0.01))
    with hooked(500) as hook:

        async def act(runner: Runner) -> None:
            request_id, _ = await runner.submit_request(new(webhook=hook.url))
            shown = await ended(runner, request_id)
            while len(hook.told) < 2:
                await asyncio.sleep(0.01)
            assert hook.told[1][0] == shown
            assert hook.told[1][1]["idempotency-key"] == request_id

        running(tmp_path, act, webhooks=[hook.url.split("/done")[0]])


def test_a_webhook_that_is_no_longer_listed_is_not_told(tmp_path: Path) -> None:
    with hooked() as hook:

        async def act(runner: Runner) -> None:
            await ended(runner, (await runner.submit_request(new(webhook=hook.url)))[0])
            while not await runner.read(lambda database: database.execute(
                "select count(*) from deliveries where tries > 0").fetchone()[0]):  # fmt: skip
                await asyncio.sleep(0.01)

        running(tmp_path, act)
    assert hook.told == []


def test_a_batch_is_done_beside_the_gateway_and_politely(store_home: Path, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", [row(number) for number in range(300)])
    nice: list[int] = []

    async def act(runner: Runner) -> None:
        job = await submit_batch(runner, batch_of(store_home, rows, path=None, piece_rows=3), workers=2)
        while not nice:
            held = await runner.read(lambda database: chunks.holders(database, job.id))
            nice.extend(os.getpriority(os.PRIO_PROCESS, int(worker.split(":")[0])) for worker in held)
            await asyncio.sleep(0.005)
        found = await job_ended(runner, job.id)
        assert (found.state, found.detail) == ("succeeded", "")
        assert ids_in(Path(found.output or "")) == list(range(300))

    running(store_home, act)
    assert nice[0] == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)


def test_a_batch_goes_on_after_a_restart(store_home: Path, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", [row(number) for number in range(600)])
    kept: list[Job] = []

    async def begin(runner: Runner) -> None:
        kept.append(await submit_batch(runner, batch_of(store_home, rows, path=None, piece_rows=2), workers=2))
        while not (await runner.read(lambda database: chunks.count(database, kept[0].id))).done:
            await asyncio.sleep(0.01)

    async def go_on(runner: Runner) -> None:
        found = await job_ended(runner, kept[0].id)
        assert found.state == "succeeded"
        assert ids_in(Path(found.output or "")) == list(range(600))

    running(store_home, begin)
    with closing(opened(store_home)) as database:
        job, count = queue.job(database, kept[0].id), chunks.count(database, kept[0].id)
    assert (job.state, job.is_attended, count.running) == ("running", False, 0)
    running(store_home, go_on)


def test_workers_of_a_gateway_that_is_killed_end_and_their_pieces_are_done_again(
    store_home: Path, tmp_path: Path
) -> None:
    rows = write_csv(tmp_path / "rows.csv", [row(number) for number in range(600)])
    child = os.fork()
    if child == 0:  # a gateway of its own, so that it can be killed

        async def begin(runner: Runner) -> None:
            await submit_batch(runner, batch_of(store_home, rows, path=None, piece_rows=2), workers=2)
            await asyncio.sleep(3600)

        running(store_home, begin)
        os._exit(1)
    with closing(opened(store_home)) as database:
        while not (jobs := queue.jobs(database)) or chunks.count(database, jobs[0].id).done < 5:
            os.sched_yield()
        workers = [int(worker.split(":")[0]) for worker in chunks.holders(database, jobs[0].id)]
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    async def go_on(runner: Runner) -> None:
        found = await job_ended(runner, jobs[0].id)
        assert found.state == "succeeded"
        assert ids_in(Path(found.output or "")) == list(range(600))
        assert not any(map(is_up, workers))

    running(store_home, go_on)


def test_a_batch_that_cannot_be_enqueued_says_why(store_home: Path, tmp_path: Path) -> None:
    async def act(runner: Runner) -> None:
        job = await submit_batch(runner, batch_of(store_home, tmp_path / "nothing.csv", path=None))
        found = await job_ended(runner, job.id)
        assert found.state == "failed while enqueuing"
        assert "no such file" in found.detail

    running(store_home, act)


def test_no_more_workers_than_there_may_be(store_home: Path, tmp_path: Path) -> None:
    batches = [
        batch_of(store_home, write_csv(tmp_path / f"{n}.csv", [row(k) for k in range(80)]), path=None, piece_rows=1)
        for n in range(3)
    ]
    seen: list[int] = []

    async def act(runner: Runner) -> None:
        jobs = [await submit_batch(runner, batch, workers=4) for batch in batches]
        while any(job.is_open for job in await runner.read(queue.jobs)):
            held = await runner.read(lambda database: [chunks.holders(database, job.id) for job in jobs])
            seen.append(sum(map(len, held)))
            await asyncio.sleep(0.01)

    running(store_home, act, workers=2)
    assert 1 <= max(seen) <= 2


def test_a_webhook_hears_of_a_batch(store_home: Path, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", [row(number) for number in range(10)])
    with hooked() as hook:

        async def act(runner: Runner) -> None:
            await submit_batch(runner, batch_of(store_home, rows, path=None, webhook=hook.url))
            while not hook.told:
                await asyncio.sleep(0.01)

        running(store_home, act, webhooks=[hook.url.split("/done")[0]])
    assert hook.told[0][0]["job_status"]["status"] == "succeeded"


def test_a_task_runs_when_its_time_has_come(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "class Task:\n    def __call__(self, config):\n        print('by itself')\n"
    code(home, source, kind="TaskAPI", name="retrain", schedule="every 24h")
    monkeypatch.setattr("handrail.jobs.runner.LOOK_S", 0.05)
    tasks = {"retrain": deployed_task(home, "retrain")}

    async def act(runner: Runner) -> None:
        runner.schedule(tasks)
        while not await runner.read(lambda database: database.execute("select * from schedules").fetchall()):
            await asyncio.sleep(0.01)
        assert await runner.read(queue.jobs) == []
        await runner.write(lambda database: database.execute("update schedules set last = last - 86400"))
        while not (jobs := await runner.read(queue.jobs)):
            await asyncio.sleep(0.01)
        assert (await job_ended(runner, jobs[0].id)).state == "succeeded"
        assert len(await runner.read(queue.jobs)) == 1

    running(home, act)


def test_a_gateway_starts_without_a_database_of_jobs_and_gets_one_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("handrail.jobs.runner.LOOK_S", 0.05)
    (tmp_path / "jobs.db").write_bytes(b"no database" * 1000)

    async def act(runner: Runner) -> None:
        with pytest.raises(HandrailError, match="no database of jobs") as error:
            await runner.submit_request(new())
        assert error.value.http_status == 503
        (tmp_path / "jobs.db").unlink()
        while True:
            with contextlib.suppress(HandrailError):
                await ended(runner, (await runner.submit_request(new()))[0])
                return
            await asyncio.sleep(0.01)

    running(tmp_path, act)
    assert "damaged" in caplog.text


def test_an_idle_runner_asks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(runner: Runner) -> None:
        await asyncio.sleep(0.1)
        asked: list[object] = []
        monkeypatch.setattr(runner._ledger, "_do", lambda *a, **k: asked.append(a))
        await asyncio.sleep(0.3)
        assert asked == []
        monkeypatch.undo()

    running(tmp_path, act)
