"""One deploy at a time: the second waits and says for whom, and a lock goes with its owner."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from handrail.core.errors import HandrailError
from handrail.core.events import Said, quiet
from handrail.deployments.turns import in_turn

HOLD = """
import sys
from pathlib import Path
from handrail.core.events import quiet
from handrail.deployments.turns import in_turn
with in_turn(Path(sys.argv[1]), patience_s=0.0, tell=quiet):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "run" / "deploy.lock"


def refusal(lock: Path) -> HandrailError:
    """What a deploy is told that may not wait."""
    with pytest.raises(HandrailError) as caught, in_turn(lock, patience_s=0.0, tell=quiet):
        pass
    return caught.value


def test_the_lock_says_who_holds_it_while_it_is_held(lock: Path) -> None:
    with in_turn(lock, patience_s=0.0, tell=quiet):
        assert re.fullmatch(rf"{os.getpid()} \d{{10}}\n", lock.read_text())
    assert lock.read_text() == ""
    assert lock.stat().st_mode & 0o077 == 0


def test_a_second_deploy_ends_with_a_conflict_when_it_may_not_wait(lock: Path) -> None:
    with in_turn(lock, patience_s=0.0, tell=quiet):
        error = refusal(lock)
    assert re.search(rf"the deploy by pid {os.getpid()} since \d\d:\d\d:\d\d", error.problem)
    assert error.exit_status == 6


def test_a_second_deploy_waits_and_says_for_whom(lock: Path) -> None:
    told: list[Any] = []
    waiting = threading.Event()

    def tell(event: Any) -> None:
        told.append(event)
        waiting.set()

    def second() -> None:
        with in_turn(lock, patience_s=20.0, tell=tell):
            told.append("in turn")

    thread = threading.Thread(target=second)
    with in_turn(lock, patience_s=0.0, tell=quiet):
        thread.start()
        assert waiting.wait(20)
        assert told == [Said(told[0].text)]
        assert re.fullmatch(rf"waiting for the deploy by pid {os.getpid()} since \d\d:\d\d:\d\d", told[0].text)
    thread.join(20)
    assert told[1:] == ["in turn"]


def test_a_lock_goes_with_its_owner(lock: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert f"pid {holder.pid}" in refusal(lock).problem
        holder.kill()
        holder.wait()
        with in_turn(lock, patience_s=0.0, tell=quiet):
            pass


def test_what_else_stands_in_the_file_is_not_taken_for_an_owner(lock: Path) -> None:
    with in_turn(lock, patience_s=0.0, tell=quiet):
        lock.write_bytes(b"\xff" * 100)
        assert "the deploy that began just now" in refusal(lock).problem


def test_an_error_inside_frees_the_lock(lock: Path) -> None:
    with pytest.raises(ZeroDivisionError), in_turn(lock, patience_s=0.0, tell=quiet):
        raise ZeroDivisionError
    with in_turn(lock, patience_s=0.0, tell=quiet):
        pass
