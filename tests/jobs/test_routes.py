"""Jobs over HTTP: Cortex's JSON in, its words out, and nothing that a stranger may send does harm."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from handrail.core.errors import HandrailError
from handrail.jobs import queue
from handrail.jobs.database import is_there
from handrail.jobs.runner import Answer, Runner, Settings
from handrail.serve.app import failure
from handrail.serve.files import file_answer
from handrail.serve.http import Later, Request, Response
from handrail.serve.jobs import JobApi, job_route_of, job_routes
from handrail.serve.later import is_for_later, later, live_answers
from handrail.serve.limits import Refused
from handrail.serve.routes import Route
from tests.jobs.hook import hooked
from tests.jobs.shop import code, row, target, write_csv, write_lines
from tests.jobs.test_runner import echo

HOSTILE_IDS = [
    "../jobs", "..%2f..", "%2e%2e", "x" * 300, "0" * 15, "0" * 17, "G" * 16, "0000000000000000/../..", "0" * 16 + "\0",
    "０" * 16, "0000000000000000'--", "",
]  # fmt: skip


class Client:
    """Asks routes as the gateway would."""

    def __init__(self, routes: Mapping[str, Route], runner: Runner) -> None:
        self.routes = routes
        self.runner = runner

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        """Status, value and headers. `query` stands among the headers."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        query = headers.pop("query", "").encode()
        named = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}
        request = Request(method, path, query, named, content, "127.0.0.1", b"id-1", 0.0)
        response = await self._answer(request)
        told = {name.decode(): value.decode() for name, value in response.headers}
        is_json = response.content_type == b"application/json" and response.body
        return response.status, json.loads(response.body) if is_json else response.body, told

    async def _answer(self, request: Request) -> Response:
        route = self.routes.get(request.path) or job_route_of(self.routes, request.path)
        if route is None:
            return failure(HandrailError("not_found", "nothing is served at this path", ""), request.id)
        try:
            answer = route.methods[request.method](request)
            if not isinstance(answer, Later):
                return answer
            await asyncio.wait([answer.future])
            return answer.finish(answer.future)
        except (HandrailError, Refused) as error:
            return failure(error, request.id)

    async def ended(self, path: str, job: str) -> dict[str, Any]:
        """A job's status when it has ended."""
        while True:
            _, found, _ = await self.ask("GET", path, query=f"jobID={job}")
            if found["job_status"]["status"] not in ("enqueuing", "running"):
                return dict(found)
            await asyncio.sleep(0.02)


def serving(
    home: Path, act: Callable[[Client], Awaitable[None]], *apis: JobApi, answer: Answer = echo, **settings: Any
) -> None:
    """Runs `act` with routes and a runner that is open."""

    async def run() -> None:
        runner = Runner(home, Settings(**{"workers": 2, **settings}), answer)
        await runner.open()
        try:
            found = {api.name: api for api in apis or (JobApi("churn", target=target(home)),)}
            await asyncio.wait_for(act(Client(job_routes(found, runner), runner)), 60)
        finally:
            await runner.close()

    asyncio.run(run())


ITEMS = {"workers": 1, "item_list": {"items": [row(number) for number in range(6)], "batch_size": 2}}


def test_items_are_answered_and_their_answers_fetched(store_home: Path) -> None:
    async def act(client: Client) -> None:
        items = [{name: value for name, value in row(number).items() if name != "id"} for number in range(6)]
        items[3]["age"] = "old"
        body = {"workers": 1, "timeout": 60, "config": {"a": 1}, "item_list": {"items": items, "batch_size": 2}}
        status, job, headers = await client.ask("POST", "/churn/batches", body)
        assert status == 200
        assert job["kind"] == "BatchAPI"
        assert {"job_id", "api_name", "workers", "config", "timeout", "created_time"} <= set(job)
        assert headers["location"] == f"/churn/batches/{job['job_id']}"
        found = await client.ended("/churn/batches", job["job_id"])
        told = found["job_status"]
        assert told["status"] == "completed with failures"
        assert told["batch_metrics"]["succeeded"] == 2
        assert told["batch_metrics"]["failed"] == 1
        assert told["rows"] == {"total": 6, "done": 6, "without_answer": 1}
        assert "end_time" in told
        status, content, _ = await client.ask("GET", found["results"])
        lines = [json.loads(line) for line in content.splitlines()]
        assert ["label" in line for line in lines] == [True, True, True, False, True, True]
        status, content, _ = await client.ask("GET", found["dead"])
        assert (json.loads(content)["row"], json.loads(content)["input"]["age"]) == (4, "old")
        assert (await client.ask("GET", headers["location"]))[1] == found
        _, listed, _ = await client.ask("GET", "/churn/batches")
        assert [(one["job_id"], one["status"]) for one in listed["jobs"]] == [(job["job_id"], told["status"])]

    serving(store_home, act)


