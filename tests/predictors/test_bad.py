"""Predictors that crash, hang, exit, fork or take all memory: each says so in words, and the others are unharmed."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from handrail.core.errors import HandrailError
from handrail.predictors.project import snapshot
from tests.predictors.running import (
    JSON,
    Running,
    answering,
    logged,
    not_ready,
    request,
    running,
    spec_of,
    write_project,
)  # fmt: skip
from tests.serve.served import is_up, until

GOOD = "class PythonPredictor:\n    def predict(self, payload):\n        return payload"


@pytest.mark.parametrize(
    ("code", "where", "said"),
    [
        ("import no_such_package", "predictor.py line 1", "importing it failed: No module named 'no_such_package'"),
        ("x = 1\n\ndef f(:\n", "predictor.py line 3", "importing it failed: SyntaxError"),
        ("\n1 / 0", "predictor.py line 2", "importing it failed: ZeroDivisionError: division by zero"),
        ("import more", "more.py line 2", "importing it failed: NameError: name 'y' is not defined"),
        ("import sys\nsys.exit(3)", "predictor.py line 2", "importing it failed: it called sys.exit(3)"),
        ("raise KeyboardInterrupt", "predictor.py line 1", "importing it failed: KeyboardInterrupt"),
        ("class PythonPredictor:\n  def __init__(self, config):\n    config['x']\n  def predict(self): pass",
         "predictor.py line 3", "PythonPredictor.__init__ failed: KeyError: 'x'"),
        ("class PythonPredictor:\n  def __init__(self): exit()\n  def predict(self): pass",
         "predictor.py line 2", "PythonPredictor.__init__ failed: it called sys.exit(None)"),
    ],
)  # fmt: skip
def test_what_goes_wrong_at_the_start_is_told_with_its_line(tmp_path: Path, code: str, where: str, said: str) -> None:
    found = not_ready(write_project(tmp_path / "iris", code, {"more.py": "x = 1\ny\n"}))
    assert (found["where"], found["code"]) == (where, "data")
    assert said in found["message"]
    assert "Traceback" in (tmp_path / "replicas.log").read_text()


def test_a_missing_package_is_mended_in_the_requirements(tmp_path: Path) -> None:
    found = not_ready(write_project(tmp_path / "iris", "import torch_of_another_name"))
    assert found["hint"] == "add the package that holds 'torch_of_another_name' to requirements.txt"


def test_a_start_that_hangs_is_ended_and_the_line_is_named(tmp_path: Path) -> None:
    code = "import time\nclass PythonPredictor:\n  def __init__(self):\n    time.sleep(600)\n  def predict(self): pass"
    begun = time.monotonic()
    found = not_ready(write_project(tmp_path / "iris", code), spec_of(ready_s=0.3))
    assert (found["code"], found["where"]) == ("timeout", "predictor.py line 4")
    assert "longer than 0.3 s" in found["message"]
    assert time.monotonic() - begun < 5


def test_a_start_ends_when_its_gateway_does(tmp_path: Path) -> None:
    code = f"""
        import os, time
        open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
        time.sleep(600)
    """
    with running(write_project(tmp_path / "iris", code)) as started:
        (ours,) = started.forked()
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
        ours.close()
        until(lambda: not is_up(int((tmp_path / "pid").read_text())))


def test_a_project_that_does_not_start_leaves_others_at_work(tmp_path: Path) -> None:
    good = write_project(tmp_path / "good", GOOD)
    with answering(good) as replica:
        not_ready(write_project(tmp_path / "bad", "1 / 0"))
        assert replica.ask(b"1").body == b"1"


def test_a_crash_of_a_library_is_in_the_log_with_its_line(tmp_path: Path) -> None:
    code = "import ctypes\nclass PythonPredictor:\n    def predict(self):\n        ctypes.string_at(0)"
    with running(write_project(tmp_path / "iris", code)) as started, started.replica() as replica:
        replica.send([request()])
        with pytest.raises(EOFError):
            replica.received()
        assert started.news()["forked"] == replica.said["pid"]
        assert started.news()["status"] == -signal.SIGSEGV
    assert any("predictor.py" in line and "line 4 in predict" in line for line in logged(tmp_path / "iris"))


# Memory.


def test_a_start_that_takes_too_much_says_so_with_the_number(tmp_path: Path) -> None:
    code = "held = []\nwhile True:\n    held.append(bytearray(10_000_000))"
    found = not_ready(write_project(tmp_path / "iris", code), spec_of(mem=512 * 2**20))
    assert found["code"] == "environment"
    assert found["message"] == "the replica ran out of memory while it started (limit 512 MB)"
    assert "limit 512 MB" in (tmp_path / "replicas.log").read_text()


def test_a_request_that_takes_too_much_is_503_and_the_next_is_answered(tmp_path: Path) -> None:
    code = """
        import numpy as np
        class PythonPredictor:
            def predict(self, payload):
                return float(np.ones(payload * 2**17).sum())
    """
    with answering(write_project(tmp_path / "iris", code), spec_of(mem=512 * 2**20)) as replica:
        assert replica.ask(b"10").status == 200
        found = replica.problem(b"5000")
        assert found["code"] == "environment"
        assert found["problem"] == "the replica ran out of memory (limit 512 MB)"
        assert replica.ask(b"10").status == 200
    assert "MemoryError" in (tmp_path / "replicas.log").read_text()


def test_a_limit_that_nothing_could_start_under_is_refused(tmp_path: Path) -> None:
    found = not_ready(write_project(tmp_path / "iris", GOOD), spec_of(mem=10**6))
    assert "before its first line (limit 1 MB)" in found["message"]


def test_without_a_limit_no_replica_may_take_the_whole_machine(tmp_path: Path) -> None:
    code = """
        import resource
        class PythonPredictor:
            def predict(self):
                return [resource.getrlimit(resource.RLIMIT_DATA)[0], open("/proc/self/oom_score_adj").read()]
    """
    with answering(write_project(tmp_path / "iris", code)) as replica:
        limit, score = json.loads(replica.ask().body)
        assert 2**20 < limit < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        assert int(score) == 300


# Processes of its own.


def test_a_fork_in_predict_gives_one_reply_and_leaves_no_second_replica(tmp_path: Path) -> None:
    code = """
        import os
        class PythonPredictor:
            def predict(self, payload):
                os.fork()
                return [os.getpid()]
    """
    with answering(write_project(tmp_path / "iris", code)) as replica:
        for _ in range(3):
            assert json.loads(replica.ask().body) == [replica.said["pid"]]


def test_a_fork_while_it_is_built_leaves_no_second_replica(tmp_path: Path) -> None:
    code = "import os\nos.fork()\n" + GOOD
    with running(write_project(tmp_path / "iris", code)) as started:
        with started.replica() as replica:
            assert replica.ask(b"1").body == b"1"
            assert Path(f"/proc/{replica.said['pid']}/cwd").resolve().is_dir()
        assert started.news()["forked"] == replica.said["pid"]
        assert started.news()["status"] == 0


CHILDREN = """
    import subprocess
    class PythonPredictor:
        def __init__(self):
            self.child = subprocess.Popen(["sleep", "600"])
        def predict(self, payload):
            return [self.child.pid]
