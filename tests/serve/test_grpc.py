"""Open Inference over gRPC: the real client of Triton works unmodified, and what is off is told with code and words."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2 as published

from handrail.model import Model
from handrail.serve.formats.open_inference_messages import MESSAGES, SERVICE, message_class
from handrail.serve.keys import add_key
from tests.hostile.test_http import memory_kb
from tests.serve.bundles import ROW, make_bundle
from tests.serve.served import Served, serving
from tests.serve.test_tls import certified

Call = Callable[..., Any]
RAW = [struct.pack("<f", 30), b"\x03\x00\x00\x00pro", b"\x01"]
TENSORS = [
    {"name": "age", "datatype": "FP32", "shape": [1]},
    {"name": "plan", "datatype": "BYTES", "shape": [1]},
    {"name": "active", "datatype": "BOOL", "shape": [1, 1]},
]
TYPED = [{"fp32_contents": [30.0]}, {"bytes_contents": [b"pro"]}, {"bool_contents": [True]}]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grpc")
    make_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(folder: Path, port: int) -> Iterator[Served]:
    with serving(folder, grpc_port=port, limits={"body_timeout_s": 1.0}) as served:
        yield served


@pytest.fixture(scope="module")
def client(server: Served, port: int) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        yield client


@pytest.fixture
def call(server: Served, port: int) -> Iterator[Call]:
    """Asks one method with fields or bytes; gives the message, or raises grpc.RpcError."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:

        def ask(
            method: str, content: bytes | None = None, *, timeout: float = 20, metadata: Any = (), **fields: Any
        ) -> Any:
            sent = message_class(f"{method}Request")(**fields).SerializeToString() if content is None else content
            found = channel.unary_unary(f"/{SERVICE}/{method}")(sent, timeout=timeout, metadata=metadata)
            return message_class(f"{method}Response").FromString(found)

        yield ask


def inputs(rows: list[dict[str, Any]]) -> list[triton.InferInput]:
    arrays = {
        "age": ("FP64", np.array([[row["age"]] for row in rows], np.float64)),
        "plan": ("BYTES", np.array([row["plan"] for row in rows], object)),
        "active": ("BOOL", np.array([row["active"] for row in rows], bool)),
    }
    made = []
    for name, (datatype, array) in arrays.items():
        made.append(triton.InferInput(name, list(array.shape), datatype))
        made[-1].set_data_from_numpy(array)
    return made


