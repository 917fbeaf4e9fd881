"""Webhooks are told at listed origins alone, at the address that was looked at, and nowhere a redirect points."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from handrail.core.errors import HandrailError
from handrail.jobs import requests, webhook
from handrail.jobs.database import opened
from handrail.jobs.webhook import WAITS_S, Address, checked, origin_of, post
from tests.jobs.hook import hooked

LISTED = ["https://hooks.example.com", "http://127.0.0.1:9000", "http://internal.example.com"]


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://hooks.example.com/done?a=1", "hooks.example.com", 443, "/done?a=1"),
        ("https://HOOKS.example.com:443", "hooks.example.com", 443, "/"),
        ("http://127.0.0.1:9000/x", "127.0.0.1", 9000, "/x"),
    ],
)
def test_a_listed_origin_may_be_told(url: str, host: str, port: int, path: str) -> None:
    found = checked(url, LISTED)
    assert (found.host, found.port, found.path) == (host, port, path)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/", "https://hooks.example.com.evil.org/", "http://hooks.example.com/",
        "https://hooks.example.com:8443/", "http://127.0.0.1:9001/", "http://localhost:9000/", "http://[::1]:9000/",
        "http://127.1:9000/", "http://2130706433:9000/", "http://0:9000/", "http://169.254.169.254/latest/",
        "http://[::ffff:127.0.0.1]:9000/", "http://0x7f000001:9000/",
    ],
)  # fmt: skip
def test_another_origin_is_forbidden(url: str) -> None:
    with pytest.raises(HandrailError, match="no webhook may be told") as error:
        checked(url, LISTED)
    assert error.value.code == "forbidden"


@pytest.mark.parametrize(
    "url",
    [
        "", "hooks.example.com", "ftp://hooks.example.com", "file:///etc/passwd", "gopher://127.0.0.1:9000",
        "https://hooks.example.com@evil.org/", "https://evil.org\\@hooks.example.com/", "https://user:pw@hooks.example.com",
        "https://hooks.example.com/#x", "https:///x", "https://hooks.example.com:x/", "https://hooks.example.com:99999/",
        "https://hooks..example.com/", "https://hooks.example.com /", "https://hooks.example.com/\r\nx: y",
        "https://hoöks.example.com/", "https://[::1", "//hooks.example.com/", "https://hooks.example.com/" + "a" * 3000,
        "HTTPS:hooks.example.com",
    ],
)  # fmt: skip
def test_what_two_readers_could_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(HandrailError):
        checked(url, LISTED)


def test_an_origin_has_no_path() -> None:
    assert origin_of("https://example.com/") == "https://example.com:443"
    with pytest.raises(HandrailError, match="an origin has no path"):
        origin_of("https://example.com/x")


def test_a_webhook_is_told_with_the_id_as_its_key() -> None:
    with hooked() as hook:
        address = checked(hook.url, [hook.url.split("/done")[0]])
        assert post(address, b'{"id": "x"}', "x") == ""
    ((body, headers),) = hook.told
    assert body == {"id": "x"}
    assert headers["idempotency-key"] == "x"
    assert headers["host"] == hook.url.split("/")[2]
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 400, 404, 500, 503])
def test_a_redirect_is_not_followed_and_a_refusal_is_said(status: int) -> None:
    with hooked() as elsewhere, hooked(status, location=elsewhere.url) as hook:
        address = checked(hook.url, [hook.url.split("/done")[0]])
        assert post(address, b"{}", "x") == f"it answered {status}"
        assert elsewhere.told == []
        assert len(hook.told) == 1


@pytest.mark.parametrize(
    "number",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "::1", "::ffff:127.0.0.1", "fe80::1%lo",
     "fc00::1", "100.64.0.1", "224.0.0.1", "2002:7f00:0001::"],
)  # fmt: skip
def test_a_name_that_leads_inside_is_not_called(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [(0, 0, 0, "", (number, 80))])
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: called.append(a))
    said = post(checked("http://internal.example.com/", LISTED), b"{}", "x")
    assert "not public" in said
    assert called == []


def test_the_address_that_was_looked_at_is_the_one_that_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    looked, called = [], []

    def lookup(*a: Any, **k: Any) -> list[Any]:
        looked.append(a)
        return [(0, 0, 0, "", ("93.184.215.14" if len(looked) == 1 else "127.0.0.1", 80))]

    def connect(place: Any, timeout: float) -> socket.socket:
        called.append(place)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(socket, "create_connection", connect)
    assert "no network" in post(checked("http://internal.example.com/", LISTED), b"{}", "x")
    assert called == [("93.184.215.14", 80)]


def test_nobody_there_is_said() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    said = post(Address("http", "127.0.0.1", port, "/", True), b"{}", "x")
    assert "ConnectionRefused" in said


def test_a_certificate_that_is_not_right_is_not_trusted() -> None:
    with hooked() as hook:
        port = int(hook.url.split(":")[2].split("/")[0])
        said = post(Address("https", "127.0.0.1", port, "/", True), b"{}", "x")
    assert ssl.SSLError.__name__ in said or "SSL" in said
    assert hook.told == []


def test_a_delivery_is_tried_again_later_and_given_up_at_last(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as database:
        requests.deliver(database, "x", "https://hooks.example.com/", b"{}")
        for wait_s in (*WAITS_S, None):
            (delivery,) = webhook.waiting(database, 10)
            webhook.tried(database, delivery, "it answered 500")
            assert webhook.waiting(database, 10) == []
            if wait_s is not None:
                assert webhook.next_try(database) is not None
                database.execute("update deliveries set next = next - ?", (wait_s,))
        assert database.execute("select state, said from deliveries").fetchone()[:] == ("given up", "it answered 500")