def test_files_in_an_allowed_folder_are_answered(store_home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    write_csv(folder / "a.csv", [row(number) for number in range(3)])
    write_lines(folder / "b.jsonl", [row(number) for number in range(3, 5)])
    write_csv(folder / "old.csv", [row(99)])

    async def act(client: Client) -> None:
        files = {"s3_paths": ["."], "includes": ["*.csv", "*.jsonl"], "excludes": ["old*"], "batch_size": 2}
        body = {"workers": 1, "delimited_files": files, "output": "csv"}
        _, job, _ = await client.ask("POST", "/churn/batches", body)
        found = await client.ended("/churn/batches", job["job_id"])
        assert found["job_status"]["status"] == "succeeded"
        _, content, _ = await client.ask("GET", found["results"])
        assert [line.split(",")[0] for line in content.decode().splitlines()] == ["id", "0", "1", "2", "3", "4"]

    serving(store_home, act, folders=[folder])


def test_a_dry_run_names_the_files_and_changes_nothing(store_home: Path, tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [row(number) for number in range(3)])

    async def act(client: Client) -> None:
        before = sorted(store_home.rglob("*"))
        body = {"workers": 1, "delimited_files": {"paths": ["a.csv"], "batch_size": 2}}
        status, found, _ = await client.ask("POST", "/churn/batches", body, query="dryRun=true")
        assert (status, found) == (200, {"dry_run": True, "files": ["a.csv"], "rows": 3, "batches": 2})
        status, found, _ = await client.ask("POST", "/churn/batches", ITEMS, query="dryRun=true")
        assert (found["rows"], found["batches"]) == (6, 3)
        assert sorted(store_home.rglob("*")) == before
        assert await client.runner.read(queue.jobs) == []

    serving(store_home, act, folders=[tmp_path])


@pytest.mark.parametrize("path", ["../secret.csv", "/etc/passwd", "link.csv", "..", "/", "a.csv/../../secret.csv"])
@pytest.mark.parametrize("query", ["", "dryRun=true"])
def test_no_path_leads_out_of_the_folders(path: str, query: str, store_home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    write_csv(folder / "a.csv", [row(1)])
    write_csv(tmp_path / "secret.csv", [row(2)])
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")

    async def act(client: Client) -> None:
        for kind in ("delimited_files", "file_path_lister"):
            body = {"workers": 1, kind: {"paths": [path], "batch_size": 1}}
            status, found, _ = await client.ask("POST", "/churn/batches", body, query=query)
            assert status == 403
            assert found["error"]["code"] == "forbidden"
            assert str(tmp_path) not in json.dumps(found)
        assert await client.runner.read(queue.jobs) == []

    serving(store_home, act, folders=[folder])


def test_without_folders_no_file_is_read(store_home: Path, tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [row(1)])

    async def act(client: Client) -> None:
        body = {"workers": 1, "delimited_files": {"paths": [str(tmp_path / "a.csv")], "batch_size": 1}}
        assert (await client.ask("POST", "/churn/batches", body))[0] == 403

    serving(store_home, act)


HOSTILE = [
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"[" * 5000, b'{"workers": NaN}',
    b'{"workers": 1, "workers": 2}',
    {}, {"workers": 1}, {"item_list": None}, {"workers": 0, **ITEMS, "workers ": 1}, {**ITEMS, "workers": 0},
    {**ITEMS, "workers": "2"}, {**ITEMS, "workers": True}, {**ITEMS, "workers": 1.5}, {**ITEMS, "workers": 10**9},
    {**ITEMS, "timeout": -1}, {**ITEMS, "timeout": "1h"}, {**ITEMS, "timeout": 10**12}, {**ITEMS, "config": []},
    {**ITEMS, "config": "x"}, {**ITEMS, "output": "xlsx"}, {**ITEMS, "output": ["csv"]}, {**ITEMS, "wrokers": 1},
    {**ITEMS, "delimited_files": {"paths": ["a"], "batch_size": 1}}, {"workers": 1, "item_list": []},
    {"workers": 1, "item_list": {"items": [], "batch_size": 1}}, {"workers": 1, "item_list": {"items": [1]}},
    {"workers": 1, "item_list": {"items": "abc", "batch_size": 1}},
    {"workers": 1, "item_list": {"items": [1], "batch_size": 0}},
    {"workers": 1, "item_list": {"items": [1], "batch_size": 10**9}},
    {"workers": 1, "item_list": {"items": ["x" * 300_000], "batch_size": 1}},
    {"workers": 1, "delimited_files": {"batch_size": 1}},
    {"workers": 1, "delimited_files": {"paths": [], "batch_size": 1}},
    {"workers": 1, "delimited_files": {"paths": [1], "batch_size": 1}},
    {"workers": 1, "delimited_files": {"paths": ["a"], "s3_paths": ["b"], "batch_size": 1}},
    {"workers": 1, "delimited_files": {"paths": ["s3://bucket/x"], "batch_size": 1}},
    {"workers": 1, "delimited_files": {"paths": ["a\x00b"], "batch_size": 1}},
    {"workers": 1, "delimited_files": {"paths": ["a"], "includes": ["*a" * 50], "batch_size": 1}},
    {"workers": 1, "delimited_files": {"paths": ["a"], "includes": {"a": 1}, "batch_size": 1}},
    {"workers": 1, "file_path_lister": {"paths": ["a"] * 20_000, "batch_size": 1}},
    {**ITEMS, "sqs_dead_letter_queue": []}, {**ITEMS, "dead_letter": {"max_receive_count": 0}},
    {**ITEMS, "webhook": 1}, {**ITEMS, "webhook": "http://169.254.169.254/"}, {**ITEMS, "webhook": "file:///etc/passwd"},
]  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: str(body)[:40])
def test_what_is_off_is_refused_with_words_and_leaves_nothing(body: object, store_home: Path, tmp_path: Path) -> None:
    write_csv(tmp_path / "a", [row(1)])

    async def act(client: Client) -> None:
        status, found, _ = await client.ask("POST", "/churn/batches", body)
        assert status in (400, 403, 413, 422), found
        assert {"code", "message", "hint"} <= set(found["error"])
        assert len(json.dumps(found)) < 5_000
        assert await client.runner.read(queue.jobs) == []
        assert not (store_home / "jobs").exists()

    serving(store_home, act, folders=[tmp_path])


def test_everything_that_is_off_is_said_at_once(store_home: Path) -> None:
    async def act(client: Client) -> None:
        body = {"worker": 1, "timeout": 0, "item_list": {"items": [], "batch_sise": 1}, "config": 3}
        _, found, _ = await client.ask("POST", "/churn/batches", body)
        message = found["error"]["message"]
        for words in (
            "unknown field 'worker' (did you mean 'workers'?)", "timeout: expected", "item_list.items: expected",
            "unknown field 'item_list.batch_sise'", "config: expected an object",
        ):  # fmt: skip
            assert words in message

    serving(store_home, act)


def test_a_body_that_is_too_large_is_refused(store_home: Path) -> None:
    async def act(client: Client) -> None:
        status, found, _ = await client.ask("POST", "/churn/batches", b" " * (10 * 2**20 + 1))
        assert (status, found["error"]["code"]) == (413, "too_large")

    serving(store_home, act)


def test_the_same_key_is_the_same_job(store_home: Path) -> None:
    async def act(client: Client) -> None:
        _, first, _ = await client.ask("POST", "/churn/batches", ITEMS, idempotency_key="k-1")
        _, again, _ = await client.ask("POST", "/churn/batches", ITEMS, idempotency_key="k-1")
        assert again["job_id"] == first["job_id"]
        other = {**ITEMS, "workers": 2}
        assert (await client.ask("POST", "/churn/batches", other, idempotency_key="k-1"))[0] == 409
        assert (await client.ask("POST", "/churn/batches", ITEMS, idempotency_key="k 1"))[0] == 400
        assert (await client.ask("POST", "/churn/batches", ITEMS, idempotency_key="k" * 256))[0] == 400
        assert len(await client.runner.read(queue.jobs)) == 1

    serving(store_home, act)


def test_a_job_is_stopped_within_two_seconds(store_home: Path) -> None:
    source = "import time\nclass PythonPredictor:\n    def __init__(self, config): ...\n"
    source += "    def predict(self, payload):\n        time.sleep(60)\n"
    slow = JobApi("slow", "BatchAPI", code(store_home, source, name="slow"))

    async def act(client: Client) -> None:
        _, job, _ = await client.ask("POST", "/slow", ITEMS)
        while True:
            _, found, _ = await client.ask("GET", "/slow", query=f"jobID={job['job_id']}")
            if found["job_status"]["worker_counts"]["running"]:
                break
            await asyncio.sleep(0.02)
        begun = asyncio.get_running_loop().time()
        status, found, _ = await client.ask("DELETE", "/slow", query=f"jobID={job['job_id']}")
        assert (status, found) == (200, {"message": f"stopped job {job['job_id']}"})
        while client.runner._attended:
            await asyncio.sleep(0.01)
        assert asyncio.get_running_loop().time() - begun < 2.0
        assert (await client.ended("/slow", job["job_id"]))["job_status"]["status"] == "stopped"
        _, found, _ = await client.ask("DELETE", f"/slow/{job['job_id']}")
        assert "has ended before: stopped" in found["message"]
        assert (await client.ask("GET", f"/slow/batches/{job['job_id']}/results"))[0] == 404

    serving(store_home, act, slow)


@pytest.mark.parametrize("job", HOSTILE_IDS)
def test_an_id_that_is_none_names_nothing(job: str, store_home: Path) -> None:
    async def act(client: Client) -> None:
        for path in (f"/churn/batches/{job}/results", f"/churn/batches/{job}/dead", f"/churn/requests/{job}"):
            assert (await client.ask("GET", path))[0] in (400, 404)
        if job:
            status, found, _ = await client.ask(
                "GET", "/churn/batches", query=f"jobID={job}".encode().decode("latin-1")
            )
            assert status in (400, 404), found

    serving(store_home, act)


def test_what_a_terminal_does_is_not_shown_over_http(store_home: Path, tmp_path: Path) -> None:
    async def act(client: Client) -> None:
        new = queue.NewJob("batch", "churn", {"config": {}}, "terminal")
        job, _ = await client.runner.write(lambda database: queue.submit(database, new))
        await client.runner.write(lambda database: queue.finish(database, job.id, "succeeded", "", "/etc/passwd"))
        assert (await client.ask("GET", f"/churn/batches/{job.id}/results"))[0] == 404
        assert (await client.ask("GET", f"/churn/batches/{job.id}"))[0] == 404
        assert (await client.ask("DELETE", f"/churn/batches/{job.id}"))[0] == 404

    serving(store_home, act)


def test_jobs_of_another_api_are_not_shown(store_home: Path) -> None:
    apis = [JobApi("churn", target=target(store_home)), JobApi("other", target=target(store_home))]

    async def act(client: Client) -> None:
        _, job, _ = await client.ask("POST", "/churn/batches", ITEMS)
        assert (await client.ask("GET", f"/other/batches/{job['job_id']}"))[0] == 404
        assert (await client.ask("GET", "/other/batches"))[1] == {"jobs": []}

    serving(store_home, act, *apis)


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=0-3", 206, b'{"la'), ("bytes=-2", 206, b"}\n"), ("bytes=5-", 206, None), ("bytes=0-999999", 206, None),
        ("bytes=999999-", 416, None), ("bytes=3-1", 416, None), ("bytes=-", 416, None), ("lines=0-1", 416, None),
        ("bytes=0-1,3-4", 416, None), ("bytes=-0", 416, None),
    ],
)  # fmt: skip
def test_results_are_given_in_ranges(asked: str, status: int, content: bytes | None, tmp_path: Path) -> None:
    whole = b'{"label": "no"}\n'
    (tmp_path / "answers.jsonl").write_bytes(whole)
    try:
        response = file_answer(tmp_path / "answers.jsonl", b"application/x-ndjson", asked.encode())
    except Refused as refused:
        assert (refused.status, refused.headers) == (status, ((b"content-range", b"bytes */16"),))
    else:
        assert response.status == status
        assert response.body in whole
        assert content is None or response.body == content
        assert dict(response.headers)[b"content-range"].endswith(b"/16")


