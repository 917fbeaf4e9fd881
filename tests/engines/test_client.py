"""Asking the engine: events come on the way, errors keep their fields, and whatever breaks is said in words."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from handrail.core.errors import HandrailError
from handrail.engines.local import client
from handrail.engines.local.client import ask, is_running
from handrail.engines.local.place import Place
from handrail.store.deployments import Deployments
from tests.engines.fake import FakeEngine, engine_saying

Saying = Callable[..., FakeEngine]


@pytest.fixture
def place(home: Path) -> Place:
    return Place(home)


@pytest.fixture
def saying(home: Path) -> Iterator[Saying]:
    """Starts a stand-in that says these messages to every request."""
    opened: list[Any] = []

    def start(*messages: Any) -> FakeEngine:
        opened.append(engine_saying(home, lambda request: list(messages)))
        return opened[-1].__enter__()  # type: ignore[no-any-return]

    yield start
    for one in opened:
        one.__exit__(None, None, None)


def refusal(place: Place, **request: Any) -> HandrailError:
    with pytest.raises(HandrailError) as caught:
        ask(place, {"do": "deploy", **request}, timeout_s=0.1)
    return caught.value


def test_the_result_comes_after_its_events(place: Place, saying: Saying) -> None:
    event = {"event": "step", "api": "reviews", "text": "reviews@4: 2 of 2 replicas ready"}
    engine = saying(event, event, {"result": {"steps": []}})
    heard: list[Any] = []
    assert ask(place, {"do": "deploy", "apis": []}, heard.append) == {"steps": []}
    assert heard == [event, event]
    assert engine.requests == [{"do": "deploy", "apis": []}]


def test_an_error_of_the_engine_keeps_its_fields(place: Place, saying: Saying) -> None:
    saying(HandrailError("conflict", "no", "do this", where="handrail.yaml:3", field="name").as_dict())
    error = refusal(place)
    assert (error.code, error.problem, error.mend) == ("conflict", "no", "do this")
    assert (error.where, error.field) == ("handrail.yaml:3", "name")


def test_an_error_of_a_newer_engine_is_still_one(place: Place, saying: Saying) -> None:
    saying({"error": {"code": "sunspots"}})
    error = refusal(place)
    assert error.code == "bug"
    assert "without a word" in error.problem


def test_without_an_engine_nothing_is_deployed(place: Place) -> None:
    error = refusal(place)
    assert error.code == "not_found"
    assert error.problem == "nothing is deployed: the engine is not running"
    assert error.mend == "handrail deploy NAME"
    assert not is_running(place)


def test_without_an_engine_what_would_come_back_is_named(place: Place) -> None:
    kept = Deployments(place.home)
    for name in ("reviews", "churn"):
        kept.promote(name, kept.propose(name, {"name": name}, "", "").number)
    error = refusal(place)
    assert error.problem == "the engine is not running; it would bring back: churn, reviews"
    assert error.mend == "handrail up"


def test_a_socket_that_nobody_listens_at_is_no_engine(place: Place) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(place.control))
    assert not is_running(place)
    place.control.unlink()


def test_an_engine_that_answers_is_running(place: Place, saying: Saying) -> None:
    saying({"result": {"url": "http://127.0.0.1:8080"}})
    assert is_running(place)


@pytest.mark.parametrize("messages", [[], [{"event": "step", "text": "one"}], [b'{"result": {"a'], [b"{}"]])
def test_an_engine_that_goes_away_is_told(messages: list[Any], place: Place, saying: Saying) -> None:
    saying(*messages)
    error = refusal(place)
    assert error.code == "environment"
    assert "went away in the middle" in error.problem


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\n", b"[]\n", b"\xff\n", b"[" * 100_000 + b"\n", b'{"result": 1}\n']
)
def test_another_program_at_the_socket_is_told(said: bytes, place: Place, saying: Saying) -> None:
    saying(said)
    assert "no Handrail engine" in refusal(place).problem


def test_a_silent_engine_is_told(place: Place) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(place.control))
        listening.listen()
        error = refusal(place)
    place.control.unlink()
    assert error.code == "timeout"
    assert "nothing for 0.1 seconds" in error.problem


def test_a_line_without_end_is_not_read_for_ever(place: Place, saying: Saying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_LINE_BYTES", 1_000)
    saying(b"x" * 5_000)
    assert "went away" in refusal(place).problem


@pytest.mark.parametrize(("do", "words"), [("deploy", "the engine goes on with the deploy"), ("status", "interrupted")])
def test_ctrl_c_says_what_goes_on(do: str, words: str, place: Place, saying: Saying) -> None:
    saying({"event": "step", "text": "one"}, {"result": {}})

    def hear(event: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(HandrailError, match=words) as caught:
        ask(place, {"do": do}, hear)
    assert caught.value.exit_status == 130


def test_what_listens_to_events_may_fail_in_its_own_way(place: Place, saying: Saying) -> None:
    saying({"event": "step", "text": "one"}, {"result": {}})

    def hear(event: object) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        ask(place, {"do": "deploy"}, hear)


def test_a_question_is_asked_again_when_the_gateway_is_replaced(home: Path, place: Place) -> None:
    answers: list[list[Any]] = [[], [{"result": {"apis": []}}]]
    with engine_saying(home, lambda request: answers.pop(0)):
        assert ask(place, {"do": "status"}) == {"apis": []}
    answers = [[], [{"result": {}}]]
    with engine_saying(home, lambda request: answers.pop(0)), pytest.raises(HandrailError, match="went away"):
        ask(place, {"do": "deploy"})


def test_two_ask_at_once(place: Place, saying: Saying) -> None:
    saying({"result": {"pid": 1}})
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(ask(place, {"do": "ping"}))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{"pid": 1}] * 8