def test_tritons_client_sees_the_server(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("churn")
    assert client.get_server_metadata().name == "handrail"
    said = client.get_model_metadata("churn", as_json=True)
    assert [one["name"] for one in said["inputs"]] == ["age", "plan", "active"]
    assert said["outputs"][2] == {"name": "probabilities", "datatype": "FP64", "shape": ["-1", "2"]}
    assert [one.name for one in client.get_model_repository_index().models] == ["churn"]


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_tritons_client_gets_the_answers_that_rows_give(
    client: triton.InferenceServerClient, model: Model, compression: str | None
) -> None:
    rows = [{**ROW, "age": age % 90} for age in range(1_200)]
    found = client.infer("churn", inputs(rows), request_id="a", compression_algorithm=compression)
    wanted = model(rows)
    assert found.as_numpy("label").tolist() == [answer["label"].encode() for answer in wanted]
    assert found.as_numpy("probabilities").tolist() == [list(answer["probabilities"].values()) for answer in wanted]
    assert found.get_response().id == "a"
    assert found.get_output("probabilities").parameters["labels"].string_param == '["no","yes"]'


def test_outputs_are_those_asked_for(client: triton.InferenceServerClient, model: Model) -> None:
    found = client.infer("churn", inputs([ROW]), outputs=[triton.InferRequestedOutput("probability")])
    assert found.as_numpy("probability").tolist() == [model(ROW)["probability"]]
    assert found.as_numpy("label") is None
    with pytest.raises(triton.InferenceServerException, match="Did you mean 'label'") as error:
        client.infer("churn", inputs([ROW]), outputs=[triton.InferRequestedOutput("lable")])
    assert error.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_tritons_client_is_told_what_is_off(client: triton.InferenceServerClient) -> None:
    for rows, name, status, said in (
        ([{**ROW, "plan": ""}], "churn", "INVALID_ARGUMENT", "field 'plan': expected a word such as 'basic'"),
        ([{**ROW, "age": np.inf}], "churn", "INVALID_ARGUMENT", "finite"),
        ([ROW] * 10_001, "churn", "RESOURCE_EXHAUSTED", "at most 10,000 rows"),
        ([ROW], "chrun", "NOT_FOUND", "Did you mean 'churn'?"),
    ):
        with pytest.raises(triton.InferenceServerException, match=said) as error:
            client.infer(name, inputs(rows))
        assert error.value.status() == f"StatusCode.{status}"
    with pytest.raises(triton.InferenceServerException, match="not served"):
        client.infer("churn", inputs([ROW]), model_version="7")


def test_many_calls_at_once_are_all_answered_right(client: triton.InferenceServerClient, model: Model) -> None:
    def ask(age: int) -> tuple[int, float]:
        return age, client.infer("churn", inputs([{**ROW, "age": age}])).as_numpy("probability").item()

    with ThreadPoolExecutor(8) as pool:
        for age, found in pool.map(ask, range(200)):
            assert found == model({**ROW, "age": age})["probability"]


def test_contents_may_be_typed_or_raw(call: Call, model: Model) -> None:
    typed = [{**tensor, "contents": contents} for tensor, contents in zip(TENSORS, TYPED, strict=True)]
    for asked in ({"inputs": typed}, {"inputs": TENSORS, "raw_input_contents": RAW}):
        found = call("ModelInfer", model_name="churn", **asked)
        assert found.raw_output_contents[0] == struct.pack("<I", 3) + model(ROW)["label"].encode()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "no tensors came in"),
        ({"inputs": TENSORS}, "cells, received 0"),
        ({"inputs": TENSORS, "raw_input_contents": RAW[:2]}, "3 inputs, and raw contents for 2"),
        ({"inputs": [{**TENSORS[0], "contents": TYPED[0]}], "raw_input_contents": RAW[:1]}, "raw contents for 1"),
        ({"inputs": TENSORS, "raw_input_contents": [b"xxx", *RAW[1:]]}, "4 bytes, received 3"),
        ({"inputs": TENSORS, "raw_input_contents": [RAW[0], b"\xff\xff\xff\xff", RAW[2]]}, "longer than what was sent"),
        ({"inputs": [{**TENSORS[0], "shape": [1, 1, 1]}], "raw_input_contents": RAW[:1]}, "expected the shape"),
        ({"inputs": [{**TENSORS[0], "shape": [-1]}], "raw_input_contents": RAW[:1]}, "expected the shape"),
        ({"inputs": [{**TENSORS[0], "shape": [2**40]}], "raw_input_contents": RAW[:1]}, "expected the shape"),
        ({"inputs": [TENSORS[0]] * 2, "raw_input_contents": RAW[:1] * 2}, "given twice"),
        ({"inputs": [{**TENSORS[0], "datatype": "FP99"}], "raw_input_contents": RAW[:1]}, "'FP99' is not read"),
        ({"inputs": [{**TENSORS[0], "datatype": "FP16"}]}, "no typed contents of 'FP16'"),
        (
            {"inputs": [{"name": "age", "datatype": "INT8", "shape": [1], "contents": {"int_contents": [300]}}]},
            "too large for INT8",
        ),
        (
            {"inputs": [{**TENSORS[0], "parameters": {"shared_memory_region": {"string_param": "x"}}}]},
            "shared_memory_region is not there",
        ),
    ],
)
def test_what_is_off_is_told(call: Call, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(grpc.RpcError) as found:
        call("ModelInfer", model_name="churn", **asked)
    assert found.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert said in found.value.details()
    assert "\nhint: " in found.value.details()
    assert dict(found.value.trailing_metadata())["x-request-id"]


def test_bytes_that_are_no_message_are_refused(call: Call) -> None:
    for content in (b"\xff", b"\x0a\xff", bytes(9), b"{}"):
        with pytest.raises(grpc.RpcError) as found:
            call("ModelInfer", content)
        assert found.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND), content


