"""A bundle that writes: closed, hashed though mapped, and refused when any part of it is off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handrail.catalog.decoders import DecoderBase
from handrail.core.bundle import MANIFEST, open_bundle
from handrail.core.errors import HandrailError
from handrail.model import Model, load
from handrail.store import Store
from handrail.tasks.generation.export import TEMPLATE, TOKENIZER, WEIGHTS, generation_files
from handrail.training.generating import keep_decoder
from tests.encode.tokenizers_made import byte_level
from tests.generation_bundles import CONFIG, SPECIAL, generation_bundle, llama_tensors
from tests.generation_bundles import TEMPLATE as CHAT


def base(**changed: Any) -> DecoderBase:
    tensors = llama_tensors()
    known: dict[str, Any] = {
        "name": "tiny", "what": "random weights", "licence": "none", "source": "here", "sha256": "0" * 64, "size": 1,
        "config": CONFIG, "names": tuple(tensors), "get": tensors.__getitem__, "tokenizer_json": byte_level(),
        "chat_template": CHAT, "special": SPECIAL,
    }  # fmt: skip
    return DecoderBase(**(known | changed))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return keep_decoder(base(), "tiny", home=tmp_path_factory.mktemp("home"))


def test_what_is_kept_has_proven_itself_and_says_what_rounding_cost(kept: Model) -> None:
    assert kept.check()["examples"] == 3 and kept.check()["largest_difference"] < 0.05
    rows = kept.manifest.data["precision"]
    assert [row["bits"] for row in rows] == [32, 8]
    assert rows[1]["bits_per_byte"] == pytest.approx(rows[0]["bits_per_byte"], rel=0.02)
    assert kept.manifest.base["licence"] == "none"


def test_the_same_decoder_gives_the_same_bytes(tmp_path: Path) -> None:
    files = [generation_bundle(tmp_path / name) / WEIGHTS for name in ("one", "two")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("name", ["model.norm.weight", "model.layers.0.mlp.up_proj.weight"])
def test_a_decoder_that_lacks_a_tensor_is_refused(name: str, tmp_path: Path) -> None:
    tensors = {known: tensor for known, tensor in llama_tensors().items() if known != name}
    with pytest.raises(HandrailError, match=f"lacks the tensor {name.removeprefix('model.')}") as caught:
        keep_decoder(base(names=tuple(tensors), get=tensors.__getitem__), "tiny", home=tmp_path)
    assert caught.value.code == "data"


@pytest.mark.parametrize("name", ["model.norm.weight", "model.layers.0.self_attn.k_proj.weight"])
@pytest.mark.parametrize("sizes", [(), (1, 64), (2, 2, 16)])
def test_a_decoder_whose_tensors_have_other_sizes_is_refused(name: str, sizes: tuple[int, ...], tmp_path: Path) -> None:
    tensors = {**llama_tensors(), name: np.ones(sizes, np.float32)}
    with pytest.raises(HandrailError, match=r"cannot be taken|do not belong together"):
        keep_decoder(base(names=tuple(tensors), get=tensors.__getitem__), "tiny", home=tmp_path)


def test_weights_that_are_exchanged_while_they_are_read_are_refused(tmp_path: Path) -> None:
    folder = generation_bundle(tmp_path / "one")
    mapped = open_bundle(folder).map(WEIGHTS)
    other = shutil.copy(folder / WEIGHTS, tmp_path / "other")
    Path(other).replace(folder / WEIGHTS)
    with pytest.raises(HandrailError, match="exchanged while it was read"):
        mapped.check()
    open_bundle(folder).check(WEIGHTS)


def test_it_goes_through_an_archive(kept: Model, tmp_path: Path) -> None:
    archive = Store(kept.bundle.path.parents[2]).export("tiny", tmp_path / "tiny.handrail")
    entry = Store(tmp_path / "home").import_archive(archive, "again", approve=lambda folder: load(folder).check())
    assert entry.task == "generation"
    again = load("again", home=tmp_path / "home")
    assert again("The", seed=1, max_tokens=9)["text"] == kept("The", seed=1, max_tokens=9)["text"]


def test_other_weights_do_not_pass_for_its_own(kept: Model, tmp_path: Path) -> None:
    """What `check` compares is how likely the examples are: other weights find them far less likely."""
    other = keep_decoder(base(get=llama_tensors(seed=1).__getitem__), "tiny", home=tmp_path, compares=False)
    forged = shutil.copytree(other.bundle.path, tmp_path / "forged")
    manifest = json.loads((forged / MANIFEST).read_bytes())
    examples = (kept.bundle.path / "examples.json").read_bytes()
    (forged / "examples.json").write_bytes(examples)
    manifest["files"]["examples.json"] = kept.manifest.files["examples.json"]
    (forged / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(HandrailError, match="does not reproduce") as raised:
        load(forged).check()
    assert raised.value.code == "bundle"


def flipped(folder: Path, member: str) -> None:
    content = bytearray((folder / member).read_bytes())
    content[-7] ^= 1
    (folder / member).write_bytes(content)


def linked(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "weights.elsewhere")
    (folder / WEIGHTS).symlink_to(folder / "weights.elsewhere")


def said(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        change(manifest)
        (folder / MANIFEST).write_text(json.dumps(manifest))

    return act


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "a bit of the weights": lambda folder: flipped(folder, WEIGHTS),
    "a bit of the tokenizer": lambda folder: flipped(folder, TOKENIZER),
    "a bit of the template": lambda folder: flipped(folder, TEMPLATE),
    "weights cut off": lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-8]),
    "weights longer": lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes() + b"x"),
    "weights empty": lambda folder: (folder / WEIGHTS).write_bytes(b""),
    "weights gone": lambda folder: (folder / WEIGHTS).unlink(),
    "weights behind a link": linked,
    "no shape": said(lambda manifest: manifest["encode"].pop("shape")),
    "another shape": said(lambda manifest: manifest["encode"]["shape"].update(layers=3)),
    "a huge shape": said(lambda manifest: manifest["encode"]["shape"].update(width=2**40)),
    "a shape of words": said(lambda manifest: manifest["encode"].update(shape={"family": "x"})),
    "no window": said(lambda manifest: manifest["encode"].update(window=0)),
    "a window of words": said(lambda manifest: manifest["encode"].update(window="many")),
    "ends that are no tokens": said(lambda manifest: manifest["encode"]["special"].update(ends=["x"])),
    "ends beyond the vocabulary": said(lambda manifest: manifest["encode"]["special"].update(ends=[10**6])),
    "names that are none": said(lambda manifest: manifest["encode"]["special"].update(names={"eos_token": 3})),
    "defaults that are off": said(lambda manifest: manifest["encode"].update(defaults={"temperature": -1})),
    "another kind of answer": said(lambda manifest: manifest["signature"]["output"].update(kind="label")),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_told_before_a_word_is_written(bundle: Path, tmp_path: Path, what: str) -> None:
    folder = shutil.copytree(bundle, tmp_path / "damaged")
    DAMAGE[what](folder)
    with pytest.raises(HandrailError) as raised:
        load(folder)("The")
    assert raised.value.code in ("bundle", "data")


def test_a_tokenizer_that_knows_more_than_the_model_is_refused(tmp_path: Path) -> None:
    tensors = llama_tensors()
    with pytest.raises(HandrailError, match="the tokenizer knows 400 tokens, the model 320"):
        generation_files(
            tmp_path, CONFIG, tensors.__getitem__, tensors, tokenizer_json=_larger(), special=SPECIAL
        )  # fmt: skip
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def broken(name: str) -> Any:
        raise HandrailError("data", "it is cut off", "fetch it again")

    with pytest.raises(HandrailError, match="cut off"):
        keep_decoder(base(get=broken), "tiny", home=tmp_path)
    assert not Store(tmp_path).versions("tiny") and not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("bits", [0, 16, -8])
def test_bits_that_are_not_kept_are_refused(tmp_path: Path, bits: int) -> None:
    with pytest.raises(HandrailError, match="bits"):
        keep_decoder(base(), "tiny", bits=bits, home=tmp_path)


def test_the_manifest_opens_without_opening_the_weights(bundle: Path) -> None:
    assert open_bundle(bundle).manifest.task == "generation"


def _larger() -> bytes:
    file = json.loads(byte_level())
    file["added_tokens"].append({"id": 399, "content": "<|more|>", "special": True})
    return json.dumps(file).encode()
