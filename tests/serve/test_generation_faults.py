"""Texts outlive what writes them: replicas are killed, crash and hang in mid-text; clients leave; servers stop."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handrail.model import load
from handrail.serve.generation_replica import checked
from tests.generation_bundles import generation_bundle
from tests.serve.served import Served, is_up, serving, until

BAD_WRITER = [sys.executable, str(Path(__file__).with_name("bad_writer.py"))]
# Of mixed lengths, one of them longer than a chunk of what is read at once.
PROMPTS = ["a", "Once upon a time", "the cat " * 20, "Hello, world! " * 3]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generation_bundle(tmp_path_factory.mktemp("made") / "tiny")


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Served]:
    with serving(bundle, command=BAD_WRITER, hang_s=0.5) as served:
        yield served


class Reading:
    """A client that reads a stream in a thread of its own: the text so far, and how it ended."""

    def __init__(self, served: Served, body: dict[str, Any], after: int = 3) -> None:
        self.text = ""
        self.last: Any = None
        self.status = 0
        self.begun = threading.Event()
        self._served = served
        self._body = {**body, "stream": True}
        self._after = after
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._served.port, timeout=60)
        connection.request("POST", "/tiny/generate", json.dumps(self._body), {"content-type": "application/json"})
        response = connection.getresponse()
        self.status = response.status
        pieces = 0
        for line in response:
            if line.startswith(b"data: "):
                self.last = json.loads(line[6:])
                self.text += self.last.get("text", "")
                pieces += 1
                if pieces >= self._after:
                    self.begun.set()
        self.begun.set()
        connection.close()

    def whole(self) -> str:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.text


def settings(number: int, tokens: int = 60) -> dict[str, Any]:
    prompt = PROMPTS[number % len(PROMPTS)]
    return {"prompt": prompt, "max_tokens": tokens, "seed": number, "temperature": 1.0, "ignore_end": True}


def written(served: Served, body: dict[str, Any]) -> str:
    status, _, content = served.ask("POST", "/tiny/generate", body)
    assert status == 200, content
    return str(json.loads(content)["text"])


def counted(served: Served, name: str) -> float:
    lines = served.ask("GET", "/metrics")[2].decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"handrail_generation_{name}{{"))


def test_no_stream_notices_that_its_replica_was_killed_again_and_again(server: Served) -> None:
    wanted = [written(server, settings(number)) for number in range(8)]
    resumed = counted(server, "resumed_total")
    readers = [Reading(server, settings(number)) for number in range(8)]
    for _ in range(3):
        for reader in readers:
            assert reader.begun.wait(20)
        before = server.replicas()
        for replica in before:
            os.kill(replica, signal.SIGKILL)
        until(lambda before=before: server.replicas() and not set(server.replicas()) & set(before))
    assert [reader.whole() for reader in readers] == wanted
    assert [reader.last["usage"]["completion_tokens"] for reader in readers] == [60] * 8
    assert counted(server, "resumed_total") > resumed


def test_a_prompt_that_crashes_the_model_is_refused_and_all_others_are_written(server: Served) -> None:
    wanted = [written(server, settings(number)) for number in range(4)]
    readers = [Reading(server, settings(number)) for number in range(4)]
    for reader in readers:
        assert reader.begun.wait(20)
    status, _, content = server.ask("POST", "/tiny/generate", {"prompt": "CRASH"})
    assert (status, json.loads(content)["error"]["message"]) == (422, "the model crashed on this request, twice")
    assert [reader.whole() for reader in readers] == wanted
    before = server.replicas()
    status, _, content = server.ask("POST", "/tiny/generate", {"prompt": "CRASH"})
    assert status == 422
    assert "crashed the model before" in json.loads(content)["error"]["message"]
    assert server.replicas() == before


def test_a_step_that_hangs_is_noticed_and_the_others_go_on(server: Served) -> None:
    wanted = written(server, settings(1))
    reader = Reading(server, settings(1))
    assert reader.begun.wait(20)
    status, _, content = server.ask("POST", "/tiny/generate", {"prompt": "HANG"})
    assert (status, json.loads(content)["error"]["code"]) == (422, "data")
    assert reader.whole() == wanted


def test_a_client_that_leaves_frees_its_slot(server: Served) -> None:
    body = json.dumps({**settings(0, 60_000), "stream": True}).encode()
    head = f"POST /tiny/generate HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    for read in (0, 1, 2_000):  # at once, with its head, in mid-text
        before = counted(server, "cancelled_total")
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head + body)
            until(lambda: counted(server, "running") == 1)
            got = 0
            while got < read:
                got += len(connection.recv(65_536))
        until(lambda: counted(server, "running") == 0)
        assert counted(server, "cancelled_total") == before + 1


def test_a_client_that_leaves_while_it_waits_leaves_no_trace(server: Served) -> None:
    holding = [Reading(server, settings(number, 300)) for number in range(32)]
    for one in holding:
        assert one.begun.wait(20)
    body = json.dumps(settings(0)).encode()
    head = f"POST /tiny/generate HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head + body)
        until(lambda: counted(server, "waiting") == 1)
    until(lambda: counted(server, "waiting") == 0)
    assert all(len(one.whole()) for one in holding)


def test_many_streams_of_mixed_lengths_write_what_each_would_write_alone(server: Served) -> None:
    readers = [Reading(server, settings(number, 10 + number)) for number in range(32)]
    texts = [reader.whole() for reader in readers]
    for number in (0, 7, 15, 22, 31):
        assert written(server, settings(number, 10 + number)) == texts[number]


def test_a_server_that_stops_finishes_its_streams(bundle: Path) -> None:
    with serving(bundle, command=BAD_WRITER) as served:
        wanted = written(served, settings(2))
        reader = Reading(served, settings(2))
        assert reader.begun.wait(20)
        assert served.stop() == 0
        assert reader.whole() == wanted
        assert reader.last["finish"] == "length"


@pytest.mark.slow
def test_a_server_stops_although_what_holds_its_model_does_not_answer(bundle: Path) -> None:
    with serving(bundle) as served:
        (holder,), replicas = served.forkservers(), served.replicas()
        os.kill(holder, signal.SIGSTOP)
        assert served.stop() == 0
        until(lambda: not any(map(is_up, [holder, *replicas])))


def test_what_a_killed_gateway_leaves_behind_is_taken_over(bundle: Path) -> None:
    with serving(bundle, adoptable_s=20) as first:
        (holder,) = first.forkservers()
        wanted = written(first, settings(0, 5))
        first.stop(signal.SIGKILL)
        until(lambda: f".{holder}" in Path("/proc/net/unix").read_text(encoding="ascii"))  # it waits for the next
    with serving(bundle, adoptable_s=20) as second:
        assert written(second, settings(0, 5)) == wanted
        assert second.forkservers() == []
        second.stop()
    until(lambda: not is_up(holder))


def test_a_bundle_whose_weights_are_damaged_never_serves(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(bundle, folder)
    weights = folder / "weights/decoder.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.chmod(0o600)
    weights.write_bytes(content)
    told = checked(load(folder))
    assert told["ready"] is False
    assert "checksum mismatch" in told["error"]["message"]
    assert checked(load(bundle))["ready"] is True