def test_messages_over_the_limit_are_refused(call: Call, server: Served, model: Model) -> None:
    for size in (33 * 2**20, 2**25 + 1):
        with pytest.raises(grpc.RpcError) as found:
            call("ModelInfer", bytes(size))
        assert found.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert server.predict(ROW) == (200, model(ROW))


def test_packed_bombs_are_unpacked_no_further_than_the_limit(port: int, server: Served) -> None:
    before = memory_kb(server)
    with grpc.insecure_channel(f"127.0.0.1:{port}", compression=grpc.Compression.Gzip) as channel:
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as found:
                channel.unary_unary(f"/{SERVICE}/ModelInfer")(bytes(2**28), timeout=30)
            assert found.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert memory_kb(server) - before < 128 * 2**10


def test_random_messages_are_refused_or_answered(call: Call, server: Served, model: Model) -> None:
    random = np.random.default_rng(0)
    right = message_class("ModelInferRequest")(model_name="churn", inputs=TENSORS, raw_input_contents=RAW)
    content = bytearray(right.SerializeToString())
    for _ in range(300):
        changed = bytearray(content)
        for place in random.integers(0, len(changed), 3):
            changed[place] = random.integers(0, 256)
        try:
            call("ModelInfer", bytes(changed))
        except grpc.RpcError as error:
            assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND,
                                    grpc.StatusCode.RESOURCE_EXHAUSTED), bytes(changed)  # fmt: skip
    assert server.predict(ROW) == (200, model(ROW))


def test_a_method_that_there_is_not_is_unimplemented(port: int, server: Served) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for path in (f"/{SERVICE}/ModelDelete", "/other.Service/ModelInfer"):
            with pytest.raises(grpc.RpcError) as found:
                channel.unary_unary(path)(b"")
            assert found.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_deadline_is_kept(client: triton.InferenceServerClient, call: Call) -> None:
    with pytest.raises(triton.InferenceServerException) as found:
        client.infer("churn", inputs([ROW] * 10_000), client_timeout=0.005)
    assert found.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    assert call("ModelInfer", timeout=9, model_name="churn", inputs=TENSORS, raw_input_contents=RAW).outputs


def test_a_request_id_is_kept(port: int, server: Served) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary(f"/{SERVICE}/ServerLive")
        for sent, kept in (("mine", True), ("a b", False)):
            _, told = ask.with_call(b"", metadata=[("x-request-id", sent)])
            assert (dict(told.trailing_metadata())["x-request-id"] == sent) is kept


def test_a_message_that_never_comes_is_not_waited_for(port: int, server: Served) -> None:
    over = threading.Event()

    def never() -> Iterator[bytes]:
        over.wait(20)
        yield b""

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.RpcError) as found:
            channel.stream_unary(f"/{SERVICE}/ModelInfer")(never(), timeout=20)
        over.set()
        assert found.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "in time" in found.value.details()
        with pytest.raises(grpc.RpcError) as found:
            channel.stream_unary(f"/{SERVICE}/ModelInfer")(iter(()), timeout=20)
        assert found.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_calls_are_counted_and_answers_do_not_wait_for_the_end(folder: Path) -> None:
    port = free_port()
    with serving(folder, grpc_port=port) as served, triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        client.infer("churn", inputs([ROW]))
        metrics = served.ask("GET", "/metrics")[2].decode()
        assert 'requests_total{model="churn",version="0",outcome="answered"} 1\n' in metrics
        assert served.stop() == 0