"""


def test_children_go_with_their_replica(tmp_path: Path) -> None:
    with running(write_project(tmp_path / "iris", CHILDREN)) as started:
        with started.replica() as replica:
            (child,) = json.loads(replica.ask().body)
        until(lambda: not is_up(child))


def test_children_of_a_replica_that_was_killed_go_when_the_next_one_comes(tmp_path: Path) -> None:
    with running(write_project(tmp_path / "iris", CHILDREN)) as started:
        with started.replica() as replica:
            (child,) = json.loads(replica.ask().body)
            folder = Path(f"/proc/{replica.said['pid']}/cwd").readlink()
            os.kill(replica.said["pid"], signal.SIGKILL)
            until(lambda: not is_up(replica.said["pid"]))
        assert folder.exists()
        with started.replica() as replica:
            assert replica.said["ready"]
        until(lambda: not is_up(child))
        assert not folder.exists()
    assert not list(folder.parent.glob(f"{started.process.pid}.*"))


def test_prints_without_end_do_not_keep_it_from_answering(tmp_path: Path) -> None:
    code = """
        class PythonPredictor:
            def predict(self, payload):
                for _ in range(payload):
                    print("x" * 999)
                return 1
    """
    with answering(write_project(tmp_path / "iris", code)) as replica:
        assert replica.ask(b"20000").body == b"1"


def test_a_reply_that_is_too_large_is_refused_and_the_replica_stays(tmp_path: Path) -> None:
    code = "class PythonPredictor:\n    def predict(self, payload):\n        return b'x' * payload"
    with answering(write_project(tmp_path / "iris", code)) as replica:
        assert "larger than 256 MB" in replica.problem(str(257 * 2**20).encode())["problem"]
        assert replica.ask(b"3").body == b"xxx"


def test_a_snapshot_that_was_damaged_is_refused_in_words(tmp_path: Path) -> None:
    folder = snapshot(write_project(tmp_path / "iris", GOOD), tmp_path / "into", spec_of())
    (folder / "predictor.json").write_bytes(b"{")
    started = Running(folder, None, {}, tmp_path / "replicas.log")
    assert started.said["ready"] is False
    assert "no settings" in started.said["error"]["message"]
    started.close()


def test_every_problem_of_a_request_has_a_code_that_the_gateway_knows(tmp_path: Path) -> None:
    code = "class PythonPredictor:\n    def predict(self, payload):\n        raise payload and MemoryError or OSError"
    with answering(write_project(tmp_path / "iris", code)) as replica:
        for body in (b"1", b"0", b"{"):
            found = replica.predict(request(body, JSON))[0]["failed"]["0"]
            assert HandrailError(found["code"], found["problem"], found["mend"]).http_status >= 400
