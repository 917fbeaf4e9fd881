"""What a hostile client sends over HTTP. After all of it a normal prediction is right, and no answer was a 5xx.

The names H2 to H30 in comments are the project's list of hostile requests.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from handrail.model import Model
from tests.serve.bundles import ROW, make_bundle
from tests.serve.served import JSON, Served, drained, serving, status_of

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FOO")
PATHS = (
    "/", "/churn", "/churn/predict", "/churn/report", "/openapi.json", "/docs", "/healthz", "/readyz", "/metrics",
    "/v2", "/v2/health/live", "/v2/health/ready", "/v2/repository/index", "/v2/models/churn", "/v2/models/churn/ready",
    "/v2/models/churn/infer", "/v1/models", "/v1/embeddings", "/v1/models/churn", "/v1/models/churn/metadata",
    "/v1/models/churn:predict", "/v1/models/churn:classify",
)  # fmt: skip
BODY = json.dumps(ROW).encode()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return make_bundle(tmp_path_factory.mktemp("churn"))


@pytest.fixture(scope="module")
def server(model: Model) -> Iterator[Served]:
    """A server with short patience, so that the tests need not wait."""
    limits = {"head_timeout_s": 0.5, "body_timeout_s": 0.5}
    with serving(model.bundle.path, limits=limits) as served:
        yield served


@pytest.fixture(autouse=True)
def stays_right(server: Served, model: Model) -> Iterator[None]:
    """Whatever a test sends: the same replica is there afterwards and answers right."""
    replicas = server.replicas()
    yield
    assert server.ask("GET", "/readyz")[0] == 200
    assert server.predict(ROW) == (200, model(ROW))
    assert server.replicas() == replicas


def post(body: bytes, *headers: bytes, path: bytes = b"/churn/predict") -> bytes:
    """A whole POST, with a content-length and a connection that ends."""
    lines = [b"POST " + path + b" HTTP/1.1", b"host: localhost", b"connection: close", *headers]
    if not any(line.lower().startswith((b"content-length", b"transfer-encoding")) for line in headers):
        lines.append(b"content-length: %d" % len(body))
    if not any(line.lower().startswith(b"content-type") for line in headers):
        lines.append(b"content-type: application/json")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_every_method_on_every_route_is_answered_or_refused(server: Served) -> None:  # H2
    for path in PATHS:
        for method in METHODS:
            head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n"
            answer = server.raw(head.encode() + b"connection: close\r\ncontent-length: 0\r\n\r\n")
            assert status_of(answer) in (200, 400, 405, 415), (method, path, answer)
            if status_of(answer) == 405:
                assert b"\r\nallow: " in answer


@pytest.mark.parametrize(
    "lines",
    [
        "host: evil.example",
        "host: 127.0.0.1.evil.example",
        "host: 127.0.0.1@evil.example",
        "host: localhost.",
        "host: ",
        "x: y",
        "host: localhost\r\nhost: evil.example",
        "host: localhost\r\norigin: http://evil.example",
        "host: localhost\r\norigin: null",
        "host: localhost\r\norigin: http://localhost:1",
        "host: localhost\r\nsec-fetch-site: cross-site",
        "host: localhost\r\nsec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors",
    ],
)
def test_other_hosts_and_pages_of_other_sites_are_refused(server: Served, lines: str) -> None:  # H3
    for method, path in (
        ("POST", "/churn/predict"),
        ("GET", "/churn"),
        ("DELETE", "/churn"),
        ("OPTIONS", "/churn/predict"),
    ):
        sent = f"{method} {path} HTTP/1.1\r\n{lines}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        assert status_of(server.raw(sent.encode())) in (400, 403, 421), (method, lines)


def test_no_answer_opens_itself_to_other_sites(server: Served) -> None:
    for path in PATHS:
        _, headers, _ = server.ask("GET", path, headers={})
        assert not any(name.startswith("access-control") for name in headers)
        assert "server" not in headers


def test_a_link_from_another_site_may_be_followed(server: Served) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert server.ask("GET", "/churn", headers=headers)[0] == 200
    assert server.ask("POST", "/churn/predict", ROW, {**JSON, **headers})[0] == 403


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b'"x"', b"{}", b"[null]", b"[[]]", b"7", b"true", b'{"age": 3', BODY + b"x", BODY * 2,
        json.dumps(ROW).encode("utf-16"), b"\xef\xbb\xbf" + BODY, b'{"plan": "\xff\xfe"}', b'{"plan": "\\ud800"}',
        b'{"plan": "\x00"}', b"\x00", b"{" * 101, b"[" * 101 + b"]" * 101, b"[" * 100_000, b"[" * 250_000,
        b'{"a":' * 100_000, b'{"age": NaN}', b'{"age": Infinity}', b'{"age": 1e999}', b'{"age": -1e999}',
        b'{"age": ' + b"9" * 5_000 + b"}", b'{"age": 1, "age": 2, "plan": "pro", "active": true}',
        b'{"__proto__": {"x": 1}, "constructor": 1}',
    ],
)  # fmt: skip
def test_odd_bodies_are_refused_with_words(server: Served, body: bytes) -> None:  # H4, H5, H6
    answer = server.raw(post(body))
    assert status_of(answer) in (400, 422)
    error = json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]
    assert error["message"]
    assert error["hint"]


@pytest.mark.parametrize(
    "change",
    [
        {"age": "old"}, {"age": [1]}, {"age": {"a": 1}}, {"age": True}, {"plan": None}, {"plan": [1]},
        {"active": "perhaps"}, {"active": 7}, {"Age": 3}, {"extra": 1}, {"plan": ""},
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(server: Served, change: dict[str, object]) -> None:  # H7
    status, found = server.predict({**ROW, **change})
    assert status == 422
    assert found["error"]["field"] == next(iter(change))


def test_many_wrong_fields_give_a_short_answer(server: Served) -> None:  # H7
    status, found = server.predict({**ROW, **{f"x{number}": number for number in range(100_000)}})
    assert status == 422
    assert len(json.dumps(found)) < 3_000


def test_minus_zero_large_whole_numbers_and_odd_words_are_answered(server: Served, model: Model) -> None:  # H6
    for change in (
        {"age": -0.0},
        {"age": 2**64},
        {"age": 1e308},
        {"plan": "\u202e\x1b[31m"},
        {"plan": "x" * 1_000_000},
    ):
        assert server.predict({**ROW, **change})[0] == 200


def test_rows_are_counted(server: Served) -> None:  # H8
    assert server.predict([])[0] == 422
    assert server.predict([ROW] * 10_000)[0] == 200
    for count in (10_001, 1_000_000):
        body = b"[" + b",".join([b"{}"] * count) + b"]"
        assert server.ask("POST", "/churn/predict", body)[0] == 413
    lines = b"age,plan,active\n" + b"3,pro,yes\n" * 10_001
    assert server.ask("POST", "/churn/predict", lines, {"content-type": "text/csv"})[0] == 413


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(server: Served) -> None:  # H9
    for length in (b"33554433", b"9" * 18):
        answer = server.raw(post(b"", b"content-length: " + length))
        assert status_of(answer) == 413
        assert b"connection: close" in answer


def test_an_endless_chunked_body_is_cut_off_at_the_limit(server: Served) -> None:  # H9
    before = memory_kb(server)
    chunk = b"100000\r\n" + b" " * 2**20 + b"\r\n"
    sent = 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(post(b"", b"transfer-encoding: chunked"))
        with contextlib.suppress(ConnectionError):
            for _ in range(1_024):
                client.sendall(chunk)
                sent += 2**20
        assert sent < 48 * 2**20
    assert memory_kb(server) - before < 96 * 2**10


def memory_kb(server: Served) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("encoding", [b"br", b"identity, gzip", b"gzip, gzip", b"nonsense", b""])
def test_bodies_packed_in_other_ways_are_refused(server: Served, encoding: bytes) -> None:  # H9
    packed = gzip.compress(BODY)
    assert status_of(server.raw(post(packed, b"content-encoding: " + encoding))) == 415


def test_bombs_are_unpacked_no_further_than_the_limit(server: Served) -> None:  # H9
    before = memory_kb(server)
    for kind, bomb in ((b"gzip", gzip.compress(bytes(2**27))), (b"zstd", zstandard.compress(bytes(2**27)))):
        assert status_of(server.raw(post(bomb, b"content-encoding: " + kind))) == 413
    assert memory_kb(server) - before < 128 * 2**10


PACKED = (
    (b"gzip", gzip.compress(BODY)),
    (b"deflate", zlib.compress(BODY)),
    (b"zstd", zstandard.compress(BODY)),
)


def test_damaged_packed_bodies_are_refused(server: Served) -> None:  # H9
    for kind, packed in PACKED:
        assert status_of(server.raw(post(packed, b"content-encoding: " + kind))) == 200
        for damaged in (packed[:-1], packed + b"x", BODY, b"", packed[:-6] + b"\xff\xff" + packed[-4:]):
            assert status_of(server.raw(post(damaged, b"content-encoding: " + kind))) == 400, (kind, damaged)


@pytest.mark.parametrize("length", [b"-1", b"+5", b"0x10", b"1e1", b"5, 5", b"", b"9" * 30])
def test_lengths_that_are_none_are_refused(server: Served, length: bytes) -> None:  # H9
    assert status_of(server.raw(post(BODY, b"content-length: " + length))) in (400, 413)


@pytest.mark.parametrize(
    "kind",
    [
        b"text/plain", b"application/x-www-form-urlencoded", b"application/xml", b"multipart/mixed; boundary=x",
        b"application/octet-stream", b"application/x-npy", b"application/vnd.bentoml+pickle",
        b"application/json; charset=utf-16", b"application/jsonp", b"", b";", b"application/json, text/plain",
    ],
)  # fmt: skip
def test_other_kinds_of_body_are_refused(server: Served, kind: bytes) -> None:  # H10
    assert status_of(server.raw(post(BODY, b"content-type: " + kind))) == 415


PART = b'content-disposition: form-data; name="%b"\r\n\r\n%b\r\n'
FORM = b"--x\r\n" + b"--x\r\n".join(PART % (name.encode(), str(cell).encode()) for name, cell in ROW.items()) + b"--x--"


@pytest.mark.parametrize(
    ("body", "boundary", "statuses"),
    [
        (FORM, b"x", (200,)),
        (FORM + b"\r\n", b'"x"', (200,)),
        (FORM[:-2], b"x", (400,)),
        (FORM + b"x", b"x", (400,)),
        (b"\r\n" + FORM, b"x", (400,)),
        (b"", b"x", (400,)),
        (b"--x--", b"x", (422,)),
        (FORM, b"y", (400,)),
        (FORM, b"", (400,)),
        (FORM, b"x" * 10_000, (400,)),
        (FORM, b"x y", (400,)),
        (b"--x\r\n" + (PART % (b"a", b"1") + b"--x\r\n") * 100_000, b"x", (413,)),
        (b"--x\r\n" + PART % (b"age", b"1" * 10_000_000) + b"--x--", b"x", (422,)),
        (b"--x\r\n" + PART % (b"age", b"1") + b"--x\r\n" + PART % (b"age", b"2") + b"--x--", b"x", (400,)),
        (FORM.replace(b'name="plan"', b'name="../../etc/passwd"'), b"x", (422,)),
        (FORM.replace(b'name="plan"', b'name="plan"; filename="../../x\x00"'), b"x", (200,)),
        (FORM.replace(b'name="plan"', b'filename="plan"'), b"x", (400,)),
        (FORM.replace(b'name="plan"', b"name=\"\xff\""), b"x", (400,)),
        (FORM.replace(b"pro", b"\xff"), b"x", (400,)),
        (FORM.replace(b"\r\n\r\n", b"\r\n"), b"x", (400,)),
        (FORM.replace(b"content-disposition", b"x: " + b"y" * 9_000 + b"\r\ncontent-disposition"), b"x", (400,)),
        (FORM.replace(b"content-disposition", b"content-type: multipart/mixed; boundary=y\r\ncontent-disposition"),
         b"x", (400,)),
        (FORM.replace(b"content-disposition", b"content-transfer-encoding: base64\r\ncontent-disposition"), b"x",
         (400,)),
    ],
)  # fmt: skip
def test_odd_forms_are_refused_with_words(
    server: Served, body: bytes, boundary: bytes, statuses: tuple[int, ...]
) -> None:  # H11
    answer = server.raw(post(body, b"content-type: multipart/form-data; boundary=" + boundary))
    assert status_of(answer) in statuses, answer[:500]
    if statuses != (200,):
        assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["hint"]


def test_an_odd_csv_is_refused_with_its_line(server: Served) -> None:
    for body in (
        b"",
        b"age\n",
        b"\x00",
        b'age,plan,active\n"3',
        b"a" * 1_000_000,
        b"a," * 30_000 + b"\n",
        b'"' * 100_000,
        b",\n" * 20_000,
        b"\xff\xfe",
    ):
        status, _, content = server.ask("POST", "/churn/predict", body, {"content-type": "text/csv"})
        assert status in (400, 413, 422), body[:20]
        assert json.loads(content)["error"]["message"]


@pytest.mark.parametrize(
    "lines",
    [
        b"x: " + b"a" * 20_000,
        b"x: " + b"a" * 2_000_000,
        b"\r\n".join(b"x%d: y" % number for number in range(1_000)),
        b"x: a\x00b",
        b"x: a\rb",
        b"x y: z",
        b"x : z",
        b": z",
        b"x: a\r\n b",
        b"\xff\xfe: z",
    ],
)
def test_heads_that_are_off_are_refused(server: Served, lines: bytes) -> None:  # H12
    assert status_of(server.raw(post(BODY, lines))) in (400, 431)


def test_a_name_in_other_letters_is_ignored(server: Served) -> None:  # H12
    assert status_of(server.raw(post(BODY, b"x: \xff\xfe"))) == 200


@pytest.mark.parametrize(
    "path",
    [
        b"/" + b"a" * 20_000, b"/%00", b"/%2e%2e/%2e%2e/etc/passwd", b"/../../etc/passwd",
        b"//churn/predict", b"/churn%2fpredict/",
        b"/\xc0\xaf", b"/%c0%af", b"/churn;x=1/predict", b"/churn\\predict", b"/.", b"/con",
        b"/%252e%252e", b"/churn/predict%0d%0aX",
        b"http://evil.example/churn", b"*", b"", b"churn",
    ],
)  # fmt: skip
def test_paths_that_are_none_are_refused(server: Served, path: bytes) -> None:  # H13, H21
    assert status_of(server.raw(post(BODY, path=path))) in (400, 404, 414)


def test_queries_that_are_off_are_refused(server: Served) -> None:  # H13
    for query in (b"?" + b"x=1&" * 1_500, b"?explain=maybe", b"?version=%00", b"?x", b"?\xff", b"?%ff=1"):
        assert status_of(server.raw(post(BODY, path=b"/churn/predict" + query))) in (400, 404)


@pytest.mark.parametrize(
    "sent",
    [
        post(BODY, b"content-length: %d" % len(BODY), b"transfer-encoding: chunked"),
        post(BODY, b"content-length: %d" % len(BODY), b"content-length: 3"),
        post(BODY, b"transfer-encoding: xchunked"),
        post(BODY, b"transfer-encoding: chunked, identity"),
        post(b"zz\r\n" + BODY, b"transfer-encoding: chunked"),
        post(b"-1\r\n", b"transfer-encoding: chunked"),
        post(b"fffffffffffffffff\r\n", b"transfer-encoding: chunked"),
        post(BODY).replace(b"\r\n", b"\n"),
        b"GET / HTTP/1.1\nhost: localhost\n\n",
        b"GET / HTTP/9.9\r\nhost: localhost\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        os.urandom(2_000),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_ends(server: Served, sent: bytes) -> None:  # H14, H16
    answer = server.raw(sent)
    assert status_of(answer) in (0, 400), answer
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert b"connection: close" in answer or not answer


def test_a_head_that_never_ends_is_cut_off(server: Served) -> None:  # H15
    assert status_of(server.raw(b"GET / HTTP/1.1\r\nhost: loc")) == 408
    assert server.raw(b"") == b""


def test_a_body_that_never_ends_is_cut_off(server: Served) -> None:  # H15, H17
    assert status_of(server.raw(post(b"{", b"content-length: 9"))) == 408
    answer = server.raw(post(b"", b"content-length: 9", b"expect: 100-continue"))
    assert answer.startswith(b"HTTP/1.1 100 ")
    assert b" 408 " in answer


def test_many_silent_connections_do_not_keep_others_out(server: Served) -> None:  # H15
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        assert server.predict(ROW)[0] == 200


def test_more_connections_than_allowed_are_told_so(model: Model) -> None:  # H15
    with serving(model.bundle.path, limits={"max_connections": 5}) as small, contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", small.port), timeout=5)) for _ in range(6)
        ]
        answer = drained(clients[-1])
        assert status_of(answer) == 503
        assert b"retry-after:" in answer


def test_a_thousand_requests_in_one_go_are_all_answered_in_order(server: Served) -> None:  # H16
    one = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-request-id: %d\r\n\r\n"
    answer = server.raw(b"".join(one % number for number in range(999)) + post(BODY))
    assert [int(found) for found in re.findall(rb"x-request-id: (\d+)\r\n", answer)] == list(range(999))
    assert answer.count(b"HTTP/1.1 200 ") == 1_000


def test_clients_that_leave_in_the_middle_do_no_harm(server: Served) -> None:  # H16
    for cut in (1, 20, 60, len(post(BODY)) - 3, len(post(BODY))):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(post(BODY)[:cut])
            # Linger 0: closing sends a reset instead of an end.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.raw(post(BODY), half_close=True)


def test_upgrades_ranges_and_odd_wishes_are_passed_over(server: Served) -> None:  # H16, H17
    for wish in (
        b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==",
        b"range: bytes=" + b",".join(b"%d-%d" % (number, number) for number in range(1_000)),
        b"upgrade-insecure-requests: 1",
        b"accept: image/png",
        b"x-forwarded-for: 1.2.3.4, evil",
        b"x-forwarded-host: evil.example",
        b"x-http-method-override: DELETE",
    ):
        sent = b"GET /churn HTTP/1.1\r\nhost: localhost\r\n" + wish + b"\r\nconnection: close\r\n\r\n"
        assert status_of(server.raw(sent)) in (200, 400), wish[:40]


def test_odd_request_ids_are_replaced(server: Served) -> None:  # H19
    for odd in (b"a" * 10_000, b"\x1b[31m", b"a b", b"\xff", b"%0d%0a"):
        answer = server.raw(post(BODY, b"x-request-id: " + odd))
        assert odd + b"\r\n" not in answer
        assert status_of(answer) in (200, 400)


@pytest.mark.parametrize("wish", [b"-1", b"0", b"abc", b"1.5", b"\xb2", b"9" * 1_000])
def test_deadlines_that_are_none_are_refused(server: Served, wish: bytes) -> None:  # H20
    assert status_of(server.raw(post(BODY, b"x-deadline-ms: " + wish))) == 400


def test_a_deadline_of_a_moment_is_met_or_told(server: Served) -> None:  # H20
    for wish, allowed in ((b"1", (200, 504)), (b"1000000000000", (200,))):
        assert status_of(server.raw(post(BODY, b"x-deadline-ms: " + wish))) in allowed


@pytest.mark.parametrize("name", ["nobody", "churn@1", "..", "churn%00", "CHURN", "__proto__", "a" * 300])
def test_unknown_models_are_not_found(server: Served, name: str) -> None:  # H21
    for path in (f"/{name}", f"/{name}/predict", f"/{name}/report"):
        assert server.ask("POST", path, ROW)[0] == 404


def test_no_error_tells_of_the_machine_and_none_is_ours(server: Served, model: Model) -> None:  # H29, H30
    wrong = [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"age": "' + str(model.bundle.path).encode()[:4] + b'"}',
        b"\xff",
        b"[" * 9_999,
    ]
    answers = [server.raw(post(body)) for body in wrong]
    answers += [server.raw(post(BODY, path=path)) for path in (b"/x", b"/churn/predict?x=1", b"/%00", b"/../x")]
    answers += [server.raw(post(BODY, b"content-type: " + kind)) for kind in (b"x/y", b"text/csv", b"text/plain")]
    answers += [server.raw(sent) for sent in (b"\x00\r\n\r\n", b"GET / HTTP/3\r\n\r\n", post(BODY, b"host: evil"))]
    secrets = (
        str(model.bundle.path),
        "Traceback",
        "site-packages",
        ".py",
        "handrail.serve",
        "uvicorn",
        str(os.getpid()),
    )
    for answer in answers:
        assert 400 <= status_of(answer) < 500, answer
        content = answer.split(b"\r\n\r\n", 1)[1].decode()
        assert set(json.loads(content)) == {"error"}
        assert not [secret for secret in secrets if secret in content]
        assert str(server.process.pid) not in content


def test_large_bodies_that_are_only_announced_keep_no_other_out(server: Served, model: Model) -> None:  # H15
    rows = [ROW] * 9_000
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(post(b"[", b"content-length: 3000000"))
        assert server.predict(rows)[0] == 200
