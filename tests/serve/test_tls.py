"""The same server over TLS, with a certificate made for the test."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from handrail.core.errors import HandrailError
from handrail.model import Model
from handrail.serve.certificates import tls_context
from tests.faces.conftest import Cli, cli
from tests.serve.bundles import ROW
from tests.serve.served import JSON, Served, drained, serving, status_of

__all__ = ["cli"]
Files = tuple[Path, Path]


def certified(folder: Path, *more: str) -> Files:
    """A certificate that signs itself, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate), *(more or ["-noenc"])]
    subprocess.run([*words, *names, *files], check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return certified(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(model: Model, files: Files) -> Iterator[Served]:
    with serving(model.bundle.path, tls=list(map(str, files)), limits={"head_timeout_s": 0.5}) as served:
        yield served


def trusting(files: Files) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files[0]))
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@contextlib.contextmanager
def connected(server: Served, files: Files) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain,
        trusting(files).wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        yield secure


def test_requests_one_after_another_and_large_ones_are_answered(server: Served, files: Files, model: Model) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=20, context=trusting(files))
    with contextlib.closing(connection):
        for rows in (ROW, [ROW] * 10_000, ROW):
            connection.request("POST", "/churn/predict", json.dumps(rows), JSON)
            response = connection.getresponse()
            assert (response.status, json.loads(response.read())) == (200, model(rows))


def test_it_speaks_http_1_over_tls_1_3_and_nothing_old(server: Served, files: Files) -> None:
    with connected(server, files) as secure:
        assert (secure.version(), secure.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
    context = tls_context(*files)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_pages_of_this_server_may_ask_it(server: Served, files: Files) -> None:
    origin = f"https://127.0.0.1:{server.port}"
    sent = (
        f"POST /churn/predict HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\norigin: {origin}\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(json.dumps(ROW))}\r\n\r\n{json.dumps(ROW)}"
    )
    with connected(server, files) as secure:
        secure.sendall(sent.encode())
        assert status_of(drained(secure)) == 200


def test_a_body_that_is_too_large_is_refused_before_it_is_read(server: Served, files: Files) -> None:
    with connected(server, files) as secure:
        secure.sendall(b"POST /churn/predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 999999999\r\n\r\n")
        assert status_of(drained(secure)) == 413


def test_a_client_that_speaks_no_tls_or_half_of_it_is_let_go(server: Served, files: Files) -> None:
    assert server.raw(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")[:8] != b"HTTP/1.1"
    with connected(server, files) as secure:
        secure.sendall(b"GET / HT")
        assert status_of(drained(secure)) == 408
    with connected(server, files) as secure:
        assert drained(secure) == b""  # it said nothing, and was not waited for
    with socket.create_connection(("127.0.0.1", server.port)) as silent:
        silent.send(b"\x16\x03\x01")
        with connected(server, files) as secure:
            secure.sendall(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            assert status_of(drained(secure)) == 200


def test_sigterm_ends_it_soon_although_a_client_stays(model: Model, files: Files) -> None:
    with serving(model.bundle.path, tls=list(map(str, files))) as served, connected(served, files) as secure:
        secure.sendall(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert status_of(secure.recv(65_536)) == 200
        started = time.monotonic()
        assert served.stop() == 0
        assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("which", "content", "said"),
    [
        (0, b"", "no certificate in it"),
        (1, b"", "no private key in it"),
        (0, b"-----BEGIN CERTIFICATE-----\nxxxx\n-----END CERTIFICATE-----\n", "cannot be read"),
        (1, b"-----BEGIN PRIVATE KEY-----\nxxxx\n-----END PRIVATE KEY-----\n", "cannot be read"),
        (0, None, "cannot open it"),
        (1, None, "cannot open it"),
    ],
)
def test_a_file_that_is_off_is_named(
    files: Files, tmp_path: Path, which: int, content: bytes | None, said: str
) -> None:
    given = list(files)
    given[which] = tmp_path / "off.pem"
    if content is not None:
        given[which].write_bytes(content)
    with pytest.raises(HandrailError, match=said) as found:
        tls_context(*given)
    assert str(given[which]) in str(found.value.where)


def test_a_key_of_another_certificate_or_with_a_password_is_named(files: Files, tmp_path: Path) -> None:
    locked = certified(tmp_path, "-passout", "pass:secret")
    with pytest.raises(HandrailError, match="wants a password") as found:
        tls_context(*locked)
    assert "openssl pkey" in found.value.mend
    (tmp_path / "other").mkdir()
    other = certified(tmp_path / "other")
    with pytest.raises(HandrailError, match="not the certificate's"):
        tls_context(files[0], other[1])
    with pytest.raises(HandrailError, match="no private key in it"):
        tls_context(files[0], files[0])


def test_one_file_without_the_other_is_refused(files: Files, home: Path, cli: Cli) -> None:
    cli("serve", "churn", "--tls-cert", str(files[0])).refused(2, "--tls-cert is of no use without --tls-key")
    cli("serve", "churn", "--tls-key", str(files[1])).refused(2, "--tls-key is of no use without --tls-cert")