def test_results_that_are_large_are_given_in_ranges_alone(store_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handrail.serve.files.MOST_BYTES", 10)

    async def act(client: Client) -> None:
        items = [{"age": 1, "plan": "pro", "active": True}]
        _, job, _ = await client.ask(
            "POST", "/churn/batches", {"workers": 1, "item_list": {"items": items, "batch_size": 1}}
        )
        found = await client.ended("/churn/batches", job["job_id"])
        status, said, _ = await client.ask("GET", found["results"])
        assert (status, "curl -r 0-9" in said["error"]["hint"]) == (413, True)
        status, part, _ = await client.ask("GET", found["results"], range="bytes=0-")
        assert (status, len(part)) == (206, 10)

    serving(store_home, act)


def test_results_of_a_job_that_is_not_done_are_not_there(store_home: Path) -> None:
    async def act(client: Client) -> None:
        new = queue.NewJob("batch", "churn", {"config": {}}, "gateway")
        client.runner._stop.set()
        client.runner._wake_jobs.clear()
        job, _ = await client.runner._ledger.write(lambda database: queue.submit(database, new))
        assert (await client.ask("GET", f"/churn/batches/{job.id}/results"))[0] == 409
        await client.runner._ledger.write(lambda database: queue.finish(database, job.id, "stopped"))

    serving(store_home, act)


# Requests that are answered later.


def request_of(body: bytes, query: bytes = b"", **headers: str) -> Request:
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Request("POST", "/churn/predict", query, named, body, "127.0.0.1", b"id-1", 0.0)


async def promised(client: Client, request: Request) -> tuple[int, Any, dict[str, str]]:
    try:
        answer = later(request, "churn", client.runner)
        await asyncio.wait([answer.future])
        response = answer.finish(answer.future)
    except (HandrailError, Refused) as error:
        response = failure(error, request.id)
    told = {name.decode(): value.decode() for name, value in response.headers}
    return response.status, json.loads(response.body), told


async def completed(client: Client, path: str) -> dict[str, Any]:
    while True:
        status, found, _ = await client.ask("GET", path)
        assert status == 200
        if found["status"] in ("completed", "failed"):
            return dict(found)
        assert found["status"] in ("in_queue", "in_progress")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("prefer", "wanted"),
    [
        ("respond-async", True), ("wait=10, Respond-Async", True), ("respond-async; x=1, wait=1", True), ("", False),
        ("respond-asynchronously", False), ("return=minimal", False),
    ],
)  # fmt: skip
def test_who_prefers_to_be_answered_later_says_so(prefer: str, wanted: bool) -> None:
    assert is_for_later({b"prefer": prefer.encode()}) is wanted


