"""Several requests at once: lists for server_side_batching, threads for threads_per_process."""

from __future__ import annotations

import json
from pathlib import Path

from tests.predictors.running import JSON, answering, request, running, silent, spec_of, write_project

LISTS = """
    class PythonPredictor:
        def __init__(self):
            self.calls = 0
        def predict(self, payload, query_params, headers):
            self.calls += 1
            assert type(payload) is list and len(payload) == len(query_params) == len(headers)
            together = zip(payload, query_params, headers)
            found = [[value, query.get("a"), head["x"], self.calls] for value, query, head in together]
            return [value and 1 / value[0] and value for value in found][: 1 if "short" in query_params[0] else None]
        def post_predict(self, response, payload):
            print("after", response, payload)
"""


def test_with_batching_predict_gets_lists_and_its_replies_find_their_callers(tmp_path: Path) -> None:
    with answering(write_project(tmp_path / "iris", LISTS), spec_of(batches=True)) as replica:
        rows = [request(str(n).encode(), {**JSON, "x": f"h{n}"}, f"a={n}") for n in (1, 2, 3)]
        header, replies = replica.predict(*rows)
        assert header["failed"] == {}
        found = [json.loads(reply.body) for reply in replies if reply is not None]
        assert found == [[1, "1", "h1", 1], [2, "2", "h2", 1], [3, "3", "h3", 1]]
        (reply,) = replica.predict(rows[0])[1]
        assert reply is not None
        assert json.loads(reply.body) == [1, "1", "h1", 2]
    assert "after [3, '3', 'h3', 1] 3" in (tmp_path / "replicas.log").read_text()


def test_a_request_that_breaks_a_batch_fails_alone(tmp_path: Path) -> None:
    with answering(write_project(tmp_path / "iris", LISTS), spec_of(batches=True)) as replica:
        rows = [request(body, {**JSON, "x": ""}) for body in (b"1", b"0", b"{", b"4")]
        header, replies = replica.predict(*rows)
        assert "ZeroDivisionError" in header["failed"]["1"]["problem"]
        assert header["failed"]["2"]["code"] == "usage"
        assert [json.loads(reply.body)[0] for reply in replies if reply is not None] == [1, 4]


def test_a_list_of_the_wrong_length_is_an_error_that_names_both(tmp_path: Path) -> None:
    code = "class PythonPredictor:\n    def predict(self, payload):\n        return payload[1:]"
    with answering(write_project(tmp_path / "iris", code), spec_of(batches=True)) as replica:
        header, _ = replica.predict(request(b"1"), request(b"2"))
        problem = header["failed"]["1"]["problem"]
        assert "a list of 2 requests and returned 1 replies" in problem
    code = "class PythonPredictor:\n    def predict(self, payload):\n        return 'text'"
    with answering(write_project(tmp_path / "iris", code), spec_of(batches=True)) as replica:
        assert "returned str, not a list of 1 replies" in replica.problem()["problem"]


def test_two_threads_answer_two_requests_and_a_third_waits(tmp_path: Path) -> None:
    code = """
        import threading
        class PythonPredictor:
            def __init__(self):
                self.both = threading.Barrier(2, timeout=20)
            def predict(self, payload):
                self.both.wait()
                return [threading.get_ident()]
    """
    with running(write_project(tmp_path / "iris", code)) as started, started.replica(threads=2) as replica:
        assert replica.said["ready"]
        assert replica.next(1)[0]["ready"]
        replica.send([request()], 0)
        assert silent(replica.sockets[0])
        replica.send([request()], 1)
        threads = {reply.body for number in (0, 1) for reply in replica.received(number)[1] if reply is not None}
        assert len(threads) == 2


def test_a_thread_whose_socket_ends_leaves_the_others_at_work(tmp_path: Path) -> None:
    code = "class PythonPredictor:\n    def predict(self, payload):\n        return payload"
    with running(write_project(tmp_path / "iris", code)) as started, started.replica(threads=3) as replica:
        assert started.news()["forked"] == replica.said["pid"]
        for number in (1, 2):
            assert replica.next(number)[0] == replica.said
        replica.sockets[0].close()
        replica.send([request(b"7")], 2)
        assert [reply.body for reply in replica.received(2)[1] if reply is not None] == [b"7"]
        replica.sockets[1].close()
        replica.sockets[2].close()
        assert started.news()["status"] == 0
