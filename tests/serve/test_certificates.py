"""A certificate that is renewed while connections come: shown to the next one, whatever kind of key it has."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from handrail.core.errors import HandrailError
from handrail.serve.certificates import Certificate, renewing
from handrail.serve.stamps import stamp_of

KINDS = {"ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["-newkey", "rsa:2048"]}
Files = tuple[Path, Path]


def certified(folder: Path, name: str, kind: str = "ec") -> Files:
    """A certificate that signs itself, and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    words = ["openssl", "req", "-x509", *KINDS[kind], "-days", "2", "-noenc", "-subj", f"/CN={name}"]
    subprocess.run([*words, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    folder = tmp_path_factory.mktemp("made")
    return {name: certified(folder, name, kind) for name, kind in (("old", "ec"), ("new", "ec"), ("other", "rsa"))}


@pytest.fixture
def files(tmp_path: Path, made: dict[str, Files]) -> Files:
    found = tmp_path / "certificate.pem", tmp_path / "key.pem"
    put(made["old"], found)
    return found


def put(source: Files, files: Files) -> None:
    """Replaces both files as a program that renews certificates does: by name, whole."""
    for content, file in zip(source, files, strict=True):
        draft = file.with_suffix(".draft")
        draft.write_bytes(content.read_bytes())
        draft.replace(file)


def shown(context: ssl.SSLContext, *, name: str | None = "localhost", cipher: str | None = None) -> bytes:
    """The certificate that a client is shown who begins a connection now."""
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    if cipher is not None:
        asking.maximum_version = ssl.TLSVersion.TLSv1_2
        asking.set_ciphers(cipher)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(to_client, to_server, server_hostname=name)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    pending = [client.do_handshake, server.do_handshake]
    for _ in range(9):
        pending = [step for step in pending if not is_done(step)]
    assert not pending
    found = client.getpeercert(binary_form=True)
    assert found is not None
    return found


def is_done(step: Callable[[], None]) -> bool:
    try:
        step()
    except ssl.SSLWantReadError:
        return False
    return True


def der(files: Files) -> bytes:
    return ssl.PEM_cert_to_DER_cert(files[0].read_text())


@pytest.mark.parametrize("name", ["localhost", None])
@pytest.mark.parametrize("kind", ["new", "other"])
def test_the_next_connection_is_shown_the_new_certificate(
    files: Files, made: dict[str, Files], kind: str, name: str | None
) -> None:
    certificate = Certificate(*files)
    assert shown(certificate.context, name=name) == der(made["old"])
    put(made[kind], files)
    assert [certificate.look(), certificate.look(), certificate.look()] == [False, True, False]
    assert shown(certificate.context, name=name) == der(made[kind])
    assert certificate.content == tuple(file.read_bytes() for file in made[kind])


def test_a_key_of_another_kind_leaves_nothing_of_the_old_one(files: Files, made: dict[str, Files]) -> None:
    certificate = Certificate(*files)
    put(made["other"], files)
    certificate.look()
    certificate.look()
    with pytest.raises(ssl.SSLError):
        shown(certificate.context, cipher="ECDHE-ECDSA-AES128-GCM-SHA256")
    assert shown(certificate.context, cipher="ECDHE-RSA-AES128-GCM-SHA256") == der(made["other"])


def test_files_that_are_off_change_nothing_and_are_told_once(
    files: Files, made: dict[str, Files], caplog: pytest.LogCaptureFixture
) -> None:
    certificate = Certificate(*files)
    damages: list[Callable[[], object]] = [
        lambda: files[0].write_bytes(made["new"][0].read_bytes()[:300]),
        lambda: put((made["new"][0], made["old"][1]), files),
        files[1].unlink,
    ]
    for damage in damages:
        damage()
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            assert not any(certificate.look() for _ in range(4))
        assert len([line for line in caplog.messages if "stays as it was" in line]) == 1
        assert shown(certificate.context) == der(made["old"])
    put(made["new"], files)
    assert any(certificate.look() for _ in range(2))
    assert shown(certificate.context) == der(made["new"])


def test_a_certificate_whose_key_is_about_to_follow_is_waited_for(
    files: Files, made: dict[str, Files], caplog: pytest.LogCaptureFixture
) -> None:
    certificate = Certificate(*files)
    files[0].write_bytes(made["new"][0].read_bytes())
    assert not certificate.look()
    files[1].write_bytes(made["new"][1].read_bytes())
    assert [certificate.look(), certificate.look()] == [False, True]
    assert caplog.messages == []


def test_what_is_off_at_the_start_is_refused(files: Files, made: dict[str, Files]) -> None:
    with pytest.raises(HandrailError, match="not the certificate's"):
        Certificate(files[0], made["new"][1])


def test_a_folder_that_is_mounted_anew_through_a_link_is_noticed(tmp_path: Path, made: dict[str, Files]) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        put(made[name], (tmp_path / name / "tls.crt", tmp_path / name / "tls.key"))
    link = tmp_path / "now"
    link.symlink_to("old")
    certificate = Certificate(link / "tls.crt", link / "tls.key")
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").replace(link)
    assert any(certificate.look() for _ in range(2))
    assert shown(certificate.context) == der(made["new"])


def test_a_file_that_is_not_there_has_no_stamp(tmp_path: Path) -> None:
    assert stamp_of(tmp_path / "nothing") is None


def test_a_running_server_shows_it_and_open_connections_go_on(
    files: Files, made: dict[str, Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handrail.serve.certificates.LOOK_S", 0.01)

    async def act() -> None:
        certificate = Certificate(*files)
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=certificate.context)
        port = server.sockets[0].getsockname()[1]
        following = asyncio.create_task(renewing(certificate))
        first = await connected(port)
        put(made["other"], files)
        for _ in range(500):
            reader, writer = await connected(port)
            found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            assert await echoed(reader, writer) == b"hello\n"
            writer.close()
            if found == der(made["other"]):
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("the new certificate was never shown")
        assert await echoed(*first) == b"hello\n"
        first[1].close()
        following.cancel()
        server.close()
        await asyncio.gather(following, return_exceptions=True)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(act())


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    return await asyncio.open_connection(socket.gethostbyname("localhost"), port, ssl=asking)


async def echoed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"hello\n")
    return await reader.readline()