def test_a_key_is_asked_for_before_the_message_is_read(folder: Path, tmp_path: Path) -> None:
    port, keys = free_port(), tmp_path / "keys.json"
    secret = add_key(keys, "me")
    with serving(folder, grpc_port=port, keys=str(keys)), triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        assert client.is_server_live()
        for headers in ({}, {"authorization": "Bearer handrail_no"}):
            with pytest.raises(triton.InferenceServerException, match="key") as found:
                client.infer("churn", inputs([ROW]), headers=headers)
            assert found.value.status() == "StatusCode.UNAUTHENTICATED"
        headers = {"authorization": f"Bearer {secret}"}
        assert client.infer("churn", inputs([ROW]), headers=headers).as_numpy("label") is not None


def test_with_a_certificate_it_speaks_tls_as_http_does(folder: Path, tmp_path: Path, model: Model) -> None:
    port, files = free_port(), certified(tmp_path)
    with serving(folder, grpc_port=port, tls=[str(file) for file in files]):
        credentials = {"ssl": True, "root_certificates": str(files[0])}
        with triton.InferenceServerClient(f"localhost:{port}", **credentials) as client:
            found = client.infer("churn", inputs([ROW]))
            assert found.as_numpy("probability").tolist() == [model(ROW)["probability"]]
        with triton.InferenceServerClient(f"127.0.0.1:{port}") as plain, pytest.raises(triton.InferenceServerException):
            plain.is_server_live(client_timeout=5)


@pytest.mark.parametrize("room", [None, 4_096])
def test_what_is_in_flight_is_answered_when_the_server_stops(folder: Path, model: Model, room: int | None) -> None:
    """Also where a client has so little room for what arrives that the end comes before it has read its answer."""
    options = [("grpc.use_local_subchannel_pool", 1), *([("grpc.tcp_receive_buffer_size", room)] if room else [])]
    port, rows = free_port(), [{**ROW, "age": age % 90} for age in range(5_000)]
    with (
        serving(folder, grpc_port=port) as served,
        triton.InferenceServerClient(f"127.0.0.1:{port}", channel_args=options) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        answers = [pool.submit(client.infer, "churn", inputs(rows)) for _ in range(2)]
        while b'requests_in_flight{model="churn",version="0"} 2' not in served.ask("GET", "/metrics")[2]:
            if any(answer.done() for answer in answers):
                break
        assert served.stop() == 0
        assert [len(answer.result().as_numpy("label")) for answer in answers] == [len(rows)] * 2


def test_clients_that_never_pause_are_told_that_the_server_stops(folder: Path, model: Model) -> None:
    port, wanted = free_port(), model(ROW)["probability"]

    def ask_until_told() -> str:
        with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
            try:
                while client.infer("churn", inputs([ROW])).as_numpy("probability").item() == wanted:
                    asked.set()
            except triton.InferenceServerException as error:
                return f"{error.status()}: {error.message()}"
        return "a wrong answer"

    asked = threading.Event()
    with serving(folder, grpc_port=port) as served, ThreadPoolExecutor(4) as pool:
        told = [pool.submit(ask_until_told) for _ in range(4)]
        assert asked.wait(20)
        assert served.stop() == 0
        for one in told:
            assert one.result().startswith("StatusCode.UNAVAILABLE: this server is stopping")


def test_a_taken_port_is_told(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RuntimeError, match="gRPC cannot listen on 127"):
            serving(folder, grpc_port=taken.getsockname()[1]).__enter__()


def test_our_messages_have_the_published_numbers() -> None:
    """Against the description that Triton's client brings along, which has all of ours, and more."""
    nested = {"TensorMetadata": "ModelMetadataResponse", "ModelIndex": "RepositoryIndexResponse",
              "InferInputTensor": "ModelInferRequest", "InferRequestedOutputTensor": "ModelInferRequest",
              "InferOutputTensor": "ModelInferResponse"}  # fmt: skip
    for name in MESSAGES:
        ours = message_class(name).DESCRIPTOR  # type: ignore[attr-defined]
        outer = getattr(published, nested[name]) if name in nested else published
        theirs = getattr(outer, name).DESCRIPTOR
        for field in ours.fields:
            other = theirs.fields_by_name[field.name]
            assert (field.number, field.type, field.label) == (other.number, other.type, other.label), field.full_name
