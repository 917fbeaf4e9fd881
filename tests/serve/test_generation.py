"""Texts over HTTP: a model that writes is asked in our words and by OpenAI's own client, whole and streamed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from handrail.faces.cli import top
from handrail.faces.cli.writing_client import writing_client, writing_curl_line
from handrail.serve.keys import add_key, rate_from
from handrail.store import Store
from tests.generation_bundles import generation_bundle
from tests.serve.bundles import make_bundle
from tests.serve.served import Served, serving, until

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"dry": {"type": "boolean"}}, "required": ["dry"],
                       "additionalProperties": False},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(generation_bundle(tmp_path_factory.mktemp("made") / "tiny")) as served:
        yield served


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0) as client:
        yield client


def asked(server: Served, body: dict[str, Any], path: str = "/tiny/generate") -> Any:
    status, _, content = server.ask("POST", path, body)
    assert status == 200, content
    return json.loads(content)


def events(server: Served, body: dict[str, Any]) -> list[Any]:
    status, headers, content = server.ask("POST", "/tiny/generate", {**body, "stream": True})
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    return [json.loads(line.removeprefix("data: ")) for line in content.decode().split("\n\n") if line]


def refused(server: Served, body: object, path: str = "/tiny/generate") -> tuple[int, dict[str, Any]]:
    status, _, content = server.ask("POST", path, body)
    return status, json.loads(content)["error"]


def test_the_same_seed_writes_the_same_text_whole_or_streamed(server: Served) -> None:
    body = {"prompt": "Once upon a time", "max_tokens": 24, "seed": 7}
    whole = asked(server, body)
    assert (whole["finish"], whole["usage"]["completion_tokens"], whole["seed"]) == ("length", 24, 7)
    told = events(server, body)
    assert "".join(one.get("text", "") for one in told) == whole["text"]
    assert told[-1]["finish"] == "length"
    assert told[-1]["usage"]["completion_tokens"] == 24
    assert len(told) > 10
    assert asked(server, {**body, "seed": 8})["text"] != whole["text"]


def test_a_seed_is_drawn_and_told_where_none_is_given(server: Served) -> None:
    first = asked(server, {"prompt": "Once", "max_tokens": 12})
    again = asked(server, {"prompt": "Once", "max_tokens": 12, "seed": first["seed"]})
    assert again["text"] == first["text"]


def test_several_prompts_and_several_texts_come_in_order(server: Served) -> None:
    body = {"prompts": ["one", "two"], "n": 2, "max_tokens": 6, "seed": 1, "logprobs": 1}
    answers = asked(server, body)["answers"]
    assert [(one["prompt"], one["index"]) for one in answers] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert len({one["text"] for one in answers}) == 4
    assert all(len(one["logprobs"]) == 6 for one in answers)
    alone = asked(server, {"prompt": "two", "n": 2, "max_tokens": 6, "seed": 1})["answers"]
    assert [one["text"] for one in alone] == [one["text"] for one in answers[2:]]
    told = events(server, body)
    streamed = ["".join(one.get("text", "") for one in told if one["prompt"] == 1 and one["index"] == index)
                for index in (0, 1)]  # fmt: skip
    assert streamed == [one["text"] for one in answers[2:]]


def test_messages_are_answered_and_predict_answers_prompts(server: Served) -> None:
    assert asked(server, {"messages": HELLO, "max_tokens": 5})["usage"]["completion_tokens"] <= 5
    one, two = asked(server, [{"prompt": "a"}, "b"], "/tiny/predict")  # type: ignore[arg-type]
    assert one["finish"] in ("stop", "length")
    assert isinstance(two["text"], str)
    described = json.loads(server.ask("GET", "/tiny")[2])
    assert (described["task"], described["generate"]) == ("generation", "/tiny/generate")


def test_a_text_past_the_window_says_so(server: Served) -> None:
    body = {"prompt": "Hello " * 20, "max_tokens": 240, "seed": 1, "ignore_end": True}
    assert asked(server, body)["usage"]["slid_tokens"] > 0


def test_a_text_past_the_window_says_so_to_the_client_of_openai(client: openai.OpenAI) -> None:
    asked: Any = {"model": "tiny", "prompt": "Hello " * 20, "max_tokens": 240, "extra_body": {"ignore_end": True}}
    assert client.completions.create(**asked).handrail["slid_tokens"] > 0
    *_, last = client.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    assert last.handrail["slid_tokens"] > 0


def test_the_client_completes_prompts(client: openai.OpenAI) -> None:
    found = client.completions.create(model="tiny", prompt=["One", "Two"], n=2, max_tokens=5, seed=3, echo=True)
    assert [choice.index for choice in found.choices] == [0, 1, 2, 3]
    assert [choice.text[:3] for choice in found.choices] == ["One", "One", "Two", "Two"]
    assert found.usage is not None
    assert found.usage.completion_tokens == 20
    tokens = client.completions.create(model="tiny", prompt=[65, 66], max_tokens=5, seed=3)
    assert tokens.usage is not None
    assert tokens.usage.prompt_tokens == 2
    again = client.completions.create(model="tiny", prompt=[[65, 66], [67]], max_tokens=5, seed=3)
    assert again.choices[0].text == tokens.choices[0].text


def test_the_client_streams_what_it_would_get_whole(client: openai.OpenAI) -> None:
    asked: Any = {"model": "tiny", "prompt": "Once", "max_tokens": 20, "seed": 5, "temperature": 1.0}
    whole = client.completions.create(**asked)
    told = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(one.choices[0].text for one in told if one.choices) == whole.choices[0].text
    assert told[-2].choices[0].finish_reason == "length"
    assert told[-1].choices == []
    assert told[-1].usage == whole.usage


def test_the_client_sees_how_likely_tokens_were(client: openai.OpenAI) -> None:
    choice = client.completions.create(model="tiny", prompt="Once", max_tokens=4, logprobs=2).choices[0]
    assert choice.logprobs is not None
    assert len(choice.logprobs.tokens or []) == len(choice.logprobs.token_logprobs or []) == 4
    chat = client.chat.completions.create(
        model="tiny", messages=HELLO, max_tokens=3, logprobs=True, top_logprobs=2
    ).choices[0]  # fmt: skip
    assert chat.logprobs is not None
    assert [len(one.top_logprobs) for one in chat.logprobs.content or []] == [2, 2, 2]


def test_offsets_are_those_of_the_tokens_whole_or_streamed(client: openai.OpenAI) -> None:
    asked: Any = {"model": "tiny", "prompt": "Once", "max_tokens": 30, "seed": 5, "logprobs": 2}
    text = client.completions.create(**asked).choices[0].text
    asked["stop"] = [text[:8] + "never", text[6:12] + "never"]  # Begins again and again, and is never met.
    whole = client.completions.create(**asked).choices[0]
    told = [one.choices[0] for one in client.completions.create(**asked, stream=True)]
    assert "".join(one.text for one in told) == whole.text == text
    assert whole.logprobs is not None
    offsets = [offset for one in told if one.logprobs for offset in one.logprobs.text_offset or []]
    assert offsets == whole.logprobs.text_offset


def test_of_tokens_that_look_alike_the_likeliest_is_told(client: openai.OpenAI) -> None:
    asked: Any = {"model": "tiny", "prompt": "Once", "max_tokens": 40, "temperature": 0.0, "logprobs": 5}
    found = client.completions.create(**asked).choices[0].logprobs
    assert found is not None
    chosen = zip(found.tokens or [], found.token_logprobs or [], found.top_logprobs or [], strict=True)
    assert all(top[token] == logprob for token, logprob, top in chosen)


def test_the_client_chats(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(model="tiny", messages=HELLO, max_completion_tokens=6, n=2, seed=1)
    assert [choice.message.role for choice in found.choices] == ["assistant", "assistant"]
    told = list(client.chat.completions.create(
        model="tiny", messages=HELLO, max_completion_tokens=6, n=2, seed=1, stream=True
    ))  # fmt: skip
    for choice in found.choices:
        own = [one.choices[0] for one in told if one.choices[0].index == choice.index]
        assert own[0].delta.role == "assistant"
        assert "".join(one.delta.content or "" for one in own) == choice.message.content
        assert own[-1].finish_reason == choice.finish_reason


def test_the_client_gets_json_that_keeps_to_its_schema(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"dry": {"type": "boolean"}}, "required": ["dry"],
              "additionalProperties": False}  # fmt: skip
    form: Any = {"type": "json_schema", "json_schema": {"name": "weather", "schema": schema}}
    found = client.chat.completions.create(model="tiny", messages=HELLO, response_format=form, max_tokens=60, seed=2)
    assert json.loads(found.choices[0].message.content or "")["dry"] in (True, False)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
def test_a_tool_that_has_to_be_called_is_called(client: openai.OpenAI, choice: Any) -> None:
    asked: Any = {"model": "tiny", "messages": HELLO, "tools": [WEATHER], "tool_choice": choice, "max_tokens": 120}
    choice = client.chat.completions.create(**asked, seed=4).choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments)["dry"] in (True, False)
    told = [one.choices[0] for one in client.chat.completions.create(**asked, seed=4, stream=True)]
    (streamed,) = [call for one in told for call in one.delta.tool_calls or []]
    assert streamed.function is not None
    assert json.loads(streamed.function.arguments or "") == json.loads(call.function.arguments)
    assert told[-1].finish_reason == "tool_calls"


def test_the_client_knows_the_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "handrail"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("tinny")


def test_the_client_works_with_asyncio(server: Served) -> None:
    async def run() -> None:
        async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none") as client:
            asked: Any = {"model": "tiny", "messages": HELLO, "max_tokens": 12, "seed": 9}
            whole = await client.chat.completions.create(**asked)
            parts = [one.choices[0].delta.content or "" async for one in await client.chat.completions.create(
                **asked, stream=True
            )]  # fmt: skip
            assert "".join(parts) == whole.choices[0].message.content

    asyncio.run(run())


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (openai.NotFoundError, {"model": "tinny"}),
        (openai.UnprocessableEntityError, {"max_tokens": 2**31}),
        (openai.UnprocessableEntityError, {"temperature": -1}),
        (openai.UnprocessableEntityError, {"suffix": "the end"}),
        (openai.UnprocessableEntityError, {"best_of": 3}),
        (openai.UnprocessableEntityError, {"logit_bias": {"50": 1}}),
        (openai.UnprocessableEntityError, {"logprobs": 6}),
        (openai.UnprocessableEntityError, {"n": 10**6}),
        (openai.UnprocessableEntityError, {"stop": ["a"] * 1_000}),
        (openai.UnprocessableEntityError, {"prompt": []}),
        (openai.UnprocessableEntityError, {"prompt": [10**9]}),
        (openai.UnprocessableEntityError, {"extra_body": {"tempratur": 1}}),
    ],
)
def test_the_client_is_told_what_is_off(client: openai.OpenAI, error: type[Exception], asked: dict[str, Any]) -> None:
    for stream in (False, True):
        with pytest.raises(error):
            client.completions.create(**{"model": "tiny", "prompt": "a", "max_tokens": 3, **asked}, stream=stream)


def test_a_key_is_asked_for_and_its_rate_kept(tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.json", "me", rate_from("2/m"))
    with serving(generation_bundle(tmp_path / "tiny"), keys=str(tmp_path / "keys.json")) as served:
        url = f"http://127.0.0.1:{served.port}/v1"
        stranger = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
        with stranger, pytest.raises(openai.AuthenticationError):
            stranger.completions.create(model="tiny", prompt="a")
        with openai.OpenAI(base_url=url, api_key=key, max_retries=0) as client:
            for _ in range(2):
                client.completions.create(model="tiny", prompt="a", max_tokens=2)
            with pytest.raises(openai.RateLimitError) as refused:
                client.completions.create(model="tiny", prompt="a", max_tokens=2, stream=True)
            assert int(refused.value.response.headers["retry-after"]) >= 1


def test_who_asks_for_a_text_where_another_kind_of_model_took_over_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDRAIL_HOME", str(tmp_path / "home"))
    Store().publish(generation_bundle(tmp_path / "writer"), "churn")
    with serving("churn", reload_s=0.05) as served:
        make_bundle(tmp_path / "other")
        Store().publish(tmp_path / "other", "churn")
        until(lambda: json.loads(served.ask("GET", "/churn")[2])["version"] == 2)
        status, error = refused(served, {"prompt": "a"}, "/churn/generate")
        assert (status, error["message"]) == (404, "version 2 of churn writes no text")


def test_a_limit_that_is_off_is_called_as_the_client_calls_it(server: Served) -> None:
    for name in ("max_completion_tokens", "max_tokens"):
        error = refused(server, {"model": "tiny", "messages": HELLO, name: "2"}, "/v1/chat/completions")[1]
        assert error["field"] == name
        assert f"'{name}'" in error["message"]


def test_what_is_no_object_or_no_message_is_refused(server: Served, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="expected an object"):
        client.post("/completions", body=[], cast_to=object)
    with pytest.raises(openai.UnprocessableEntityError, match="only text is read"):
        picture: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]
        client.chat.completions.create(model="tiny", messages=picture)
    with pytest.raises(openai.UnprocessableEntityError, match="role"):
        wizard: Any = [{"role": "wizard", "content": "a"}]
        client.chat.completions.create(model="tiny", messages=wizard)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b'{"prompt": "a", "temperature": NaN}', 400, None),
        (b'{"prompt": "a", "temperature": 1e999}', 400, None),
        (b'{"prompt": "a", "json_schema": ' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}", 400, None),
        (b"[" * 100_000, 400, None),
        ({}, 422, "prompt"),
        ({"prompt": 7}, 422, "prompt"),
        ({"prompt": "a", "prompts": ["b"]}, 422, "prompt"),
        ({"prompts": ["a"] * 129}, 413, "n"),
        ({"prompt": "a", "max_tokens": 0}, 422, "max_tokens"),
        ({"prompt": "a", "max_tokens": -1}, 422, "max_tokens"),
        ({"prompt": "a", "max_tokens": 2**31}, 422, "max_tokens"),
        ({"prompt": "a", "n": 10**6}, 422, "n"),
        ({"prompt": "a", "stop": ["x"] * 1_000}, 422, "stop"),
        ({"prompt": "a", "stop": "x" * 100_000}, 422, "stop"),
        ({"prompt": "a", "stream": "yes"}, 422, "stream"),
        ({"prompt": "a", "tools": [WEATHER]}, 422, "tools"),
        ({"prompt": "a", "max_token": 3}, 422, "max_token"),
        ({"messages": []}, 422, "messages"),
        ({"prompt": "a" * 300_000}, 413, "prompt"),
        ({"messages": [{"role": "user", "content": "a" * 300_000}]}, 413, "messages"),
        (b'{"prompt": "\\ud800"}', 400, None),
        ({"messages": [{"role": "user", "content": {"a": 1}}]}, 422, "messages"),
        ({"prompt": "a", "json_schema": {"type": "no such type"}}, 422, "json_schema"),
        ({"prompt": "a", "json_schema": {"allOf": [{"type": "string"}, {"type": "number"}]}}, 422, "json_schema"),
    ],
)
def test_what_is_off_is_refused_and_named(server: Served, body: object, status: int, field: str | None) -> None:
    found, error = refused(server, body)
    assert (found, error.get("field")) == (status, field), error
    assert error["hint"]
    assert server.ask("GET", "/readyz")[0] == 200


def test_a_prompt_longer_than_the_window_is_answered_or_refused_in_words(server: Served) -> None:
    status, _, content = server.ask("POST", "/tiny/generate", {"prompt": "word " * 5_000, "max_tokens": 3})
    assert status == 200, content
    assert json.loads(content)["usage"]["slid_tokens"] > 0


def test_who_gives_less_time_than_it_takes_is_told_so(server: Served) -> None:
    body = {"prompt": "a", "max_tokens": 60_000, "ignore_end": True}
    status, _, content = server.ask("POST", "/tiny/generate", body, {"content-type": "application/json",
                                                                     "x-deadline-ms": "200"})  # fmt: skip
    assert (status, json.loads(content)["error"]["code"]) == (504, "timeout")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("POST", "/tiny/generate", json.dumps({**body, "stream": True}), {"x-deadline-ms": "200"})
    response = connection.getresponse()
    assert response.status == 200  # it had begun
    assert b"event: error\ndata: " in response.read()
    connection.close()


def test_what_is_written_is_counted(server: Served) -> None:
    def counts() -> dict[str, float]:
        lines = server.ask("GET", "/metrics")[2].decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name.replace('{model="tiny",version="0"', "{"): float(value) for name, value in pairs}

    before = counts()
    asked(server, {"prompt": "abc", "max_tokens": 10, "seed": 1, "ignore_end": True})
    after = counts()

    def more(name: str) -> float:
        return after[name] - before[name]

    assert more('handrail_generation_tokens_total{,kind="completion"}') == 10
    assert more('handrail_generation_tokens_total{,kind="prompt"}') > 0
    assert more("handrail_generation_first_token_seconds_count{}") == 1
    assert more('handrail_requests_total{,outcome="answered"}') == 1
    assert after["handrail_generation_running{}"] == after["handrail_generation_waiting{}"] == 0
    assert after["handrail_generation_kv_budget_bytes{}"] > 0


def test_other_protocols_ask_for_texts_as_for_anything_else(server: Served) -> None:
    tensor = {"name": "prompt", "datatype": "BYTES", "shape": [1], "data": ["good film"]}
    status, _, content = server.ask("POST", "/v2/models/tiny/infer", {"inputs": [tensor]})
    assert status == 200
    outputs = json.loads(content)["outputs"]
    assert (outputs[0]["name"], outputs[0]["datatype"], outputs[0]["shape"]) == ("text", "BYTES", [1])
    status, _, content = server.ask("POST", "/v1/models/tiny:predict", {"instances": ["good film"]})
    assert status == 200
    assert isinstance(json.loads(content)["predictions"][0]["text"], str)
    status, _, table = server.ask("POST", "/tiny/predict", ["a"], {"content-type": "application/json",
                                                                   "accept": "text/csv"})  # fmt: skip
    assert (status, table.decode().splitlines()[0]) == (200, "text,finish")


def test_the_printed_client_asks_and_tells(server: Served, tmp_path: Path) -> None:
    file = tmp_path / "tiny_client.py"
    file.write_text(writing_client("tiny", f"http://127.0.0.1:{server.port}"))
    asks = "import tiny_client as one; print(len(one.ask('Hello!', max_tokens=5)) > 0, len(list(one.tell('Once'))) > 9)"
    found = subprocess.run([sys.executable, "-c", asks], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout == "True True\n"
    line = writing_curl_line("tiny", f"http://127.0.0.1:{server.port}")
    curl = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert curl.stdout.startswith("data: ")


def test_what_is_written_each_second_is_seen(server: Served) -> None:
    before = top.counted(f"http://127.0.0.1:{server.port}")
    asked(server, {"prompt": "abc", "max_tokens": 50, "ignore_end": True})
    (line,) = top.between(before, top.counted(f"http://127.0.0.1:{server.port}"))
    assert line.tokens_per_s is not None
    assert line.tokens_per_s > 0
    assert "tokens" in str(list(top.drawn("http://x", [line]).columns)[-1].header)  # type: ignore[union-attr]


def test_its_page_runs_one_script_and_knows_the_model_s_own_settings(server: Served) -> None:
    _, headers, content = server.ask("GET", "/tiny", None, {"accept": "text/html"})
    page = content.decode()
    script = page.rpartition("<script>")[2].removesuffix("</script></main></body></html>")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in headers["content-security-policy"]
    assert "onclick" not in page
    assert 'data-setting=max_tokens inputmode=decimal value="256"' in page


@pytest.mark.parametrize(("plan", "first"), [({}, "chat"), ({"dialogue": True}, "chat"), ({"dialogue": False}, "text")])
def test_the_page_shows_first_what_the_model_was_taught(plan: dict[str, Any], first: str, tmp_path: Path) -> None:
    with serving(generation_bundle(tmp_path / "tiny", plan=plan)) as served:
        _, _, content = served.ask("GET", "/tiny", None, {"accept": "text/html"})
    assert f"id=tab-{first} aria-controls={first} aria-selected=true" in content.decode()


@pytest.mark.parametrize("path", ["/", "/docs", "/tiny", "/openapi.json"])
def test_its_pages_are_there(server: Served, path: str) -> None:
    assert server.ask("GET", path, None, {"accept": "text/html"})[0] == 200
