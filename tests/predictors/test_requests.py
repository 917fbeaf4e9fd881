"""Bodies of every type reach `predict` as Cortex says, and whatever it returns becomes the reply."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.predictors.running import JSON, Asked, answering, request, write_project

CODE = """
    import datetime
    import numpy as np
    from dataclasses import dataclass
    from starlette.datastructures import FormData, UploadFile
    from starlette.exceptions import HTTPException
    from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
    from handrail.predictors import Response as OurResponse

    @dataclass
    class Point:
        x: int

    class Spoken:
        status_code = 200
        media_type = "text/csv"
        headers = {}

        async def __call__(self, scope, receive, send):
            await send({"type": "http.response.start", "status": 201, "headers": [(b"x-a", b"1")]})
            await send({"type": "http.response.body", "body": b"a,", "more_body": True})
            await send({"type": "http.response.body", "body": b"b"})

    class UserRuntimeException(Exception):
        pass

    def refused():
        raise HTTPException(404, "no such book")

    def refused_with_more():
        raise HTTPException(422, {"field": "title"})

    def spoken():
        raise UserRuntimeException("the book is closed")

    REPLIES = {
        "dict": lambda: {"a": [1, None, "ü"], 2: (3,)},
        "number": lambda: 1.5,
        "none": lambda: None,
        "not a number": lambda: [float("nan"), float("inf")],
        "numpy": lambda: {
            "a": np.arange(6).reshape(2, 3)[:, ::2], "b": np.float32(0.5), "c": np.bool_(True), "d": np.int64(7),
        },
        "large number": lambda: 2**70,
        "dataclass": lambda: Point(3),
        "time": lambda: datetime.date(2020, 1, 2),
        "text": lambda: "setosa ü",
        "bytes": lambda: b"\\x00\\xff",
        "bytearray": lambda: bytearray(b"ab"),
        "response": lambda: Response(
            b"<a/>", status_code=202, media_type="application/xml", headers={"X-A": "1", "Content-Length": "9"}
        ),
        "json response": lambda: JSONResponse({"error": "unknown"}, status_code=400),
        "plain response": lambda: PlainTextResponse("hi", 203),
        "html response": lambda: HTMLResponse("<p>"),
        "our response": lambda: OurResponse({"a": 1}, 418, {"X-B": "2"}),
        "spoken response": Spoken,
        "refused": refused,
        "refused with more": refused_with_more,
    }
    PROBLEMS = {
        "a set": lambda: {1, 2},
        "an object": lambda: object(),
        "a division": lambda: 1 / 0,
        "exit": lambda: exit(3),
        "spoken": spoken,
        "a header": lambda: Response("x", headers={"x-a": "1\\r\\nx-b: 2"}),
        "a header's name": lambda: Response("x", headers={"x a": "1"}),
        "a type": lambda: Response("x", media_type="text/a\\r\\nb: c"),
        "a status": lambda: Response("x", 99),
    }

    def described(value):
        if isinstance(value, FormData):
            return {name: [described(one) for one in value.getlist(name)] for name in value}
        if isinstance(value, UploadFile):
            return [value.filename, value.content_type, len(value.file.read())]
        return [type(value).__name__, value.decode("latin-1") if isinstance(value, bytes) else value]

    class PythonPredictor:
        def __init__(self, config):
            pass

        def predict(self, payload, query_params, headers):
            if "reply" in query_params:
                return {**REPLIES, **PROBLEMS}[query_params["reply"]]()
            return {
                "payload": described(payload), "query": query_params.multi_items(), "one": query_params.get("a"),
                "agent": headers.get("User-Agent"), "names": sorted(headers),
            }