def test_a_promise_is_kept(store_home: Path) -> None:
    async def act(client: Client) -> None:
        request = request_of(b"[1]", b"version=3", content_type="application/json", authorization="Bearer x",
                             prefer="respond-async", x_mine="yes", cookie="c")  # fmt: skip
        status, found, headers = await promised(client, request)
        assert status == 202
        assert set(found) == {"id"}
        assert headers == {"location": f"/churn/requests/{found['id']}", "preference-applied": "respond-async"}
        ended = await completed(client, headers["location"])
        assert (ended["id"], ended["status"]) == (found["id"], "completed")
        assert ended["result"]["headers"] == {
            "content-type": "application/json",
            "x-mine": "yes",
            ":query": "version=3",
        }

    serving(store_home, act)


def test_an_async_api_promises_by_itself(store_home: Path) -> None:
    async def act(client: Client) -> None:
        status, found, _ = await client.ask("POST", "/texts", {"text": "a"})
        assert status == 202
        ended = await completed(client, f"/texts/{found['id']}")
        assert ended["result"]["said"] == '{"text": "a"}'

    serving(store_home, act, JobApi("texts", "AsyncAPI"))


def test_a_full_queue_says_when_to_come_again(store_home: Path) -> None:
    async def never(api: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, bytes]:
        await asyncio.sleep(3600)
        raise AssertionError

    async def act(client: Client) -> None:
        assert (await promised(client, request_of(b"1")))[0] == 202
        status, found, headers = await promised(client, request_of(b"1"))
        assert status == 429
        assert found["error"]["code"] == "rate_limited"
        assert int(headers["retry-after"]) >= 1

    serving(store_home, act, answer=never, most_waiting=1)


