"""Requests and replies as bytes, and what the gateway makes of what user code sends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.core.errors import HandrailError
from handrail.predictors.exchange import Reply, packed_reply, packed_rows, reply_of, request_of, rows_of
from handrail.serve.exchange import Response
from handrail.serve.formats.predictor import packed, response_of


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_rows_come_out_as_they_went_in(rows: list[bytes]) -> None:
    assert rows_of(packed_rows(rows)) == rows


@given(
    query=st.binary(max_size=20), body=st.binary(max_size=50),
    headers=st.dictionaries(st.sampled_from([b"a", b"B"]), st.binary(max_size=20), max_size=2),
)  # fmt: skip
def test_any_request_comes_out_as_it_went_in(query: bytes, body: bytes, headers: dict[bytes, bytes]) -> None:
    found = request_of(packed("POST", "/ü/predict", query, headers, body, b"id-1"))
    assert (found.method, found.path, found.body, found.id) == ("POST", "/ü/predict", body, "id-1")
    assert found.query.encode("latin-1") == query
    assert {name.encode(): value.encode("latin-1") for name, value in found.headers.items()} == {
        name.lower(): value for name, value in headers.items()
    }


def test_a_reply_becomes_a_response() -> None:
    reply = Reply(b"body", "text/csv", 201, (("x-a", "1"), ("set-cookie", "a=b"), ("set-cookie", "c=d")))
    assert reply_of(packed_reply(reply)) == reply
    found = response_of(packed_reply(reply))
    headers = ((b"x-a", b"1"), (b"set-cookie", b"a=b"), (b"set-cookie", b"c=d"))
    assert found == Response(b"body", b"text/csv", 201, headers)


@pytest.mark.parametrize(
    ("given_status", "status"), [(200, 200), (299, 200), (420, 400), (599, 500), (101, 200), (7, 200)]
)
def test_a_status_that_has_no_name_becomes_the_first_of_its_kind(given_status: int, status: int) -> None:
    assert response_of(packed_reply(Reply(b"", status=given_status))).status == status


@pytest.mark.parametrize("status", [204, 304])
def test_where_no_body_may_be_there_is_none(status: int) -> None:
    assert response_of(packed_reply(Reply(b"body", status=status))).body == b""


def test_headers_of_the_connection_are_the_gateways() -> None:
    theirs = (("Content-Length", "9"), ("connection", "close"), ("transfer-encoding", "chunked"), ("x-ü", "1"))
    assert response_of(packed_reply(Reply(b"", headers=theirs[:3]))).headers == ()
    with pytest.raises(HandrailError):
        response_of(packed_reply(Reply(b"", headers=theirs)))


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"\0", b"\xff\xff\xff\xff", b"\x02\0\0\0[]", b"\x04\0\0\0null",
        packed_reply(Reply(b"", headers=(("a", "1\r\nb: 2"),))),
        packed_reply(Reply(b"", content_type="a\r\nb: c")), packed_reply(Reply(b"", headers=(("a b", "1"),))),
        packed_reply(Reply(b"", status="200")), packed_reply(Reply(b"", content_type=3)),  # type: ignore[arg-type]
        packed_reply(Reply(b"", headers=(("a", 1),))),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_a_replica_cannot_make_the_gateway_write_what_it_does_not_mean(answer: bytes) -> None:
    with pytest.raises(HandrailError) as found:
        response_of(answer)
    assert found.value.code == "bug"


@given(st.binary(max_size=60))
def test_no_bytes_of_a_replica_raise_anything_else(answer: bytes) -> None:
    try:
        response_of(answer)
    except HandrailError as error:
        assert error.code == "bug"