"""


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with answering(write_project(tmp_path_factory.mktemp("requests") / "iris", CODE)) as found:
        yield found


def payload(replica: Asked, body: bytes, content_type: str | None) -> Any:
    headers = {} if content_type is None else {"content-type": content_type}
    return json.loads(replica.ask(body, headers).body)["payload"]


@pytest.mark.parametrize(
    ("content_type", "body", "found"),
    [
        ("application/json", b'{"a": 1.5}', ["dict", {"a": 1.5}]),
        ("Application/JSON; charset=utf-8", b" [1, null] ", ["list", [1, None]]),
        ("application/json", b"12345678901234567890123", ["int", 12345678901234567890123]),
        ("application/json", '"ü"'.encode("utf-16"), ["str", "ü"]),
        ("text/plain", "grüße".encode(), ["str", "grüße"]),
        ("text/plain; charset=latin-1", "grüße".encode("latin-1"), ["str", "grüße"]),
        ("text/plain; charset=us-ascii", b"hello", ["str", "hello"]),
        ("application/octet-stream", b"\x00\xff", ["bytes", "\x00\xff"]),
        ("image/png", b"\x89PNG", ["bytes", "\x89PNG"]),
        (None, b"raw", ["bytes", "raw"]),
        (None, b"", ["bytes", ""]),
        ("application/x-www-form-urlencoded", b"key=value&key=2&a=%C3%BC+x&empty=",
         {"key": [["str", "value"], ["str", "2"]], "a": [["str", "ü x"]], "empty": [["str", ""]]}),
    ],
)  # fmt: skip
def test_the_content_type_says_what_the_payload_is(
    replica: Asked, content_type: str | None, body: bytes, found: object
) -> None:
    assert payload(replica, body, content_type) == found


def form(*parts: tuple[str, bytes], end: bytes = b"--\r\n") -> bytes:
    return b"".join(b"--XyZ\r\n%s\r\n\r\n%s\r\n" % (head.encode(), body) for head, body in parts) + b"--XyZ" + end


def test_a_form_holds_texts_and_files(replica: Asked) -> None:
    binary = bytes(range(256)) + b"\r\n--Xy\r\n"
    body = form(
        ('Content-Disposition: form-data; name="text"; filename="text.txt"\r\nContent-Type: text/plain', b"hello"),
        ('Content-Disposition: form-data; name="object"; filename="object.pkl"', binary),
        ('content-disposition: form-data; name="image"; filename="ü \\"1\\".png"\r\ncontent-type: image/png', b""),
        ('Content-Disposition: form-data; name="image"; filename="2.png"\r\nContent-Type: image/png', b"12"),
        ("Content-Disposition: form-data; name=plain", "wörter".encode()),
        ('Content-Disposition: form-data; name="a%22b"', b"x"),
    )
    assert payload(replica, body, "multipart/form-data; boundary=XyZ") == {
        "text": [["text.txt", "text/plain", 5]],
        "object": [["object.pkl", "application/octet-stream", len(binary)]],
        "image": [['ü "1".png', "image/png", 0], ["2.png", "image/png", 2]],
        "plain": [["str", "wörter"]],
        'a"b': [["str", "x"]],
    }
    assert payload(replica, b"preamble\r\n" + body + b"epilogue", 'multipart/form-data; boundary="XyZ"')["text"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b""),
        ("application/json", b'{"a": secret}'),
        ("application/json", b"[" * 100_000),
        ("application/json", b"\xff\xfe\x00"),
        ("text/plain; charset=no-such", b"x"),
        ("text/plain; charset=hex", b"00"),
        ("text/plain", b"\xff"),
        ("multipart/form-data", form(("Content-Disposition: form-data; name=a", b"x"))),
        ("multipart/form-data; boundary=other", form(("Content-Disposition: form-data; name=a", b"x"))),
        ("multipart/form-data; boundary=XyZ", b""),
        ("multipart/form-data; boundary=XyZ", form(("Content-Disposition: form-data; name=a", b"x"), end=b"")),
        ("multipart/form-data; boundary=XyZ", form(("Content-Disposition: form-data", b"x"))),
        ("multipart/form-data; boundary=XyZ", form(("x" * 10_000, b"x"))),
        ("multipart/form-data; boundary=XyZ", b"--XyZ\r\n" * 5_000 + b"--XyZ--"),
        ("application/x-www-form-urlencoded", b"a=1&" * 5_000),
    ],
)
def test_a_body_that_is_not_what_it_says_is_refused(replica: Asked, content_type: str, body: bytes) -> None:
    found = replica.problem(body, {"content-type": content_type})
    assert found["code"] == "usage"
    assert "secret" not in json.dumps(found)


def test_parameters_and_headers_come_by_name(replica: Asked) -> None:
    found = json.loads(replica.ask(b"1", {**JSON, "user-agent": "me", "x-b": "ü"}, "a=1&a=2&b=%C3%BC&c").body)
    assert (found["query"], found["one"]) == ([["a", "1"], ["a", "2"], ["b", "ü"], ["c", ""]], "2")
    assert (found["agent"], found["names"]) == ("me", ["content-type", "user-agent", "x-b"])


TEXT, OCTETS = "text/plain; charset=utf-8", "application/octet-stream"


@pytest.mark.parametrize(
    ("name", "status", "kind", "body"),
    [
        ("dict", 200, "application/json", '{"a":[1,null,"ü"],"2":[3]}'.encode()),
        ("number", 200, "application/json", b"1.5"),
        ("none", 200, "application/json", b"null"),
        ("not a number", 200, "application/json", b"[null,null]"),
        ("numpy", 200, "application/json", b'{"a":[[0,2],[3,5]],"b":0.5,"c":true,"d":7}'),
        ("large number", 200, "application/json", b"1180591620717411303424"),
        ("dataclass", 200, "application/json", b'{"x":3}'),
        ("time", 200, "application/json", b'"2020-01-02"'),
        ("text", 200, TEXT, "setosa ü".encode()),
        ("bytes", 200, OCTETS, b"\x00\xff"),
        ("bytearray", 200, OCTETS, b"ab"),
        ("response", 202, "application/xml", b"<a/>"),
        ("json response", 400, "application/json", b'{"error":"unknown"}'),
        ("plain response", 203, TEXT, b"hi"),
        ("html response", 200, "text/html; charset=utf-8", b"<p>"),
        ("our response", 418, "application/json", b'{"a":1}'),
        ("spoken response", 201, "text/csv", b"a,b"),
        ("refused", 404, TEXT, b"no such book"),
        ("refused with more", 422, "application/json", b'{"field":"title"}'),
    ],
)
def test_what_predict_returns_or_raises_is_the_reply(
    replica: Asked, name: str, status: int, kind: str, body: bytes
) -> None:
    found = replica.ask(b"1", query=f"reply={name}")
    assert (found.status, found.content_type, found.body) == (status, kind, body)


def test_a_response_keeps_its_headers_but_not_those_of_the_connection(replica: Asked) -> None:
    assert replica.ask(b"1", query="reply=response").headers == (("x-a", "1"),)
    assert replica.ask(b"1", query="reply=our response").headers == (("x-b", "2"),)
    assert replica.ask(b"1", query="reply=spoken response").headers == (("x-a", "1"),)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a set", "TypeError"), ("an object", "TypeError"), ("a division", "ZeroDivisionError"), ("exit", "SystemExit"),
        ("spoken", "the book is closed"), ("a header", "ValueError"), ("a header's name", "ValueError"),
        ("a type", "ValueError"), ("a status", "ValueError"),
    ],
)  # fmt: skip
def test_what_goes_wrong_in_predict_is_an_error_of_the_server_in_few_words(
    replica: Asked, name: str, said: str
) -> None:
    header, _ = replica.predict(request(b"1", query=f"reply={name}"))
    found = header["failed"]["0"]
    assert found["code"] == "bug"
    assert said in found["problem"]
    assert "/" not in found["problem"], "no path"
    assert replica.ask(b"1").status == 200


def test_requests_that_travel_together_fail_alone(replica: Asked) -> None:
    header, replies = replica.predict(request(b"1"), request(b"{"), request(b"1", query="reply=a set"), request(b'"x"'))
    assert sorted(header["failed"]) == ["1", "2"]
    assert [reply is not None for reply in replies] == [True, False, False, True]
    assert header["rows"] == 4
    assert len(header["seconds"]) == 3


def test_a_get_says_what_to_do_and_other_methods_are_refused(replica: Asked) -> None:
    assert b"POST" in replica.ask(b"", {}, method="GET").body
    found = replica.problem(b"1", method="DELETE")
    assert (found["code"], found["mend"]) == ("method", "send POST")


def test_a_ping_and_an_explanation_are_answered(replica: Asked) -> None:
    replica.send([], do="ping")
    assert replica.received()[0]["rows"] == 0
    replica.send([request(b"1")], do="explain")
    assert replica.received()[0]["failed"]["0"]["code"] == "usage"


def test_the_traceback_is_in_the_log_and_starts_at_the_users_line(tmp_path: Path) -> None:
    code = "class PythonPredictor:\n    def predict(self, payload):\n        return payload['x']\n"
    with answering(write_project(tmp_path / "iris", code)) as replica:
        assert replica.problem(b"{}")["problem"] == "the predictor failed on this request (KeyError)"
    log = (tmp_path / "replicas.log").read_text()
    assert "return payload['x']" in log
    assert "KeyError: 'x'" in log
    assert "answering.py" not in log