def test_a_key_gives_the_request_that_was_promised_before(store_home: Path) -> None:
    async def act(client: Client) -> None:
        _, first, _ = await promised(client, request_of(b"1", idempotency_key="k"))
        _, again, _ = await promised(client, request_of(b"1", idempotency_key="k"))
        assert again == first
        assert (await promised(client, request_of(b"2", idempotency_key="k")))[0] == 409

    serving(store_home, act)


def test_a_webhook_is_told_where_it_is_listed_alone(store_home: Path) -> None:
    with hooked() as hook:

        async def act(client: Client) -> None:
            status, found, _ = await promised(client, request_of(b"1", webhook="http://127.0.0.1:1/x"))
            assert (status, found["error"]["code"]) == (403, "forbidden")
            _, found, _ = await promised(client, request_of(b"1", webhook=hook.url))
            while not hook.told:
                await asyncio.sleep(0.01)
            assert hook.told[0][0]["id"] == found["id"]

        serving(store_home, act, webhooks=[hook.url.split("/done")[0]])


def test_a_request_is_asked_of_the_api_as_it_is_served_then(store_home: Path) -> None:
    asked: list[Request] = []

    def predict(request: Request) -> Response:
        asked.append(request)
        if request.body == b"bad":
            raise HandrailError("data", "no row", "send one")
        return Response(b'{"label": "no"}')

    routes = {"/churn/predict": Route("caller", {"POST": predict})}

    async def act(client: Client) -> None:
        _, _, headers = await promised(client, request_of(b"[1]", b"version=3", content_type="text/plain"))
        assert (await completed(client, headers["location"]))["result"] == {"label": "no"}
        assert (asked[0].query, dict(asked[0].headers)) == (b"version=3", {b"content-type": b"text/plain"})
        _, _, headers = await promised(client, request_of(b"bad"))
        found = await completed(client, headers["location"])
        assert (found["status"], found["result"]["error"]["message"]) == ("failed", "no row")
        routes.clear()
        _, _, headers = await promised(client, request_of(b"[1]"))
        found = await completed(client, headers["location"])
        assert (found["status"], found["result"]["error"]["code"]) == ("failed", "not_found")

    serving(store_home, act, answer=live_answers(lambda: routes))


