"""OpenAI's embeddings: the real client works unmodified with a model that answers a text with a vector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import openai
import pytest
from onnx import TensorProto, helper, numpy_helper

from handrail.core.bundle import Manifest, to_json, write_bundle
from handrail.core.field import Field
from handrail.core.signature import Output, Signature
from handrail.model import Model, load
from handrail.serve.app import App
from tests.serve.served import Ask, Served, serving, within

SIZE = 5
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film"]


@pytest.fixture(scope="module")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model that adds up the vectors of a text's words."""
    folder = tmp_path_factory.mktemp("small")
    manifest = Manifest(
        name="small",
        task="embedding",
        signature=Signature((Field("text", "text", example="good film"),), Output("vector", "vector", size=SIZE)),
        encode={"longest": 16},
        data={"trivial": []},
    )
    files = {
        "weights/model.onnx": graph(),
        "encode/vocabulary.txt": "\n".join(WORDS).encode(),
        "report.json": to_json({}),
    }
    write_bundle(folder, manifest, files)
    examples = [{"input": {"text": "good film"}, "answer": load(folder)("good film")}]
    write_bundle(folder, manifest, {**files, "examples.json": to_json(examples)})
    return load(folder)


def graph() -> bytes:
    vectors = np.random.default_rng(0).standard_normal((len(WORDS), SIZE)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["vectors", "input_ids"], ["each"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", ["each", "wide"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["scores"], keepdims=0),
    ]
    initial = [
        numpy_helper.from_array(vectors, "vectors"),
        numpy_helper.from_array(np.array([2]), "last"),
        numpy_helper.from_array(np.array([1]), "middle"),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "pieces"])
              for name in ("input_ids", "attention_mask")]  # fmt: skip
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", SIZE])]
    made = helper.make_graph(nodes, "sum", inputs, outputs, initial)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture(scope="module")
def server(embedding: Model) -> Iterator[Served]:
    with serving(embedding.bundle.path) as served:
        yield served


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_the_client_gets_the_vectors_that_the_model_gives(client: openai.OpenAI, embedding: Model) -> None:
    texts = ["good film", "bad film", "bad"]
    # The client asks for base64 unless told otherwise, and unpacks it.
    found = client.embeddings.create(model="small", input=texts)
    assert [one.index for one in found.data] == [0, 1, 2]
    wanted = [embedding(text)["vector"] for text in texts]
    assert np.allclose([one.embedding for one in found.data], wanted, rtol=1e-6)
    plain = client.embeddings.create(model="small", input=texts[0], encoding_format="float", dimensions=SIZE)
    assert plain.data[0].embedding == wanted[0]
    assert plain.model == "small"


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        ("good film", 4),  # with the marks of its begin and end
        (["good film", "bad", ""], 4 + 3 + 2),
        ("goodfilm, unheard-of", 2 + 5),
        ("film " * 500, 16),  # no more than is read
        (["bad"] * 600, 1_800),
    ],
)
def test_the_client_sees_how_many_word_pieces_were_read(client: openai.OpenAI, texts: object, wanted: int) -> None:
    usage = client.embeddings.create(model="small", input=texts).usage  # type: ignore[arg-type]
    assert (usage.prompt_tokens, usage.total_tokens) == (wanted, wanted)


def test_the_client_sees_the_models(client: openai.OpenAI) -> None:
    assert [one.id for one in client.models.list()] == ["small"]
    assert client.models.retrieve("small").owned_by == "handrail"


def test_the_client_is_told_what_is_off(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no model called 'smal'"):
        client.embeddings.create(model="smal", input="a")
    with pytest.raises(openai.BadRequestError, match="numbers of tokens are not read"):
        client.embeddings.create(model="small", input=[1, 2])
    with pytest.raises(openai.BadRequestError, match="have 5 dimensions"):
        client.embeddings.create(model="small", input="a", dimensions=3)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (None, 400),
        ([], 400),
        ({"model": "small"}, 400),
        ({"model": 7, "input": "a"}, 400),
        ({"model": "small", "input": []}, 400),
        ({"model": "small", "input": ["a", None]}, 400),
        ({"model": "small", "input": "a", "encoding_format": "int8"}, 400),
        ({"model": "small", "input": "a", "encoding_format": ["float"]}, 400),
        ({"model": "small", "input": ["a"] * 10_001}, 413),
        ({"model": "small", "input": ["a"] * 600}, 200),
    ],
)
def test_what_is_off_is_refused(embedding: Model, body: object, status: int) -> None:
    async def act(ask: Ask, app: App) -> None:
        assert (await ask("POST", "/v1/embeddings", body)).status == status

    within(embedding, act)


def test_vectors_go_out_in_every_format(embedding: Model, tmp_path: Path) -> None:
    wanted = embedding("good film")["vector"]

    async def act(ask: Ask, app: App) -> None:
        tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good film"]}
        (found,) = (await ask("POST", "/v2/models/small/infer", {"inputs": [tensor]})).json["outputs"]
        assert (found["shape"], found["data"]) == ([1, SIZE], wanted)
        found = (await ask("POST", "/v1/models/small:predict", {"instances": ["good film"]})).json
        assert found["predictions"] == [{"vector": wanted}]
        table = (await ask("POST", "/small/predict", ["good film"], accept="text/csv")).body.decode()
        assert table.splitlines() == ["vector_0,vector_1,vector_2,vector_3,vector_4", ",".join(map(str, wanted))]
        for path in ("/", "/small", "/docs"):
            assert (await ask("GET", path, accept="text/html")).status == 200
        assert (await ask("GET", "/openapi.json")).status == 200

    within(embedding, act)