# Tasks.


def test_a_task_is_run_over_http(home: Path) -> None:
    source = "class Task:\n    def __call__(self, config):\n        print(config)\n"
    api = JobApi("retrain", "TaskAPI", code(home, source, kind="TaskAPI", name="retrain"))

    async def act(client: Client) -> None:
        status, job, _ = await client.ask("POST", "/retrain", {"config": {"rate": 1}}, idempotency_key="k")
        assert (status, job["kind"], job["config"]) == (200, "TaskAPI", {"rate": 1})
        found = await client.ended("/retrain", job["job_id"])
        assert found["job_status"]["status"] == "succeeded"
        assert (await client.ask("GET", f"/retrain/{job['job_id']}"))[0] == 200
        assert (await client.ask("POST", "/retrain", {"config": 1}))[0] == 422
        assert (await client.ask("POST", "/retrain", {"confg": {}}))[0] == 422
        _, again, _ = await client.ask("POST", "/retrain", {"config": {"rate": 1}}, idempotency_key="k")
        assert again["job_id"] == job["job_id"]

    serving(home, act, api)


def test_routes_are_for_who_may_predict(store_home: Path) -> None:
    async def act(client: Client) -> None:
        assert {route.policy for route in client.routes.values()} == {"caller"}
        assert sorted(client.routes) == [
            "/churn/batches", "/churn/batches/{id}", "/churn/batches/{id}/dead", "/churn/batches/{id}/results",
            "/churn/requests/{id}",
        ]  # fmt: skip
        assert is_there(store_home)

    serving(store_home, act)
